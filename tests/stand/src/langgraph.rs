//! LangGraph: the real server with the demo's agent, which needs no model.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::part::Part;
use crate::ports::{Port, free_port};
use crate::site::Site;

/// How LangGraph is set up.
#[derive(Debug, Default)]
pub struct LangGraphSetup {
    /// A Python file with an `auth` object, for LangGraph's own authentication.
    pub auth: Option<PathBuf>,
    /// More graphs than the demo's: a name, and a Python file with a `graph` object.
    pub graphs: Vec<(String, PathBuf)>,
    /// The section `http` of langgraph.json.
    pub http: Option<Value>,
    /// Environment of the server.
    pub environment: Vec<(String, String)>,
}

/// The running server.
#[derive(Debug)]
pub struct LangGraph {
    port: Port,
    part: Part,
    journal: PathBuf,
}

impl LangGraph {
    /// Starts the server on a free port.
    pub async fn start(site: &Site, setup: &LangGraphSetup) -> Result<Self> {
        Self::start_on(free_port()?, site, setup).await
    }

    /// Starts the server on this port.
    ///
    /// It runs in a folder of its own, because it keeps its threads in files of the folder that it
    /// runs in, and with paths made absolute, because it reads them from there.
    pub async fn start_on(port: Port, site: &Site, setup: &LangGraphSetup) -> Result<Self> {
        let agent = site.tools().root().join("demo/agent");
        let text = fs::read_to_string(agent.join("langgraph.json")).context("demo/agent/langgraph.json")?;
        let mut config: Value = serde_json::from_str(&text).context("demo/agent/langgraph.json")?;
        config["dependencies"] = json!([agent]);
        for graph in
            config["graphs"].as_object_mut().context("no graphs in demo/agent/langgraph.json")?.values_mut()
        {
            let place = graph.as_str().context("a graph is not a path")?.trim_start_matches("./");
            *graph = json!(format!("{}/{place}", agent.display()));
        }
        for (name, path) in &setup.graphs {
            config["graphs"][name] = json!(format!("{}:graph", path.display()));
        }
        if let Some(http) = &setup.http {
            config["http"] = http.clone();
        }
        if let Some(auth) = &setup.auth {
            config["auth"] = json!({ "path": format!("{}:auth", auth.display()) });
        }
        let folder = site.folder().join("langgraph");
        fs::create_dir_all(&folder).context("no folder for LangGraph")?;
        fs::write(folder.join("langgraph.json"), config.to_string())
            .context("cannot write langgraph.json")?;

        let journal = site.folder().join("billing.journal");
        let number = port.number();
        let mut command = Command::new(site.tools().langgraph()?);
        command
            .args(["dev", "--config", "langgraph.json", "--no-browser", "--no-reload", "--host", "127.0.0.1"])
            .args(["--port", &number.to_string(), "--n-jobs-per-worker", "4"])
            .env("LANGSMITH_TRACING", "false")
            .env("LANGGRAPH_CLI_NO_ANALYTICS", "1")
            .env("LANGGRAPH_NO_VERSION_CHECK", "true")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("BILLING_JOURNAL", &journal)
            .envs(setup.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&folder);
        let mut part = Part::start("langgraph", site.folder(), &command)?;
        let url = format!("http://127.0.0.1:{number}/ok");
        part.ready(Duration::from_secs(90), async || match reqwest::get(&url).await {
            Ok(answer) => answer.status().is_success(),
            Err(_) => false,
        })
        .await?;
        Ok(Self { port, part, journal })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Lines that `billing` wrote: one for each charge that really happened.
    #[must_use]
    pub fn charges(&self) -> Vec<String> {
        fs::read_to_string(&self.journal).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Kills the server.
    pub fn kill(&mut self) {
        self.part.kill();
    }
}
