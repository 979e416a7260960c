//! What masking takes in Envoy's V8.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::Site;
use serde_json::Value;

use crate::timed::{RUNS, reports};

/// How much faster than the regular expression masking has to be.
const BAR: f64 = 2.0;
/// What masking may add to one event, in microseconds.
const EVENT_BAR: f64 = 50.0;
/// Asks the module a few times, prints the best run, and fails where a bar is missed.
pub(crate) async fn measure(site: &Site, module: &Path) -> Result<()> {
    let mut best: Option<Run> = None;
    for report in reports(site, module, "/masking").await? {
        let run = Run::read(&report)?;
        best = best.filter(|best| best.masking <= run.masking).or(Some(run));
    }
    let Run { bytes, masking, reading, expression, delta, updates } = best.context("no run")?;
    // Bytes in a microsecond are megabytes in a second.
    let speed = |microseconds: f64| bytes / microseconds;
    println!("\nmasking 1 MB of state in Envoy's V8, medians of the best of {RUNS} runs");
    println!("all detectors       {:>8.0} MB/s", speed(masking));
    println!("reading the JSON    {:>8.0} MB/s, masking is {:.2} of that", speed(reading), reading / masking);
    println!(
        "regular expression  {:>8.0} MB/s, masking is {:.2} times that (bar {BAR})",
        speed(expression),
        expression / masking
    );
    println!("one event of a stream: {delta:.1} µs a delta, {updates:.1} µs an update (bar {EVENT_BAR})");
    ensure!(delta.max(updates) <= EVENT_BAR, "masking adds more than {EVENT_BAR} µs to an event");
    ensure!(expression / masking >= BAR, "masking is less than {BAR} times as fast as the expression");
    Ok(())
}

/// Medians in microseconds.
#[derive(Debug)]
struct Run {
    bytes: f64,
    masking: f64,
    reading: f64,
    expression: f64,
    delta: f64,
    updates: f64,
}

impl Run {
    fn read(report: &Value) -> Result<Self> {
        let median = |samples: &Value| -> Result<f64> {
            let samples = samples.as_array().context("no samples")?;
            let mut samples: Vec<f64> = samples.iter().filter_map(Value::as_f64).collect();
            samples.sort_by(f64::total_cmp);
            samples.get(samples.len() / 2).map(|nanoseconds| nanoseconds / 1_000.0).context("no median")
        };
        let (state, events) = (&report["state"], &report["events"]);
        Ok(Self {
            bytes: state["bytes"].as_f64().context("no size")?,
            masking: median(&state["masking"])?,
            reading: median(&state["reading"])?,
            expression: median(&state["expression"])?,
            delta: median(&events["delta"])?,
            updates: median(&events["updates"])?,
        })
    }
}
