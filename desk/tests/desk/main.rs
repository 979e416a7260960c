//! The desk without a socket: every route and error, one file a subject.
//!
//! `room` holds the desk under test; `approvals` and `evidence` are the gateway's side;
//! `people` is the API for people, `package` what auditors get, `pages` what they see, `interleavings` mixes them
//! at random, `kinds` does the same for grants and ways past approvers, `exports` is what auditors take away, `keeping` what becomes of records, `publishing` where checkpoints
//! go, `notify` what people are told, `terms` what rules ask for, `contracts` holds answers against the OpenAPI documents. `tests/postgres.rs` runs all of it again.

#![allow(missing_docs, reason = "tests are named for what they show")]

mod approvals;
mod contracts;
mod evidence;
mod exports;
mod interleavings;
mod keeping;
mod kinds;
mod notify;
mod package;
mod pages;
mod people;
mod publishing;
mod room;
mod routes;
mod terms;

/// What the desk of these tests runs over.
const KIND: room::Kind = room::Kind::Sqlite;
