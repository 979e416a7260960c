//! What came of it: as JSON for programs, as Markdown for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::account::Ledger;
use crate::callers::Book;
use crate::memory::{LIMIT, Line, Series};
use crate::mix::Kind;
use crate::{Measured, Plan};

/// What may come back while something is wrong: true, and refused.
const TOLERATED: [&str; 9] = [
    "503 evidence_unavailable",
    "503 approval_unavailable",
    "503 keys_unavailable",
    "401 token_key_unknown",
    "403 approval_expired",
    "200 cut",
    // Envoy's own, where the upstream resets before it has answered.
    "502",
    "503",
    "left",
];
/// The share of requests of a kind that have to get what is expected, faults or not.
const SERVED: f64 = 0.85;
/// What the log says of a module that ended by itself.
const DEATHS: [&str; 4] = ["panicked at", "Proxy-Wasm plugin in-VM", "wasm VM failed", "wasm_trap"];

/// The outcome of a soak.
#[derive(Debug)]
pub struct Summary {
    document: Value,
    failures: Vec<String>,
}

impl Summary {
    #[expect(clippy::too_many_arguments, reason = "it brings together all there is")]
    pub(crate) fn new(
        plan: Plan,
        commit: &str,
        faults: &BTreeMap<&'static str, usize>,
        book: &Book,
        ledger: &Ledger,
        measured: &Measured,
        statistics: &str,
        log: &str,
        wrong: Vec<String>,
        verified: &str,
    ) -> Self {
        let mut failures = wrong;
        let kinds = kinds(book, plan.is_long(), &mut failures);
        let (from, to) = plan.judged();
        let memory: Vec<Value> = [
            ("Envoy", &measured.envoy),
            ("the desk", &measured.desk),
            ("the modules' own", &measured.module),
        ]
        .into_iter()
        .filter_map(|(what, series)| {
            let line = series.line(from.as_secs_f64(), to.as_secs_f64())?;
            if plan.is_long() && line.hourly > LIMIT {
                failures.push(format!(
                    "the memory of {what} rises by {:.1} MiB an hour (r² {:.2})",
                    mib(line.hourly),
                    line.r2
                ));
            }
            Some(memory(what, series, line, plan.is_long()))
        })
        .collect();
        let deaths = log.lines().filter(|line| DEATHS.iter().any(|death| line.contains(death))).count();
        if deaths > 0 {
            failures.push(format!("{deaths} lines of Envoy's log tell of a module that ended"));
        }
        let document = json!({
            "seconds": plan.total.as_secs(),
            "rate": plan.rate,
            "commit": commit,
            "requests": book.fates.len(),
            "kinds": kinds,
            "faults": faults,
            "ledger": ledger.kinds,
            "verify": verified.lines().map(str::trim).filter(|line| line.contains("records")).collect::<Vec<_>>(),
            "memory": {"limit_mib_an_hour": mib(LIMIT), "judged_from": from.as_secs(), "judged_to": to.as_secs(), "parts": memory},
            "masked": total(statistics, "graphwarden_masked"),
            "evidence_refused": total(statistics, "graphwarden_evidence_refused"),
            "module_deaths": deaths,
            "failures": failures,
        });
        Self { document, failures }
    }

    /// The one that [`Self::json`] gave this text of.
    pub fn read(text: &str) -> Result<Self> {
        let document: Value = serde_json::from_str(text)?;
        // Whatever is not there is shown as nothing: failures that are missing would be shown as none.
        let failures =
            serde_json::from_value(document["failures"].clone()).context("a soak says what failed")?;
        for part in ["/requests", "/kinds", "/faults", "/ledger", "/verify", "/memory/parts"] {
            ensure!(document.pointer(part).is_some(), "a soak has `{part}`");
        }
        Ok(Self { document, failures })
    }

    /// What went wrong; empty where nothing did.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// For programs.
    pub fn json(&self) -> String {
        format!("{:#}\n", self.document)
    }

