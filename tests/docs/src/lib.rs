//! Checks what the documents say, and writes the page that the types write themselves.
//!
//! [`blocks`] are the fenced blocks of a page, each of which says after its language how it is checked; [`reference`]
//! is the policy reference, made of the raw configuration's types and their doc comments. The checks are in `tests`.

pub mod blocks;
pub mod pages;
pub mod reference;
