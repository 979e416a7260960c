//! The load, over connections that are kept alive.
//!
//! Two ways. *Saturating*, a closed loop: each connection asks again as soon as it is answered; tells the rate, and
//! nothing about latency that a caller would see. All of them live on one thread, because what the generator costs
//! must not be what is measured. *Paced*, an open loop: requests are due at fixed times whether or not earlier ones
//! are answered, and each latency counts from when the request was due, so a stall is not hidden by requests that
//! were never sent (coordinated omission); what was due within the spell is sent, however late. Those connections
//! have a thread each, since a sleeping thread wakes more punctually than a runtime's timer. Nothing is parsed beyond
//! the framing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Latencies in nanoseconds; three digits are kept up to a minute.
pub(crate) type Latencies = Histogram<u64>;

/// The least room for what comes next of an answer.
const LEAST_READ: usize = 16 * 1024;

/// An empty histogram.
pub(crate) fn latencies() -> Result<Latencies> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).context("histogram")
}

/// What one spell of load showed.
#[derive(Debug)]
pub(crate) struct Spell {
    /// Whole answers.
    pub(crate) answers: u64,
    /// Requests that were refused because there was no room for them; they are no answers.
    pub(crate) refused: u64,
    /// How long it took.
    pub(crate) took: Duration,
    /// Their latencies.
    pub(crate) latencies: Latencies,
}

impl Spell {
    /// Answers a second.
    #[must_use]
    pub(crate) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let answers = self.answers as f64;
        answers / self.took.as_secs_f64()
    }
}

/// What is asked, in this order by all connections together.
#[derive(Debug)]
pub(crate) struct Requests {
    all: Vec<Vec<u8>>,
    next: AtomicUsize,
    once: bool,
}

impl Requests {
    /// The same one over and over.
    pub(crate) fn same(request: &[u8]) -> Self {
        Self { all: vec![request.to_vec()], next: AtomicUsize::new(0), once: false }
    }

    /// Each of these once; the load ends with them.
    pub(crate) fn once(all: Vec<Vec<u8>>) -> Self {
        Self { all, next: AtomicUsize::new(0), once: true }
    }

    /// The one whose turn it is.
    fn next(&self) -> Option<&[u8]> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = if self.once { turn } else { turn % self.all.len().max(1) };
        self.all.get(turn).map(Vec::as_slice)
    }
}

/// Asks for `time` over so many connections, each as soon as it is answered.
pub(crate) fn saturate(port: u16, request: &[u8], connections: u32, time: Duration) -> Result<Spell> {
    saturate_each(port, &Requests::same(request), connections, time)
}

/// The same with requests that differ.
pub(crate) fn saturate_each(
    port: u16,
    requests: &Requests,
    connections: u32,
    time: Duration,
) -> Result<Spell> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let started = Instant::now();
        let until = started + time;
        let work = (0..connections).map(|_| async move {
            let mut stream =
                tokio::net::TcpStream::connect(("127.0.0.1", port)).await.context("cannot connect")?;
            stream.set_nodelay(true)?;
            let (mut latencies, mut refused) = (latencies()?, 0_u64);
            let mut buffer = Vec::with_capacity(64 * 1024);
            loop {
                let asked = Instant::now();
                let Some(request) = requests.next().filter(|_| asked < until) else {
                    return Ok((latencies, refused));
                };
                stream.write_all(request).await.context("sending")?;
                buffer.clear();
                while !is_whole(&buffer, Refusals::Counted)? {
                    buffer.reserve(LEAST_READ);
                    ensure!(
                        stream.read_buf(&mut buffer).await? > 0,
                        "the connection ended in the middle of an answer"
                    );
                }
                if buffer.starts_with(REFUSED) {
                    refused += 1;
                } else {
                    latencies.saturating_record(u64::try_from(asked.elapsed().as_nanos())?);
                }
            }
        });
        let parts: Vec<Result<(Latencies, u64)>> = futures::future::join_all(work).await;
        let mut whole = Spell { answers: 0, refused: 0, took: started.elapsed(), latencies: latencies()? };
        for part in parts {
            let (latencies, refused) = part?;
            whole.latencies.add(&latencies).context("adding up latencies")?;
            whole.refused += refused;
        }
        whole.answers = whole.latencies.len();
        Ok(whole)
    })
}

/// How an answer begins that says that there is no room.
const REFUSED: &[u8] = b"HTTP/1.1 503";

/// What a 503 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusals {
    /// The end of the load.
    Errors,
    /// What happens where more is asked than can be done.
    Counted,
}

