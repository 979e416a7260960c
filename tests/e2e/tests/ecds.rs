//! A policy that changes while requests run: `envoy/ecds`, by files that Envoy watches.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::{
    Act, Ask, Desk, Envoy, Issuer, Person, Port, Seen, Site, Tools, Upstream, free_port, run, wait_until,
};
use serde_json::{Value, json};

/// What LangGraph is shown under each of the policies, and what stands in a mask's place: they belong together.
const PAIRS: [(&str, &str); 2] = [("first-key", "[FIRST]"), ("second-key", "[SECOND]")];

/// Answers late enough that policies change meanwhile, with the key that the gate showed.
fn script(seen: &Seen) -> Vec<Act> {
    let body = json!({"key": seen.header("x-api-key"), "owner": "zoe.obrien@example.com"}).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let (one, two) = body.split_at(body.len() / 2);
    vec![
        Act::Wait(Duration::from_millis(20)),
        Act::Send(head.into_bytes()),
        Act::Send(one.as_bytes().to_vec()),
        Act::Wait(Duration::from_millis(60)),
        Act::Send(two.as_bytes().to_vec()),
    ]
}

/// The shipped file with one of the policies.
fn filter(site: &Site, issuer: &Issuer, which: usize, wrong: bool) -> Result<String> {
    let text = fs::read_to_string(Tools::find().root().join("envoy/ecds/filter.yaml"))?;
    let mut document: Value = serde_saphyr::from_str(&text)?;
    let plugin = &mut document["resources"][0]["typed_config"]["config"];
    plugin["vm_config"]["code"]["local"]["filename"] = json!(site.tools().module()?);
    plugin["vm_config"]["environment_variables"]["host_env_keys"] =
        json!(["GRAPHWARDEN_TOKEN", "GRAPHWARDEN_DIGEST_KEY", "KEY_0", "KEY_1"]);
    let policy = &mut plugin["configuration"]["value"];
    policy["identity"]["issuers"][0]["issuer"] = json!(issuer.url());
    policy["identity"]["issuers"][0]["keys"] = json!({ "inline": issuer.jwks() });
    policy["identity"]["upstream"] = json!({"headers": {"x-api-key": {"env": format!("KEY_{which}")}}});
    policy["masking"] =
        json!({"detectors": [{"name": "email", "action": {"replace": {"with": PAIRS[which].1}}}]});
    if wrong {
        policy["access"]["rules"][0]["operations"] = json!(["threads.raed"]);
    }
    Ok(document.to_string())
}

/// Puts a file in the watched one's place, as the example says: by moving it.
fn hand_out(site: &Site, text: &str) -> Result<()> {
    let next = site.write("next.yaml", text)?;
    fs::rename(next, site.folder().join("gate/filter.yaml")).context("cannot move the file")
}

fn config(site: &Site, ports: [&Port; 2], langgraph: u16, desk: u16) -> Result<String> {
    let text = fs::read_to_string(Tools::find().root().join("envoy/ecds/envoy.yaml"))?;
    let gate = site.folder().join("gate");
    let replaced = [
        ("/etc/envoy/gate", gate.to_str().context("path")?.to_owned()),
        ("port_value: 9901", format!("port_value: {}", ports[1].number())),
        (
            "address: 0.0.0.0, port_value: 8080",
            format!("address: 127.0.0.1, port_value: {}", ports[0].number()),
        ),
        ("address: langgraph, port_value: 8000", format!("address: 127.0.0.1, port_value: {langgraph}")),
        ("address: desk, port_value: 8400", format!("address: 127.0.0.1, port_value: {desk}")),
        ("address: idp.example.com, port_value: 443", "address: 127.0.0.1, port_value: 9".to_owned()),
    ];
    replaced.into_iter().try_fold(text, |text, (from, to)| {
        ensure!(text.contains(from), "no {from} in envoy/ecds/envoy.yaml");
        Ok(text.replace(from, &to))
    })
}

