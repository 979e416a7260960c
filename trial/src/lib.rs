//! Trying a policy out: what the program's `check`, `explain` and `test` share with the playground.
//!
//! [`yaml`] is text in which every value knows its place, [`find`] finds policies in a text, with the line and column of every value; [`judge`] judges a request as the gate
//! would where LangGraph says what is [`Known`]. No terminal, no pages.

mod judge;
mod known;
mod policy_file;
pub mod yaml;

pub use judge::{Caller, Header, Raw, Verdict, judge};
pub use known::{Known, Written, how_to_write};
pub use policy_file::{Found, Held, find, held, read, read_document, read_one};
