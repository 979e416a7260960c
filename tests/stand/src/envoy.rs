//! Envoy with the configuration that is shipped in `envoy/envoy.yaml`, pointed at the stand's parts.
//!
//! Only addresses, paths and the policy are replaced; all else is what a user copies, so a mistake
//! in the shipped file fails the tests.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::part::Part;
use crate::policy::GATEWAY_TOKEN;
use crate::ports::{Port, free_port};
use crate::site::Site;
use crate::tools::Tools;

/// The key that LangGraph is given by the gate.
const UPSTREAM_KEY: &str = "stand-upstream-key";

/// Which filter stands before the router.
#[derive(Clone, Debug, Default)]
pub enum Filter {
    /// Ours, with the policy of the setup.
    #[default]
    Graphwarden,
    /// Another build of ours, with the policy of the setup.
    Build(PathBuf),
    /// Another wasm module, without configuration.
    Module(PathBuf),
    /// None: Envoy alone.
    Absent,
}

/// How Envoy is set up.
#[derive(Clone, Debug)]
pub struct EnvoySetup {
    /// The policy document.
    pub policy: Value,
    /// Port of LangGraph or of what stands in for it.
    pub langgraph: u16,
    /// Port of the desk; a closed port when the test has none.
    pub desk: u16,
    /// Ports of more replicas of the desk.
    pub replicas: Vec<u16>,
    /// Port of the issuer.
    pub idp: u16,
    /// `allow_on_headers_stop_iteration`.
    pub allow_stop: bool,
    /// Worker threads.
    pub concurrency: u32,
    /// The filter.
    pub filter: Filter,
    /// HTTP filters that run before it, as Envoy's configuration has them.
    pub before: Vec<Value>,
    /// Clusters besides the shipped ones, as Envoy's configuration has them.
    pub clusters: Vec<Value>,
    /// More variables that the policy may name.
    pub environment: Vec<(String, String)>,
    /// Access loggers instead of the shipped one.
    pub access_log: Option<Value>,
    /// What else the test changes in the configuration, when all else is in it.
    pub adjust: fn(&mut Value),
}

impl EnvoySetup {
    /// One worker, our filter, the shipped setting of `allow_on_headers_stop_iteration`.
    #[must_use]
    pub fn new(policy: Value, langgraph: u16, desk: u16, idp: u16) -> Self {
        Self {
            policy,
            langgraph,
            desk,
            replicas: Vec::new(),
            idp,
            allow_stop: true,
            concurrency: 1,
            filter: Filter::default(),
            before: Vec::new(),
            clusters: Vec::new(),
            environment: Vec::new(),
            access_log: None,
            adjust: |_| {},
        }
    }
}

/// `envoy/envoy.yaml` as JSON.
pub fn shipped_config() -> Result<Value> {
    let path = Tools::find().root().join("envoy/envoy.yaml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{} is not YAML", path.display()))
}

/// The running Envoy.
#[derive(Debug)]
pub struct Envoy {
    port: Port,
    admin: Port,
    part: Part,
    name: String,
    folder: PathBuf,
    command: Command,
}

impl Envoy {
    /// Starts Envoy on free ports and waits until it serves.
    pub async fn start(site: &Site, setup: &EnvoySetup) -> Result<Self> {
        Self::start_on(free_port()?, free_port()?, "envoy", site, setup).await
    }

    /// Starts Envoy on these ports under a name of its own, for tests with more than one.
    pub async fn start_on(
        port: Port,
        admin: Port,
        name: &str,
        site: &Site,
        setup: &EnvoySetup,
    ) -> Result<Self> {
        let config = render(&port, &admin, site, setup)?;
        Self::run(port, admin, name, site, &config, setup).await
    }

    /// Starts Envoy with a whole configuration of the test's own, made for these ports: the listener's and the admin's.
    pub async fn start_config(
        site: &Site,
        setup: &EnvoySetup,
        config: impl FnOnce(u16, u16) -> Result<Value>,
    ) -> Result<Self> {
        let (port, admin) = (free_port()?, free_port()?);
        let config = config(port.number(), admin.number())?;
        Self::run(port, admin, "envoy", site, &config, setup).await
    }

