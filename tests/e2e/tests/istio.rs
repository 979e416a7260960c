//! The Istio manifests in a real Envoy: the configuration that Istio makes of them, as its documentation and its
//! generated configuration show it, with the EnvoyFilter's patches merged in.
//!
//! A WasmPlugin becomes an extension configuration (ECDS) named `NAMESPACE.NAME`, its policy a string of JSON; the
//! agent beside Envoy has put a file in the image's place. A RequestAuthentication becomes `jwt_authn` with the keys
//! in it and the claims under `payload`.

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::{Checks, Gate, THREAD, expect_refusal};
use graphwarden_stand::{Ask, Desk, Envoy, EnvoySetup, Issuer, Person, Reply, Site, Tools, Upstream, run};
use serde_json::{Value, json};

const TYPE: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const DESK: &str = "outbound|8400||graphwarden-desk.graphwarden.svc.cluster.local";

/// The documents of a manifest.
fn manifest(name: &str) -> Result<Vec<Value>> {
    let path = Tools::find().root().join("envoy/istio").join(name);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(serde_saphyr::from_multiple(&text)?)
}

fn of<'a>(documents: &'a [Value], kind: &str) -> Result<&'a Value> {
    documents.iter().find(|document| document["kind"] == kind).with_context(|| format!("no {kind}"))
}

/// Merges a patch as `operation: MERGE` does: messages field by field, all else replaced.
fn merge(into: &mut Value, patch: &Value) {
    match (into.as_object_mut(), patch.as_object()) {
        (Some(members), Some(patch)) => {
            for (name, value) in patch {
                merge(members.entry(name).or_insert(Value::Null), value);
            }
        }
        _ => into.clone_from(patch),
    }
}

/// What the agent hands Envoy for the WasmPlugin.
fn extension(plugin: &Value, issuer: &Issuer, site: &Site) -> Result<Value> {
    let (meta, spec) = (&plugin["metadata"], &plugin["spec"]);
    let name = format!(
        "{}.{}",
        meta["namespace"].as_str().unwrap_or_default(),
        meta["name"].as_str().unwrap_or_default()
    );
    let mut policy = spec["pluginConfig"].clone();
    policy["identity"]["issuers"][0]["issuer"] = json!(issuer.url());
    let mut inherited = Vec::new();
    for variable in spec["vmConfig"]["env"].as_array().context("no environment")? {
        ensure!(variable["valueFrom"] == "HOST", "a secret must not stand in the manifest: {variable}");
        inherited.push(variable["name"].clone());
    }
    Ok(json!({
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": name,
        "typed_config": { "@type": TYPE, "config": {
            "name": name,
            "root_id": spec["pluginName"],
            "failure_policy": spec["failStrategy"],
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": site.tools().module()? } },
                "environment_variables": {
                    "host_env_keys": inherited,
                    "key_values": { "ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION": "1" },
                },
            },
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": policy.to_string(),
            },
        } },
    }))
}

/// The filter that a RequestAuthentication becomes: without a token the request passes on.
fn authentication(document: &Value, issuer: &Issuer) -> Value {
    let rule = &document["spec"]["jwtRules"][0];
    let provider = json!({
        "issuer": issuer.url(),
        "audiences": rule["audiences"],
        "local_jwks": { "inline_string": issuer.jwks().to_string() },
        "payload_in_metadata": "payload",
        "normalize_payload_in_metadata": { "space_delimited_claims": ["scope", "permission"] },
        "forward": rule["forwardOriginalToken"].as_bool().unwrap_or_default(),
    });
    let either = json!({ "requires_any": { "requirements": [{ "provider_name": "origins-0" }, { "allow_missing": {} }] } });
    json!({ "name": "envoy.filters.http.jwt_authn", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": { "origins-0": provider },
        "rules": [{ "match": { "prefix": "/" }, "requires": either }],
        "bypass_cors_preflight": true,
    } })
}

/// The sidecar's inbound side, before any patch.
struct Sidecar {
    extension: Value,
    listener: Value,
    manager: Value,
    route: Value,
}

