//! A record cut to what any ledger takes: what people sent goes, who did what to whom stays.

use super::digest::sha256_hex;
use super::record::Record;

/// How many bytes of a text of somebody's are left. Escaped, a byte takes six at the most.
const LONGEST_TEXT: usize = 256;
/// How many bytes of one of many names are left: of an id, a role, a graph.
const LONGEST_NAME: usize = 64;
/// How many operations and roles are left: as many operations as one request may have.
const MOST_NAMED: usize = 100;
/// How many decisions of approvers are left.
const MOST_DECISIONS: usize = 24;

impl Record {
    /// The record without bodies, and with every text that a caller, a token or an approver chose cut at 256 bytes
    /// (ids, roles and other names at 64), with `…` behind what was cut. Its line is never longer than [`LONGEST_LINE`](super::LONGEST_LINE).
    pub fn shortened(&self) -> Self {
        let mut short = self.clone();
        // A stream that cannot be written down is said to be cut by its outcome.
        short.segment = None;
        for text in [&mut short.policy, &mut short.request_id].into_iter().flatten() {
            cut(text);
        }
        if let Some(actor) = &mut short.actor {
            actor.roles.truncate(MOST_NAMED);
            actor.roles.iter_mut().for_each(name);
            let known = [&mut actor.name, &mut actor.email].into_iter().flatten();
            known.chain([&mut actor.issuer, &mut actor.subject]).for_each(cut);
        }
        if let Some(token) = &mut short.token {
            [&mut token.jti, &mut token.kid].into_iter().flatten().chain([&mut token.alg]).for_each(cut);
        }
        if let Some(source) = &mut short.source {
            [&mut source.address, &mut source.user_agent].into_iter().flatten().for_each(cut);
        }
        if let Some(request) = &mut short.request {
            request.body_truncated |= request.body.take().is_some();
            [&mut request.method, &mut request.path].into_iter().chain(&mut request.digest).for_each(cut);
        }
        short.operations.truncate(MOST_NAMED);
        for operation in &mut short.operations {
            operation.namespace.truncate(8);
            [
                &mut operation.graph,
                &mut operation.assistant,
                &mut operation.thread,
                &mut operation.run,
                &mut operation.cron,
                &mut operation.tool,
            ]
            .into_iter()
            .flatten()
            .chain(&mut operation.namespace)
            .chain([&mut operation.operation])
            .for_each(name);
        }
        if let Some(decision) = &mut short.decision {
            [&mut decision.rule, &mut decision.reason].into_iter().flatten().for_each(cut);
        }
        if let Some(approval) = &mut short.approval {
            let told = [&mut approval.id, &mut approval.kind].into_iter().flatten();
            told.chain([&mut approval.status]).for_each(cut);
            approval.decisions.truncate(MOST_DECISIONS);
            for decision in &mut approval.decisions {
                let approver = &mut decision.approver;
                [&mut decision.at, &mut decision.comment, &mut approver.name, &mut approver.email]
                    .into_iter()
                    .flatten()
                    .chain([&mut decision.decision, &mut approver.issuer, &mut approver.subject])
                    .for_each(cut);
            }
        }
        if let Some(response) = &mut short.response
            && let Some(body) = response.body.take()
        {
            // The line's own hash covered a body that was whole.
            if !response.body_truncated && response.body_sha256.is_none() {
                response.body_sha256 = Some(sha256_hex(body.as_bytes()));
            }
            response.body_truncated = true;
        }
        short
    }
}

fn cut(text: &mut String) {
    cut_at(text, LONGEST_TEXT);
}

fn name(text: &mut String) {
    cut_at(text, LONGEST_NAME);
}

fn cut_at(text: &mut String, longest: usize) {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest));
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Chain, Kind, LONGEST_LINE, Record};

    /// As long as it can come, of what takes most room when it is escaped.
    fn huge() -> Record {
        let text = "\u{1}".repeat(20_000);
        let (one, many) = (json!(text), json!(vec![text.as_str(); 3]));
        let operation = json!({
            "operation": "store.put", "class": "write", "graph": one, "assistant": one, "thread": one, "run": one,
            "cron": one, "namespace": vec![text.as_str(); 20], "tool": one,
        });
        let approver = json!({"issuer": one, "subject": one, "name": one, "email": one});
        let decision = json!({"approver": approver, "decision": one, "at": one, "comment": one});
        let record = json!({
            "kind": "outcome", "exchange": "x1", "at": "1970-01-01T00:00:00.000000Z", "gateway": "gate",
            "policy": one, "request_id": one,
            "actor": {"issuer": one, "subject": one, "name": one, "email": one, "roles": many, "kind": "person"},
            "token": {"jti": one, "exp": 1, "alg": one, "kid": one, "sha256": "00"},
            "source": {"address": one, "user_agent": one},
            "request": {"method": one, "path": one, "digest": one, "body": one},
            "operations": [operation, operation],
            "decision": {"effect": "allow", "rule": one, "reason": one},
            "approval": {"id": one, "kind": one, "status": one, "decisions": [decision, decision]},
            "response": {"status": 200, "bytes": 3, "duration_us": 1, "end": "complete"},
        });
        let mut record: Record = serde_json::from_value(record).unwrap();
        if let Some(response) = &mut record.response {
            response.body = Some(text);
        }
        record
    }

    #[test]
    fn what_no_ledger_would_take_is_cut_and_still_says_who_did_what() {
        let record = huge();
        let mut chain = Chain::new("c".to_owned());
        assert!(chain.seal(&record).is_err());
        assert!(chain.is_empty(), "what could not be sealed leaves no gap");
        let short = record.shortened();
        let line = chain.seal(&short).unwrap();
        assert!(line.bytes.len() < LONGEST_LINE / 4, "{} bytes", line.bytes.len());
        let text = String::from_utf8(line.bytes).unwrap();
        assert!(text.contains("store.put") && text.contains("body_sha256") && text.contains('…'), "{text}");
        let response = short.response.unwrap();
        assert!(response.body_truncated && response.body.is_none());
    }

    #[test]
    fn as_many_operations_and_decisions_as_there_can_be_fit() {
        let mut record = huge();
        let (operations, approval) = (record.operations.clone(), record.approval.as_mut().unwrap());
        approval.decisions = approval.decisions.iter().cycle().take(300).cloned().collect();
        record.operations = operations.into_iter().cycle().take(300).collect();
        let actor = record.actor.as_mut().unwrap();
        actor.roles = actor.roles.iter().cycle().take(300).cloned().collect();
        let length = Chain::new("c".to_owned()).seal(&record.shortened()).unwrap().bytes.len();
        assert!(length < LONGEST_LINE, "{length} bytes");
    }

    #[test]
    fn what_is_short_stays_as_it_is() {
        let mut record = Record::new(Kind::Admission, "x1", "gate", 1);
        record.request_id = Some("r1".to_owned());
        assert_eq!(record.shortened(), record);
    }
}
