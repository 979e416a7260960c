//! `make soak`: runs it, writes target/soak/summary.json and summary.md, and fails where anything did.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use graphwarden_soak::{Plan, soak};
use graphwarden_stand::{Site, Tools};

/// Mixed traffic with faults; at the end memory is flat and every request is in the ledger.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long
    #[arg(long, env = "SOAK_SECONDS", default_value_t = 3_600)]
    seconds: u64,
    /// Requests a second
    #[arg(long, env = "SOAK_RATE", default_value_t = 15.0)]
    rate: f64,
    /// In how many seconds each fault comes once
    #[arg(long, env = "SOAK_CYCLE", default_value_t = 60)]
    cycle: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let plan = Plan {
        total: Duration::from_secs(arguments.seconds),
        rate: arguments.rate,
        cycle: Duration::from_secs(arguments.cycle.clamp(10, arguments.seconds.max(10))),
    };
    let site = Site::new("soak")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let summary = runtime.block_on(soak(&site, plan))?;
    let folder = Tools::find().root().join("target/soak");
    std::fs::create_dir_all(&folder).context("no folder for the summary")?;
    std::fs::write(folder.join("summary.json"), summary.json())?;
    std::fs::write(folder.join("summary.md"), summary.markdown())?;
    println!("{}", summary.markdown());
    if !summary.failures().is_empty() {
        bail!("{} failures; logs: {}", summary.failures().len(), site.folder().display());
    }
    site.passed();
    Ok(())
}
