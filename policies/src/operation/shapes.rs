//! From a route's shape, query and body to operations.

use serde_json::{Map, Value};

use super::doors::Doors;
use super::fields::{self, Effects, object, only, present, strings};
use super::head::{Head, Names};
use super::judged::{Judged, known_graph, on, with_effects};
use super::table::{Shape, also};
use super::{Facts, Refused, ids, rpc};
use crate::reason::Reason;

/// Most operations that one request may hold.
pub(super) const OPERATIONS_LIMIT: usize = 100;

/// Reads what the request does. `body` is absent where it is empty or the route takes none.
pub(super) fn read(head: &Head, body: Option<&Value>, doors: &Doors) -> Result<Vec<Judged>, Refused> {
    let names = &head.names;
    if let Some(graph) = &names.graph {
        known_graph(graph, doors)?;
    }
    let plain = || head.does.iter().map(|&does| on(does, names, Facts::default())).collect::<Vec<_>>();
    let with = |effects: Effects| with_effects(head.does, names, effects, doors);
    let thread = names.thread.as_deref();
    match head.shape {
        Shape::Closed => Err(Refused::new(Reason::OperationUnknown, "route is not known")),
        Shape::Bodiless | Shape::Plain | Shape::ThreadSearch | Shape::ThreadUpdate => Ok(plain()),
        Shape::ThreadPrune => thread_prune(head, members(body)?),
        Shape::AssistantCreate => {
            let body = members(body)?;
            let mut effects = fields::read(&without(body, "assistant_id"), None, doors)?;
            if let Some(id) = present(body, "assistant_id") {
                effects.assistant = Some(ids::Assistant::Id(fields::uuid(id, "assistant_id")?));
            }
            if effects.facts.if_exists.as_deref().is_some_and(|what| what != "raise") {
                effects.also.push(also::ASSISTANT_READ);
            }
            let graph = graph_id(body, doors)?
                .ok_or_else(|| Refused::new(Reason::BodyMalformed, "graph_id is missing"))?;
            let mut judged = with(effects)?;
            for (operation, facts) in &mut judged {
                operation.graph = Some(graph.clone());
                facts.graph_known = true;
                facts.graph_presumed = false;
            }
            Ok(judged)
        }
        Shape::AssistantUpdate => {
            let body = members(body)?;
            let mut judged = with(fields::read(&without(body, "assistant_id"), None, doors)?)?;
            // The assistant's graph changes: both the one that it had and the one that it gets are concerned.
            if let Some(graph) = graph_id(body, doors)? {
                stays_itself(names, &graph)?;
                let mut moved = judged.clone();
                for (operation, facts) in &mut moved {
                    operation.graph = Some(graph.clone());
                    facts.graph_known = true;
                    facts.graph_presumed = false;
                }
                judged.append(&mut moved);
            }
            Ok(judged)
        }
        Shape::AssistantDelete => {
            let mut judged = plain();
            if head.target.parameter("delete_threads").is_some_and(is_set) {
                judged.push(on(also::THREAD_DELETE, names, Facts::default()));
            }
            Ok(judged)
        }
        Shape::AssistantSearch => {
            let graph = match body {
                Some(body) => graph_id(object(body, "body")?, doors)?,
                None => None,
            };
            let mut judged = plain();
            for (operation, _) in &mut judged {
                operation.graph.clone_from(&graph);
            }
            Ok(judged)
        }
        Shape::ThreadCreate => thread_create(head, body, doors),
        Shape::StateWrite | Shape::StateRead => {
            let body = members(body)?;
            let effects = fields::read(body, thread, doors)?;
            with(effects)
        }
        Shape::Run => {
            let body = members(body)?;
            only(body, &[fields::RUN])?;
            with(run(body, thread, doors)?)
        }
        Shape::StatelessRun => {
            let body = members(body)?;
            only(body, &[fields::RUN])?;
            with(run(body, None, doors)?)
        }
        Shape::RunBatch => {
            let runs = body
                .and_then(Value::as_array)
                .ok_or_else(|| Refused::new(Reason::BodyMalformed, "body is not an array of runs"))?;
            let mut judged = Vec::new();
            for body in bounded(runs)? {
                let body = object(body, "run")?;
                only(body, &[fields::RUN])?;
                judged.extend(with(run(body, None, doors)?)?);
            }
            Ok(judged)
        }
        Shape::RunJoin => {
            let mut judged = plain();
            // The caller's going away would cancel the run.
            if head.target.parameter("cancel_on_disconnect").is_some_and(is_set) {
                judged.push(on(also::THREAD_UPDATE, names, Facts::default()));
            }
            for (operation, _) in &mut judged {
                let modes =
                    head.target.query.iter().filter(|(key, _)| key == "stream_mode" || key == "stream_modes");
                operation.stream_modes = modes.map(|(_, mode)| mode.clone()).collect();
            }
            Ok(judged)
        }
        Shape::RunCancel => {
            let mut judged = plain();
            if rolls_back(head) {
                judged.push(on(also::THREAD_DELETE, names, Facts::default()));
            }
            Ok(judged)
        }
        Shape::RunsCancel => {
            let body = members(body)?;
            let mut judged = plain();
            if rolls_back(head) {
                judged.push(on(also::THREAD_DELETE, names, Facts::default()));
            }
            if let Some(thread) = present(body, "thread_id") {
                let thread = fields::uuid(thread, "thread_id")?;
                for (operation, _) in &mut judged {
                    operation.thread = Some(thread.clone());
                }
            }
            Ok(judged)
        }
        Shape::CronCreate | Shape::CronUpdate => {
            let body = members(body)?;
            only(body, &[fields::RUN, fields::CRON])?;
            let mut effects = match head.shape {
                Shape::CronCreate => run(body, thread, doors)?,
                // The server passes it over: a cron keeps its assistant, whatever the body says.
                _ if body.contains_key("assistant_id") => {
                    return Err(Refused::new(
                        Reason::FieldRefused,
                        "a cron cannot be given another assistant",
                    ));
                }
                _ => fields::read(body, thread, doors)?,
            };
            effects.facts.deferred = true;
            with(effects)
        }
        Shape::CronSearch => {
            let mut effects = Effects::default();
            if let Some(id) = body.and_then(Value::as_object).and_then(|body| present(body, "assistant_id")) {
                effects.assistant = Some(fields::assistant(id)?);
            }
            with(effects)
        }
        Shape::StoreGet => {
            let namespace = head.target.parameter("namespace").unwrap_or_default();
            Ok(in_namespace(plain(), namespace.split('.').map(str::to_owned).collect()))
        }
        Shape::StoreItem => store(plain(), members(body)?, "namespace"),
        Shape::StoreSearch => store(plain(), members(body)?, "namespace_prefix"),
        Shape::StoreNamespaces => match body {
            Some(body) => store(plain(), object(body, "body")?, "prefix"),
            None => Ok(plain()),
        },
        Shape::Command => rpc::command(head, members(body)?, doors),
        Shape::Mcp => rpc::mcp(head, body, doors),
        Shape::A2a => rpc::a2a(head, body, doors),
        Shape::Card => {
            let mut effects = Effects::default();
            if let Some(id) = head.target.parameter("assistant_id") {
                effects.assistant = Some(fields::assistant(&Value::String(id.to_owned()))?);
            }
            with(effects)
        }
    }
}

