//! A record as the tables of an export read it: what they print, borrowed from the line; bodies are skipped.
//!
//! Absent texts are empty here: a cell that says nothing is an empty cell.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

type Text<'a> = Cow<'a, str>;

/// A record.
#[derive(Debug, Deserialize)]
pub(super) struct Entry<'a> {
    pub(super) v: u32,
    #[serde(borrow)]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) chain: Text<'a>,
    pub(super) seq: u64,
    #[serde(borrow)]
    pub(super) prev: Text<'a>,
    #[serde(borrow)]
    pub(super) at: Text<'a>,
    #[serde(borrow, default)]
    pub(super) exchange: Text<'a>,
    #[serde(borrow, default)]
    pub(super) gateway: Text<'a>,
    #[serde(borrow, default)]
    pub(super) policy: Text<'a>,
    #[serde(borrow, default)]
    pub(super) request_id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) event: Text<'a>,
    #[serde(borrow, default)]
    pub(super) actor: Option<Actor<'a>>,
    #[serde(borrow, default)]
    pub(super) token: Option<Token<'a>>,
    #[serde(borrow, default)]
    pub(super) source: Option<Source<'a>>,
    #[serde(borrow, default)]
    pub(super) request: Option<Request<'a>>,
    #[serde(borrow, default)]
    pub(super) operations: Vec<Operation<'a>>,
    #[serde(borrow, default)]
    pub(super) decision: Option<Decision<'a>>,
    #[serde(borrow, default)]
    pub(super) approval: Option<Approval<'a>>,
    #[serde(borrow, default)]
    pub(super) response: Option<Response<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Actor<'a> {
    #[serde(borrow, default)]
    pub(super) issuer: Text<'a>,
    #[serde(borrow, default)]
    pub(super) subject: Text<'a>,
    #[serde(borrow, default)]
    pub(super) name: Text<'a>,
    #[serde(borrow, default)]
    pub(super) email: Text<'a>,
    #[serde(borrow, default)]
    pub(super) roles: Vec<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) kind: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Token<'a> {
    #[serde(borrow, default)]
    pub(super) jti: Text<'a>,
    #[serde(default)]
    pub(super) iat: Option<i64>,
    #[serde(default)]
    pub(super) exp: Option<i64>,
    #[serde(borrow, default)]
    pub(super) alg: Text<'a>,
    #[serde(borrow, default)]
    pub(super) kid: Text<'a>,
    #[serde(borrow, default)]
    pub(super) sha256: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Source<'a> {
    #[serde(borrow, default)]
    pub(super) address: Text<'a>,
    #[serde(borrow, default)]
    pub(super) user_agent: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Request<'a> {
    #[serde(borrow, default)]
    pub(super) method: Text<'a>,
    #[serde(borrow, default)]
    pub(super) path: Text<'a>,
    #[serde(borrow, default)]
    pub(super) digest: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Operation<'a> {
    #[serde(borrow, default)]
    pub(super) operation: Text<'a>,
    #[serde(borrow, default)]
    pub(super) class: Text<'a>,
    #[serde(borrow, default)]
    pub(super) graph: Text<'a>,
    #[serde(borrow, default)]
    pub(super) assistant: Text<'a>,
    #[serde(borrow, default)]
    pub(super) thread: Text<'a>,
    #[serde(borrow, default)]
    pub(super) run: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Decision<'a> {
    #[serde(borrow, default)]
    pub(super) effect: Text<'a>,
    #[serde(borrow, default)]
    pub(super) rule: Text<'a>,
    #[serde(borrow, default)]
    pub(super) reason: Text<'a>,
    #[serde(default)]
    pub(super) observed: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Approval<'a> {
    #[serde(borrow, default)]
    pub(super) id: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Response<'a> {
    #[serde(default)]
    pub(super) status: u16,
    #[serde(borrow, default)]
    pub(super) masked: BTreeMap<Text<'a>, u64>,
    #[serde(default)]
    pub(super) bytes: u64,
    #[serde(default)]
    pub(super) duration_us: u64,
    #[serde(borrow, default)]
    pub(super) end: Text<'a>,
}

impl<'a> Entry<'a> {
    pub(super) fn read(line: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// One member of every operation, each value once, separated by blanks.
    pub(super) fn operations(&self, member: impl for<'o> Fn(&'o Operation<'a>) -> &'o Text<'a>) -> String {
        let mut values: Vec<&str> = Vec::new();
        for value in self.operations.iter().map(|operation| member(operation).as_ref()) {
            if !value.is_empty() && !values.contains(&value) {
                values.push(value);
            }
        }
        values.join(" ")
    }

    /// The status of the answer; empty where there was none.
    pub(super) fn status(&self) -> String {
        match &self.response {
            Some(response) if response.status != 0 => response.status.to_string(),
            _ => String::new(),
        }
    }

    /// The day, as `2026-11-22`.
    pub(super) fn day(&self) -> &str {
        self.at.get(..10).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use graphwarden_policies::evidence::{Chain, Kind, Record};

    #[test]
    fn reads_what_a_gateway_seals() {
        let mut record = Record::new(Kind::Start, "x", "gate", 5);
        record.policy = Some("\u{1F980} \"p\"".to_owned());
        let line = Chain::new("c1".to_owned()).seal(&record).unwrap();
        let entry = Entry::read(&line.bytes).unwrap();
        assert_eq!((entry.kind.as_ref(), entry.seq, entry.day()), ("start", 0, "1970-01-01"));
        assert_eq!(entry.policy, "\u{1F980} \"p\"");
        assert!(entry.actor.is_none() && entry.status().is_empty());
    }

    #[test]
    fn values_of_several_operations_stand_once_each() {
        let line = br#"{"v":1,"kind":"outcome","chain":"c","seq":1,"prev":"","at":"2026-11-22T00:00:00Z","operations":[
            {"operation":"a"},{"operation":"b","graph":"g"},{"operation":"a","graph":"g"}]}"#;
        let entry = Entry::read(line).unwrap();
        assert_eq!(entry.operations(|operation| &operation.operation), "a b");
        assert_eq!(entry.operations(|operation| &operation.graph), "g");
    }
}
