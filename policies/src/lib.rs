//! The policy language of Graphwarden and every decision it makes.
//!
//! No host, no I/O, no clock: bytes, keys and the time come in as arguments, so that the same code
//! decides in Envoy (`wasm32-wasip1`), in the `graphwarden` program and in a browser
//! (`wasm32-unknown-unknown`).
//!
//! | module | question it answers |
//! |---|---|
//! | [`policy`] | what does the document say, and is it sound? |
//! | [`identity`] | who is calling? |
//! | [`operation`] | what does the request do, in LangGraph's own words? |
//! | [`access`] | may they, and who has to agree? |
//! | [`masking`] | what may leave? |
//! | [`evidence`] | how is it written down so that an outsider can check it? |
//! | [`reason`] | which stable code names a refusal? |
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod access;
mod eight;
pub mod evidence;
pub mod identity;
pub mod masking;
pub mod operation;
pub mod policy;
pub mod reason;
