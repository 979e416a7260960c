//! The policy of the stand: the one that is shipped in `envoy/envoy.yaml`, pointed at our own issuer.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::envoy::shipped_config;
use crate::issuer::Issuer;

/// What the gate presents to the desk.
pub const GATEWAY_TOKEN: &str = "stand-gateway-token-0123456789";

/// The shipped policy with this issuer in it. Tests change the parts that they are about.
pub fn standard_policy(issuer: &Issuer) -> Result<Value> {
    let mut policy = shipped_config()?
        .pointer("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config/configuration/value")
        .context("envoy/envoy.yaml has no policy where it is expected")?
        .clone();
    *policy.pointer_mut("/identity/issuers/0/issuer").context("no issuer in the shipped policy")? =
        json!(issuer.url());
    Ok(policy)
}
