//! The approval itself: its parts, its fingerprint, and the rules about who may decide and when.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::rfc3339;
use crate::error::Error;
use crate::people::{Kin, Marks, Person};

use super::terms::{Asks, Filled, Kind, Sight, Vote};

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
        if self.preview.truncated && self.asks.preview == Sight::Full {
            return wrong(
                "the rule wants approvers to see all of the request, and the preview is cut".into(),
            );
        }
        self.asks.check()
    }

    /// What the approval is bound to. Each part goes in behind its length, so that no two lists of parts share
    /// a fingerprint.
    /// A standing grant is bound to operations and graphs instead of to bytes.
    pub fn fingerprint(&self) -> Result<Vec<u8>, Error> {
        let standing = self.asks.kind() == Kind::Standing;
        let operations = serde_json::to_vec(&self.bound_operations())?;
        let asks = serde_json::to_vec(&self.asks)?;
        let parts: [&[u8]; 7] = [
            self.requester.issuer.as_bytes(),
            self.requester.subject.as_bytes(),
            &operations,
            if standing { b"standing" } else { self.digest.as_bytes() },
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

impl Ask {
    /// The operations that the approval is for: all that is known of them, or for a standing grant the pattern
    /// that later requests have to fit, each once.
    pub fn bound_operations(&self) -> Vec<OperationView> {
        if self.asks.kind() != Kind::Standing {
            return self.operations.clone();
        }
        let mut patterns: Vec<OperationView> = Vec::new();
        for operation in &self.operations {
            let kept = ["graph", "assistant"];
            let more = operation.more.iter().filter(|(name, _)| kept.contains(&name.as_str()));
            let more = more.map(|(name, value)| (name.clone(), value.clone())).collect();
            let pattern = OperationView { more, ..operation.clone() };
            if !patterns.contains(&pattern) {
                patterns.push(pattern);
            }
        }
        patterns
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
    /// Which of the approvers they were, in the words of the rule.
    pub fits: Vec<String>,
}

impl Decision {
    fn marks(&self) -> Marks<'_> {
        Marks { issuer: &self.issuer, subject: &self.subject, email: self.email.as_deref() }
    }
}

/// What someone says about an approval after it ended or was granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// What it is.
    pub kind: RemarkKind,
    /// `accepted` or `objected` for a review.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Who says it: their subject.
    pub subject: String,
    /// Their name.
    pub name: Option<String>,
    /// Their issuer.
    pub issuer: String,
    /// When, in milliseconds since the Unix epoch.
    pub at: i64,
    /// In their words.
    pub comment: Option<String>,
}

/// The kinds of remarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RemarkKind {
    /// Someone looked at how approvers were passed by.
    Review,
    /// Someone took a standing grant back.
    Revocation,
}

impl RemarkKind {
    /// The word in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Review => "review",
            Self::Revocation => "revocation",
        }
    }
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
    /// What the rule asks for.
    pub asks: Asks,
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
    /// What was said about it afterwards: a review, a revocation.
    pub remarks: Vec<Remark>,
    /// Which issuers share their subjects.
    pub kin: Arc<Kin>,
}

impl Approval {
    /// The kind of approval.
    pub const fn kind(&self) -> Kind {
        self.asks.kind()
    }

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

    /// The votes of distinct people.
    fn votes(&self) -> Vec<Vote<'_>> {
        let mut people: Vec<&Decision> = Vec::new();
        for decision in &self.decisions {
            let known = |other: &&Decision| {
                other.verdict == decision.verdict && self.kin.is_one(other.marks(), decision.marks())
            };
            if !people.iter().any(known) {
                people.push(decision);
            }
        }
        people.into_iter().map(|decision| Vote { verdict: decision.verdict, fits: &decision.fits }).collect()
    }

    /// How many of the approvals that are asked for are there, of distinct people.
    pub fn approvals(&self) -> usize {
        self.asks.approved(&self.votes())
    }

    /// How far each kind of seats is filled; empty where any approver will do.
    pub fn seats(&self) -> Vec<Filled> {
        self.asks.filled(&self.votes())
    }

    /// What the decisions come to; `None` while more are needed.
    pub fn outcome(&self) -> Option<Verdict> {
        self.asks.outcome(&self.votes())
    }

    fn is_requester(&self, person: &Person) -> bool {
        let requester = &self.requester;
        let marks = Marks {
            issuer: &requester.issuer,
            subject: &requester.subject,
            email: requester.email.as_deref(),
        };
        self.kin.is_one(person.marks(), marks)
    }

    /// Whether `person` may review how approvers were passed by, or why not.
    pub fn may_review(&self, person: &Person) -> Result<(), Error> {
        if self.kind() != Kind::BreakGlass {
            return Err(Error::NothingToReview);
        }
        if self.remarks.iter().any(|remark| remark.kind == RemarkKind::Review) {
            return Err(Error::ReviewedBefore);
        }
        self.may_ever_decide(person)
    }

    /// Whether `person` may take a standing grant back, or why not. Whoever has it may give it up.
    pub fn may_revoke(&self, person: &Person, now: i64) -> Result<(), Error> {
        if self.kind() != Kind::Standing {
            return Err(Error::NothingToRevoke);
        }
        match self.status_at(now) {
            Status::Approved if self.is_requester(person) => Ok(()),
            Status::Approved => self.may_ever_decide(person),
            status => Err(Error::Late(status)),
        }
    }

    /// Whether `person` may decide now, or why not. The order is that of the words a person needs: the state
    /// first, then who they are.
    pub fn may_decide(&self, person: &Person, now: i64) -> Result<(), Error> {
        let me = person.marks();
        let decided = self.decisions.iter().any(|other| self.kin.is_one(me, other.marks()));
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
        if self.is_requester(person) {
            return Err(Error::OwnRequest);
        }
        if !self.asks.fits(person).is_empty() {
            return Ok(());
        }
        Err(Error::NotApprover { asked: self.asks.words(), have: person.roles_in_words() })
    }

    /// The contract's answer to a gateway or an approver.
    pub fn answer(&self, status: Status, url: String) -> Answer {
        Answer { id: self.id.clone(), status, kind: self.kind(), decisions: self.answer_decisions(), url }
    }

    /// The decisions for the contract: with a way past approvers first the requester's own reason.
    fn answer_decisions(&self) -> Vec<AnswerDecision> {
        let past = self.asks.break_glass.as_ref().map(|past| AnswerDecision {
            approver: AnswerApprover {
                issuer: self.requester.issuer.clone(),
                subject: self.requester.subject.clone(),
                name: self.requester.name.clone(),
                email: self.requester.email.clone(),
            },
            decision: "break_glass",
            at: rfc3339(self.created_at),
            comment: Some(past.reason.clone()),
        });
        let taken = self.decisions.iter().map(|decision| AnswerDecision {
            approver: AnswerApprover {
                issuer: decision.issuer.clone(),
                subject: decision.subject.clone(),
                name: decision.name.clone(),
                email: decision.email.clone(),
            },
            decision: decision.verdict.word(),
            at: rfc3339(decision.at),
            comment: decision.comment.clone(),
        });
        past.into_iter().chain(taken).collect()
    }
}

/// The contract's answer.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// The approval's id.
    pub id: String,
    /// Where it stands for this exchange.
    pub status: Status,
    /// What kind of approval it is.
    pub kind: Kind,
    /// Every decision, in order.
    pub decisions: Vec<AnswerDecision>,
    /// The page for people.
    pub url: String,
}

/// A decision in an [`Answer`].
#[derive(Debug, Clone, Serialize)]
pub struct AnswerDecision {
    approver: AnswerApprover,
    decision: &'static str,
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
