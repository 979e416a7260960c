//! What Envoy says about policies, and about the files that we ship.

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::{Envoy, EnvoySetup, Issuer, Site, Tools, run, shipped_config, standard_policy};
use serde_json::{Value, json};

async fn setup() -> Result<(Issuer, EnvoySetup)> {
    let issuer = Issuer::start().await?;
    let setup = EnvoySetup::new(standard_policy(&issuer)?, 9, 9, issuer.port());
    Ok((issuer, setup))
}

#[test]
fn envoy_takes_the_configuration_that_we_ship() {
    run("shipped", async |site: &Site| {
        let mut config = shipped_config()?;
        // As it stands but for the module's path, which is another on every machine.
        let plugin = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config";
        let filename = format!("{plugin}/vm_config/code/local/filename");
        *config.pointer_mut(&filename).context("no module in envoy.yaml")? = json!(site.tools().module()?);
        let log = Envoy::validate_config(site, &config).await?;
        ensure!(log.contains("OK"), "{log}");
        Ok(())
    });
}

#[test]
fn envoy_takes_the_policy_of_the_istio_manifests() {
    run("istio", async |site: &Site| {
        let (_issuer, mut setup) = setup().await?;
        let path = Tools::find().root().join("envoy/istio/wasmplugin.yaml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let plugin: Value = serde_saphyr::from_str(&text)?;
        setup.policy = plugin["spec"]["pluginConfig"].clone();
        // Clusters are Istio's there and ours here; their names are all that may differ.
        let policy = setup.policy.to_string();
        for (istio, ours) in [
            ("outbound|8400||graphwarden-desk.graphwarden.svc.cluster.local", "desk"),
            ("outbound|443||idp.example.com", "idp"),
        ] {
            ensure!(policy.contains(istio), "no cluster {istio} in {policy}");
            setup.policy = serde_json::from_str(&setup.policy.to_string().replace(istio, ours))?;
        }
        Envoy::validate(site, &setup).await?;
        Ok(())
    });
}

#[test]
fn a_wrong_policy_is_refused_with_every_place_and_what_was_meant() {
    run("wrong_policy", async |site: &Site| {
        let (_issuer, good) = setup().await?;
        // Misspelt names come first: what they were meant to say is not known, so values are judged after.
        refuses(
            site,
            &good,
            &[
                ("/masking/detectros", json!(["email"]), &["masking", "detectros", "detectors"]),
                ("/evidence/befor", json!(["read"]), &["evidence", "befor", "before"]),
            ],
        )
        .await?;
        refuses(
            site,
            &good,
            &[
                ("/masking/detectors", json!(["emial"]), &["masking.detectors", "emial"]),
                ("/access/rules/0/when", json!("identity.roles +"), &["access.rules", "when"]),
                ("/approvals/timeout", json!("0s"), &["approvals", "timeout"]),
                ("/identity/issuers/0/algorithms", json!(["none"]), &["identity.issuers", "algorithms"]),
            ],
        )
        .await
    });
}

/// Envoy names all these faults in one run: pointer, wrong value, words that its log has to hold.
async fn refuses(site: &Site, good: &EnvoySetup, wrongs: &[(&str, Value, &[&str])]) -> Result<()> {
    let mut setup = good.clone();
    for (pointer, value, _) in wrongs {
        let (parent, name) = pointer.rsplit_once('/').context("pointer")?;
        setup.policy.pointer_mut(parent).context("parent")?[name] = value.clone();
    }
    let Err(error) = Envoy::validate(site, &setup).await else { anyhow::bail!("the policy was taken") };
    let text = format!("{error:#}");
    for (pointer, _, words) in wrongs {
        for word in *words {
            ensure!(text.contains(word), "{pointer}: {word:?} is not said in {text}");
        }
    }
    Ok(())
}
