//! Rules about ways: round the filter, to the desk, to Envoy's own pages, and what routes do after the judgement.

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use super::bodies;
use super::rule::{
    ADMIN_OPEN, BYPASS_DISABLED, BYPASS_ROUTE, CLUSTER_HEADER, DESK_THROUGH_GATE, MIRROR, PATH_REWRITE,
    RETRIES, ROUTE_HEADERS,
};
use super::scene::{Chain, Route, Scene, servers};
use graphwarden_trial::yaml::{Node, Place};

/// What a retry may be for: nothing was carried out then.
const HARMLESS_RETRIES: &[&str] = &["connect-failure", "refused-stream", "reset-before-request"];

impl<'a> Scene<'a> {
    /// The clusters that only the gate itself speaks to: approvals and evidence.
    fn desks(&self) -> BTreeMap<&str, BTreeSet<String>> {
        let policies = self.gates.iter().filter_map(|gate| gate.policy.as_ref());
        let named = policies.flat_map(|found| {
            ["approvals.cluster", "evidence.cluster"].iter().filter_map(|path| found.tree().at(path)?.text())
        });
        named.map(|name| (name, self.servers_of(name))).collect()
    }

    fn servers_of(&self, cluster: &str) -> BTreeSet<String> {
        self.clusters.get(cluster).map(|cluster| cluster.servers.clone()).unwrap_or_default()
    }

    /// Whether a route of a gate does not lead to what the gate guards: it is turned off there, or it is the desk's.
    pub(super) fn leads_elsewhere(&self, chain: &Chain<'_>, route: &Route<'_>) -> bool {
        let desks = self.desks();
        let is_desk = |node: &&Node| node.text().is_some_and(|name| desks.contains_key(name));
        turned_off(chain, route).is_some()
            || (!route.clusters.is_empty() && route.clusters.iter().all(is_desk))
    }
}

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings<'_>) {
    let desks = scene.desks();
    let admins: Vec<(&Node, BTreeSet<String>)> = scene
        .documents
        .iter()
        .filter_map(|document| document.get("admin"))
        .map(|admin| (admin, servers(admin)))
        .collect();
    admin_pages(&admins, findings);
    let mut guarded: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut turned = Vec::new();
    for (chain, gate) in scene.gated() {
        if let Some(flag) = chain
            .filters
            .get(gate)
            .and_then(|filter| filter.node.get("disabled"))
            .filter(|flag| flag.is_true())
        {
            findings.add(&BYPASS_DISABLED, flag.place, "the filter is off unless a route turns it on");
        }
        for route in &chain.routes {
            let off = turned_off(chain, route);
            turned.extend(off.map(|flag| (flag, route)));
            after_judgement(route, findings);
            for cluster in &route.clusters {
                let name = cluster.text().unwrap_or_default();
                let servers = scene.servers_of(name);
                if desks.contains_key(name) || desks.values().any(|desk| !desk.is_disjoint(&servers)) {
                    findings.add(
                        &DESK_THROUGH_GATE,
                        cluster.place,
                        format!("`{name}` is where the gate asks and records"),
                    );
                } else if admins.iter().any(|(_, pages)| !pages.is_disjoint(&servers)) {
                    findings.add(&ADMIN_OPEN, cluster.place, format!("`{name}` is Envoy's own admin page"));
                } else if off.is_none() {
                    guarded.insert(name, servers);
                }
            }
        }
    }
    // What leads to another service than the gate guards may go by it: a proxy has other things behind it, too.
    for (flag, route) in turned {
        let led_there = |cluster: &&Node| guard_of(scene, &guarded, cluster).is_some();
        if guarded.is_empty() || route.clusters.is_empty() || route.clusters.iter().any(led_there) {
            findings.add(&BYPASS_DISABLED, flag.place, "what comes this way is not judged");
        }
    }
    ways_round(scene, &guarded, findings);
}

/// Which of the guarded clusters has the same servers as the one that is named here.
fn guard_of(scene: &Scene<'_>, guarded: &BTreeMap<&str, BTreeSet<String>>, node: &Node) -> Option<String> {
    let name = node.text().unwrap_or_default();
    let servers = scene.servers_of(name);
    let same = guarded.iter().find(|(known, places)| **known == name || !places.is_disjoint(&servers));
    same.map(|(known, _)| (*known).to_owned())
}

