//! `graphwarden-bench decisions`: what a whole decision costs in Envoy's V8.

use std::path::Path;

use anyhow::{Context as _, Result};
use graphwarden_stand::Site;
use serde_json::Value;

use crate::results::{Row, Sheet};
use crate::timed::{RUNS, reports};

/// What a decision over ten rules on 2 KB may take at the median, in microseconds.
const BAR: f64 = 40.0;
/// How much dearer a byte of a large body may be than one of a small: the cost is linear, and caches end.
const STEEPEST: f64 = 1.5;

/// Asks the module a few times, prints the best, and fails above a bar.
pub(crate) async fn measure(site: &Site, module: &Path) -> Result<()> {
    let mut runs: Vec<Vec<Size>> = Vec::new();
    for report in reports(site, module, "/decisions").await? {
        let run = report.as_array().context("no samples")?.iter().map(Size::read);
        runs.push(run.collect::<Result<_>>()?);
    }
    print(&runs)?;
    rows(&runs)?.keep()
}

/// One of the numbers of a size.
type Part = fn(&Size) -> f64;

/// The figures, one value a run.
fn rows(runs: &[Vec<Size>]) -> Result<Sheet> {
    let mut sheet = Sheet::new("decisions");
    let column = |index: usize, of: Part| -> Vec<f64> {
        runs.iter().filter_map(|run| run.get(index).map(of)).collect()
    };
    let sizes = runs.first().context("no run")?;
    for (index, size) in sizes.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let x = size.bytes as f64;
        let work = format!("{} bytes", size.bytes);
        let parts: [(&str, Part); 3] = [
            ("ten rules", |size| size.ten.median),
            ("ten rules, one of them on the body", |size| size.on_body.median),
            ("reading alone", |size| size.reading.median),
        ];
        for (variant, of) in parts {
            let row = Row::new(variant, &work, "time", "µs", &column(index, of))?.over(x);
            sheet.add(if index == 0 && variant == "ten rules" { row.at_most(BAR) } else { row });
        }
        sheet.add(Row::new("ten rules", &work, "p99", "µs", &column(index, |size| size.ten.p99))?.over(x));
    }
    let slopes = |run: &Vec<Size>| {
        let [small, middle, large] = run.as_slice() else { anyhow::bail!("not three sizes") };
        Ok((small.slope(middle), middle.slope(large)))
    };
    let (first, second): (Vec<f64>, Vec<f64>) =
        runs.iter().map(slopes).collect::<Result<Vec<_>>>()?.into_iter().unzip();
    sheet.add(Row::new("ten rules", "small bodies", "each further KB", "µs", &first)?);
    let row = Row::new("ten rules", "large bodies", "each further KB", "µs", &second)?;
    sheet.add(row.of("small bodies", &second, &first)?.at_most(STEEPEST));
    Ok(sheet)
}

/// Whatever else the machine does only ever adds: what it disturbed least says most to who reads along.
fn print(runs: &[Vec<Size>]) -> Result<()> {
    let mut sizes: Vec<Size> = runs.first().context("no run")?.clone();
    for run in runs {
        sizes = sizes.into_iter().zip(run.iter().cloned()).map(Size::better).collect();
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
    if let [small, middle, large] = sizes.as_slice() {
        let (first, second) = (small.slope(middle), middle.slope(large));
        println!(
            "each further KB: {first:.2} µs from {} bytes on, {second:.2} µs from {} on",
            small.bytes, middle.bytes
        );
        println!("the decision on {} bytes: {:.1} µs (bar {BAR})", small.bytes, small.ten.median);
    }
    Ok(())
}

/// One size of body.
#[derive(Clone, Debug)]
struct Size {
    bytes: u64,
    ten: Spread,
    on_body: Spread,
    reading: Spread,
}

/// Microseconds.
#[derive(Clone, Debug)]
struct Spread {
    median: f64,
    p99: f64,
}

impl Size {
    /// What each further thousand bytes take up to the larger size.
    fn slope(&self, larger: &Self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let bytes = larger.bytes.saturating_sub(self.bytes) as f64;
        (larger.ten.median - self.ten.median) / bytes * 1_000.0
    }

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
