//! The parts: the shipped `envoy/ecds` with two workers, whose policy comes from a file that is moved; the desk, an issuer,
//! the real LangGraph, and an upstream of our own for volume.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::reason;
use graphwarden_stand::{
    Act, Ask, Desk, Envoy, Issuer, LangGraph, LangGraphSetup, Person, Reply, Seen, Site, Tools, Upstream,
    free_port, standard_policy, wait_until,
};
use serde_json::{Value, json};
use tokio::sync::RwLock;

use crate::mix::{Kind, Tokens, number_in};

/// Bodies that the ledger keeps, under the one policy and under the other.
const KEPT: [&str; 2] = ["4KiB", "2KiB"];

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Parts {
    /// Signs tokens.
    pub(crate) issuer: Issuer,
    /// The tokens that callers hold.
    pub(crate) tokens: Tokens,
    /// Decides and records.
    pub(crate) desk: RwLock<Desk>,
    /// The real server.
    pub(crate) langgraph: LangGraph,
    /// The other one.
    pub(crate) volume: Volume,
    /// Lets through, or not.
    pub(crate) envoy: Envoy,
}

impl Parts {
    /// Starts everything and waits until the gate lets through.
    pub(crate) async fn start(site: &Site) -> Result<Self> {
        let issuer = Issuer::start().await?;
        let desk = Desk::start(site, issuer.url()).await?;
        let langgraph = LangGraph::start(site, &LangGraphSetup::default()).await?;
        let volume = Volume::start().await?;
        fs::create_dir_all(site.folder().join("gate"))?;
        hand_out(site, &issuer, 0)?;
        let (port, admin) = (free_port()?, free_port()?);
        let ports = [
            ("listener", port.number()),
            ("admin", admin.number()),
            ("langgraph", langgraph.port()),
            ("volume", volume.upstream.port()),
            ("desk", desk.port()),
            ("idp", issuer.port()),
        ];
        let config = config(site, &HashMap::from(ports))?.to_string();
        let environment = [("LANGGRAPH_API_KEY", "stand-upstream-key")];
        let envoy = Envoy::start_text(site, ("gate", &config), (port, admin), &environment).await?;
        let tokens = Tokens::new(&issuer);
        let parts = Self { issuer, tokens, desk: RwLock::new(desk), langgraph, volume, envoy };
        wait_until("the gate to know the issuer's keys", Duration::from_secs(30), async || {
            let ask = Ask::get("/internal/nothing").bearer(&parts.tokens.of(Person::Auditor));
            ask.send(parts.envoy.port()).await.is_ok_and(|answer| reason(&answer) == "operation_unknown")
        })
        .await?;
        Ok(parts)
    }
}

/// The shipped filter with one of two policies, moved to where Envoy looks.
pub(crate) fn hand_out(site: &Site, issuer: &Issuer, which: usize) -> Result<()> {
    let text = fs::read_to_string(Tools::find().root().join("envoy/ecds/filter.yaml"))?;
    let mut document: Value = serde_saphyr::from_str(&text)?;
    let plugin = &mut document["resources"][0]["typed_config"]["config"];
    plugin["vm_config"]["code"]["local"]["filename"] = json!(site.tools().module()?);
    let mut policy = standard_policy(issuer)?;
    policy["evidence"]["body"]["limit"] = json!(KEPT.get(which % 2));
    plugin["configuration"]["value"] = policy;
    let next = site.write("next.yaml", document.to_string())?;
    fs::rename(next, site.folder().join("gate/filter.yaml")).context("cannot move the policy")
}

/// The shipped `envoy/ecds/envoy.yaml` on this machine's ports, with a route by the threads' ids to the real LangGraph.
fn config(site: &Site, ports: &HashMap<&str, u16>) -> Result<Value> {
    let text = fs::read_to_string(Tools::find().root().join("envoy/ecds/envoy.yaml"))?;
    let mut config: Value = serde_saphyr::from_str(&text)?;
    let address = |name: &str| -> Result<Value> {
        let port = ports.get(name).with_context(|| format!("no port of {name}"))?;
        Ok(json!({"socket_address": {"address": "127.0.0.1", "port_value": port}}))
    };
    config["admin"]["address"] = address("admin")?;
    let listener = &mut config["static_resources"]["listeners"][0];
    listener["address"] = address("listener")?;
    let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    // The log of an hour tells nothing that the ledger does not.
    manager.as_object_mut().context("no connection manager")?.remove("access_log");
    let gate = site.folder().join("gate");
    let source = &mut manager["http_filters"][0]["config_discovery"]["config_source"]["path_config_source"];
    ensure!(source["path"].is_string(), "envoy/ecds/envoy.yaml has no path of a filter");
    *source = json!({"path": gate.join("filter.yaml"), "watched_directory": {"path": gate}});
    let routes = manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().context("no routes")?;
    let mut real = routes.first().context("no route")?.clone();
    real["match"] = json!({"prefix": "/threads/00000000-0000-4000-a000-"});
    routes[0]["route"]["cluster"] = json!("volume");
    routes.insert(0, real);
    let clusters = config["static_resources"]["clusters"].as_array_mut().context("no clusters")?;
    let mut volume = clusters.first().context("no cluster")?.clone();
    volume["name"] = json!("volume");
    clusters.push(volume);
    for cluster in clusters {
        let name = cluster["name"].as_str().context("no name")?.to_owned();
        cluster["type"] = json!("STATIC");
        cluster["load_assignment"]["endpoints"] =
            json!([{"lb_endpoints": [{"endpoint": {"address": address(&name)?}}]}]);
        cluster.as_object_mut().context("no cluster")?.remove("transport_socket");
    }
    Ok(config)
}

