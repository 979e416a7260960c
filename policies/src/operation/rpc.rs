//! Routes whose operation is in the body's `method`: thread commands, MCP and A2A.
//!
//! ```json
//! {"id": 1, "method": "run.start", "params": {"assistant_id": "support_agent", "input": {}}}
//! {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "support_agent", "arguments": {}}}
//! {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": {"contextId": "…", "parts": []}}}
//! ```

use serde_json::{Map, Value};

use super::doors::Doors;
use super::fields::{self, Effects, object, only, present, string};
use super::head::Head;
use super::judged::{Judged, on, with_effects};
use super::shapes::bounded;
use super::table::{Does, also};
use super::{Facts, Refused, ids};
use crate::reason::Reason;

/// `POST /threads/{thread}/commands`: protocol v2 of the event stream.
pub(super) fn command(head: &Head, body: &Map<String, Value>, doors: &Doors) -> Result<Vec<Judged>, Refused> {
    only(body, &[&["id", "method", "params"]])?;
    let method = present(body, "method").and_then(Value::as_str).unwrap_or_default();
    let empty = Map::new();
    let params = match present(body, "params") {
        Some(params) => object(params, "params")?,
        None => &empty,
    };
    let thread = head.names.thread.as_deref();
    match method {
        "run.start" => {
            only(
                params,
                &[&[
                    "assistant_id",
                    "input",
                    "config",
                    "metadata",
                    "multitaskStrategy",
                    "langsmith_tracer",
                    "force_resume",
                    "update",
                    "goto",
                ]],
            )?;
            let mut effects = fields::read(params, thread, doors)?;
            if effects.assistant.is_none() {
                return Err(Refused::new(Reason::BodyMalformed, "assistant_id is missing"));
            }
            // On a thread that is interrupted, the server takes any input for the answer.
            effects.facts.resume = present(params, "input").is_some();
            command_effects(params, &mut effects)?;
            effects.facts.method = Some("run.start".to_owned());
            with_effects(&[also::CREATE_RUN], &head.names, effects, doors)
        }
        "input.respond" => {
            only(
                params,
                &[&[
                    "interrupt_id",
                    "namespace",
                    "response",
                    "responses",
                    "update",
                    "goto",
                    "config",
                    "metadata",
                ]],
            )?;
            let mut effects = fields::read(params, thread, doors)?;
            effects.facts.resume = true;
            command_effects(params, &mut effects)?;
            effects.facts.method = Some("input.respond".to_owned());
            let mut judged = with_effects(&[also::CREATE_RUN], &head.names, effects, doors)?;
            for (_, facts) in &mut judged {
                // The run that it resumes names the graph, not the request.
                facts.graph_known = false;
            }
            Ok(judged)
        }
        "agent.getTree" => {
            let facts = Facts { method: Some("agent.getTree".to_owned()), ..Facts::default() };
            Ok(vec![on(also::THREAD_READ, &head.names, facts)])
        }
        _ => Err(Refused::new(Reason::OperationUnknown, "command is not known")),
    }
}

/// `update`, `goto` and `multitaskStrategy` of commands.
fn command_effects(params: &Map<String, Value>, effects: &mut Effects) -> Result<(), Refused> {
    effects.facts.update = present(params, "update").is_some();
    effects.facts.goto = present(params, "goto").is_some();
    let mut ends: &[Does] = &[];
    if let Some(strategy) = present(params, "multitaskStrategy") {
        let strategy = string(strategy, "multitaskStrategy")?;
        ends = fields::ends_another_run(strategy);
        effects.facts.multitask_strategy = Some(strategy.to_owned());
    }
    if !ends.is_empty() || effects.facts.update || effects.facts.goto {
        effects.also.push(also::THREAD_UPDATE);
    }
    effects.also.extend(ends.iter().filter(|does| **does != also::THREAD_UPDATE));
    Ok(())
}

/// One JSON-RPC message.
struct Message<'a> {
    method: &'a str,
    params: Option<&'a Map<String, Value>>,
}

/// The messages of a body: one, or a batch (JSON-RPC 2.0 section 6) of them. Responses are no operations.
fn messages(body: Option<&Value>) -> Result<Vec<Message<'_>>, Refused> {
    let body = body.ok_or_else(|| Refused::new(Reason::BodyMalformed, "body is empty"))?;
    let items = match body {
        Value::Array(items) => bounded(items)?,
        one => std::slice::from_ref(one),
    };
    items
        .iter()
        .map(|item| {
            let message = object(item, "message")?;
            only(message, &[&["jsonrpc", "id", "method", "params"]])?;
            if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
                return Err(Refused::new(Reason::BodyMalformed, "message is not JSON-RPC 2.0"));
            }
            let method = present(message, "method")
                .and_then(Value::as_str)
                .ok_or_else(|| Refused::new(Reason::OperationUnknown, "message has no method"))?;
            let params = present(message, "params").map(|params| object(params, "params")).transpose()?;
            Ok(Message { method, params })
        })
        .collect()
}

