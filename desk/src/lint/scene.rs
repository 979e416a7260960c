//! What the files have in them, gathered once: gates, chains of filters, routes, clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use graphwarden_policies::policy::{Size, Span};
use serde::de::DeserializeOwned;

use graphwarden_trial::yaml::{Node, Place};
use graphwarden_trial::{Found, Held, held};

/// The longest that a policy may hold a request; what is believed of a policy that is not in the files.
const LONGEST_HOLD: Duration = Duration::from_secs(240);
/// A rule's `hold`, and the policy's `limits.request_body`, where nothing is said.
const DEFAULT_HOLD: Duration = Duration::from_secs(60);
const DEFAULT_BODY: u64 = 4 << 20;

/// Everything that the rules look at.
pub(super) struct Scene<'a> {
    /// The documents of all files.
    pub documents: &'a [Node],
    /// Every place that configures our module.
    pub gates: Vec<Gate<'a>>,
    /// Every HTTP connection manager of a listener.
    pub chains: Vec<Chain<'a>>,
    /// Every cluster, by name.
    pub clusters: BTreeMap<&'a str, Cluster<'a>>,
    /// Whether all of Envoy's clusters are in the files.
    pub clusters_complete: bool,
    /// Clusters that TCP proxies lead to.
    pub tunnels: Vec<&'a Node>,
    /// Whether the files speak of Graphwarden without configuring it.
    pub is_fragment: bool,
}

/// How a gate is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Envoy's own configuration of a Wasm filter.
    Envoy,
    /// Istio's `WasmPlugin`.
    Plugin,
}

/// A place that configures our module.
pub(super) struct Gate<'a> {
    /// Envoy's `config`, or the `spec` of a `WasmPlugin`.
    pub plugin: &'a Node,
    /// The document around it.
    pub document: &'a Node,
    /// How it is written.
    pub form: Form,
    /// The policy, where it is in here.
    pub policy: Option<Found>,
}

/// An HTTP connection manager.
pub(super) struct Chain<'a> {
    pub manager: &'a Node,
    /// Where its name or type stands, for what is missing in it.
    pub place: Place,
    pub listener: &'a Node,
    pub filters: Vec<HttpFilter<'a>>,
    pub routes: Vec<Route<'a>>,
}

/// One filter of a chain.
pub(super) struct HttpFilter<'a> {
    pub node: &'a Node,
    /// The type's last part, such as `Wasm` or `Compressor`; `""` where it is not known.
    pub kind: &'a str,
    pub config: Option<&'a Node>,
    /// Whether it is ours.
    pub is_gate: bool,
    /// Which of the gates, where its configuration is in the files.
    pub gate: Option<usize>,
}

/// One route.
pub(super) struct Route<'a> {
    pub node: &'a Node,
    /// `route`, where it leads to a cluster.
    pub action: Option<&'a Node>,
    pub host: &'a Node,
    pub table: &'a Node,
    /// The names of clusters that it leads to.
    pub clusters: Vec<&'a Node>,
}

/// A cluster.
pub(super) struct Cluster<'a> {
    pub node: &'a Node,
    /// `address:port` of its servers.
    pub servers: BTreeSet<String>,
}

