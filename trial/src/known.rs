//! What LangGraph would say: the answers that a table of expectations, or `explain --known`, supposes.
//!
//! ```yaml
//! threads:    { 0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab: { owner: uma }, 5d6e0f1a-9a1b-4c2d-8e3f-0123456789ab: absent }
//! assistants: { 2a6e0f1a-9a1b-4c2d-8e3f-0123456789ab: { graph: billing, owner: uma } }
//! crons:      { 3b6e0f1a-9a1b-4c2d-8e3f-0123456789ab: { graph: billing, owner: uma } }
//! tools:      { Umas_agent: { graph: billing, owner: uma } }
//! ```
//! `owner` is what stands under ownership's key. The assistant that LangGraph makes of a graph need not be written: it
//! is what its name says, unless it is written here under that name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use anyhow::Context as _;
use graphwarden_policies::operation::{Found, Knowledge, Request, Subject};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

/// Answers as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Written {
    threads: BTreeMap<String, Says<Owned>>,
    assistants: BTreeMap<String, Says<Running>>,
    crons: BTreeMap<String, Says<Running>>,
    tools: BTreeMap<String, Says<Running>>,
}

/// One answer.
#[derive(Debug, Clone)]
enum Says<T> {
    /// `absent`: there is no such thing.
    Absent,
    Present(T),
}

/// A thread.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owned {
    #[serde(default)]
    owner: Option<String>,
}

/// What runs a graph.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Running {
    graph: String,
    #[serde(default)]
    owner: Option<String>,
}

/// Answers by what is asked about.
#[derive(Debug, Clone, Default)]
pub struct Known(Knowledge);

impl Written {
    /// Makes the answers ready.
    pub fn read(&self) -> anyhow::Result<Known> {
        let mut known = Knowledge::new();
        let uuid = |kind: &str, id: &str, subject: Option<Subject>| {
            subject.with_context(|| format!("known: `{id}` names no {kind}"))
        };
        for (id, says) in &self.threads {
            let found = says.found(|thread| Found::Thing {
                graph: None,
                assistant: None,
                owner: thread.owner.clone(),
            });
            known.insert(uuid("thread", id, Subject::thread(id))?, found);
        }
        for (id, says) in &self.assistants {
            let subject = uuid("assistant", id, Subject::assistant(id))?;
            let Subject::Assistant(own) = &subject else { continue };
            let found = says.found(|assistant| assistant.found(Some(own.clone())));
            known.insert(subject, found);
        }
        for (id, says) in &self.crons {
            known.insert(uuid("cron", id, Subject::cron(id))?, says.found(|cron| cron.found(None)));
        }
        for (name, says) in &self.tools {
            known.insert(Subject::Tool(name.clone()), says.found(|tool| tool.found(None)));
        }
        Ok(Known(known))
    }
}

impl<T> Says<T> {
    fn found(&self, present: impl FnOnce(&T) -> Found) -> Arc<Found> {
        Arc::new(match self {
            Self::Absent => Found::Nothing,
            Self::Present(thing) => present(thing),
        })
    }
}

impl Running {
    fn found(&self, assistant: Option<String>) -> Found {
        Found::Thing { graph: Some(self.graph.clone()), assistant, owner: self.owner.clone() }
    }
}

impl Known {
    /// These answers, and where both have one, the other's.
    pub fn with(&self, other: &Self) -> Self {
        let mut all = self.0.clone();
        all.extend(other.0.iter().map(|(subject, found)| (subject.clone(), Arc::clone(found))));
        Self(all)
    }

    /// The answer about `subject`, which `request` is about.
    pub fn find(&self, subject: &Subject, request: &Request) -> Option<Arc<Found>> {
        self.0.get(subject).map(Arc::clone).or_else(|| {
            let Subject::Assistant(id) = subject else { return None };
            let mut graphs = request.operations.iter().filter_map(|operation| operation.graph.as_deref());
            let graph = graphs.find(|graph| Subject::of_graph(graph) == *subject)?;
            let assistant = Some(id.clone());
            Some(Arc::new(Found::Thing { graph: Some(graph.to_owned()), assistant, owner: None }))
        })
    }
}

/// What to write for an answer that is missing.
pub fn how_to_write(subject: &Subject) -> String {
    let (list, name, says) = match subject {
        Subject::Thread(id) => ("threads", id, "{ owner: WHOSE }"),
        Subject::Assistant(id) => ("assistants", id, "{ graph: NAME }"),
        Subject::Cron(id) => ("crons", id, "{ graph: NAME }"),
        Subject::Tool(name) => ("tools", name, "{ graph: NAME }"),
    };
    format!("known: {{ {list}: {{ {name}: {says} }} }}, or `{name}: absent` where there is none")
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Says<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SaysVisitor<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for SaysVisitor<T> {
            type Value = Says<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("what is there, such as `{ owner: uma }`, or `absent`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Says<T>, E> {
                match text {
                    "absent" => Ok(Says::Absent),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Says<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Says::Present)
            }
        }

        deserializer.deserialize_any(SaysVisitor(std::marker::PhantomData))
    }
}