/// Every way to what a gate guards that has no gate on it.
fn ways_round(scene: &Scene<'_>, guarded: &BTreeMap<&str, BTreeSet<String>>, findings: &mut Findings<'_>) {
    let mut report = |node: &Node, what: &str| {
        if let Some(known) = guard_of(scene, guarded, node) {
            findings.add(
                &BYPASS_ROUTE,
                node.place,
                format!("{what} leads to `{known}`, which the gate guards, without the filter"),
            );
        }
    };
    for chain in scene.chains.iter().filter(|chain| chain.gate().is_none()) {
        chain
            .routes
            .iter()
            .flat_map(|route| &route.clusters)
            .for_each(|cluster| report(cluster, "this route"));
    }
    scene.tunnels.iter().for_each(|tunnel| report(tunnel, "this TCP proxy"));
}

/// Where a route, its virtual host or their table turns the filter off.
fn turned_off<'a>(chain: &Chain<'a>, route: &Route<'a>) -> Option<&'a Node> {
    let name = chain.filters.get(chain.gate()?)?.node.text_of("name");
    [route.node, route.host, route.table].into_iter().find_map(|holder| {
        let settings = holder.get("typed_per_filter_config")?;
        let own = settings.members().iter().find(|member| member.name == name)?;
        own.value.get("disabled").filter(|flag| flag.is_true())
    })
}

/// What a route does to a request that was judged.
fn after_judgement(route: &Route<'_>, findings: &mut Findings<'_>) {
    headers(route, findings);
    let Some(action) = route.action else { return };
    bodies::upgrades(action, findings);
    if let Some(header) = action.get("cluster_header") {
        findings.add(&CLUSTER_HEADER, header.place, "a header of the request says where it goes");
    }
    for name in ["prefix_rewrite", "regex_rewrite", "path_rewrite_policy", "path_rewrite"] {
        if let Some(member) = action.member(name) {
            findings.add(&PATH_REWRITE, member.place, "LangGraph gets another path than was judged");
        }
    }
    for mirror in action.list("request_mirror_policies") {
        findings.add(&MIRROR, mirror.place, "an approved request is carried out here, too");
    }
    for (holder, place) in [action, route.host].iter().filter_map(|holder| {
        let member = holder.member("retry_policy")?;
        Some((&member.value, member.place))
    }) {
        let on = holder.text_of("retry_on");
        let harmful: Vec<&str> = on
            .split(',')
            .map(str::trim)
            .filter(|what| !what.is_empty() && !HARMLESS_RETRIES.contains(what))
            .collect();
        if !harmful.is_empty() {
            findings.add(&RETRIES, place, format!("a run is carried out again on {}", harmful.join(", ")));
        }
    }
    if let Some(member) = action.member("hedge_policy") {
        findings.add(&RETRIES, member.place, "a request can be sent to two servers at once");
    }
}

fn headers(route: &Route<'_>, findings: &mut Findings<'_>) {
    for holder in [route.node, route.host, route.table] {
        for header in holder.list("request_headers_to_add").iter().filter_map(|entry| entry.at("header.key"))
        {
            let name = header.text().unwrap_or_default().to_ascii_lowercase();
            if name.starts_with("x-graphwarden-")
                || ["authorization", "x-api-key", "cookie"].contains(&name.as_str())
            {
                findings.add(
                    &ROUTE_HEADERS,
                    header.place,
                    format!("`{name}` is set after the gate has set or removed it"),
                );
            }
        }
    }
}

fn admin_pages(admins: &[(&Node, BTreeSet<String>)], findings: &mut Findings<'_>) {
    for (admin, places) in admins {
        let open = places.iter().any(|place| {
            let host = place.rsplit_once(':').map_or(place.as_str(), |(host, _)| host);
            !host.starts_with("127.") && host != "::1" && host != "localhost"
        });
        if open {
            let at: Place = admin.get("address").map_or(admin.place, |address| address.place);
            findings.add(&ADMIN_OPEN, at, "Envoy's admin page can be reached from other machines").mild();
        }
    }
}
