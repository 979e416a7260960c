//! `graphwarden-bench approvals`: from a person's decision to the request at the upstream.
//!
//! Requests are held at once on two workers, people decide in an order of chance, and the clock runs from the moment
//! the decision is sent until the upstream has the request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::{
    Ask, Desk, Envoy, EnvoySetup, Issuer, Person, Reply, Site, Upstream, standard_policy, wait_until,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::load;
use crate::results::{Row, Sheet};

/// What is measured.
const WHAT: &str = "from decision to forward";
/// The bars, in milliseconds.
const MEDIAN_BAR: f64 = 50.0;
const P99_BAR: f64 = 250.0;
/// Requests that are held at once, and how often.
const HELD: u64 = 200;
const ROUNDS: u64 = 3;
/// Between one decision and the next: people do not decide all at once, and the desk is not to be saturated.
const PACE: Duration = Duration::from_millis(15);

/// When each request, by its amount, reached the upstream.
type Arrivals = Arc<Mutex<HashMap<u64, Instant>>>;

fn charge(amount: u64) -> Ask {
    let body = json!({"assistant_id": "billing", "input": {"customer_id": "c-1001", "amount": amount}});
    Ask::post(&format!("/threads/00000000-0000-4000-8000-{amount:012}/runs/wait"), &body)
}

fn amount(body: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(body).ok()?["input"]["amount"].as_u64()
}

/// Measures, prints, and fails where a bar is missed.
pub(crate) async fn measure(site: &Site) -> Result<()> {
    let arrivals = Arrivals::default();
    let seen = Arc::clone(&arrivals);
    let upstream = Upstream::start(move |request| {
        if let Some(amount) = amount(&request.body) {
            seen.lock().unwrap_or_else(PoisonError::into_inner).entry(amount).or_insert_with(Instant::now);
        }
        Reply::json(200, &json!({"receipt": true}))
    })
    .await?;
    let issuer = Issuer::start().await?;
    // All are one person's, who may have fewer by default.
    let desk = Desk::start_told(site, issuer.url(), |command| {
        command.args(["--open-per-person", "1000"]);
    })
    .await?;
    let mut policy = standard_policy(&issuer)?;
    policy["limits"]["held"] = json!(HELD);
    for rule in policy["access"]["rules"].as_array_mut().into_iter().flatten() {
        if let Some(approval) = rule.pointer_mut("/then/approval") {
            approval["hold"] = json!("180s");
        }
    }
    let mut setup = EnvoySetup::new(policy, upstream.port(), desk.port(), issuer.port());
    setup.concurrency = 2;
    let envoy = Envoy::start(site, &setup).await?;
    let (engineer, manager) = (issuer.token(Person::Engineer), issuer.token(Person::Manager));
    wait_until("the issuer's keys", Duration::from_secs(15), async || {
        Ask::get("/internal/nothing")
            .bearer(&engineer)
            .send(envoy.port())
            .await
            .is_ok_and(|answer| answer.status != 503)
    })
    .await?;
    let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
    let mut took = load::latencies()?;
    let mut medians = Vec::new();
    for round in 0..ROUNDS {
        let mut held = JoinSet::new();
        for index in 0..HELD {
            let (request, port) = (
                charge(round * HELD + index).bearer(&engineer).within(Duration::from_secs(180)),
                envoy.port(),
            );
            held.spawn(async move { request.send(port).await });
        }
        let url = format!("{}/v1/approvals?status=pending&limit=200", desk.url());
        let mut open: Vec<(u64, String)> = Vec::new();
        wait_until("all to be held", Duration::from_secs(60), async || {
            let Ok(answer) = http.get(&url).bearer_auth(&manager).send().await else { return false };
            let list: Value = answer.json().await.unwrap_or_default();
            let found = list["approvals"].as_array().into_iter().flatten().filter_map(|approval| {
                let amount = amount(approval["preview"]["body"].as_str()?.as_bytes())?;
                Some((amount, approval["id"].as_str()?.to_owned()))
            });
            open = found.collect();
            open.len() as u64 == HELD
        })
        .await?;
        // Ids are random in their last digits, which is order enough.
        open.sort_by_key(|(_, id)| id.chars().rev().collect::<String>());
        let mut decided = Vec::with_capacity(open.len());
        for (amount, id) in open {
            let url = format!("{}/v1/approvals/{id}/decisions", desk.url());
            let sent = Instant::now();
            let answer =
                http.post(url).bearer_auth(&manager).json(&json!({"decision": "approve"})).send().await?;
            ensure!(answer.status().is_success(), "{}", answer.status());
            decided.push((amount, sent));
            tokio::time::sleep(PACE).await;
        }
        while let Some(answer) = held.join_next().await {
            answer??.expect_status(200)?;
        }
        let arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut of_round = load::latencies()?;
        for (amount, sent) in decided {
            let arrived = arrivals.get(&amount).with_context(|| format!("{amount} never arrived"))?;
            of_round.record(u64::try_from(arrived.duration_since(sent).as_nanos())?)?;
        }
        medians.push(crate::quantile(&of_round, 0.5));
        took.add(&of_round)?;
    }
    let (median, p99) = (crate::quantile(&took, 0.5), crate::quantile(&took, 0.99));
    println!(
        "from decision to forward, {} requests, {HELD} held at once on two workers: median {median:.1} ms (bar {MEDIAN_BAR}), p99 {p99:.1} ms (bar {P99_BAR}), longest {:.1} ms",
        HELD * ROUNDS,
        crate::quantile(&took, 1.0),
    );
    let mut sheet = Sheet::new("approvals");
    let work = format!("{HELD} held at once");
    sheet.add(Row::new(WHAT, &work, "median", "ms", &medians)?.at_most(MEDIAN_BAR));
    sheet.add(Row::once(WHAT, &work, "p99 of all rounds", "ms", p99)?.at_most(P99_BAR));
    sheet.keep()
}
