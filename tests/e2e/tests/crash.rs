//! Desk, Envoy and both killed at random moments under load: whatever reached LangGraph has its admission in the
//! ledger, and what the ledger acknowledged is there.
//!
//! The count is LangGraph's own: the `billing` graph writes a line for each charge that really ran. `KILLS` says how
//! often (5; `make crash` asks for 200).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::Gate;
use graphwarden_stand::{Ask, LangGraph, LangGraphSetup, Person, Site, run, wait_until};
use serde_json::{Value, json};

/// A charge of an amount that no other request has.
fn charge(amount: u64) -> Ask {
    let thread = format!("00000000-0000-4000-8000-{amount:012}");
    let body = json!({"assistant_id": "billing", "if_not_exists": "create", "input": {"customer_id": "c-1001", "amount": amount}});
    Ask::post(&format!("/threads/{thread}/runs/wait"), &body)
}

/// The billing graph without an approval: here it is the record that is tried.
fn let_billing_run(policy: &mut Value) {
    for rule in policy["access"]["rules"].as_array_mut().into_iter().flatten() {
        if rule["then"].get("approval").is_some() {
            rule["then"] = json!("allow");
        }
    }
}

async fn load(port: u16, token: String, amounts: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> u64 {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        let amount = amounts.fetch_add(1, Ordering::Relaxed);
        match charge(amount).bearer(&token).send(port).await {
            Ok(answer) if answer.status == 200 => answered += 1,
            // Refused, cut off, or nobody there.
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    answered
}

#[test]
fn whatever_reached_langgraph_has_its_admission_after_every_kill() {
    let kills: u64 = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    run("crash", async |site: &Site| {
        let langgraph = LangGraph::start(site, &LangGraphSetup::default()).await?;
        let mut gate = Gate::with(site, langgraph.port(), |setup| let_billing_run(&mut setup.policy)).await?;
        gate.send(Person::Engineer, charge(1)).await?.expect_status(200)?;
        let (amounts, stop) = (Arc::new(AtomicU64::new(1_000)), Arc::new(AtomicBool::new(false)));
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let token = gate.token(Person::Engineer);
                tokio::spawn(load(gate.port(), token, Arc::clone(&amounts), Arc::clone(&stop)))
            })
            .collect();
        // The moments have to be of all kinds, and nothing else depends on them.
        let mut seed = u64::from(std::process::id()) | 1;
        let mut random = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        let mut counts = [0_u64; 3];
        for kill in 0..kills {
            tokio::time::sleep(Duration::from_millis(100 + random(700))).await;
            // Each kind is there in a short run too. An Envoy takes seconds to compile the filter again, so most
            // deaths are the desk's, which is where an acknowledged line could be lost.
            let which =
                if kill < 3 { kill } else { [0, 0, 0, 0, 0, 0, 1, 1, 2, 2][usize::try_from(random(10))?] };
            counts[usize::try_from(which)?] += 1;
            if which != 1 {
                gate.desk.kill();
            }
            if which != 0 {
                gate.envoy.kill();
            }
            if which == 0 {
                // The gate goes on without a desk for a while, and refuses.
                tokio::time::sleep(Duration::from_millis(random(600))).await;
            }
            if which != 1 {
                gate.desk.resume().await?;
            }
            if which != 0 {
                gate.envoy.resume().await?;
            }
        }
        let token = gate.token(Person::Engineer);
        wait_until("the gate to let through again", Duration::from_secs(30), async || {
            charge(amounts.fetch_add(1, Ordering::Relaxed))
                .bearer(&token)
                .send(gate.port())
                .await
                .is_ok_and(|answer| answer.status == 200)
        })
        .await?;
        stop.store(true, Ordering::Relaxed);
        let mut answered = 0;
        for client in clients {
            answered += client.await.context("a client ended badly")?;
        }
        let charges: BTreeSet<u64> = langgraph.charges().iter().filter_map(|line| amount_of(line)).collect();
        // The last lines are on their way for a moment.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let lines = gate.desk.export(site)?;
        let admitted: BTreeSet<u64> = lines
            .iter()
            .filter(|line| line["kind"] == "admission")
            .filter_map(|line| serde_json::from_str::<Value>(line["request"]["body"].as_str()?).ok())
            .filter_map(|body| body["input"]["amount"].as_u64())
            .collect();
        let missing: Vec<&u64> = charges.difference(&admitted).collect();
        ensure!(
            missing.is_empty(),
            "{} of {} charges have no admission: {missing:?}",
            missing.len(),
            charges.len()
        );
        ensure!(charges.len() as u64 >= answered, "{answered} were answered, {} ran", charges.len());
        chains_are_whole(&lines)?;
        println!(
            "{kills} kills (desk {}, Envoy {}, both {}): {} charges at LangGraph, {answered} answered, {} admissions, {} lines, none missing",
            counts[0],
            counts[1],
            counts[2],
            charges.len(),
            admitted.len(),
            lines.len()
        );
        ensure!(answered >= kills, "hardly any load: {answered} answers");
        Ok(())
    });
}

/// `charged c-1001 1234.00`
fn amount_of(line: &str) -> Option<u64> {
    line.rsplit(' ').next()?.split('.').next()?.parse().ok()
}

/// A line that was acknowledged and lost would leave a hole behind it: the gateway goes on after it.
fn chains_are_whole(lines: &[Value]) -> Result<()> {
    let mut chains: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for line in lines {
        let chain = line["chain"].as_str().context("no chain")?;
        chains.entry(chain).or_default().push(line["seq"].as_u64().context("no seq")?);
    }
    for (chain, mut places) in chains {
        places.sort_unstable();
        let count = u64::try_from(places.len())?;
        ensure!(places.iter().copied().eq(0..count), "chain {chain} has a hole: {places:?}");
    }
    Ok(())
}
