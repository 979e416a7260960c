//! What holds whatever goes wrong: everything that LangGraph was sent is decided and recorded, no worker's VM failed, and
//! no chain of the ledger has a hole.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::{Envoy, Seen, wait_until};
use serde_json::Value;

/// How long lines may take that are on their way.
const DELIVERY: Duration = Duration::from_secs(20);

/// Fails unless each request that LangGraph was sent came there once, was allowed, and stands in the ledger: those that
/// act by their admission, all by their outcome. Waits for outcomes on their way.
pub(crate) async fn all_is_recorded(
    export: impl Fn() -> Result<Vec<Value>>,
    seen: &[Seen],
) -> Result<Vec<Value>> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for request in seen {
        *times.entry(path(request)).or_default() += 1;
    }
    for (target, count) in &times {
        ensure!(*count == 1, "{target} was forwarded {count} times");
    }
    let mut lines = Vec::new();
    let mut missing = String::new();
    let delivered = wait_until("every outcome", DELIVERY, async || {
        let Ok(exported) = export() else { return false };
        lines = exported;
        let outcomes = allowed(&lines, "outcome");
        missing = times
            .keys()
            .filter(|path| !outcomes.contains(*path))
            .take(3)
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        missing.is_empty()
    })
    .await;
    delivered.with_context(|| format!("no outcome of {missing}"))?;
    let admissions = allowed(&lines, "admission");
    for request in seen.iter().filter(|request| request.method == "POST") {
        ensure!(admissions.contains(path(request)), "{} acted without an admission", path(request));
    }
    chains_are_whole(&lines)?;
    Ok(lines)
}

fn path(request: &Seen) -> &str {
    request.target.split('?').next().unwrap_or_default()
}

/// The paths of all lines of a kind that say that the request was allowed.
fn allowed<'a>(lines: &'a [Value], kind: &str) -> BTreeSet<&'a str> {
    lines
        .iter()
        .filter(|line| line["kind"] == kind && line["decision"]["effect"] == "allow")
        .filter_map(|line| line["request"]["path"].as_str())
        .collect()
}

/// Each chain begins at its start and has no hole.
pub(crate) fn chains_are_whole(lines: &[Value]) -> Result<()> {
    let mut chains: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for line in lines {
        let Some(chain) = line["chain"].as_str() else { continue };
        let seq = line["seq"].as_u64().context("no seq")?;
        ensure!(chains.entry(chain).or_default().insert(seq), "{chain} has place {seq} twice");
    }
    for (chain, places) in chains {
        let whole = places.iter().copied().eq(0..u64::try_from(places.len())?);
        ensure!(whole, "chain {chain} has a hole in {places:?}");
    }
    Ok(())
}

/// Fails when a worker's VM has failed, or Envoy does not serve any more.
pub(crate) async fn no_worker_failed(envoy: &Envoy) -> Result<()> {
    let log = envoy.log_text();
    for sign in ["panicked", "wasm VM", "Wasm VM", "Function: proxy_", "[critical]"] {
        let line = log.lines().find(|line| line.contains(sign));
        ensure!(line.is_none(), "Envoy's log: {}", line.unwrap_or_default());
    }
    let ready = format!("http://127.0.0.1:{}/ready", envoy.admin());
    let state = reqwest::get(ready).await.context("Envoy is gone")?.text().await?;
    ensure!(state.contains("LIVE"), "{state}");
    Ok(())
}