/// Refuses to give the assistant that LangGraph made of a graph another graph: whoever runs a graph by name runs that
/// assistant. Its id is a UUID of version 5, and no other assistant gets such an id by itself.
fn stays_itself(names: &Names, graph: &str) -> Result<(), Refused> {
    let stays = match (&names.graph, &names.assistant) {
        (Some(of), _) => of == graph,
        (None, Some(id)) => id.as_bytes().get(14) != Some(&b'5') || ids::of_graph(graph) == *id,
        (None, None) => true,
    };
    if stays {
        return Ok(());
    }
    Err(Refused::new(
        Reason::FieldRefused,
        "the assistant that LangGraph made of a graph cannot be given another",
    ))
}

/// `POST /threads`: history may come with it, and an existing thread may be what is returned.
fn thread_create(head: &Head, body: Option<&Value>, doors: &Doors) -> Result<Vec<Judged>, Refused> {
    let body = members(body)?;
    only(body, &[&["thread_id", "metadata", "if_exists", "ttl", "supersteps"]])?;
    let mut effects = fields::read(body, None, doors)?;
    if let Some(supersteps) = present(body, "supersteps") {
        effects.facts.supersteps = true;
        effects.also.extend([also::THREAD_UPDATE, also::THREAD_READ]);
        read_supersteps(supersteps, &mut effects)?;
    } else if effects.facts.if_exists.as_deref().is_some_and(|what| what != "raise") {
        effects.also.push(also::THREAD_READ);
    }
    let mut names = head.names.clone();
    if let Some(thread) = present(body, "thread_id") {
        names.thread = Some(fields::uuid(thread, "thread_id")?);
    }
    with_effects(head.does, &names, effects, doors)
}