/// Desk, upstream and Envoy under the first policy.
async fn start(site: &Site, issuer: &Issuer) -> Result<(Desk, Upstream, Envoy)> {
    let desk = Desk::start(site, issuer.url()).await?;
    let upstream = Upstream::start(script).await?;
    let (port, admin) = (free_port()?, free_port()?);
    fs::create_dir_all(site.folder().join("gate"))?;
    hand_out(site, &filter(site, issuer, 0, false)?)?;
    let config = config(site, [&port, &admin], upstream.port(), desk.port())?;
    Envoy::validate_text(site, &config).await?;
    let keys = [("KEY_0", PAIRS[0].0), ("KEY_1", PAIRS[1].0)];
    let envoy = Envoy::start_text(site, ("gate", &config), (port, admin), &keys).await?;
    Ok((desk, upstream, envoy))
}

#[test]
fn a_policy_changes_under_load_and_no_request_is_dropped_or_judged_by_two() {
    run("ecds", async |site: &Site| {
        let issuer = Issuer::start().await?;
        let (_desk, upstream, envoy) = start(site, &issuer).await?;
        let token = issuer.token(Person::Analyst);
        let done = Arc::new(AtomicBool::new(false));
        let counts: Arc<[AtomicUsize; 2]> = Arc::default();
        let callers: Vec<_> = (0..12)
            .map(|_| {
                let (token, done, counts, port) =
                    (token.clone(), Arc::clone(&done), Arc::clone(&counts), envoy.port());
                tokio::spawn(async move {
                    while !done.load(Ordering::Relaxed) {
                        let ask = Ask::post("/assistants/search", &json!({})).bearer(&token);
                        let answer = ask.send(port).await?;
                        answer.expect_status(200)?;
                        ensure!(answer.complete, "an answer breaks off: {}", answer.text());
                        let body = answer.json()?;
                        let pair = (body["key"].as_str().unwrap_or(""), body["owner"].as_str().unwrap_or(""));
                        let which = PAIRS.iter().position(|known| *known == pair);
                        let which = which.with_context(|| format!("judged by a mixture: {body}"))?;
                        counts[which].fetch_add(1, Ordering::Relaxed);
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        let under = async |which: usize| -> Result<()> {
            let before = counts[which].load(Ordering::Relaxed);
            wait_until(&format!("requests under policy {which}"), Duration::from_secs(20), async || {
                counts[which].load(Ordering::Relaxed) >= before + 20
                    || callers.iter().any(|caller| caller.is_finished())
            })
            .await
        };
        under(0).await?;
        for round in 1..=4 {
            hand_out(site, &filter(site, &issuer, round % 2, false)?)?;
            under(round % 2).await?;
        }
        // A policy that is wrong changes nothing.
        hand_out(site, &filter(site, &issuer, 1, true)?)?;
        wait_until("the refusal of the wrong policy", Duration::from_secs(20), async || {
            envoy.log_text().contains("threads.raed")
        })
        .await?;
        under(0).await?;
        done.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.await??;
        }
        let served = counts.iter().map(|count| count.load(Ordering::Relaxed)).sum::<usize>();
        ensure!(
            upstream.seen().len() == served,
            "{} reached LangGraph, {served} were answered",
            upstream.seen().len()
        );
        Ok(())
    });
}

#[test]
fn what_waits_for_the_desk_outlives_the_policy_that_it_was_written_under() {
    run("ecds_desk", async |site: &Site| {
        let issuer = Issuer::start().await?;
        let (mut desk, _upstream, envoy) = start(site, &issuer).await?;
        let token = issuer.token(Person::Analyst);
        let ask = async || -> Result<Value> {
            let ask = Ask::post("/assistants/search", &json!({})).bearer(&token);
            let answer = ask.send(envoy.port()).await?;
            answer.expect_status(200)?;
            answer.json()
        };
        ask().await?;
        desk.kill();
        // Reads need no record beforehand.
        let mut asked = 1;
        for which in [0, 1, 0, 1] {
            hand_out(site, &filter(site, &issuer, which, false)?)?;
            wait_until("an answer under the policy", Duration::from_secs(20), async || {
                asked += 1;
                ask().await.is_ok_and(|body| body["key"] == PAIRS[which].0)
            })
            .await?;
        }
        desk.resume().await?;
        let mut recorded = 0;
        let all = wait_until("the lines of all policies", Duration::from_secs(30), async || {
            let lines = desk.export(site).unwrap_or_default();
            recorded = lines.iter().filter(|line| line["kind"] == "outcome").count();
            recorded == asked
        });
        all.await.with_context(|| format!("{recorded} of {asked} are recorded"))
    });
}
