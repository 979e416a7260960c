//! The exchange, fed with events. A new test belongs in `table` if it is about which event a state takes, in
//! `request` if it is about what happens before forwarding, in `hold` if people or the ledger are waited for, in `clock` if clocks are set meanwhile, in
//! `terms` if it is about what a rule asks of people, in `lookup` if LangGraph is asked, in `trace` if it is about which
//! trace a call joins, in `response` if it is about what comes back, in `record` if it is about what is written down.

mod clock;
mod hold;
mod lookup;
mod record;
mod request;
mod response;
mod rig;
mod table;
mod terms;
mod trace;