impl Sidecar {
    fn new(site: &Site, extension: Value, before: Option<Value>) -> Result<Self> {
        let mut filters: Vec<Value> = before.into_iter().collect();
        filters.push(json!({ "name": extension["name"], "config_discovery": {
            "config_source": {
                "path_config_source": { "path": site.folder().join("extensions.json") },
                "initial_fetch_timeout": "0s",
                "resource_api_version": "V3",
            },
            "type_urls": [TYPE],
        } }));
        filters.push(json!({ "name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        } }));
        Ok(Self {
            extension,
            listener: json!({ "name": "virtualInbound", "per_connection_buffer_limit_bytes": 32_768 }),
            manager: json!({
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "inbound_0.0.0.0_8000",
                "normalize_path": true,
                "stream_idle_timeout": "0s",
                "http_filters": filters,
            }),
            route: json!({ "match": { "prefix": "/" }, "route": { "cluster": "inbound|8000||", "timeout": "15s" } }),
        })
    }

    /// Merges the patches of the EnvoyFilter in; each has to find its place.
    fn patch(&mut self, filter: &Value) -> Result<()> {
        for patch in filter["spec"]["configPatches"].as_array().context("no patches")? {
            ensure!(patch["match"]["context"] == "SIDECAR_INBOUND" && patch["patch"]["operation"] == "MERGE");
            let value = &patch["patch"]["value"];
            match patch["applyTo"].as_str() {
                Some("EXTENSION_CONFIG") => {
                    ensure!(value["name"] == self.extension["name"], "it patches {}", value["name"]);
                    merge(&mut self.extension, value);
                }
                Some("NETWORK_FILTER") => merge(&mut self.manager, &value["typed_config"]),
                Some("LISTENER") => merge(&mut self.listener, value),
                Some("HTTP_ROUTE") => merge(&mut self.route, value),
                other => anyhow::bail!("a patch that this test does not know: {other:?}"),
            }
        }
        Ok(())
    }

    /// The whole configuration, its clusters pointed at the stand.
    fn config(&self, port: u16, admin: u16, clusters: &[(&str, u16)]) -> Value {
        let address = |port: u16| json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } });
        let clusters: Vec<Value> = clusters
            .iter()
            .map(|(name, port)| {
                json!({ "name": name, "type": "STATIC", "connect_timeout": "2s", "load_assignment": {
                "cluster_name": name,
                "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(*port) } }] }],
            } })
            })
            .collect();
        let mut manager = self.manager.clone();
        manager["route_config"] = json!({ "name": "inbound|8000||", "virtual_hosts": [{
            "name": "inbound|http|8000", "domains": ["*"], "routes": [self.route],
        }] });
        let mut listener = self.listener.clone();
        listener["address"] = address(port);
        listener["filter_chains"] = json!([{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
        }] }]);
        json!({
            "admin": { "address": address(admin) },
            "node": { "id": "sidecar~10.0.0.7~langgraph-0.langgraph~langgraph.svc.cluster.local", "cluster": "langgraph.langgraph" },
            "static_resources": { "listeners": [listener], "clusters": clusters },
        })
    }
}

/// A desk and a sidecar before the port.
async fn gate(site: &Site, langgraph: u16, sidecar: impl FnOnce(&Issuer) -> Result<Sidecar>) -> Result<Gate> {
    let issuer = Issuer::start().await?;
    let desk = Desk::start(site, issuer.url()).await?;
    let mut sidecar = sidecar(&issuer)?;
    sidecar.patch(of(&manifest("envoyfilter.yaml")?, "EnvoyFilter")?)?;
    let discovered = json!({ "version_info": "1", "resources": [sidecar.extension] });
    site.write("extensions.json", discovered.to_string())?;
    let setup = EnvoySetup::new(Value::Null, langgraph, desk.port(), issuer.port());
    let clusters = [
        ("inbound|8000||", langgraph),
        (DESK, desk.port()),
        ("outbound|443||idp.example.com", issuer.port()),
    ];
    let envoy =
        Envoy::start_config(site, &setup, |port, admin| Ok(sidecar.config(port, admin, &clusters))).await?;
    let gate = Gate { issuer, desk, envoy };
    gate.wait_for_keys().await?;
    Ok(gate)
}

async fn upstream() -> Result<Upstream> {
    Upstream::start(|_| Reply::json(200, &json!({"thread_id": THREAD, "email": "zoe.obrien@example.com"})))
        .await
}

/// A run with this much input.
fn support(input: usize) -> Ask {
    let body = json!({"assistant_id": "support_agent", "input": {"text": "x".repeat(input)}});
    Ask::post(&format!("/threads/{THREAD}/runs/wait"), &body)
}