/// `thread_ids: […]`: as many deletions as threads are named.
fn thread_prune(head: &Head, body: &Map<String, Value>) -> Result<Vec<Judged>, Refused> {
    let threads = present(body, "thread_ids")
        .and_then(Value::as_array)
        .ok_or_else(|| Refused::new(Reason::BodyMalformed, "thread_ids is not an array"))?;
    let mut judged = Vec::new();
    for thread in bounded(threads)? {
        let names = Names { thread: Some(fields::uuid(thread, "thread_ids")?), ..Names::default() };
        judged.extend(head.does.iter().map(|&does| on(does, &names, Facts::default())));
    }
    Ok(judged)
}

/// `supersteps: [{updates: [{values, command, as_node}]}]`.
fn read_supersteps(supersteps: &Value, effects: &mut Effects) -> Result<(), Refused> {
    let malformed = || Refused::new(Reason::BodyMalformed, "supersteps is not an array of updates");
    for step in supersteps.as_array().ok_or_else(malformed)? {
        let updates = step.get("updates").and_then(Value::as_array).ok_or_else(malformed)?;
        for update in updates {
            if let Some(command) = present(object(update, "superstep")?, "command") {
                fields::read_command(object(command, "command")?, effects)?;
            }
        }
    }
    Ok(())
}

/// The effects of a body that creates a run; it has to name its assistant.
fn run(body: &Map<String, Value>, thread: Option<&str>, doors: &Doors) -> Result<Effects, Refused> {
    let effects = fields::read(body, thread, doors)?;
    match effects.assistant {
        Some(_) => Ok(effects),
        None => Err(Refused::new(Reason::BodyMalformed, "assistant_id is missing")),
    }
}

fn store(judged: Vec<Judged>, body: &Map<String, Value>, member: &str) -> Result<Vec<Judged>, Refused> {
    let namespace = match present(body, member) {
        Some(namespace) => strings(namespace, member)?,
        None => Vec::new(),
    };
    Ok(in_namespace(judged, namespace))
}

fn in_namespace(mut judged: Vec<Judged>, namespace: Vec<String>) -> Vec<Judged> {
    for (operation, _) in &mut judged {
        operation.namespace.clone_from(&namespace);
    }
    judged
}

/// `graph_id` of an assistant.
fn graph_id(body: &Map<String, Value>, doors: &Doors) -> Result<Option<String>, Refused> {
    let Some(graph) = present(body, "graph_id") else { return Ok(None) };
    match graph.as_str().and_then(ids::assistant) {
        Some(ids::Assistant::Graph(graph)) => known_graph(&graph, doors).map(|()| Some(graph)),
        _ => Err(Refused::new(Reason::BodyMalformed, "graph_id is not a graph's name")),
    }
}

/// A body that has to be an object; an empty one is none.
fn members(body: Option<&Value>) -> Result<&Map<String, Value>, Refused> {
    body.and_then(Value::as_object)
        .ok_or_else(|| Refused::new(Reason::BodyMalformed, "body is not an object"))
}

/// `assistant_id` names a new assistant there, not one to run.
fn without(body: &Map<String, Value>, name: &str) -> Map<String, Value> {
    const SHARED: &[&str] = &["config", "context", "metadata", "if_exists", "webhook"];
    body.iter()
        .filter(|(key, _)| *key != name && SHARED.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The items of a batch, which has to hold between one and [`OPERATIONS_LIMIT`].
pub(super) fn bounded(items: &[Value]) -> Result<&[Value], Refused> {
    if items.is_empty() {
        return Err(Refused::new(Reason::OperationUnknown, "batch is empty"));
    }
    if items.len() > OPERATIONS_LIMIT {
        return Err(Refused::new(Reason::BodyTooLarge, "batch holds more than 100 operations"));
    }
    Ok(items)
}

/// Whether a flag of the query is on. The server knows several spellings of yes; whatever is not plainly no counts.
fn is_set(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "" | "false" | "0" | "no" | "off")
}

/// Whether cancelling deletes the run's work.
fn rolls_back(head: &Head) -> bool {
    head.target.parameter("action").is_some_and(|action| action != "interrupt")
}