    /// For a picture: whose memory, and its samples over all of the time, as minutes and MiB.
    pub fn memory(&self) -> Vec<(&str, Vec<(f64, f64)>)> {
        let parts = self.document["memory"]["parts"].as_array().into_iter().flatten();
        parts
            .filter_map(|part| {
                let samples = part["series_seconds_mib"].as_array()?.iter();
                let samples =
                    samples.filter_map(|pair| Some((pair[0].as_f64()? / 60.0, pair[1].as_f64()?))).collect();
                Some((part["of"].as_str()?, samples))
            })
            .collect()
    }

    /// Whether it lasted long enough to say whether memory is flat.
    fn is_judged(&self) -> bool {
        let parts = self.document["memory"]["parts"].as_array();
        parts.is_some_and(|parts| !parts.is_empty() && parts.iter().all(|part| part["judged"] == json!(true)))
    }

    /// For people: paragraphs and tables without a heading.
    pub fn markdown(&self) -> String {
        let whole = &self.document;
        let mut text = format!(
            "{} requests in {} minutes at commit `{}`: {}.\n\n",
            whole["requests"],
            whole["seconds"].as_u64().unwrap_or_default() / 60,
            whole["commit"].as_str().unwrap_or_default(),
            match (self.failures.len(), self.is_judged()) {
                (0, true) =>
                    "every one has its outcome in the ledger, nothing unmasked was seen, no module ended, and memory is flat"
                        .to_owned(),
                (0, false) => "every one has its outcome in the ledger, nothing unmasked was seen, and no module ended; too short \
                     to say anything about memory"
                    .to_owned(),
                (count, _) => format!("**{count} failures**"),
            }
        );
        for failure in self.failures.iter().take(20) {
            let _ = writeln!(text, "- {failure}");
        }
        if !self.failures.is_empty() {
            text.push('\n');
        }
        text.push_str("| what was sent | requests | what came back |\n|---|---|---|\n");
        for kind in whole["kinds"].as_array().into_iter().flatten() {
            let fates = kind["fates"].as_object().into_iter().flatten();
            let fates: Vec<String> = fates.map(|(words, count)| format!("{words}: {count}")).collect();
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                kind["kind"].as_str().unwrap_or_default(),
                kind["sent"],
                fates.join(", ")
            );
        }
        text.push_str("\n| what went wrong meanwhile | times |\n|---|---|\n");
        for (fault, count) in whole["faults"].as_object().into_iter().flatten() {
            let _ = writeln!(text, "| {fault} | {count} |");
        }
        let _ = writeln!(
            text,
            "\nMemory from minute {} to minute {}, while the desk was not restarted; up to {} MiB an hour is called flat:\n",
            whole["memory"]["judged_from"].as_u64().unwrap_or_default() / 60,
            whole["memory"]["judged_to"].as_u64().unwrap_or_default() / 60,
            whole["memory"]["limit_mib_an_hour"],
        );
        text.push_str("| of | mean | from | to | slope an hour | r² |\n|---|---|---|---|---|---|\n");
        for part in whole["memory"]["parts"].as_array().into_iter().flatten() {
            let figure = |name: &str| part[name].as_f64().unwrap_or_default();
            let _ = writeln!(
                text,
                "| {} | {:.1} MiB | {:.1} MiB | {:.1} MiB | {:+.2} MiB | {:.2} |",
                part["of"].as_str().unwrap_or_default(),
                figure("mean_mib"),
                figure("smallest_mib"),
                figure("largest_mib"),
                figure("slope_mib_an_hour"),
                figure("r2")
            );
        }
        let ledger: Vec<String> = whole["ledger"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(kind, count)| format!("{count} of kind `{kind}`"))
            .collect();
        let _ = writeln!(
            text,
            "\nLines of the ledger: {}. `graphwarden verify` on their export:\n",
            ledger.join(", ")
        );
        for line in whole["verify"].as_array().into_iter().flatten() {
            let _ = writeln!(text, "> {}", line.as_str().unwrap_or_default());
        }
        text
    }
}

