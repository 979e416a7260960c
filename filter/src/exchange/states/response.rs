//! The states after forwarding: the response is masked as it streams by; and the states in which an answer of the
//! proxy's own goes out.

use graphwarden_policies::evidence::End;
use graphwarden_policies::masking::{Masker, Media};
use graphwarden_policies::reason::Reason;

use super::super::State;
use super::super::context::{Cx, Method};
use super::super::dossier::Slot;
use super::super::event::{Author, Departure, Edit, Effect, Event, Metric, Pairs};
use super::super::inbound::{Body, first, number, values};
use super::super::published::published;
use super::super::recording::is_id;
use super::super::refusal::Refusal;

/// Headers that describe the bytes as the upstream sent them, which are not the bytes that go out.
const TRUE_OF_OLD_BYTES: [&[u8]; 8] = [
    b"content-length",
    b"content-md5",
    b"digest",
    b"content-digest",
    b"repr-digest",
    b"etag",
    b"last-modified",
    b"accept-ranges",
];

/// Whether more of the request is to come after it was forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum RequestSide {
    /// Its body passes unread: nothing about it was decided from its body.
    Streaming,
    /// It was whole when it was forwarded.
    Complete,
}

impl RequestSide {
    pub(super) fn of(body: &Body) -> Self {
        match body {
            Body::Coming { .. } => Self::Streaming,
            Body::Whole(_) => Self::Complete,
        }
    }
}

/// The request is upstream; its response has not begun.
#[derive(Debug)]
pub(in super::super) struct Forwarded {
    pub(in super::super) side: RequestSide,
    pub(in super::super) method: Method,
}

impl Forwarded {
    pub(in super::super) fn handle(self, event: Event, cx: &mut Cx<'_, '_>) -> State {
        match event {
            Event::RequestBody { .. } | Event::RequestTrailers => match self.side {
                RequestSide::Streaming => {
                    cx.go_on();
                    State::Forwarded(self)
                }
                // Bytes that nobody judged, behind a request that is already upstream.
                RequestSide::Complete => cx.cut("request_after_its_end"),
            },
            Event::ResponseHeaders { pairs, end_of_stream, author } => {
                self.answered(&pairs, end_of_stream, author, cx)
            }
            Event::KeysChanged | Event::Tick => {
                cx.go_on();
                State::Forwarded(self)
            }
            Event::Gone(departure) => {
                record(departure.into(), cx);
                State::Closed
            }
            Event::RequestHeaders { .. }
            | Event::CallReply(_)
            | Event::EvidenceDurable
            | Event::ResponseBody { .. }
            | Event::ResponseTrailers => cx.cut("unexpected_event"),
        }
    }

    fn answered(self, pairs: &Pairs, end_of_stream: bool, author: Author, cx: &mut Cx<'_, '_>) -> State {
        let status = status_of(pairs);
        if author == Author::Proxy && status >= 500 {
            // 503 invites LangGraph's JavaScript client to send the request again by itself, and nobody knows
            // how far the first one came.
            let shown = if status == 503 { 502 } else { status };
            let refusal = Refusal { status: Some(shown), ..Refusal::new(Reason::UpstreamUnavailable) };
            return Replacing::with(&refusal, pairs, end_of_stream, cx);
        }
        cx.dossier.status = status;
        if status == 101 {
            return answer_instead(&Refusal::new(Reason::UpgradeRefused), cx);
        }
        note_run(pairs, cx);
        cx.forget_lookups();
        if end_of_stream {
            cx.go_on();
            return State::Finished(Finished);
        }
        let policy = cx.gate.policy;
        let masking = cx.dossier.masking.clone().unwrap_or_else(|| policy.masking.clone());
        let kind = first(pairs, b"content-type");
        let media = Media::of_response(self.method == Method::Head, status, kind, combined_encoding(pairs));
        match media {
            Media::Bodiless => {
                cx.go_on();
                State::Passing(Passing)
            }
            Media::Unmaskable(why) if masking.unmaskable_passes() || cx.observes() => {
                cx.count(Metric::PassedUnmasked(why));
                cx.go_on();
                State::Passing(Passing)
            }
            Media::Unmaskable(why) => {
                answer_instead(&Refusal::with_detail(Reason::ResponseUnmaskable, why), cx)
            }
            media @ (Media::Json | Media::Sse | Media::Ndjson | Media::Text) => {
                let edits = removals(pairs);
                if !edits.is_empty() {
                    cx.effects.push(Effect::EditResponse(edits));
                }
                match media {
                    Media::Sse | Media::Ndjson => cx.begin_recording(),
                    _ => {
                        let limit = policy.evidence.as_ref().map_or(0, |evidence| evidence.body_limit);
                        cx.dossier.sent.keep(limit);
                    }
                }
                let masker = masking.plan(cx.dossier.identity.as_deref()).open(media);
                cx.go_on();
                State::Masking(Masking { masker })
            }
        }
    }
}

