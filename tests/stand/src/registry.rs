//! A registry of images of one's own: the one that Debian packages, on loopback, with its images in the site's folder.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::debian::debian_program;
use crate::part::Part;
use crate::ports::{Port, free_port};
use crate::site::Site;

/// The running registry.
#[derive(Debug)]
pub struct Registry {
    port: Port,
    _part: Part,
}

impl Registry {
    /// Starts an empty registry. `None`, and a line that says so, where it or the tool that pushes is not installed.
    pub async fn start(site: &Site) -> Result<Option<Self>> {
        let Some(program) = debian_program("docker-registry", "docker-registry")? else { return Ok(None) };
        if debian_program("skopeo", "skopeo")?.is_none() {
            return Ok(None);
        }
        let port = free_port()?;
        let config = format!(
            "version: 0.1\nlog: {{ level: warn }}\nstorage: {{ filesystem: {{ rootdirectory: {:?} }} }}\nhttp: {{ addr: 127.0.0.1:{} }}\n",
            site.folder().join("images"),
            port.number()
        );
        let config = site.write("registry.yml", config)?;
        let mut command = Command::new(program);
        command.arg("serve").arg(config);
        let mut part = Part::start("registry", site.folder(), &command)?;
        let url = format!("http://127.0.0.1:{}/v2/", port.number());
        part.ready(Duration::from_secs(20), async || {
            reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success())
        })
        .await?;
        Ok(Some(Self { port, _part: part }))
    }

    /// Its address, as image names begin.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// Copies an image with `skopeo copy`, between places that it knows (`oci-archive:FILE`, `docker://HOST/NAME:TAG`, …).
    pub fn copy(&self, site: &Site, from: &str, to: &str) -> Result<()> {
        // A policy and a folder of its own: what the machine's own settings say does not matter here.
        let policy = site.write("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)?;
        let output = Command::new("skopeo")
            .arg("--policy")
            .arg(policy)
            .arg("--tmpdir")
            .arg(site.folder())
            .args([
                "copy",
                "--preserve-digests",
                "--src-tls-verify=false",
                "--dest-tls-verify=false",
                from,
                to,
            ])
            .output()
            .context("cannot run skopeo")?;
        if !output.status.success() {
            bail!("skopeo copy {from} {to}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}