/// Whether these bytes are a whole answer; an error when it is not one that was to be expected.
pub(crate) fn is_whole(bytes: &[u8], refusals: Refusals) -> Result<bool> {
    let Some(head) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(false) };
    let text = std::str::from_utf8(bytes.get(..head).unwrap_or_default()).context("head")?;
    let counted = refusals == Refusals::Counted && bytes.starts_with(REFUSED);
    ensure!(counted || text.starts_with("HTTP/1.1 200"), "answered {}", String::from_utf8_lossy(bytes));
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    Ok(match length {
        Some(length) => bytes.len() >= head + 4 + length,
        // No body of this benchmark holds these bytes, so they only stand at a chunked body's end.
        None => bytes.ends_with(b"\r\n0\r\n\r\n"),
    })
}

/// Asks `rate` times a second for `time` over so many connections. Any answer but 200 with a whole body ends it.
pub(crate) fn pace(port: u16, request: &[u8], connections: u32, time: Duration, rate: f64) -> Result<Spell> {
    pace_each(port, &Requests::same(request), connections, time, rate)
}

/// The same with requests that differ.
pub(crate) fn pace_each(
    port: u16,
    requests: &Requests,
    connections: u32,
    time: Duration,
    rate: f64,
) -> Result<Spell> {
    let started = Instant::now();
    let until = started + time;
    let parts: Vec<Result<(u64, Latencies)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|index| {
                scope
                    .spawn(move || one_connection(port, requests, (index, connections), started, until, rate))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| bail!("a connection's thread panicked")))
            .collect()
    });
    let took = started.elapsed();
    let mut whole = Spell { answers: 0, refused: 0, took, latencies: latencies()? };
    for part in parts {
        let (answers, latencies) = part?;
        whole.answers += answers;
        whole.latencies.add(&latencies).context("adding up latencies")?;
    }
    Ok(whole)
}

fn one_connection(
    port: u16,
    requests: &Requests,
    (index, connections): (u32, u32),
    started: Instant,
    until: Instant,
    rate: f64,
) -> Result<(u64, Latencies)> {
    let mut connection = Connection::open(port)?;
    let mut latencies = latencies()?;
    let mut answers = 0;
    loop {
        // Connection i has the requests i, i + n, i + 2n, …
        let number = f64::from(index) + f64::from(connections) * f64::from(u32::try_from(answers)?);
        let due = started + Duration::from_secs_f64(number / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if due >= until {
            return Ok((answers, latencies));
        }
        let Some(request) = requests.next() else { return Ok((answers, latencies)) };
        connection.exchange(request)?;
        latencies.saturating_record(u64::try_from(due.elapsed().as_nanos())?);
        answers += 1;
    }
}

/// A keep-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(Self { stream, buffer: vec![0; 64 * 1024], filled: 0 })
    }

    /// Sends the request and reads the whole answer; returns its bytes.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request).context("sending")?;
        self.filled = 0;
        while !is_whole(self.read_so_far(), Refusals::Errors)? {
            self.read()?;
        }
        Ok(self.read_so_far())
    }

    fn read_so_far(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }

    fn read(&mut self) -> Result<()> {
        if self.buffer.len() - self.filled < LEAST_READ {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let rest = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let count = self.stream.read(rest).context("reading")?;
        ensure!(count > 0, "the connection ended in the middle of an answer");
        self.filled += count;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers each request at once, but the first only after `stall`.
    fn stalling(stall: Duration) -> Result<u16> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        std::thread::spawn(move || -> Result<()> {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let mut buffer = [0; 1024];
            std::thread::sleep(stall);
            while stream.read(&mut buffer)? > 0 {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
            }
            Ok(())
        });
        Ok(port)
    }

    #[test]
    fn a_stall_delays_every_request_that_was_due_meanwhile() -> Result<()> {
        let port = stalling(Duration::from_millis(200))?;
        let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        let spell = pace(port, request, 1, Duration::from_millis(400), 100.0)?;
        assert_eq!(spell.answers, 40, "what was due is sent, however late");
        // Twenty were due while nothing was answered: the first waited 200 ms, the tenth a hundred.
        assert!(spell.latencies.max() >= 195_000_000);
        let late = 40 - spell.latencies.count_between(0, 50_000_000);
        assert!((13..=30).contains(&late), "{late} were late");
        Ok(())
    }

    #[test]
    fn requests_take_turns_and_end_with_the_last() {
        let requests = Requests::once(vec![b"a".to_vec(), b"b".to_vec()]);
        let asked: Vec<Option<&[u8]>> = (0..3).map(|_| requests.next()).collect();
        assert_eq!(asked, [Some(b"a".as_slice()), Some(b"b".as_slice()), None]);
        let same = Requests::same(b"a");
        assert_eq!([same.next(), same.next()], [Some(b"a".as_slice()); 2]);
    }
}
