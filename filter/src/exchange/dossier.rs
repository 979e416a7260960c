//! What is known about an exchange so far, kept for its record: every state adds to it, none reads decisions from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use graphwarden_policies::evidence::{
    Approval, DecisionRecord, EffectRecord, End, Kind, OperationRecord, Record, RequestRecord,
    ResponseRecord, SourceRecord, hex,
};
use graphwarden_policies::identity::Identity;
use graphwarden_policies::masking::Masking;
use graphwarden_policies::policy::Policy;
use graphwarden_policies::reason::Reason;

use sha2::{Digest, Sha256};

use super::gate::{Moment, Wall};
use super::recording::Recording;
use super::trace::Trace;

/// A caller can make a path as long as Envoy's header limit; a record keeps this much of it.
const LONGEST_PATH: usize = 2_048;
/// How much of `user-agent` a record keeps.
const LONGEST_USER_AGENT: usize = 256;

#[derive(Debug)]
pub(super) struct Dossier {
    /// Ours and random: a caller cannot choose it, so it cannot claim another exchange's approval.
    pub(super) exchange: String,
    pub(super) request_id: String,
    pub(super) trace: Option<Trace>,
    /// What lets the caller's page read an answer of the gate's own; empty where the policy lets none.
    pub(super) cors: Vec<(&'static str, String)>,
    pub(super) began: Moment,
    pub(super) slot: Slot,
    pub(super) source: SourceRecord,
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) request: Option<RequestRecord>,
    pub(super) operations: Vec<OperationRecord>,
    pub(super) decision: Option<DecisionRecord>,
    pub(super) approval: Option<Approval>,
    pub(super) status: u16,
    pub(super) masked: BTreeMap<String, u64>,
    pub(super) sent: Sent,
    /// What masks the response; `None` before the ruling.
    pub(super) masking: Option<Masking>,
    /// The request may change what LangGraph answers to lookups.
    pub(super) changes_lookups: bool,
    /// Where the response streams: what of it is written while it does.
    pub(super) recording: Option<Box<Recording>>,
    /// Whether its admission was written.
    pub(super) admitted: bool,
}

/// Whether room for this exchange's lines is set aside in the queue of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    None,
    Held,
}

/// What has been sent of the response.
#[derive(Debug, Default)]
pub(super) struct Sent {
    bytes: u64,
    kept: Vec<u8>,
    limit: usize,
    /// Over all that is sent, once that is more than is kept: what is kept whole, the line's own hash covers.
    hash: Option<Sha256>,
}

impl Dossier {
    pub(super) fn new(exchange: String) -> Self {
        Self {
            request_id: exchange.clone(),
            exchange,
            trace: None,
            cors: Vec::new(),
            began: Moment(0),
            slot: Slot::None,
            source: SourceRecord::default(),
            identity: None,
            request: None,
            operations: Vec::new(),
            decision: None,
            approval: None,
            status: 0,
            masked: BTreeMap::new(),
            sent: Sent::default(),
            masking: None,
            changes_lookups: false,
            recording: None,
            admitted: false,
        }
    }

    pub(super) fn came_from(&mut self, address: Option<String>, user_agent: Option<&[u8]>) {
        self.source.address = address;
        self.source.user_agent = user_agent.map(|text| cut(text, LONGEST_USER_AGENT));
    }

    /// The request line, without its query: queries can hold what must not be kept.
    pub(super) fn asked(&mut self, method: &[u8], path: &[u8]) {
        let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
        self.request = Some(RequestRecord {
            method: cut(method, 32),
            path: cut(path, LONGEST_PATH),
            digest: None,
            bytes: None,
            body: None,
            body_truncated: false,
        });
    }

    /// What the ruling asks of the rest of the exchange.
    pub(super) fn oblige(&mut self, masking: Masking, changes_lookups: bool) {
        self.masking = Some(masking);
        self.changes_lookups = changes_lookups;
    }

    pub(super) fn allowed(&mut self, rule: Option<String>) {
        self.decision =
            Some(DecisionRecord { effect: EffectRecord::Allow, rule, reason: None, observed: false });
    }

    pub(super) fn denied(&mut self, reason: Reason) {
        let rule = self.decision.take().and_then(|decision| decision.rule);
        self.decision = Some(DecisionRecord {
            effect: EffectRecord::Deny,
            rule,
            reason: Some(reason.code().to_owned()),
            observed: false,
        });
    }