/// An upstream that answers as LangGraph does, and resets when it is told to or asked by a request of that kind.
#[derive(Debug)]
pub(crate) struct Volume {
    upstream: Upstream,
    notes: Arc<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    resets: AtomicBool,
    /// How often each request came.
    came: Mutex<HashMap<u64, u32>>,
    /// What should never have come: a caller's token.
    leaked: AtomicBool,
}

impl Volume {
    async fn start() -> Result<Self> {
        let notes: Arc<Notes> = Arc::default();
        let upstream = Upstream::start({
            let notes = Arc::clone(&notes);
            move |seen| notes.answer(seen)
        })
        .await?;
        Ok(Self { upstream, notes })
    }

    /// From now on every answer breaks off (or no longer does).
    pub(crate) fn set_resets(&self, on: bool) {
        self.notes.resets.store(on, Ordering::Relaxed);
    }

    /// Lets go of the requests' bytes; their numbers stay.
    pub(crate) fn forget_bytes(&self) {
        self.upstream.forget();
    }

    /// How often each request came.
    pub(crate) fn came(&self) -> HashMap<u64, u32> {
        self.notes.came.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a caller's token came with any of them.
    pub(crate) fn has_seen_a_token(&self) -> bool {
        self.notes.leaked.load(Ordering::Relaxed)
    }
}

impl Notes {
    fn answer(&self, seen: &Seen) -> Vec<Act> {
        let number = number_in(&seen.target);
        if let Some(number) = number {
            let mut came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
            *came.entry(number).or_default() += 1;
        }
        if seen.header("authorization").is_some() {
            self.leaked.store(true, Ordering::Relaxed);
        }
        let resets = self.resets.load(Ordering::Relaxed)
            || number.is_some_and(|number| Kind::of(number) == Kind::UpstreamReset);
        if seen.target.ends_with("/runs/stream") { stream(resets) } else { whole(resets) }
    }
}

/// Whole values of personal data; of each, nobody may see what [`graphwarden_e2e::SECRETS`] names.
const PERSONAL: [&str; 7] = [
    "zoe.obrien@example.com",
    "ravi.iyer@example.org",
    "+1 (212) 555-0132",
    "078-05-1120",
    "219-09-9999",
    "4111 1111 1111 1111",
    "5500-0000-0000-0004",
];

/// A thread's state of about 4 KB with all of it.
fn state() -> Value {
    let messages: Vec<Value> = PERSONAL
        .iter()
        .map(|value| json!({"type": "ai", "content": format!("It is {value}, they wrote. {}", "Words. ".repeat(70))}))
        .collect();
    json!({"values": {"messages": messages}, "next": []})
}

fn whole(resets: bool) -> Vec<Act> {
    let mut acts = Reply::json(200, &state());
    if resets && let Some(Act::Send(bytes)) = acts.first_mut() {
        bytes.truncate(bytes.len() / 2);
        acts.push(Act::Wait(Duration::from_millis(20)));
        acts.push(Act::Reset);
    }
    acts
}

/// Twenty events in a second and a half; an address stands across the border of each two.
fn stream(resets: bool) -> Vec<Act> {
    let mut head = Reply::head(200, &[("content-type", "text/event-stream")]);
    head.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
    let mut acts = vec![Act::Send(head)];
    for index in 0..20 {
        let text = if index % 2 == 0 { "write to zoe.obr" } else { "ien@example.com now " };
        let data =
            json!([{"type": "AIMessageChunk", "id": "m1", "content": text}, {"langgraph_node": "agent"}]);
        let event = format!("event: messages\ndata: {data}\n\n");
        acts.push(Act::Send(format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()));
        acts.push(Act::Wait(Duration::from_millis(75)));
        if resets && index == 9 {
            acts.push(Act::Reset);
            return acts;
        }
    }
    acts.push(Act::Send(b"0\r\n\r\n".to_vec()));
    acts
}
