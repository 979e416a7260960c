//! The desk without a socket: every route and error, one file a subject.
//!
//! `room` holds the desk under test; `approvals` and `evidence` are the gateway's side.

#![allow(missing_docs, reason = "tests are named for what they show")]

mod approvals;
mod evidence;
mod room;
mod routes;
