//! What `make dist` hands out, as those use it who get it: checked, pushed to a registry, pulled by a mesh, run alone.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flate2::read::GzDecoder;
use graphwarden_stand::{Part, Registry, Site, Tools, free_port, run};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Whom the program is run as.
const NOBODY: u32 = 65_532;

fn dist() -> Result<PathBuf> {
    let folder = Tools::find().root().join("target/dist");
    ensure!(folder.join("SHA256SUMS").is_file(), "target/dist is missing; `make dist` makes it");
    Ok(folder)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_file_has_its_checksum_and_a_bill_of_what_it_is_made_of() {
    run("dist", async |_: &Site| {
        let folder = dist()?;
        let sums = fs::read_to_string(folder.join("SHA256SUMS"))?;
        let mut named = Vec::new();
        for line in sums.lines() {
            let (sum, name) = line.split_once("  ").context("a line of SHA256SUMS")?;
            ensure!(sha256(&fs::read(folder.join(name))?) == sum, "{name} has another checksum");
            named.push(name.to_owned());
        }
        for entry in fs::read_dir(&folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            ensure!(name == "SHA256SUMS" || named.contains(&name), "{name} has no checksum");
        }
        for (file, parts, package, target) in [
            (
                "graphwarden.wasm.cdx.json",
                ["graphwarden-policies", "proxy-wasm", "cel"],
                "graphwarden-filter",
                "wasm32-wasip1",
            ),
            ("graphwarden.cdx.json", ["graphwarden-policies", "sqlx", "axum"], "graphwarden", &host()?),
        ] {
            let text = fs::read_to_string(folder.join(file)).with_context(|| file.to_owned())?;
            let bill: Value = serde_json::from_str(&text)?;
            ensure!(bill["bomFormat"] == "CycloneDX", "{file}: {}", bill["bomFormat"]);
            let components = bill["components"].as_array().context("components")?;
            for part in parts {
                let known = components.iter().find(|component| component["name"] == part);
                let known = known.with_context(|| format!("{file} does not name {part}"))?;
                ensure!(known["version"].is_string() && known["licenses"].is_array(), "{file}: {known}");
            }
            the_bill_is_what_was_built(components, package, target).with_context(|| file.to_owned())?;
            let root = Tools::find().root().display().to_string();
            ensure!(!text.contains(&root), "{file} names the folder that it was made in");
        }
        let module = fs::read(folder.join("graphwarden.wasm"))?;
        let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME")).context("a home")?;
        let names_home = module.windows(home.len()).any(|window| window == home.as_bytes());
        ensure!(!names_home, "the module names the folder that it was made in");
        Ok(())
    });
}

/// The target that this machine builds for.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc")?;
    let said = String::from_utf8(output.stdout)?;
    Ok(said.lines().find_map(|line| line.strip_prefix("host: ")).context("no host")?.to_owned())
}

/// Neither more nor less than what `Cargo.lock` says of this build, today.
fn the_bill_is_what_was_built(components: &[Value], package: &str, target: &str) -> Result<()> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["tree", "--locked", "--package", package, "--target", target])
        .args(["--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
        .current_dir(Tools::find().root())
        .output()
        .context("cargo tree")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout)?;
    let built: BTreeSet<(&str, &str)> = said
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, rest)| (name, rest.split(' ').next().unwrap_or(rest).trim_start_matches('v')))
        .filter(|(name, _)| *name != package)
        .collect();
    let listed: BTreeSet<(&str, &str)> = components
        .iter()
        .filter_map(|component| Some((component["name"].as_str()?, component["version"].as_str()?)))
        .collect();
    let missing: Vec<_> = built.difference(&listed).collect();
    let more: Vec<_> = listed.difference(&built).collect();
    ensure!(missing.is_empty() && more.is_empty(), "not listed: {missing:?}; not built: {more:?}");
    ensure!(built.len() > 100, "{} crates", built.len());
    Ok(())
}

