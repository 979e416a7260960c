//! `make bench`: what Graphwarden costs on a proxy, beside the same proxy without it.
//!
//! All variants run at once and are loaded in turn, round by round, so that whatever else the
//! machine does falls on all of them alike; each ratio is taken within a round, and what is printed
//! is the median of the rounds with the smallest and largest. Envoy's one worker has a core to
//! itself where there are two; load and upstream share the other. Processor time per request is
//! Envoy's own, read from the kernel, and the steadiest figure on a busy machine.

mod approvals;
mod decide;
mod identity;
mod ledger;
mod load;
mod mask;
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
use graphwarden_stand::{
    Ask, Envoy, EnvoySetup, Filter, Issuer, Part, Person, Port, Site, claims_for, free_port, standard_policy,
};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::json;

use load::Latencies;

/// The rate that `make bench` has to reach, as a share of the no-op filter's.
const BAR: f64 = 0.6;

/// Compares Envoy alone, with a no-op filter, with one that copies bodies, and with Graphwarden.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Role>,
    /// Rounds; each loads every variant once
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Seconds of saturating load for each variant and round, and of paced load
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Connections of the saturating load
    #[arg(long, default_value_t = 16)]
    connections: u32,
    /// Requests a second of the paced load
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// Connections of the paced load
    #[arg(long, default_value_t = 4)]
    paced_connections: u32,
    /// Ours without evidence, without masking, and without either, too
    #[arg(long)]
    breakdown: bool,
    /// Other builds of our module to load beside it, with the shipped policy
    #[arg(long, value_delimiter = ',')]
    also: Vec<PathBuf>,
    /// Only these variants, by name
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Measures the ledger: appending, export and verification, and what evidence before action adds
    Ledger {
        /// Records to append, export and verify
        #[arg(long, default_value_t = 1_000_000)]
        records: u64,
        /// Leave out what needs Envoy
        #[arg(long)]
        desk_only: bool,
    },
    /// Answers with 4 KB of JSON; started by the benchmark itself
    Upstream {
        /// Port on 127.0.0.1
        port: u16,
    },
    /// Measures what it costs to know who calls, beside Envoy's jwt_authn
    Identity(identity::Arguments),
    /// Measures the time from a person's decision to the request at the upstream
    Approvals,
    /// Measures a whole decision inside Envoy's V8
    Decisions,
    /// Measures masking inside Envoy's V8, beside a regular expression
    Masking,
    /// Measures how cost grows with work, and what starting and changing cost
    Scale(scale::Arguments),
}

/// One Envoy and what was measured on it.
#[derive(Debug)]
struct Variant {
    name: String,
    envoy: Envoy,
    rates: Vec<f64>,
    processor: Vec<f64>,
    saturated: Latencies,
    paced: Latencies,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Role::Upstream { port }) => return upstream::serve(port),
        Some(Role::Ledger { records, desk_only }) => return ledger::measure(records, desk_only),
        Some(Role::Scale(arguments)) => return scale::measure(&arguments),
        Some(Role::Identity(_) | Role::Decisions | Role::Masking | Role::Approvals) | None => {}
    }
    let site = Site::new("bench")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    if let Some(Role::Decisions) = arguments.command {
        runtime.block_on(decide::measure(&site, &module(&site, "timed")?))?;
        site.passed();
        return Ok(());
    }
    if let Some(Role::Masking) = arguments.command {
        runtime.block_on(mask::measure(&site, &module(&site, "timed")?))?;
        site.passed();
        return Ok(());
    }
    if let Some(Role::Approvals) = arguments.command {
        runtime
            .block_on(approvals::measure(&site))
            .with_context(|| format!("logs: {}", site.folder().display()))?;
        site.passed();
        return Ok(());
    }
    let (port, _answering) = answering(&site, &runtime)?;
    let compared = match arguments.command {
        Some(Role::Identity(arguments)) => identity::compare(arguments, &site, &runtime, port.number()),
        Some(
            Role::Upstream { .. }
            | Role::Ledger { .. }
            | Role::Scale(_)
            | Role::Decisions
            | Role::Masking
            | Role::Approvals,
        )
        | None => compare(&arguments, &site, &runtime, port.number()),
    };
    compared.with_context(|| format!("logs: {}", site.folder().display()))?;
    site.passed();
    Ok(())
}