    /// What enforcement would have refused.
    pub(super) fn would_deny(&mut self, rule: Option<String>, reason: Reason) {
        self.decision = Some(DecisionRecord {
            effect: EffectRecord::Deny,
            rule,
            reason: Some(reason.code().to_owned()),
            observed: true,
        });
    }

    /// The line that says what is about to be done.
    pub(super) fn admission(&self, policy: &Policy, wall: Wall) -> Record {
        let mut record = self.line(Kind::Admission, policy, wall);
        record.source = Some(self.source.clone());
        record.request = self.request.clone();
        record.operations = self.operations.clone();
        record.decision = self.decision.clone();
        record.approval = self.approval.clone();
        record
    }

    /// When what came of the stream should be written, at the latest.
    pub(super) fn segment_due(&self) -> Option<Moment> {
        self.recording.as_ref().and_then(|recording| recording.due())
    }

    /// The line that holds what came of the stream since the last one, where anything did, and about how many
    /// bytes of text it holds.
    pub(super) fn segment(&mut self, policy: &Policy, wall: Wall) -> Option<(Record, usize)> {
        let (segment, bytes) = self.recording.as_mut()?.take()?;
        let mut record = Record::new(Kind::Segment, &self.exchange, &policy.gateway, wall.0);
        record.segment = Some(segment);
        Some((record, bytes))
    }

    /// The line that says how it ended. It takes what it says with it: nothing comes after it.
    pub(super) fn outcome(&mut self, policy: &Policy, end: End, now: Moment, wall: Wall) -> Record {
        let mut record = self.line(Kind::Outcome, policy, wall);
        record.source = Some(std::mem::take(&mut self.source));
        record.request = self.request.take();
        record.operations = std::mem::take(&mut self.operations);
        record.decision = self.decision.take();
        record.approval = self.approval.take();
        let duration = now.since(self.began).as_micros();
        if self.status != 0 {
            let kept = std::mem::take(&mut self.sent.kept);
            let (segments, cut) = match self.recording.take() {
                Some(recording) => (Some(recording.segments()), recording.is_cut()),
                None => (None, !kept.is_empty() && (kept.len() as u64) < self.sent.bytes),
            };
            record.response = Some(ResponseRecord {
                status: self.status,
                masked: std::mem::take(&mut self.masked),
                bytes: self.sent.bytes,
                body_sha256: self.sent.hash.take().map(|hash| hex(&hash.finalize())),
                segments,
                body_truncated: cut,
                body: (!kept.is_empty())
                    .then(|| String::from_utf8(kept).unwrap_or_else(|error| text(error.as_bytes()))),
                duration_us: u64::try_from(duration).unwrap_or(u64::MAX),
                end,
            });
        }
        record
    }

    fn line(&self, kind: Kind, policy: &Policy, wall: Wall) -> Record {
        let mut record = Record::new(kind, &self.exchange, &policy.gateway, wall.0);
        record.policy = Some(policy.digest().to_owned());
        record.request_id = Some(self.request_id.clone());
        if let Some(identity) = &self.identity {
            record.by(identity);
        }
        record
    }
}

impl Sent {
    /// Keeps the first `limit` bytes of what is sent from here on.
    pub(super) fn keep(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Keeps nothing, and hashes everything.
    pub(super) fn hash_all(&mut self) {
        self.limit = 0;
        self.hash = Some(Sha256::new());
    }

    /// Counts what passes unread.
    pub(super) fn pass(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    pub(super) fn add(&mut self, piece: &[u8]) {
        self.bytes = self.bytes.saturating_add(piece.len() as u64);
        let room = self.limit.saturating_sub(self.kept.len());
        if let Some(hash) = &mut self.hash {
            hash.update(piece);
        } else if self.limit > 0 && piece.len() > room {
            let kept = &self.kept;
            self.hash = Some(Sha256::new_with_prefix(kept).chain_update(piece));
        }
        self.kept.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }
}

/// The first `limit` bytes as text; what is not UTF-8 becomes U+FFFD.
fn cut(bytes: &[u8], limit: usize) -> String {
    text(bytes.get(..limit).unwrap_or(bytes))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
