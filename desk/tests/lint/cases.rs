//! One bad fixture a rule at least: the shipped configuration with one thing wrong. The shipped one is the good one.

use std::collections::BTreeSet;

use graphwarden::lint::{Finding, RULES, Source, fix, lint};

use crate::shipped::{envoy, istio};

/// A thing gone wrong.
struct Case {
    rule: &'static str,
    /// What is replaced in the shipped files, and by what.
    wrong: &'static [(&'static str, &'static str)],
    /// A part of the line that the finding has to be on, as it is in the wrong file.
    line: &'static str,
    /// Whether `--fix` leaves nothing of it.
    mended: bool,
}

const fn case(
    rule: &'static str,
    wrong: &'static [(&'static str, &'static str)],
    line: &'static str,
    mended: bool,
) -> Case {
    Case { rule, wrong, line, mended }
}

const ROUTER: &str = "                  - name: envoy.filters.http.router\n";
const GATE: &str = "                  - name: graphwarden\n";
const ROUTE: &str = "                          route:\n                            cluster: langgraph\n";

const LUA_BEFORE: &str = "                  - name: lua\n                    typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua }\n                  - name: graphwarden\n";
const LUA_AFTER: &str = "                  - name: lua\n                    typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua }\n                  - name: envoy.filters.http.router\n";
const CACHE: &str = "                  - name: cache\n                    typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.cache.v3.CacheConfig }\n                  - name: graphwarden\n";
const COMPRESSOR: &str = "                  - name: gzip\n                    typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor }\n                  - name: envoy.filters.http.router\n";
const DECOMPRESSOR: &str = "                  - name: gunzip\n                    typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.decompressor.v3.Decompressor }\n                  - name: envoy.filters.http.router\n";
const JWT: &str = "                  - name: jwt\n                    typed_config:\n                      \"@type\": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication\n                      providers:\n                        idp: { issuer: https://idp.example.com }\n                  - name: graphwarden\n";
const ROUTER_BEFORE: &str = "                  - name: first\n                    typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }\n                  - name: graphwarden\n";
const SECOND: &str = "                  - name: graphwarden\n                    config_discovery: { type_urls: [envoy.extensions.filters.http.wasm.v3.Wasm] }\n                  - name: envoy.filters.http.router\n";
const OTHER_LISTENER: &str = "static_resources:\n  listeners:\n    - name: back\n      address: { socket_address: { address: 0.0.0.0, port_value: 8081 } }\n      filter_chains:\n        - filters:\n            - name: back\n              typed_config:\n                \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n                route_config:\n                  virtual_hosts:\n                    - { name: back, domains: [\"*\"], routes: [{ match: { prefix: / }, route: { cluster: langgraph } }] }\n";
const TUNNEL: &str = "static_resources:\n  listeners:\n    - name: back\n      filter_chains:\n        - filters:\n            - name: back\n              typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, cluster: other }\n";
const OTHER_CLUSTER: &str = "  clusters:\n    - name: other\n      connect_timeout: 1s\n      load_assignment: { endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: langgraph, port_value: 8000 } } } }] }] }\n";

