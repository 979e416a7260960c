//! Rules about the company that the filter keeps: what stands before and after it, and what else the connection
//! manager does to requests and to the log.

use super::Findings;
use super::rule::{
    AFTER_ROUTER, BODY_FILTER_AFTER, BODY_FILTER_BEFORE, CACHE, CHUNKED_LENGTH, COMPRESSOR_SIDE,
    DECOMPRESSOR_SIDE, JWT_AUTHN, LOG_SECRETS, PATH_NORMALIZATION, UPGRADES,
};
use super::scene::{Chain, HttpFilter, Scene};
use graphwarden_trial::yaml::Node;

/// Types of filters that collect, rewrite or keep bodies.
const BODY_FILTERS: &[&str] = &[
    "Buffer",
    "FileSystemBufferFilterConfig",
    "ExternalProcessor",
    "GrpcJsonTranscoder",
    "FilterConfig", // of grpc_http1_reverse_bridge
    "Lua",
    "LuaPerRoute",
    "Tap",
    "AwsLambda",
    "Config", // of golang
    "DynamicModuleFilter",
];
/// Types that carry a name shared by several filters; the filter's own name tells them apart.
const SHARED_NAMES: &[(&str, &[&str])] =
    &[("FilterConfig", &["reverse_bridge"]), ("Config", &["golang", "lambda"])];
/// Command operators that write a credential.
const CREDENTIALS: &[&str] = &["authorization", "x-api-key", "cookie", "set-cookie", "proxy-authorization"];

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings<'_>) {
    for (chain, gate) in scene.gated() {
        order(chain, gate, findings);
        jwt_authn(scene, chain, gate, findings);
        upgrades(chain.manager, findings);
        paths(chain, findings);
        log(chain.manager, findings);
        let http1 = chain.manager.at("http_protocol_options.allow_chunked_length");
        if let Some(flag) = http1.filter(|flag| flag.is_true()) {
            findings.replace(&CHUNKED_LENGTH, flag, "a request may have two lengths", "false");
        }
    }
}

fn is_body_filter(filter: &HttpFilter<'_>) -> bool {
    let name = filter.node.text_of("name");
    let shared = SHARED_NAMES.iter().find(|(kind, _)| *kind == filter.kind);
    BODY_FILTERS.contains(&filter.kind)
        && shared.is_none_or(|(_, names)| names.iter().any(|part| name.contains(part)))
}

fn order(chain: &Chain<'_>, gate: usize, findings: &mut Findings<'_>) {
    for (index, filter) in chain.filters.iter().enumerate() {
        let place = filter.node.member("name").map_or(filter.node.place, |member| member.value.place);
        let name = filter.node.text_of("name");
        let is_before = index < gate;
        match filter.kind {
            "Router" if is_before => {
                findings.add(&AFTER_ROUTER, place, "the router comes before the gate, and ends the chain");
            }
            "CacheConfig" | "CacheV2Config" => {
                findings.add(&CACHE, place, format!("`{name}` keeps one caller's answers for others"));
            }
            "Compressor" if !is_before && direction(filter, "response") => {
                findings.add(
                    &COMPRESSOR_SIDE,
                    place,
                    format!("`{name}` compresses answers before the gate can mask them"),
                );
            }
            "Decompressor" if !is_before && direction(filter, "request") => {
                findings.add(
                    &DECOMPRESSOR_SIDE,
                    place,
                    format!("`{name}` changes requests after the gate judged them"),
                );
            }
            "Wasm" if !is_before && !filter.is_gate => {
                findings
                    .add(&BODY_FILTER_AFTER, place, format!("`{name}` can change what the gate judged"))
                    .mild();
            }
            _ if is_body_filter(filter) && is_before => {
                findings.add(
                    &BODY_FILTER_BEFORE,
                    place,
                    format!("`{name}` gets bodies before the gate does"),
                );
            }
            _ if is_body_filter(filter) => {
                findings.add(&BODY_FILTER_AFTER, place, format!("`{name}` can change what the gate judged"));
            }
            _ => {}
        }
    }
}

/// Whether a compressor or decompressor works in this direction: it does unless it is told not to.
fn direction(filter: &HttpFilter<'_>, which: &str) -> bool {
    let path = format!("{which}_direction_config.common_config.enabled.default_value");
    let Some(config) = filter.config else { return true };
    let off = config.at(&path).is_some_and(|value| !value.is_true());
    !off
}

