//! The figures of the variants, and the goals that they are held against.

use anyhow::{Context as _, Result};

use super::shapes::{
    ALONE, CHAIN, COPY, JWT, LONG_CHAIN, NOOP, OUR_MASKING, OURS, PROC_BUFFERED, PROC_STREAMED,
};
use super::{Size, Variant};
use crate::results::{Row, Sheet};

/// The request rate with everything on, as a share of the copying filter's, at 4 KB.
const RATE: f64 = 0.8;
/// The same at 100 KB.
const THROUGHPUT: f64 = 0.7;
/// Envoy's processor time with everything on and a token that is known, as a share of jwt_authn's and rbac's with
/// tokens that are not.
const PROCESSOR_OF_JWT: f64 = 1.0;
/// Processor time of all processes, as a share of what Envoy and both servers of such a chain take together.
const PROCESSOR_OF_CHAIN: f64 = 1.0 / 3.0;
/// Added median latency, as a share of ext_proc's for the same masking.
const LATENCY: f64 = 0.1;
/// The p99 at half load, as a multiple of the no-op filter's.
const HALF: f64 = 1.5;

/// Processor time of Envoy and of what runs beside it.
const WITH_SERVERS: &str = "processor with servers";

/// All figures of one size; those with a bar come last.
pub(super) fn sheet(size: Size, variants: &[Variant]) -> Result<Sheet> {
    let mut sheet = Sheet::new(size.group());
    let compared = Compared { size, variants };
    for variant in variants {
        for row in compared.figures(variant)? {
            sheet.add(row);
        }
    }
    for row in compared.goals()? {
        sheet.add(row);
    }
    Ok(sheet)
}

/// The variants of one size.
struct Compared<'a> {
    size: Size,
    variants: &'a [Variant],
}

impl Compared<'_> {
    fn find(&self, name: &str) -> Option<&Variant> {
        self.variants.iter().find(|variant| variant.shape.name == name)
    }

    fn row(&self, variant: &Variant, metric: &str, unit: &str, values: &[f64]) -> Result<Row> {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let bytes = self.size.bytes() as f64;
        Ok(Row::new(&variant.shape.name, self.size.name(), metric, unit, values)?.over(bytes))
    }

    /// What is shown of each variant.
    fn figures(&self, variant: &Variant) -> Result<Vec<Row>> {
        let measured = &variant.measured;
        let mut rows = Vec::new();
        let rate = self.row(variant, "rate", "/s", &measured.rate)?;
        let base = self.find(COPY).filter(|base| base.measured.rate.len() == measured.rate.len());
        rows.push(match base {
            Some(base) => rate.of(COPY, &measured.rate, &base.measured.rate)?,
            None => rate,
        });
        if !measured.processor.is_empty() {
            let row = self.row(variant, "processor", "µs", &measured.processor)?;
            rows.push(match self.find(NOOP) {
                Some(base) => row.of(NOOP, &measured.processor, &base.measured.processor)?,
                None => row,
            });
            rows.push(self.row(variant, WITH_SERVERS, "µs", &measured.together)?);
        }
        if measured.refused.iter().any(|share| *share > 0.0) {
            rows.push(self.row(variant, "refused", "%", &measured.refused)?);
        }
        let rounds = measured.rate.len();
        if measured.p50.len() == rounds {
            rows.push(self.row(variant, "p50", "ms", &measured.p50)?);
            rows.push(self.row(variant, "p99", "ms", &measured.p99)?);
        }
        if let Some(added) = self.added(variant).filter(|_| variant.shape.name != ALONE) {
            rows.push(self.row(variant, "added median", "ms", &added)?);
        }
        if let Some(memory) = variant.envoy.memory_mib() {
            let servers = variant.servers.iter().filter_map(graphwarden_stand::Part::memory_mib).sum::<u64>();
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let memory = (memory + servers) as f64;
            rows.push(self.row(variant, "memory with servers", "MiB", &[memory])?);
        }
        Ok(rows)
    }

    /// The median latency that a variant adds to Envoy's alone in each round, where both could bear the rate.
    fn added(&self, variant: &Variant) -> Option<Vec<f64>> {
        let (ours, alone) = (&variant.measured.p50, &self.find(ALONE)?.measured.p50);
        (!ours.is_empty() && ours.len() == alone.len())
            .then(|| ours.iter().zip(alone).map(|(ours, alone)| ours - alone).collect())
    }

    /// What is aimed for, where both sides were measured.
    fn goals(&self) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let Some(ours) = self.find(OURS) else { return Ok(rows) };
        let measured = &ours.measured;
        if let Some(copy) = self.find(COPY) {
            let bar = match self.size {
                Size::Kb4 => Some(RATE),
                Size::Kb100 => Some(THROUGHPUT),
                Size::Kb1 | Size::Mb10 => None,
            };
            if let Some(bar) = bar {
                let row = self.row(ours, "rate", "/s", &measured.rate)?;
                rows.push(row.of(COPY, &measured.rate, &copy.measured.rate)?.at_least(bar));
            }
        }
        if self.size != Size::Kb4 {
            return Ok(rows);
        }
        if let Some(theirs) = self.find(JWT).filter(|_| !measured.processor.is_empty()) {
            let row = self.row(ours, "processor", "µs", &measured.processor)?;
            let row = row.of(JWT, &measured.processor, &theirs.measured.processor)?;
            rows.push(row.at_most(PROCESSOR_OF_JWT));
        }
        for name in [CHAIN, LONG_CHAIN] {
            let Some(theirs) = self.find(name).filter(|_| !measured.together.is_empty()) else { continue };
            let row = self.row(ours, WITH_SERVERS, "µs", &measured.together)?;
            let row = row.of(name, &measured.together, &theirs.measured.together)?;
            rows.push(row.at_most(PROCESSOR_OF_CHAIN));
        }
        if let Some(base) = self.find(NOOP) {
            let row = self.row(ours, "p99 at half load", "ms", &measured.half_p99)?;
            rows.push(row.of(NOOP, &measured.half_p99, &base.measured.half_p99)?.at_most(HALF));
        }
        let theirs = [PROC_STREAMED, PROC_BUFFERED].map(|name| self.added(self.find(name)?));
        if let [Some(streamed), Some(buffered)] = theirs {
            let faster: Vec<f64> =
                streamed.iter().zip(&buffered).map(|(one, other)| one.min(*other)).collect();
            for name in [OUR_MASKING, OURS] {
                let variant = self.find(name).context("a variant of ours")?;
                let added = self.added(variant).context("no latency of ours")?;
                let row = self.row(variant, "added median", "ms", &added)?;
                rows.push(row.of("ext_proc, whichever way is faster", &added, &faster)?.at_most(LATENCY));
            }
        }
        Ok(rows)
    }
}

