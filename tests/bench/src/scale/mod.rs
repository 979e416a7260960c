//! `graphwarden-bench scale`: how cost grows with work, and what starting and changing cost.
//!
//! Each of its parts puts a group of its own, `scale-NAME`, into the results file.

mod bench;
mod change;
mod connections;
mod crates;
mod events;
mod files;
mod fit;
mod growth;
mod start;
mod streams;
mod work;
mod workers;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};

use crate::results::{Row, Sheet};
use bench::Bench;
use growth::Effort;

/// What to measure, and how thoroughly.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// Only what takes seconds each
    #[arg(long, global = true)]
    short: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// From Envoy's start to the first answer
    Start,
    /// A policy that changes under load
    Change,
    /// Memory of streams that are open
    Streams,
    /// Events of streams, at 10, 1,000 and 100,000 a second
    Events,
    /// Response bodies from 1 KB to 10 MB
    Bytes,
    /// Request bodies from 1 KB to 3 MB
    Uploads,
    /// 1 to 1,000 rules
    Rules,
    /// One detector to all of them
    Detectors,
    /// One connection to 10,000
    Connections,
    /// Memory of workers
    Workers,
    /// What the module is made of; not one of the others, because it needs a build of its own
    Crates {
        /// The module with its names
        module: PathBuf,
    },
    /// Answers; started by the benchmark itself
    Upstream {
        /// Port on 127.0.0.1
        port: u16,
    },
}

/// Measures one thing, or all of them in turn; an error names every bar that is missed.
pub(crate) fn measure(arguments: &Arguments) -> Result<()> {
    if let Some(What::Upstream { port }) = arguments.what {
        return work::serve(port);
    }
    if let Some(What::Crates { module }) = &arguments.what {
        let mut sheet = Sheet::new("scale-crates");
        crates::measure(module, &mut sheet)?;
        return kept(sheet);
    }
    let all = [
        What::Start,
        What::Change,
        What::Bytes,
        What::Uploads,
        What::Rules,
        What::Detectors,
        What::Events,
        What::Workers,
        What::Streams,
        What::Connections,
    ];
    let whats = arguments.what.as_ref().map_or_else(|| all.to_vec(), |what| vec![what.clone()]);
    let mut missed = Vec::new();
    for what in whats {
        if let Err(error) = one(&what, arguments.short) {
            missed.push(format!("{error:#}"));
        }
    }
    ensure!(missed.is_empty(), "{}", missed.join("\n"));
    Ok(())
}

fn one(what: &What, short: bool) -> Result<()> {
    let seconds =
        |short_form: f64, whole: f64| Duration::from_secs_f64(if short { short_form } else { whole });
    let pick = |short_form: usize, whole: usize| if short { short_form } else { whole };
    let effort = Effort { rounds: pick(3, 9), spell: seconds(0.25, 1.0) };
    let bench = Bench::new()?;
    let name = format!("{what:?}").to_lowercase();
    eprintln!("scale {name}");
    let mut sheet = Sheet::new(&format!("scale-{name}"));
    let sheet_of = &mut sheet;
    let measured = match what {
        What::Start => start::measure(&bench, pick(3, 9), sheet_of),
        What::Change => change::measure(&bench, pick(6, 40), sheet_of),
        What::Streams => streams::measure(&bench, pick(1_000, 10_000), sheet_of),
        What::Events => events::measure(&bench, pick(1, 5), seconds(2.0, 4.0), sheet_of),
        What::Bytes => growth::bytes(&bench, effort, sheet_of),
        What::Uploads => growth::uploads(&bench, effort, sheet_of),
        What::Rules => growth::rules(&bench, effort, sheet_of),
        What::Detectors => growth::detectors(&bench, effort, sheet_of),
        What::Connections => connections::measure(&bench, pick(1_000, 10_000), effort, sheet_of),
        What::Workers => workers::measure(&bench, sheet_of),
        What::Crates { .. } | What::Upstream { .. } => Ok(()),
    };
    measured.with_context(|| format!("{name}; logs: {}", bench.site.folder().display()))?;
    bench.site.passed();
    kept(sheet)
}

fn kept(sheet: Sheet) -> Result<()> {
    sheet.rows().iter().for_each(print);
    sheet.keep()
}

fn print(row: &Row) {
    let range = if row.rounds > 1 { format!(" ({}–{})", row.low, row.high) } else { String::new() };
    let of = row
        .of
        .as_ref()
        .map_or_else(String::new, |of| format!("; {} ({}–{}) of {}", of.median, of.low, of.high, of.variant));
    let bar = row.bar.as_ref().map_or_else(String::new, |bar| {
        format!("; bar {}{}", bar.limit, if bar.met { "" } else { ", missed" })
    });
    println!(
        "{:<26}{:<32}{:<34}{} {}{range}{of}{bar}",
        row.variant, row.work, row.metric, row.median, row.unit
    );
}
