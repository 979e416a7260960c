//! What a rule asks of people: who has to agree, how many, for how long, and what a denial does; or, where nobody
//! can be waited for, the way past them that is recorded and reviewed afterwards.
//!
//! ```yaml
//! then: { approval: { approvers: ["role:manager"], quorum: 2, denial: majority, hold: 60s, valid: 10m } }
//! then: { approval: { all_of: [{ role: manager }, { role: security, count: 2 }], preview: full } }
//! then: { approval: { approvers: ["role:manager"], grant: 1h } }
//! then: { break_glass: { reviewers: ["role:security"], review: 72h } }
//! ```

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use crate::policy::{At, Problems, Span};

/// Longest that a connection waits for approvers: LangGraph's own clients give up at 300 s.
const HOLD_LIMIT: Duration = Duration::from_secs(240);
/// Longest that an approval or its question can last.
const LIFE_LIMIT: Duration = Duration::from_secs(30 * 24 * 3600);
/// Longest that a standing grant can last: it is for one task, not for a role that someone should have.
const GRANT_LIMIT: Duration = Duration::from_secs(24 * 3600);
/// The largest quorum, the seats of `all_of` counted together.
const QUORUM_LIMIT: u32 = 10;
/// The longest reason for breaking the glass, in bytes.
const REASON_LIMIT: usize = 1_000;

/// The request header that holds the reason of a caller who goes past approvers; it never goes upstream.
pub const BREAK_GLASS_HEADER: &str = "x-break-glass-reason";

/// What a rule asks of people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalDemand {
    /// Who may approve: `role:NAME`, `group:NAME` or `subject:ID`. Never the requester. With `all_of` everyone
    /// whom one of the seats names; with `break_glass` those who review afterwards.
    pub approvers: Vec<String>,
    /// How many distinct people have to approve; with `all_of` as many as there are seats.
    pub quorum: u32,
    /// Seats that distinct people have to fill, each person one; empty where any `quorum` approvers will do.
    pub all_of: Vec<Seats>,
    /// What a denial does.
    pub denial: Denial,
    /// How much of the request approvers have to have seen.
    pub preview: Sight,
    /// Instead of for these bytes, the approval is for these operations, any number of times, for so long.
    pub grant: Option<Duration>,
    /// Nobody is waited for: the caller gave a reason, which is recorded and reviewed afterwards.
    pub break_glass: bool,
    /// How long the connection waits, at most 240 s.
    pub hold: Duration,
    /// How long a granted approval can be claimed.
    pub valid: Duration,
    /// When an undecided one ends, counted from the request; with `break_glass` when a review is overdue.
    pub expires: Duration,
}

/// Seats for the same kind of people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seats {
    /// Who may sit there: `role:NAME`, `group:NAME` or `subject:ID`.
    pub approver: String,
    /// How many.
    pub count: u32,
}

/// What a denial does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Denial {
    /// One ends the request.
    #[default]
    One,
    /// As many as approvals are asked for end it: the majority of twice the quorum less one.
    Majority,
}

/// How much of the request approvers have to have seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sight {
    /// What fits into the preview; that it was cut is said.
    #[default]
    Partial,
    /// All of it: a request that does not fit is refused.
    Full,
}

/// Who has to agree, and for how long that holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalConfig {
    /// `role:NAME`, `group:NAME` or `subject:ID`; at least one, or else `all_of`.
    #[serde(default)]
    pub approvers: Vec<String>,
    /// Seats that distinct people have to fill.
    #[serde(default)]
    pub all_of: Vec<SeatsConfig>,
    /// How many distinct people; default 1. Not with `all_of`.
    #[serde(default)]
    pub quorum: Option<u32>,
    /// `one` (the default) or `majority`.
    #[serde(default)]
    pub denial: Denial,
    /// `partial` (the default) or `full`.
    #[serde(default)]
    pub preview: Sight,
    /// Makes it a standing grant of so long, at most 24 h; absent means for these bytes, once.
    #[serde(default)]
    pub grant: Option<Span>,
    /// How long the connection waits, at most 240 s; default 60 s.
    #[serde(default)]
    pub hold: Option<Span>,
    /// How long a granted approval can be claimed; default 10 min.
    #[serde(default)]
    pub valid: Option<Span>,
    /// When an undecided one ends; default 1 h.
    #[serde(default)]
    pub expires: Option<Span>,
}

/// One entry of `all_of`: one of `role`, `group` and `subject`, and how many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SeatsConfig {
    /// A role's name.
    pub role: Option<String>,
    /// A group's name.
    pub group: Option<String>,
    /// A person's subject.
    pub subject: Option<String>,
    /// How many distinct people; default 1.
    pub count: Option<u32>,
}

