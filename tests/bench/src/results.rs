//! The results: what was measured, when and on what, in one file that every subcommand adds a group of its own to.
//!
//! `target/bench/results.json`, of which `docs/benchmarks.json` is a copy that the page is made of:
//!
//! ```json
//! {"schema": 1, "groups": [{
//!   "group": "peers-4kb",
//!   "taken": {"date": "2026-11-23T04:10:00Z", "commit": "8415255…, changed",
//!     "machine": {"processor": "…", "cores": 2, "memory_mib": 24000, "kernel": "…"},
//!     "versions": {"envoy": "1.40.0", "rustc": "1.95.0", "graphwarden": "0.1.0"}},
//!   "rows": [{
//!     "variant": "graphwarden", "work": "4 KB", "x": 4096.0, "metric": "rate", "unit": "/s",
//!     "rounds": 9, "median": 6120.0, "low": 5980.0, "high": 6200.0,
//!     "of": {"variant": "copying wasm", "median": 0.82, "low": 0.8, "high": 0.83},
//!     "bar": {"side": "at_least", "limit": 0.8, "met": true}
//!   }]
//! }]}
//! ```
//!
//! `median`, `low` and `high` are over rounds. `of` is the ratio to the variant that it names, taken within each round
//! and then over rounds; a bar judges that ratio's median where there is one, and the median itself where there is
//! none. `x` is the amount of work as a number, for what is drawn or fitted over it. Numbers keep four digits.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::Tools;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The whole file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Results {
    /// Of the file's shape: 1.
    pub(crate) schema: u32,
    /// By name, in order.
    pub(crate) groups: Vec<Group>,
}

/// What one subcommand measured in one run.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    /// Its name.
    pub(crate) group: String,
    /// When, and on what.
    pub(crate) taken: Taken,
    /// The figures.
    pub(crate) rows: Vec<Row>,
}

/// When, and on what, a group was measured.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Taken {
    /// RFC 3339, in UTC.
    pub(crate) date: String,
    /// Of the sources; `, changed` follows where the work tree differs from it.
    pub(crate) commit: String,
    /// The machine.
    pub(crate) machine: Machine,
    /// Of what was measured, and what built it.
    pub(crate) versions: Versions,
}

/// A machine, as far as it tells.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
}

/// Versions of what was measured, and what built it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Versions {
    pub(crate) envoy: String,
    pub(crate) rustc: String,
    pub(crate) graphwarden: String,
}

/// One figure.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// What was measured: a chain of filters, or a part of ours.
    pub(crate) variant: String,
    /// With what: a size of body, a number of rules.
    pub(crate) work: String,
    /// The work as a number, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) x: Option<f64>,
    /// Which property of it.
    pub(crate) metric: String,
    /// Of the three numbers below; empty for a bare number.
    pub(crate) unit: String,
    /// How many rounds the numbers are over.
    pub(crate) rounds: usize,
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// The same as a share of another variant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<Ratio>,
    /// What it has to reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bar: Option<Bar>,
}

/// A ratio that was taken within each round.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ratio {
    /// What it is a ratio to.
    pub(crate) variant: String,
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// What a figure has to reach; shown as missed where it does not.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bar {
    pub(crate) side: Side,
    pub(crate) limit: f64,
    pub(crate) met: bool,
}

/// On which side of the limit a figure has to be.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    AtLeast,
    AtMost,
}

impl Row {
    /// A figure over rounds, one value of each; an error where there is none, or one is no number.
    pub(crate) fn new(variant: &str, work: &str, metric: &str, unit: &str, rounds: &[f64]) -> Result<Self> {
        let (median, low, high) = spread(rounds).with_context(|| format!("{variant}, {work}: {metric}"))?;
        Ok(Self {
            variant: variant.to_owned(),
            work: work.to_owned(),
            x: None,
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            rounds: rounds.len(),
            median,
            low,
            high,
            of: None,
            bar: None,
        })
    }

