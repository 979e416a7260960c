//! What reading a request gives: its operations, the facts that rules see, and the spelling that is forwarded.

use super::{Class, Operation};

/// How the rest of a request is to be read, known from its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyUse {
    /// The server reads no body here; [`super::Reader::read`] takes an empty one.
    Ignored,
    /// The server parses the body as JSON, whatever `Content-Type` says.
    Json,
}

/// A request as it was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What it does; never empty.
    pub operations: Vec<Operation>,
    /// For each operation, at the same index, what rules can see beyond its names.
    pub facts: Vec<Facts>,
    /// The body, where the route takes one and it is not empty.
    pub body: Option<serde_json::Value>,
    /// The request line that was judged. It is forwarded in place of the caller's.
    pub normalised: Normalised,
    /// Assistants whose graph is not known from the request alone: canonical UUIDs, each once. While one of an
    /// operation's assistants is in here, its `graph` is unknown, and rules that need it fail closed.
    pub unresolved: Vec<String>,
}

impl Request {
    /// The strictest class among the operations.
    pub fn class(&self) -> Class {
        self.operations.iter().map(|operation| operation.class).max().unwrap_or(Class::Admin)
    }

    /// Operations with their facts, in order.
    pub fn judged(&self) -> impl Iterator<Item = (&Operation, &Facts)> {
        self.operations.iter().zip(&self.facts)
    }
}

/// The request line in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalised {
    /// The method, as sent (`HEAD` stays `HEAD`, though it is judged as `GET`).
    pub method: String,
    /// Path and query as forwarded: percent-encoding decoded once and encoded anew, UUIDs canonical.
    pub path: String,
    /// The query's pairs, decoded, in order, as the server reads them.
    pub query: Vec<(String, String)>,
}

/// Fields of a request that change what an operation may do. Absent fields are `None`, `false` or empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The host of `webhook`; only allowed hosts come this far.
    pub webhook: Option<String>,
    /// `command.resume` is there: the caller answers an interrupt.
    pub resume: bool,
    /// `command.update` is there: the caller writes state.
    pub update: bool,
    /// `command.goto` is there: the caller chooses the next node.
    pub goto: bool,
    /// `supersteps` is there: the caller writes history.
    pub supersteps: bool,
    /// A checkpoint is named: the run starts from an older state.
    pub checkpoint: bool,
    /// `multitask_strategy`; `interrupt` and `rollback` end another run.
    pub multitask_strategy: Option<String>,
    /// `if_exists`; `do_nothing` returns what is there already.
    pub if_exists: Option<String>,
    /// `if_not_exists`; `create` makes the thread.
    pub if_not_exists: Option<String>,
    /// `on_disconnect`; `continue` lets a run outlive its caller.
    pub on_disconnect: Option<String>,
    /// `on_completion` or `on_run_completed`; `delete` removes the thread.
    pub on_completion: Option<String>,
    /// The run starts later, or again and again: a cron, or `after_seconds`.
    pub deferred: bool,
    /// Keys of `config.configurable` that the caller set; only allowed keys come this far.
    pub configurable: Vec<String>,
    /// Keys of `context` that the caller set; only allowed keys come this far.
    pub context: Vec<String>,
    /// Keys of `metadata` that the caller set.
    pub metadata: Vec<String>,
    /// The JSON-RPC or command method, where the route has one, in its canonical spelling.
    pub method: Option<String>,
    /// `graph` is settled: the operation names its graph, or concerns none.
    pub graph_known: bool,
}
