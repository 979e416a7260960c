//! What an outcome shows to the proxy's own access log: its main fields, as text.
//!
//! `%FILTER_STATE(wasm.graphwarden.subject:PLAIN)%` in a log's format is the person who called. Nothing here is in the
//! log that is not in the record; what is not known is not set, and the log prints `-`.

use graphwarden_policies::evidence::{EffectRecord, End, Record};

/// The fields of an outcome by the names under which they are filter state.
pub(super) fn published(outcome: &Record) -> Vec<(&'static str, String)> {
    let mut fields = vec![("graphwarden.exchange", outcome.exchange.clone())];
    let mut set = |name, value: Option<String>| {
        fields.extend(value.filter(|value| !value.is_empty()).map(|value| (name, value)));
    };
    let actor = outcome.actor.as_ref();
    set("graphwarden.issuer", actor.map(|actor| actor.issuer.clone()));
    set("graphwarden.subject", actor.map(|actor| actor.subject.clone()));
    set("graphwarden.email", actor.and_then(|actor| actor.email.clone()));
    set("graphwarden.roles", actor.map(|actor| actor.roles.join(",")));
    let operations = &outcome.operations;
    let joined = |values: Vec<&str>| Some(values.join(","));
    set("graphwarden.operation", joined(operations.iter().map(|one| one.operation.as_str()).collect()));
    set("graphwarden.graph", operations.iter().find_map(|one| one.graph.clone()));
    set("graphwarden.thread", operations.iter().find_map(|one| one.thread.clone()));
    set("graphwarden.run", operations.iter().find_map(|one| one.run.clone()));
    if let Some(decision) = &outcome.decision {
        let effect = match decision.effect {
            EffectRecord::Allow => "allow",
            EffectRecord::Deny => "deny",
        };
        set("graphwarden.decision", Some(effect.to_owned()));
        set("graphwarden.rule", decision.rule.clone());
        set("graphwarden.reason", decision.reason.clone());
    }
    set("graphwarden.policy", outcome.policy.clone());
    set("graphwarden.approval", outcome.approval.as_ref().and_then(|approval| approval.id.clone()));
    set("graphwarden.digest", outcome.request.as_ref().and_then(|request| request.digest.clone()));
    if let Some(response) = &outcome.response {
        let masked = response.masked.iter().map(|(name, count)| format!("{name}={count}"));
        set("graphwarden.masked", Some(masked.collect::<Vec<_>>().join(",")));
        let end = match response.end {
            End::Complete => "complete",
            End::Reset => "reset",
            End::ClientGone => "client_gone",
        };
        set("graphwarden.end", Some(end.to_owned()));
    }
    fields
}
