//! The members of bodies that start runs or write state: what each does beyond the route, and which are let in.
//!
//! A member that is not known here is refused: the server may come to read it in a way that this gate does not.

use serde_json::{Map, Value};

use super::doors::{Door, Doors};
use super::table::{Does, also};
use super::{Facts, Refused, ids};
use crate::reason::Reason;

/// Members of a body that creates a run, on a thread or without one, by Python and JavaScript SDK.
pub(super) const RUN: &[&str] = &[
    "assistant_id",
    "input",
    "command",
    "checkpoint",
    "checkpoint_id",
    "checkpoint_during",
    "config",
    "context",
    "metadata",
    "webhook",
    "interrupt_before",
    "interrupt_after",
    "stream_mode",
    "stream_subgraphs",
    "stream_resumable",
    "feedback_keys",
    "multitask_strategy",
    "if_not_exists",
    "on_disconnect",
    "on_completion",
    "after_seconds",
    "durability",
    "langsmith_tracer",
];

/// Members of a cron.
pub(super) const CRON: &[&str] = &["schedule", "timezone", "end_time", "enabled", "on_run_completed"];

/// What the members of one object do.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) facts: Facts,
    /// Operations that the object is besides the route's own.
    pub(super) also: Vec<Does>,
    pub(super) assistant: Option<ids::Assistant>,
    pub(super) stream_modes: Vec<String>,
}

/// Refuses members that are in none of the lists.
pub(super) fn only(body: &Map<String, Value>, known: &[&[&str]]) -> Result<(), Refused> {
    match body.keys().any(|key| !known.iter().any(|list| list.contains(&key.as_str()))) {
        true => {
            Err(Refused::new(Reason::FieldRefused, "body has a member that this operation does not know"))
        }
        false => Ok(()),
    }
}

/// Reads the members that runs, crons, assistants and threads share. `thread` is the thread in the path.
pub(super) fn read(
    body: &Map<String, Value>,
    thread: Option<&str>,
    doors: &Doors,
) -> Result<Effects, Refused> {
    let mut effects = Effects::default();
    if let Some(value) = present(body, "assistant_id") {
        effects.assistant = Some(assistant(value)?);
    }
    if let Some(command) = present(body, "command") {
        read_command(object(command, "command")?, &mut effects)?;
    }
    let facts = &mut effects.facts;
    read_config(body, thread, doors, facts)?;
    read_context(body, doors, facts)?;
    if present(body, "checkpoint_id").is_some() {
        facts.checkpoint = true;
    }
    if let Some(checkpoint) = present(body, "checkpoint") {
        read_checkpoint(checkpoint, thread)?;
        facts.checkpoint = true;
    }
    if let Some(metadata) = present(body, "metadata") {
        facts.metadata = object(metadata, "metadata")?.keys().cloned().collect();
    }
    if let Some(webhook) = present(body, "webhook") {
        facts.webhook = Some(doors.webhook(string(webhook, "webhook")?)?);
    }
    for (name, slot) in [
        ("multitask_strategy", &mut facts.multitask_strategy),
        ("if_exists", &mut facts.if_exists),
        ("if_not_exists", &mut facts.if_not_exists),
        ("on_disconnect", &mut facts.on_disconnect),
        // Runs and crons have two names for it.
        (
            if body.contains_key("on_run_completed") { "on_run_completed" } else { "on_completion" },
            &mut facts.on_completion,
        ),
    ] {
        if let Some(value) = present(body, name) {
            *slot = Some(string(value, name)?.to_owned());
        }
    }
    if present(body, "after_seconds").is_some_and(|seconds| seconds.as_f64() != Some(0.0)) {
        facts.deferred = true;
    }
    if let Some(modes) = present(body, "stream_mode") {
        effects.stream_modes = strings(modes, "stream_mode")?;
    }
    let ends_another = effects.facts.multitask_strategy.as_deref().map_or(&[][..], ends_another_run);
    if !ends_another.is_empty() || effects.facts.update || effects.facts.goto {
        effects.also.push(also::THREAD_UPDATE);
    }
    effects.also.extend(ends_another.iter().filter(|does| **does != also::THREAD_UPDATE));
    Ok(effects)
}

/// What a multitask strategy does to a run that is under way: it is ended, or ended and deleted with its work. What is
/// not known may do all of it.
pub(super) fn ends_another_run(strategy: &str) -> &'static [Does] {
    match strategy {
        "reject" | "enqueue" => &[],
        "interrupt" => &[also::THREAD_UPDATE],
        _ => &[also::THREAD_UPDATE, also::THREAD_DELETE],
    }
}

