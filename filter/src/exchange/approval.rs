//! The approval contract from the gate's side: the question, and what counts as an answer.
//!
//! ```json
//! {"id":"01J…","status":"pending","decisions":[],"url":"https://desk.example.com/approvals/01J…"}
//! ```
//! Anything but an exact 200 with such a body means no.

use std::collections::BTreeSet;

use graphwarden_policies::access::{ApprovalDemand, Denial, Sight};
use graphwarden_policies::evidence::{ApprovalDecision, OperationRecord};
use graphwarden_policies::identity::Identity;
use graphwarden_policies::reason::Reason;
use serde::{Deserialize, Serialize};

use super::event::CallReply;

/// The longest id and URL that are taken from the service.
const LONGEST_TEXT: usize = 2_048;

#[derive(Serialize)]
pub(super) struct Question<'a> {
    pub(super) exchange: &'a str,
    pub(super) requester: Requester<'a>,
    pub(super) operations: &'a [OperationRecord],
    pub(super) rule: &'a str,
    pub(super) asks: Asks<'a>,
    pub(super) policy: &'a str,
    pub(super) digest: &'a str,
    pub(super) preview: Preview<'a>,
    pub(super) gateway: &'a str,
}

#[derive(Serialize)]
pub(super) struct Requester<'a> {
    issuer: &'a str,
    subject: &'a str,
    name: Option<&'a str>,
    email: Option<&'a str>,
    roles: &'a [String],
}

#[derive(Serialize)]
pub(super) struct Asks<'a> {
    approvers: &'a [String],
    quorum: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    all_of: Vec<Seat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denial: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    break_glass: Option<BreakGlass<'a>>,
    valid_seconds: u64,
    expires_seconds: u64,
}

#[derive(Serialize)]
struct Seat<'a> {
    approver: &'a str,
    count: u32,
}

#[derive(Serialize)]
struct BreakGlass<'a> {
    reason: &'a str,
}

#[derive(Serialize)]
pub(super) struct Preview<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) body: &'a str,
    pub(super) truncated: bool,
}

impl<'a> From<&'a Identity> for Requester<'a> {
    fn from(identity: &'a Identity) -> Self {
        Self {
            issuer: &identity.issuer,
            subject: &identity.subject,
            name: identity.name.as_deref(),
            email: identity.email.as_deref(),
            roles: &identity.roles,
        }
    }
}

impl<'a> Asks<'a> {
    /// `reason` is why the caller goes past approvers, where the rule lets them.
    pub(super) fn new(demand: &'a ApprovalDemand, reason: Option<&'a str>) -> Self {
        Self {
            approvers: &demand.approvers,
            quorum: demand.quorum,
            all_of: demand
                .all_of
                .iter()
                .map(|seats| Seat { approver: &seats.approver, count: seats.count })
                .collect(),
            denial: (demand.denial == Denial::Majority).then_some("majority"),
            preview: (demand.preview == Sight::Full).then_some("full"),
            grant_seconds: demand.grant.map(|grant| grant.as_secs()),
            break_glass: reason.filter(|_| demand.break_glass).map(|reason| BreakGlass { reason }),
            valid_seconds: demand.valid.as_secs(),
            expires_seconds: demand.expires.as_secs(),
        }
    }
}

/// What an approval has to be, for the gate to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    quorum: u32,
    denial: Denial,
    kind: Kind,
}

/// What kind of approval a rule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bytes,
    Standing,
    BreakGlass,
}

impl From<&ApprovalDemand> for Terms {
    fn from(demand: &ApprovalDemand) -> Self {
        let kind = match (demand.break_glass, demand.grant) {
            (true, _) => Kind::BreakGlass,
            (false, Some(_)) => Kind::Standing,
            (false, None) => Kind::Bytes,
        };
        Self { quorum: demand.quorum, denial: demand.denial, kind }
    }
}

impl Terms {
    /// The kind's name in the record, where it is not the usual one.
    pub(super) fn kind(self) -> Option<&'static str> {
        match self.kind {
            Kind::Bytes => None,
            Kind::Standing => Some("standing"),
            Kind::BreakGlass => Some("break_glass"),
        }
    }
}

/// What the service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// A sound answer.
    Sound(Sound),
    /// The service cannot answer now; asking again may help.
    Unavailable,
    /// The service will not answer this question, however often it is asked.
    Refuses,
    /// As many approvals of this person are open as may be.
    Limited,
}

