//! The time of day is set while Envoy runs, with requests held and others asking.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use graphwarden_e2e::{Gate, expect_refusal};
use graphwarden_stand::{Ask, Filter, Site, run};
use wasm_encoder::{BlockType, Instruction, MemArg, MemArgTarget};

use crate::invariants::{all_is_recorded, no_worker_failed};
use crate::load::{Load, each_is_told_the_truth, thread, upstream};
use crate::rebuilt::{Shipped, TAKES_HEADERS, with_headers};

/// What tells the time of day. The clock that only counts is another, and left alone.
const TIME_OF_DAY: &str = "proxy_get_current_time_nanoseconds";
/// Longer than any token of the issuer lives, in seconds.
const FAR: i64 = 86_400;

/// So many seconds ahead of the right time, and how many headers of the test's own a request has that sets it so. The proxy
/// and the protocol add up to ten, and nobody else has as many.
type Setting = (i64, i32);
const RIGHT: Setting = (0, 55);
const AHEAD: Setting = (FAR, 65);
const BEHIND: Setting = (-FAR, 75);
/// How many more there may be.
const ADDED: i32 = 10;

/// The module that is handed out, with a clock that requests set: Envoy itself does not run under what sets the time for a
/// program alone (libfaketime asks for memory before Envoy's allocator can tell the time).
fn with_a_clock_to_set(site: &Site) -> Result<PathBuf> {
    let shipped = Shipped::read(site)?;
    let (takes_headers, tells_time) = (shipped.export(TAKES_HEADERS)?, shipped.import(TIME_OF_DAY)?);
    let ahead = shipped.added_global();
    let setting = [RIGHT, AHEAD, BEHIND].into_iter().flat_map(|(seconds, headers)| {
        [
            Instruction::LocalGet(1),
            Instruction::I32Const(headers),
            Instruction::I32Sub,
            Instruction::I32Const(ADDED),
            Instruction::I32LtU,
            Instruction::If(BlockType::Empty),
            Instruction::I64Const(seconds * 1_000_000_000),
            Instruction::GlobalSet(ahead),
            Instruction::End,
        ]
    });
    let setting = takes_headers.after(setting, 3);
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

/// Sets the time of day as the gate sees it.
async fn set(gate: &Gate, (_, headers): Setting) -> Result<()> {
    let ask = with_headers(Ask::get(&thread(0)), headers);
    expect_refusal(&ask.send(gate.port()).await?, 401, "token_missing")
}

#[test]
fn setting_the_time_of_day_ends_no_hold_early_lets_no_token_in_and_is_over_when_it_is_right_again() {
    run("fault_clock", async |site: &Site| {
        let upstream = upstream().await?;
        let module = with_a_clock_to_set(site)?;
        let gate = Gate::with(site, upstream.port(), |setup| setup.filter = Filter::Build(module)).await?;
        let load = Load::start(&gate);
        load.passes().await?;

        let forwarded = || upstream.seen().iter().map(|seen| u64::from(seen.holds("billing"))).sum::<u64>();
        for (amount, setting, reason) in [(1, AHEAD, "token_expired"), (2, BEHIND, "token_not_yet_valid")] {
            let agreed = gate.bill(amount);
            let (id, _) = gate.waiting().await?;
            set(&gate, setting).await?;
            load.is_refused(401, reason).await?;
            // Who had no good token has none now, whatever the time.
            let nobody = Ask::get("/threads").bearer("e30.e30.e30").send(gate.port()).await?;
            ensure!(nobody.status == 401, "{} {}", nobody.status, nobody.text());
            ensure!(!agreed.is_finished(), "the hold ended with the time of day");
            ensure!(forwarded() + 1 == amount, "what is held was forwarded");
            gate.decide(&id, "approve", "").await?;
            agreed.await??.expect_status(200)?;
            set(&gate, RIGHT).await?;
            load.passes().await?;
            let denied = gate.bill(100);
            let (id, _) = gate.waiting().await?;
            gate.decide(&id, "deny", "").await?;
            expect_refusal(&denied.await??, 403, "approval_denied")?;
        }
        let told = load.end().await?;
        each_is_told_the_truth(&told, &[(401, "token_expired"), (401, "token_not_yet_valid")])?;
        no_worker_failed(&gate.envoy).await?;
        let mut seen = upstream.seen();
        // What was held is of one thread, and counted above.
        seen.retain(|seen| !seen.holds("billing"));
        all_is_recorded(|| gate.desk.export(site), &seen).await.map(drop)
    });
}
