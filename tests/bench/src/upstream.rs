//! What stands behind the proxy: a process of its own that answers at once with the same 4 KB.
//!
//! `POST /v1/evidence` is the evidence service, reduced to counting lines and saying that it has
//! them: what a proxy costs is measured here, not what a database costs.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Size of the response body.
pub(crate) const BODY: usize = 4096;

/// A thread as LangGraph shows it, with ten values in it that have to be masked.
#[must_use]
pub(crate) fn thread() -> String {
    let message = |index: usize, text: &str| {
        json!({
            "content": text, "additional_kwargs": {}, "response_metadata": {}, "type": "ai", "name": null,
            "id": format!("01a20302-2b1f-76ac-87a1-f42801aaa{index:03}"), "tool_calls": [],
            "invalid_tool_calls": [], "usage_metadata": null,
        })
    };
    let mut messages = vec![
        message(1, "Reach zoe.obrien@example.com, or ravi.iyer@example.org if nobody answers."),
        message(2, "The number on file is 536-90-4399 and the card is 4111 1111 1111 1111."),
        message(3, "Refund to 5500-0000-0000-0004, write to m.keller@example.net about it."),
        message(4, "Two more: 212-64-9012 and 3782 822463 10005."),
        message(5, "Copy lena.fuchs@example.com."),
    ];
    let whole = |messages: &[Value]| {
        json!({
            "thread_id": "01a20302-2b19-7586-827f-8a80cbc7f389", "created_at": "2026-11-22T11:26:43.481848+00:00",
            "updated_at": "2026-11-22T11:26:43.481848+00:00", "status": "idle", "config": {},
            "metadata": {"graph_id": "support_agent"},
            "values": {"messages": messages, "ssn": "078-05-1120"},
        })
        .to_string()
    };
    let mut index = 5;
    // Ordinary prose up to the size, as most of a thread is.
    while whole(&messages).len() + 450 < BODY {
        index += 1;
        messages.push(message(
            index,
            "The order left the warehouse on Tuesday and arrives within three working days; nothing else is open.",
        ));
    }
    let missing = BODY.saturating_sub(whole(&messages).len() + message(0, "").to_string().len() + 1);
    messages.push(message(999, &"and so on ".repeat(missing / 10 + 1)[..missing]));
    whole(&messages)
}

/// Serves until the process ends.
///
/// By hand and on one thread: it shares a core with the load generator, and both together have to be
/// faster than the Envoy that is measured.
pub(crate) fn serve(port: u16) -> Result<()> {
    let body = thread();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let answer: &'static [u8] = (head + &body).into_bytes().leak();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        loop {
            let (stream, _) = listener.accept().await.context("accepting")?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                // An end of any kind is the end of this connection and of nothing else.
                let _ = connection(stream, answer).await;
            });
        }
    })
}

async fn connection(mut stream: TcpStream, answer: &[u8]) -> Result<()> {
    let mut buffer = Vec::with_capacity(256 * 1024);
    loop {
        let head = loop {
            if let Some(end) = find(&buffer, b"\r\n\r\n") {
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
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await?;
        } else {
            stream.write_all(answer).await?;
        }
        buffer.drain(..head + length);
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_as_large_as_promised() {
        assert_eq!(thread().len(), BODY);
    }
}
