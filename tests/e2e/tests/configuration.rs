//! What Envoy says about policies, and about the files that we ship.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::{
    Act, Ask, Envoy, EnvoySetup, Issuer, Person, Reply, Seen, Site, Tools, Upstream, allow_files, run,
    shipped_config, standard_policy,
};
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
fn envoy_takes_what_envoy_gateway_makes_of_its_manifests() {
    run("gateway", async |site: &Site| {
        let path = Tools::find().root().join("envoy/gateway/gateway.yaml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text)?;
        let of =
            |kind: &str| documents.iter().find(|document| document["kind"] == kind).context(kind.to_owned());
        let wasm = &of("EnvoyExtensionPolicy")?["spec"]["wasm"][0];

        let mut config = shipped_config()?;
        let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
        let mut filters = config.pointer(manager).context("no manager")?["http_filters"].clone();
        let filter = filters[0].as_object_mut().context("no filter")?;
        filter.insert(
            "name".to_owned(),
            json!("envoy.filters.http.wasm/envoyextensionpolicy/langgraph/graphwarden/wasm/0"),
        );
        let plugin = &mut filter["typed_config"]["config"];
        let module = site.tools().module()?;
        *plugin = json!({
            "name": wasm["name"],
            "root_id": wasm["rootID"],
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": module } },
                "environment_variables": { "host_env_keys": wasm["env"]["hostKeys"] },
            },
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": wasm["config"].to_string(),
            },
        });
        // What its own resources cannot say: one field of the filter, and the clusters that the policy calls.
        let clusters = config
            .pointer_mut("/static_resources/clusters")
            .and_then(Value::as_array_mut)
            .context("clusters")?;
        clusters.retain(|cluster| cluster["name"] == "langgraph");
        for patch in of("EnvoyPatchPolicy")?["spec"]["jsonPatches"].as_array().context("no patches")? {
            let operation = &patch["operation"];
            match operation["jsonPath"].as_str() {
                None => clusters.push(operation["value"].clone()),
                Some(place) => {
                    let name = filter["name"].as_str().unwrap_or_default();
                    ensure!(place.contains(&format!("@.name==\"{name}\"")), "{place}");
                    let member =
                        operation["path"].as_str().and_then(|path| path.strip_prefix('/')).context("path")?;
                    filter["typed_config"]["config"][member] = operation["value"].clone();
                }
            }
        }
        ensure!(filter["typed_config"]["config"]["allow_on_headers_stop_iteration"] == true, "{filter:?}");
        config.pointer_mut(manager).context("no manager")?["http_filters"] = filters;
        Envoy::validate_config(site, &config).await?;
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

/// Says something and then nothing more.
fn stays_open(_: &Seen) -> Vec<Act> {
    let mut acts =
        Reply::chunked(200, &[("content-type", "text/event-stream")], &[b"event: end\r\n\r\n"], &[]);
    acts.pop();
    acts.push(Act::Wait(Duration::from_secs(120)));
    acts
}

#[test]
fn more_streams_stay_open_than_envoy_allows_by_itself() {
    // Envoy's own limit is 1,024 connections and requests to a cluster.
    const STREAMS: usize = 1_100;
    run("many-streams", async |site: &Site| {
        // Two sockets of a stream are Envoy's, the other ends of both are ours.
        let files = allow_files(8_192)?;
        ensure!(files >= 4_000, "only {files} files may be open here, and 4,000 are needed");
        let issuer = Issuer::start().await?;
        let upstream = Upstream::start(stays_open).await?;
        let mut setup = EnvoySetup::new(standard_policy(&issuer)?, upstream.port(), 9, issuer.port());
        setup.policy["evidence"] = json!({"off": true});
        setup.policy["identity"]["issuers"][0]["keys"] = json!({ "inline": issuer.jwks() });
        let envoy = Envoy::start(site, &setup).await?;
        let ask = Ask::get("/threads/01a20302-2b19-7586-827f-8a80cbc7f389/stream")
            .bearer(&issuer.token(Person::Analyst));
        let mut streams = Vec::with_capacity(STREAMS);
        for index in 0..STREAMS {
            let mut stream = ask.open(envoy.port()).await?;
            let said = stream.until("event: end", Duration::from_secs(10)).await;
            said.with_context(|| format!("stream {index}"))?;
            streams.push(stream);
        }
        ensure!(upstream.seen().len() == STREAMS, "{} streams reached LangGraph", upstream.seen().len());
        Ok(())
    });
}
