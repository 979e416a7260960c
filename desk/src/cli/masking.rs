//! The policy's masking, for the subcommands that run it outside Envoy.

use std::path::Path;

use anyhow::Context;
use graphwarden_policies::masking::{Config, Masking};
use graphwarden_policies::policy::{At, Problems};
use serde_json::Value;

/// Reads and compiles the section `masking` of a policy: a file of its own, or Envoy or Istio YAML that holds one. A policy without one masks with all
/// built-in detectors. Secrets come from the environment.
pub(super) fn of_policy(path: &Path) -> anyhow::Result<Masking> {
    let document = graphwarden_trial::read_document(path)?;
    let section = document.get("masking").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let config: Config =
        serde_json::from_value(section).with_context(|| format!("{}: masking", path.display()))?;
    let mut problems = Problems::new();
    Masking::compile(&config, &At::root().member("masking"), &|name| std::env::var(name).ok(), &mut problems)
        .ok_or_else(|| anyhow::anyhow!("{}: {problems}", path.display()))
}