/// What stands behind every proxy, once it answers.
fn answering(site: &Site, runtime: &tokio::runtime::Runtime) -> Result<(Port, Part)> {
    let port = free_port()?;
    let mut program = Command::new(std::env::current_exe().context("own path")?);
    program.args(["upstream", &port.number().to_string()]);
    pin(Core::Load);
    let mut part = Part::start("upstream", site.folder(), &program)?;
    runtime.block_on(
        part.ready(Duration::from_secs(10), async || Ask::get("/").send(port.number()).await.is_ok()),
    )?;
    Ok((port, part))
}

fn compare(
    arguments: &Arguments,
    site: &Site,
    runtime: &tokio::runtime::Runtime,
    upstream: u16,
) -> Result<()> {
    let issuer = runtime.block_on(Issuer::start())?;
    let token = issuer.sign_rs256(&claims_for(Person::Analyst, issuer.url(), issuer.audience()))?;
    let request = Ask::get("/threads/01a20302-2b19-7586-827f-8a80cbc7f389").bearer(&token).bytes();

    let mut variants = Vec::new();
    for (name, filter, parts) in shapes(site, arguments)? {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == name.trim()) {
            continue;
        }
        let mut policy = standard_policy(&issuer)?;
        if !parts.evidence {
            policy["evidence"] = json!({"off": true});
        }
        if !parts.masking {
            policy["masking"] = json!({"fields": [], "detectors": [], "unmaskable": "pass"});
        }
        let mut setup = EnvoySetup::new(policy, upstream, upstream, issuer.port());
        setup.filter = filter;
        pin(Core::Proxy);
        let envoy = runtime.block_on(Envoy::start_on(
            free_port()?,
            free_port()?,
            &name.trim().replace(' ', "-"),
            site,
            &setup,
        ))?;
        pin(Core::Load);
        let masked = check(&name, envoy.port(), &request)?;
        ensure!(masked == parts.masking, "{name}: masked is {masked}");
        variants.push(Variant {
            name,
            envoy,
            rates: Vec::new(),
            processor: Vec::new(),
            saturated: load::latencies()?,
            paced: load::latencies()?,
        });
    }

    let time = Duration::from_secs_f64(arguments.seconds);
    println!(
        "{} rounds, {:?} each: saturating over {} connections, then {} requests/s over {}; {} bytes of JSON with ten values to mask",
        arguments.rounds,
        time,
        arguments.connections,
        arguments.rate,
        arguments.paced_connections,
        upstream::BODY
    );
    for variant in &variants {
        load::saturate(variant.envoy.port(), &request, arguments.connections, time / 2)?;
    }
    for round in 0..arguments.rounds {
        eprint!("\rround {} of {}", round + 1, arguments.rounds);
        for variant in &mut variants {
            let before = variant.envoy.processor_time();
            let spell = load::saturate(variant.envoy.port(), &request, arguments.connections, time)
                .with_context(|| variant.name.clone())?;
            if let (Some(before), Some(after)) = (before, variant.envoy.processor_time()) {
                #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
                variant.processor.push((after - before).as_secs_f64() * 1e6 / spell.answers.max(1) as f64);
            }
            variant.rates.push(spell.rate());
            variant.saturated.add(&spell.latencies)?;
            let spell =
                load::pace(variant.envoy.port(), &request, arguments.paced_connections, time, arguments.rate)
                    .with_context(|| variant.name.clone())?;
            variant.paced.add(&spell.latencies)?;
        }
    }
    eprintln!("\r");
    report(&variants)
}

/// What of the shipped policy a variant has.
#[derive(Clone, Copy, Debug)]
struct Parts {
    evidence: bool,
    masking: bool,
}

