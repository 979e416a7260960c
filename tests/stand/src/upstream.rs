//! An upstream that sends what LangGraph never would: trailers, lies about its length, resets.
//!
//! It reads requests itself, byte by byte, and remembers each one, so that a test can say what did
//! and what did not reach it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::ports::{Port, bind, free_port};

/// A request that reached the upstream.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method of the request line.
    pub method: String,
    /// Target of the request line, as it came.
    pub target: String,
    /// Header pairs in order, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body without framing.
    pub body: Vec<u8>,
}

impl Seen {
    /// The first header of that name, as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    /// Whether these bytes stand anywhere in the request.
    #[must_use]
    pub fn holds(&self, needle: &str) -> bool {
        let within =
            |bytes: &[u8]| bytes.windows(needle.len().max(1)).any(|window| window == needle.as_bytes());
        within(self.target.as_bytes())
            || within(&self.body)
            || self.headers.iter().any(|(_, value)| within(value))
    }
}

/// One thing the upstream does with the connection.
#[derive(Clone, Debug)]
pub enum Act {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Does nothing for a while.
    Wait(Duration),
    /// Closes at once with a TCP reset, as a process does that dies.
    Reset,
    /// Closes in order.
    Close,
}

/// Ready-made responses.
#[derive(Clone, Copy, Debug)]
pub struct Reply;

impl Reply {
    /// A whole response with a body and its content-length.
    #[must_use]
    pub fn whole(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<Act> {
        let mut bytes = Self::head(status, headers);
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        vec![Act::Send(bytes)]
    }

    /// A JSON response.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Vec<Act> {
        Self::whole(status, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// A chunked response, each part a chunk and a write of its own, with trailers at the end.
    #[must_use]
    pub fn chunked(
        status: u16,
        headers: &[(&str, &str)],
        parts: &[&[u8]],
        trailers: &[(&str, &str)],
    ) -> Vec<Act> {
        let mut head = Self::head(status, headers);
        head.extend_from_slice(b"transfer-encoding: chunked\r\n");
        for (name, _) in trailers {
            head.extend_from_slice(format!("trailer: {name}\r\n").as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        let mut acts = vec![Act::Send(head)];
        for part in parts {
            let mut chunk = format!("{:x}\r\n", part.len()).into_bytes();
            chunk.extend_from_slice(part);
            chunk.extend_from_slice(b"\r\n");
            acts.push(Act::Send(chunk));
            // Long enough for the proxy to read each chunk by itself.
            acts.push(Act::Wait(Duration::from_millis(5)));
        }
        let mut end = b"0\r\n".to_vec();
        for (name, value) in trailers {
            end.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        end.extend_from_slice(b"\r\n");
        acts.push(Act::Send(end));
        acts
    }

    /// Status line and headers, without the empty line that ends them.
    #[must_use]
    pub fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = format!("HTTP/1.1 {status} Scripted\r\n").into_bytes();
        for (name, value) in headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes
    }
}

/// The running upstream.
#[derive(Debug)]
pub struct Upstream {
    port: Port,
    seen: Arc<Mutex<Vec<Seen>>>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// Starts an upstream that answers each request with what the script makes of it.
    pub async fn start<Script>(script: Script) -> Result<Self>
    where
        Script: Fn(&Seen) -> Vec<Act> + Send + Sync + 'static,
    {
        let port = free_port()?;
        let listener = bind(&port).await?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(script);
        let accepting = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                    tokio::spawn(async move { serve(stream, &seen, script.as_ref()).await });
                }
            }
        });
        Ok(Self { port, seen, accepting })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Every request since the last [`Upstream::forget`].
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve<Script>(mut stream: TcpStream, seen: &Mutex<Vec<Seen>>, script: &Script)
where
    Script: Fn(&Seen) -> Vec<Act>,
{
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await {
        let acts = script(&request);
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        for act in acts {
            let went_well = match act {
                Act::Send(bytes) => stream.write_all(&bytes).await.is_ok(),
                Act::Wait(time) => {
                    tokio::time::sleep(time).await;
                    true
                }
                Act::Reset => {
                    // Closing with a linger of zero makes the kernel send RST in place of FIN.
                    let _ = stream.set_zero_linger();
                    false
                }
                Act::Close => {
                    let _ = stream.shutdown().await;
                    false
                }
            };
            if !went_well {
                return;
            }
        }
    }
}

/// One request; `None` at the end of the connection.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        read_more(stream, buffer).await?;
    };
    let rest = buffer.split_off(end + 4);
    let head = String::from_utf8_lossy(&std::mem::replace(buffer, rest)).into_owned();
    let mut lines = head.split("\r\n");
    let mut first: VecDeque<&str> = lines.next()?.split(' ').collect();
    let (method, target) = (first.pop_front()?.to_owned(), first.pop_front()?.to_owned());
    let headers: Vec<(String, Vec<u8>)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().as_bytes().to_vec()))
        .collect();
    let mut seen = Seen { method, target, headers, body: Vec::new() };
    if seen.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        seen.body = read_chunks(stream, buffer).await?;
    } else if let Some(length) = seen.header("content-length").and_then(|length| length.parse::<usize>().ok())
    {
        while buffer.len() < length {
            read_more(stream, buffer).await?;
        }
        let rest = buffer.split_off(length);
        seen.body = std::mem::replace(buffer, rest);
    }
    Some(seen)
}

async fn read_chunks(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(2).position(|window| window == b"\r\n") {
                break end;
            }
            read_more(stream, buffer).await?;
        };
        let line = String::from_utf8_lossy(buffer.get(..end)?).into_owned();
        let size = usize::from_str_radix(line.trim(), 16).ok()?;
        let whole = end + 2 + size + 2;
        while buffer.len() < whole {
            read_more(stream, buffer).await?;
        }
        body.extend_from_slice(buffer.get(end + 2..end + 2 + size)?);
        buffer.drain(..whole);
        if size == 0 {
            return Some(body);
        }
    }
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut block = vec![0; 64 * 1024];
    let count = stream.read(&mut block).await.ok()?;
    buffer.extend(block.iter().take(count));
    (count > 0).then_some(())
}
