//! What only the server knows: an assistant's graph, whose a thread is. Asked of LangGraph through a callout.
//!
//! ```yaml
//! operations:
//!   lookups: { cluster: langgraph, timeout: 2s, cache: 5s }
//! ```
//! ```json
//! POST /threads/search {"ids":["0c6e…"],"limit":1,"select":["thread_id","metadata"]}
//! [{"thread_id":"0c6e…","metadata":{"owner":"uma"}}]
//! ```
//! A [`Subject`] is a question, a [`Found`] its answer. Whoever asks (the filter) makes the call and keeps answers in
//! a [`super::LookupCache`]. An answer that is not the one to the question asked is no answer.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::ids;
use crate::policy::{At, Problems, Span};

/// The largest answer that is read, bytes.
const ANSWER_LIMIT: usize = 4 << 20;
/// How many assistants LangGraph goes through for a tool's name.
const TOOLS_LIMIT: usize = 1_000;
/// The longest name of a tool.
const TOOL_NAME_LIMIT: usize = 128;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_CACHE: Duration = Duration::from_secs(5);
const LONGEST_CACHE: Duration = Duration::from_secs(300);

/// `operations.lookups` as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupsConfig {
    /// The cluster of LangGraph in Envoy's configuration.
    pub cluster: String,
    /// The `:authority` to send; the cluster's name where absent.
    #[serde(default)]
    pub authority: Option<String>,
    /// How long one question may take; `2s` where absent.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// How long an answer is believed; `5s` where absent, `0s` for not at all.
    #[serde(default)]
    pub cache: Option<Span>,
}

/// Where LangGraph is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookups {
    /// The Envoy cluster.
    pub cluster: String,
    /// The `:authority` to send.
    pub authority: String,
    /// How long one question may take.
    pub timeout: Duration,
    /// How long an answer is believed.
    pub cache: Duration,
}

impl Lookups {
    pub(super) fn compile(config: &LookupsConfig, at: &At, problems: &mut Problems) -> Self {
        if config.cluster.is_empty() {
            problems.add(&at.member("cluster"), "a cluster's name cannot be empty");
        }
        let timeout = config.timeout.map_or(DEFAULT_TIMEOUT, |Span(timeout)| timeout);
        if timeout.is_zero() || timeout > LONGEST_TIMEOUT {
            problems.add(&at.member("timeout"), "a question may take more than 0 and at most 30s");
        }
        let cache = config.cache.map_or(DEFAULT_CACHE, |Span(cache)| cache);
        if cache > LONGEST_CACHE {
            problems.add(&at.member("cache"), "an answer is believed for at most 5m");
        }
        let authority = config.authority.clone().unwrap_or_else(|| config.cluster.clone());
        Self { cluster: config.cluster.clone(), authority, timeout, cache }
    }
}

/// Something that is asked about. Ids are canonical.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// An assistant, by its UUID.
    Assistant(String),
    /// A thread.
    Thread(String),
    /// A cron.
    Cron(String),
    /// An MCP tool, by its name: an assistant whose name comes to that.
    Tool(String),
}

/// A question as a request to LangGraph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The method.
    pub method: &'static str,
    /// The path.
    pub path: String,
    /// A JSON document, or empty.
    pub body: Vec<u8>,
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is no such thing, as far as this caller is told.
    Nothing,
    /// There is.
    Thing {
        /// An assistant's graph.
        graph: Option<String>,
        /// The assistant itself: of a cron the one it runs, of a tool the one it is.
        assistant: Option<String>,
        /// Whose it is: the value under the key that was asked for, where it is a string of up to 512 bytes.
        owner: Option<String>,
    },
}

/// The longest owner that is read, bytes.
const OWNER_LIMIT: usize = 512;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    assistant_id: Option<String>,
    #[serde(default)]
    thread_id: Option<String>,
    #[serde(default)]
    cron_id: Option<String>,
    #[serde(default)]
    graph_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
}

impl Subject {
    /// The assistant that LangGraph made of a graph, which is what a graph's name stands for.
    pub fn of_graph(graph: &str) -> Self {
        Self::Assistant(ids::of_graph(graph))
    }

    /// A thread, by any spelling of its UUID.
    pub fn thread(spelling: &str) -> Option<Self> {
        ids::uuid(spelling).map(Self::Thread)
    }

    /// A cron, by any spelling of its UUID.
    pub fn cron(spelling: &str) -> Option<Self> {
        ids::uuid(spelling).map(Self::Cron)
    }

    /// An assistant, by any spelling of its UUID or by the name of the graph that LangGraph made it of.
    pub fn assistant(spelling: &str) -> Option<Self> {
        Some(match ids::assistant(spelling)? {
            ids::Assistant::Id(id) => Self::Assistant(id),
            ids::Assistant::Graph(graph) => Self::of_graph(&graph),
        })
    }