    /// A figure that is the same whenever it is taken, or was taken once.
    pub(crate) fn once(variant: &str, work: &str, metric: &str, unit: &str, value: f64) -> Result<Self> {
        Self::new(variant, work, metric, unit, &[value])
    }

    /// The work as a number.
    pub(crate) fn over(mut self, x: f64) -> Self {
        self.x = Some(x);
        self
    }

    /// As a share of another variant's, round by round: `ours` are the values that the row was made of, `theirs` the
    /// other's in the same rounds.
    pub(crate) fn of(mut self, variant: &str, ours: &[f64], theirs: &[f64]) -> Result<Self> {
        ensure!(ours.len() == theirs.len(), "{variant} has another number of rounds");
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        let (median, low, high) =
            spread(&ratios).with_context(|| format!("{} of {variant}: {}", self.variant, self.metric))?;
        self.of = Some(Ratio { variant: variant.to_owned(), median, low, high });
        Ok(self)
    }

    /// The figure has to be at least so large.
    pub(crate) fn at_least(self, limit: f64) -> Self {
        self.bar(Side::AtLeast, limit)
    }

    /// The figure has to be at most so large.
    pub(crate) fn at_most(self, limit: f64) -> Self {
        self.bar(Side::AtMost, limit)
    }

    fn bar(mut self, side: Side, limit: f64) -> Self {
        let judged = self.judged();
        let met = match side {
            Side::AtLeast => judged >= limit,
            Side::AtMost => judged <= limit,
        };
        self.bar = Some(Bar { side, limit, met });
        self
    }

    /// What a bar is compared with.
    pub(crate) fn judged(&self) -> f64 {
        self.of.as_ref().map_or(self.median, |of| of.median)
    }
}

/// The group of a subcommand while it measures.
#[derive(Debug)]
pub(crate) struct Sheet {
    name: String,
    rows: Vec<Row>,
}

impl Sheet {
    /// An empty one. Its name is the group's.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), rows: Vec::new() }
    }

    /// Adds a figure.
    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// The figures so far.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Puts the group into the results file in the place of what an earlier run left there; an error that names the
    /// bars that are missed. Either way the figures are kept.
    pub(crate) fn keep(self) -> Result<()> {
        let missed: Vec<String> = self.rows.iter().filter_map(missed).collect();
        let path = path();
        let mut results = Results::read(&path)?;
        results.groups.retain(|group| group.group != self.name);
        results.groups.push(Group { group: self.name, taken: Taken::now()?, rows: self.rows });
        results.groups.sort_by(|one, other| one.group.cmp(&other.group));
        results.write(&path)?;
        ensure!(missed.is_empty(), "missed: {}", missed.join("; "));
        Ok(())
    }
}

/// What is to be said of a row whose bar is missed.
fn missed(row: &Row) -> Option<String> {
    let bar = row.bar.as_ref().filter(|bar| !bar.met)?;
    let of = row.of.as_ref().map_or_else(String::new, |of| format!(" of {}", of.variant));
    let side = match bar.side {
        Side::AtLeast => "at least",
        Side::AtMost => "at most",
    };
    Some(format!(
        "{}, {}: {}{of} is {}, not {side} {}",
        row.variant,
        row.work,
        row.metric,
        row.judged(),
        bar.limit
    ))
}

/// Where subcommands leave what they measure.
pub(crate) fn path() -> PathBuf {
    Tools::find().root().join("target/bench/results.json")
}

impl Results {
    /// What is there; nothing where there is no file yet.
    pub(crate) fn read(path: &PathBuf) -> Result<Self> {
        if !path.exists() {
            return Ok(Self { schema: 1, groups: Vec::new() });
        }
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let results: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not of schema 1", path.display()))?;
        ensure!(results.schema == 1, "{} is of schema {}", path.display(), results.schema);
        Ok(results)
    }

