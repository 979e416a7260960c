//! `graphwarden lint` with the real judges: Envoy takes what it mends, and its SARIF fits the schema.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::{Envoy, Site, Tools, run};
use serde_json::Value;

/// What is wrong and Envoy takes all the same.
const FAULTS: &[(&str, &str)] = &[
    ("                        allow_on_headers_stop_iteration: true\n", ""),
    ("failure_policy: FAIL_RELOAD", "fail_open: true"),
    ("      per_connection_buffer_limit_bytes: 5242880\n", ""),
    ("stream_idle_timeout: 300s", "stream_idle_timeout: 30s"),
    ("request_timeout: 0s", "request_timeout: 30s"),
    ("                            timeout: 0s\n", ""),
    ("                normalize_path: true\n                merge_slashes: true\n", ""),
    ("action: REJECT_REQUEST", "action: KEEP_UNCHANGED"),
    (
        "use_remote_address: true",
        "use_remote_address: true\n                upgrade_configs: [{ upgrade_type: websocket }]\n                \
         common_http_protocol_options: { max_stream_duration: 60s }\n                http_protocol_options: { \
         allow_chunked_length: true }",
    ),
];

fn wrong(site: &Site) -> Result<String> {
    let text = fs::read_to_string(Tools::find().root().join("envoy/envoy.yaml"))?;
    let module = site.tools().module()?;
    let text = text.replace("/etc/envoy/graphwarden.wasm", module.to_str().context("path")?);
    FAULTS.iter().try_fold(text, |text, (from, to)| {
        ensure!(text.contains(from), "no {from:?} in envoy/envoy.yaml");
        Ok(text.replacen(from, to, 1))
    })
}

#[test]
fn envoy_takes_what_lint_finds_wrong_and_what_it_makes_of_it() {
    run("lint_fix", async |site: &Site| {
        let wrong = wrong(site)?;
        Envoy::validate_text(site, &wrong).await.context("the faults are none that Envoy sees")?;
        let path = site.write("mended.yaml", &wrong)?;
        let program = site.tools().program()?;
        let found = Command::new(&program).arg("lint").arg(&path).output()?;
        ensure!(found.status.code() == Some(1), "{}", String::from_utf8_lossy(&found.stderr));
        let fixed = Command::new(&program).args(["lint", "--strict", "--fix"]).arg(&path).output()?;
        ensure!(fixed.status.success(), "{}", String::from_utf8_lossy(&fixed.stdout));
        let mended = fs::read_to_string(&path)?;
        ensure!(mended != wrong, "nothing was mended");
        Envoy::validate_text(site, &mended).await.context("the mended file")?;
        Ok(())
    });
}

#[test]
fn sarif_fits_its_schema() {
    run("lint_sarif", async |site: &Site| {
        let schema = "tests/node/node_modules/@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json";
        let schema = fs::read_to_string(site.tools().root().join(schema))
            .with_context(|| format!("{schema} is missing; `make node-modules` brings it"))?;
        // One of its patterns is no regular expression: a bracket that nothing opens.
        let schema: Value = serde_json::from_str(&schema.replace("[a-zA-Z]{2}]?$", "[a-zA-Z]{2}$"))?;
        let validator = jsonschema::validator_for(&schema).map_err(|error| anyhow::anyhow!("{error}"))?;
        let path = site.write("wrong.yaml", wrong(site)?)?;
        let output =
            Command::new(site.tools().program()?).args(["lint", "--format", "sarif"]).arg(&path).output()?;
        let mut sarif: Value = serde_json::from_slice(&output.stdout)?;
        let faults: Vec<String> = validator
            .iter_errors(&sarif)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        ensure!(faults.is_empty(), "{}", faults.join("\n"));
        let results = sarif["runs"][0]["results"].as_array().context("no results")?;
        ensure!(
            results.len() >= FAULTS.len() && results.iter().any(|result| result["fixes"].is_array()),
            "{sarif}"
        );
        // The schema is no schema of everything.
        sarif["runs"][0]["results"][0]["level"] = Value::from("dreadful");
        ensure!(!validator.is_valid(&sarif), "the schema takes anything");
        Ok(())
    });
}