/// The response streams by.
pub(in super::super) struct Masking {
    masker: Masker,
}

impl Masking {
    pub(in super::super) fn handle(mut self, event: Event, cx: &mut Cx<'_, '_>) -> State {
        match event {
            Event::ResponseBody { chunk, end_of_stream, .. } => {
                let mut out = Vec::with_capacity(chunk.len().saturating_add(64));
                let masked = self.masker.push(&chunk, &mut out);
                let masked = match (masked, end_of_stream) {
                    (Ok(()), true) => self.masker.finish(&mut out),
                    (masked, _) => masked,
                };
                if let Err(cut) = masked {
                    self.tally(cx);
                    return cx.cut(cut.why);
                }
                cx.dossier.sent.add(&out);
                cx.record_stream(&out);
                if !same(&out, &chunk) {
                    cx.effects.push(Effect::ReplaceBody(out));
                }
                cx.go_on();
                if end_of_stream { self.end(cx) } else { State::Masking(self) }
            }
            Event::ResponseTrailers => {
                let mut out = Vec::new();
                match self.masker.finish(&mut out) {
                    Ok(()) if out.is_empty() => {
                        cx.go_on();
                        self.end(cx)
                    }
                    // What was held back has no body piece left to travel in: cut rather than lose it unseen.
                    Ok(()) => {
                        self.tally(cx);
                        cx.cut("held_back_at_trailers")
                    }
                    Err(cut) => {
                        self.tally(cx);
                        cx.cut(cut.why)
                    }
                }
            }
            // The response may begin before a streamed request has ended.
            Event::Tick => {
                cx.write_segment_where_due();
                cx.go_on();
                State::Masking(self)
            }
            Event::RequestBody { .. } | Event::RequestTrailers | Event::KeysChanged => {
                cx.go_on();
                State::Masking(self)
            }
            Event::Gone(departure) => {
                self.tally(cx);
                record(departure.into(), cx);
                State::Closed
            }
            Event::RequestHeaders { .. }
            | Event::CallReply(_)
            | Event::EvidenceDurable
            | Event::ResponseHeaders { .. } => {
                self.tally(cx);
                cx.cut("unexpected_event")
            }
        }
    }

    fn end(self, cx: &mut Cx<'_, '_>) -> State {
        self.tally(cx);
        State::Finished(Finished)
    }

    fn tally(&self, cx: &mut Cx<'_, '_>) {
        for (name, count) in self.masker.counts().filter(|(_, count)| *count > 0) {
            cx.dossier.masked.insert(name.to_owned(), count);
            cx.effects.push(Effect::Count(Metric::Masked(name.to_owned()), count));
        }
    }
}

impl std::fmt::Debug for Masking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Masking")
    }
}

/// The response passes as it is: it has no body, or the policy lets it.
#[derive(Debug)]
pub(in super::super) struct Passing;

impl Passing {
    pub(in super::super) fn handle(self, event: Event, cx: &mut Cx<'_, '_>) -> State {
        match event {
            Event::ResponseBody { size, end_of_stream, .. } => {
                cx.dossier.sent.pass(size);
                cx.go_on();
                if end_of_stream { State::Finished(Finished) } else { State::Passing(self) }
            }
            Event::ResponseTrailers => {
                cx.go_on();
                State::Finished(Finished)
            }
            Event::RequestBody { .. } | Event::RequestTrailers | Event::KeysChanged | Event::Tick => {
                cx.go_on();
                State::Passing(self)
            }
            Event::Gone(departure) => {
                record(departure.into(), cx);
                State::Closed
            }
            Event::RequestHeaders { .. }
            | Event::CallReply(_)
            | Event::EvidenceDurable
            | Event::ResponseHeaders { .. } => cx.cut("unexpected_event"),
        }
    }
}

/// Whether the bytes are the same. Comparing them as one slice goes byte by byte in wasm, which for a body in which
/// nothing was masked is a tenth of masking it.
fn same(one: &[u8], other: &[u8]) -> bool {
    let ((ones, one), (others, other)) = (one.as_chunks::<16>(), other.as_chunks::<16>());
    let halves = ones.iter().map(|part| u128::from_ne_bytes(*part));
    one == other && halves.eq(others.iter().map(|part| u128::from_ne_bytes(*part)))
}

/// The proxy answered by itself, and its text is replaced by one in LangGraph's error shape.
#[derive(Debug)]
pub(in super::super) struct Replacing {
    body: Vec<u8>,
}

