//! The names under which Envoy shows what the filter counts.
//!
//! Envoy's WebAssembly metrics have no labels, so dimensions are part of the name, each behind a word of its own;
//! `stats_tags` in Envoy's configuration turns them into labels. Envoy puts `wasmcustom.` before each.
//! The list of all, for people, is `docs/metrics.md`; a test compares the two.

use crate::exchange::Metric;

/// A figure that goes up and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gauge {
    /// Lines of evidence that wait.
    Queued,
    /// How long the oldest of them has waited, in milliseconds.
    Lag,
    /// Requests that are held.
    Waiting,
    /// Memory of the module itself, in bytes.
    Memory,
}

impl Gauge {
    /// Every gauge.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Lag, Self::Waiting, Self::Memory];

    /// The name without Envoy's prefix.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "graphwarden.evidence.queued",
            Self::Lag => "graphwarden.evidence.lag_ms",
            Self::Waiting => "graphwarden.waiting",
            Self::Memory => "graphwarden.memory_bytes",
        }
    }
}

/// The name of a counter without Envoy's prefix.
pub fn name_of(metric: &Metric) -> String {
    match metric {
        Metric::Request { decision, reason } => {
            format!("graphwarden.requests.decision.{decision}.reason.{reason}")
        }
        Metric::WouldDeny(rule) => format!("graphwarden.would_deny.rule.{}", word(rule)),
        Metric::Masked(detector) => format!("graphwarden.masked.detector.{}", word(detector)),
        Metric::Approval(outcome) => format!("graphwarden.approvals.outcome.{outcome}"),
        Metric::Cut(why) => format!("graphwarden.responses.cut.why.{}", word(why)),
        Metric::PassedUnmasked(why) => format!("graphwarden.responses.passed_unmasked.why.{}", word(why)),
    }
}

/// One part of a name: dots would begin a new one, and anything but a word could break a scraper.
fn word(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_documented() {
        let page = include_str!("../../../docs/metrics.md");
        let counters = [
            Metric::Request { decision: "DECISION", reason: "CODE" },
            Metric::WouldDeny("RULE".to_owned()),
            Metric::Masked("NAME".to_owned()),
            Metric::Approval("OUTCOME"),
            Metric::Cut("WORDS"),
            Metric::PassedUnmasked("WORDS"),
        ];
        let gauges = Gauge::ALL.map(|gauge| gauge.name().to_owned());
        for name in counters.iter().map(name_of).chain(gauges) {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn a_name_has_as_many_parts_whatever_is_counted() {
        for (metric, name) in [
            (
                Metric::Request { decision: "deny", reason: "token_expired" },
                "graphwarden.requests.decision.deny.reason.token_expired",
            ),
            (
                Metric::WouldDeny("billing needs a manager (5.3)".to_owned()),
                "graphwarden.would_deny.rule.billing_needs_a_manager__5_3_",
            ),
            (Metric::Masked("$..ssn".to_owned()), "graphwarden.masked.detector.___ssn"),
            (Metric::Cut("a part (206)"), "graphwarden.responses.cut.why.a_part__206_"),
        ] {
            assert_eq!(name_of(&metric), name);
        }
    }
}
