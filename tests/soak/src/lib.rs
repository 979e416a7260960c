//! `make soak`: mixed traffic with faults, and at the end what came of memory and of every request.
//!
//! Nothing is judged while it runs; at the end the memory of Envoy and of the desk is a straight line that does not rise,
//! each request that a caller sent has its one outcome in the ledger, the export verifies, and nobody saw what nobody may.

mod account;
mod callers;
mod faults;
mod memory;
mod mix;
mod parts;
mod people;
mod summary;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use graphwarden_stand::{Site, wait_until};
use tokio::task::JoinSet;
use tokio::time::Instant;

use account::Ledger;
use callers::{SharedBook, call};
use faults::Timetable;
use memory::Series;
use mix::ask;
use parts::Parts;
pub use summary::Summary;

/// Callers keep a token for so long.
const TOKEN_AGE: Duration = Duration::from_secs(60);
/// The last answers may take as long as a hold.
const REST: Duration = Duration::from_secs(150);

/// How long and how much.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long requests are sent.
    pub total: Duration,
    /// How many of them in a second.
    pub rate: f64,
    /// In which time each fault comes once.
    pub cycle: Duration,
}

/// Memory is judged over no less.
const SHORTEST: Duration = Duration::from_secs(600);

impl Plan {
    /// Whether it lasts long enough to say anything about memory and about shares.
    fn is_long(&self) -> bool {
        let (from, to) = self.judged();
        to - from >= SHORTEST
    }

    /// From when to when the desk is not restarted.
    fn spared(&self) -> (Duration, Duration) {
        (self.total.mul_f64(0.05), self.total.mul_f64(0.85))
    }

    /// From when to when memory is judged: while the desk is not restarted, after its database's cache, of a fixed size,
    /// had time to fill.
    fn judged(&self) -> (Duration, Duration) {
        (self.total.mul_f64(0.30), self.spared().1)
    }
}

/// What was measured while it ran.
#[derive(Debug, Default)]
struct Measured {
    envoy: Series,
    desk: Series,
    module: Series,
}

/// Runs the whole of it.
pub async fn soak(site: &Site, plan: Plan) -> Result<Summary> {
    let commit = summary::commit();
    let parts = Arc::new(Parts::start(site).await?);
    let key = reqwest::get(format!("{}/v1/ledger/key", parts.desk.read().await.url())).await?.text().await?;
    let began = Instant::now();
    let people = tokio::spawn(people::decide(Arc::clone(&parts)));
    let spared = if plan.is_long() { plan.spared() } else { (Duration::ZERO, Duration::ZERO) };
    let timetable = Timetable::new(plan.total, plan.cycle, spared);
    let counts = timetable.counts();
    let book = SharedBook::default();
    let (sent, faults, measured) = tokio::join!(
        send(&parts, plan, began, &book),
        timetable.run(site, &parts, began),
        measure(&parts, plan, began, &book),
    );
    faults?;
    settle(&parts, sent).await?;
    people.abort();
    let statistics = parts.envoy.prometheus().await?;
    let log = parts.envoy.log_text();
    let book = book.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let ledger = Ledger::read(site)?;
    let mut wrong = ledger.compare(&book, &parts.volume.came(), &parts.langgraph.charges());
    wrong.extend(book.unmasked.iter().chain(&ledger.unmasked).cloned());
    if parts.volume.has_seen_a_token() {
        wrong.push("a caller's token came to the upstream".to_owned());
    }
    let verified = account::verify(site, key.trim())?;
    Ok(Summary::new(plan, &commit, &counts, &book, &ledger, &measured, &statistics, &log, wrong, &verified))
}

/// Sends each request in its time. What has not ended yet is handed back.
async fn send(parts: &Arc<Parts>, plan: Plan, began: Instant, book: &SharedBook) -> JoinSet<()> {
    let mut calls = JoinSet::new();
    let mut signed = Instant::now();
    for number in 0.. {
        let due = began + Duration::from_secs_f64(number as f64 / plan.rate);
        if due >= began + plan.total {
            break;
        }
        tokio::time::sleep_until(due).await;
        if signed.elapsed() > TOKEN_AGE {
            parts.tokens.refresh(&parts.issuer);
            signed = Instant::now();
        }
        let ask = ask(number, &parts.issuer, &parts.tokens);
        calls.spawn(call(number, ask, parts.envoy.port(), Arc::clone(book)));
        while calls.try_join_next().is_some() {}
    }
    calls
}

/// Waits for the last answers, and until the gate has delivered its last lines.
async fn settle(parts: &Parts, mut calls: JoinSet<()>) -> Result<()> {
    tokio::time::timeout(REST, async { while calls.join_next().await.is_some() {} })
        .await
        .context("some requests did not end")?;
    wait_until("the gate's last lines to be durable", Duration::from_secs(60), async || {
        let page = parts.envoy.prometheus().await.unwrap_or_default();
        summary::figure(&page, "graphwarden_evidence_queued") == Some(0.0)
    })
    .await?;
    // The last lines may have been written since that was shown.
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

/// Takes samples, and says once a minute how it goes.
async fn measure(parts: &Arc<Parts>, plan: Plan, began: Instant, book: &SharedBook) -> Measured {
    let mut measured = Measured::default();
    let every = (plan.total / 720).clamp(Duration::from_secs(1), Duration::from_secs(10));
    let mut told = 0;
    while began.elapsed() < plan.total {
        tokio::time::sleep(every).await;
        let at = began.elapsed().as_secs_f64();
        parts.volume.forget_bytes();
        measured.envoy.add(at, parts.envoy.memory());
        // While it is being killed there is none, and none is waited for.
        measured.desk.add(at, parts.desk.try_read().ok().and_then(|desk| desk.memory()));
        let page = parts.envoy.prometheus().await.unwrap_or_default();
        let module = summary::figure(&page, "graphwarden_memory_bytes");
        measured.module.add(at, module.map(|bytes| bytes as u64));
        let minute = began.elapsed().as_secs() / 60;
        if minute > told {
            told = minute;
            let answered = book.lock().unwrap_or_else(PoisonError::into_inner).fates.len();
            println!(
                "{minute} min: {answered} requests, Envoy {} MiB, desk {} MiB",
                parts.envoy.memory_mib().unwrap_or_default(),
                parts.desk.try_read().ok().and_then(|desk| desk.memory()).unwrap_or_default() >> 20
            );
        }
    }
    measured
}