/// A way past approvers for whoever gives a reason in the header `x-break-glass-reason`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlassConfig {
    /// Who reviews it afterwards; at least one.
    pub reviewers: Vec<String>,
    /// When a review is overdue; default 72 h.
    #[serde(default)]
    pub review: Option<Span>,
}

impl ApprovalDemand {
    /// Compiles an approval. Every problem is added; `None` if there was one.
    pub(super) fn compile(config: &ApprovalConfig, at: &At, problems: &mut Problems) -> Option<Self> {
        let known = problems.iter().count();
        let all_of = seats(config, &at.member("all_of"), problems);
        if config.all_of.is_empty() {
            named(&config.approvers, &at.member("approvers"), "an approval needs approvers", problems);
        } else if !config.approvers.is_empty() || config.quorum.is_some() {
            problems.add_with_hint(
                &at.member("all_of"),
                "says who and how many, so `approvers` and `quorum` have no place beside it",
                "write all of it as seats",
            );
        }
        let quorum = match all_of.is_empty() {
            true => config.quorum.unwrap_or(1),
            false => all_of.iter().fold(0_u32, |sum, seats| sum.saturating_add(seats.count)),
        };
        if !(1..=QUORUM_LIMIT).contains(&quorum) {
            let member = if all_of.is_empty() { "quorum" } else { "all_of" };
            problems.add(&at.member(member), format!("a quorum is between 1 and {QUORUM_LIMIT}"));
        }
        let mut span = |name: &str, written: Option<Span>, default: Duration, limit: Duration| {
            let span = written.map_or(default, |span| span.0);
            if span.is_zero() && name != "hold" || span > limit {
                problems.add(&at.member(name), format!("has to be at most {}", Span(limit)));
            }
            span
        };
        let hold = span("hold", config.hold, Duration::from_secs(60), HOLD_LIMIT);
        let valid = span("valid", config.valid, Duration::from_secs(600), LIFE_LIMIT);
        let expires = span("expires", config.expires, Duration::from_secs(3600), LIFE_LIMIT);
        let grant = config.grant.map(|_| span("grant", config.grant, Duration::ZERO, GRANT_LIMIT));
        if hold > expires {
            problems.add(
                &at.member("hold"),
                "is longer than `expires`: the question would end while the caller waits",
            );
        }
        if grant.is_some() && (config.valid.is_some() || config.preview == Sight::Full) {
            problems.add_with_hint(
                &at.member("grant"),
                "is for operations and not for bytes, so `valid` and `preview: full` have no place beside it",
                "leave them out, or leave `grant` out",
            );
        }
        let approvers = match all_of.is_empty() {
            true => config.approvers.clone(),
            false => {
                let distinct: BTreeSet<&String> = all_of.iter().map(|seats| &seats.approver).collect();
                distinct.into_iter().cloned().collect()
            }
        };
        (problems.iter().count() == known).then_some(Self {
            approvers,
            quorum,
            all_of,
            denial: config.denial,
            preview: config.preview,
            grant,
            break_glass: false,
            hold,
            valid,
            expires,
        })
    }

    /// Compiles a way past approvers. Every problem is added; `None` if there was one.
    pub(super) fn compile_break_glass(
        config: &BreakGlassConfig,
        at: &At,
        problems: &mut Problems,
    ) -> Option<Self> {
        let known = problems.iter().count();
        let unreviewed = "what nobody reviews is no exception but an open door: it needs reviewers";
        named(&config.reviewers, &at.member("reviewers"), unreviewed, problems);
        let review = config.review.map_or(Duration::from_secs(72 * 3600), |span| span.0);
        if review.is_zero() || review > LIFE_LIMIT {
            problems.add(&at.member("review"), format!("has to be at most {}", Span(LIFE_LIMIT)));
        }
        (problems.iter().count() == known).then(|| Self {
            approvers: config.reviewers.clone(),
            quorum: 1,
            all_of: Vec::new(),
            denial: Denial::One,
            preview: Sight::Partial,
            grant: None,
            break_glass: true,
            hold: Duration::ZERO,
            valid: Duration::from_secs(60),
            expires: review,
        })
    }
}

/// The reason that a header holds, where it holds one: blank is none, and one too long is none either.
pub fn break_glass_reason(header: Option<&str>) -> Option<&str> {
    header.map(str::trim).filter(|reason| !reason.is_empty() && reason.len() <= REASON_LIMIT)
}

fn named(approvers: &[String], at: &At, missing: &str, problems: &mut Problems) {
    if approvers.is_empty() {
        problems.add(at, missing);
    }
    for (index, approver) in approvers.iter().enumerate() {
        let named = approver.split_once(':').is_some_and(|(kind, name)| {
            matches!(kind, "role" | "group" | "subject") && !name.trim().is_empty()
        });
        if !named {
            problems.add_with_hint(
                &at.index(index),
                format!("`{approver}` names nobody"),
                "write role:NAME, group:NAME or subject:ID",
            );
        }
    }
}

