//! What detectors find in a text, for people and evaluations; nothing is masked.

use super::detectors::Detectors;
use super::text::{Scan, Verdict};

/// A value that a detector found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding<'a> {
    /// The detector's name.
    pub detector: &'a str,
    /// Where the value begins, in bytes.
    pub start: usize,
    /// Where it ends, exclusive, in bytes.
    pub end: usize,
}

/// What these detectors find in a text at hand, in order and disjoint.
pub fn find<'a>(detectors: &'a Detectors, text: &[u8]) -> Vec<Finding<'a>> {
    let mut findings: Vec<Finding<'a>> = Vec::new();
    let mut at = 0;
    // Whether the value before has no bound, so that what belongs to it is part of it.
    let mut open = false;
    Scan::new().whole(detectors, text, |verdict| {
        let end = at + verdict.covers();
        match verdict {
            Verdict::Match { detector, .. } | Verdict::Open { detector, .. } => {
                findings.push(Finding { detector: detectors.name(detector), start: at, end });
                open = matches!(verdict, Verdict::Open { .. });
            }
            Verdict::Rest { .. } => {
                if open && let Some(finding) = findings.last_mut() {
                    finding.end = end;
                }
            }
            Verdict::Clear { .. } => open = false,
        }
        at = end;
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_each_value_stands() {
        let text = "Zo\u{eb}: zoe@example.com, SSN 219-09-9999";
        let detectors = Detectors::default();
        let found: Vec<(&str, &str)> = find(&detectors, text.as_bytes())
            .iter()
            .map(|found| (found.detector, &text[found.start..found.end]))
            .collect();
        assert_eq!(found, [("email", "zoe@example.com"), ("us_ssn", "219-09-9999")]);
    }

    #[test]
    fn a_value_without_bound_is_one_finding() {
        let key =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", "MIIBVQ".repeat(2000));
        let text = format!("key: {key} end");
        let detectors = Detectors::default();
        let found: Vec<(usize, usize)> =
            find(&detectors, text.as_bytes()).iter().map(|found| (found.start, found.end)).collect();
        assert_eq!(found, [(5, 5 + key.len())]);
    }
}