const CASES: &[Case] = &[
    case("policy", &[("detectors: [email,", "detectors: [emial,")], "emial", false),
    case(
        "policy",
        &[("mode: enforce\n", "mode: enforce\n                            moode: enforce\n")],
        "moode",
        false,
    ),
    case("policy", &[("configuration:\n", "configuration_no:\n")], "root_id", false),
    case(
        "policy-shadow",
        &[(
            "- name: people keep threads of their own\n",
            "- { name: first, operations: [threads.create], then: deny }\n                                - name: people keep threads of their own\n",
        )],
        "name: people keep threads",
        false,
    ),
    case(
        "stop-iteration",
        &[("                        allow_on_headers_stop_iteration: true\n", "")],
        "vm_config",
        true,
    ),
    case(
        "stop-iteration",
        &[("stop_iteration: true", "stop_iteration: false # no")],
        "stop_iteration: false",
        true,
    ),
    case("fails-open", &[("FAIL_RELOAD", "FAIL_OPEN")], "FAIL_OPEN", true),
    case("fails-open", &[("failure_policy: FAIL_RELOAD", "fail_open: true")], "fail_open", true),
    case("no-reload", &[("                        failure_policy: FAIL_RELOAD\n", "")], "vm_config", true),
    case("no-reload", &[("FAIL_RELOAD", "FAIL_CLOSED")], "FAIL_CLOSED", true),
    case(
        "environment",
        &[("GRAPHWARDEN_DIGEST_KEY, LANGGRAPH_API_KEY]", "GRAPHWARDEN_DIGEST_KEY]")],
        "env: LANGGRAPH",
        false,
    ),
    case(
        "secret-inline",
        &[(
            "environment_variables:\n",
            "environment_variables:\n                            key_values: { A: b }\n",
        )],
        "key_values",
        false,
    ),
    case(
        "remote-code",
        &[("code: { local: { filename: /etc/envoy/graphwarden.wasm } }", "code: { remote: { sha256: x } }")],
        "remote:",
        false,
    ),
    case(
        "optional-filter",
        &[(GATE, "                  - is_optional: true\n                    name: graphwarden\n")],
        "is_optional",
        true,
    ),
    case("twice", &[(ROUTER, SECOND)], "name: graphwarden", false),
    case("after-router", &[(GATE, ROUTER_BEFORE)], "name: first", false),
    case("body-filter-before", &[(GATE, LUA_BEFORE)], "name: lua", false),
    case("body-filter-after", &[(ROUTER, LUA_AFTER)], "name: lua", false),
    case("cache", &[(GATE, CACHE)], "name: cache", false),
    case("compressor-side", &[(ROUTER, COMPRESSOR)], "name: gzip", false),
    case("decompressor-side", &[(ROUTER, DECOMPRESSOR)], "name: gunzip", false),
    case("jwt-authn", &[(GATE, JWT)], "idp: { issuer", false),
    case(
        "jwt-authn",
        &[(
            "identity:\n                              issuers:",
            "identity:\n                              from: jwt_authn\n                              issuers:",
        )],
        "from: jwt_authn",
        false,
    ),
    case("route-timeout", &[("                            timeout: 0s\n", "")], "cluster: langgraph", true),
    case("route-timeout", &[("timeout: 0s\n\n", "timeout: 400s\n\n")], "timeout: 400s", true),
    case("request-timeout", &[("request_timeout: 0s", "request_timeout: 30s")], "request_timeout: 30s", true),
    case("idle-timeout", &[("stream_idle_timeout: 300s", "stream_idle_timeout: 60s")], "timeout: 60s", true),
    case(
        "idle-timeout",
        &[(
            ROUTE,
            "                          route:\n                            idle_timeout: 200s\n                            cluster: langgraph\n",
        )],
        "idle_timeout: 200s",
        true,
    ),
    case(
        "stream-duration",
        &[(
            "use_remote_address: true",
            "use_remote_address: true\n                common_http_protocol_options: { max_stream_duration: 60s }",
        )],
        "max_stream",
        true,
    ),
    case(
        "stream-duration",
        &[(
            ROUTE,
            "                          route:\n                            max_stream_duration: { max_stream_duration: 9s }\n                            cluster: langgraph\n",
        )],
        "max_stream_duration: 9s",
        true,
    ),
    case(
        "retries",
        &[(
            ROUTE,
            "                          route:\n                            retry_policy: { retry_on: \"5xx,connect-failure\" }\n                            cluster: langgraph\n",
        )],
        "retry_policy",
        false,
    ),
    case(
        "buffer-limit",
        &[("      per_connection_buffer_limit_bytes: 5242880\n", "")],
        "filter_chains",
        true,
    ),
    case("buffer-limit", &[("bytes: 5242880", "bytes: 65536")], "bytes: 65536", true),
    case("unknown-cluster", &[("approvals: { cluster: desk", "approvals: { cluster: desks")], "desks", false),
    case(
        "bypass-disabled",
        &[(GATE, "                  - disabled: true\n                    name: graphwarden\n")],
        "disabled: true",
        false,
    ),
    case(
        "bypass-disabled",
        &[(
            ROUTE,
            "                          typed_per_filter_config: { graphwarden: { \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true } }\n                          route:\n                            cluster: langgraph\n",
        )],
        "typed_per_filter",
        false,
    ),
    case(
        "bypass-route",
        &[("static_resources:\n  listeners:\n", OTHER_LISTENER)],
        "name: back, domains",
        false,
    ),
    case(
        "bypass-route",
        &[("static_resources:\n  listeners:\n", TUNNEL), ("  clusters:\n", OTHER_CLUSTER)],
        "TcpProxy",
        false,
    ),
    case(
        "cluster-header",
        &[(ROUTE, "                          route:\n                            cluster_header: x-to\n")],
        "cluster_header",
        false,
    ),
    case(
        "desk-through-gate",
        &[(ROUTE, "                          route:\n                            cluster: desk\n")],
        "cluster: desk",
        false,
    ),
    case(
        "admin-open",
        &[("address: 127.0.0.1, port_value: 9901", "address: 0.0.0.0, port_value: 9901")],
        "port_value: 9901",
        false,
    ),
    case(
        "admin-open",
        &[
            ("address: desk, port_value: 8400", "address: desk, port_value: 8400"),
            ("address: langgraph, port_value: 8000", "address: 127.0.0.1, port_value: 9901"),
        ],
        "cluster: langgraph",
        false,
    ),
    case(
        "upgrades",
        &[(
            "use_remote_address: true",
            "use_remote_address: true\n                upgrade_configs: [{ upgrade_type: websocket }]",
        )],
        "websocket",
        true,
    ),
    case(
        "upgrades",
        &[(
            ROUTE,
            "                          route:\n                            upgrade_configs: [{ upgrade_type: websocket, enabled: true }]\n                            cluster: langgraph\n",
        )],
        "websocket",
        true,
    ),
    case(
        "upgrades",
        &[(
            "use_remote_address: true",
            "use_remote_address: true\n                upgrade_configs: [{ upgrade_type: websocket, filters: [{ name: x }] }]",
        )],
        "websocket",
        false,
    ),
    case("path-normalization", &[("                normalize_path: true\n", "")], "http_filters", true),
    case("path-normalization", &[("merge_slashes: true", "merge_slashes: false")], "merge_slashes", true),
    case(
        "path-normalization",
        &[("action: REJECT_REQUEST", "action: KEEP_UNCHANGED")],
        "KEEP_UNCHANGED",
        true,
    ),
    case(
        "path-rewrite",
        &[(
            ROUTE,
            "                          route:\n                            prefix_rewrite: /\n                            cluster: langgraph\n",
        )],
        "prefix_rewrite",
        false,
    ),
    case(
        "route-headers",
        &[(
            ROUTE,
            "                          request_headers_to_add: [{ header: { key: X-Graphwarden-Subject, value: x } }]\n                          route:\n                            cluster: langgraph\n",
        )],
        "X-Graphwarden-Subject",
        false,
    ),
    case(
        "mirror",
        &[(
            ROUTE,
            "                          route:\n                            request_mirror_policies: [{ cluster: idp }]\n                            cluster: langgraph\n",
        )],
        "mirror",
        false,
    ),
    case(
        "chunked-length",
        &[(
            "use_remote_address: true",
            "use_remote_address: true\n                http_protocol_options: { allow_chunked_length: true }",
        )],
        "chunked",
        true,
    ),
    case(
        "log-secrets",
        &[(
            "StdoutAccessLog\n",
            "StdoutAccessLog\n                      log_format: { json_format: { t: \"%REQ(Authorization)%\" } }\n",
        )],
        "Authorization",
        false,
    ),
    // Istio's files from here.
    case(
        "stop-iteration",
        &[("allow_on_headers_stop_iteration: true\n", "fail_open: false\n")],
        "pluginName",
        false,
    ),
    case(
        "stop-iteration",
        &[("name: langgraph.graphwarden", "name: default.graphwarden")],
        "name: default.graphwarden",
        true,
    ),
    case("fails-open", &[("failStrategy: FAIL_RELOAD", "failStrategy: FAIL_OPEN")], "FAIL_OPEN", true),
    case("no-reload", &[("  failStrategy: FAIL_RELOAD\n", "")], "pluginName", true),
    case(
        "environment",
        &[("      - { name: LANGGRAPH_API_KEY, valueFrom: HOST }\n", "")],
        "env: LANGGRAPH_API_KEY",
        false,
    ),
    case(
        "unpinned-module",
        &[("  sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"\n", "")],
        "url: oci",
        false,
    ),
    case(
        "istio-cluster",
        &[("cluster: outbound|443||idp.example.com", "cluster: idp")],
        "cluster: idp",
        false,
    ),
    case(
        "istio-cluster",
        &[(
            "mode: enforce\n",
            "mode: enforce\n---\nkind: ServiceEntry\nspec: { hosts: [other.example.com] }\n",
        )],
        "outbound|443||idp",
        false,
    ),
    case("wasm-mode", &[("  match:\n    - mode: SERVER\n", "")], "pluginName", true),
    case("wasm-mode", &[("mode: SERVER", "mode: CLIENT_AND_SERVER")], "CLIENT_AND", true),
    case("jwt-authn", &[("    identity:\n", "    identity:\n      from: jwt_authn\n")], "phase: AUTHN", true),
    case("buffer-limit", &[("bytes: 5242880", "bytes: 32768")], "bytes: 32768", true),
    case("buffer-limit", &[("per_connection_buffer_limit_bytes", "name")], "pluginName", false),
    case(
        "idle-timeout",
        &[("stream_idle_timeout: 300s", "stream_idle_timeout: 100s")],
        "timeout: 100s",
        true,
    ),
    case("route-timeout", &[("timeout: 0s", "timeout: 30s")], "timeout: 30s", true),
];

/// What is replaced in Envoy's shipped file, for each fault that can be mended.
pub(crate) fn mended_faults() -> Vec<&'static [(&'static str, &'static str)]> {
    CASES.iter().filter(|case| case.mended).map(|case| case.wrong).collect()
}

/// The first sources that have everything that is replaced: Envoy's, or Istio's.
fn wrong(case: &Case) -> Vec<Source> {
    // The last cases are Istio's: what they replace is in Envoy's file, too, in some of them.
    let at = CASES.iter().position(|other| std::ptr::eq(other, case)).unwrap();
    let first = CASES.iter().position(|other| other.line == "pluginName").unwrap();
    let mut sources = if at < first { vec![envoy()] } else { istio() };
    for (from, to) in case.wrong {
        let source = sources.iter_mut().find(|source| source.text.contains(from));
        let source = source.unwrap_or_else(|| panic!("{}: no {from:?} in what we ship", case.rule));
        source.text = source.text.replacen(from, to, 1);
    }
    sources
}

fn found<'a>(findings: &'a [Finding], case: &Case, sources: &[Source]) -> Option<&'a Finding> {
    findings.iter().filter(|finding| finding.rule.id == case.rule).find(|finding| {
        let line = usize::try_from(finding.place.line).unwrap() - 1;
        sources[finding.place.file].text.lines().nth(line).is_some_and(|text| text.contains(case.line))
    })
}

