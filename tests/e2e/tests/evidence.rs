//! The record: durable before the action, complete, chained, and free of what was masked.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use blake2b_simd::Params;
use graphwarden_e2e::{Gate, THREAD, expect_masked, reason};
use graphwarden_stand::{Ask, Person, Reply, Site, Upstream, run, wait_until};
use serde_json::{Value, json};

async fn upstream() -> Result<Upstream> {
    Upstream::start(|_| Reply::json(200, &json!({"thread_id": THREAD, "email": "zoe.obrien@example.com"})))
        .await
}

fn read_thread() -> Ask {
    Ask::get(&format!("/threads/{THREAD}"))
}

fn run_support() -> Ask {
    let body = json!({"assistant_id": "support_agent", "input": {"note": "my ssn is 219-09-9999"}});
    Ask::post(&format!("/threads/{THREAD}/runs/wait"), &body)
}

#[test]
fn each_exchange_leaves_a_masked_record_in_an_unbroken_chain() {
    run("record", async |site: &Site| {
        let upstream = upstream().await?;
        // Two workers, so that there is more than one chain.
        let log = site.folder().join("access.log");
        let access_log = shipped_access_log(&log)?;
        let gate = Gate::with(site, upstream.port(), |setup| {
            setup.concurrency = 2;
            setup.access_log = Some(access_log);
            setup.policy["evidence"]["filter_state"] = json!(true);
        })
        .await?;
        let token = gate.token(Person::Analyst);
        run_support().bearer(&token).send(gate.port()).await?.expect_status(200)?;
        gate.send(Person::Auditor, run_support()).await?.expect_status(403)?;
        read_thread().send(gate.port()).await?.expect_status(401)?;
        gate.send(Person::Analyst, read_thread()).await?.expect_status(200)?;

        let path = format!("/threads/{THREAD}/runs/wait");
        // Four exchanges of this test, and at least one of the wait for keys.
        let outcomes = gate.outcomes(site, 5).await?;
        let run = outcomes
            .iter()
            .find(|line| line["request"]["path"] == path && line["decision"]["effect"] == "allow")
            .context("no outcome of the run")?;
        ensure!(run["actor"]["subject"] == "u-ana" && run["actor"]["issuer"] == gate.issuer.url(), "{run}");
        ensure!(run["operations"][0]["operation"] == "threads.create_run", "{run}");
        ensure!(run["operations"][0]["graph"] == "support_agent", "{run}");
        ensure!(run["decision"]["rule"].as_str().is_some_and(|rule| !rule.is_empty()), "{run}");
        ensure!(run["response"]["status"] == 200 && run["response"]["end"] == "complete", "{run}");
        ensure!(run["response"]["masked"]["email"] == 1, "{run}");
        let denied = outcomes
            .iter()
            .find(|line| line["request"]["path"] == path && line["response"]["status"] == 403)
            .context("no outcome of the denied run")?;
        ensure!(
            denied["actor"]["subject"] == "u-art" && denied["decision"]["reason"] == "access_denied",
            "{denied}"
        );
        let nobody = outcomes
            .iter()
            .find(|line| line["response"]["status"] == 401)
            .context("no outcome of the 401")?;
        ensure!(nobody["decision"]["reason"] == "token_missing", "{nobody}");

        the_meshs_own_log_says_the_same(&log, run, denied).await?;

        let admissions = gate.lines(site, "admission", 1).await?;
        ensure!(admissions.iter().any(|line| line["exchange"] == run["exchange"]), "no admission of the run");

        let text = gate.desk.export_text(site)?;
        expect_masked("the evidence", &text)?;
        ensure!(!text.contains(token.rsplit('.').next().unwrap_or(&token)), "the evidence holds a token");

        for _ in 0..20 {
            read_thread().bearer(&token).send(gate.port()).await?.expect_status(200)?;
        }
        gate.outcomes(site, 25).await?;
        every_line_binds_the_one_before(&gate.desk.export_text(site)?)
    });
}

/// `envoy/access-log.yaml` as people copy it, into this file.
fn shipped_access_log(path: &std::path::Path) -> Result<Value> {
    let shipped = graphwarden_stand::Tools::find().root().join("envoy/access-log.yaml");
    let mut config: Value = serde_saphyr::from_str(&std::fs::read_to_string(shipped)?)?;
    let file = config.pointer_mut("/access_log/0/typed_config/path").context("no path")?;
    *file = json!(path);
    Ok(config["access_log"].take())
}

