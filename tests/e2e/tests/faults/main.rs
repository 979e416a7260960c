//! Faults of everything around the gate, each while others ask: what goes wrong is told truthfully to whom it concerns,
//! concerns nobody else, and is over by itself when its cause is.
//!
//! `load` asks, `invariants` says what always holds. Faults that other files try already: a desk that is killed
//! (`crash`, `holds`) or away (`evidence`, `approvals`), an issuer that rotates its keys or is away (`provider`,
//! `identity`), an Envoy that drains (`holds`), a policy that changes (`ecds`).

mod between;
mod clients;
mod clock;
mod desk;
mod invariants;
mod issuer;
mod langgraph;
mod load;
mod rebuilt;
mod restart;
mod worker;
