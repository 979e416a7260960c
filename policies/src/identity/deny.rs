//! The policy's deny list: tokens, people and sessions that are refused though their tokens are sound.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::config::DenyConfig;
use super::refusal::Refusal;
use crate::reason::Reason;

const DENIED: Refusal = Refusal::new(Reason::TokenRevoked, "the token is on the policy's deny list");

/// The compiled list.
#[derive(Debug, Clone)]
pub(super) struct Deny {
    jti: HashSet<String>,
    sub: HashSet<String>,
    sid: HashSet<String>,
}

impl Deny {
    pub(super) fn new(config: &DenyConfig) -> Self {
        let set = |list: &[String]| list.iter().cloned().collect();
        Self { jti: set(&config.jti), sub: set(&config.sub), sid: set(&config.sid) }
    }

    /// Judges a token by its ids.
    pub(super) fn check(
        &self,
        jti: Option<&str>,
        sid: Option<&str>,
        claims: &Map<String, Value>,
    ) -> Result<(), Refusal> {
        let sub = claims.get("sub").and_then(Value::as_str);
        let listed = |set: &HashSet<String>, id: Option<&str>| id.is_some_and(|id| set.contains(id));
        if listed(&self.jti, jti) || listed(&self.sid, sid) || listed(&self.sub, sub) {
            Err(DENIED)
        } else {
            Ok(())
        }
    }

    /// Judges the identity's subject, which may come from another claim than `sub`; the list means either.
    pub(super) fn check_subject(&self, subject: &str) -> Result<(), Refusal> {
        if self.sub.contains(subject) { Err(DENIED) } else { Ok(()) }
    }
}
