//! The work that cost is measured over: requests that say what they want answered, and what stands behind the proxy
//! and answers them, a process of its own.
//!
//! A request's header `work` says which: `json N` (a thread of about N bytes), `taken` (nothing, for uploads: the
//! answer tells how many bytes came), `events N GAP` (a stream of N events, one each GAP microseconds),
//! `open IDLE` (a stream that says something once and then stays open, with a value begun unless it is to be idle).

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::load::Connection;

/// What no caller may see.
pub(super) const SECRET: &[u8] = b"zoe.obrien@example.com";
/// What an open stream that is not idle has said of a value that is not over.
pub(super) const BEGUN: &str = "Write to zoe.obr";

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// A thread of about so many bytes.
    Json(usize),
    /// Takes an upload of so many bytes.
    Upload(usize),
    /// So many events, each so many microseconds after the one before.
    Events(u64, u64),
    /// A stream that stays open; idle, or in the middle of a value.
    Open {
        /// Nothing is held.
        idle: bool,
    },
}

impl Work {
    /// The request, byte by byte. Which thread it is about does not matter.
    pub(super) fn request(self, token: &str) -> Vec<u8> {
        const ABOUT: &str = "/threads/01a20302-2b19-7586-827f-8a80cbc7f389";
        let (first, wanted, body) = match self {
            Self::Json(size) => (format!("GET {ABOUT}"), format!("json {size}"), None),
            Self::Upload(size) => (format!("PATCH {ABOUT}"), "taken".to_owned(), Some(upload(size))),
            Self::Events(count, gap) => {
                (format!("GET {ABOUT}/stream"), format!("events {count} {gap}"), None)
            }
            Self::Open { idle } => (format!("GET {ABOUT}/stream"), format!("open {idle}"), None),
        };
        let mut bytes =
            format!("{first} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {token}\r\nwork: {wanted}\r\n")
                .into_bytes();
        if let Some(body) = &body {
            bytes.extend_from_slice(b"content-type: application/json\r\n");
            bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&body.unwrap_or_default());
        bytes
    }
}

/// Sends a request over a connection of its own and reads the whole answer, of any size, which has to be a 200.
pub(super) fn ask(port: u16, request: &[u8]) -> Result<Vec<u8>> {
    Ok(Connection::open(port)?.exchange(request)?.to_vec())
}

/// Whether an answer is masked; an error where it holds neither what was to be masked nor a mask.
pub(super) fn is_masked(answer: &[u8]) -> Result<bool> {
    let shown = memchr::memmem::find(answer, SECRET).is_some();
    let hidden = memchr::memmem::find(answer, b"[EMAIL]").is_some();
    ensure!(shown != hidden, "masked in part, or not what was asked for");
    Ok(hidden)
}

/// A thread as LangGraph shows it, of about `size` bytes and at least 700, one value to mask in each 400.
pub(super) fn thread(size: usize) -> Vec<u8> {
    let mut messages = Vec::new();
    let mut length = 300;
    while messages.is_empty() || length + 400 < size {
        let text = match messages.len() % 3 {
            0 => "Reach zoe.obrien@example.com about the order that left the warehouse on Tuesday.",
            1 => "The card on file is 4111 1111 1111 1111; it arrives within three working days.",
            _ => "The number is 536-90-4399, and nothing else is open in this case as of today.",
        };
        let message = json!({
            "content": text, "additional_kwargs": {}, "response_metadata": {}, "type": "ai", "name": null,
            "id": format!("01a20302-2b1f-76ac-87a1-f428{:08x}", messages.len()), "tool_calls": [],
            "invalid_tool_calls": [], "usage_metadata": null,
            "padding": "and so on ".repeat(12),
        });
        length += message.to_string().len() + 1;
        messages.push(message);
    }
    json!({
        "thread_id": "01a20302-2b19-7586-827f-8a80cbc7f389", "created_at": "2026-11-22T11:26:43.481848+00:00",
        "status": "idle", "config": {}, "metadata": {"graph_id": "support_agent"}, "values": {"messages": messages},
    })
    .to_string()
    .into_bytes()
}