/// `POST /mcp` (Model Context Protocol, streamable HTTP).
pub(super) fn mcp(head: &Head, body: Option<&Value>, doors: &Doors) -> Result<Vec<Judged>, Refused> {
    let empty = Map::new();
    let mut judged = Vec::new();
    for message in messages(body)? {
        let facts = Facts { method: Some(message.method.to_owned()), ..Facts::default() };
        let plain = |does: Does, facts: Facts| on(does, &head.names, facts);
        judged.push(match message.method {
            "initialize" => plain(also::MCP_INITIALIZE, facts),
            "ping" => plain(also::MCP_PING, facts),
            "notifications/initialized" | "notifications/cancelled" | "notifications/progress" => {
                plain(also::MCP_NOTIFY, facts)
            }
            "tools/list" => plain(also::ASSISTANT_SEARCH, facts),
            "tools/call" => {
                let params = message.params.unwrap_or(&empty);
                only(params, &[&["name", "arguments", "context", "_meta"]])?;
                let tool = present(params, "name")
                    .and_then(Value::as_str)
                    .ok_or_else(|| Refused::new(Reason::BodyMalformed, "tool has no name"))?;
                let mut facts = facts;
                fields::read_context(params, doors, &mut facts)?;
                let (mut operation, mut facts) = plain(also::CREATE_RUN, facts);
                operation.tool = Some(tool.to_owned());
                // A tool is an assistant's name, which its maker chose; it says nothing about the graph.
                facts.graph_known = false;
                (operation, facts)
            }
            _ => return Err(Refused::new(Reason::OperationUnknown, "MCP method is not known")),
        });
    }
    Ok(judged)
}

/// `POST /a2a/{assistant}` (Agent2Agent), methods of v0 and their names of v1.
pub(super) fn a2a(head: &Head, body: Option<&Value>, doors: &Doors) -> Result<Vec<Judged>, Refused> {
    let empty = Map::new();
    let mut judged = Vec::new();
    for message in messages(body)? {
        let (method, does) = match message.method {
            "message/send" | "SendMessage" => ("message/send", also::CREATE_RUN),
            "message/stream" | "SendStreamingMessage" => ("message/stream", also::CREATE_RUN),
            "tasks/get" | "GetTask" => ("tasks/get", also::THREAD_READ),
            "tasks/list" | "ListTasks" => ("tasks/list", also::THREAD_READ),
            "tasks/cancel" | "CancelTask" => ("tasks/cancel", also::THREAD_UPDATE),
            "agent/getAuthenticatedExtendedCard" | "GetExtendedAgentCard" => {
                ("agent/card", also::ASSISTANT_READ)
            }
            _ => return Err(Refused::new(Reason::OperationUnknown, "A2A method is not known")),
        };
        let params = message.params.unwrap_or(&empty);
        let mut effects = Effects::default();
        effects.facts.method = Some(method.to_owned());
        let mut names = head.names.clone();
        if does == also::CREATE_RUN {
            (names.thread, names.run) = sent(params, doors, &mut effects)?;
        } else {
            (names.thread, names.run) = task(params, "id")?;
        }
        judged.extend(with_effects(&[does], &names, effects, doors)?);
    }
    Ok(judged)
}

/// Thread and run of a message to an agent: `contextId` and `taskId`, and what its `command` does.
fn sent(
    params: &Map<String, Value>,
    doors: &Doors,
    effects: &mut Effects,
) -> Result<(Option<String>, Option<String>), Refused> {
    only(params, &[&["message", "configuration", "context", "metadata", "tenant"]])?;
    fields::read_context(params, doors, &mut effects.facts)?;
    if let Some(configuration) = present(params, "configuration") {
        // A push notification is a webhook by another name.
        let known =
            &["acceptedOutputModes", "blocking", "returnImmediately", "historyLength", "historyScope"];
        only(object(configuration, "configuration")?, &[known])?;
    }
    let message = present(params, "message")
        .ok_or_else(|| Refused::new(Reason::BodyMalformed, "message is missing"))
        .and_then(|message| object(message, "message"))?;
    if let Some(command) = present(message, "command") {
        fields::read_command(object(command, "command")?, effects)?;
    }
    if effects.facts.update || effects.facts.goto {
        effects.also.push(also::THREAD_UPDATE);
    }
    let (thread, run) = task(message, "taskId")?;
    // On a thread that awaits input, a message to its task is the answer.
    effects.facts.resume |= present(message, "taskId").is_some();
    Ok((thread, run))
}

/// `contextId` is the thread; a task's id is `{thread}:{run}`, or the run alone.
fn task(params: &Map<String, Value>, id: &str) -> Result<(Option<String>, Option<String>), Refused> {
    let context =
        present(params, "contextId").map(|context| fields::uuid(context, "contextId")).transpose()?;
    let Some(task) = present(params, id) else { return Ok((context, None)) };
    let malformed = || Refused::new(Reason::BodyMalformed, "task id is not thread:run");
    let task = string(task, id)?;
    let (thread, run) = match task.split_once(':') {
        Some((thread, run)) => (Some(ids::uuid(thread).ok_or_else(malformed)?), run),
        None => (None, task),
    };
    let run = ids::uuid(run).ok_or_else(malformed)?;
    match (context, thread) {
        (Some(context), Some(thread)) if context != thread => {
            Err(Refused::new(Reason::FieldRefused, "contextId and task id name different threads"))
        }
        (context, thread) => Ok((thread.or(context), Some(run))),
    }
}
