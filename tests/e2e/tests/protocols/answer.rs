//! What stands in LangGraph's place over HTTP/1.1 and over HTTP/2: the same answers over both.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use graphwarden_stand::{Act, Port, Reply, Seen, Upstream, bind, free_port};
use http::{HeaderMap, Response};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// An answer, whatever it travels in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Planned {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) parts: Vec<&'static str>,
    pub(crate) trailers: Vec<(&'static str, &'static str)>,
    pub(crate) reset: bool,
}

const JSON: (&str, &str) = ("content-type", "application/json");
const SSE: (&str, &str) = ("content-type", "text/event-stream");

/// What the header `script` of a request asks for.
pub(crate) fn planned(script: &str) -> Planned {
    let plan = Planned { status: 200, headers: vec![JSON], ..Planned::default() };
    match script {
        "sse" => Planned {
            headers: vec![SSE],
            parts: vec![
                "event: values\r\ndata: {\"a\":\"zoe.obr",
                "ien@example.com\"}\r\n\r\n",
                "data: {\"ssn\":\"078-05-1120\"}\r\n\r\n",
            ],
            ..plan
        },
        // What only the end of the body decides: the trailers say that it has come.
        "trailers" => Planned {
            parts: vec!["{\"mail\":\"zoe.obr", "ien@example.com", "\",\"n\":\"078-05-1120\"}"],
            trailers: vec![("x-sum", "7")],
            ..plan
        },
        "reset" => Planned {
            headers: vec![SSE],
            parts: vec!["data: {\"mail\":\"zoe.obrien@exam"],
            reset: true,
            ..plan
        },
        "endless" => Planned {
            headers: vec![SSE],
            parts: vec!["data: {\"ssn\":\"078-05-1120\"}\r\n\r\n"; 400],
            ..plan
        },
        "head" => Planned { headers: vec![JSON, ("content-length", "1234")], ..plan },
        "204" => Planned { status: 204, headers: vec![], ..plan },
        "304" => Planned { status: 304, headers: vec![("etag", "\"1\"")], ..plan },
        _ => Planned {
            parts: vec!["{\"owner\":\"zoe.obrien@example.com\",", "\"card\":\"4111 1111 1111 1111\"}"],
            ..plan
        },
    }
}

/// Over HTTP/1.1.
pub(crate) fn acts(seen: &Seen) -> Vec<Act> {
    let plan = planned(&seen.header("script").unwrap_or_default());
    let head = || {
        let mut head = Reply::head(plan.status, &plan.headers);
        head.extend_from_slice(b"\r\n");
        head
    };
    if seen.method == "HEAD" || plan.status == 204 || plan.status == 304 {
        return vec![Act::Send(head())];
    }
    let parts: Vec<&[u8]> = plan.parts.iter().map(|part| part.as_bytes()).collect();
    let mut acts = Reply::chunked(plan.status, &plan.headers, &parts, &plan.trailers);
    if plan.reset {
        acts.pop();
        acts.push(Act::Reset);
    }
    acts
}

/// A request as the upstream saw it, whichever protocol brought it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<String>,
}

/// The upstream over HTTP/2.
#[derive(Debug)]
pub(crate) struct Second {
    port: Port,
    seen: Arc<Mutex<Vec<Request>>>,
    accepting: JoinHandle<()>,
}

impl Second {
    pub(crate) async fn start() -> Result<Self> {
        let port = free_port()?;
        let listener = bind(&port).await?;
        let seen = Arc::default();
        let accepting = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&seen)));
                }
            }
        });
        Ok(Self { port, seen, accepting })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What the upstream over HTTP/1.1 saw, in the same words. It keeps no trailers.
pub(crate) fn first(upstream: &Upstream) -> Vec<Request> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    upstream
        .seen()
        .into_iter()
        .map(|seen| Request {
            headers: seen.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
            body: seen.body,
            trailers: Vec::new(),
        })
        .collect()
}

async fn serve(stream: TcpStream, seen: Arc<Mutex<Vec<Request>>>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(exchange(request, respond, Arc::clone(&seen)));
    }
}

async fn exchange(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    seen: Arc<Mutex<Vec<Request>>>,
) -> Option<()> {
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk.ok()?;
        let _ = stream.flow_control().release_capacity(chunk.len());
        body.extend_from_slice(&chunk);
    }
    let trailers = stream.trailers().await.ok()?.unwrap_or_default();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let script = head.headers.get("script").map(text).unwrap_or_default();
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(Request {
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body,
        trailers: trailers.keys().map(ToString::to_string).collect(),
    });
    let plan = planned(&script);
    let mut response = Response::builder().status(plan.status);
    for (name, value) in &plan.headers {
        response = response.header(*name, *value);
    }
    let bodiless = head.method == "HEAD" || plan.parts.is_empty();
    let mut sending = respond.send_response(response.body(()).ok()?, bodiless).ok()?;
    if bodiless {
        return Some(());
    }
    for part in &plan.parts {
        sending.send_data(Bytes::from_static(part.as_bytes()), false).ok()?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if plan.reset {
        sending.send_reset(h2::Reason::INTERNAL_ERROR);
    } else if plan.trailers.is_empty() {
        sending.send_data(Bytes::new(), true).ok()?;
    } else {
        let mut trailers = HeaderMap::new();
        for (name, value) in &plan.trailers {
            trailers.insert(*name, http::HeaderValue::from_static(value));
        }
        sending.send_trailers(trailers).ok()?;
    }
    Some(())
}
