//! What operators see: the dashboard and the alerts on what a real Envoy exports after real traffic, and the way from a
//! refusal to its record.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::{Gate, THREAD, billing, expect_refusal};
use graphwarden_stand::{
    Ask, Envoy, EnvoySetup, Person, Prometheus, Reply, Seen, Site, Tools, Upstream, debian_program,
    free_port, run, wait_until,
};
use serde_json::{Value, json};

/// A thread whose answer comes compressed, so that it cannot be masked.
const ZIPPED: &str = "01a20302-2b19-7586-827f-8a80cbc7f3ff";

fn shipped(name: &str) -> std::path::PathBuf {
    Tools::find().root().join("charts/graphwarden/files").join(name)
}

/// The expressions of the dashboard, its variables filled in.
fn panels() -> Result<Vec<(String, String)>> {
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(shipped("dashboard.json"))?)?;
    let mut expressions = Vec::new();
    for panel in dashboard["panels"].as_array().context("no panels")? {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().context("a target without an expression")?;
            let expression = expression.replace("$__rate_interval", "30s").replace("$instance", ".*");
            ensure!(!expression.contains('$'), "a variable that nobody fills in: {expression}");
            expressions.push((panel["title"].as_str().unwrap_or_default().to_owned(), expression));
        }
    }
    Ok(expressions)
}

/// Every name of ours, of a metric or a label, in a text.
fn names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
        .filter(|word| word.starts_with("graphwarden_"))
        .map(str::to_owned)
        .collect()
}

/// Traffic of every kind that something counts.
async fn traffic(gate: &Gate, observer: &Envoy) -> Result<()> {
    let read = |thread: &str| Ask::get(&format!("/threads/{thread}"));
    read(THREAD).send(gate.port()).await?.expect_status(401)?;
    gate.send(Person::Analyst, read(THREAD)).await?.expect_status(200)?;
    gate.send(Person::Analyst, read(ZIPPED)).await?;
    let manager = gate.token(Person::Manager);
    let (run, decided) = tokio::join!(gate.send(Person::Engineer, billing(12)), async {
        let asked = gate.desk.wait_for_approval(&manager, Duration::from_secs(15)).await?;
        gate.desk.decide(&manager, asked["id"].as_str().context("no id")?, "approve", "").await
    });
    run?.expect_status(200)?;
    decided?;
    let token = gate.token(Person::Auditor);
    for thread in [THREAD, ZIPPED] {
        read(thread).bearer(&token).send(observer.port()).await?.expect_status(200)?;
    }
    let body = json!({"assistant_id": "support_agent", "input": {}});
    let refused = Ask::post(&format!("/threads/{THREAD}/runs/wait"), &body).bearer(&token);
    refused.send(observer.port()).await?.expect_status(200)?;
    Ok(())
}

/// The ledger goes away: deliveries fail, the queue fills, requests are refused.
async fn without_a_ledger(gate: &mut Gate) -> Result<()> {
    gate.desk.kill();
    for _ in 0..200 {
        let answer = gate.send(Person::Analyst, Ask::get(&format!("/threads/{THREAD}"))).await?;
        if answer.status == 503 {
            return expect_refusal(&answer, 503, "evidence_unavailable");
        }
    }
    anyhow::bail!("the queue never filled")
}

/// There is something to be seen, now or a few scrapes later.
async fn has_data(prometheus: &Prometheus, expression: &str) -> Result<()> {
    wait_until(&format!("data for {expression}"), Duration::from_secs(15), async || {
        prometheus.query(expression).await.is_ok_and(|series| !series.is_empty())
    })
    .await
}