impl Replacing {
    /// The proxy answered while the request was held: too large a body, a time-out. Nothing came from upstream.
    pub(super) fn early(pairs: &Pairs, end_of_stream: bool, cx: &mut Cx<'_, '_>) -> State {
        let status = status_of(pairs);
        let reason = match status {
            413 => Reason::BodyTooLarge,
            408 => Reason::BodyNotSeen,
            400..=499 => Reason::RequestMalformed,
            _ => Reason::UpstreamUnavailable,
        };
        let refusal = Refusal { status: Some(status), ..Refusal::new(reason) };
        cx.dossier.denied(reason);
        cx.count(Metric::Request { decision: "deny", reason: reason.code() });
        let cors = cx.dossier.cors.iter();
        let cors =
            cors.map(|(name, value)| Edit::Set((*name).to_owned(), value.clone().into_bytes())).collect();
        cx.effects.push(Effect::EditResponse(cors));
        Self::with(&refusal, pairs, end_of_stream, cx)
    }

    fn with(refusal: &Refusal, pairs: &Pairs, end_of_stream: bool, cx: &mut Cx<'_, '_>) -> State {
        let status = refusal.status();
        cx.dossier.status = status;
        let mut edits = Vec::new();
        if status != status_of(pairs) {
            edits.push(Edit::Set(":status".to_owned(), status.to_string().into_bytes()));
        }
        cx.go_on();
        if end_of_stream {
            if !edits.is_empty() {
                cx.effects.push(Effect::EditResponse(edits));
            }
            return State::Finished(Finished);
        }
        edits.push(Edit::Set("content-type".to_owned(), b"application/json".to_vec()));
        edits.push(Edit::Remove("content-length".to_owned()));
        cx.effects.push(Effect::EditResponse(edits));
        State::Replacing(Self { body: refusal.body(&cx.dossier.request_id) })
    }

    pub(in super::super) fn handle(mut self, event: Event, cx: &mut Cx<'_, '_>) -> State {
        match event {
            Event::ResponseBody { end_of_stream, .. } => {
                let body = std::mem::take(&mut self.body);
                cx.dossier.sent.add(&body);
                cx.effects.push(Effect::ReplaceBody(body));
                cx.go_on();
                if end_of_stream { State::Finished(Finished) } else { State::Replacing(self) }
            }
            Event::ResponseTrailers => {
                cx.go_on();
                State::Finished(Finished)
            }
            Event::RequestBody { .. } | Event::RequestTrailers => {
                cx.pause();
                State::Replacing(self)
            }
            Event::KeysChanged | Event::Tick | Event::EvidenceDurable | Event::CallReply(_) => {
                cx.pause();
                State::Replacing(self)
            }
            Event::Gone(departure) => {
                record(departure.into(), cx);
                State::Closed
            }
            Event::RequestHeaders { .. } | Event::ResponseHeaders { .. } => cx.cut("unexpected_event"),
        }
    }
}

/// An answer of ours was asked for; it passes through the response's events on its way out.
#[derive(Debug)]
pub(in super::super) struct Refused;

impl Refused {
    pub(in super::super) fn handle(self, event: Event, cx: &mut Cx<'_, '_>) -> State {
        match event {
            Event::ResponseHeaders { .. } | Event::ResponseBody { .. } | Event::ResponseTrailers => {
                cx.go_on();
                State::Refused(self)
            }
            // What is left of the request goes nowhere; late answers to what was asked change nothing.
            Event::RequestHeaders { .. }
            | Event::RequestBody { .. }
            | Event::RequestTrailers
            | Event::KeysChanged
            | Event::CallReply(_)
            | Event::EvidenceDurable
            | Event::Tick => {
                cx.pause();
                State::Refused(self)
            }
            Event::Gone(_) => {
                record(End::Complete, cx);
                State::Closed
            }
        }
    }
}

/// A response was cut in the middle.
#[derive(Debug)]
pub(in super::super) struct Cut;

impl Cut {
    pub(in super::super) fn handle(self, event: Event, cx: &mut Cx<'_, '_>) -> State {
        match event {
            Event::ResponseBody { .. } => {
                cx.effects.push(Effect::ReplaceBody(Vec::new()));
                cx.pause();
                State::Cut(self)
            }
            // Where nothing had gone out yet, the proxy's answer in the response's place passes here.
            Event::ResponseHeaders { author: Author::Proxy, .. } => {
                cx.go_on();
                State::Refused(Refused)
            }
            Event::ResponseHeaders { author: Author::Upstream, .. }
            | Event::ResponseTrailers
            | Event::RequestHeaders { .. }
            | Event::RequestBody { .. }
            | Event::RequestTrailers
            | Event::KeysChanged
            | Event::CallReply(_)
            | Event::EvidenceDurable
            | Event::Tick => {
                cx.pause();
                State::Cut(self)
            }
            Event::Gone(_) => {
                record(End::Reset, cx);
                State::Closed
            }
        }
    }
}

