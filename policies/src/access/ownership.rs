//! Whose things are whose: what a caller makes carries their mark, and what carries another's is not there for them.
//!
//! ```yaml
//! access:
//!   ownership: { key: owner, value: identity.subject, except: ["role:admin"] }
//! ```
//! As LangGraph's own authorisation handlers do it: the mark is a key of `metadata`; searches look for it; a thing
//! without it answers 404. It decides from what [`crate::operation::Knowledge`] says, which the filter asks the server
//! for; what is not known is refused. How the mark gets into a body is left to [`super::stamp`].

use std::collections::BTreeSet;

use serde::Deserialize;

use super::beginning::may_begin;
use super::condition::Condition;
use super::stamp;
use crate::identity::Identity;
use crate::operation::{Facts, Found, Knowledge, Operation, Refused, Request, Stamping, Subject};
use crate::policy::{At, Problems};
use crate::reason::Reason;

/// The longest mark, bytes: longer ones are not read back either.
const OWNER_LIMIT: usize = 512;

/// `access.ownership` as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnershipConfig {
    /// The key of `metadata` that says whose a thing is.
    pub key: String,
    /// What it says, in CEL over `identity`.
    pub value: String,
    /// Who is not bound by it: `role:NAME`, `group:NAME` or `subject:ID`.
    #[serde(default)]
    pub except: Vec<String>,
    /// What is owned; all of it where absent.
    #[serde(default)]
    pub of: Option<BTreeSet<Owned>>,
}

/// A kind of thing that is owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owned {
    /// Threads, and with them their runs.
    Threads,
    /// Assistants, but for those that LangGraph makes of graphs, which belong to nobody.
    Assistants,
    /// Crons.
    Crons,
}

/// Ownership, ready to decide.
#[derive(Debug, Clone)]
pub struct Ownership {
    key: String,
    value: Condition,
    except: Vec<Person>,
    of: BTreeSet<Owned>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Person {
    Role(String),
    Group(String),
    Subject(String),
}

impl Person {
    fn of(written: &str) -> Option<Self> {
        let (kind, name) = written.split_once(':')?;
        let name = Some(name).filter(|name| !name.trim().is_empty())?.to_owned();
        match kind {
            "role" => Some(Self::Role(name)),
            "group" => Some(Self::Group(name)),
            "subject" => Some(Self::Subject(name)),
            _ => None,
        }
    }

    fn is(&self, identity: &Identity) -> bool {
        match self {
            Self::Role(name) => identity.roles.contains(name),
            Self::Group(name) => identity.groups.contains(name),
            Self::Subject(id) => identity.subject == *id,
        }
    }
}

impl Ownership {
    /// Compiles the section. Every problem is added; `None` if there was one.
    pub(super) fn compile(config: &OwnershipConfig, at: &At, problems: &mut Problems) -> Option<Self> {
        let known = problems.iter().count();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if config.key.is_empty() || config.key.len() > 64 || !config.key.bytes().all(plain) {
            problems.add(&at.member("key"), "a key has 1 to 64 letters, digits, `_`, `-` or `.`");
        }
        // LangGraph writes these itself.
        if matches!(config.key.as_str(), "graph_id" | "assistant_id" | "created_by") {
            problems
                .add(&at.member("key"), format!("`{}` is a key that LangGraph writes itself", config.key));
        }
        let value = Condition::compile_text(&config.value, &at.member("value"), problems);
        let mut except = Vec::new();
        for (index, written) in config.except.iter().enumerate() {
            match Person::of(written) {
                Some(person) => except.push(person),
                None => problems.add_with_hint(
                    &at.member("except").index(index),
                    format!("`{written}` names nobody"),
                    "write role:NAME, group:NAME or subject:ID",
                ),
            }
        }
        let of = config
            .of
            .clone()
            .unwrap_or_else(|| BTreeSet::from([Owned::Threads, Owned::Assistants, Owned::Crons]));
        if of.is_empty() {
            problems.add(&at.member("of"), "ownership of nothing can never refuse");
        }
        let value = value?;
        (problems.iter().count() == known).then(|| Self { key: config.key.clone(), value, except, of })
    }

