//! Operations under construction: a head's names joined with what a body adds.

use super::doors::Doors;
use super::fields::Effects;
use super::head::Names;
use super::ids::Assistant;
use super::table::{Does, also};
use super::{Facts, Operation, Refused};
use crate::reason::Reason;

/// One operation and its facts.
pub(super) type Judged = (Operation, Facts);

/// An operation on what the path names.
pub(super) fn on(does: Does, names: &Names, facts: Facts) -> Judged {
    let operation = Operation {
        resource: does.resource,
        action: does.action,
        class: does.class,
        graph: names.graph.clone(),
        assistant: names.assistant.clone(),
        thread: names.thread.clone(),
        run: names.run.clone(),
        cron: names.cron.clone(),
        namespace: Vec::new(),
        tool: None,
        stream_modes: Vec::new(),
    };
    // Ids of assistants and crons hide the graph.
    let hidden = operation.assistant.is_some() || operation.cron.is_some();
    let facts = Facts {
        graph_known: operation.graph.is_some() || !hidden,
        // Here a graph's name can only have come from where an assistant is named.
        graph_presumed: operation.graph.is_some(),
        ..facts
    };
    (operation, facts)
}

/// The operations of an object that names its assistant in the body: the route's own, then what it is besides.
pub(super) fn with_effects(
    does: &[Does],
    names: &Names,
    effects: Effects,
    doors: &Doors,
) -> Result<Vec<Judged>, Refused> {
    let mut names = names.clone();
    match effects.assistant {
        Some(Assistant::Id(id)) => names.assistant = Some(id),
        Some(Assistant::Graph(graph)) => {
            known_graph(&graph, doors)?;
            names.graph = Some(graph);
        }
        None => {}
    }
    let all = does.iter().chain(&effects.also);
    Ok(all
        .map(|&does| {
            let (mut operation, facts) = on(does, &names, effects.facts.clone());
            if does == also::CREATE_RUN {
                operation.stream_modes.clone_from(&effects.stream_modes);
            }
            (operation, facts)
        })
        .collect())
}

/// Refuses a graph that the policy, where it names the deployment's graphs, does not name.
pub(super) fn known_graph(graph: &str, doors: &Doors) -> Result<(), Refused> {
    if doors.knows_graph(graph) {
        return Ok(());
    }
    Err(Refused::new(Reason::OperationUnknown, "graph is not one that the policy names"))
}
