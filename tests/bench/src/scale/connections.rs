//! From one connection to ten thousand: the rate that they reach together, and how late answers come at a steady rate
//! that is spread over all of them.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use graphwarden_stand::Envoy;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::bench::{Bench, memory, processor};
use super::files;
use super::fit::median;
use super::growth::{Effort, add_line};
use super::work::Work;
use crate::load::{Connection, Latencies, Refusals, is_whole, latencies};
use crate::quantile;
use crate::results::{Row, Sheet};

/// Requests a second while latencies are taken: far from what any variant can do.
const RATE: f64 = 500.0;
/// Threads that ask; each has its share of the connections and asks over one after the other.
const THREADS: usize = 4;

/// One variant at one number of connections.
#[derive(Default)]
struct Point {
    rates: Vec<f64>,
    costs: Vec<f64>,
    medians: Vec<f64>,
    p99: Vec<f64>,
    memory: f64,
}

/// Up to so many connections with each filter.
pub(super) fn measure(bench: &Bench, most: usize, effort: Effort, sheet: &mut Sheet) -> Result<()> {
    let most = files::streams(most)?;
    let variants = bench.variants()?;
    let envoys = variants
        .iter()
        .map(|(name, filter)| {
            let mut policy = bench.policy()?;
            // A thousand that ask without a pause outrun any desk, and the gate then refuses for want of room.
            policy["evidence"] = json!({"off": true});
            bench.envoy(name, &bench.setup(filter.clone(), policy))
        })
        .collect::<Result<Vec<_>>>()?;
    let request = Work::Json(4 << 10).request(&bench.token);
    let counts = [1, most / 1_000, most / 100, most / 10, most];
    let mut counts: Vec<usize> = counts.into_iter().filter(|count| *count > 0).collect();
    counts.dedup();
    let mut points: Vec<Vec<Point>> = Vec::new();
    for &count in &counts {
        let mut row: Vec<Point> = envoys.iter().map(|_| Point::default()).collect();
        for _ in 0..effort.rounds {
            for (envoy, point) in envoys.iter().zip(&mut row) {
                round(envoy, &request, count, effort.spell, point)?;
            }
        }
        points.push(row);
    }
    for (index, (variant, _)) in variants.iter().enumerate() {
        let mut growth = Vec::new();
        for (&count, row) in counts.iter().zip(&points) {
            let (Some(point), Some(base)) = (row.get(index), row.get(1)) else { continue };
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let amount = count as f64;
            let work = if count == 1 { "1 connection".to_owned() } else { format!("{count} connections") };
            let add = |metric: &str, unit: &str, ours: &[f64], theirs: &[f64]| -> Result<Row> {
                let row = Row::new(variant, &work, metric, unit, ours)?.over(amount);
                if index == 1 { Ok(row) } else { row.of("no-op wasm", ours, theirs) }
            };
            sheet.add(add("rate", "/s", &point.rates, &base.rates)?);
            sheet.add(add("processor time", "µs", &point.costs, &base.costs)?);
            sheet.add(add("latency at 500/s, median", "ms", &point.medians, &base.medians)?);
            sheet.add(add("latency at 500/s, p99", "ms", &point.p99, &base.p99)?);
            let held = point.memory / 1024.0;
            sheet.add(Row::once(variant, &work, "memory", "MiB", held)?.over(amount));
            growth.push((amount, median(&point.costs)?));
        }
        add_line(variant, "processor time", ("µs", "each further connection", 1.0), true, &growth, sheet)?;
    }
    Ok(())
}

fn round(envoy: &Envoy, request: &[u8], count: usize, spell: Duration, point: &mut Point) -> Result<()> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        connections.push(Connection::open(envoy.port())?);
    }
    // Each is asked over once, so that all of them are known to Envoy.
    for connection in &mut connections {
        connection.exchange(request)?;
    }
    let before = processor(envoy)?;
    let latencies = paced(&mut connections, request, spell)?;
    point.medians.push(quantile(&latencies, 0.5));
    point.p99.push(quantile(&latencies, 0.99));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    point.costs.push((processor(envoy)? - before) / latencies.len().max(1) as f64);
    point.memory = memory(envoy)?;
    drop(connections);
    point.rates.push(saturated(envoy.port(), request, count, spell)?);
    Ok(())
}

/// Answers a second while each connection asks again as soon as it is answered, counted from when all are open.
fn saturated(port: u16, request: &[u8], count: usize, spell: Duration) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let opened = futures::stream::iter(0..count)
            .map(|_| TcpStream::connect(("127.0.0.1", port)))
            .buffer_unordered(64)
            .collect::<Vec<_>>()
            .await;
        // Ten thousand that ask at once take seconds to be answered once.
        let spell = spell.max(Duration::from_micros(u64::try_from(count)? * 600));
        let began = Instant::now();
        let asking = opened.into_iter().map(async |stream| {
            let mut stream = stream.context("cannot connect")?;
            stream.set_nodelay(true)?;
            let mut answers = 0_u32;
            let mut buffer = Vec::with_capacity(8 * 1024);
            while began.elapsed() < spell {
                stream.write_all(request).await?;
                buffer.clear();
                while !is_whole(&buffer, Refusals::Errors)? {
                    ensure!(stream.read_buf(&mut buffer).await? > 0, "a connection ended in an answer");
                }
                answers += 1;
            }
            anyhow::Ok(answers)
        });
        let answers = futures::future::try_join_all(asking).await?;
        Ok(f64::from(answers.into_iter().sum::<u32>()) / began.elapsed().as_secs_f64())
    })
}

/// Requests that are due at fixed times, over one connection after the other.
fn paced(connections: &mut [Connection], request: &[u8], spell: Duration) -> Result<Latencies> {
    let threads = THREADS.min(connections.len());
    let share = connections.len().div_ceil(threads);
    let ready = Barrier::new(threads);
    let parts = std::thread::scope(|scope| {
        let asking: Vec<_> = connections
            .chunks_mut(share)
            .enumerate()
            .map(|(index, part)| {
                let ready = &ready;
                scope.spawn(move || {
                    ready.wait();
                    ask(part, request, (index, threads), spell)
                })
            })
            .collect();
        let parts =
            asking.into_iter().map(|thread| thread.join().map_err(|_| anyhow::anyhow!("panicked"))?);
        parts.collect::<Result<Vec<_>>>()
    })?;
    let mut whole = latencies()?;
    for part in parts {
        whole.add(part).context("adding up latencies")?;
    }
    Ok(whole)
}

fn ask(
    part: &mut [Connection],
    request: &[u8],
    (index, threads): (usize, usize),
    spell: Duration,
) -> Result<Latencies> {
    let began = Instant::now();
    let mut latencies = latencies()?;
    let mut places = (0..part.len()).cycle();
    for number in (index..).step_by(threads) {
        let due = Duration::from_secs_f64(f64::from(u32::try_from(number)?) / RATE);
        if due >= spell {
            break;
        }
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let place = places.next().and_then(|place| part.get_mut(place)).context("no connection")?;
        place.exchange(request)?;
        latencies.saturating_record(u64::try_from((began.elapsed() - due).as_nanos())?);
    }
    Ok(latencies)
}
