//! A client that sends exactly the bytes it is told and shows exactly what came back.
//!
//! Ordinary HTTP clients refuse what the gate has to withstand: header bytes above 0x7F, two
//! Authorization headers, percent-encoded letters that they would normalise, a client that leaves in
//! the middle. Responses are read with framing checked: a chunked body without its last chunk, or a
//! body shorter than its content-length, is `complete: false`, not an error.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One request, byte by byte.
#[derive(Clone, Debug)]
pub struct Ask {
    method: String,
    target: String,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Option<Vec<u8>>,
    limit: Duration,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header pairs in order, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body without its chunk framing.
    pub body: Vec<u8>,
    /// Trailer pairs of a chunked body.
    pub trailers: Vec<(String, Vec<u8>)>,
    /// Whether the framing says that nothing is missing.
    pub complete: bool,
    /// Time until the status line.
    pub first_byte: Duration,
    /// When each read of the body came, and how many bytes of the raw body it brought.
    pub arrivals: Vec<(Duration, usize)>,
}

impl Ask {
    /// A request for a target that is sent as it stands.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: None,
            limit: Duration::from_secs(30),
        }
    }

    /// `GET` of a target.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// `POST` of a JSON body.
    #[must_use]
    pub fn post(target: &str, body: &Value) -> Self {
        Self::new("POST", target).json(body)
    }

    /// Adds a header; neither name nor value is checked.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_bytes().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Adds `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Sets a JSON body with its content type.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.body(body.to_string()).header("content-type", "application/json")
    }

    /// Sets a body; content-length is sent with it.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// How long to wait for the whole answer; 30 s if not said.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sends the request and reads the answer to its end.
    pub async fn send(&self, port: u16) -> Result<Answer> {
        let mut conversation = self.open(port).await?;
        tokio::time::timeout(self.limit, conversation.answer())
            .await
            .with_context(|| {
                format!("{} {}: no whole answer within {:?}", self.method, self.target, self.limit)
            })?
            .with_context(|| format!("{} {}", self.method, self.target))
    }

    /// Sends the request and leaves the reading, or the leaving, to the caller.
    pub async fn open(&self, port: u16) -> Result<Conversation> {
        let stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .with_context(|| format!("cannot connect to {port}"))?;
        stream.set_nodelay(true)?;
        let mut conversation =
            Conversation { stream, buffer: Vec::new(), head: self.method == "HEAD", sent: Instant::now() };
        conversation.write(&self.bytes()).await?;
        Ok(conversation)
    }

    /// The request as it goes over the wire.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"host")) {
            bytes.extend_from_slice(b"host: gate.test\r\n");
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if let Some(body) = &self.body {
            bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }
}

impl Answer {
    /// The first header of that name, as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        find(&self.headers, name)
    }

    /// The first trailer of that name, as text.
    #[must_use]
    pub fn trailer(&self, name: &str) -> Option<String> {
        find(&self.trailers, name)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("status {}, not JSON: {}", self.status, self.text()))
    }

    /// Events of a `text/event-stream` body: (event, data).
    #[must_use]
    pub fn events(&self) -> Vec<(String, String)> {
        let text = self.text().replace("\r\n", "\n");
        let mut events = Vec::new();
        for block in text.split("\n\n") {
            let mut name = String::new();
            let mut data = Vec::new();
            for line in block.lines() {
                if let Some(value) = line.strip_prefix("event:") {
                    value.trim_start().clone_into(&mut name);
                } else if let Some(value) = line.strip_prefix("data:") {
                    data.push(value.strip_prefix(' ').unwrap_or(value));
                }
            }
            if !data.is_empty() {
                events.push((name, data.join("\n")));
            }
        }
        events
    }

    /// Fails unless the status is the expected one; the error shows the body.
    pub fn expect_status(&self, status: u16) -> Result<&Self> {
        if self.status != status {
            bail!("expected status {status}, got {}: {}", self.status, self.text());
        }
        Ok(self)
    }
}

