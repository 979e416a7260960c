//! May they: rules over identity, operation and request → [`Decision`].
//!
//! The rules are CEL over the verified caller and what the reader made of the request. For each operation of a
//! request the first rule that matches decides; of several operations the strictest outcome counts. Where a
//! condition fails (an absent claim, an unknown graph), the outcome is never weaker than it would have been had
//! the condition held, nor than had it not. It leaves to the filter to carry the decision out.

mod beginning;
mod call;
mod check;
mod condition;
mod config;
mod demand;
mod foresight;
mod ownership;
mod patterns;
mod rules;
mod scope;
mod selection;
mod stamp;
mod vocabulary;

use std::collections::BTreeSet;

use crate::reason::Reason;

pub use beginning::Beginning;
pub use call::Call;
pub use condition::Condition;
pub use config::{Config, MaskConfig, ObligationsConfig, Otherwise, RuleConfig, Then};
pub use demand::{
    ApprovalConfig, ApprovalDemand, BREAK_GLASS_HEADER, BreakGlassConfig, Denial, Seats, SeatsConfig, Sight,
    break_glass_reason,
};
pub use ownership::{Owned, Ownership, OwnershipConfig};
pub use rules::{Rules, Shadow};

/// What the rules say about a request, and which of them said it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The outcome.
    pub effect: Effect,
    /// The name of the rule that decided; `None` where the default did.
    pub rule: Option<String>,
    /// What else the rules that let the request's operations through ask for.
    pub obligations: Obligations,
}

/// What else holds for an exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Obligations {
    /// Its record has to be durable before it is forwarded.
    pub before: bool,
    /// The rules, by their places in the policy, whose extra masking holds.
    pub masks: BTreeSet<usize>,
}

/// The outcome of a decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Forward it.
    Allow,
    /// Refuse it.
    Deny {
        /// The stable code.
        reason: Reason,
        /// What the caller is told, where the rule has words of its own.
        message: Option<String>,
    },
    /// Forward it once people have agreed.
    Approval(ApprovalDemand),
}

#[cfg(test)]
mod rules_tests;