fn seats(config: &ApprovalConfig, at: &At, problems: &mut Problems) -> Vec<Seats> {
    let mut all = Vec::with_capacity(config.all_of.len());
    for (index, entry) in config.all_of.iter().enumerate() {
        let at = at.index(index);
        let given = [("role", &entry.role), ("group", &entry.group), ("subject", &entry.subject)];
        let mut given = given.iter().filter_map(|(kind, name)| Some((kind, name.as_ref()?)));
        let approver = match (given.next(), given.next()) {
            (Some((kind, name)), None) if !name.trim().is_empty() => format!("{kind}:{name}"),
            _ => {
                problems.add_with_hint(
                    &at,
                    "seats are for one kind of people",
                    "write one of role, group and subject, with a name",
                );
                continue;
            }
        };
        let count = entry.count.unwrap_or(1);
        if !(1..=QUORUM_LIMIT).contains(&count) || (count > 1 && entry.subject.is_some()) {
            let one = if entry.subject.is_some() { "one person fills one seat" } else { "has to be 1 to 10" };
            problems.add(&at.member("count"), one);
            continue;
        }
        all.push(Seats { approver, count });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(json: &str) -> Result<ApprovalDemand, String> {
        let config: ApprovalConfig = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let mut problems = Problems::new();
        ApprovalDemand::compile(&config, &At::root(), &mut problems).ok_or_else(|| problems.to_string())
    }

    #[test]
    fn seats_add_up_to_the_quorum_and_name_the_approvers() {
        let demand = compile(r#"{"all_of": [{"role": "manager"}, {"group": "sec", "count": 2}]}"#).unwrap();
        assert_eq!(demand.quorum, 3);
        assert_eq!(demand.approvers, ["group:sec", "role:manager"]);
        assert_eq!(demand.all_of.len(), 2);
        assert_eq!((demand.denial, demand.preview, demand.grant), (Denial::One, Sight::Partial, None));
    }

    #[test]
    fn who_and_how_many_are_said_once() {
        for (json, part) in [
            ("{}", "needs approvers"),
            (r#"{"all_of": [{"role": "m"}], "approvers": ["role:m"]}"#, "no place beside it"),
            (r#"{"all_of": [{"role": "m"}], "quorum": 1}"#, "no place beside it"),
            (r#"{"all_of": [{}]}"#, "one kind of people"),
            (r#"{"all_of": [{"role": "m", "group": "g"}]}"#, "one kind of people"),
            (r#"{"all_of": [{"role": " "}]}"#, "one kind of people"),
            (r#"{"all_of": [{"role": "m", "count": 0}]}"#, "1 to 10"),
            (r#"{"all_of": [{"role": "m", "count": 6}, {"role": "n", "count": 6}]}"#, "between 1 and 10"),
            (r#"{"all_of": [{"subject": "max", "count": 2}]}"#, "one person"),
            (r#"{"approvers": ["role:m"], "quorum": 0}"#, "between 1 and 10"),
            (r#"{"approvers": ["role:m"], "grant": "25h"}"#, "at most"),
            (r#"{"approvers": ["role:m"], "grant": "0s"}"#, "at most"),
            (r#"{"approvers": ["role:m"], "grant": "1h", "preview": "full"}"#, "no place beside it"),
            (r#"{"approvers": ["role:m"], "grant": "1h", "valid": "1h"}"#, "no place beside it"),
            (r#"{"approvers": ["role:m"], "denial": "some"}"#, "unknown variant"),
        ] {
            let error = compile(json).expect_err(json);
            assert!(error.contains(part), "{json}: {error}");
        }
        assert!(compile(r#"{"approvers": ["role:m"], "hold": "0s"}"#).is_ok());
    }

    #[test]
    fn a_way_past_approvers_needs_reviewers() {
        let compile = |json: &str| {
            let config: BreakGlassConfig = serde_json::from_str(json).unwrap();
            let mut problems = Problems::new();
            ApprovalDemand::compile_break_glass(&config, &At::root(), &mut problems)
        };
        assert!(compile(r#"{"reviewers": ["role:security"]}"#).is_some_and(|demand| demand.break_glass));
        assert!(compile(r#"{"reviewers": []}"#).is_none());
        assert!(compile(r#"{"reviewers": ["security"]}"#).is_none());
        assert!(compile(r#"{"reviewers": ["role:security"], "review": "0s"}"#).is_none());
    }

    #[test]
    fn a_blank_reason_is_none() {
        assert_eq!(break_glass_reason(Some(" disk full, ticket 7 ")), Some("disk full, ticket 7"));
        for none in [None, Some(""), Some("  ")] {
            assert_eq!(break_glass_reason(none), None);
        }
        assert_eq!(break_glass_reason(Some(&"x".repeat(1_001))), None);
    }
}