impl<'a> Scene<'a> {
    pub(super) fn of(documents: &'a [Node]) -> Self {
        let mut scene = Scene {
            documents,
            gates: Vec::new(),
            chains: Vec::new(),
            clusters: BTreeMap::new(),
            clusters_complete: false,
            tunnels: Vec::new(),
            is_fragment: false,
        };
        // What is referred to by name, before what refers to it.
        let mut extensions: BTreeMap<&str, &Node> = BTreeMap::new();
        let mut tables: BTreeMap<&str, &Node> = BTreeMap::new();
        let mut listeners = Vec::new();
        let mut dynamic = false;
        for document in documents {
            document.walk(&mut |node| {
                if node.text().is_some_and(|text| text.contains("graphwarden")) {
                    scene.is_fragment = true;
                }
                if let Some((_, config)) = node.get("typed_config").and_then(typed)
                    && let Some(plugin) = config.get("config").filter(|plugin| is_ours(plugin))
                {
                    scene.gates.push(Gate {
                        plugin,
                        document,
                        form: Form::Envoy,
                        policy: policy(plugin, "configuration"),
                    });
                }
                if node.text_of("@type").ends_with("TypedExtensionConfig") {
                    extensions.insert(node.text_of("name"), node);
                }
                if node.get("virtual_hosts").is_some() {
                    tables.insert(node.text_of("name"), node);
                }
                if node.get("filter_chains").is_some() || node.get("default_filter_chain").is_some() {
                    listeners.push(node);
                }
                if is_cluster(node) {
                    scene.clusters.insert(node.text_of("name"), Cluster { node, servers: servers(node) });
                }
                dynamic |= node.at("dynamic_resources.cds_config").is_some();
                true
            });
            if document.text_of("kind") == "WasmPlugin"
                && let Some(spec) = document.get("spec").filter(|spec| is_our_plugin(document, spec))
            {
                let policy = policy(spec, "pluginConfig");
                scene.gates.push(Gate { plugin: spec, document, form: Form::Plugin, policy });
            }
        }
        scene.clusters_complete =
            !dynamic && documents.iter().any(|root| root.get("static_resources").is_some());
        for listener in listeners {
            scene.listener(listener, &extensions, &tables);
        }
        scene
    }

    fn listener(
        &mut self,
        listener: &'a Node,
        extensions: &BTreeMap<&str, &'a Node>,
        tables: &BTreeMap<&str, &'a Node>,
    ) {
        let ends = listener.list("filter_chains").iter().chain(listener.get("default_filter_chain"));
        for filter in ends.flat_map(|chain| chain.list("filters")) {
            let Some((kind, config)) = filter.get("typed_config").and_then(typed) else { continue };
            if kind == "TcpProxy" {
                let weighted =
                    config.list("weighted_clusters.clusters").iter().filter_map(|one| one.get("name"));
                self.tunnels.extend(config.get("cluster").into_iter().chain(weighted));
            }
            if kind != "HttpConnectionManager" {
                continue;
            }
            let filters =
                config.list("http_filters").iter().map(|node| self.filter(node, extensions)).collect();
            let name = config.text_of("rds.route_config_name");
            let table = config.get("route_config").or_else(|| tables.get(name).copied());
            let place = config.member("http_filters").map_or(filter.place, |member| member.place);
            let routes = table.map(routes).unwrap_or_default();
            self.chains.push(Chain { manager: config, place, listener, filters, routes });
        }
    }

    fn filter(&self, node: &'a Node, extensions: &BTreeMap<&str, &'a Node>) -> HttpFilter<'a> {
        let name = node.text_of("name");
        let discovered = node.get("config_discovery");
        let holder = match discovered {
            Some(discovery) => extensions
                .get(name)
                .and_then(|found| found.get("typed_config"))
                .or(discovery.get("default_config")),
            None => node.get("typed_config"),
        };
        let (kind, config) = holder.and_then(typed).map_or(("", None), |(kind, config)| (kind, Some(config)));
        let plugin = config.and_then(|config| config.get("config"));
        let gate =
            plugin.and_then(|plugin| self.gates.iter().position(|gate| std::ptr::eq(gate.plugin, plugin)));
        let is_gate = gate.is_some() || (discovered.is_some() && name.contains("graphwarden"));
        HttpFilter { node, kind, config, is_gate, gate }
    }

    /// Chains that have the filter, with its place in them.
    pub(super) fn gated(&self) -> impl Iterator<Item = (&Chain<'a>, usize)> {
        self.chains.iter().filter_map(|chain| Some((chain, chain.gate()?)))
    }

    /// The longest that requests of a chain may be held.
    pub(super) fn hold(&self, chain: &Chain<'_>) -> Duration {
        self.policy_of(chain).map_or(LONGEST_HOLD, hold)
    }

    /// The largest body that the policy of a chain reads, in bytes.
    pub(super) fn body(&self, chain: &Chain<'_>) -> u64 {
        self.policy_of(chain).map_or(DEFAULT_BODY, body)
    }

    /// The policy of a chain, where it is in the files.
    pub(super) fn policy_of(&self, chain: &Chain<'_>) -> Option<&Found> {
        let filter = chain.filters.get(chain.gate()?)?;
        self.gates.get(filter.gate?)?.policy.as_ref()
    }
}

