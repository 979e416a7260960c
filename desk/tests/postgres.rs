//! The tests of `tests/desk` once more, over PostgreSQL: one server, on a Unix socket, and a database for each
//! desk. `cargo test` runs them in one process; nextest, which gives each test a process and so a server of its
//! own, leaves them out unless told otherwise (`.config/nextest.toml`).
//!
//! Left out, with a line that says so, where PostgreSQL is not installed; with `CI` set that is a failure.

#![allow(missing_docs, reason = "tests are named for what they show")]

#[path = "desk/approvals.rs"]
mod approvals;
#[path = "desk/contracts.rs"]
mod contracts;
#[path = "desk/evidence.rs"]
mod evidence;
#[path = "desk/exports.rs"]
mod exports;
#[path = "desk/interleavings.rs"]
mod interleavings;
#[path = "desk/keeping.rs"]
mod keeping;
#[path = "desk/kinds.rs"]
mod kinds;
#[path = "desk/notify.rs"]
mod notify;
#[path = "desk/package.rs"]
mod package;
#[path = "desk/pages.rs"]
mod pages;
#[path = "desk/people.rs"]
mod people;
#[path = "desk/publishing.rs"]
mod publishing;
#[path = "desk/room.rs"]
mod room;
#[path = "desk/routes.rs"]
mod routes;
#[path = "desk/terms.rs"]
mod terms;

/// What the desk of these tests runs over.
const KIND: room::Kind = room::Kind::Postgres;