#[test]
fn a_mesh_pulls_the_filter_from_a_registry() {
    run("registry_filter", async |site: &Site| {
        let Some(registry) = Registry::start(site).await? else { return Ok(()) };
        let archive = dist()?.join("graphwarden-filter.oci.tar");
        let place = format!("docker://{}/graphwarden/filter:0.1.0", registry.host());
        registry.copy(site, &format!("oci-archive:{}", archive.display()), &place)?;

        // What the agents of Istio and Envoy Gateway do: the manifest, its one layer, the file in it.
        let url = format!("http://{}/v2/graphwarden/filter", registry.host());
        let oci = "application/vnd.oci.image.manifest.v1+json";
        let http = reqwest::Client::new();
        let answer = http.get(format!("{url}/manifests/0.1.0")).header("accept", oci).send().await?;
        let manifest: Value = answer.error_for_status()?.json().await?;
        ensure!(manifest["mediaType"] == oci, "{manifest}");
        let layers = manifest["layers"].as_array().context("layers")?;
        let [layer] = layers.as_slice() else { anyhow::bail!("not a single layer: {manifest}") };
        ensure!(layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip", "{layer}");
        let digest = layer["digest"].as_str().context("digest")?;
        let blob =
            http.get(format!("{url}/blobs/{digest}")).send().await?.error_for_status()?.bytes().await?;
        ensure!(format!("sha256:{}", sha256(&blob)) == digest, "the layer is not what its digest says");
        let mut archive = tar::Archive::new(GzDecoder::new(blob.as_ref()));
        let mut entries = archive.entries()?;
        let mut file = entries.next().context("an empty layer")??;
        ensure!(file.path()? == Path::new("plugin.wasm"), "{}", file.path()?.display());
        let mut plugin = Vec::new();
        file.read_to_end(&mut plugin)?;
        ensure!(plugin == fs::read(dist()?.join("graphwarden.wasm"))?, "it is another module");
        ensure!(entries.next().is_none(), "more than the module");
        Ok(())
    });
}

#[test]
fn the_program_runs_alone_from_its_image_as_nobody_in_particular() {
    run("registry_program", async |site: &Site| {
        let Some(registry) = Registry::start(site).await? else { return Ok(()) };
        let archive = dist()?.join("graphwarden.oci.tar");
        let place = format!("docker://{}/graphwarden/graphwarden:0.1.0", registry.host());
        registry.copy(site, &format!("oci-archive:{}", archive.display()), &place)?;
        let pulled = site.folder().join("pulled");
        registry.copy(site, &place, &format!("oci:{}:0.1.0", pulled.display()))?;

        let blob = |part: &Value| -> Result<PathBuf> {
            let digest = part["digest"].as_str().context("digest")?;
            Ok(pulled.join("blobs").join(digest.replace(':', "/")))
        };
        let json = |path: &Path| -> Result<Value> { Ok(serde_json::from_slice(&fs::read(path)?)?) };
        let index = json(&pulled.join("index.json"))?;
        let manifest = json(&blob(&index["manifests"][0])?)?;
        let config = json(&blob(&manifest["config"])?)?;
        ensure!(config["config"]["User"] == format!("{NOBODY}:{NOBODY}"), "{config}");
        let root = site.folder().join("root");
        for layer in manifest["layers"].as_array().context("layers")? {
            tar::Archive::new(GzDecoder::new(File::open(blob(layer)?)?)).unpack(&root)?;
        }
        let authorities = fs::read_to_string(root.join("etc/ssl/certs/ca-certificates.crt"))?;
        ensure!(authorities.matches("BEGIN CERTIFICATE").count() > 50, "few authorities");

        // As root it sees nothing but what the image holds, and the devices that every container has.
        let is_root = fs::metadata("/proc/self")?.uid() == 0;
        let mut command = if is_root {
            chown(root.join("data"), Some(NOBODY), Some(NOBODY))?;
            fs::create_dir_all(root.join("dev"))?;
            for (name, minor) in [("null", "3"), ("random", "8"), ("urandom", "9")] {
                let made =
                    Command::new("mknod").arg(root.join("dev").join(name)).args(["c", "1", minor]).status();
                ensure!(made?.success(), "mknod {name}");
            }
            let mut command = Command::new("chroot");
            command.arg(format!("--userspec={NOBODY}:{NOBODY}")).arg(&root).arg("/graphwarden");
            command
        } else {
            Command::new(root.join("graphwarden"))
        };
        let port = free_port()?;
        let data = if is_root { PathBuf::from("/data") } else { root.join("data") };
        command
            .arg("serve")
            .env("GRAPHWARDEN_LISTEN", format!("127.0.0.1:{}", port.number()))
            .env("GRAPHWARDEN_DATABASE", data.join("desk.db"))
            .env("GRAPHWARDEN_TOKEN", graphwarden_stand::GATEWAY_TOKEN);
        let mut desk = Part::start("desk", site.folder(), &command)?;
        let url = format!("http://127.0.0.1:{}/readyz", port.number());
        desk.ready(Duration::from_secs(20), async || {
            reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success())
        })
        .await?;
        if is_root {
            let owner = fs::metadata(root.join("data/desk.db"))?.uid();
            ensure!(owner == NOBODY, "the database belongs to {owner}");
        }
        Ok(())
    });
}

#[test]
fn helm_takes_the_chart_from_its_file_and_from_a_registry() {
    run("registry_chart", async |site: &Site| {
        let Some(registry) = Registry::start(site).await? else { return Ok(()) };
        let chart = dist()?.join("graphwarden-chart-0.1.0.tgz").display().to_string();
        let helm = |arguments: &[&str]| -> Result<String> {
            let output = Command::new(site.tools().helm()?)
                .args(arguments)
                // Its caches and settings belong to this test.
                .env("HELM_CACHE_HOME", site.folder().join("helm"))
                .env("HELM_CONFIG_HOME", site.folder().join("helm"))
                .env("HELM_DATA_HOME", site.folder().join("helm"))
                .output()?;
            ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            Ok(String::from_utf8(output.stdout)?)
        };
        let place = format!("oci://{}/charts", registry.host());
        helm(&["push", &chart, &place, "--plain-http"])?;
        let from_file = helm(&["template", "graphwarden", &chart])?;
        let pulled = format!("{place}/graphwarden");
        let from_registry =
            helm(&["template", "graphwarden", &pulled, "--version", "0.1.0", "--plain-http"])?;
        ensure!(from_file.contains("kind: Deployment") && from_file == from_registry, "{from_registry}");
        Ok(())
    });
}
