//! A soak of seconds in place of an hour: every kind of request and every fault once; memory is not judged.

use std::time::Duration;

use anyhow::ensure;
use graphwarden_soak::{Plan, soak};
use graphwarden_stand::{Site, run};

#[test]
fn every_request_of_a_short_soak_with_every_fault_is_in_the_ledger() {
    run("soak_smoke", async |site: &Site| {
        let seconds = Duration::from_secs(10);
        let plan = Plan { total: seconds, rate: 20.0, cycle: seconds };
        let summary = soak(site, plan).await?;
        ensure!(summary.failures().is_empty(), "{}", summary.markdown());
        Ok(())
    });
}
