//! The approval itself: its parts, its fingerprint, and the rules about who may decide and when.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::rfc3339;
use crate::error::Error;
use crate::people::Person;

/// The longest window that a rule may ask for: 30 days, in seconds.
const LONGEST_WINDOW: u64 = 30 * 24 * 3_600;
/// The largest quorum: more distinct people than any process asks for.
const LARGEST_QUORUM: u32 = 20;
/// The longest comment, in bytes.
const LONGEST_COMMENT: usize = 4_000;

/// What a gateway sends to `POST /v1/approvals`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Ask {
    /// The id of the gateway's exchange: the same id gets the same answer.
    pub exchange: String,
    /// Who wants it.
    pub requester: Requester,
    /// What the request does.
    pub operations: Vec<OperationView>,
    /// The rule that asked.
    pub rule: String,
    /// What the rule asks for.
    pub asks: Asks,
    /// The policy's digest.
    pub policy: String,
    /// The keyed digest of method, path, query and body.
    pub digest: String,
    /// The request, masked, for people to read.
    pub preview: Preview,
    /// The gateway's name.
    #[serde(default)]
    pub gateway: String,
}

/// Who wants it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Requester {
    /// The token's issuer.
    pub issuer: String,
    /// The token's subject.
    pub subject: String,
    /// A name for people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The roles that the rules saw.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// One operation, as the gateway names it. What the desk does not know, it keeps and shows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct OperationView {
    /// `resource.action`.
    pub operation: String,
    /// How much it may change.
    #[serde(default)]
    pub class: String,
    /// Everything else: graph, assistant, thread, run, …
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

impl OperationView {
    /// A text member such as `graph` or `thread`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.more.get(name).and_then(serde_json::Value::as_str).filter(|text| !text.is_empty())
    }
}

/// What a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Asks {
    /// Who may decide.
    pub approvers: Vec<String>,
    /// How many distinct people have to approve.
    pub quorum: u32,
    /// How long a granted approval can be claimed, in seconds.
    pub valid_seconds: u64,
    /// When an undecided one ends, in seconds from its creation.
    pub expires_seconds: u64,
}

/// The request as people may see it: masked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Preview {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The masked body.
    pub body: String,
    /// Whether the body was cut.
    pub truncated: bool,
}

/// Someone who may decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approver {
    /// Anyone with the role.
    Role(String),
    /// Anyone in the group.
    Group(String),
    /// The person with this subject at the desk's issuer.
    Subject(String),
}

impl Approver {
    /// Reads `role:NAME`, `group:NAME` or `subject:ID`.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':')?;
        if name.is_empty() {
            return None;
        }
        match kind {
            "role" => Some(Self::Role(name.to_owned())),
            "group" => Some(Self::Group(name.to_owned())),
            "subject" => Some(Self::Subject(name.to_owned())),
            _ => None,
        }
    }

    /// Whether `person` is meant.
    pub fn is(&self, person: &Person) -> bool {
        match self {
            Self::Role(role) => person.roles.contains(role),
            Self::Group(group) => person.groups.contains(group),
            Self::Subject(subject) => person.subject == *subject,
        }
    }

    /// In words: `the role manager`.
    pub fn words(&self) -> String {
        match self {
            Self::Role(name) => format!("the role {name}"),
            Self::Group(name) => format!("the group {name}"),
            Self::Subject(name) => format!("the person {name}"),
        }
    }
}

