//! Graphwarden's Envoy filter: one exchange as a state machine without I/O, and the adapter that runs it.
//!
//! | module | job | may not |
//! |---|---|---|
//! | [`exchange`] | one request and its response, from the first header to the record of how it ended | know a host, a clock or another exchange |
//! | [`root`] | what exchanges share: policy, keys, the queue of evidence, callouts, timers | know a host or a clock |
//! | `host` | translates Envoy's callbacks into events and effects into host calls | look at claims, operations or bodies |
//! | `document` | brings the policy into JSON, however the host hands it over | judge it |
//! | `native`, `protobuf` | the wire form of Envoy's own signature check | — |
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod document;
pub mod exchange;
mod host;
mod native;
mod protobuf;
pub mod root;
