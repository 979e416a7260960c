//! What the detectors find and miss: precision and recall over a synthetic corpus that a seed generates.
//!
//! `cargo run --example accuracy [seed]` prints a table and exits 1 where a bar is missed. A find counts where it has
//! the planted value's detector and exactly its bytes; a find that no value of its detector overlaps is false. The
//! values are generated here by the rules of their sources, not by the detectors' code, and belong to nobody.

mod near_misses;
mod random;
mod texts;
mod values;

use std::process::ExitCode;

use graphwarden_policies::masking::detectors::{BUILT_IN, Detectors};
use graphwarden_policies::masking::text::{Scan, Verdict};

use random::Random;

/// Texts with a value of each kind.
const TEXTS: usize = 2_000;
/// Near misses for each of those.
const NEAR_MISSES: usize = 10;
/// What the table is printed for, where no other seed is asked for.
const SEED: u64 = 20_260_101;

/// A text, and where values of which detectors stand in it.
pub(crate) struct Sample {
    text: String,
    planted: Vec<(&'static str, usize, usize)>,
}

/// What is demanded of a detector.
const BARS: &[(&str, f64, f64)] = &[
    ("email", 1.0, 0.99),
    ("payment_card", 1.0, 0.99),
    ("us_ssn", 1.0, 0.99),
    ("iban", 1.0, 0.99),
    ("ip_address", 0.98, 0.95),
    ("phone", 0.98, 0.95),
];

#[derive(Default)]
struct Score {
    planted: usize,
    exact: usize,
    covered: usize,
    false_finds: usize,
    examples: Vec<String>,
}

fn main() -> ExitCode {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let verbose = std::env::var_os("ACCURACY_EXAMPLES").is_some();
    println!("seed {seed}: {} texts with values, {} without", TEXTS * BUILT_IN.len(), TEXTS * NEAR_MISSES);
    println!(
        "{:<18} {:>7} {:>7} {:>7} {:>7} {:>8} {:>9}  bar",
        "detector", "planted", "exact", "covered", "false", "recall", "precision"
    );
    let mut met = true;
    for (name, score) in scores(seed, TEXTS) {
        let (recall, precision) = (score.recall(), score.precision());
        let verdict = match bar(name) {
            Some((least_recall, least_precision)) => {
                let ok = recall >= least_recall && precision >= least_precision;
                met &= ok;
                format!("{least_recall:.2} / {least_precision:.2} {}", if ok { "met" } else { "MISSED" })
            }
            None => String::new(),
        };
        println!(
            "{name:<18} {:>7} {:>7} {:>7} {:>7} {recall:>8.4} {precision:>9.4}  {verdict}",
            score.planted, score.exact, score.covered, score.false_finds
        );
        if verbose {
            for example in &score.examples {
                println!("    {example}");
            }
        }
    }
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Score {
    fn recall(&self) -> f64 {
        ratio(self.exact, self.planted)
    }

    fn precision(&self) -> f64 {
        ratio(self.exact, self.exact + self.false_finds)
    }
}

/// The least recall and precision of a detector that has a bar.
fn bar(name: &str) -> Option<(f64, f64)> {
    BARS.iter().find(|(known, _, _)| *known == name).map(|(_, recall, precision)| (*recall, *precision))
}

/// The score of each detector over so many texts of each kind, and near misses.
fn scores(seed: u64, texts: usize) -> Vec<(&'static str, Score)> {
    let mut random = Random::new(seed);
    let detectors = Detectors::default();
    let mut scores: Vec<Score> = BUILT_IN.iter().map(|_| Score::default()).collect();
    for _ in 0..texts {
        for kind in BUILT_IN {
            judge(&texts::with_value(kind, &mut random), &BUILT_IN, &detectors, &mut scores);
        }
    }
    for _ in 0..texts * NEAR_MISSES {
        let sample = Sample { text: near_misses::text(&mut random), planted: Vec::new() };
        judge(&sample, &BUILT_IN, &detectors, &mut scores);
    }
    BUILT_IN.into_iter().zip(scores).collect()
}

#[test]
fn every_bar_is_met_whatever_the_seed() {
    for seed in [SEED, 1, 2] {
        for (name, score) in scores(seed, 150) {
            let Some((recall, precision)) = bar(name) else { continue };
            let examples = || score.examples.join("\n");
            assert!(score.planted >= 150, "{name} is planted");
            assert!(
                score.recall() >= recall,
                "{name}, seed {seed}: recall {}\n{}",
                score.recall(),
                examples()
            );
            assert!(
                score.precision() >= precision,
                "{name}, seed {seed}: precision {}\n{}",
                score.precision(),
                examples()
            );
        }
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// What is found in a text, as detector, begin and end; and which bytes are masked.
fn find<'d>(text: &str, detectors: &'d Detectors) -> (Vec<(&'d str, usize, usize)>, Vec<bool>) {
    let mut found = Vec::new();
    let mut masked = Vec::new();
    Scan::new().whole(detectors, text.as_bytes(), |verdict| {
        let begin = masked.len();
        let end = begin + verdict.covers();
        masked.resize(end, !matches!(verdict, Verdict::Clear { .. }));
        match verdict {
            Verdict::Match { detector, .. } | Verdict::Open { detector, .. } => {
                found.push((detectors.name(detector), begin, end));
            }
            Verdict::Rest { .. } => {
                if let Some(last) = found.last_mut() {
                    last.2 = end;
                }
            }
            Verdict::Clear { .. } => {}
        }
    });
    (found, masked)
}

fn judge(sample: &Sample, names: &[&str], detectors: &Detectors, scores: &mut [Score]) {
    let (found, masked) = find(&sample.text, detectors);
    for planted in &sample.planted {
        let Some(score) = names.iter().position(|name| *name == planted.0).map(|index| &mut scores[index])
        else {
            continue;
        };
        score.planted += 1;
        score.covered += usize::from(masked[planted.1..planted.2].iter().all(|masked| *masked));
        if found.contains(planted) {
            score.exact += 1;
        } else if score.examples.len() < 12 {
            score.examples.push(format!(
                "missed {:?} in {:?}: {found:?}",
                &sample.text[planted.1..planted.2],
                sample.text
            ));
        }
    }
    for find in &found {
        let overlaps =
            |planted: &(&str, usize, usize)| planted.0 == find.0 && planted.1 < find.2 && find.1 < planted.2;
        if sample.planted.iter().any(overlaps) {
            continue;
        }
        if let Some(score) = names.iter().position(|name| *name == find.0).map(|index| &mut scores[index]) {
            score.false_finds += 1;
            if score.examples.len() < 24 {
                score.examples.push(format!("false {:?} in {:?}", &sample.text[find.1..find.2], sample.text));
            }
        }
    }
}
