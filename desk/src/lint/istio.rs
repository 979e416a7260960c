//! Rules about Istio's resources: `WasmPlugin`, and the `EnvoyFilter` that says what it cannot.

use super::bodies;
use super::limits;
use super::module::place;
use super::rule::{
    BUFFER_LIMIT, FAILS_OPEN, ISTIO_CLUSTER, JWT_AUTHN, NO_RELOAD, STOP_ITERATION, UNPINNED_MODULE, WASM_MODE,
};
use super::scene::{self, Form, Gate, Scene, typed};
use super::{Edit, Findings};
use graphwarden_trial::yaml::Node;

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings<'_>) {
    let patches: Vec<Patch<'_>> = scene.documents.iter().flat_map(patches).collect();
    let plugins: Vec<&Gate<'_>> = scene.gates.iter().filter(|gate| gate.form == Form::Plugin).collect();
    for gate in &plugins {
        stop_iteration(gate, &patches, findings);
        buffer(gate, &patches, findings);
        failure(gate, findings);
        whom(gate, findings);
        clusters(gate, scene, findings);
        if gate.plugin.text_of("url").starts_with("oci://") && gate.plugin.get("sha256").is_none() {
            let at = gate.plugin.member("url").map_or_else(|| place(gate), |member| member.place);
            findings.add(&UNPINNED_MODULE, at, "whoever can push this tag decides what judges requests");
        }
    }
    let hold = plugins.iter().filter_map(|gate| gate.policy.as_ref()).map(scene::hold).max();
    let concerns_us = !plugins.is_empty() || scene.is_fragment;
    for patch in patches.iter().filter(|_| concerns_us) {
        match patch.subject {
            "NETWORK_FILTER" => {
                if let Some((_, manager)) = patch.value.get("typed_config").and_then(typed) {
                    limits::said(manager, hold.unwrap_or_default(), findings);
                    bodies::upgrades(manager, findings);
                }
            }
            "HTTP_ROUTE" => {
                if let Some(action) = patch.value.get("route") {
                    limits::route_said(action, hold.unwrap_or_default(), findings);
                }
            }
            _ => {}
        }
    }
}

/// One patch of an `EnvoyFilter`.
struct Patch<'a> {
    /// `applyTo`.
    subject: &'a str,
    value: &'a Node,
}

fn patches(document: &Node) -> Vec<Patch<'_>> {
    if document.text_of("kind") != "EnvoyFilter" {
        return Vec::new();
    }
    let patches = document.list("spec.configPatches").iter();
    patches
        .filter_map(|patch| {
            Some(Patch { subject: patch.text_of("applyTo"), value: patch.at("patch.value")? })
        })
        .collect()
}

/// Istio names the extension that it makes of a plugin `NAMESPACE.NAME`.
fn extension(gate: &Gate<'_>) -> String {
    let namespace = gate.document.text_of("metadata.namespace");
    let namespace = if namespace.is_empty() { "default" } else { namespace };
    format!("{namespace}.{}", gate.document.text_of("metadata.name"))
}

fn stop_iteration(gate: &Gate<'_>, patches: &[Patch<'_>], findings: &mut Findings<'_>) {
    let name = extension(gate);
    let sets = |patch: &&Patch<'_>| {
        patch.subject == "EXTENSION_CONFIG"
            && patch
                .value
                .at("typed_config.config.allow_on_headers_stop_iteration")
                .is_some_and(Node::is_true)
    };
    let mut setters = patches.iter().filter(sets).peekable();
    let other = setters.peek().map(|patch| patch.value);
    if setters.any(|patch| patch.value.text_of("name") == name) {
        return;
    }
    match other.and_then(|value| value.get("name")) {
        Some(named) => findings.replace(
            &STOP_ITERATION,
            named,
            format!("Istio names the extension of this plugin `{name}`, and the patch is for another"),
            &name,
        ),
        None => findings.add(
            &STOP_ITERATION,
            place(gate),
            format!("no EnvoyFilter in these files sets `allow_on_headers_stop_iteration` for the extension `{name}`"),
        ),
    };
}

