//! A worker's VM dies, with requests held in it. No module that is handed out can be made to die: the one here is the one
//! that is handed out with a trap built into it, which a request with as many headers as no other has springs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::{Gate, billing, expect_masked, reason};
use graphwarden_stand::{Ask, Filter, Person, Site, run, wait_until};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wasm_encoder::{BlockType, Instruction};

use crate::invariants::chains_are_whole;
use crate::load::{Load, summary, thread, upstream};
use crate::rebuilt::{Shipped, TAKES_HEADERS, with_headers};

/// With so many headers, pseudo-headers among them, a request springs the trap.
const SPRINGS: i32 = 91;
/// How many requests are held when it springs.
const HELD: u64 = 8;
/// Longer than the hold of this test's policy, which is what `stream_idle_timeout` has to be.
const IDLE: &str = "8s";

/// The module that is handed out, with the trap.
fn trapped(site: &Site) -> Result<PathBuf> {
    let shipped = Shipped::read(site)?;
    let takes_headers = shipped.export(TAKES_HEADERS)?;
    let trap = [
        Instruction::LocalGet(1),
        Instruction::I32Const(SPRINGS),
        Instruction::I32Eq,
        Instruction::If(BlockType::Empty),
        Instruction::Unreachable,
        Instruction::End,
    ];
    shipped.with(site, "trapped.wasm", &[(takes_headers, &takes_headers.after(trap, 3))])
}

/// Asks with one header more each time, until the trap springs: how many the proxy adds is its own business.
async fn kill(gate: &Gate, token: &str) -> Result<()> {
    for count in 60..SPRINGS {
        let ask = with_headers(Ask::get(&thread(1)).bearer(token), count);
        let answer = ask.send(gate.port()).await;
        if gate.envoy.log_text().contains("Function: proxy_on_request_headers failed") {
            let answer = answer.context("who sprang the trap is not answered")?;
            ensure!((500..=504).contains(&answer.status), "who sprang the trap got {}", answer.status);
            return Ok(());
        }
    }
    anyhow::bail!("the trap did not spring")
}

#[test]
fn a_vm_that_dies_forwards_nothing_it_held_and_is_made_anew() {
    run("fault_vm", async |site: &Site| {
        let upstream = upstream().await?;
        let module = trapped(site)?;
        let gate = Gate::with(site, upstream.port(), |setup| {
            setup.filter = Filter::Build(module);
            setup.concurrency = 2;
            setup.adjust = |config| {
                let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
                if let Some(manager) = config.pointer_mut(manager) {
                    manager["stream_idle_timeout"] = json!(IDLE);
                }
            };
        })
        .await?;
        let load = Load::start(&gate);
        load.passes().await?;
        let (token, port, manager) = (gate.token(Person::Engineer), gate.port(), gate.token(Person::Manager));
        let mut held = JoinSet::new();
        for amount in 0..HELD {
            let ask = billing(amount).bearer(&token);
            held.spawn(async move { (amount, ask.send(port).await) });
        }
        let mut open = Vec::new();
        wait_until("the holds", Duration::from_secs(20), async || {
            open = gate.desk.open_approvals(&manager).await.unwrap_or_default();
            open.len() == usize::try_from(HELD).unwrap_or(0)
        })
        .await?;
        kill(&gate, &gate.token(Person::Analyst)).await?;
        // The other worker, and this one anew.
        load.passes().await?;
        for approval in &open {
            let id = approval["id"].as_str().context("no id")?;
            gate.decide(id, "approve", "").await?;
        }
        // Those of the living worker go on; those of the dead one end when the stream has been idle for too long.
        let (mut forwarded, mut again) = (0, Vec::new());
        while let Some(answer) = held.join_next().await {
            let (amount, answer) = answer?;
            match answer {
                Ok(answer) if answer.status == 200 => forwarded += 1,
                Ok(answer) => {
                    ensure!((500..=504).contains(&answer.status), "{} {}", answer.status, answer.text());
                    again.push(amount);
                }
                Err(error) => anyhow::bail!("a held request was told nothing: {error:#}"),
            }
        }
        ensure!(!again.is_empty(), "all {forwarded} were held by the worker that lived");
        load.passes().await?;
        let told = load.end().await?;
        for one in &told {
            if let Ok(answer) = &one.answer {
                expect_masked(&one.path, &answer.text())?;
                ensure!(matches!(answer.status, 200 | 503 | 504), "{}", summary(one));
            }
        }
        let seen = upstream.seen();
        let billed = seen.iter().filter(|seen| seen.holds("billing")).count();
        ensure!(billed == forwarded, "{billed} of {HELD} were forwarded, {forwarded} were answered");
        // What was admitted stays so, whatever became of the worker: the gap is what has no outcome.
        let admitted = |lines: &[Value]| {
            lines
                .iter()
                .filter(|line| line["kind"] == "admission" && line["decision"]["effect"] == "allow")
                .filter_map(|line| line["request"]["path"].as_str().map(str::to_owned))
                .collect::<BTreeSet<_>>()
        };
        let lines = gate.desk.export(site)?;
        let admitted = admitted(&lines);
        for request in seen.iter().filter(|request| request.method == "POST") {
            ensure!(admitted.contains(&request.target), "{} acted without an admission", request.target);
        }
        chains_are_whole(&lines)?;
        // What was agreed to for an exchange that died with its VM may be used up: whoever asks again is let through by it
        // or asks people again, and is never told anything else.
        for amount in again {
            let ask = billing(amount).header("prefer", "respond-async");
            let answer = gate.send(Person::Engineer, ask).await?;
            let pending = answer.status == 403 && reason(&answer) == "approval_pending";
            ensure!(answer.status == 200 || pending, "{} {}", answer.status, answer.text());
        }
        Ok(())
    });
}