    /// Puts the file in its place at once.
    pub(crate) fn write(&self, path: &PathBuf) -> Result<()> {
        let folder = path.parent().context("a path has a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let whole = path.with_extension("json.new");
        fs::write(&whole, serde_json::to_string_pretty(self)? + "\n")?;
        fs::rename(&whole, path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The group of that name.
    pub(crate) fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.group == name)
    }
}

impl Group {
    /// The figure of that variant, work and metric.
    pub(crate) fn row(&self, variant: &str, work: &str, metric: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.variant == variant && row.work == work && row.metric == metric)
    }
}

impl Taken {
    /// Now and here.
    fn now() -> Result<Self> {
        let root = Tools::find().root().to_path_buf();
        let git = |arguments: &[&str]| said(Command::new("git").arg("-C").arg(&root).args(arguments));
        let mut commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
        if git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty())
        {
            commit.push_str(", changed");
        }
        let envoy = said(Command::new(Tools::find().envoy()?).arg("--version")).unwrap_or_default();
        // "…/envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL"
        let envoy = envoy
            .split('/')
            .find(|part| part.starts_with(|first: char| first.is_ascii_digit()) && part.contains('.'));
        let rustc = said(Command::new("rustc").arg("--version")).unwrap_or_default();
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory =
            field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        Ok(Self {
            date: OffsetDateTime::now_utc().replace_nanosecond(0)?.format(&Rfc3339)?,
            commit,
            machine: Machine {
                processor: field("/proc/cpuinfo", "model name")
                    .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
                cores: crate::cores(),
                memory_mib: memory.unwrap_or(0) / 1024,
                kernel: fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(
                    |_| std::env::consts::OS.to_owned(),
                    |text| format!("Linux {}", text.trim()),
                ),
            },
            versions: Versions {
                envoy: envoy.unwrap_or("unknown").to_owned(),
                rustc: rustc.split(' ').nth(1).unwrap_or("unknown").to_owned(),
                graphwarden: env!("CARGO_PKG_VERSION").to_owned(),
            },
        })
    }
}

/// What a command printed, where it ended well.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Median, lowest and highest, each with four digits.
fn spread(values: &[f64]) -> Result<(f64, f64, f64)> {
    ensure!(!values.is_empty(), "no round");
    ensure!(values.iter().all(|value| value.is_finite()), "a round has no number: {values:?}");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) =
        (sorted.first().copied().unwrap_or_default(), sorted.last().copied().unwrap_or_default());
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    Ok((four_digits(middle), four_digits(low), four_digits(high)))
}

fn four_digits(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { format!("{value:.3e}").parse().unwrap_or(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_within_each_round() -> Result<()> {
        // The machine was half as fast in the second round, for both.
        let (ours, theirs) = ([80.0, 41.0, 79.0], [100.0, 50.0, 100.0]);
        let row = Row::new("ours", "4 KB", "rate", "/s", &ours)?.of("theirs", &ours, &theirs)?.at_least(0.8);
        let of = row.of.as_ref().context("a ratio")?;
        assert_eq!((of.low, of.median, of.high), (0.79, 0.8, 0.82));
        assert!(row.bar.as_ref().is_some_and(|bar| bar.met));
        assert!(missed(&row).is_none());
        assert!(missed(&row.at_least(0.81)).is_some_and(|text| text.contains("not at least 0.81")));
        Ok(())
    }

    #[test]
    fn a_figure_without_numbers_is_an_error() {
        assert!(Row::new("ours", "4 KB", "rate", "/s", &[]).is_err());
        assert!(Row::new("ours", "4 KB", "rate", "/s", &[f64::NAN]).is_err());
    }

    #[test]
    fn numbers_keep_four_digits() {
        assert_eq!([123_456.0, 0.000_123_456, 0.0, 1.0].map(four_digits), [123_500.0, 0.000_123_5, 0.0, 1.0]);
    }
}