impl Ask {
    /// Checks what JSON alone does not: ids, windows, approvers.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |what: String| Err(Error::Malformed(what));
        if self.exchange.is_empty() || self.exchange.len() > 128 {
            return wrong("`exchange` has to have 1 to 128 characters".into());
        }
        if self.requester.issuer.is_empty() || self.requester.subject.is_empty() {
            return wrong("`requester` needs `issuer` and `subject`".into());
        }
        if self.operations.is_empty() {
            return wrong("`operations` is empty".into());
        }
        if self.digest.len() != 64 || !self.digest.bytes().all(|b| b.is_ascii_hexdigit()) {
            return wrong("`digest` has to be 64 hexadecimal digits".into());
        }
        if self.policy.is_empty() || self.rule.is_empty() {
            return wrong("`policy` and `rule` have to be given".into());
        }
        let asks = &self.asks;
        if !(1..=LARGEST_QUORUM).contains(&asks.quorum) {
            return wrong(format!("`asks.quorum` has to be 1 to {LARGEST_QUORUM}"));
        }
        for (name, seconds) in
            [("valid_seconds", asks.valid_seconds), ("expires_seconds", asks.expires_seconds)]
        {
            if !(1..=LONGEST_WINDOW).contains(&seconds) {
                return wrong(format!("`asks.{name}` has to be 1 to {LONGEST_WINDOW}"));
            }
        }
        if asks.approvers.is_empty() {
            return wrong("`asks.approvers` is empty, so nobody could decide".into());
        }
        match asks.approvers.iter().find(|text| Approver::parse(text).is_none()) {
            Some(_) => {
                wrong("`asks.approvers` holds one that is not role:NAME, group:NAME or subject:ID".into())
            }
            None => Ok(()),
        }
    }

    /// What the approval is bound to. Each part goes in behind its length, so that no two lists of parts share
    /// a fingerprint.
    pub fn fingerprint(&self) -> Result<Vec<u8>, Error> {
        let operations = serde_json::to_vec(&self.operations)?;
        let asks = serde_json::to_vec(&self.asks)?;
        let parts: [&[u8]; 7] = [
            self.requester.issuer.as_bytes(),
            self.requester.subject.as_bytes(),
            &operations,
            self.digest.as_bytes(),
            self.policy.as_bytes(),
            self.rule.as_bytes(),
            &asks,
        ];
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Ok(hasher.finalize().to_vec())
    }
}

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nobody has decided enough yet.
    Pending,
    /// Granted.
    Approved,
    /// Someone said no.
    Denied,
    /// Its time ran out.
    Expired,
    /// Whoever asked has gone.
    Cancelled,
}

impl Status {
    /// The word in the contract and on the pages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads [`Status::word`].
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Approved, Self::Denied, Self::Expired, Self::Cancelled]
            .into_iter()
            .find(|status| status.word() == word)
    }
}

/// What one person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No.
    Deny,
}

impl Verdict {
    /// The word in the contract.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
        }
    }
}

/// A decision as a person gives it: `{"decision": "approve", "comment": "…"}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Yes or no.
    pub decision: Verdict,
    /// Why, in the person's words.
    #[serde(default)]
    pub comment: Option<String>,
}

impl Given {
    /// The comment, trimmed; absent where there is none. An error where it is too long.
    pub fn comment(&self) -> Result<Option<String>, Error> {
        let comment = self.comment.as_deref().map(str::trim).filter(|comment| !comment.is_empty());
        match comment {
            Some(comment) if comment.len() > LONGEST_COMMENT => {
                Err(Error::Malformed(format!("the comment is longer than {LONGEST_COMMENT} bytes")))
            }
            comment => Ok(comment.map(str::to_owned)),
        }
    }
}

/// A decision that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The issuer that vouched for the approver.
    pub issuer: String,
    /// Their subject there.
    pub subject: String,
    /// A name for people to read.
    pub name: Option<String>,
    /// An e-mail address.
    pub email: Option<String>,
    /// Yes or no.
    pub verdict: Verdict,
    /// When, in milliseconds since the Unix epoch.
    pub at: i64,
    /// Why, in the person's words.
    pub comment: Option<String>,
}

/// An approval as it is stored, settled at some moment.
#[derive(Debug, Clone)]
pub struct Approval {
    /// Its id.
    pub id: String,
    /// Who wants it.
    pub requester: Requester,
    /// What the request does.
    pub operations: Vec<OperationView>,
    /// The rule that asked.
    pub rule: String,
    /// Who may decide, as the rule wrote it.
    pub approvers: Vec<String>,
    /// How many distinct people have to approve.
    pub quorum: u32,
    /// The policy's digest.
    pub policy: String,
    /// The request's keyed digest.
    pub digest: String,
    /// The request, masked.
    pub preview: Preview,
    /// The gateway's name.
    pub gateway: String,
    /// When it was asked first.
    pub created_at: i64,
    /// When it ends undecided.
    pub undecided_until: i64,
    /// How long it can be claimed once granted, in milliseconds.
    pub valid_ms: i64,
    /// Where it stands.
    pub status: Status,
    /// When it left `pending`.
    pub ended_at: Option<i64>,
    /// Until when a granted one can be claimed.
    pub claimable_until: Option<i64>,
    /// The exchange that claimed it.
    pub claimed_by: Option<String>,
    /// When it was claimed.
    pub claimed_at: Option<i64>,
    /// Every decision, in order.
    pub decisions: Vec<Decision>,
}