/// A change of a thread's metadata of exactly `size` bytes.
fn upload(size: usize) -> Vec<u8> {
    let (head, tail) = (r#"{"metadata":{"notes":["#, r#""end"]}}"#);
    let note = r#""the order left the warehouse on Tuesday and arrives within three working days","#;
    let mut body = head.to_owned();
    while body.len() + note.len() + tail.len() <= size {
        body.push_str(note);
    }
    body.push_str(&" ".repeat(size.saturating_sub(body.len() + tail.len())));
    body.push_str(tail);
    body.into_bytes()
}

/// Microseconds since 1970 as letters: digits in such number would be looked at as somebody's.
pub(super) fn letters(micros: u64) -> String {
    (0..16)
        .rev()
        .map(|place| char::from(b'a' + u8::try_from((micros >> (4 * place)) & 15).unwrap_or(0)))
        .collect()
}

/// Reads them back.
pub(super) fn micros(letters: &[u8]) -> u64 {
    letters.iter().fold(0, |sum, letter| (sum << 4) | u64::from(letter.wrapping_sub(b'a') & 15))
}

/// Microseconds since 1970.
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

/// One event of about 200 bytes, a model's next words, that was due at `due`. They end where no value can go on, so
/// that nothing of it has to wait for the event after it.
fn event(due: u64) -> String {
    let message = json!([{"content": format!("and so {}, as ever. \n", letters(due)), "type": "AIMessageChunk",
        "id": "run--fake", "tool_calls": [], "additional_kwargs": {}}, {"langgraph_node": "respond"}]);
    format!("event: messages\r\ndata: {message}\r\n\r\n")
}

/// Serves until the process ends, on one thread.
pub(super) fn serve(port: u16) -> Result<()> {
    super::files::allow_many()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
        let listener: TcpListener = socket.listen(4096)?;
        let threads = Rc::new(std::cell::RefCell::new(HashMap::<usize, Rc<[u8]>>::new()));
        loop {
            let (stream, _) = listener.accept().await.context("accepting")?;
            stream.set_nodelay(true)?;
            let threads = Rc::clone(&threads);
            tokio::task::spawn_local(async move {
                // An end of any kind is the end of this connection and of nothing else.
                let thread = |size: usize| {
                    Rc::clone(threads.borrow_mut().entry(size).or_insert_with(|| thread(size).into()))
                };
                let _ = connection(stream, &thread).await;
            });
        }
    })
}

async fn connection(mut stream: TcpStream, thread: &dyn Fn(usize) -> Rc<[u8]>) -> Result<()> {
    let mut buffer = Vec::with_capacity(2048);
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
        let header = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let body = body(&mut stream, &mut buffer, head, header("content-length: ")).await?;
        if text.starts_with("POST /v1/evidence") {
            let count = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
            answer(&mut stream, json!({"accepted": count, "duplicates": 0}).to_string().as_bytes()).await?;
            continue;
        }
        let words: Vec<&str> = header("work: ").unwrap_or_default().split(' ').collect();
        let number = |place: usize| words.get(place).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        match words.first().copied() {
            Some("json") => answer(&mut stream, &thread(usize::try_from(number(1))?)).await?,
            Some("events") => events(&mut stream, number(1), number(2)).await?,
            Some("open") => {
                let content = if words.get(1) == Some(&"true") { "and so on. \n" } else { BEGUN };
                let message = json!([{"content": content, "type": "AIMessageChunk", "id": "run--fake"}, {}]);
                let event = format!("event: messages\r\ndata: {message}\r\n\r\n");
                begin_stream(&mut stream).await?;
                chunk(&mut stream, &event).await?;
                // Until the other side leaves.
                while stream.read_buf(&mut buffer).await? > 0 {}
                return Ok(());
            }
            _ => answer(&mut stream, json!({"taken": body.len()}).to_string().as_bytes()).await?,
        }
    }
}

/// The request's body, taken out of the buffer with its head. A proxy that held it may send it in chunks.
async fn body(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    head: usize,
    length: Option<&str>,
) -> Result<Vec<u8>> {
    buffer.drain(..head);
    let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    while buffer.len() < length {
        ensure!(stream.read_buf(buffer).await? > 0, "a request that is not whole");
    }
    let rest = buffer.split_off(length);
    Ok(std::mem::replace(buffer, rest))
}

async fn answer(stream: &mut TcpStream, body: &[u8]) -> Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut whole = Vec::with_capacity(head.len() + body.len());
    whole.extend_from_slice(head.as_bytes());
    whole.extend_from_slice(body);
    Ok(stream.write_all(&whole).await?)
}

async fn begin_stream(stream: &mut TcpStream) -> Result<()> {
    const HEAD: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    Ok(stream.write_all(HEAD).await?)
}

async fn chunk(stream: &mut TcpStream, text: &str) -> Result<()> {
    Ok(stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await?)
}

/// Each event is a write of its own; those that are overdue follow each other at once.
async fn events(stream: &mut TcpStream, count: u64, gap: u64) -> Result<()> {
    begin_stream(stream).await?;
    let began = now();
    for index in 0..count {
        let due = began + index * gap;
        if let Some(early) = due.checked_sub(now()).filter(|early| *early > 0) {
            tokio::time::sleep(Duration::from_micros(early)).await;
        } else {
            tokio::task::yield_now().await;
        }
        chunk(stream, &event(due)).await?;
    }
    Ok(stream.write_all(b"0\r\n\r\n").await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_of_the_size_that_it_says() {
        for size in [1_000, 10_000, 100_000] {
            assert_eq!(upload(size).len(), size);
            assert!(serde_json::from_slice::<serde_json::Value>(&upload(size)).is_ok());
            let thread = thread(size);
            assert!(thread.len().abs_diff(size) < 600, "{size}: {}", thread.len());
        }
    }

    #[test]
    fn a_time_in_letters_is_read_back() {
        for time in [0, 1, 1_795_348_800_123_456, u64::MAX] {
            assert_eq!(micros(letters(time).as_bytes()), time);
        }
    }
}
