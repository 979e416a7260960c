//! The policy document: read, checked and compiled, or refused with every problem named.
//!
//! What the user wrote ([`Document`]) and what it comes to ([`Policy`]) are two types; the request path sees
//! only the second. Each section belongs to the room that it configures; this module joins them.

mod compiled;
mod cors;
mod document;
mod problem;
mod stricter;
mod values;

pub use compiled::{EvidenceService, Limits, Policy, Service};
pub use cors::{Cors, CorsConfig};
pub use document::{BodyConfig, Document, EvidenceConfig, LimitsConfig, Mode, ServiceConfig};
pub(crate) use problem::nearest;
pub use problem::{At, Problem, Problems};
pub use values::{Environment, Secret, Size, Span};
