//! What we ship is clean, and the page of all rules is the rules.

use std::path::{Path, PathBuf};

use graphwarden::lint::{Source, lint, page};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

pub(crate) fn source(name: &str) -> Source {
    Source { name: name.to_owned(), text: std::fs::read_to_string(root().join(name)).expect(name) }
}

/// The shipped configuration of Envoy.
pub(crate) fn envoy() -> Source {
    source("envoy/envoy.yaml")
}

/// The shipped manifests of Istio.
pub(crate) fn istio() -> Vec<Source> {
    vec![source("envoy/istio/wasmplugin.yaml"), source("envoy/istio/envoyfilter.yaml")]
}

fn clean(sources: &[Source]) {
    let findings = lint(sources).unwrap();
    let seen: Vec<_> = findings.iter().map(|f| (f.rule.id, f.place.line, &f.reason)).collect();
    assert!(seen.is_empty(), "{}: {seen:?}", sources[0].name);
}

#[test]
fn what_we_ship_is_clean() {
    let folder = root().join("envoy");
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            clean(&[source(&name)]);
        }
    }
    clean(&[source("envoy/ecds/envoy.yaml"), source("envoy/ecds/filter.yaml")]);
    clean(&[source("envoy/tls/gate.yaml"), source("envoy/tls/beside.yaml")]);
    clean(&istio());
    let mut all = istio();
    all.push(source("envoy/istio/service-entry.yaml"));
    all.push(source("envoy/istio/network-policy.yaml"));
    all.push(source("envoy/istio/authorization-policy.yaml"));
    clean(&all);
    // The plugin of the partnership with Istio's own verification takes the other's place.
    clean(&[source("envoy/istio/request-authentication.yaml"), source("envoy/istio/envoyfilter.yaml")]);
    clean(&[source("envoy/gateway/gateway.yaml")]);
}

#[test]
fn files_without_the_filter_are_said_to_be_so() {
    let source = Source { name: "x.yaml".to_owned(), text: "static_resources: {}\n".to_owned() };
    let findings = lint(&[source]).unwrap();
    assert_eq!(findings.iter().map(|finding| finding.rule.id).collect::<Vec<_>>(), ["no-gate"]);
}

#[test]
fn routes_to_other_services_may_turn_the_filter_off() {
    let mut envoy = envoy();
    let other = "                        - match: { prefix: /wiki }\n                          typed_per_filter_config: { graphwarden: { \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true } }\n                          route: { cluster: wiki }\n";
    let routes = "                      routes:\n";
    assert!(envoy.text.contains(routes));
    envoy.text = envoy.text.replace(routes, &format!("{routes}{other}"));
    envoy.text.push_str("    - name: wiki\n      load_assignment: { cluster_name: wiki, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: wiki, port_value: 80 } } } }] }] }\n");
    clean(std::slice::from_ref(&envoy));
    // The same servers under another name are another way to them.
    envoy.text = envoy.text.replace("address: wiki, port_value: 80", "address: langgraph, port_value: 8000");
    let found = lint(&[envoy]).unwrap();
    assert!(found.iter().any(|finding| finding.rule.id == "bypass-disabled"));
}

#[test]
fn clusters_and_policies_may_be_in_other_files_than_what_names_them() {
    let whole = envoy();
    let (listeners, clusters) = whole.text.split_once("  clusters:\n").unwrap();
    let listeners = Source { name: "listeners.yaml".to_owned(), text: listeners.to_owned() };
    let clusters = Source {
        name: "clusters.yaml".to_owned(),
        text: format!("static_resources:\n  clusters:\n{clusters}"),
    };
    assert!(lint(std::slice::from_ref(&listeners)).unwrap().iter().any(|f| f.rule.id == "unknown-cluster"));
    clean(&[listeners, clusters]);
}

#[test]
fn the_page_lists_every_rule() {
    let path = root().join("docs/lint.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page(), "docs/lint.md is not what the rules say; run this test with UPDATE_DOCS=1");
}