fn buffer(gate: &Gate<'_>, patches: &[Patch<'_>], findings: &mut Findings<'_>) {
    let body = gate.policy.as_ref().map_or(4 << 20, scene::body);
    let said = patches.iter().find_map(|patch| {
        let limit =
            patch.value.get("per_connection_buffer_limit_bytes").filter(|_| patch.subject == "LISTENER")?;
        Some((limit, limit.number()?))
    });
    match said {
        Some((_, limit)) if limit >= body => {}
        Some((node, limit)) => {
            let wanted = body + (1 << 20);
            findings.replace(&BUFFER_LIMIT, node, limits::too_small(limit, body), &wanted.to_string());
        }
        None => {
            let reason =
                "no EnvoyFilter in these files sets `per_connection_buffer_limit_bytes` for the listener";
            findings.add(&BUFFER_LIMIT, place(gate), reason);
        }
    }
}

fn failure(gate: &Gate<'_>, findings: &mut Findings<'_>) {
    match gate.plugin.get("failStrategy") {
        Some(strategy) if strategy.text() == Some("FAIL_RELOAD") => {}
        Some(strategy) if strategy.text() == Some("FAIL_OPEN") => {
            let reason = "a request is let through unjudged whenever the filter fails";
            findings.replace(&FAILS_OPEN, strategy, reason, "FAIL_RELOAD");
        }
        Some(strategy) => {
            findings.replace(
                &NO_RELOAD,
                strategy,
                "a worker whose VM failed answers 503 for ever",
                "FAIL_RELOAD",
            );
        }
        None => {
            let reason = "a worker whose VM failed answers 503 for ever";
            findings.insert(
                &NO_RELOAD,
                (place(gate), gate.plugin),
                reason,
                ("pluginName", "failStrategy: FAIL_RELOAD"),
            );
        }
    }
}

/// What the plugin runs for, and when.
fn whom(gate: &Gate<'_>, findings: &mut Findings<'_>) {
    let modes = gate.plugin.list("match");
    for mode in modes.iter().filter_map(|one| one.get("mode")) {
        if mode.text() != Some("SERVER") {
            findings.replace(
                &WASM_MODE,
                mode,
                "the workload's own calls are judged as if they were requests to it",
                "SERVER",
            );
        }
    }
    if modes.is_empty() {
        let reason = "the workload's own calls are judged as if they were requests to it";
        findings.insert(
            &WASM_MODE,
            (place(gate), gate.plugin),
            reason,
            ("pluginConfig", "match: [{ mode: SERVER }]"),
        );
    }
    let trusts =
        gate.policy.as_ref().is_some_and(|found| found.tree().text_of("identity.from") == "jwt_authn");
    if trusts && let Some(phase) = gate.plugin.get("phase").filter(|phase| phase.text() == Some("AUTHN")) {
        let reason = "the gate believes what jwt_authn verified, and this phase runs before it";
        findings
            .add(&JWT_AUTHN, phase.place, reason)
            .mend("write phase: AUTHZ")
            .edit(Edit::replace(phase, "AUTHZ"));
    }
}

/// Callouts name clusters as Istio does.
fn clusters(gate: &Gate<'_>, scene: &Scene<'_>, findings: &mut Findings<'_>) {
    let Some(found) = &gate.policy else { return };
    let entries: Vec<&str> = scene
        .documents
        .iter()
        .filter(|document| document.text_of("kind") == "ServiceEntry")
        .flat_map(|entry| entry.list("spec.hosts"))
        .filter_map(Node::text)
        .collect();
    for cluster in super::clusters::named_by(found) {
        let name = cluster.text().unwrap_or_default();
        let parts: Vec<&str> = name.split('|').collect();
        let host = match parts.as_slice() {
            ["outbound", port, _, host] if port.parse::<u16>().is_ok() && !host.is_empty() => *host,
            _ => {
                findings.add(
                    &ISTIO_CLUSTER,
                    cluster.place,
                    format!("`{name}` is no name of a cluster in Istio"),
                );
                continue;
            }
        };
        let is_inside = host.ends_with(".svc.cluster.local") || host.contains(".svc.");
        if !is_inside && !entries.is_empty() && !entries.contains(&host) {
            let reason = format!("these files have a ServiceEntry, and none for `{host}`");
            findings.add(&ISTIO_CLUSTER, cluster.place, reason);
        }
    }
}
