//! Floods of what people are asked to approve.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::{Gate, billing};
use graphwarden_stand::{Person, wait_until};
use tokio::task::JoinSet;

use crate::{HELD, OPEN, counted, eva, others_are_served, refused, told};

/// Who sends ten at once has three held and hears of the others at once; somebody else's is asked about and granted.
pub(crate) async fn one_person_cannot_flood_a_worker_with_holds(gate: &Gate) -> Result<()> {
    let (token, port) = (gate.token(Person::Engineer), gate.port());
    let before = counted(gate, "graphwarden_approvals", "limited").await?;
    let mut flood = JoinSet::new();
    for amount in 0..10 {
        let ask = billing(1_000 + amount).bearer(&token);
        flood.spawn(async move { ask.send(port).await });
    }
    for _ in HELD..10 {
        let answer = flood.join_next().await.context("none is left")???;
        ensure!(told(&answer) == (429, "approval_limit".to_owned()), "{} {}", answer.status, answer.text());
        ensure!(answer.first_byte < Duration::from_secs(5), "only after {:?}", answer.first_byte);
    }
    ensure!(refused(gate, "approval_limit").await? >= (10 - HELD) as u64, "not counted");
    ensure!(counted(gate, "graphwarden_approvals", "limited").await? == before + (10 - HELD) as u64);
    let manager = gate.token(Person::Manager);
    wait_until("the three that are held", Duration::from_secs(5), async || {
        gate.desk.open_approvals(&manager).await.is_ok_and(|open| open.len() == HELD)
    })
    .await?;
    others_are_served(gate).await?;

    let ask = billing(2_000).bearer(&eva(gate));
    let other = tokio::spawn(async move { ask.send(port).await });
    let mut id = String::new();
    wait_until("somebody else's approval", Duration::from_secs(5), async || {
        let open = gate.desk.open_approvals(&manager).await.unwrap_or_default();
        let theirs = open.iter().find(|approval| approval["requester"]["subject"] == "u-eva");
        id = theirs.and_then(|approval| approval["id"].as_str()).unwrap_or_default().to_owned();
        !id.is_empty()
    })
    .await?;
    let (status, body) = gate.desk.decide(&manager, &id, "approve", "").await?;
    ensure!(status == 200, "{body}");
    other.await??.expect_status(200)?;

    // The flood goes, and what it had asked for is withdrawn: there is room again.
    flood.shutdown().await;
    wait_until("the withdrawal", Duration::from_secs(10), async || {
        gate.desk.open_approvals(&manager).await.is_ok_and(|open| open.is_empty())
    })
    .await
}

/// Without waiting nothing is held, but approvers have to be asked all the same: the desk counts for itself.
pub(crate) async fn who_does_not_wait_cannot_flood_approvers_either(gate: &Gate) -> Result<()> {
    let token = gate.token(Person::Engineer);
    let ask = |amount: u64, token: &str| billing(amount).bearer(token).header("prefer", "respond-async");
    for amount in 0..OPEN as u64 {
        let answer = ask(3_000 + amount, &token).send(gate.port()).await?;
        ensure!(told(&answer) == (403, "approval_pending".to_owned()), "{} {}", answer.status, answer.text());
    }
    let before = refused(gate, "approval_limit").await?;
    for amount in 0..3 {
        let answer = ask(4_000 + amount, &token).send(gate.port()).await?;
        ensure!(told(&answer) == (429, "approval_limit".to_owned()), "{} {}", answer.status, answer.text());
    }
    ensure!(refused(gate, "approval_limit").await? == before + 3, "not counted");
    let open = gate.desk.open_approvals(&gate.token(Person::Manager)).await?;
    ensure!(open.len() == OPEN, "{} are open", open.len());
    // The same bytes meet what is open; somebody else is asked about.
    let again = ask(3_000, &token).send(gate.port()).await?;
    ensure!(told(&again).1 == "approval_pending", "{}", again.text());
    let other = ask(5_000, &eva(gate)).send(gate.port()).await?;
    ensure!(told(&other).1 == "approval_pending", "{}", other.text());
    Ok(())
}
