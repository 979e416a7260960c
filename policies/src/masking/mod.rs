//! What may leave: transducers that rewrite a response as it streams by, in constant memory.
//!
//! For any split of the bytes into chunks, and any split of a text into stream events, the client
//! receives at no moment a byte of a value that the policy masks, and everything else unchanged,
//! held back only while it could still become part of such a value.
//!
//! [`Masking`] is the compiled section of the policy, [`Plan`] what of it holds for one caller,
//! [`Masker`] one body on its way out: [`Masker::push`] for every chunk, [`Masker::finish`] at the
//! end. After a [`Cut`] nothing more may be emitted.

mod config;
mod content;
pub mod detectors;
mod edits;
mod escape;
mod findings;
mod insight;
mod json;
mod lanes;
mod masker;
mod media;
mod path;
mod plan;
mod rules;
mod sse;
mod survey;
pub mod text;
mod token;

pub use config::{
    ActionConfig, Config, CustomConfig, DetectorConfig, ExemptConfig, FieldConfig, KeyConfig, LimitsConfig,
    Malformed, Unmaskable,
};
pub use detectors::Action;
pub use findings::{Finding, find};
pub use insight::{Held, Waits};
pub use masker::{Cut, Masker};
pub use media::Media;
pub use plan::{Masking, Plan, Preview};