/// How many of each kind were sent, and what came back; what should not have is a failure.
fn kinds(book: &Book, long: bool, failures: &mut Vec<String>) -> Vec<Value> {
    let mut counts: BTreeMap<Kind, BTreeMap<String, u64>> = BTreeMap::new();
    for (number, fate) in &book.fates {
        *counts.entry(Kind::of(*number)).or_default().entry(fate.words()).or_default() += 1;
    }
    let mut kinds = Vec::new();
    for kind in Kind::all() {
        let Some(fates) = counts.get(&kind) else {
            failures.push(format!("{}: none was sent", kind.name()));
            continue;
        };
        let sent: u64 = fates.values().sum();
        let expected = |words: &str| kind.expected().contains(&words);
        let served: u64 = fates.iter().filter(|(words, _)| expected(words)).map(|(_, count)| count).sum();
        if served == 0 || (long && (served as f64) < SERVED * sent as f64) {
            failures.push(format!("{}: {served} of {sent} got what is expected", kind.name()));
        }
        for (words, count) in fates.iter().filter(|(words, _)| !expected(words)) {
            if !TOLERATED.contains(&words.as_str()) {
                failures.push(format!("{}: {words} ({count})", kind.name()));
            }
        }
        kinds.push(json!({"kind": kind.name(), "sent": sent, "as_expected": served, "fates": fates}));
    }
    kinds
}

fn memory(what: &str, series: &Series, line: Line, judged: bool) -> Value {
    json!({
        "of": what,
        "judged": judged,
        "samples": line.samples,
        "mean_mib": mib(line.mean),
        "smallest_mib": mib(line.range.0),
        "largest_mib": mib(line.range.1),
        "slope_mib_an_hour": mib(line.hourly),
        "r2": (line.r2 * 1_000.0).round() / 1_000.0,
        "series_seconds_mib": series.thinned(120).iter().map(|(at, bytes)| json!([at.round(), mib(*bytes)])).collect::<Vec<_>>(),
    })
}

fn mib(bytes: f64) -> f64 {
    (bytes / 1_048_576.0 * 100.0).round() / 100.0
}

/// One figure of Prometheus's page whose name ends so, added up over its labels.
pub(crate) fn figure(page: &str, name: &str) -> Option<f64> {
    let values: Vec<f64> = page
        .lines()
        .filter(|line| {
            let key = line.split(['{', ' ']).next().unwrap_or_default();
            !line.starts_with('#') && key.ends_with(name)
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

fn total(page: &str, name: &str) -> u64 {
    figure(page, name).unwrap_or_default() as u64
}

/// What is checked out.
pub(crate) fn commit() -> String {
    let root = graphwarden_stand::Tools::find().root().to_path_buf();
    std::process::Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .current_dir(root)
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(failures: &[&str]) -> Value {
        let mut series = Series::default();
        for second in 0..240 {
            series.add(f64::from(second) * 15.0, Some(150 << 20));
        }
        let line = series.line(0.0, 3_600.0).expect("a line");
        json!({
            "seconds": 3_600,
            "commit": "0000000",
            "requests": 54_000,
            "kinds": [{"kind": "run", "sent": 54_000, "as_expected": 54_000, "fates": {"200": 54_000}}],
            "faults": {"desk frozen for a while": 60},
            "ledger": {"request": 54_000},
            "verify": ["54000 records"],
            "memory": {"limit_mib_an_hour": 8.0, "judged_from": 0, "judged_to": 3_600, "parts": [memory("Envoy", &series, line, true)]},
            "failures": failures,
        })
    }

    #[test]
    fn a_summary_that_is_read_again_says_the_same() -> Result<()> {
        for failures in [&["run: 500 (1)"] as &[&str], &[]] {
            let written = Summary {
                document: document(failures),
                failures: failures.iter().map(|&failure| failure.to_owned()).collect(),
            };
            let read = Summary::read(&written.json())?;
            assert_eq!(read.failures(), failures);
            assert_eq!(read.markdown(), written.markdown());
            assert_eq!(read.json(), written.json());
            let parts = read.memory();
            let [("Envoy", samples)] = parts.as_slice() else { panic!("{parts:?}") };
            assert_eq!(samples.len(), 120);
            assert_eq!(samples[1], (0.5, 150.0));
        }
        Ok(())
    }

    #[test]
    fn what_does_not_say_what_failed_is_no_summary() {
        for missing in ["failures", "memory", "ledger"] {
            let mut document = document(&[]);
            document.as_object_mut().expect("an object").remove(missing);
            assert!(Summary::read(&document.to_string()).is_err(), "{missing}");
        }
    }
}