    /// The request that asks.
    pub fn question(&self) -> Question {
        let get = |path: String| Question { method: "GET", path, body: Vec::new() };
        let post = |path: &str, body: &Value| Question {
            method: "POST",
            path: path.to_owned(),
            body: body.to_string().into_bytes(),
        };
        match self {
            Self::Assistant(id) => get(format!("/assistants/{id}")),
            Self::Cron(id) => get(format!("/runs/crons/{id}")),
            // `GET /threads/{id}` would bring all of the thread's values along.
            Self::Thread(id) => post(
                "/threads/search",
                &json!({"ids": [id], "limit": 1, "select": ["thread_id", "metadata"]}),
            ),
            Self::Tool(_) => post(
                "/assistants/search",
                &json!({"limit": TOOLS_LIMIT, "select": ["assistant_id", "graph_id", "name", "metadata"]}),
            ),
        }
    }

    /// Reads the answer; `owner` is the key of `metadata` that says whose things are. `None` where it is no answer: then
    /// nothing is known, and what depends on it is refused.
    pub fn answer(&self, status: u16, body: &[u8], owner: Option<&str>) -> Option<Found> {
        if status == 404 {
            return Some(Found::Nothing);
        }
        if status != 200 || body.len() > ANSWER_LIMIT {
            return None;
        }
        match self {
            Self::Assistant(id) => {
                let answer: Answer = serde_json::from_slice(body).ok()?;
                is(answer.assistant_id.as_deref(), id).then(|| answer.found(owner))
            }
            Self::Cron(id) => {
                let answer: Answer = serde_json::from_slice(body).ok()?;
                is(answer.cron_id.as_deref(), id).then(|| answer.found(owner))
            }
            Self::Thread(id) => {
                let answers: Vec<Answer> = serde_json::from_slice(body).ok()?;
                match answers.as_slice() {
                    [] => Some(Found::Nothing),
                    // A server that does not know `ids` answers with any thread.
                    [answer] => is(answer.thread_id.as_deref(), id).then(|| answer.found(owner)),
                    _ => None,
                }
            }
            Self::Tool(name) => {
                let answers: Vec<Answer> = serde_json::from_slice(body).ok()?;
                let mut named = answers
                    .iter()
                    .filter(|answer| answer.name.as_deref().is_some_and(|own| tool_name(own) == *name));
                match (named.next(), named.next()) {
                    // LangGraph calls neither a tool that it has not, nor one of two.
                    (None, _) | (Some(_), Some(_)) => Some(Found::Nothing),
                    (Some(answer), None) => Some(answer.found(owner)),
                }
            }
        }
    }
}

impl Answer {
    fn found(&self, owner: Option<&str>) -> Found {
        let graph = self.graph_id.as_deref().and_then(ids::assistant).and_then(|graph| match graph {
            ids::Assistant::Graph(graph) => Some(graph),
            ids::Assistant::Id(_) => None,
        });
        let owner = owner.zip(self.metadata.as_ref()).and_then(|(key, metadata)| metadata.get(key)?.as_str());
        Found::Thing {
            graph,
            assistant: self.assistant_id.as_deref().and_then(ids::uuid),
            owner: owner.filter(|owner| owner.len() <= OWNER_LIMIT).map(str::to_owned),
        }
    }
}

impl Found {
    /// Whose it is.
    pub fn owner(&self) -> Option<&str> {
        match self {
            Self::Nothing => None,
            Self::Thing { owner, .. } => owner.as_deref(),
        }
    }

    /// Whether there is such a thing.
    pub fn is_there(&self) -> bool {
        matches!(self, Self::Thing { .. })
    }

    /// Whether this is the assistant that LangGraph made of its graph, which belongs to nobody. Only its id tells:
    /// metadata is whatever its maker wrote.
    pub fn is_of_the_deployment(&self) -> bool {
        match self {
            Self::Thing { graph: Some(graph), assistant: Some(assistant), .. } => {
                ids::of_graph(graph) == *assistant
            }
            Self::Thing { .. } | Self::Nothing => false,
        }
    }
}

fn is(answered: Option<&str>, asked: &str) -> bool {
    answered.and_then(ids::uuid).as_deref() == Some(asked)
}

/// An assistant's name as a tool's: runs of white space become `_`, what is none of `A-Za-z0-9_.-` goes, and what is
/// left is cut. LangGraph takes Unicode's white space, as Python's `\s` does.
fn tool_name(name: &str) -> String {
    let mut tool = String::with_capacity(name.len().min(TOOL_NAME_LIMIT));
    let mut spaced = false;
    for character in name.trim_matches(is_python_space).chars() {
        if is_python_space(character) {
            if !spaced {
                tool.push('_');
            }
            spaced = true;
            continue;
        }
        spaced = false;
        if character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.') {
            tool.push(character);
        }
    }
    tool.truncate(TOOL_NAME_LIMIT);
    tool
}

