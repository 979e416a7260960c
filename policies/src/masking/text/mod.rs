//! Detectors over a growing text, with exact hold-back.
//!
//! Invariant: verdicts cover the input exactly and in order, and are the same for every split of it. At any
//! moment the bytes without a verdict are the shortest suffix that begins where a value could begin that the
//! bytes so far do not yet decide; no byte of a value is ever declared clear.
//!
//! Leaves to others: decoding (JSON escapes, event framing), and what takes the place of a value
//! ([`Detectors::render`](super::detectors::Detectors::render)).

mod fold;
mod scan;

pub(crate) use fold::{FIRST as FOLDED, MAX_SPREAD};
pub(crate) use scan::at_hand;
pub use scan::{Scan, Verdict};

#[cfg(test)]
mod cases;
#[cfg(all(test, not(target_family = "wasm")))]
mod properties;
#[cfg(test)]
mod tests;