    async fn run(
        port: Port,
        admin: Port,
        name: &str,
        site: &Site,
        config: &Value,
        setup: &EnvoySetup,
    ) -> Result<Self> {
        let config = site.write(&format!("{name}.json"), config.to_string())?;
        let mut command = command(site)?;
        command
            .envs(setup.environment.iter().map(|(name, value)| (name, value)))
            .arg("-c")
            .arg(config)
            // Hot restart needs a shared memory segment per base id, and parallel tests would share it.
            .args(["--disable-hot-restart", "--concurrency", &setup.concurrency.to_string()])
            .args(["--log-level", "warning", "--component-log-level", "wasm:info"]);
        let folder = site.folder().to_path_buf();
        let part = serving(name, &folder, &command, &admin).await?;
        Ok(Self { port, admin, part, name: name.to_owned(), folder, command })
    }

    /// Starts Envoy with a configuration of its own, whose admin page is on `admin`, and with these variables.
    pub async fn start_text(
        site: &Site,
        (name, config): (&str, &str),
        (port, admin): (Port, Port),
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let path = site.write(&format!("{name}.yaml"), config)?;
        let mut command = command(site)?;
        command.envs(environment.iter().copied()).arg("-c").arg(path);
        command.args(["--disable-hot-restart", "--concurrency", "2", "--log-level", "warning"]);
        command.args(["--component-log-level", "wasm:info"]).current_dir(site.folder());
        let folder = site.folder().to_path_buf();
        let part = serving(name, &folder, &command, &admin).await?;
        Ok(Self { port, admin, part, name: name.to_owned(), folder, command })
    }

    /// Kills Envoy without asking, with all its workers and what they had not delivered.
    pub fn kill(&mut self) {
        self.part.kill();
    }

    /// Starts it again on the same ports with the same configuration.
    pub async fn resume(&mut self) -> Result<()> {
        self.part = serving(&self.name, &self.folder, &self.command, &self.admin).await?;
        Ok(())
    }

    /// Runs `envoy --mode validate` on a setup: `Ok` with the log when Envoy takes it.
    pub async fn validate(site: &Site, setup: &EnvoySetup) -> Result<String> {
        let config = render(&free_port()?, &free_port()?, site, setup)?;
        Self::validate_config(site, &config).await
    }

    /// Runs `envoy --mode validate` on a whole configuration as it is written: `Ok` with the log when Envoy takes it.
    pub async fn validate_text(site: &Site, text: &str) -> Result<String> {
        Self::validate_file(site, &site.write("validate.yaml", text)?).await
    }

    /// Runs `envoy --mode validate` on a whole configuration: `Ok` with the log when Envoy takes it.
    pub async fn validate_config(site: &Site, config: &Value) -> Result<String> {
        Self::validate_file(site, &site.write("validate.json", config.to_string())?).await
    }

    async fn validate_file(site: &Site, path: &std::path::Path) -> Result<String> {
        let mut command = command(site)?;
        command.arg("-c").arg(path).args(["--mode", "validate", "--log-level", "info"]);
        let mut part = Part::start("validate", site.folder(), &command)?;
        let status = part.exit(Duration::from_secs(120)).await?;
        if !status.success() {
            bail!("envoy --mode validate: {status}\n{}", part.log_text());
        }
        Ok(part.log_text())
    }

    /// The configuration of a setup as it would be started on these ports: the listener's and the admin's.
    pub fn rendered(site: &Site, setup: &EnvoySetup, port: &Port, admin: &Port) -> Result<Value> {
        render(port, admin, site, setup)
    }

    /// Envoy's program with the environment that the shipped policy names.
    pub fn program(site: &Site) -> Result<Command> {
        command(site)
    }

    /// The port that callers use.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The port of the admin pages.
    #[must_use]
    pub fn admin(&self) -> u16 {
        self.admin.number()
    }

    /// Everything that Envoy and the filter logged.
    #[must_use]
    pub fn log_text(&self) -> String {
        self.part.log_text()
    }

    /// Processor time that Envoy has used so far, where the system tells.
    #[must_use]
    pub fn processor_time(&self) -> Option<Duration> {
        self.part.processor_time()
    }

    /// Resident memory in MiB, where the system tells.
    #[must_use]
    pub fn memory_mib(&self) -> Option<u64> {
        self.part.memory_mib()
    }

    /// The same in bytes.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        self.part.memory()
    }

    /// The statistics as Prometheus scrapes them, with all that has been counted until now.
    pub async fn prometheus(&self) -> Result<String> {
        // The module shows its counters at its tick, every 50 ms.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let url = format!("http://127.0.0.1:{}/stats/prometheus", self.admin());
        Ok(reqwest::get(url).await?.error_for_status()?.text().await?)
    }
}