fn find(pairs: &[(String, Vec<u8>)], name: &str) -> Option<String> {
    let (_, value) = pairs.iter().find(|(key, _)| key == name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// An open connection: the request, or part of it, is sent; the answer is not read yet.
#[derive(Debug)]
pub struct Conversation {
    stream: TcpStream,
    buffer: Vec<u8>,
    head: bool,
    sent: Instant,
}

impl Conversation {
    /// Sends more bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        // A gate that has answered already may close before it read everything; the answer tells.
        let _ = self.stream.write_all(bytes).await;
        Ok(())
    }

    /// Reads until the raw bytes received so far hold this text.
    pub async fn until(&mut self, text: &str, limit: Duration) -> Result<()> {
        let reading = async {
            while position(&self.buffer, text.as_bytes()).is_none() {
                if self.fill().await? == 0 {
                    bail!("the connection ended before {text:?} came");
                }
            }
            Ok(())
        };
        tokio::time::timeout(limit, reading)
            .await
            .with_context(|| format!("{text:?} did not come within {limit:?}"))?
    }

    /// Reads the answer to its end.
    pub async fn answer(&mut self) -> Result<Answer> {
        loop {
            let answer = self.one_answer().await?;
            // 100 Continue and its like come before the answer proper.
            if answer.status >= 200 {
                return Ok(answer);
            }
        }
    }

    async fn one_answer(&mut self) -> Result<Answer> {
        let head = self.take_head().await?;
        let first_byte = self.sent.elapsed();
        let mut lines =
            head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let status_line = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .with_context(|| format!("status line {status_line:?}"))?;
        let mut answer = Answer {
            status,
            headers: pairs(lines),
            body: Vec::new(),
            trailers: Vec::new(),
            complete: false,
            first_byte,
            arrivals: Vec::new(),
        };
        if self.head || status < 200 || status == 204 || status == 304 {
            answer.complete = true;
        } else if answer.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            answer.complete = self.chunks(&mut answer).await?;
        } else if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().context("content-length")?;
            answer.complete = self.exactly(length, &mut answer).await?;
        } else {
            while self.note(&mut answer).await? != 0 {}
            answer.body = std::mem::take(&mut self.buffer);
            answer.complete = true;
        }
        Ok(answer)
    }

    async fn take_head(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(end) = position(&self.buffer, b"\r\n\r\n") {
                let rest = self.buffer.split_off(end + 4);
                return Ok(std::mem::replace(&mut self.buffer, rest));
            }
            if self.fill().await? == 0 {
                bail!(
                    "the connection ended before a whole response head; got {:?}",
                    String::from_utf8_lossy(&self.buffer)
                );
            }
        }
    }

    async fn exactly(&mut self, length: usize, answer: &mut Answer) -> Result<bool> {
        while self.buffer.len() < length {
            if self.note(answer).await? == 0 {
                answer.body = std::mem::take(&mut self.buffer);
                return Ok(false);
            }
        }
        let rest = self.buffer.split_off(length);
        answer.body = std::mem::replace(&mut self.buffer, rest);
        Ok(true)
    }

    async fn chunks(&mut self, answer: &mut Answer) -> Result<bool> {
        loop {
            let Some(line) = self.line(answer).await? else { return Ok(false) };
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).with_context(|| format!("chunk size {line:?}"))?;
            if size == 0 {
                break;
            }
            while self.buffer.len() < size + 2 {
                if self.note(answer).await? == 0 {
                    answer.body.append(&mut self.buffer);
                    return Ok(false);
                }
            }
            let rest = self.buffer.split_off(size + 2);
            let mut chunk = std::mem::replace(&mut self.buffer, rest);
            chunk.truncate(size);
            answer.body.append(&mut chunk);
        }
        loop {
            let Some(line) = self.line(answer).await? else { return Ok(false) };
            if line.is_empty() {
                return Ok(true);
            }
            answer.trailers.append(&mut pairs(std::iter::once(line.as_bytes())));
        }
    }

    async fn line(&mut self, answer: &mut Answer) -> Result<Option<String>> {
        loop {
            if let Some(end) = position(&self.buffer, b"\r\n") {
                let rest = self.buffer.split_off(end + 2);
                let line = std::mem::replace(&mut self.buffer, rest);
                return Ok(line.get(..end).map(|line| String::from_utf8_lossy(line).into_owned()));
            }
            if self.note(answer).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn note(&mut self, answer: &mut Answer) -> Result<usize> {
        let count = self.fill().await?;
        if count > 0 {
            answer.arrivals.push((self.sent.elapsed(), count));
        }
        Ok(count)
    }

    /// Reads once; 0 at the end of the stream, and after a reset, which ends it just as well.
    async fn fill(&mut self) -> Result<usize> {
        let mut block = vec![0; 64 * 1024];
        let count = self.stream.read(&mut block).await.unwrap_or(0);
        self.buffer.extend(block.iter().take(count));
        Ok(count)
    }
}

fn pairs<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Vec<(String, Vec<u8>)> {
    lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at(colon);
            let value = value.get(1..)?.trim_ascii();
            Some((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()))
        })
        .collect()
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
