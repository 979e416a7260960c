//! The time of day is set while Envoy runs, with requests held and others asking.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::{Gate, billing, expect_refusal};
use graphwarden_stand::{Answer, Ask, Filter, Person, Site, run};
use tokio::task::JoinHandle;
use wasm_encoder::{BlockType, Instruction, MemArg, MemArgTarget};

use crate::invariants::{all_is_recorded, chains_are_whole, no_worker_failed};
use crate::load::{Load, each_is_told_the_truth, thread, upstream};
use crate::rebuilt::{Shipped, TAKES_HEADERS};

/// What tells the time of day. The clock that only counts is another, and left alone.
const TIME_OF_DAY: &str = "proxy_get_current_time_nanoseconds";
/// Longer than any token of the issuer lives, in seconds.
const FAR: i64 = 86_400;

/// What the time of day may be set to, and how many headers of the test's own a request has that sets it so. The proxy and
/// the protocol add up to ten, and nobody else has as many.
const SETTINGS: [(i64, usize); 3] = [(0, 55), (FAR, 65), (-FAR, 75)];
/// How many more there may be.
const ADDED: usize = 10;

/// The module that is handed out, with a clock that requests set: Envoy itself does not run under what sets the time for a
/// program alone (libfaketime asks for memory before Envoy's allocator can tell the time).
fn with_a_clock_to_set(site: &Site) -> Result<PathBuf> {
    let shipped = Shipped::read(site)?;
    let (takes_headers, tells_time) = (shipped.export(TAKES_HEADERS)?, shipped.import(TIME_OF_DAY)?);
    let ahead = shipped.added_global();
    let mut setting = Vec::new();
    for (seconds, headers) in SETTINGS {
        setting.extend([
            Instruction::LocalGet(1),
            Instruction::I32Const(i32::try_from(headers)?),
            Instruction::I32Sub,
            Instruction::I32Const(i32::try_from(ADDED)?),
            Instruction::I32LtU,
            Instruction::If(BlockType::Empty),
            Instruction::I64Const(seconds * 1_000_000_000),
            Instruction::GlobalSet(ahead),
            Instruction::End,
        ]);
    }
    setting.extend((0..3).map(Instruction::LocalGet));
    setting.extend([Instruction::Call(takes_headers.index), Instruction::End]);
    let place = MemArg { offset: 0, align: 0, target: MemArgTarget::Memory(0), ordering: None };
    let telling = [
        Instruction::LocalGet(0),
        Instruction::Call(tells_time.index),
        Instruction::LocalGet(0),
        Instruction::LocalGet(0),
        Instruction::I64Load(place),
        Instruction::GlobalGet(ahead),
        Instruction::I64Add,
        Instruction::I64Store(place),
        Instruction::End,
    ];
    shipped.with(site, "clock.wasm", &[(takes_headers, &setting), (tells_time, &telling)])
}

/// Sets the time of day as the gate sees it, in seconds ahead of the right one.
async fn set(gate: &Gate, ahead: i64) -> Result<()> {
    let (_, count) =
        SETTINGS.into_iter().find(|(seconds, _)| *seconds == ahead).context("no such setting")?;
    let ask = (0..count).fold(Ask::get(&thread(0)), |ask, at| ask.header(&format!("x-{at}"), "1"));
    expect_refusal(&ask.send(gate.port()).await?, 401, "token_missing")
}

/// A request of this amount that waits for people, and the id of its approval.
async fn held(gate: &Gate, amount: u64) -> Result<(JoinHandle<Result<Answer>>, String)> {
    let (token, port) = (gate.token(Person::Engineer), gate.port());
    let request = tokio::spawn(async move { billing(amount).bearer(&token).send(port).await });
    let manager = gate.token(Person::Manager);
    let approval = gate.desk.wait_for_approval(&manager, Duration::from_secs(10)).await?;
    Ok((request, approval["id"].as_str().context("no id")?.to_owned()))
}

async fn approve(gate: &Gate, id: &str) -> Result<()> {
    let (status, body) = gate.desk.decide(&gate.token(Person::Manager), id, "approve", "").await?;
    ensure!(status == 200, "{body}");
    Ok(())
}

#[test]
fn setting_the_time_of_day_ends_no_hold_early_lets_no_token_in_and_is_over_when_it_is_right_again() {
    run("fault_clock", async |site: &Site| {
        let upstream = upstream().await?;
        let module = with_a_clock_to_set(site)?;
        let gate = Gate::with(site, upstream.port(), |setup| setup.filter = Filter::Build(module)).await?;
        let load = Load::start(&gate);
        load.passes().await?;

        let forwarded = || upstream.seen().iter().filter(|seen| seen.holds("billing")).count();
        for (amount, ahead, reason) in [(1_usize, FAR, "token_expired"), (2, -FAR, "token_not_yet_valid")] {
            let (through, before) = held(&gate, u64::try_from(amount)?).await?;
            set(&gate, ahead).await?;
            load.is_refused(401, reason).await?;
            // Who had no good token has none now, whatever the time.
            let nobody = Ask::get("/threads").bearer("e30.e30.e30").send(gate.port()).await?;
            ensure!(nobody.status == 401, "{} {}", nobody.status, nobody.text());
            ensure!(!through.is_finished(), "the hold ended with the time of day");
            ensure!(forwarded() + 1 == amount, "what is held was forwarded");
            approve(&gate, &before).await?;
            through.await??.expect_status(200)?;
            set(&gate, 0).await?;
            load.passes().await?;
            let (denied, id) = held(&gate, 100).await?;
            let (status, body) = gate.desk.decide(&gate.token(Person::Manager), &id, "deny", "").await?;
            ensure!(status == 200, "{body}");
            expect_refusal(&denied.await??, 403, "approval_denied")?;
        }
        let told = load.end().await?;
        each_is_told_the_truth(&told, &[(401, "token_expired"), (401, "token_not_yet_valid")])?;
        no_worker_failed(&gate.envoy).await?;
        let mut seen = upstream.seen();
        // What was held is of one thread, and counted above.
        seen.retain(|seen| !seen.holds("billing"));
        let lines = all_is_recorded(|| gate.desk.export(site), &seen).await?;
        chains_are_whole(&lines)
    });
}
