//! Events of streams, at 10, 1,000 and 100,000 a second in all: what each costs Envoy in processor time, and how late
//! it comes. An event says when it was due, in letters, so that no detector takes the number for somebody's.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::Envoy;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::bench::{Bench, processor};
use super::work::{Work, micros, now};
use crate::load::{Latencies, latencies};
use crate::quantile;
use crate::results::{Row, Sheet};

/// What stands before the time in an event.
const BEFORE_TIME: &[u8] = b"and so ";
/// How many letters it has.
const LETTERS: usize = 16;

/// A load: streams, and events a second of each.
const LOADS: [(u32, u32); 3] = [(10, 1), (100, 10), (100, 1_000)];

/// One variant under one load.
#[derive(Default)]
struct Point {
    rates: Vec<f64>,
    costs: Vec<f64>,
    medians: Vec<f64>,
    p99: Vec<f64>,
}

/// Each load for `spell`, round by round, with the filter that does nothing and with ours.
pub(super) fn measure(bench: &Bench, rounds: usize, spell: Duration, sheet: &mut Sheet) -> Result<()> {
    let variants = bench.variants()?;
    let envoys = variants
        .iter()
        .map(|(name, filter)| bench.envoy(name, &bench.setup(filter.clone(), bench.policy()?)))
        .collect::<Result<Vec<_>>>()?;
    for (streams, each) in LOADS {
        let mut points: Vec<Point> = envoys.iter().map(|_| Point::default()).collect();
        for _ in 0..rounds {
            for (envoy, point) in envoys.iter().zip(&mut points) {
                round(bench, envoy, (streams, each), spell, point)?;
            }
        }
        let work = format!("{} events a second", streams * each);
        let base = points.get(1).context("no base")?;
        for (index, ((variant, _), point)) in variants.iter().zip(&points).enumerate() {
            let add = |metric: &str, unit: &str, ours: &[f64], theirs: &[f64]| -> Result<Row> {
                let row = Row::new(variant, &work, metric, unit, ours)?.over(f64::from(streams * each));
                if index == 1 { Ok(row) } else { row.of("no-op wasm", ours, theirs) }
            };
            sheet.add(add("events that came", "/s", &point.rates, &base.rates)?);
            sheet.add(add("processor time an event", "µs", &point.costs, &base.costs)?);
            sheet.add(add("delay, median", "ms", &point.medians, &base.medians)?);
            sheet.add(add("delay, p99", "ms", &point.p99, &base.p99)?);
        }
    }
    Ok(())
}

fn round(
    bench: &Bench,
    envoy: &Envoy,
    (streams, each): (u32, u32),
    spell: Duration,
    point: &mut Point,
) -> Result<()> {
    let count = u64::from(each) * spell.as_secs().max(1);
    let request = Work::Events(count, 1_000_000 / u64::from(each)).request(&bench.token);
    let before = processor(envoy)?;
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let port = envoy.port();
    let parts = runtime.block_on(async {
        let reading = (0..streams).map(|index| {
            let request = request.as_slice();
            async move {
                // Streams that all begin at once would all speak at once.
                let gap = 1_000_000 / u64::from(each) / u64::from(streams);
                tokio::time::sleep(Duration::from_micros(gap * u64::from(index))).await;
                read(port, request, count).await
            }
        });
        futures::future::try_join_all(reading).await
    })?;
    let took = began.elapsed();
    let mut delays = latencies()?;
    for part in parts {
        delays.add(part).context("adding up delays")?;
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let came = delays.len() as f64;
    point.rates.push(came / took.as_secs_f64());
    point.costs.push((processor(envoy)? - before) / came);
    point.medians.push(quantile(&delays, 0.5));
    point.p99.push(quantile(&delays, 0.99));
    Ok(())
}

/// Reads a stream to its end; an error unless every event came.
async fn read(port: u16, request: &[u8], count: u64) -> Result<Latencies> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    stream.write_all(request).await?;
    let mut delays = latencies()?;
    let mut buffer: Vec<u8> = Vec::with_capacity(64 * 1024);
    let mut is_first = true;
    loop {
        ensure!(stream.read_buf(&mut buffer).await? > 0, "a stream ended in the middle");
        if is_first && buffer.len() >= 12 {
            ensure!(buffer.starts_with(b"HTTP/1.1 200"), "answered {}", String::from_utf8_lossy(&buffer));
            is_first = false;
        }
        let now = now();
        let mut read = 0;
        while let Some(at) = memchr::memmem::find(buffer.get(read..).unwrap_or_default(), BEFORE_TIME) {
            let begin = read + at + BEFORE_TIME.len();
            // The letters end at a quotation mark, which has to be there, too.
            let Some(letters) = buffer.get(begin..begin + LETTERS).filter(|_| buffer.len() > begin + LETTERS)
            else {
                break;
            };
            delays.saturating_record(now.saturating_sub(micros(letters)).max(1) * 1_000);
            read = begin + LETTERS;
        }
        if buffer.ends_with(b"\r\n0\r\n\r\n") {
            ensure!(delays.len() == count, "{} of {count} events came", delays.len());
            return Ok(delays);
        }
        // An event that is cut is looked for again with its rest.
        let kept = buffer.len().saturating_sub(BEFORE_TIME.len() + LETTERS + 8).max(read);
        buffer.drain(..kept);
    }
}
