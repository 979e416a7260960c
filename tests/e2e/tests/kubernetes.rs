//! The manifests and the chart: judged by the schemas of what they are for, rendered by Helm, and the desk started as
//! its Deployment says.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::{GATEWAY_TOKEN, Part, Site, Tools, free_port, run};
use serde_json::Value;

fn root() -> PathBuf {
    Tools::find().root().to_path_buf()
}

/// Runs a command with this input; its output, and whether it went well.
fn told(command: &mut Command, input: &str) -> Result<(bool, String)> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("no input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

/// What the schemas say about manifests.
fn judged(manifests: &str) -> Result<(bool, String)> {
    told(Command::new(Tools::find().node()?).arg(root().join("tests/kubernetes/validate.mjs")), manifests)
}

/// The YAML files of a folder, one after the other.
fn manifests(folder: &Path) -> Result<String> {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        all.push_str("---\n");
        all.push_str(&std::fs::read_to_string(entry?.path())?);
    }
    Ok(all)
}

/// Runs Helm.
fn helm(arguments: &[&str]) -> Result<(bool, String)> {
    told(Command::new(Tools::find().helm()?).args(arguments), "")
}

fn rendered(more: &[&str]) -> Result<String> {
    let chart = root().join("charts/graphwarden").display().to_string();
    let mut arguments = vec!["template", "graphwarden", &chart, "--namespace", "graphwarden"];
    arguments.extend(more.iter().flat_map(|value| ["--set", value]));
    let (went_well, text) = helm(&arguments)?;
    ensure!(went_well, "helm template {more:?}: {text}");
    Ok(text)
}

#[test]
fn the_schemas_of_istio_envoy_gateway_and_kubernetes_take_every_manifest() {
    run("manifests", async |_: &Site| {
        for folder in ["envoy/istio", "envoy/gateway"] {
            let text = manifests(&root().join(folder))?;
            let (sound, words) = judged(&text)?;
            ensure!(sound, "{folder}: {words}");
        }
        // A check that takes everything would be none.
        let text = manifests(&root().join("envoy/istio"))?;
        for (good, bad) in [
            ("phase: AUTHN", "phase: FIRST"),
            ("imagePullPolicy: IfNotPresent", "imagePullPolice: IfNotPresent"),
            ("kind: ServiceEntry", "kind: ServiceEntrance"),
            ("mode: SIMPLE", "mode: EASY"),
        ] {
            ensure!(text.contains(good), "{good:?} is nowhere");
            ensure!(!judged(&text.replace(good, bad))?.0, "{bad:?} is taken");
        }
        Ok(())
    });
}

#[test]
fn helm_lints_and_renders_the_chart_into_what_the_schemas_take() {
    run("chart", async |_: &Site| {
        let chart = root().join("charts/graphwarden").display().to_string();
        let (clean, words) = helm(&["lint", "--strict", &chart])?;
        ensure!(clean, "helm lint: {words}");
        let everything = [
            "database=postgres",
            "replicas=3",
            "ingress.enabled=true",
            "ingress.tlsSecret=desk-tls",
            "langgraph.enabled=true",
            "monitoring.rules.enabled=true",
            "monitoring.dashboard.enabled=true",
            "settings.client_secret_env=DESK_SECRET",
            "podAnnotations.team=platform",
            "image.pullSecrets={registry}",
        ];
        for values in [&[][..], &everything[..]] {
            let (sound, words) = judged(&rendered(values)?)?;
            ensure!(sound, "{values:?}: {words}");
        }
        for (wrong, words) in [
            ("replicas=2", "replicas"),
            ("replica=1", "replica"),
            ("database=mysql", "database"),
            ("image.digest=sha256:4f", "digest"),
            ("settings.listen=0.0.0.0:80", "settings"),
        ] {
            let (taken, text) = helm(&["template", "g", &chart, "--set", wrong])?;
            ensure!(!taken && text.contains(words), "{wrong}: {text}");
        }
        Ok(())
    });
}

#[test]
fn the_desk_starts_with_the_settings_and_the_environment_of_its_deployment() {
    run("deployment", async |site: &Site| {
        let text = rendered(&["settings.issuer=null"])?;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text)?;
        let of =
            |kind: &str| documents.iter().find(|document| document["kind"] == kind).context(kind.to_owned());
        let settings = of("ConfigMap")?["data"]["desk.yaml"].as_str().context("no settings")?;
        let settings = site.write("desk.yaml", settings)?;
        let container = &of("Deployment")?["spec"]["template"]["spec"]["containers"][0];

        let port = free_port()?;
        let mut command = Command::new(site.tools().program()?);
        for argument in container["args"].as_array().context("no arguments")? {
            match argument.as_str() {
                Some("/etc/graphwarden/desk.yaml") => command.arg(&settings),
                argument => command.arg(argument.unwrap_or_default()),
            };
        }
        for variable in container["env"].as_array().context("no environment")? {
            let name = variable["name"].as_str().unwrap_or_default();
            match (name, variable["value"].as_str()) {
                ("GRAPHWARDEN_LISTEN", Some(value)) => {
                    command.env(name, value.replace("0.0.0.0:8400", &format!("127.0.0.1:{}", port.number())))
                }
                ("GRAPHWARDEN_DATABASE", Some(value)) => {
                    command.env(name, value.replace("/data", &site.folder().display().to_string()))
                }
                ("GRAPHWARDEN_TOKEN", None) => command.env(name, GATEWAY_TOKEN),
                // Optional, and not in the secret.
                ("GRAPHWARDEN_LOG_KEY", None) => &mut command,
                other => anyhow::bail!("a variable that the desk does not know: {other:?}"),
            };
        }
        let mut desk = Part::start("desk", site.folder(), &command)?;
        for probe in ["readinessProbe", "livenessProbe"] {
            let path = container[probe]["httpGet"]["path"].as_str().context("no probe")?;
            let url = format!("http://127.0.0.1:{}{path}", port.number());
            desk.ready(Duration::from_secs(20), async || {
                reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success())
            })
            .await?;
        }
        Ok(())
    });
}
