//! Rules about time and size: what ends a request or a stream before the gate is done with it.

use std::time::Duration;

use super::Findings;
use super::rule::{BUFFER_LIMIT, IDLE_TIMEOUT, REQUEST_TIMEOUT, ROUTE_TIMEOUT, Rule, STREAM_DURATION};
use super::scene::{Chain, Scene, seconds};
use graphwarden_trial::yaml::Node;

/// What LangGraph's own clients wait for an answer, in seconds.
const CLIENTS_WAIT: f64 = 300.0;
/// A hold is over a little after its time: the answer has to be written, too.
const MARGIN: f64 = 10.0;
/// Envoy's buffer where nothing is said.
const DEFAULT_BUFFER: u64 = 1 << 20;

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings<'_>) {
    for (chain, _) in scene.gated() {
        let hold = scene.hold(chain);
        said(chain.manager, hold, findings);
        buffer(chain, scene.body(chain), findings);
        for route in chain.routes.iter().filter(|route| !scene.leads_elsewhere(chain, route)) {
            let Some(action) = route.action else { continue };
            route_said(action, hold, findings);
            if action.get("timeout").is_none() {
                findings.insert(
                    &ROUTE_TIMEOUT,
                    (action.member("cluster").map_or(action.place, |member| member.place), action),
                    "without `timeout` an answer is cut off after 15 s",
                    ("cluster", "timeout: 0s"),
                );
            }
        }
        for cluster in chain.routes.iter().flat_map(|route| &route.clusters) {
            let Some(cluster) = cluster.text().and_then(|name| scene.clusters.get(name)) else { continue };
            cluster.node.walk(&mut |node| {
                if let Some(limit) = node.at("common_http_protocol_options.max_stream_duration") {
                    ends(&STREAM_DURATION, limit, hold, "however busy it is", findings);
                }
                true
            });
        }
    }
}

/// What a connection manager says; what it does not say is not judged.
pub(super) fn said(manager: &Node, hold: Duration, findings: &mut Findings<'_>) {
    if let Some(limit) = manager.get("request_timeout") {
        let long_enough =
            seconds(limit).is_none_or(|limit| limit == 0.0 || limit > hold.as_secs_f64() + MARGIN);
        if !long_enough && !hold.is_zero() {
            let reason =
                format!("a held request ends here, and the policy holds one for up to {} s", hold.as_secs());
            findings.replace(&REQUEST_TIMEOUT, limit, reason, "0s");
        }
    }
    if let Some(limit) = manager.get("stream_idle_timeout") {
        idle(limit, hold, findings);
    }
    if let Some(limit) = manager.at("common_http_protocol_options.max_stream_duration") {
        ends(&STREAM_DURATION, limit, hold, "however busy it is", findings);
    }
}

/// What a route says; what it does not say is not judged.
pub(super) fn route_said(action: &Node, hold: Duration, findings: &mut Findings<'_>) {
    if let Some(limit) = action.get("timeout")
        && let Some(length) = seconds(limit).filter(|length| *length > 0.0)
    {
        let note =
            findings.replace(&ROUTE_TIMEOUT, limit, format!("an answer is cut off after {length} s"), "0s");
        if length >= CLIENTS_WAIT {
            note.mild();
        }
    }
    if let Some(limit) = action.get("idle_timeout") {
        idle(limit, hold, findings);
    }
    if let Some(limit) = action.at("max_stream_duration.max_stream_duration") {
        ends(&STREAM_DURATION, limit, hold, "however busy it is", findings);
    }
}

fn idle(limit: &Node, hold: Duration, findings: &mut Findings<'_>) {
    let Some(length) = seconds(limit).filter(|length| *length > 0.0) else { return };
    if length <= hold.as_secs_f64() + MARGIN && !hold.is_zero() {
        let reason =
            format!("a held request is idle, and the policy holds one for up to {} s", hold.as_secs());
        findings.replace(&IDLE_TIMEOUT, limit, reason, "300s");
    } else if length < CLIENTS_WAIT {
        let reason =
            format!("a run that sends nothing for {length} s is cut off; LangGraph's clients wait 300 s");
        findings.replace(&IDLE_TIMEOUT, limit, reason, "300s").mild();
    }
}

fn ends(rule: &'static Rule, limit: &Node, hold: Duration, how: &str, findings: &mut Findings<'_>) {
    let Some(length) = seconds(limit).filter(|length| *length > 0.0) else { return };
    let note = findings.replace(rule, limit, format!("every stream ends after {length} s, {how}"), "0s");
    if length > hold.as_secs_f64() + CLIENTS_WAIT {
        note.mild();
    }
}

fn buffer(chain: &Chain<'_>, body: u64, findings: &mut Findings<'_>) {
    let wanted = body + (1 << 20);
    match chain.listener.get("per_connection_buffer_limit_bytes") {
        Some(node) => {
            if let Some(limit) = node.number().filter(|limit| *limit < body) {
                findings.replace(&BUFFER_LIMIT, node, too_small(limit, body), &wanted.to_string());
            }
        }
        None if body > DEFAULT_BUFFER => {
            let at = chain.listener.member("filter_chains").map_or(chain.place, |member| member.place);
            let member = format!("per_connection_buffer_limit_bytes: {wanted}");
            findings.insert(
                &BUFFER_LIMIT,
                (at, chain.listener),
                too_small(DEFAULT_BUFFER, body),
                ("filter_chains", &member),
            );
        }
        None => {}
    }
}

/// A buffer that a body does not fit into, in words.
pub(super) fn too_small(limit: u64, body: u64) -> String {
    format!("Envoy refuses bodies over {limit} bytes by itself, and the policy reads up to {body}")
}
