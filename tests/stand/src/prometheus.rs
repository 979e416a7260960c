//! A Prometheus of one's own: the one that Debian packages, scraping Envoys every second into the site's folder.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::debian::debian_program;
use crate::part::Part;
use crate::ports::{Port, free_port};
use crate::site::Site;

/// The running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    port: Port,
    http: reqwest::Client,
    _part: Part,
}

impl Prometheus {
    /// Starts one that scrapes these admin ports and evaluates the rules of a file. `None`, and a line that says so,
    /// where it is not installed.
    pub async fn start(site: &Site, admins: &[u16], rules: &Path) -> Result<Option<Self>> {
        let Some(program) = debian_program("prometheus", "prometheus")? else { return Ok(None) };
        let port = free_port()?;
        let targets: Vec<String> = admins.iter().map(|admin| format!("127.0.0.1:{admin}")).collect();
        let config = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [rules],
            "scrape_configs": [{
                "job_name": "envoy",
                "metrics_path": "/stats/prometheus",
                "static_configs": [{ "targets": targets }],
            }],
        });
        let config = site.write("prometheus.yml", config.to_string())?;
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", site.folder().join("series").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", port.number()))
            .arg("--log.level=warn");
        let mut part = Part::start("prometheus", site.folder(), &command)?;
        let http = reqwest::Client::new();
        let url = format!("http://127.0.0.1:{}/-/ready", port.number());
        part.ready(Duration::from_secs(20), async || {
            http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success())
        })
        .await?;
        Ok(Some(Self { port, http, _part: part }))
    }

    /// What an expression comes to now.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let answer = self.ask("query", &[("query", expression)]).await.context(expression.to_owned())?;
        Ok(answer["result"].as_array().cloned().unwrap_or_default())
    }

    /// Every rule, with its health and its last error.
    pub async fn rules(&self) -> Result<Vec<Value>> {
        let answer = self.ask("rules", &[]).await?;
        let groups = answer["groups"].as_array().context("no groups")?;
        Ok(groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect())
    }

    async fn ask(&self, what: &str, query: &[(&str, &str)]) -> Result<Value> {
        let url = format!("http://127.0.0.1:{}/api/v1/{what}", self.port.number());
        let mut answer: Value = self.http.get(url).query(query).send().await?.json().await?;
        ensure!(answer["status"] == "success", "{answer}");
        Ok(answer["data"].take())
    }
}
