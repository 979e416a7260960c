//! The room as a whole: standard vectors, hostile tokens, sources, caching, keys, and what goes upstream.
//!
//! Every token is judged twice, by AWS-LC in the host's place and by jwt-simple's keys, and both have to agree.

mod accepted;
mod aws_lc;
mod caching;
mod configuring;
mod forge;
mod fuzzing;
mod hostile;
mod introspecting;
mod key_sets;
mod sources;
mod trusting;
mod upstream;
mod vectors;