fn jwt_authn(scene: &Scene<'_>, chain: &Chain<'_>, gate: usize, findings: &mut Findings<'_>) {
    let Some(policy) = scene.policy_of(chain) else { return };
    let trusts = policy.tree().text_of("identity.from") == "jwt_authn";
    let (before, after): (Vec<_>, Vec<_>) = chain
        .filters
        .iter()
        .enumerate()
        .filter(|(_, filter)| filter.kind == "JwtAuthentication")
        .partition(|(index, _)| *index < gate);
    if trusts && before.is_empty() {
        let at = policy.node_at("identity.from").place;
        let reason = match after.first() {
            Some(_) => "jwt_authn stands after the gate, which believes what it verified",
            None => "there is no jwt_authn whose word the gate could take",
        };
        findings.add(&JWT_AUTHN, at, reason);
    }
    if trusts {
        return;
    }
    let providers =
        before.iter().filter_map(|(_, filter)| filter.config?.get("providers")).flat_map(Node::members);
    for provider in providers.filter(|provider| !provider.value.has_true("forward")) {
        let reason = format!("provider `{}` takes the token away before the gate sees it", provider.name);
        findings.add(&JWT_AUTHN, provider.place, reason);
    }
}

/// WebSocket and its like, of a connection manager or a route.
pub(super) fn upgrades(holder: &Node, findings: &mut Findings<'_>) {
    for entry in holder.list("upgrade_configs") {
        let enabled = entry.get("enabled");
        if enabled.is_some_and(|flag| !flag.is_true()) {
            continue;
        }
        let kind = entry.text_of("upgrade_type");
        if entry.get("filters").is_some() {
            findings
                .add(
                    &UPGRADES,
                    entry.place,
                    format!("`{kind}` goes through filters of its own, without the gate"),
                )
                .edit(None);
        } else if let Some(flag) = enabled {
            findings.replace(&UPGRADES, flag, format!("`{kind}` upgrades are on"), "false");
        } else {
            let place = entry.member("upgrade_type").map_or(entry.place, |member| member.place);
            let reason = format!("`{kind}` upgrades are on");
            findings.insert(&UPGRADES, (place, entry), reason, ("upgrade_type", "enabled: false"));
        }
    }
}

fn paths(chain: &Chain<'_>, findings: &mut Findings<'_>) {
    for (name, wanted, what) in [
        ("normalize_path", "true", "dot segments are not resolved"),
        ("merge_slashes", "true", "empty segments are not merged"),
    ] {
        match chain.manager.get(name) {
            Some(flag) if flag.is_true() => {}
            Some(flag) => {
                findings.replace(&PATH_NORMALIZATION, flag, what, wanted);
            }
            None => missing(chain, what, &format!("{name}: {wanted}"), findings),
        }
    }
    let name = "path_with_escaped_slashes_action";
    let what = "escaped slashes are passed on";
    match chain.manager.get(name) {
        Some(action) if matches!(action.text(), Some("REJECT_REQUEST" | "UNESCAPE_AND_REDIRECT")) => {}
        Some(action) => {
            findings.replace(&PATH_NORMALIZATION, action, what, "REJECT_REQUEST");
        }
        None => missing(chain, what, &format!("{name}: REJECT_REQUEST"), findings),
    }
}

fn missing(chain: &Chain<'_>, what: &str, member: &str, findings: &mut Findings<'_>) {
    findings.insert(&PATH_NORMALIZATION, (chain.place, chain.manager), what, ("http_filters", member));
}

fn log(manager: &Node, findings: &mut Findings<'_>) {
    for logger in manager.list("access_log") {
        logger.walk(&mut |node| {
            let text = node.text().unwrap_or_default().to_ascii_lowercase();
            let credential = CREDENTIALS.iter().find(|name| {
                ["%req(", "%resp(", "?"].iter().any(|opening| {
                    [")", ":", "?"].iter().any(|ending| text.contains(&format!("{opening}{name}{ending}")))
                })
            });
            if let Some(name) = credential {
                findings.add(&LOG_SECRETS, node.place, format!("`{name}` goes into the log"));
            }
            true
        });
    }
}
