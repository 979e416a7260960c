//! The states. Each owns only its own data; its `handle` consumes it and returns the next.

mod begin;
mod hold;
mod judge;
mod lookup;
mod request;
mod response;

pub(super) use begin::AwaitingThread;
pub(super) use hold::{AwaitingApproval, AwaitingEvidence};
pub(super) use lookup::AwaitingLookup;
pub(super) use request::{AwaitingBody, AwaitingIntrospection, AwaitingKeys, Opening};
pub(super) use response::{Cut, Finished, Forwarded, Masking, Passing, Refused, Replacing, RequestSide};