/// The response went out whole.
#[derive(Debug)]
pub(in super::super) struct Finished;

impl Finished {
    pub(in super::super) fn handle(self, event: Event, cx: &mut Cx<'_, '_>) -> State {
        match event {
            Event::Gone(_) => {
                record(End::Complete, cx);
                State::Closed
            }
            // A response may end before its request has.
            Event::RequestBody { .. } | Event::RequestTrailers | Event::KeysChanged | Event::Tick => {
                cx.go_on();
                State::Finished(self)
            }
            Event::RequestHeaders { .. }
            | Event::CallReply(_)
            | Event::EvidenceDurable
            | Event::ResponseHeaders { .. }
            | Event::ResponseBody { .. }
            | Event::ResponseTrailers => cx.cut("unexpected_event"),
        }
    }
}

impl From<Departure> for End {
    fn from(departure: Departure) -> Self {
        match departure {
            Departure::Client => Self::ClientGone,
            Departure::Reset => Self::Reset,
        }
    }
}

/// Writes the outcome line and gives back what room was set aside for it.
pub(super) fn record(end: End, cx: &mut Cx<'_, '_>) {
    cx.write_segment();
    cx.forget_lookups();
    if cx.gate.policy.evidence.is_none() {
        return;
    }
    let outcome = cx.dossier.outcome(cx.gate.policy, end, cx.gate.now, cx.gate.wall);
    if cx.gate.policy.evidence.as_ref().is_some_and(|evidence| evidence.filter_state) {
        cx.effects.push(Effect::Publish(published(&outcome)));
    }
    if let (Some(ledger), Slot::Held) = (&mut cx.gate.ledger, cx.dossier.slot) {
        // A line that cannot be sealed leaves a visible gap between admission and outcome; the root counts it.
        let _ = ledger.append(&outcome);
        ledger.release();
        cx.dossier.slot = Slot::None;
    }
}

/// Answers in the place of a response whose headers have not gone out yet.
fn answer_instead(refusal: &Refusal, cx: &mut Cx<'_, '_>) -> State {
    cx.dossier.status = refusal.status();
    cx.count(Metric::Cut(refusal.reason.code()));
    let reply = refusal.reply(&cx.dossier.request_id);
    cx.dossier.sent.add(&reply.body);
    cx.effects.push(Effect::Reply(reply));
    cx.pause();
    State::Refused(Refused)
}

fn status_of(pairs: &Pairs) -> u16 {
    first(pairs, b":status").and_then(number).and_then(|status| u16::try_from(status).ok()).unwrap_or(0)
}

/// The content coding, where there is one: of several, one that is not `identity`.
fn combined_encoding(pairs: &Pairs) -> Option<&[u8]> {
    let mut codings = values(pairs, b"content-encoding").filter(|coding| !coding.is_empty());
    let first = codings.next()?;
    Some(codings.find(|coding| !coding.eq_ignore_ascii_case(b"identity")).unwrap_or(first))
}

fn removals(pairs: &Pairs) -> Vec<Edit> {
    TRUE_OF_OLD_BYTES
        .iter()
        .filter(|name| first(pairs, name).is_some())
        .filter_map(|name| std::str::from_utf8(name).ok())
        .map(|name| Edit::Remove(name.to_owned()))
        .collect()
}

/// LangGraph names the run that it started in `Content-Location: /threads/{t}/runs/{r}` or `/runs/{r}`.
fn note_run(pairs: &Pairs, cx: &mut Cx<'_, '_>) {
    let [operation] = cx.dossier.operations.as_mut_slice() else { return };
    let Some(location) = first(pairs, b"content-location").and_then(|value| std::str::from_utf8(value).ok())
    else {
        return;
    };
    let mut segments = location.split(['?', '#']).next().unwrap_or_default().split('/').skip(1);
    let is_id = |id: &&str| is_id(id);
    let mut after = |word: &str| {
        let mut rest = segments.clone();
        let found = rest.next() == Some(word);
        let id = rest.next().filter(is_id);
        if found && id.is_some() {
            segments = rest;
            id.map(str::to_owned)
        } else {
            None
        }
    };
    let thread = after("threads");
    let run = after("runs");
    if operation.thread.is_none() {
        operation.thread = thread;
    }
    if operation.run.is_none() {
        operation.run = run;
    }
}
