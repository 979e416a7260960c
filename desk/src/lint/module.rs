//! Rules about the filter itself: how it is loaded, what it may do, and the policy inside.

use super::rule::{
    ENVIRONMENT, FAILS_OPEN, NO_RELOAD, OPTIONAL_FILTER, POLICY, POLICY_SHADOW, REMOTE_CODE, SECRET_INLINE,
    STOP_ITERATION, TWICE,
};
use super::scene::{Form, Gate, Scene};
use super::{Edit, Findings};
use graphwarden_trial::yaml::{Node, Place};

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings<'_>) {
    for gate in &scene.gates {
        policy(gate, findings);
        environment(gate, findings);
        if gate.form == Form::Envoy {
            stop_iteration(gate.plugin, findings);
            failure(gate.plugin, findings);
            code(gate.plugin, findings);
        }
    }
    for chain in &scene.chains {
        let mut gates = chain.filters.iter().filter(|filter| filter.is_gate);
        if let Some(optional) =
            gates.next().and_then(|filter| filter.node.get("is_optional")).filter(|flag| flag.is_true())
        {
            findings.replace(
                &OPTIONAL_FILTER,
                optional,
                "an Envoy without Wasm would start without the filter",
                "false",
            );
        }
        for second in gates {
            findings.add(&TWICE, second.node.place, "this chain has the filter already");
        }
    }
}

/// The place that speaks of a gate as a whole.
pub(super) fn place(gate: &Gate<'_>) -> Place {
    let named = ["root_id", "pluginName", "name", "vm_config", "url"];
    let member = named.iter().find_map(|name| gate.plugin.member(name));
    member.map_or(gate.plugin.place, |member| member.place)
}

fn policy(gate: &Gate<'_>, findings: &mut Findings<'_>) {
    let Some(found) = &gate.policy else {
        let held = ["configuration", "pluginConfig"].iter().find_map(|name| gate.plugin.member(name));
        let at = held.map_or_else(|| place(gate), |member| member.place);
        let reason = match held {
            Some(_) => "there is no policy in here",
            None => "the filter has no policy",
        };
        findings.add(&POLICY, at, reason).mend(
            "write the policy under configuration: {\"@type\": type.googleapis.com/google.protobuf.Struct, value: …} \
             (pluginConfig in Istio); `graphwarden init` makes one",
        );
        return;
    };
    match found.compile() {
        Err(problems) => {
            for problem in problems.iter() {
                let note = findings.add(
                    &POLICY,
                    found.node_at(&problem.path).place,
                    format!("{}: {}", problem.path, problem.what),
                );
                if let Some(hint) = &problem.hint {
                    note.mend(hint.clone());
                }
            }
        }
        Ok(policy) => {
            for shadow in policy.rules.shadows() {
                let at = found.node_at(&format!("access.rules[{}].name", shadow.place)).place;
                let reason = format!("rule `{}` decides before `{}` does", shadow.earlier, shadow.later);
                findings.add(&POLICY_SHADOW, at, reason);
            }
        }
    }
}

/// Every `{ env: NAME }` of the policy is handed to the module.
fn environment(gate: &Gate<'_>, findings: &mut Findings<'_>) {
    let handed: Vec<&str> = match gate.form {
        Form::Envoy => {
            let variables = gate.plugin.at("vm_config.environment_variables");
            let named = variables.map(|all| all.list("host_env_keys")).unwrap_or_default();
            let written =
                variables.and_then(|all| all.get("key_values")).map(Node::members).unwrap_or_default();
            let names = named.iter().filter_map(Node::text);
            names.chain(written.iter().map(|member| member.name.as_str())).collect()
        }
        Form::Plugin => gate.plugin.list("vmConfig.env").iter().map(|one| one.text_of("name")).collect(),
    };
    let Some(found) = &gate.policy else { return };
    let mut missing: Vec<(&str, Place)> = Vec::new();
    found.tree().walk(&mut |node| {
        if let [member] = node.members()
            && member.name == "env"
            && let Some(name) = member.value.text()
            && !handed.contains(&name)
            && missing.iter().all(|(seen, _)| *seen != name)
        {
            missing.push((name, if found.is_exact() { member.value.place } else { found.tree().place }));
        }
        true
    });
    for (name, at) in missing {
        findings.add(
            &ENVIRONMENT,
            at,
            format!("`{name}` is not among the variables that the module is given"),
        );
    }
    if gate.form == Form::Envoy
        && let Some(written) =
            gate.plugin.at("vm_config.environment_variables").and_then(|all| all.member("key_values"))
    {
        findings.add(
            &SECRET_INLINE,
            written.place,
            "values that stand here are in every dump of the configuration",
        );
    }
}

fn stop_iteration(plugin: &Node, findings: &mut Findings<'_>) {
    let reason = "requests whose body has to be read are refused: the filter may not hold them";
    match plugin.get("allow_on_headers_stop_iteration") {
        Some(flag) if flag.is_true() => {}
        Some(flag) => {
            findings.replace(&STOP_ITERATION, flag, reason, "true");
        }
        None => {
            let at = plugin.member("vm_config").map_or(plugin.place, |member| member.place);
            findings.insert(
                &STOP_ITERATION,
                (at, plugin),
                reason,
                ("vm_config", "allow_on_headers_stop_iteration: true"),
            );
        }
    }
}

fn failure(plugin: &Node, findings: &mut Findings<'_>) {
    let open = "a request is let through unjudged whenever the filter fails";
    if let Some(member) = plugin.member("fail_open").filter(|member| member.value.is_true()) {
        let mend = Edit::over(member.place, member.value.place, "failure_policy: FAIL_RELOAD");
        findings.add(&FAILS_OPEN, member.place, open).edit(mend);
        return;
    }
    match plugin.get("failure_policy") {
        Some(policy) if policy.text() == Some("FAIL_RELOAD") => {}
        Some(policy) if policy.text() == Some("FAIL_OPEN") => {
            findings.replace(&FAILS_OPEN, policy, open, "FAIL_RELOAD");
        }
        Some(policy) => {
            findings.replace(
                &NO_RELOAD,
                policy,
                "a worker whose VM failed answers 503 for ever",
                "FAIL_RELOAD",
            );
        }
        None => {
            let at = plugin.member("vm_config").map_or(plugin.place, |member| member.place);
            let reason = "a worker whose VM failed answers 503 for ever";
            let mend =
                if plugin.get("fail_open").is_some() { None } else { Some("failure_policy: FAIL_RELOAD") };
            match mend {
                Some(mend) => findings.insert(&NO_RELOAD, (at, plugin), reason, ("vm_config", mend)),
                None => findings.add(&NO_RELOAD, at, reason),
            };
        }
    }
}

fn code(plugin: &Node, findings: &mut Findings<'_>) {
    if let Some(remote) = plugin.at("vm_config.code").and_then(|code| code.member("remote")) {
        findings.add(&REMOTE_CODE, remote.place, "Envoy fetches the module by itself");
    }
}