    pub(super) fn owns(&self, kind: Owned) -> bool {
        self.of.contains(&kind)
    }

    /// The key of `metadata` that says whose a thing is.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The caller's mark, or `None` for those who are not bound.
    ///
    /// # Errors
    /// A caller for whom there is no mark: what they make would be nobody's.
    pub fn owner(&self, identity: &Identity) -> Result<Option<String>, Refused> {
        if self.except.iter().any(|person| person.is(identity)) {
            return Ok(None);
        }
        let mark = self.value.text(identity).filter(|mark| !mark.is_empty() && mark.len() <= OWNER_LIMIT);
        match mark {
            Some(mark) => Ok(Some(mark)),
            None => Err(Refused {
                reason: Reason::AccessDenied,
                detail: "the caller has nothing to be known by as an owner".to_owned(),
            }),
        }
    }

    /// What has to be asked before [`Ownership::admits`] can decide; what is in `known` has been.
    pub fn subjects(&self, request: &Request, known: &Knowledge) -> Vec<Subject> {
        let mut subjects = BTreeSet::new();
        for (operation, facts) in request.judged() {
            subjects.extend(self.concerned(operation, facts));
        }
        subjects.into_iter().filter(|subject| !known.contains_key(subject)).collect()
    }

    /// The owned things that an operation is about.
    fn concerned(&self, operation: &Operation, facts: &Facts) -> Vec<Subject> {
        let mut subjects = Vec::new();
        if self.of.contains(&Owned::Threads) {
            subjects.extend(operation.thread.clone().map(Subject::Thread));
        }
        if self.of.contains(&Owned::Crons) {
            subjects.extend(operation.cron.clone().map(Subject::Cron));
        }
        if self.of.contains(&Owned::Assistants) {
            match (&operation.assistant, &operation.graph, &operation.tool) {
                (Some(id), _, _) => subjects.push(Subject::Assistant(id.clone())),
                // An assistant that is named by its graph is the deployment's; changing it is another matter.
                (None, Some(graph), None) if facts.graph_presumed && changes_assistant(operation) => {
                    subjects.push(Subject::of_graph(graph));
                }
                // Also where its graph is known by now: whose it is, is another question.
                (None, _, Some(tool)) => subjects.push(Subject::Tool(tool.clone())),
                _ => {}
            }
        }
        subjects
    }

    /// Whether the caller whose mark is `owner` may do this as far as whose things it touches goes.
    ///
    /// # Errors
    /// With [`Reason::NotFound`] what is another's, or nobody's, or not there and not made by the request (for what the
    /// gate makes first see [`Ownership::begins`]); with [`Reason::FieldRefused`] what cannot
    /// be kept apart by owner.
    pub fn admits(&self, owner: &str, request: &Request, known: &Knowledge) -> Result<(), Refused> {
        let made: BTreeSet<&str> = request
            .judged()
            .filter_map(|(operation, facts)| makes(operation, facts, request.stamping))
            .collect();
        for (operation, facts) in request.judged() {
            self.is_bounded(operation, request)?;
            for subject in self.concerned(operation, facts) {
                let found = known.get(&subject).map(|found| &**found);
                let fits = match (&subject, found) {
                    (_, None) => false,
                    (Subject::Thread(_), Some(Found::Nothing)) if may_begin(request) => true,
                    (Subject::Thread(id) | Subject::Assistant(id), Some(Found::Nothing)) => {
                        made.contains(id.as_str())
                    }
                    (_, Some(Found::Nothing)) => false,
                    (Subject::Assistant(_) | Subject::Tool(_), Some(found))
                        if found.is_of_the_deployment() && !changes_assistant(operation) =>
                    {
                        true
                    }
                    (_, Some(found)) => found.owner() == Some(owner),
                };
                if !fits {
                    return Err(Refused { reason: Reason::NotFound, detail: not_found(&subject) });
                }
            }
        }
        Ok(())
    }

