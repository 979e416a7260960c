//! What a whole decision costs in Envoy's V8.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::Site;
use serde_json::Value;

use crate::timed::{RUNS, reports};

/// What a decision over ten rules on 2 KB may take at the median, in microseconds.
const BAR: f64 = 40.0;
/// How much dearer a byte of a large body may be than one of a small: the cost is linear, and caches end.
const STEEPEST: f64 = 1.5;

/// Asks the module a few times, prints the best, and fails above the bar.
pub(crate) async fn measure(site: &Site, module: &Path) -> Result<()> {
    let mut sizes: Vec<Size> = Vec::new();
    for report in reports(site, module, "/decisions").await? {
        let run = report.as_array().context("no samples")?.iter().map(Size::read);
        let run = run.collect::<Result<Vec<Size>>>()?;
        // Whatever else the machine does only ever adds: what it disturbed least says most.
        sizes = if sizes.is_empty() { run } else { sizes.into_iter().zip(run).map(Size::better).collect() };
    }
    println!("\nwhole decisions in Envoy's V8, µs: median (p99); best of {RUNS} runs");
    println!(
        "{:>12}{:>22}{:>26}{:>20}",
        "body bytes", "ten rules", "one of them on the body", "reading alone"
    );
    for size in &sizes {
        println!(
            "{:>12}{:>22}{:>26}{:>20}",
            size.bytes,
            size.ten.shown(),
            size.on_body.shown(),
            size.reading.shown()
        );
    }
    let [small, middle, large] = sizes.as_slice() else { anyhow::bail!("not three sizes") };
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let slope =
        |one: &Size, two: &Size| (two.ten.median - one.ten.median) / (two.bytes - one.bytes) as f64 * 1_000.0;
    let (first, second) = (slope(small, middle), slope(middle, large));
    println!(
        "each further KB: {first:.2} µs from {} bytes on, {second:.2} µs from {} on",
        small.bytes, middle.bytes
    );
    println!("the decision on {} bytes: {:.1} µs (bar {BAR})", small.bytes, small.ten.median);
    ensure!(small.ten.median <= BAR, "a decision takes longer than {BAR} µs");
    ensure!(second <= first * STEEPEST, "the cost grows faster than the body");
    Ok(())
}

/// One size of body.
#[derive(Debug)]
struct Size {
    bytes: u64,
    ten: Spread,
    on_body: Spread,
    reading: Spread,
}

/// Microseconds.
#[derive(Debug)]
struct Spread {
    median: f64,
    p99: f64,
}

impl Size {
    /// Of two runs the better in each respect.
    fn better((one, two): (Self, Self)) -> Self {
        let better = |one: Spread, two: Spread| if one.median <= two.median { one } else { two };
        Self {
            bytes: one.bytes,
            ten: better(one.ten, two.ten),
            on_body: better(one.on_body, two.on_body),
            reading: better(one.reading, two.reading),
        }
    }

    fn read(value: &Value) -> Result<Self> {
        let spread = |name: &str| -> Result<Spread> {
            let samples =
                value["nanoseconds"][name].as_array().with_context(|| format!("no samples of {name}"))?;
            let at = |share: usize| {
                let index = samples.len() * share / 100;
                samples.get(index).and_then(Value::as_f64).map(|nanoseconds| nanoseconds / 1_000.0)
            };
            Ok(Spread { median: at(50).context("no median")?, p99: at(99).context("no p99")? })
        };
        Ok(Self {
            bytes: value["bytes"].as_u64().context("no size")?,
            ten: spread("ten rules")?,
            on_body: spread("one of them on the body")?,
            reading: spread("reading alone")?,
        })
    }
}

impl Spread {
    fn shown(&self) -> String {
        format!("{:.1} ({:.1})", self.median, self.p99)
    }
}
