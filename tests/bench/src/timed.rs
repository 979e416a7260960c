//! Asks the module `graphwarden_bench_timed` for its own samples, inside Envoy's V8.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use graphwarden_stand::{Ask, Envoy, EnvoySetup, Filter, Issuer, Site, standard_policy};
use serde_json::Value;

/// How often the module is asked.
pub(crate) const RUNS: usize = 3;

/// What the module answers to `path`, each time that it is asked.
pub(crate) async fn reports(site: &Site, module: &Path, path: &str) -> Result<Vec<Value>> {
    let issuer = Issuer::start().await?;
    let mut setup = EnvoySetup::new(standard_policy(&issuer)?, 1, 1, 1);
    setup.filter = Filter::Module(module.to_owned());
    let envoy = Envoy::start(site, &setup).await?;
    let mut reports = Vec::new();
    for _ in 0..RUNS {
        let answer = Ask::get(path).within(Duration::from_secs(120)).send(envoy.port()).await?;
        answer.expect_status(200)?;
        reports.push(answer.json()?);
    }
    Ok(reports)
}
