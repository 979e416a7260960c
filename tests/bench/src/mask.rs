//! `graphwarden-bench masking`: what masking takes in Envoy's V8.

use std::path::Path;

use anyhow::{Context as _, Result};
use graphwarden_stand::Site;
use serde_json::Value;

use crate::results::{Row, Sheet};
use crate::timed::{RUNS, reports};

/// How much faster than regular expressions masking has to be.
const BAR: f64 = 2.0;
/// Every form that masking knows, in one expression. It cannot tell what it found.
const TOGETHER: &str = "one regular expression";
/// One after another, as filters that are made of expressions mask.
const APART: &str = "a regular expression for each form";
/// What masking may add to one event, in microseconds.
const EVENT_BAR: f64 = 50.0;

/// Asks the module a few times, prints the best run, and fails where a bar is missed.
pub(crate) async fn measure(site: &Site, module: &Path) -> Result<()> {
    let runs: Vec<Run> =
        reports(site, module, "/masking").await?.iter().map(Run::read).collect::<Result<_>>()?;
    let best = runs.iter().min_by(|one, other| one.masking.total_cmp(&other.masking)).context("no run")?;
    best.print();
    rows(&runs)?.keep()
}

/// The figures, one value a run. Bytes in a microsecond are megabytes in a second.
fn rows(runs: &[Run]) -> Result<Sheet> {
    let mut sheet = Sheet::new("masking");
    let column = |of: fn(&Run) -> f64| -> Vec<f64> { runs.iter().map(of).collect() };
    let (masking, reading, together, apart) = (
        column(|run| run.bytes / run.masking),
        column(|run| run.bytes / run.reading),
        column(|run| run.bytes / run.expression),
        column(|run| run.bytes / run.expressions),
    );
    let speed = |variant: &str, values: &[f64]| Row::new(variant, "1 MB of state", "speed", "MB/s", values);
    for (variant, theirs) in [(TOGETHER, &together), (APART, &apart)] {
        sheet.add(speed("all detectors", &masking)?.of(variant, &masking, theirs)?.at_least(BAR));
        sheet.add(speed(variant, theirs)?);
    }
    sheet.add(speed("reading the JSON alone", &reading)?);
    for (work, values) in [("a delta", column(|run| run.delta)), ("an update", column(|run| run.updates))] {
        sheet.add(Row::new("all detectors", work, "added to an event", "µs", &values)?.at_most(EVENT_BAR));
    }
    Ok(sheet)
}

/// Medians in microseconds.
#[derive(Debug)]
struct Run {
    bytes: f64,
    masking: f64,
    reading: f64,
    expression: f64,
    expressions: f64,
    delta: f64,
    updates: f64,
}

impl Run {
    fn print(&self) {
        let speed = |microseconds: f64| self.bytes / microseconds;
        let Self { masking, reading, expression, expressions, delta, updates, .. } = *self;
        println!("\nmasking 1 MB of state in Envoy's V8, medians of the best of {RUNS} runs");
        println!("all detectors       {:>8.0} MB/s", speed(masking));
        println!(
            "reading the JSON    {:>8.0} MB/s, masking is {:.2} of that",
            speed(reading),
            reading / masking
        );
        for (name, theirs) in [("all forms in one", expression), ("one for each form", expressions)] {
            println!(
                "{name:<20}{:>8.0} MB/s, masking is {:.2} times that regular expression (bar {BAR})",
                speed(theirs),
                theirs / masking
            );
        }
        println!("one event of a stream: {delta:.1} µs a delta, {updates:.1} µs an update (bar {EVENT_BAR})");
    }

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
            expressions: median(&state["expressions"])?,
            delta: median(&events["delta"])?,
            updates: median(&events["updates"])?,
        })
    }
}
