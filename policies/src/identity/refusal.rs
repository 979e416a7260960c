//! How an authentication fails: the stable reason, a detail for operators, and whether fresher keys may help.

use super::refetch::Missing;
use crate::reason::Reason;

/// A request that could not be tied to a verified caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The stable code.
    pub reason: Reason,
    /// What exactly was wrong: a fragment without anything from the token.
    pub detail: &'static str,
    /// The key that may be there once the issuer's are fetched again; ask [`super::RefetchGate`] before that.
    pub refetch: Option<Missing>,
}

/// A refusal that no fetch can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) detail: &'static str,
}

impl Refusal {
    pub(super) const fn new(reason: Reason, detail: &'static str) -> Self {
        Self { reason, detail }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { reason: refusal.reason, detail: refusal.detail, refetch: None }
    }
}
