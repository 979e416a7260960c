//! One record: who called what, what was decided, who agreed, and how it ended. Schema version 1.
//!
//! Absent is not the same as empty: a part that is not known yet (a denied request has no response) is left
//! out of the line. Nothing here may hold a raw token or an unmasked value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::identity::{Actor, Identity};
use crate::operation::{Class, Operation};

/// The schema's version, `v` in every line.
pub const VERSION: u32 = 1;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A chain begins: a gateway's VM has started with this policy.
    Start,
    /// A request was judged and is about to be acted on.
    Admission,
    /// A piece of a response that streams, written while it does.
    Segment,
    /// An exchange has ended.
    Outcome,
}

/// One record, before it is sealed into a chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What it is about.
    pub kind: Kind,
    /// The exchange's id; the admission and the outcome of one exchange share it.
    pub exchange: String,
    /// When, by the gateway's clock: RFC 3339 in UTC with microseconds.
    pub at: String,
    /// The gateway's name.
    pub gateway: String,
    /// The digest of the policy in force, lower-case hexadecimal SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The `x-request-id` under which Envoy and LangGraph log the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Who called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<ActorRecord>,
    /// The token that said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenRecord>,
    /// Where the call came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceRecord>,
    /// The request as it was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestRecord>,
    /// What the request does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<OperationRecord>,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionRecord>,
    /// Who agreed, where someone had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// A piece of the response, where it streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<SegmentRecord>,
    /// What came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<ResponseRecord>,
}

/// Who called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorRecord {
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// A person or a machine.
    pub kind: Actor,
}

/// The token's marks, none of which can be used as a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// The `jti` claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The `iat` claim, seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// The `exp` claim, seconds since the Unix epoch.
    pub exp: i64,
    /// The header's `alg`.
    pub alg: String,
    /// The header's `kid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// SHA-256 of the token, lower-case hexadecimal.
    pub sha256: String,
}

/// Where the call came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// The peer's address and port as Envoy saw them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The `user-agent` header, cut at 256 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// The request as it was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// The method.
    pub method: String,
    /// The path that was judged and forwarded, without its query.
    pub path: String,
    /// The keyed digest of method, path, query and body, lower-case hexadecimal HMAC-SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The body's length in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The masked body, cut at the policy's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Whether `body` was cut.
    #[serde(default, skip_serializing_if = "is_false")]
    pub body_truncated: bool,
}

/// One operation of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationRecord {
    /// `resource.action`.
    pub operation: String,
    /// How much it may change.
    pub class: Class,
    /// The graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<String>,
    /// The assistant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assistant: Option<String>,
    /// The thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The cron.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The store namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace: Vec<String>,
    /// The tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// The effect.
    pub effect: EffectRecord,
    /// The rule that decided; absent where the default or the gate itself did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The reason code of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the gate only observed: refused nothing, and wrote what it would have done.
    #[serde(default, skip_serializing_if = "is_false")]
    pub observed: bool,
}

/// The effect of a decision, as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EffectRecord {
    /// Forwarded.
    Allow,
    /// Refused.
    Deny,
}

/// The approval that the request met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Its id at the approval service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `standing` for a grant of operations, `break_glass` for a way past approvers; absent for these bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its status when the exchange went on without it or with it.
    pub status: String,
    /// Every decision taken, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<ApprovalDecision>,
    /// How long the request was held for it, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_ms: Option<u64>,
}

/// One approver's decision, as the approval service told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalDecision {
    /// Who decided.
    pub approver: Approver,
    /// `approve` or `deny`.
    pub decision: String,
    /// When, by the approval service's clock (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What they wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// An approver, as the approval service knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approver {
    /// The issuer that vouched for them.
    pub issuer: String,
    /// Their subject there.
    pub subject: String,
    /// A name for people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// Some pieces of a response that streams, in the order they were sent. All segments of an exchange one after
/// the other are the masked stream as the caller received it, up to where it was cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRecord {
    /// Its place among the segments of the exchange, from 0.
    pub index: u64,
    /// The pieces.
    pub pieces: Vec<Piece>,
}

