//! The harness of the benchmarks: each subcommand measures one thing, prints it, and puts its figures into one results
//! file, of which `page` makes `docs/benchmarks.md`.
//!
//! Whatever is compared runs at once and is loaded in turn, round by round, so that whatever else the machine does
//! falls on all alike; each ratio is taken within a round. Envoy's one worker has a core to itself where there are
//! two; load and upstream share the other. Processor time per request is Envoy's own, read from the kernel, and the
//! steadiest figure on a busy machine.

mod approvals;
mod decide;
mod identity;
mod ledger;
mod load;
mod mask;
mod page;
mod peers;
mod plots;
mod results;
mod scale;
mod timed;
mod upstream;

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, Subcommand};
use graphwarden_stand::{Ask, Part, Port, Site, free_port};
use rustix::thread::{CpuSet, sched_setaffinity};

use load::Latencies;

/// Measures Graphwarden, and what it is compared with.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Compares Envoy alone, with filters that do next to nothing, with ours, and with what people use today
    Peers(peers::Arguments),
    /// Measures where the processor time of a request goes
    Profile(peers::profile::Arguments),
    /// Measures what it costs to know who calls, beside Envoy's jwt_authn
    Identity(identity::Arguments),
    /// Measures the time from a person's decision to the request at the upstream
    Approvals,
    /// Measures a whole decision inside Envoy's V8
    Decisions,
    /// Measures masking inside Envoy's V8, beside a regular expression
    Masking,
    /// Measures the ledger: appending, export and verification, and what evidence before action adds
    Ledger {
        /// Records to append, export and verify
        #[arg(long, default_value_t = 1_000_000)]
        records: u64,
        /// Leave out what needs Envoy
        #[arg(long)]
        desk_only: bool,
    },
    /// Measures how cost grows with work, and what starting and changing cost
    Scale(scale::Arguments),
    /// Makes docs/benchmarks.md and its pictures of docs/benchmarks.json and docs/soak.json
    Page {
        /// First take over what was measured last
        #[arg(long)]
        take: bool,
    },
    /// Answers with JSON of any size; started by the benchmark itself
    Upstream {
        /// Port on 127.0.0.1
        port: u16,
    },
}

fn main() -> Result<()> {
    let command = Arguments::parse().command;
    match command {
        Role::Upstream { port } => return upstream::serve(port),
        Role::Ledger { records, desk_only } => return ledger::measure(records, desk_only),
        Role::Scale(arguments) => return scale::measure(&arguments),
        Role::Page { take } => return page::write(take),
        Role::Peers(_)
        | Role::Profile(_)
        | Role::Identity(_)
        | Role::Decisions
        | Role::Masking
        | Role::Approvals => {}
    }
    let site = Site::new("bench")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let measured = match command {
        Role::Peers(arguments) => peers::compare(&arguments, &site, &runtime),
        Role::Profile(arguments) => peers::Stage::new(&site, &runtime)?.profile(&arguments),
        Role::Identity(arguments) => {
            let (port, _answering) = answering(&site, &runtime, "upstream")?;
            identity::compare(arguments, &site, &runtime, port.number())
        }
        Role::Decisions => runtime.block_on(decide::measure(&site, &module(&site, "timed")?)),
        Role::Masking => runtime.block_on(mask::measure(&site, &module(&site, "timed")?)),
        Role::Approvals => runtime.block_on(approvals::measure(&site)),
        Role::Upstream { .. } | Role::Ledger { .. } | Role::Scale(_) | Role::Page { .. } => Ok(()),
    };
    measured.with_context(|| format!("logs: {}", site.folder().display()))?;
    site.passed();
    Ok(())
}

/// What stands behind every proxy, once it answers.
fn answering(site: &Site, runtime: &tokio::runtime::Runtime, name: &str) -> Result<(Port, Part)> {
    let port = free_port()?;
    let mut program = Command::new(std::env::current_exe().context("own path")?);
    program.args(["upstream", &port.number().to_string()]);
    pin(Core::Load);
    let mut part = Part::start(name, site.folder(), &program)?;
    runtime.block_on(
        part.ready(Duration::from_secs(10), async || Ask::get("/").send(port.number()).await.is_ok()),
    )?;
    Ok((port, part))
}

/// A module that only benchmarks load.
fn module(site: &Site, name: &str) -> Result<PathBuf> {
    let folder = site.tools().root().join("target/wasm32-wasip1/release");
    let path = folder.join(format!("graphwarden_bench_{name}.wasm"));
    if !path.is_file() {
        bail!("{} is missing; `make bench` builds it", path.display());
    }
    Ok(path)
}

/// Asks once the keys are there, and tells whether the answer came masked.
fn check(name: &str, port: u16, request: &[u8]) -> Result<bool> {
    let mut last = String::new();
    for _ in 0..100 {
        let mut connection = load::Connection::open(port)?;
        match connection.exchange(request) {
            Ok(answer) => {
                let text = String::from_utf8_lossy(answer);
                let hidden = ["zoe.obrien@example.com", "078-05-1120", "4111 1111 1111 1111"]
                    .map(|value| !text.contains(value));
                ensure!(hidden.iter().all(|one| *one == hidden[0]), "{name}: masked only in part: {text}");
                return Ok(hidden[0]);
            }
            Err(error) => last = format!("{error:#}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("{name} never answered 200: {last}")
}

fn quantile(latencies: &Latencies, quantile: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of at most a minute")]
    let nanoseconds = latencies.value_at_quantile(quantile) as f64;
    nanoseconds / 1e6
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn first(sorted: &[f64]) -> f64 {
    sorted.first().copied().unwrap_or(f64::NAN)
}

fn last(sorted: &[f64]) -> f64 {
    sorted.last().copied().unwrap_or(f64::NAN)
}

/// Which core a process is started on.
#[derive(Clone, Copy, Debug)]
enum Core {
    Proxy,
    Load,
}

/// How many cores there are. Asked once: a thread that is bound already is told of the cores that it is bound to, and
/// of no others.
fn cores() -> usize {
    static CORES: LazyLock<usize> =
        LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
    *CORES
}

/// Binds this thread, and so what it starts from now on, to a core. On a machine with one core, or
/// where the kernel refuses, everything stays where it is.
fn pin(core: Core) {
    let cores = cores();
    if cores < 2 {
        return;
    }
    let mut set = CpuSet::new();
    match core {
        Core::Proxy => set.set(0),
        Core::Load => (1..cores).for_each(|core| set.set(core)),
    }
    let _ = sched_setaffinity(None, &set);
}