impl Chain<'_> {
    /// The place of our filter among the chain's.
    pub(super) fn gate(&self) -> Option<usize> {
        self.filters.iter().position(|filter| filter.is_gate)
    }
}

/// The longest hold of a policy's rules; none where no rule asks anybody.
pub(super) fn hold(policy: &Found) -> Duration {
    let rules = policy.tree().list("access.rules").iter();
    let holds = rules
        .filter_map(|rule| rule.at("then.approval"))
        .map(|approval| approval.get("hold").and_then(value).map_or(DEFAULT_HOLD, |Span(hold)| hold));
    holds.max().unwrap_or_default()
}

/// The largest body that a policy reads.
pub(super) fn body(policy: &Found) -> u64 {
    let size = policy.tree().at("limits.request_body").and_then(value);
    size.map_or(DEFAULT_BODY, |Size(bytes)| bytes as u64)
}

fn value<T: DeserializeOwned>(node: &Node) -> Option<T> {
    serde_json::from_value(node.to_json()).ok()
}

/// A span of time as Envoy writes it: `0s`, `1.5s`.
pub(super) fn seconds(node: &Node) -> Option<f64> {
    node.text()?
        .strip_suffix('s')?
        .parse()
        .ok()
        .filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0)
}

/// The last part of a configuration's type, and the configuration, taken out of a `TypedStruct`.
pub(super) fn typed(node: &Node) -> Option<(&str, &Node)> {
    let kind = node.text_of("@type");
    let (kind, config) = if kind.ends_with("TypedStruct") {
        (node.text_of("type_url"), node.get("value")?)
    } else {
        (kind, node)
    };
    Some((kind.rsplit('.').next()?, config))
}

fn is_ours(plugin: &Node) -> bool {
    let names = [
        "root_id",
        "name",
        "vm_config.vm_id",
        "vm_config.code.local.filename",
        "vm_config.code.remote.http_uri.uri",
    ];
    let named = names.iter().any(|path| plugin.text_of(path).contains("graphwarden"));
    plugin.get("vm_config").is_some() && (named || policy(plugin, "configuration").is_some())
}

fn is_our_plugin(document: &Node, spec: &Node) -> bool {
    let names = [spec.text_of("pluginName"), spec.text_of("url"), document.text_of("metadata.name")];
    names.iter().any(|name| name.contains("graphwarden")) || policy(spec, "pluginConfig").is_some()
}

fn policy(plugin: &Node, name: &str) -> Option<Found> {
    match held(name, plugin.get(name)?) {
        Held::Policy(found) => Some(found),
        Held::Text | Held::Nothing => None,
    }
}

fn is_cluster(node: &Node) -> bool {
    let kinds = ["load_assignment", "connect_timeout", "eds_cluster_config", "cluster_type", "lb_policy"];
    node.get("name").is_some() && kinds.iter().any(|kind| node.get(kind).is_some())
}

/// `address:port` of everything inside.
pub(super) fn servers(node: &Node) -> BTreeSet<String> {
    let mut servers = BTreeSet::new();
    node.walk(&mut |inside| {
        if let Some(socket) = inside.get("socket_address")
            && let Some(port) = socket.get("port_value").and_then(Node::number)
        {
            servers.insert(format!("{}:{port}", socket.text_of("address")));
        }
        true
    });
    servers
}

fn routes(table: &Node) -> Vec<Route<'_>> {
    let hosts = table.list("virtual_hosts").iter();
    hosts
        .flat_map(|host| host.list("routes").iter().map(move |node| (host, node)))
        .map(|(host, node)| {
            let action = node.get("route");
            let clusters = action.map(|action| {
                let weighted =
                    action.list("weighted_clusters.clusters").iter().filter_map(|one| one.get("name"));
                action.get("cluster").into_iter().chain(weighted).collect()
            });
            Route { node, action, host, table, clusters: clusters.unwrap_or_default() }
        })
        .collect()
}
