//! The context of one HTTP stream: callbacks into events, flows into actions.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType};

use super::shared::{Shared, Stream, fail};
use super::stopwatch::{Part, Stopwatch};
use super::wire;
use crate::exchange::{Author, Departure, Event, Flow, Pairs};

pub(super) struct StreamHost {
    /// `None` where the configuration is not there: everything is refused then.
    open: Option<(Rc<Shared>, Rc<Stream>)>,
}

impl StreamHost {
    pub(super) fn new(open: Option<(Rc<Shared>, Rc<Stream>)>) -> Self {
        Self { open }
    }

    /// An event of the request's side.
    fn request(&self, event: impl FnOnce(&Stream) -> Option<Event>) -> Action {
        let Some((shared, stream)) = &self.open else { return action(fail("there is no policy")) };
        let flow = match event(stream) {
            Some(event) => shared.drive(stream, event),
            None => fail("the request could not be read"),
        };
        stream.held.set(flow == Flow::Pause);
        stream.buffered.set(0);
        if flow == Flow::Continue {
            stream.editable.set(false);
        }
        action(flow)
    }

    /// An event of the response's side.
    fn response(&self, event: impl FnOnce(&Stream) -> Option<Event>) -> Action {
        let Some((shared, stream)) = &self.open else { return Action::Continue };
        stream.editable.set(false);
        let flow = match event(stream) {
            Some(event) => shared.drive(stream, event),
            None => fail("the response could not be read"),
        };
        stream.piece.set(None);
        action(flow)
    }

    /// The stream is over.
    fn gone(&self, departure: impl FnOnce() -> Departure) {
        let _watch = Stopwatch::start(Part::End);
        let Some((shared, stream)) = &self.open else { return };
        if stream.gone.replace(true) {
            return;
        }
        let departure = if stream.has_ended() { Departure::Reset } else { departure() };
        shared.drive(stream, Event::Gone(departure));
        shared.close(stream);
    }
}

impl Context for StreamHost {
    fn on_done(&mut self) -> bool {
        self.gone(|| Departure::Client);
        true
    }
}

impl HttpContext for StreamHost {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        let _watch = Stopwatch::start(Part::Request);
        self.request(|stream| {
            stream.editable.set(true);
            let pairs = {
                let _watch = Stopwatch::start(Part::RequestHeaders);
                wire::pairs(MapType::HttpRequestHeaders)
            };
            let source = {
                let _watch = Stopwatch::start(Part::Source);
                wire::text_property(&["source", "address"])
            };
            Some(Event::RequestHeaders { pairs, end_of_stream, source, verified: stream.verified_claims() })
        })
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.request(|stream| {
            // While the body is held, `size` is all that has come.
            let read = stream.read.get();
            stream.buffered.set(size);
            let fresh = if stream.wants_request_body() {
                stream.read.set(size);
                wire::bytes(BufferType::HttpRequestBody, read, size.checked_sub(read)?)?
            } else {
                Vec::new()
            };
            Some(Event::RequestBody { fresh, end_of_stream })
        })
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        // LangGraph has no use for them, and an upstream that took them for headers would believe what they say.
        wire::drop_request_trailers();
        self.request(|_| Some(Event::RequestTrailers))
    }

    fn on_http_response_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        let _watch = Stopwatch::start(Part::ResponseHeaders);
        self.response(|_| {
            let pairs = wire::pairs(MapType::HttpResponseHeaders);
            let author = author(&pairs);
            Some(Event::ResponseHeaders { pairs, end_of_stream, author })
        })
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let _watch = Stopwatch::start(Part::ResponseBody);
        self.response(|stream| {
            stream.piece.set(Some(size));
            let chunk = if stream.wants_response_body() {
                wire::bytes(BufferType::HttpResponseBody, 0, size)?
            } else {
                Vec::new()
            };
            Some(Event::ResponseBody { size, chunk, end_of_stream })
        })
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        self.response(|_| Some(Event::ResponseTrailers))
    }

    fn on_log(&mut self) {
        self.gone(|| match details() {
            // In HTTP/2 and HTTP/3 a caller may leave one stream of many: `http2.remote_reset`. Where the answer was
            // still coming and nothing is said of its end, it was not LangGraph that ended it.
            Some(details)
                if details.contains("downstream")
                    || details.ends_with(".remote_reset")
                    || details == "via_upstream" =>
            {
                Departure::Client
            }
            _ => Departure::Reset,
        });
    }
}

/// Who wrote a response. Only errors are the proxy's own, so others are not asked about.
fn author(pairs: &Pairs) -> Author {
    let is_error = pairs
        .iter()
        .find(|(name, _)| name == b":status")
        .is_some_and(|(_, status)| matches!(status.first(), Some(b'4' | b'5')));
    // A reply that this filter asked for has no words at all.
    if is_error && details().as_deref() != Some("via_upstream") { Author::Proxy } else { Author::Upstream }
}

/// Envoy's words for where the response came from, or how the stream ended.
fn details() -> Option<String> {
    wire::text_property(&["response", "code_details"])
}

fn action(flow: Flow) -> Action {
    match flow {
        Flow::Pause => Action::Pause,
        Flow::Continue => Action::Continue,
    }
}