/// Prints the figures as a table.
pub(super) fn print(size: Size, variants: &[Variant], rows: &[Row]) {
    println!(
        "\n{:<34}{:>9}{:>20}{:>9}{:>9}{:>9}{:>9}{:>10}{:>8}",
        size.name(),
        "req/s",
        "of copying (range)",
        "cpu µs",
        "w/ srv",
        "p50 ms",
        "p99 ms",
        "added ms",
        "MiB"
    );
    for variant in variants {
        let name = &variant.shape.name;
        let find = |metric: &str| rows.iter().find(|row| row.variant == *name && row.metric == metric);
        let shown = |metric: &str, digits: usize| {
            find(metric).map_or_else(|| "–".to_owned(), |row| format!("{:.digits$}", row.median))
        };
        let ratio = find("rate").and_then(|row| row.of.as_ref());
        let ratio =
            ratio.map_or_else(String::new, |of| format!("{:.2} ({:.2}–{:.2})", of.median, of.low, of.high));
        let refused =
            find("refused").map_or_else(String::new, |row| format!("  {:.1} % refused", row.median));
        println!(
            "{name:<34}{:>9}{ratio:>20}{:>9}{:>9}{:>9}{:>9}{:>10}{:>8}{refused}",
            shown("rate", 0),
            shown("processor", 0),
            shown(WITH_SERVERS, 0),
            shown("p50", 2),
            shown("p99", 2),
            shown("added median", 2),
            shown("memory with servers", 0)
        );
    }
    println!();
    for row in rows {
        let (Some(bar), Some(of)) = (&row.bar, &row.of) else { continue };
        println!(
            "{:<30} {:<18} of {:<34} {:>6.2} ({:.2}–{:.2}), bar {:.2}{}",
            row.variant,
            row.metric,
            of.variant,
            of.median,
            of.low,
            of.high,
            bar.limit,
            if bar.met { "" } else { ", missed" }
        );
    }
}
