//! The names under which Envoy shows what the filter counts.
//!
//! Envoy's WebAssembly metrics have no labels, so dimensions are part of the name, each behind a word of its own;
//! `stats_tags` in Envoy's configuration turns them into labels. Envoy puts `wasmcustom.` before each.
//!
//! | name | kind | counts |
//! |---|---|---|
//! | `graphwarden.requests.decision.<allow, deny, would_deny>.reason.<code or none>` | counter | requests decided |
//! | `graphwarden.masked.detector.<name>` | counter | values masked |
//! | `graphwarden.approvals.outcome.<approved, denied, expired, cancelled, pending, unavailable, unsupported, withdrawn>` | counter | requests that were held for people |
//! | `graphwarden.responses.cut.why.<words>` | counter | responses refused or cut |
//! | `graphwarden.responses.passed_unmasked.why.<words>` | counter | responses that the policy let pass though they cannot be masked |
//! | `graphwarden.evidence.sent`, `.failed`, `.refused` | counter | lines made durable, deliveries that failed, requests refused for want of room |
//! | `graphwarden.evidence.queued`, `.lag_ms` | gauge | lines that wait, and how long the oldest has |
//! | `graphwarden.keys.fetched`, `.failed` | counter | fetches of keys |
//! | `graphwarden.waiting` | gauge | requests that are held |

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
}

impl Gauge {
    /// The name without Envoy's prefix.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "graphwarden.evidence.queued",
            Self::Lag => "graphwarden.evidence.lag_ms",
            Self::Waiting => "graphwarden.waiting",
        }
    }
}

/// The name of a counter without Envoy's prefix.
pub fn name_of(metric: &Metric) -> String {
    match metric {
        Metric::Request { decision, reason } => {
            format!("graphwarden.requests.decision.{decision}.reason.{reason}")
        }
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
    fn a_name_has_as_many_parts_whatever_is_counted() {
        for (metric, name) in [
            (
                Metric::Request { decision: "deny", reason: "token_expired" },
                "graphwarden.requests.decision.deny.reason.token_expired",
            ),
            (Metric::Masked("$..ssn".to_owned()), "graphwarden.masked.detector.___ssn"),
            (Metric::Cut("a part (206)"), "graphwarden.responses.cut.why.a_part__206_"),
        ] {
            assert_eq!(name_of(&metric), name);
        }
    }
}
