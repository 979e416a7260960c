//! What reading a request gives: its operations, the facts that rules see, and the spelling that is forwarded.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::table::Shape;
use super::{Class, Found, Operation, Subject};

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
    /// About how many bytes of memory the body takes as it was read, which may be many times its length.
    pub weight: usize,
    /// The request line that was judged. It is forwarded in place of the caller's.
    pub normalised: Normalised,
    /// Where the body has the metadata of what is made, or looked for.
    pub stamping: Stamping,
}

/// Where a body has the metadata of what the request makes, changes or looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamping {
    /// It makes nothing, and looks for nothing by metadata.
    None,
    /// `metadata`, of what is made or looked for.
    Body,
    /// `metadata`, where it is there, of what is changed.
    Changed,
    /// `params.metadata`, of what is made.
    Params,
    /// `metadata` of each element of an array.
    Items,
    /// It may make a thread, and nothing in the body gets into the thread's metadata.
    Unreachable,
}

impl Stamping {
    pub(super) fn of(shape: Shape, command: Option<&str>) -> Self {
        match shape {
            Shape::AssistantCreate
            | Shape::AssistantSearch
            | Shape::ThreadCreate
            | Shape::ThreadSearch
            | Shape::Run
            | Shape::StatelessRun
            | Shape::CronCreate
            | Shape::CronSearch => Self::Body,
            Shape::AssistantUpdate | Shape::ThreadUpdate | Shape::CronUpdate => Self::Changed,
            Shape::RunBatch => Self::Items,
            Shape::Command => match command {
                Some("agent.getTree") => Self::None,
                _ => Self::Params,
            },
            Shape::A2a => Self::Unreachable,
            Shape::Closed
            | Shape::Bodiless
            | Shape::Plain
            | Shape::AssistantDelete
            | Shape::ThreadPrune
            | Shape::StateWrite
            | Shape::StateRead
            | Shape::RunJoin
            | Shape::RunCancel
            | Shape::RunsCancel
            | Shape::StoreGet
            | Shape::StoreItem
            | Shape::StoreSearch
            | Shape::StoreNamespaces
            | Shape::Mcp
            | Shape::Card => Self::None,
        }
    }
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

    /// Assistants whose graph is not known from the request alone: canonical UUIDs, each once. While an operation's
    /// assistant is in here, its `graph` is unknown, and rules that need it fail closed.
    pub fn unresolved(&self) -> Vec<String> {
        let hidden = self.judged().filter(|(_, facts)| !facts.graph_known);
        let mut ids: Vec<String> = hidden.filter_map(|(operation, _)| operation.assistant.clone()).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// What has to be asked of the server next for every operation's graph to be known; what is in `known` has been.
    pub fn graphs_hidden(&self, known: &Knowledge) -> Vec<Subject> {
        let mut subjects: Vec<Subject> = self
            .judged()
            .filter_map(|(operation, facts)| hides_graph(operation, facts))
            .filter(|subject| !known.contains_key(subject))
            .collect();
        subjects.sort();
        subjects.dedup();
        subjects
    }

    /// Takes in what the server said. What it did not say leaves a graph unknown.
    pub fn learn(&mut self, known: &Knowledge) {
        for (operation, facts) in self.operations.iter_mut().zip(&mut self.facts) {
            let Some(subject) = hides_graph(operation, facts) else { continue };
            let Some(found) = known.get(&subject) else { continue };
            match &**found {
                // A name that the server knows no assistant by runs nothing; should one appear, nobody judged it.
                Found::Nothing => {
                    operation.graph = None;
                    facts.graph_known = false;
                    facts.graph_presumed = false;
                }
                Found::Thing { graph, assistant, .. } => {
                    if !matches!(subject, Subject::Assistant(_)) {
                        operation.assistant.clone_from(assistant);
                    }
                    if let Some(graph) = graph {
                        operation.graph = Some(graph.clone());
                        facts.graph_known = true;
                        facts.graph_presumed = false;
                    }
                }
            }
        }
    }

    /// Whether the request may change what the server answers to a [`Subject`].
    pub fn changes_subjects(&self) -> bool {
        self.operations.iter().any(|operation| match (operation.resource, operation.action) {
            ("assistants", "create" | "update" | "delete") | ("crons", "update" | "delete") => true,
            ("threads", "delete") => true,
            ("threads", "update") => self.stamping == Stamping::Changed,
            _ => false,
        })
    }
}

/// What is known of the server's things.
pub type Knowledge = BTreeMap<Subject, Arc<Found>>;

/// Whom to ask for an operation's graph, where the request does not settle it.
fn hides_graph(operation: &Operation, facts: &Facts) -> Option<Subject> {
    match (&operation.graph, &operation.assistant) {
        (_, Some(assistant)) if facts.graph_presumed || !facts.graph_known => {
            Some(Subject::Assistant(assistant.clone()))
        }
        (Some(graph), None) if facts.graph_presumed => Some(Subject::of_graph(graph)),
        (None, None) if !facts.graph_known => match (&operation.cron, &operation.tool) {
            (Some(cron), _) => Some(Subject::Cron(cron.clone())),
            (None, Some(tool)) => Some(Subject::Tool(tool.clone())),
            // The run that is answered names its graph; nothing that only its caller cannot change says which.
            (None, None) => None,
        },
        _ => None,
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
    /// `graph` is what the assistant's name or id says, and only the server can say whether it still is: an
    /// assistant can be given another graph.
    pub graph_presumed: bool,
}