/// Starts Envoy and waits until it serves.
async fn serving(name: &str, folder: &std::path::Path, command: &Command, admin: &Port) -> Result<Part> {
    let mut part = Part::start(name, folder, command)?;
    let url = format!("http://127.0.0.1:{}/ready", admin.number());
    part.ready(Duration::from_secs(120), async || match reqwest::get(&url).await {
        Ok(answer) => answer.status().is_success(),
        Err(_) => false,
    })
    .await?;
    Ok(part)
}

/// Envoy with the environment that the policy names.
fn command(site: &Site) -> Result<Command> {
    let mut command = Command::new(site.tools().envoy()?);
    command
        .env("GRAPHWARDEN_TOKEN", GATEWAY_TOKEN)
        .env("GRAPHWARDEN_DIGEST_KEY", "stand-digest-key-0123456789abcdef")
        .env("LANGGRAPH_API_KEY", UPSTREAM_KEY);
    Ok(command)
}

/// The shipped configuration with the setup's addresses, module and policy.
fn render(port: &Port, admin: &Port, site: &Site, setup: &EnvoySetup) -> Result<Value> {
    let mut config = filled(port, admin, site, setup)?;
    (setup.adjust)(&mut config);
    Ok(config)
}

fn filled(port: &Port, admin: &Port, site: &Site, setup: &EnvoySetup) -> Result<Value> {
    let mut config = shipped_config()?;
    *part(&mut config, "/admin/address")? = address(admin.number());
    *part(&mut config, "/static_resources/listeners/0/address")? = address(port.number());
    let clusters = part(&mut config, "/static_resources/clusters")?.as_array_mut().context("clusters")?;
    for cluster in clusters {
        let number = match cluster["name"].as_str() {
            Some("langgraph") => setup.langgraph,
            Some("desk") => setup.desk,
            Some("idp") => setup.idp,
            other => bail!("envoy/envoy.yaml has a cluster that the stand does not know: {other:?}"),
        };
        // No name to resolve, and no TLS before parts on this machine.
        cluster["type"] = json!("STATIC");
        let mut places = vec![number];
        if cluster["name"] == "desk" {
            places.extend(&setup.replicas);
        }
        let places: Vec<Value> =
            places.into_iter().map(|number| json!({ "endpoint": { "address": address(number) } })).collect();
        cluster["load_assignment"]["endpoints"] = json!([{ "lb_endpoints": places }]);
        if let Some(members) = cluster.as_object_mut() {
            members.remove("transport_socket");
        }
    }
    let clusters = part(&mut config, "/static_resources/clusters")?.as_array_mut().context("clusters")?;
    clusters.extend(setup.clusters.iter().cloned());
    if let Some(access_log) = &setup.access_log {
        let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
        part(&mut config, manager)?["access_log"] = access_log.clone();
    }
    let filters = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
    let filters = part(&mut config, filters)?.as_array_mut().context("http_filters")?;
    let module = match &setup.filter {
        Filter::Absent => {
            filters.splice(0..1, setup.before.iter().cloned());
            return Ok(config);
        }
        Filter::Graphwarden => site.tools().module()?,
        Filter::Build(path) | Filter::Module(path) => path.clone(),
    };
    let plugin = filters
        .first_mut()
        .and_then(|filter| filter.pointer_mut("/typed_config/config"))
        .context("no plugin")?;
    plugin["allow_on_headers_stop_iteration"] = json!(setup.allow_stop);
    plugin["vm_config"]["code"]["local"]["filename"] = json!(module);
    plugin["configuration"]["value"] = setup.policy.clone();
    let variables = plugin
        .pointer_mut("/vm_config/environment_variables/host_env_keys")
        .and_then(Value::as_array_mut)
        .context("no host_env_keys")?;
    variables.extend(setup.environment.iter().map(|(name, _)| json!(name)));
    if matches!(setup.filter, Filter::Module(_)) {
        plugin.as_object_mut().context("plugin")?.remove("configuration");
    }
    filters.splice(0..0, setup.before.iter().cloned());
    Ok(config)
}

fn part<'a>(config: &'a mut Value, pointer: &str) -> Result<&'a mut Value> {
    config.pointer_mut(pointer).with_context(|| format!("envoy/envoy.yaml has no {pointer}"))
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}