/// The variants: name, filter, and what its policy has. A breakdown adds ours without its parts.
fn shapes(site: &Site, arguments: &Arguments) -> Result<Vec<(String, Filter, Parts)>> {
    let module = |name: &str| module(site, name).map(Filter::Module);
    let (all, none) = (Parts { evidence: true, masking: true }, Parts { evidence: false, masking: false });
    let mut shapes = vec![
        ("envoy alone".to_owned(), Filter::Absent, none),
        ("no-op wasm".to_owned(), module("noop")?, none),
        ("copying wasm".to_owned(), module("copy")?, none),
    ];
    let mut ours = |name: String, filter: &dyn Fn() -> Filter| {
        let without = |part: &str| format!("  {name} without {part}");
        let parts = [
            (without("evidence"), Parts { evidence: false, ..all }),
            (without("masking"), Parts { masking: false, ..all }),
            (without("either"), none),
        ];
        shapes.push((name.clone(), filter(), all));
        if arguments.breakdown {
            shapes.extend(parts.map(|(name, parts)| (name, filter(), parts)));
        }
    };
    ours("graphwarden".to_owned(), &|| Filter::Graphwarden);
    for path in &arguments.also {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        ours(name, &|| Filter::Build(path.clone()));
    }
    Ok(shapes)
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

fn report(variants: &[Variant]) -> Result<()> {
    let of = |name: &str| variants.iter().find(|variant| variant.name == name);
    let base = of("no-op wasm");
    println!(
        "\n{:<34}{:>10}{:>20}{:>9}{:>9}{:>9}{:>9}{:>10}{:>10}",
        "", "req/s", "of no-op (range)", "p50 ms", "p99 ms", "p50 ms", "p99 ms", "cpu µs", "memory MB"
    );
    println!("{:<64}{:^18}{:^18}", "", "saturated", "paced");
    for variant in variants {
        let ratio = base.map_or_else(String::new, |base| {
            let ratios = sorted(variant.rates.iter().zip(&base.rates).map(|(ours, theirs)| ours / theirs));
            format!("{:.2} ({:.2}–{:.2})", median(&ratios), first(&ratios), last(&ratios))
        });
        println!(
            "{:<34}{:>10.0}{:>20}{:>9.2}{:>9.2}{:>9.2}{:>9.2}{:>10}{:>10}",
            variant.name,
            median(&sorted(variant.rates.iter().copied())),
            ratio,
            quantile(&variant.saturated, 0.5),
            quantile(&variant.saturated, 0.99),
            quantile(&variant.paced, 0.5),
            quantile(&variant.paced, 0.99),
            if variant.processor.is_empty() {
                "–".to_owned()
            } else {
                format!("{:.0}", median(&sorted(variant.processor.iter().copied())))
            },
            variant.envoy.memory_mib().map_or_else(|| "–".to_owned(), |memory| memory.to_string()),
        );
    }
    let (Some(alone), Some(base), Some(ours)) = (of("envoy alone"), base, of("graphwarden")) else {
        return Ok(());
    };
    let ratio = median(&sorted(ours.rates.iter().zip(&base.rates).map(|(ours, theirs)| ours / theirs)));
    println!(
        "\nmedian added latency: {:.2} ms over envoy alone, {:.2} ms over the no-op filter (paced)",
        quantile(&ours.paced, 0.5) - quantile(&alone.paced, 0.5),
        quantile(&ours.paced, 0.5) - quantile(&base.paced, 0.5),
    );
    println!("rate against the no-op filter: {ratio:.2} (bar {BAR})");
    ensure!(ratio >= BAR, "the rate is below the bar of {BAR}");
    Ok(())
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

/// Binds this thread, and so what it starts from now on, to a core. On a machine with one core, or
/// where the kernel refuses, everything stays where it is.
fn pin(core: Core) {
    // Asked once: a thread that is bound already is told of the cores that it is bound to, and of no others.
    static CORES: LazyLock<usize> =
        LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
    let cores = *CORES;
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