#[test]
fn every_panel_and_every_alert_asks_for_what_envoy_exports() {
    run("watching", async |site: &Site| {
        let upstream = Upstream::start(|seen: &Seen| {
            let body = json!({"thread_id": THREAD, "email": "zoe.obrien@example.com"});
            match seen.target.contains(ZIPPED) {
                true => Reply::whole(
                    200,
                    &[("content-type", "application/json"), ("content-encoding", "gzip")],
                    b"\x1f\x8b",
                ),
                false => Reply::json(200, &body),
            }
        })
        .await?;
        // Its keys cannot be fetched: nobody listens there.
        let other = json!({
            "issuer": "https://other.example.com", "audiences": ["langgraph"], "algorithms": ["ES256"],
            "keys": { "cluster": "desk", "path": "/nothing" },
        });
        let mut policy = Value::Null;
        let mut gate = Gate::with(site, upstream.port(), |setup| {
            setup.policy["identity"]["issuers"]
                .as_array_mut()
                .into_iter()
                .for_each(|issuers| issuers.push(other.clone()));
            setup.policy["evidence"]["queue"] = json!("64KiB");
            policy = setup.policy.clone();
        })
        .await?;
        policy["mode"] = json!("observe");
        policy["masking"]["unmaskable"] = json!("pass");
        let setup = EnvoySetup::new(policy, upstream.port(), gate.desk.port(), gate.issuer.port());
        let observer = Envoy::start_on(free_port()?, free_port()?, "observer", site, &setup).await?;
        let token = gate.token(Person::Auditor);
        wait_until("the observer's keys", Duration::from_secs(15), async || {
            let ask = Ask::get(&format!("/threads/{THREAD}")).bearer(&token);
            ask.send(observer.port()).await.is_ok_and(|answer| answer.status == 200)
        })
        .await?;

        let watching =
            Prometheus::start(site, &[gate.envoy.admin(), observer.admin()], &shipped("rules.yaml")).await?;
        traffic(&gate, &observer).await?;
        // A counter's first value is no increase: what was scraped once has to grow.
        if let Some(prometheus) = &watching {
            has_data(prometheus, "count(count by (instance) (graphwarden_requests)) == 2").await?;
        }
        traffic(&gate, &observer).await?;
        without_a_ledger(&mut gate).await?;
        // Counted, but shown at the filter's next tick.
        wait_until("the last counter", Duration::from_secs(5), async || {
            gate.envoy.prometheus().await.is_ok_and(|text| text.contains("graphwarden_evidence_refused"))
        })
        .await?;
        let exported = gate.envoy.prometheus().await? + &observer.prometheus().await?;
        let known = names(&exported);
        for file in ["rules.yaml", "dashboard.json"] {
            let asked = names(&std::fs::read_to_string(shipped(file))?);
            let missing: Vec<_> = asked.difference(&known).collect();
            ensure!(
                !asked.is_empty() && missing.is_empty(),
                "{file} asks for what nobody exports: {missing:?}"
            );
        }

        let Some(prometheus) = watching else { return Ok(()) };
        for (panel, expression) in panels()? {
            has_data(&prometheus, &expression).await.with_context(|| format!("the panel {panel:?}"))?;
        }
        wait_until("the rules", Duration::from_secs(10), async || {
            let rules = prometheus.rules().await.unwrap_or_default();
            !rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok")
        })
        .await?;
        for rule in prometheus.rules().await?.iter().filter(|rule| rule["type"] == "recording") {
            let name = rule["name"].as_str().context("a rule without a name")?;
            has_data(&prometheus, name).await?;
        }
        has_data(&prometheus, r#"ALERTS{alertname="GraphwardenEvidenceRefuses",alertstate="firing"}"#).await
    });
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    run("alerts", async |_: &Site| {
        let Some(promtool) = debian_program("promtool", "prometheus")? else { return Ok(()) };
        let folder = Tools::find().root().join("tests/e2e");
        let output =
            Command::new(promtool).args(["test", "rules", "alerts.yaml"]).current_dir(folder).output()?;
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{text}");
        Ok(())
    });
}

#[test]
fn a_refusal_is_found_from_its_id_in_the_log_and_in_the_ledger() {
    run("refusal", async |site: &Site| {
        let upstream = Upstream::start(|_| Reply::json(200, &json!({}))).await?;
        let gate = Gate::before(site, upstream.port()).await?;
        let path = format!("/threads/{THREAD}/runs/wait");
        let body = json!({"assistant_id": "support_agent", "input": {}});
        for (token, reason) in [(None, "token_missing"), (Some(gate.token(Person::Auditor)), "access_denied")]
        {
            let mut ask = Ask::post(&path, &body);
            if let Some(token) = &token {
                ask = ask.bearer(token);
            }
            // What the caller is told, and can tell.
            let answer = ask.send(gate.port()).await?;
            let id = answer.json()?["request_id"].as_str().context("no request_id")?.to_owned();
            ensure!(answer.header("x-request-id").as_deref() == Some(id.as_str()));
            // Envoy's log as `envoy/envoy.yaml` has it.
            wait_until("the access log", Duration::from_secs(15), async || {
                gate.envoy.log_text().lines().any(|line| line.contains(&id) && line.contains(&path))
            })
            .await?;
            // The record, and from it the exchange's others.
            let found = |id: &str| -> Result<Vec<Value>> {
                let output = Command::new(site.tools().program()?)
                    .args(["export", "--request", id, "--database"])
                    .arg(site.folder().join("desk.db"))
                    .output()?;
                ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                Ok(String::from_utf8(output.stdout)?
                    .lines()
                    .map(serde_json::from_str)
                    .collect::<Result<_, _>>()?)
            };
            wait_until("the record", Duration::from_secs(15), async || {
                found(&id).is_ok_and(|lines| lines.iter().any(|line| line["kind"] == "outcome"))
            })
            .await
            .with_context(|| format!("found: {:?}", found(&id)))?;
            let lines = found(&id)?;
            ensure!(lines.iter().all(|line| line["request_id"] == id.as_str()), "{lines:?}");
            let outcome = lines.iter().find(|line| line["kind"] == "outcome").context("no outcome")?;
            ensure!(outcome["decision"]["reason"] == reason, "{outcome}");
            let exchange = outcome["exchange"].as_str().context("no exchange")?;
            ensure!(found(exchange)? == lines, "by its exchange it is another");
            ensure!(found(&id.replace('-', "_"))?.is_empty(), "a wildcard");
        }
        Ok(())
    });
}