#[test]
fn every_rule_has_a_case_or_is_about_files_without_the_filter() {
    let tried: BTreeSet<&str> = CASES.iter().map(|case| case.rule).chain(["no-gate"]).collect();
    let all: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(tried, all);
    let mended: BTreeSet<&str> = CASES.iter().filter(|case| case.mended).map(|case| case.rule).collect();
    let fixing: BTreeSet<&str> = RULES.iter().filter(|rule| rule.fixes).map(|rule| rule.id).collect();
    assert!(fixing.is_subset(&mended), "{fixing:?} {mended:?}");
}

#[test]
fn every_rule_finds_what_it_is_about_where_it_stands() {
    let mut missed = Vec::new();
    for case in CASES {
        let sources = wrong(case);
        let findings = lint(&sources).unwrap();
        if found(&findings, case, &sources).is_none() {
            let seen: Vec<_> = findings.iter().map(|f| (f.rule.id, f.place.line, &f.reason)).collect();
            missed.push(format!("{} at {:?}: {seen:?}", case.rule, case.line));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn mending_leaves_nothing_of_what_it_mends_and_all_else_as_it_was() {
    for case in CASES {
        let sources = wrong(case);
        let fixed = fix(&sources).unwrap();
        let left: Vec<_> = fixed.left.iter().filter(|finding| finding.rule.id == case.rule).collect();
        assert_eq!(left.is_empty(), case.mended, "{} {:?}: {left:?}", case.rule, case.line);
        for (before, after) in sources.iter().zip(&fixed.sources) {
            let comments =
                |text: &str| text.lines().filter(|line| line.trim_start().starts_with('#')).count();
            assert_eq!(comments(&before.text), comments(&after.text), "{}", case.rule);
            let changed =
                before.text.lines().filter(|line| !after.text.lines().any(|other| other == *line)).count();
            assert!(changed <= 1, "{}: {changed} lines are others", case.rule);
        }
        let again = fix(&fixed.sources).unwrap();
        for (once, twice) in fixed.sources.iter().zip(&again.sources) {
            assert_eq!(once.text, twice.text, "{}: mending twice is not mending once", case.rule);
        }
    }
}

#[test]
fn many_faults_are_mended_together() {
    let mut source = envoy();
    for case in CASES.iter().filter(|case| case.mended) {
        let text = case.wrong.iter().fold(source.text.clone(), |text, (from, to)| text.replacen(from, to, 1));
        // Some faults exclude each other.
        let next = Source { name: source.name.clone(), text };
        if lint(std::slice::from_ref(&next)).is_ok() {
            source = next;
        }
    }
    assert!(lint(&[source.clone()]).unwrap().len() > 10);
    let fixed = fix(&[source]).unwrap();
    let left: Vec<_> = fixed.left.iter().map(|finding| (finding.rule.id, &finding.reason)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_value_that_stands_elsewhere_by_alias_is_reported_and_not_touched() {
    let mut source = envoy();
    source.text = source.text.replacen("request_timeout: 0s", "request_timeout: *wait", 1);
    source.text = source.text.replacen("connect_timeout: 2s", "connect_timeout: 2s # one", 1);
    source.text = source.text.replacen(
        "stat_prefix: gate",
        "stat_prefix: gate\n                request_headers_timeout: &wait 10s",
        1,
    );
    source.text = source.text.replacen("                request_headers_timeout: 10s\n", "", 1);
    let fixed = fix(&[source.clone()]).unwrap();
    assert_eq!(fixed.left.len(), 1, "{:?}", fixed.left);
    assert_eq!(fixed.left[0].rule.id, "request-timeout");
    assert_eq!(fixed.sources[0].text, source.text);
}
