//! What stands behind the proxy: a process of its own that answers at once with a thread, of 4 KB, or of as many bytes
//! as the last digits of the thread's id say.
//!
//! `POST /v1/evidence` and `POST /v1/approvals` are the desk, reduced to counting lines and saying that it has them,
//! and to saying yes: what a proxy costs is measured here, not what a database costs.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Size of the response body where nothing else is asked for.
pub(crate) const BODY: usize = 4096;

/// The beginning of the path of a thread whose size is asked for.
const SIZED: &str = "/threads/00000000-0000-4000-8000-";

/// The path of a thread of so many bytes.
pub(crate) fn path(bytes: usize) -> String {
    format!("{SIZED}{bytes:012}")
}

/// What people wrote in the first messages, with values that have to be masked; nine of them.
const TELLING: [&str; 5] = [
    "Reach zoe.obrien@example.com, or ravi.iyer@example.org if nobody answers.",
    "The number on file is 536-90-4399 and the card is 4111 1111 1111 1111.",
    "Refund to 5500-0000-0000-0004, write to m.keller@example.net about it.",
    "Two more: 212-64-9012 and 3782 822463 10005.",
    "Copy lena.fuchs@example.com.",
];
/// What most of a thread is.
const ORDINARY: &str =
    "The order left the warehouse on Tuesday and arrives within three working days; nothing else is open.";
/// So many messages, the telling ones first, then it begins anew: about 4 KB.
const CYCLE: usize = 13;

/// A thread as LangGraph shows it, of exactly so many bytes: in 4 KB there are ten values that have to be masked, and
/// so many in each further 4 KB. At least 600 bytes.
#[must_use]
pub(crate) fn thread(bytes: usize) -> String {
    let message = |index: usize, text: &str| {
        json!({
            "content": text, "additional_kwargs": {}, "response_metadata": {}, "type": "ai", "name": null,
            "id": format!("01a20302-2b1f-76ac-87a1-{index:012}"), "tool_calls": [],
            "invalid_tool_calls": [], "usage_metadata": null,
        })
    };
    let whole = |messages: &[Value]| {
        json!({
            "thread_id": "01a20302-2b19-7586-827f-8a80cbc7f389", "created_at": "2026-11-22T11:26:43.481848+00:00",
            "updated_at": "2026-11-22T11:26:43.481848+00:00", "status": "idle", "config": {},
            "metadata": {"graph_id": "support_agent"},
            "values": {"messages": messages, "ssn": "078-05-1120"},
        })
        .to_string()
    };
    let (mut messages, last) = (Vec::new(), message(0, "").to_string().len());
    let mut length = whole(&[]).len() + last;
    for index in 1.. {
        let next = message(index, TELLING.get((index - 1) % CYCLE).unwrap_or(&ORDINARY));
        let more = next.to_string().len() + 1;
        if length + more > bytes {
            break;
        }
        length += more;
        messages.push(next);
    }
    messages.push(message(0, &"and so on ".repeat(64)[..bytes.saturating_sub(length).min(640)]));
    whole(&messages)
}

/// The answers so far, by size.
type Answers = Arc<Mutex<HashMap<usize, &'static [u8]>>>;

/// The whole answer of that size. Made once: there are a handful of sizes, and they stay until the process ends.
fn answer(answers: &Answers, bytes: usize) -> &'static [u8] {
    answers
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(bytes)
        .or_insert_with(|| whole(&thread(bytes)).into_bytes().leak())
}

/// A body with its head.
fn whole(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Serves until the process ends.
///
/// By hand and on one thread: it shares a core with the load generator, and both together have to be
/// faster than the Envoy that is measured.
pub(crate) fn serve(port: u16) -> Result<()> {
    let answers = Answers::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        loop {
            let (stream, _) = listener.accept().await.context("accepting")?;
            stream.set_nodelay(true)?;
            let answers = Arc::clone(&answers);
            tokio::spawn(async move {
                // An end of any kind is the end of this connection and of nothing else.
                let _ = connection(stream, &answers).await;
            });
        }
    })
}

async fn connection(mut stream: TcpStream, answers: &Answers) -> Result<()> {
    let mut buffer = Vec::with_capacity(256 * 1024);
    loop {
        let head = loop {
            if let Some(end) = memchr::memmem::find(&buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let text = String::from_utf8_lossy(buffer.get(..head).unwrap_or_default()).into_owned();
        let length =
            text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        while buffer.len() < head + length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        if text.starts_with("POST /v1/evidence") {
            let lines = buffer.get(head..head + length).unwrap_or_default();
            let count = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
            let body = json!({"accepted": count, "duplicates": 0}).to_string();
            stream.write_all(whole(&body).as_bytes()).await?;
        } else if text.starts_with("POST /v1/approvals") {
            stream.write_all(whole(&granted().to_string()).as_bytes()).await?;
        } else {
            let path = text.split(' ').nth(1).unwrap_or_default();
            let bytes = path.strip_prefix(SIZED).and_then(|rest| rest.get(..12)?.parse().ok());
            stream.write_all(answer(answers, bytes.unwrap_or(BODY))).await?;
        }
        buffer.drain(..head + length);
    }
}

/// What the desk says once a manager has agreed.
fn granted() -> Value {
    json!({
        "id": "0193b0a2-5c1e-7d3f-8a4b-6e1f2a3b4c5d", "status": "approved", "url": null,
        "decisions": [{
            "approver": {"issuer": "https://idp.example.com", "subject": "u-manager", "name": "Mara", "email": null},
            "decision": "approve", "at": "2026-11-22T11:26:43Z", "comment": null,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_as_large_as_asked() {
        for bytes in [600, 1024, BODY, 100 << 10, 1 << 20] {
            assert_eq!(thread(bytes).len(), bytes);
        }
    }

    #[test]
    fn four_kilobytes_have_ten_values_to_mask() {
        let thread = thread(BODY);
        assert!(TELLING.iter().all(|text| thread.matches(text).count() == 1));
        assert!(super::thread(8 * BODY).matches("zoe.obrien@example.com").count() >= 7);
    }
}
