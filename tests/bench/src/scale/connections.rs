//! From one connection to ten thousand: the rate that they reach together, and how late answers come at a steady rate
//! that is spread over all of them.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use graphwarden_stand::Envoy;

use super::bench::{Bench, memory, processor};
use super::files;
use super::growth::{Effort, add_line};
use super::work::Work;
use crate::load::{self, Connection, Latencies, latencies};
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
        .map(|(name, filter)| bench.envoy(name, &bench.setup(filter.clone(), bench.policy()?)))
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
            growth.push((amount, point.memory));
        }
        let first = growth.first().map_or(0.0, |(_, held)| *held);
        let growth: Vec<(f64, f64)> = growth
            .into_iter()
            .filter(|(amount, _)| *amount >= 10.0)
            .map(|(n, held)| (n, (held - first).max(1.0)))
            .collect();
        add_line(variant, "memory", ("KiB", "each further connection", 1.0), true, &growth, sheet)?;
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
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of at most a minute")]
    let at = |quantile: f64| latencies.value_at_quantile(quantile) as f64 / 1e6;
    point.medians.push(at(0.5));
    point.p99.push(at(0.99));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    point.costs.push((processor(envoy)? - before) / latencies.len().max(1) as f64);
    point.memory = memory(envoy)?;
    drop(connections);
    let asking = u32::try_from(count)?;
    point.rates.push(load::saturate(envoy.port(), request, asking, spell.max(asked_once(count)))?.rate());
    Ok(())
}

/// How long so many connections need to be opened and to ask a few times each.
fn asked_once(count: usize) -> Duration {
    Duration::from_micros(u64::try_from(count).unwrap_or(0) * 600)
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