    /// Refuses what reaches past one thing without a filter that could hold it back.
    fn is_bounded(&self, operation: &Operation, request: &Request) -> Result<(), Refused> {
        let refused = |detail: &str| Err(Refused { reason: Reason::FieldRefused, detail: detail.to_owned() });
        match (operation.resource, operation.action) {
            ("threads", "create" | "search") => Ok(()),
            ("threads", "create_run") if request.stamping != Stamping::Unreachable => Ok(()),
            ("threads", "create_run" | "update") if may_begin(request) => Ok(()),
            ("threads", _) if operation.thread.is_none() && self.of.contains(&Owned::Threads) => refused(
                "callers keep to threads of their own here, and this names none: name a thread that is yours",
            ),
            ("assistants", "search")
                if request.stamping != Stamping::Body && self.of.contains(&Owned::Assistants) =>
            {
                refused("callers keep to assistants of their own here, and this would list all of them")
            }
            _ => Ok(()),
        }
    }

    /// The body with the caller's mark in it, or `None` where it can stay as it is.
    ///
    /// # Errors
    /// A body that gives the key another value, or that a mark cannot be put into.
    pub fn stamped(&self, owner: &str, request: &Request, body: &[u8]) -> Result<Option<Vec<u8>>, Refused> {
        self.is_not_claimed(owner, request)?;
        let owned = request.operations.iter().any(|operation| match operation.resource {
            "threads" => self.of.contains(&Owned::Threads),
            "assistants" => self.of.contains(&Owned::Assistants),
            "crons" => self.of.contains(&Owned::Crons),
            _ => false,
        });
        if !owned {
            return Ok(None);
        }
        stamp::stamp(request.stamping, &self.key, owner, body)
    }

    /// Refuses a body that says whose something is, other than the caller's.
    fn is_not_claimed(&self, owner: &str, request: &Request) -> Result<(), Refused> {
        let Some(body) = &request.body else { return Ok(()) };
        let items = match body {
            serde_json::Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let claims = |value: Option<&serde_json::Value>| {
            let claimed = value.and_then(|value| value.get("metadata")).and_then(|map| map.get(&self.key));
            claimed.is_some_and(|claimed| claimed != owner)
        };
        let foreign = items.iter().any(|item| {
            [Some(item), item.get("params")].into_iter().flatten().any(|object| {
                // A run's `config.metadata` becomes its thread's too.
                claims(Some(object)) || claims(object.get("config"))
            })
        });
        if foreign {
            let detail = format!("metadata.{} is the gate's to write", self.key);
            return Err(Refused { reason: Reason::FieldRefused, detail });
        }
        Ok(())
    }
}

/// Whether an operation changes the assistant that it names.
fn changes_assistant(operation: &Operation) -> bool {
    operation.resource == "assistants" && !matches!(operation.action, "read" | "search")
}

/// The id of what an operation makes, with the caller's mark, where it names one.
fn makes<'a>(operation: &'a Operation, facts: &Facts, stamping: Stamping) -> Option<&'a str> {
    match (operation.resource, operation.action) {
        ("assistants", "create") => operation.assistant.as_deref(),
        ("threads", "create") => operation.thread.as_deref(),
        ("threads", "create_run") => {
            let makes_its_thread = match stamping {
                Stamping::Body => facts.if_not_exists.as_deref() == Some("create"),
                // `run.start` makes its thread by itself.
                Stamping::Params => facts.method.as_deref() == Some("run.start"),
                _ => false,
            };
            operation.thread.as_deref().filter(|_| makes_its_thread)
        }
        _ => None,
    }
}

/// In LangGraph's own words, which say no more about another's thing than about none.
fn not_found(subject: &Subject) -> String {
    match subject {
        Subject::Thread(_) => "thread not found",
        Subject::Assistant(_) => "assistant not found",
        Subject::Cron(_) => "cron not found",
        Subject::Tool(_) => "tool not found",
    }
    .to_owned()
}

#[cfg(test)]
#[path = "ownership_tests.rs"]
mod tests;