impl Approval {
    /// The status at `now`, whatever was stored: time ends approvals without anyone writing it down.
    pub fn status_at(&self, now: i64) -> Status {
        match self.status {
            Status::Pending if now >= self.undecided_until => Status::Expired,
            Status::Approved
                if self.claimed_by.is_none() && self.claimable_until.is_none_or(|until| now >= until) =>
            {
                Status::Expired
            }
            status => status,
        }
    }

    /// How many distinct people have approved.
    pub fn approvals(&self) -> usize {
        let mut people: Vec<&Decision> = Vec::new();
        for decision in self.decisions.iter().filter(|decision| decision.verdict == Verdict::Approve) {
            let known = people.iter().any(|other| {
                same_person(
                    (&other.issuer, &other.subject, other.email.as_deref()),
                    (&decision.issuer, &decision.subject, decision.email.as_deref()),
                )
            });
            if !known {
                people.push(decision);
            }
        }
        people.len()
    }

    /// Whether `person` may decide now, or why not. The order is that of the words a person needs: the state
    /// first, then who they are.
    pub fn may_decide(&self, person: &Person, now: i64) -> Result<(), Error> {
        let me = (person.issuer.as_str(), person.subject.as_str(), person.email.as_deref());
        let decided = self
            .decisions
            .iter()
            .any(|other| same_person(me, (&other.issuer, &other.subject, other.email.as_deref())));
        if decided {
            return Err(Error::DecidedBefore);
        }
        match self.status_at(now) {
            Status::Pending => {}
            status => return Err(Error::Late(status)),
        }
        self.may_ever_decide(person)
    }

    /// Whether `person` is one of those whom the rule asks, and not the requester.
    pub fn may_ever_decide(&self, person: &Person) -> Result<(), Error> {
        let me = (person.issuer.as_str(), person.subject.as_str(), person.email.as_deref());
        let requester = &self.requester;
        if same_person(me, (&requester.issuer, &requester.subject, requester.email.as_deref())) {
            return Err(Error::OwnRequest);
        }
        let asked: Vec<Approver> = self.approvers.iter().filter_map(|text| Approver::parse(text)).collect();
        if asked.iter().any(|approver| approver.is(person)) {
            return Ok(());
        }
        Err(Error::NotApprover {
            asked: asked.iter().map(Approver::words).collect::<Vec<_>>().join(" or "),
            have: person.roles_in_words(),
        })
    }

    /// The contract's answer to a gateway or an approver.
    pub fn answer(&self, status: Status, url: String) -> Answer {
        Answer {
            id: self.id.clone(),
            status,
            decisions: self
                .decisions
                .iter()
                .map(|decision| AnswerDecision {
                    approver: AnswerApprover {
                        issuer: decision.issuer.clone(),
                        subject: decision.subject.clone(),
                        name: decision.name.clone(),
                        email: decision.email.clone(),
                    },
                    decision: decision.verdict,
                    at: rfc3339(decision.at),
                    comment: decision.comment.clone(),
                })
                .collect(),
            url,
        }
    }
}

/// Whether two are one person: the same subject of the same issuer, or the same e-mail address, whatever
/// issuer vouches for it. The second can only refuse more, never less.
fn same_person(one: (&str, &str, Option<&str>), other: (&str, &str, Option<&str>)) -> bool {
    if one.0 == other.0 && one.1 == other.1 {
        return true;
    }
    match (one.2, other.2) {
        (Some(one), Some(other)) => !one.is_empty() && one.eq_ignore_ascii_case(other),
        _ => false,
    }
}

/// The contract's answer.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// The approval's id.
    pub id: String,
    /// Where it stands for this exchange.
    pub status: Status,
    /// Every decision, in order.
    pub decisions: Vec<AnswerDecision>,
    /// The page for people.
    pub url: String,
}

/// A decision in an [`Answer`].
#[derive(Debug, Clone, Serialize)]
pub struct AnswerDecision {
    approver: AnswerApprover,
    decision: Verdict,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

/// An approver in an [`Answer`].
#[derive(Debug, Clone, Serialize)]
struct AnswerApprover {
    issuer: String,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}