/// What holds whichever way the caller was verified.
async fn stands(gate: &Gate, upstream: &Upstream, site: &Site) -> Result<()> {
    let mut checks = Checks::default();
    checks
        .check("without a token nothing passes", async {
            upstream.forget();
            let answer = Ask::get(&format!("/threads/{THREAD}")).send(gate.port()).await?;
            expect_refusal(&answer, 401, "token_missing")?;
            ensure!(upstream.seen().is_empty());
            Ok(())
        })
        .await;
    checks
        .check("a run passes with a body larger than Istio's buffers, masked and recorded", async {
            upstream.forget();
            let answer = gate.send(Person::Engineer, support(200 << 10)).await?;
            ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
            ensure!(!answer.text().contains("zoe.obrien"), "{}", answer.text());
            let seen = upstream.seen();
            ensure!(seen.len() == 1 && seen[0].header("authorization").is_none(), "{seen:?}");
            ensure!(seen[0].header("x-api-key").is_some(), "no key for LangGraph");
            let outcomes = gate.outcomes(site, 1).await?;
            ensure!(outcomes.iter().any(|line| line["gateway"] == "langgraph-mesh"), "{outcomes:?}");
            Ok(())
        })
        .await;
    checks
        .check("an escaped slash is refused before anything judges it", async {
            let answer = gate.send(Person::Engineer, Ask::get("/threads%2f1")).await?;
            ensure!(answer.status == 400, "{} {}", answer.status, answer.text());
            Ok(())
        })
        .await;
    checks
        .check("what Prometheus makes of its names has the labels of the dashboard", async {
            let exported = gate.envoy.prometheus().await?;
            let monitor = manifest("pod-monitor.yaml")?;
            let rules = monitor[0]["spec"]["podMetricsEndpoints"][0]["metricRelabelings"]
                .as_array()
                .context("no rules")?;
            let series: Vec<Labels> = exported
                .lines()
                .filter(|line| line.starts_with("graphwarden_"))
                .filter_map(|line| relabelled(line.split(['{', ' ']).next()?, rules).ok())
                .collect();
            let has = |name: &str, labels: &[(&str, &str)]| {
                series.iter().any(|series| {
                    series.get("__name__").is_some_and(|known| known == name)
                        && labels
                            .iter()
                            .all(|(label, value)| series.get(*label).is_some_and(|known| known == value))
                })
            };
            let refused = [("graphwarden_decision", "deny"), ("graphwarden_reason", "token_missing")];
            ensure!(has("graphwarden_requests", &refused), "{series:?}");
            ensure!(has("graphwarden_masked", &[("graphwarden_detector", "email")]), "{series:?}");
            ensure!(has("graphwarden_evidence_queued", &[]), "{series:?}");
            Ok(())
        })
        .await;
    checks.outcome()
}

type Labels = std::collections::BTreeMap<String, String>;

/// A series of this name after Prometheus' relabelling: anchored expressions, one after the other.
fn relabelled(name: &str, rules: &[Value]) -> Result<Labels> {
    let mut labels = Labels::from([("__name__".to_owned(), name.to_owned())]);
    for rule in rules {
        let text = |member: &str| rule[member].as_str().with_context(|| format!("no {member} in {rule}"));
        let source =
            labels.get(rule["sourceLabels"][0].as_str().context("no source")?).cloned().unwrap_or_default();
        let regex = regex::Regex::new(&format!("^(?:{})$", text("regex")?))?;
        if let Some(found) = regex.captures(&source) {
            let mut value = String::new();
            found.expand(text("replacement")?, &mut value);
            labels.insert(text("targetLabel")?.to_owned(), value);
        }
    }
    Ok(labels)
}

#[test]
fn the_wasm_plugin_judges_in_a_sidecar() {
    run("istio_plugin", async |site: &Site| {
        let upstream = upstream().await?;
        let gate = gate(site, upstream.port(), |issuer| {
            let plugin = manifest("wasmplugin.yaml")?;
            Sidecar::new(site, extension(of(&plugin, "WasmPlugin")?, issuer, site)?, None)
        })
        .await?;
        stands(&gate, &upstream, site).await
    });
}

#[test]
fn the_wasm_plugin_takes_what_a_request_authentication_has_verified() {
    run("istio_partners", async |site: &Site| {
        let upstream = upstream().await?;
        let gate = gate(site, upstream.port(), |issuer| {
            let documents = manifest("request-authentication.yaml")?;
            let plugin = of(&documents, "WasmPlugin")?;
            ensure!(plugin["spec"]["phase"] == "AUTHZ", "it would run before Istio's own check");
            let before = authentication(of(&documents, "RequestAuthentication")?, issuer);
            Sidecar::new(site, extension(plugin, issuer, site)?, Some(before))
        })
        .await?;
        stands(&gate, &upstream, site).await?;
        // Istio's filter answers for a signature that is nobody's.
        let claims =
            graphwarden_stand::claims_for(Person::Engineer, gate.issuer.url(), gate.issuer.audience());
        let forged = Ask::get(&format!("/threads/{THREAD}")).bearer(&gate.issuer.forged(&claims));
        ensure!(forged.send(gate.port()).await?.status == 401);
        Ok(())
    });
}