/// Python's `str.isspace`, which knows four control characters more than Unicode's White_Space.
fn is_python_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab";
    const OTHER: &str = "5d6e0f1a-9a1b-4c2d-8e3f-0123456789ab";

    fn answer(subject: Subject, status: u16, body: &Value) -> Option<Found> {
        subject.answer(status, body.to_string().as_bytes(), Some("owner"))
    }

    #[test]
    fn only_the_answer_to_the_question_counts() {
        let assistant = || Subject::Assistant(ID.to_owned());
        let thread = || Subject::Thread(ID.to_owned());
        let good = json!({"assistant_id": ID, "graph_id": "billing", "metadata": {"owner": "uma", "n": 1}});
        let found = answer(assistant(), 200, &good).unwrap();
        assert_eq!(found.owner(), Some("uma"));
        for metadata in [json!({"owner": 1}), json!({}), json!(null), json!({"owner": "x".repeat(513)})] {
            let odd = json!({"assistant_id": ID, "graph_id": "billing", "metadata": metadata});
            assert_eq!(answer(assistant(), 200, &odd).unwrap().owner(), None, "{odd}");
        }
        assert!(matches!(&found, Found::Thing { graph: Some(graph), .. } if graph == "billing"));
        let other = json!({"assistant_id": OTHER, "graph_id": "billing"});
        for (status, body) in [
            (200, json!({})),
            (200, json!([good])),
            (200, other),
            (201, good.clone()),
            (302, good.clone()),
            (401, good.clone()),
            (500, good.clone()),
            (503, json!({})),
        ] {
            assert_eq!(answer(assistant(), status, &body), None, "{status} {body}");
        }
        assert_eq!(answer(assistant(), 404, &json!({})), Some(Found::Nothing));
        assert_eq!(answer(thread(), 200, &json!([])), Some(Found::Nothing));
        assert_eq!(answer(thread(), 200, &json!([{"thread_id": OTHER}])), None);
        assert_eq!(answer(thread(), 200, &json!([{"thread_id": ID}, {"thread_id": ID}])), None);
        let mine = answer(thread(), 200, &json!([{"thread_id": ID, "metadata": {"owner": "uma"}}])).unwrap();
        assert_eq!(mine.owner(), Some("uma"));
        let cron = json!({"cron_id": ID, "assistant_id": OTHER, "metadata": {}});
        let found = answer(Subject::Cron(ID.to_owned()), 200, &cron).unwrap();
        assert!(matches!(found, Found::Thing { assistant: Some(id), .. } if id == OTHER));
    }

    #[test]
    fn a_tool_is_the_one_assistant_of_that_name() {
        let tool = || Subject::Tool("my_agent.v2".to_owned());
        let one = json!({"assistant_id": ID, "graph_id": "a", "name": " my \t agent.v2!"});
        let two = json!({"assistant_id": OTHER, "graph_id": "b", "name": "my agent.v2"});
        assert!(matches!(
            answer(tool(), 200, &json!([one, {"assistant_id": OTHER, "name": "x"}])),
            Some(Found::Thing { graph: Some(graph), .. }) if graph == "a"
        ));
        assert_eq!(answer(tool(), 200, &json!([one, two])), Some(Found::Nothing));
        assert_eq!(answer(tool(), 200, &json!([])), Some(Found::Nothing));
    }

    #[test]
    fn an_assistant_of_the_deployment_is_known_by_its_id_and_not_by_what_it_says() {
        let found = |id: String, graph: &str| {
            let body = json!({"assistant_id": id, "graph_id": graph, "metadata": {"created_by": "system"}});
            Subject::Assistant(id).answer(200, body.to_string().as_bytes(), None).unwrap()
        };
        assert!(found(ids::of_graph("billing"), "billing").is_of_the_deployment());
        assert!(!found(ids::of_graph("billing"), "other").is_of_the_deployment());
        assert!(!found(ID.to_owned(), "billing").is_of_the_deployment());
    }

    #[test]
    fn questions_name_what_they_ask_about_and_bring_little() {
        let question = Subject::Thread(ID.to_owned()).question();
        assert_eq!((question.method, question.path.as_str()), ("POST", "/threads/search"));
        let body: Value = serde_json::from_slice(&question.body).unwrap();
        assert_eq!(body, json!({"ids": [ID], "limit": 1, "select": ["thread_id", "metadata"]}));
        assert_eq!(Subject::Assistant(ID.to_owned()).question().path, format!("/assistants/{ID}"));
        assert_eq!(Subject::Cron(ID.to_owned()).question().path, format!("/runs/crons/{ID}"));
    }
}
