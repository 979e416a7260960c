//! The desk: the `graphwarden` program that people install, over SQLite.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::part::Part;
use crate::policy::GATEWAY_TOKEN;
use crate::ports::{Port, free_port};
use crate::site::Site;

/// The running desk.
#[derive(Debug)]
pub struct Desk {
    port: Port,
    part: Option<Part>,
    command: Command,
    folder: PathBuf,
    client: reqwest::Client,
}

impl Desk {
    /// Starts the desk for people of this issuer on a free port.
    pub async fn start(site: &Site, issuer: &str) -> Result<Self> {
        Self::start_on(free_port()?, site, issuer).await
    }

    /// Starts the desk on this port.
    pub async fn start_on(port: Port, site: &Site, issuer: &str) -> Result<Self> {
        Self::start_with(port, site, issuer, |_| {}).await
    }

    /// Starts the desk with what the test adds to its arguments and environment.
    pub async fn start_told(site: &Site, issuer: &str, tell: impl FnOnce(&mut Command)) -> Result<Self> {
        Self::start_with(free_port()?, site, issuer, tell).await
    }

    /// Starts the desk on this port with what the test adds to its arguments and environment.
    pub async fn start_with(
        port: Port,
        site: &Site,
        issuer: &str,
        tell: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let number = port.number();
        let mut command = Command::new(site.tools().program()?);
        command
            .args(["serve", "--listen", &format!("127.0.0.1:{number}"), "--issuer", issuer])
            // The issuer's tokens are for LangGraph; its people use the same ones at the desk's API.
            .args(["--audience", "langgraph"])
            .env("GRAPHWARDEN_DATABASE", site.folder().join("desk.db"))
            .env("GRAPHWARDEN_TOKEN", GATEWAY_TOKEN)
            .current_dir(site.folder());
        tell(&mut command);
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
        let mut desk = Self { port, part: None, command, folder: site.folder().to_path_buf(), client };
        desk.resume().await?;
        Ok(desk)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Kills the desk; what it acknowledged has to be there after [`Desk::resume`].
    pub fn kill(&mut self) {
        if let Some(mut part) = self.part.take() {
            part.kill();
        }
    }

    /// Stops the desk in the middle of whatever it does; connections to it stay.
    pub fn freeze(&self) {
        self.part.iter().for_each(Part::freeze);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.part.iter().for_each(Part::thaw);
    }

    /// From now on no file that the desk writes, its log among them, may become longer than so many bytes, or it may
    /// again (`unlimited`): what a full disk looks like.
    pub fn limit_files(&self, bytes: &str) -> Result<()> {
        let processes = self.part.as_ref().context("the desk does not run")?.processes();
        for process in processes {
            let pid = format!("--pid={process}");
            let status =
                Command::new("prlimit").args([&pid, &format!("--fsize={bytes}:unlimited")]).status()?;
            if !status.success() {
                bail!("prlimit {pid}: {status}");
            }
        }
        Ok(())
    }

    /// Resident memory in bytes, where it runs and the system tells.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        self.part.as_ref()?.memory()
    }

    /// Starts the desk again on the same port and database.
    pub async fn resume(&mut self) -> Result<()> {
        let mut part = Part::start("desk", &self.folder, &self.command)?;
        let (client, url) = (self.client.clone(), format!("{}/readyz", self.url()));
        part.ready(Duration::from_secs(20), async || match client.get(&url).send().await {
            Ok(answer) => answer.status().is_success(),
            Err(_) => false,
        })
        .await?;
        self.part = Some(part);
        Ok(())
    }

    /// Approvals that are open, as this person sees them.
    pub async fn open_approvals(&self, token: &str) -> Result<Vec<Value>> {
        let url = format!("{}/v1/approvals?status=pending", self.url());
        let answer = self.client.get(url).bearer_auth(token).send().await?;
        let status = answer.status();
        let body: Value = answer.json().await.context("the list of approvals is not JSON")?;
        let Some(list) = body.get("approvals").and_then(Value::as_array) else {
            bail!("the desk answered {status} to a list of approvals: {body}");
        };
        Ok(list.clone())
    }

    /// Waits for an open approval.
    pub async fn wait_for_approval(&self, token: &str, limit: Duration) -> Result<Value> {
        let until = std::time::Instant::now() + limit;
        loop {
            if let Some(approval) = self.open_approvals(token).await?.into_iter().next() {
                return Ok(approval);
            }
            if std::time::Instant::now() > until {
                bail!("no approval was asked for within {limit:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Approves or denies, with the status and body of the answer.
    pub async fn decide(&self, token: &str, id: &str, decision: &str, comment: &str) -> Result<(u16, Value)> {
        let url = format!("{}/v1/approvals/{id}/decisions", self.url());
        let body = serde_json::json!({"decision": decision, "comment": comment});
        let answer = self.client.post(url).bearer_auth(token).json(&body).send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// Every line of evidence, as `graphwarden export` prints it.
    pub fn export(&self, site: &Site) -> Result<Vec<Value>> {
        let text = self.export_text(site)?;
        text.lines()
            .map(|line| serde_json::from_str(line).context("a line of the export is not JSON"))
            .collect()
    }

    /// What `graphwarden export` prints, byte for byte.
    pub fn export_text(&self, site: &Site) -> Result<String> {
        let output = Command::new(site.tools().program()?)
            .arg("export")
            .arg("--database")
            .arg(self.folder.join("desk.db"))
            .output()
            .context("cannot run graphwarden export")?;
        if !output.status.success() {
            bail!("graphwarden export: {} {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        String::from_utf8(output.stdout).context("the export is not UTF-8")
    }
}
