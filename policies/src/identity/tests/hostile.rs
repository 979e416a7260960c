//! Hostile tokens, each with the reason that it has to be refused for.

mod claims;
mod encodings;
mod headers;
mod signatures;

use std::collections::{BTreeMap, HashSet};

use super::forge::{Gate, policy};
use crate::reason::Reason;

/// One hostile token.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) token: Vec<u8>,
    pub(super) reason: Reason,
}

pub(super) fn case(name: &'static str, token: impl Into<Vec<u8>>, reason: Reason) -> Case {
    Case { name, token: token.into(), reason }
}

pub(super) fn cases() -> Vec<Case> {
    let tables = [encodings::cases(), headers::cases(), claims::cases(), signatures::cases()];
    tables.into_iter().flatten().collect()
}

#[test]
fn every_hostile_token_is_refused_for_its_reason_by_both_verifiers() {
    let gate = Gate::new(policy());
    let mut wrong = Vec::new();
    for case in cases() {
        match gate.judge(&case.token) {
            Err(refused) if refused.reason == case.reason => {}
            Err(refused) => wrong.push(format!("{}: {refused:?}, not {:?}", case.name, case.reason)),
            Ok(_) => wrong.push(format!("{}: accepted", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_is_large_has_unique_names_and_shows_every_token_reason() {
    let cases = cases();
    assert!(cases.len() >= 150, "{}", cases.len());
    let names: HashSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len());
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &cases {
        *reasons.entry(case.reason.code()).or_default() += 1;
    }
    for reason in [
        Reason::TokenAmbiguous,
        Reason::TokenMalformed,
        Reason::TokenAlgorithm,
        Reason::TokenKeyUnknown,
        Reason::TokenSignature,
        Reason::TokenIssuer,
        Reason::TokenAudience,
        Reason::TokenExpired,
        Reason::TokenNotYetValid,
        Reason::TokenClaims,
        Reason::TokenRevoked,
        Reason::KeysUnavailable,
    ] {
        assert!(reasons.contains_key(reason.code()), "no case for {reason:?}");
    }
}

#[test]
fn a_refusal_tells_nothing_of_the_token() {
    let gate = Gate::new(policy());
    for case in cases().into_iter().filter(|case| case.token.len() > 40) {
        let Err(refused) = gate.judge(&case.token) else { panic!("{}", case.name) };
        let shown = format!("{refused:?} {}", refused.reason.message());
        let text = String::from_utf8_lossy(&case.token).into_owned();
        for part in text.split('.').filter(|part| part.len() > 8) {
            assert!(!shown.contains(&part[..8.min(part.len())]), "{}: {shown}", case.name);
        }
        for secret in ["7f3c", "zoe.obrien", "Brien"] {
            assert!(!shown.contains(secret), "{}: {shown}", case.name);
        }
    }
}