/// A piece of a stream: when it was sent, in milliseconds since the exchange began, and its masked text.
/// `[1204, "data: …"]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece(pub u64, pub String);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseRecord {
    /// The status that the caller received.
    pub status: u16,
    /// How many values were masked, by detector or field rule.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub masked: BTreeMap<String, u64>,
    /// How many bytes of body the caller was sent.
    pub bytes: u64,
    /// The masked body, cut at the policy's limit. The last member of its line, and written by
    /// [`Chain::seal`](super::Chain::seal) alone.
    #[serde(default, skip_serializing)]
    pub body: Option<String>,
    /// How many segments the body was written in, where it streamed; `body` is absent then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<u64>,
    /// Whether `body`, or the segments, end before the body did.
    #[serde(default, skip_serializing_if = "is_false")]
    pub body_truncated: bool,
    /// SHA-256 of the whole masked body, lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_sha256: Option<String>,
    /// From the request's first byte to the end, in microseconds, holds included.
    pub duration_us: u64,
    /// How it ended.
    pub end: End,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The response went out whole.
    Complete,
    /// The response was cut by the gate or by the upstream.
    Reset,
    /// The client left before the end.
    ClientGone,
}

impl Record {
    /// A record with nothing known but what every record has. `at` is in microseconds since the Unix epoch.
    pub fn new(kind: Kind, exchange: &str, gateway: &str, at: u64) -> Self {
        Self {
            kind,
            exchange: exchange.to_owned(),
            at: timestamp(at),
            gateway: gateway.to_owned(),
            policy: None,
            request_id: None,
            actor: None,
            token: None,
            source: None,
            request: None,
            operations: Vec::new(),
            decision: None,
            approval: None,
            segment: None,
            response: None,
        }
    }

    /// Adds who called and with which token.
    pub fn by(&mut self, identity: &Identity) {
        self.actor = Some(ActorRecord {
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            name: identity.name.clone(),
            email: identity.email.clone(),
            roles: identity.roles.clone(),
            kind: identity.actor,
        });
        self.token = Some(TokenRecord {
            jti: identity.token.jti.clone(),
            iat: identity.token.iat,
            exp: identity.token.exp,
            alg: identity.token.alg.clone(),
            kid: identity.token.kid.clone(),
            sha256: identity.token.sha256.clone(),
        });
    }
}

impl From<&Operation> for OperationRecord {
    fn from(operation: &Operation) -> Self {
        Self {
            operation: operation.name(),
            class: operation.class,
            graph: operation.graph.clone(),
            assistant: operation.assistant.clone(),
            thread: operation.thread.clone(),
            run: operation.run.clone(),
            cron: operation.cron.clone(),
            namespace: operation.namespace.clone(),
            tool: operation.tool.clone(),
        }
    }
}

/// Microseconds since the Unix epoch as RFC 3339 in UTC, always with six decimals. A time that the calendar
/// cannot express (past the year 9999) becomes the epoch.
pub fn timestamp(microseconds: u64) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(microseconds) * 1_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .format(format)
        .unwrap_or_default()
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_have_six_decimals_and_end_in_z() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(timestamp(1_763_806_530_000_001), "2025-11-22T10:15:30.000001Z");
        assert_eq!(timestamp(u64::MAX), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let record = Record::new(Kind::Start, "x", "gate", 0);
        assert_eq!(
            serde_json::to_string(&record).unwrap(),
            r#"{"kind":"start","exchange":"x","at":"1970-01-01T00:00:00.000000Z","gateway":"gate"}"#
        );
    }

    #[test]
    fn a_record_reads_back_as_written() {
        let mut record = Record::new(Kind::Outcome, "x", "gate", 5);
        record.decision = Some(DecisionRecord {
            effect: EffectRecord::Deny,
            rule: Some("r".to_owned()),
            reason: Some("access_denied".to_owned()),
            observed: true,
        });
        record.response = Some(ResponseRecord {
            status: 403,
            masked: BTreeMap::from([("email".to_owned(), 2)]),
            bytes: 10,
            body: None,
            segments: Some(2),
            body_truncated: false,
            body_sha256: None,
            duration_us: 12,
            end: End::ClientGone,
        });
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