/// `command: {resume, update, goto}`.
pub(super) fn read_command(command: &Map<String, Value>, effects: &mut Effects) -> Result<(), Refused> {
    only(command, &[&["resume", "update", "goto"]])?;
    // `resume: null` is an answer too.
    effects.facts.resume |= command.contains_key("resume");
    effects.facts.update |= present(command, "update").is_some();
    effects.facts.goto |= present(command, "goto").is_some();
    Ok(())
}

/// `config: {configurable: {…}}`.
pub(super) fn read_config(
    body: &Map<String, Value>,
    thread: Option<&str>,
    doors: &Doors,
    facts: &mut Facts,
) -> Result<(), Refused> {
    let Some(config) = present(body, "config") else { return Ok(()) };
    let config = object(config, "config")?;
    only(config, &[&["tags", "recursion_limit", "configurable", "metadata", "run_name", "max_concurrency"]])?;
    let Some(configurable) = present(config, "configurable") else { return Ok(()) };
    for (key, value) in object(configurable, "config.configurable")? {
        match doors.configurable(key)? {
            Door::Checkpoint => facts.checkpoint = true,
            Door::Thread => same_thread(value, thread)?,
            Door::Open => facts.configurable.push(key.clone()),
        }
    }
    Ok(())
}

/// `context: {…}`, which the server copies into `config.configurable`.
pub(super) fn read_context(
    body: &Map<String, Value>,
    doors: &Doors,
    facts: &mut Facts,
) -> Result<(), Refused> {
    let Some(context) = present(body, "context") else { return Ok(()) };
    for key in object(context, "context")?.keys() {
        doors.context(key)?;
        facts.context.push(key.clone());
    }
    Ok(())
}

/// `checkpoint: {thread_id, checkpoint_ns, checkpoint_id, checkpoint_map}`. The server merges every member of it
/// into `config.configurable`, so others would be a way to set keys that the policy does not open.
pub(super) fn read_checkpoint(checkpoint: &Value, thread: Option<&str>) -> Result<(), Refused> {
    let checkpoint = object(checkpoint, "checkpoint")?;
    only(checkpoint, &[&["thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map"]])?;
    match present(checkpoint, "thread_id") {
        Some(other) => same_thread(other, thread),
        None => Ok(()),
    }
}

/// A thread named in the body has to be the one in the path, which is the one that was judged.
pub(super) fn same_thread(value: &Value, thread: Option<&str>) -> Result<(), Refused> {
    let other = value.as_str().and_then(ids::uuid);
    if other.is_some() && other.as_deref() == thread {
        return Ok(());
    }
    Err(Refused::new(Reason::FieldRefused, "body names another thread than the path"))
}

/// `assistant_id`: a UUID or a graph's name.
pub(super) fn assistant(value: &Value) -> Result<ids::Assistant, Refused> {
    value.as_str().and_then(ids::assistant).ok_or_else(|| {
        Refused::new(Reason::BodyMalformed, "assistant_id is neither a UUID nor a graph's name")
    })
}

/// A member that is there and not null.
pub(super) fn present<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    body.get(name).filter(|value| !value.is_null())
}

pub(super) fn object<'a>(value: &'a Value, name: &str) -> Result<&'a Map<String, Value>, Refused> {
    value.as_object().ok_or_else(|| Refused::new(Reason::BodyMalformed, format!("{name} is not an object")))
}

pub(super) fn string<'a>(value: &'a Value, name: &str) -> Result<&'a str, Refused> {
    value.as_str().ok_or_else(|| Refused::new(Reason::BodyMalformed, format!("{name} is not a string")))
}

/// A string or an array of strings.
pub(super) fn strings(value: &Value, name: &str) -> Result<Vec<String>, Refused> {
    let malformed = || Refused::new(Reason::BodyMalformed, format!("{name} is not an array of strings"));
    match value {
        Value::String(one) => Ok(vec![one.clone()]),
        Value::Array(many) => {
            many.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(malformed)).collect()
        }
        _ => Err(malformed()),
    }
}

/// A UUID in the body.
pub(super) fn uuid(value: &Value, name: &str) -> Result<String, Refused> {
    value
        .as_str()
        .and_then(ids::uuid)
        .ok_or_else(|| Refused::new(Reason::BodyMalformed, format!("{name} is not a UUID")))
}