/// A sound answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Sound {
    pub(super) id: String,
    pub(super) status: Status,
    #[serde(default)]
    pub(super) decisions: Vec<ApprovalDecision>,
    #[serde(default)]
    pub(super) url: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Approved,
    Pending,
    Denied,
    Expired,
    Cancelled,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Pending => "pending",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Answer {
    pub(super) fn read(reply: &CallReply) -> Self {
        match reply.status {
            Some(429) if is_limit(&reply.body) => Self::Limited,
            Some(200) => Self::sound(&reply.body).map_or(Self::Unavailable, Self::Sound),
            // A time-out, too many requests, and what Envoy says for a service that it cannot reach.
            Some(408 | 425 | 429 | 500..) | None => Self::Unavailable,
            Some(400..=499) => Self::Refuses,
            Some(_) => Self::Unavailable,
        }
    }

    fn sound(body: &[u8]) -> Option<Sound> {
        let mut sound: Sound = serde_json::from_slice(body).ok()?;
        // Ids go into a path, URLs to people: neither may hold what would change their meaning there.
        let id_is_safe = !sound.id.is_empty()
            && sound.id.len() <= 128
            && sound
                .id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if !id_is_safe {
            return None;
        }
        sound.url = sound.url.filter(|url| {
            url.len() <= LONGEST_TEXT
                && (url.starts_with("https://") || url.starts_with("http://"))
                && url.bytes().all(|byte| byte.is_ascii_graphic())
        });
        Some(sound)
    }
}

/// Whether a problem (RFC 9457) says that this person has too many open; any other 429 may pass by itself.
fn is_limit(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Problem {
        reason: String,
    }
    serde_json::from_slice::<Problem>(body)
        .is_ok_and(|problem| problem.reason == Reason::ApprovalLimit.code())
}

/// The id of an approval that a reply says is open or granted: what has to be withdrawn when nobody waits for it.
pub fn open_approval(reply: &CallReply) -> Option<String> {
    match Answer::read(reply) {
        Answer::Sound(Sound { id, status: Status::Pending | Status::Approved, .. }) => Some(id),
        Answer::Sound(_) | Answer::Unavailable | Answer::Refuses | Answer::Limited => None,
    }
}

impl Sound {
    /// Whether an approval is what it says: granted by as many people as were asked for, not by the one who
    /// asks, and against nobody's denial; or, past approvers, written down with the reason. The service has to
    /// see to that; a gate that took its word would make it the only guard.
    pub(super) fn is_granted(&self, requester: &Identity, terms: Terms) -> bool {
        let people = |word: &str| -> BTreeSet<(&str, &str)> {
            self.decisions
                .iter()
                .filter(|decision| decision.decision == word)
                .map(|decision| (decision.approver.issuer.as_str(), decision.approver.subject.as_str()))
                .collect()
        };
        let requester = (requester.issuer.as_str(), requester.subject.as_str());
        if self.status != Status::Approved {
            return false;
        }
        if terms.kind == Kind::BreakGlass {
            return people("break_glass").contains(&requester);
        }
        let quorum = usize::try_from(terms.quorum.max(1)).unwrap_or(usize::MAX);
        let (approvers, deniers) = (people("approve"), people("deny"));
        let denied = match terms.denial {
            Denial::One => !deniers.is_empty(),
            Denial::Majority => deniers.len() >= quorum,
        };
        approvers.len() >= quorum && !approvers.contains(&requester) && !denied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer::read(&CallReply { status: Some(status), body: body.as_bytes().to_vec() })
    }

    #[test]
    fn only_an_exact_200_with_a_valid_body_is_sound() {
        let body = r#"{"id":"a1","status":"approved","decisions":[],"url":null}"#;
        assert!(matches!(answer(200, body), Answer::Sound(_)));
        for status in [201, 202, 204, 302, 500, 503, 504] {
            assert_eq!(answer(status, body), Answer::Unavailable, "{status}");
        }
        for status in [400, 401, 403, 404, 409, 422] {
            assert_eq!(answer(status, body), Answer::Refuses, "{status}");
        }
        for garbage in [
            "",
            "approved",
            "true",
            r#"{"status":"approved"}"#,
            r#"{"id":"a1"}"#,
            r#"{"id":"a1","status":"APPROVED"}"#,
            r#"{"id":"a1","status":"granted"}"#,
            r#"{"id":"","status":"approved"}"#,
            r#"{"id":"a/../b","status":"approved"}"#,
            r#"{"id":"a1","status":"approved""#,
        ] {
            assert_eq!(answer(200, garbage), Answer::Unavailable, "{garbage}");
        }
        assert_eq!(Answer::read(&CallReply { status: None, body: Vec::new() }), Answer::Unavailable);
    }

    #[test]
    fn only_the_limit_of_one_person_ends_the_asking() {
        assert_eq!(answer(429, r#"{"reason":"approval_limit","status":429}"#), Answer::Limited);
        for other in ["", "slow down", r#"{"reason":"too_many_requests"}"#] {
            assert_eq!(answer(429, other), Answer::Unavailable, "{other}");
        }
    }

    #[test]
    fn a_url_that_is_no_web_address_is_dropped() {
        for (url, kept) in [("https://desk/a", true), ("javascript:alert(1)", false), ("https://a b", false)]
        {
            let body = format!(r#"{{"id":"a1","status":"pending","url":"{url}"}}"#);
            let Answer::Sound(sound) = answer(200, &body) else { panic!("{body}") };
            assert_eq!(sound.url.is_some(), kept, "{url}");
        }
    }
}
