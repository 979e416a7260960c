//! What rules see of a call besides identity and operation: where it comes from and the headers they name.

use std::collections::BTreeMap;

/// The surroundings of a request. [`super::Rules::call`] makes one from all headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// The peer's address without its port, as Envoy gives it; empty where it is not known.
    pub source: String,
    /// Headers that rules name, by lower-case name. They are the caller's word, not verified.
    pub headers: BTreeMap<String, String>,
}
