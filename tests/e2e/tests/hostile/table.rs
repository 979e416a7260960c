//! The table of hostile tokens that the policies are tested with, as it is there.

#[path = "../../../../policies/src/identity/tests/hostile/claims.rs"]
mod claims;
#[path = "../../../../policies/src/identity/tests/hostile/encodings.rs"]
mod encodings;
#[path = "../../../../policies/src/identity/tests/hostile/headers.rs"]
mod headers;
#[path = "../../../../policies/src/identity/tests/hostile/signatures.rs"]
mod signatures;

use crate::reason::Reason;

/// One hostile token.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) token: Vec<u8>,
    pub(super) reason: Reason,
}

fn case(name: &'static str, token: impl Into<Vec<u8>>, reason: Reason) -> Case {
    Case { name, token: token.into(), reason }
}

/// All of them, those first that time makes good.
pub(super) fn cases() -> Vec<Case> {
    let tables = [encodings::cases(), headers::cases(), claims::cases(), signatures::cases()];
    let mut cases: Vec<Case> = tables.into_iter().flatten().collect();
    cases.sort_by_key(|case| case.reason != Reason::TokenNotYetValid);
    cases
}
