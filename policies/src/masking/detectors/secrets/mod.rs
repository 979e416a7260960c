//! Credentials: private key blocks, tokens that say what they are, and values that a name says are secret.

mod named;
mod private_key;
mod token;

pub(super) use named::{after_label, makes_secret, named_value, names};
pub(crate) use private_key::Block;
pub(super) use private_key::private_key;
pub(super) use token::{may_begin, prefixes, slack_hook, token};

use super::view::Stop;

/// The header and the payload of a JWT, each as long as is read.
pub(super) const LONGEST: usize = 2 * token::MOST + 16;

/// The shortest value that a name alone makes a secret.
pub(super) const LEAST: usize = 4;

/// A secret: where it ends, or what covers the rest of one that has no bound.
#[derive(Debug, Clone, Copy)]
pub(super) enum Secret {
    /// It is whole.
    Ends(usize),
    /// It goes on behind this place, in a private key block.
    Block(usize),
    /// It goes on behind this place, as long as bytes are in the class.
    While(usize, fn(u8) -> bool),
}

/// A secret at some place, or why there is none.
pub(super) type FoundSecret = Result<Secret, Stop>;
