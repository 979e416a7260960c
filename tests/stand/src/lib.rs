//! The stand: every part that Graphwarden meets in the field, started on free ports and stopped again.
//!
//! Nothing in here imitates a part that can run: Envoy is Envoy, LangGraph is LangGraph, the desk is
//! the program people install. What is our own is what has to misbehave on purpose or be asked for
//! odd things: a development OIDC issuer ([`Issuer`]), an upstream that answers as scripted
//! ([`Upstream`]) and a client that sends exactly the bytes it is told ([`Ask`]).
//! What is proven with all this is in `tests/e2e`, what is measured in `tests/bench`, and what is
//! shown in `demo`.

mod browser;
mod debian;
mod desk;
mod envoy;
mod files;
mod issuer;
mod langgraph;
mod part;
mod policy;
mod ports;
mod postgres;
mod prometheus;
mod provider;
mod registry;
mod site;
mod tools;
mod upstream;
mod wire;

pub use browser::Chromium;
pub use debian::debian_program;
pub use desk::Desk;
pub use envoy::{Envoy, EnvoySetup, Filter, shipped_config};
pub use files::allow_files;
pub use issuer::{Issuer, Person, claims_for, unix_now};
pub use langgraph::{LangGraph, LangGraphSetup};
pub use part::{Part, wait_until};
pub use policy::{GATEWAY_TOKEN, standard_policy};
pub use ports::{Port, bind, free_port};
pub use postgres::Postgres;
pub use prometheus::Prometheus;
pub use provider::{MACHINE_SECRET, OidcProvider};
pub use registry::Registry;
pub use site::{Site, run};
pub use tools::Tools;
pub use upstream::{Act, Reply, Seen, Upstream};
pub use wire::{Answer, Ask, Conversation};
