//! A real Chromium, driven over the desk's pages by the scripts of `tests/browser` (Playwright over the browser's own
//! protocol). What they share is in `tests/browser/harness.mjs`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::part::Part;
use crate::site::Site;

/// Names under which it is installed, best first.
const NAMES: [&str; 5] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless-shell"];
/// The longest that a script may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// The browser of this machine.
#[derive(Debug)]
pub struct Chromium(PathBuf);

impl Chromium {
    /// The one that `CHROMIUM` names, or the first on `PATH`. Where there is none, `None` and a line that says what is
    /// left out; with `CI` set that is an error.
    pub fn find() -> Result<Option<Self>> {
        if let Some(named) = std::env::var_os("CHROMIUM") {
            let path = PathBuf::from(named);
            ensure!(path.is_file(), "CHROMIUM names {}, which is not a file", path.display());
            return Ok(Some(Self(path)));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let found = NAMES
            .iter()
            .flat_map(|name| places.iter().map(move |place| place.join(name)))
            .find(|path| path.is_file());
        if found.is_none() {
            let what = "no Chromium is installed (on Debian: apt-get install chromium)";
            ensure!(std::env::var_os("CI").is_none(), "{what}");
            eprintln!("left out: {what}");
        }
        Ok(found.map(Self))
    }

    /// Runs `tests/browser/SCRIPT` before this desk. It is told `facts` besides what the harness needs, and has to end
    /// well; screenshots are in `target/shots/SCRIPT/` afterwards.
    pub async fn run(&self, site: &Site, desk: &Desk, script: &str, facts: Value) -> Result<()> {
        self.run_on(site, &desk.url(), script, facts).await
    }

    /// The same before any page: `address` may be a file's.
    pub async fn run_on(&self, site: &Site, address: &str, script: &str, facts: Value) -> Result<()> {
        let folder = site.tools().root().join("tests/browser");
        ensure!(
            folder.join("node_modules/playwright-core").is_dir(),
            "tests/browser/node_modules is missing; `make node-modules` makes it"
        );
        let name = script.trim_end_matches(".mjs");
        let mut told = json!({
            "desk": address,
            "chromium": self.0,
            "shots": site.tools().root().join("target/shots").join(name),
        });
        let (Value::Object(told_members), Value::Object(facts)) = (&mut told, facts) else {
            bail!("facts are an object");
        };
        told_members.extend(facts);
        let file = site.write(&format!("{name}.json"), told.to_string())?;
        let mut command = Command::new(site.tools().node()?);
        command.arg(folder.join(script)).arg(file).current_dir(site.folder());
        let mut part = Part::start(name, site.folder(), &command)?;
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(status) = part.ended() {
                let said = part.log_text();
                ensure!(status.success(), "{script} ended with {status}:\n{said}");
                // A script without tests would pass, too.
                let passed = said.lines().any(|line| line.starts_with("# pass ") && line != "# pass 0")
                    || said.lines().any(|line| line.starts_with("ℹ pass ") && line != "ℹ pass 0");
                ensure!(passed, "{script} tested nothing:\n{said}");
                return Ok(());
            }
            ensure!(tokio::time::Instant::now() < until, "{script} does not end:\n{}", part.log_text());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Its version, for whoever reads a failure.
    pub fn version(&self) -> Result<String> {
        let output = Command::new(&self.0).arg("--version").output().context("Chromium does not run")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