/// What the filter sets as filter state is in Envoy's access log, entry by entry as in the record.
async fn the_meshs_own_log_says_the_same(log: &std::path::Path, run: &Value, denied: &Value) -> Result<()> {
    let entries = || -> Vec<Value> {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    // Envoy writes its log every ten seconds, or when it has much.
    wait_until("the access log", Duration::from_secs(25), async || {
        let entries = entries();
        [run, denied].iter().all(|line| entries.iter().any(|entry| entry["exchange"] == line["exchange"]))
    })
    .await?;
    for line in [run, denied] {
        let entries = entries();
        let entry = entries.iter().find(|entry| entry["exchange"] == line["exchange"]).context("no entry")?;
        for (field, pointer) in [
            ("subject", "/actor/subject"),
            ("issuer", "/actor/issuer"),
            ("operation", "/operations/0/operation"),
            ("graph", "/operations/0/graph"),
            ("thread", "/operations/0/thread"),
            ("decision", "/decision/effect"),
            ("rule", "/decision/rule"),
            ("reason", "/decision/reason"),
            ("policy", "/policy"),
            ("digest", "/request/digest"),
            ("status", "/response/status"),
            ("end", "/response/end"),
            ("request_id", "/request_id"),
        ] {
            let recorded = line.pointer(pointer).cloned().unwrap_or(Value::Null);
            ensure!(
                entry[field] == recorded,
                "{field}: {} in the log, {recorded} in the record",
                entry[field]
            );
        }
    }
    let entries = entries();
    let entry = entries.iter().find(|entry| entry["exchange"] == run["exchange"]).context("no entry")?;
    ensure!(entry["masked"] == "email=1", "{entry}");
    expect_masked("the access log", &std::fs::read_to_string(log)?)
}

fn every_line_binds_the_one_before(text: &str) -> Result<()> {
    let mut chains: BTreeMap<String, Vec<(u64, String, String)>> = BTreeMap::new();
    for line in text.lines() {
        let value: Value = serde_json::from_str(line)?;
        let chain = value["chain"].as_str().context("a line without a chain")?.to_owned();
        let seq = value["seq"].as_u64().context("a line without a seq")?;
        let prev = value["prev"].as_str().context("a line without a prev")?.to_owned();
        let hash = Params::new().hash_length(32).hash(line.as_bytes()).to_hex().to_string();
        chains.entry(chain).or_default().push((seq, prev, hash));
    }
    ensure!(!chains.is_empty());
    for (chain, mut lines) in chains {
        lines.sort();
        let mut before: Option<(u64, String)> = None;
        for (seq, prev, hash) in lines {
            match &before {
                None => ensure!(prev.bytes().all(|byte| byte == b'0'), "{chain} begins with {prev}"),
                Some((last, expected)) => {
                    ensure!(seq == last + 1, "{chain}: {seq} follows {last}");
                    ensure!(prev == *expected, "{chain}: line {seq} does not bind the one before");
                }
            }
            before = Some((seq, hash));
        }
    }
    Ok(())
}

#[test]
fn without_a_desk_nothing_that_acts_is_forwarded() {
    run("evidence_down", async |site: &Site| {
        let upstream = upstream().await?;
        let mut gate = Gate::before(site, upstream.port()).await?;
        gate.desk.kill();
        let answer = gate.send(Person::Analyst, run_support()).await?;
        ensure!(
            answer.status == 503 && reason(&answer) == "evidence_unavailable",
            "{} {}",
            answer.status,
            answer.text()
        );
        ensure!(upstream.seen().is_empty(), "it acted without a record");
        // Reads are recorded afterwards: they pass, and their lines wait for the desk.
        gate.send(Person::Analyst, read_thread()).await?.expect_status(200)?;
        gate.desk.resume().await?;
        wait_until("the desk to be believed again", Duration::from_secs(20), async || {
            gate.send(Person::Analyst, run_support()).await.is_ok_and(|answer| answer.status == 200)
        })
        .await?;
        let path = format!("/threads/{THREAD}");
        wait_until("the line of the read", Duration::from_secs(20), async || {
            gate.desk.export(site).is_ok_and(|lines| {
                lines.iter().any(|line| line["request"]["path"] == path && line["response"]["status"] == 200)
            })
        })
        .await
    });
}

#[test]
fn a_full_queue_refuses_instead_of_forgetting() {
    run("queue_full", async |site: &Site| {
        let upstream = upstream().await?;
        let mut gate =
            Gate::with(site, upstream.port(), |setup| setup.policy["evidence"]["queue"] = json!("64KiB"))
                .await?;
        gate.desk.kill();
        let token = gate.token(Person::Analyst);
        let mut passed = 0;
        let mut refused = None;
        for _ in 0..400 {
            let answer = read_thread().bearer(&token).send(gate.port()).await?;
            if answer.status != 200 {
                refused = Some(answer);
                break;
            }
            passed += 1;
        }
        let refused = refused.context("400 reads passed without a record of any")?;
        ensure!(refused.status == 503 && reason(&refused) == "evidence_unavailable", "{}", refused.text());
        gate.desk.resume().await?;
        let path = format!("/threads/{THREAD}");
        wait_until("a line of each read that passed", Duration::from_secs(30), async || {
            gate.desk.export(site).is_ok_and(|lines| {
                let reads =
                    |line: &&Value| line["request"]["path"] == path && line["response"]["status"] == 200;
                lines.iter().filter(reads).count() >= passed
            })
        })
        .await
    });
}
