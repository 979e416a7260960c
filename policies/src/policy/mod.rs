//! The policy document: read, checked and compiled, or refused with every problem named.

mod problem;
mod values;

pub use problem::{At, Problem, Problems};
pub use values::{Environment, Secret, Size, Span};
