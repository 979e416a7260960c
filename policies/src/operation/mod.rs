//! What a request does, in LangGraph's own words: method, path, query and body → [`Operation`]s.
//!
//! [`Reader`] reads as the server does and refuses what two readers could take differently; what is forwarded
//! is [`Normalised`], the spelling that was judged. It leaves to [`crate::access`] whether an operation is allowed.

mod config;
mod doors;
mod fields;
mod head;
mod ids;
mod json;
mod judged;
mod lookup;
mod lookup_cache;
mod reader;
mod refused;
mod request;
mod rpc;
mod shapes;
mod table;
mod target;

use serde::{Deserialize, Serialize};

pub use config::{Config, System};
pub use head::Head;
pub use lookup::{Found, Lookups, LookupsConfig, Question, Subject};
pub use lookup_cache::{Epoch, LookupCache};
pub use reader::Reader;
pub use refused::Refused;
pub use request::{BodyUse, Facts, Knowledge, Normalised, Request, Stamping};

pub(crate) use table::kinds;

/// One thing that a request does. A batch is as many operations as it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Operation {
    /// LangGraph's resource: `assistants`, `threads`, `crons`, `store`, or the gate's `system`, `mcp`, `a2a`.
    pub resource: &'static str,
    /// LangGraph's action on it: `create_run`, `read`, …
    pub action: &'static str,
    /// How much it may change.
    pub class: Class,
    /// The graph's name, where the request gives it.
    pub graph: Option<String>,
    /// The assistant's id in canonical spelling, where the request gives a UUID.
    pub assistant: Option<String>,
    /// The thread's id in canonical spelling.
    pub thread: Option<String>,
    /// The run's id in canonical spelling.
    pub run: Option<String>,
    /// The cron's id in canonical spelling.
    pub cron: Option<String>,
    /// The store namespace.
    pub namespace: Vec<String>,
    /// The tool's name (MCP).
    pub tool: Option<String>,
    /// The stream modes asked for.
    pub stream_modes: Vec<String>,
}

impl Operation {
    /// `resource.action`, as rules name it.
    pub fn name(&self) -> String {
        format!("{}.{}", self.resource, self.action)
    }
}

/// How much an operation may change, least first; the strictest of several counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Health and metadata of the server.
    System,
    /// Reads, however it is spelled (`POST …/search` is a read).
    Read,
    /// Changes data.
    Write,
    /// Runs a graph.
    Execute,
    /// Deletes, or reaches past one object.
    Admin,
}
