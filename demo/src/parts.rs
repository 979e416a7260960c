//! The parts of the demonstration, started in order with a line for each.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use graphwarden_stand::{
    Ask, Desk, Envoy, EnvoySetup, Issuer, LangGraph, LangGraphSetup, Person, Port, Site, standard_policy,
    wait_until,
};

use crate::Ports;
use crate::screen::Screen;

/// How long people who watch are given to decide, in the demo's policy.
const HOLD: &str = "120s";

/// Everything that runs. Dropping it stops everything.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) envoy: Envoy,
    pub(crate) desk: Desk,
    pub(crate) langgraph: LangGraph,
    pub(crate) issuer: Issuer,
    pub(crate) site: Site,
}

impl Parts {
    /// Starts each part and waits until it is ready.
    pub(crate) async fn start(screen: &Screen, ports: Ports) -> Result<Self> {
        // All are looked at first: a taken port is known before anything was started.
        let gate = port(ports.gate, "DEMO_GATE_PORT")?;
        let admin = port(ports.admin, "DEMO_ADMIN_PORT")?;
        let langgraph = port(ports.langgraph, "DEMO_LANGGRAPH_PORT")?;
        let desk = port(ports.desk, "DEMO_DESK_PORT")?;
        let issuer = port(ports.issuer, "DEMO_ISSUER_PORT")?;
        let site = Site::new("demo")?;
        for found in
            [site.tools().module(), site.tools().program(), site.tools().envoy(), site.tools().langgraph()]
        {
            found?;
        }
        screen.heading("Starting every part");
        let issuer =
            screen.starting("issuer", "OIDC: discovery, keys, sign-in", Issuer::start_on(issuer)).await?;
        let setup = LangGraphSetup::default();
        let langgraph = screen
            .starting(
                "LangGraph",
                "the real server with a demo agent",
                LangGraph::start_on(langgraph, &site, &setup),
            )
            .await?;
        let desk = screen
            .starting("desk", "approvals and evidence over SQLite", Desk::start_on(desk, &site, issuer.url()))
            .await?;
        let mut policy = standard_policy(&issuer)?;
        for rule in policy["access"]["rules"].as_array_mut().into_iter().flatten() {
            if let Some(approval) = rule.pointer_mut("/then/approval") {
                approval["hold"] = HOLD.into();
            }
        }
        let setup = EnvoySetup::new(policy, langgraph.port(), desk.port(), issuer.port());
        let envoy = screen
            .starting("Envoy", "with graphwarden.wasm", async {
                let envoy = Envoy::start_on(gate, admin, "envoy", &site, &setup).await?;
                keys_are_there(&issuer, &envoy).await?;
                Ok(envoy)
            })
            .await?;
        Ok(Self { envoy, desk, langgraph, issuer, site })
    }

    /// The gate's address.
    pub(crate) fn gate_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.envoy.port())
    }

    /// Envoy's admin pages.
    pub(crate) fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.envoy.admin())
    }

    /// LangGraph without the gate.
    pub(crate) fn langgraph_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.langgraph.port())
    }

    /// The folder of the logs, as seen from the workspace.
    pub(crate) fn logs(&self) -> String {
        let folder = self.site.folder();
        folder.strip_prefix(self.site.tools().root()).unwrap_or(folder).display().to_string()
    }
}

fn port(number: u16, variable: &str) -> Result<Port> {
    Port::fixed(number).map_err(|error| anyhow::anyhow!("{error}; choose another with {variable}"))
}

/// The filter fetches the issuer's keys a moment after Envoy serves; until then it refuses with 503.
async fn keys_are_there(issuer: &Issuer, envoy: &Envoy) -> Result<()> {
    let ask = Ask::get("/assistants/none").bearer(&issuer.token(Person::Auditor));
    let began = Instant::now();
    wait_until("the issuer's keys in the filter", Duration::from_secs(20), async || {
        ask.send(envoy.port()).await.is_ok_and(|answer| answer.status != 503)
    })
    .await
    .with_context(|| format!("Envoy serves since {:?} and knows no keys", began.elapsed()))
}
