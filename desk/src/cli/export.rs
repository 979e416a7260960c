//! `graphwarden export`: the ledger's lines of a range of dates, byte for byte, in ledger order; or, where the
//! file's name ends in `.zip`, everything that an auditor is handed, with proof.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use futures::StreamExt;

use crate::clock::{Clock, parse_time};
use crate::log::LogKey;
use crate::package::Request;
use crate::store::{Database, Event, Store};

/// What can be told to `export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Database: a path, a sqlite: URL or a postgres: URL
    #[arg(long, env = "GRAPHWARDEN_DATABASE", value_name = "URL|PATH", default_value = "graphwarden.db")]
    database: String,
    /// From this time on: a date (midnight UTC) or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<i64>,
    /// Up to, not including, this time: a date (midnight UTC) or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<i64>,
    /// Where to: a file, or - for standard output. A name that ends in .zip gets tables and proof as well
    #[arg(long, value_name = "FILE|-", default_value = "-")]
    out: PathBuf,
    /// A checkpoint from an earlier export, to be proven the beginning of this one (ZIP only)
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
}

fn time(text: &str) -> Result<i64, String> {
    parse_time(text)
        .ok_or_else(|| "expected a date such as 2026-11-22 or a time such as 2026-11-22T10:15:30Z".to_owned())
}

/// Writes the lines, and an entry about it into the desk's own chain.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    super::runtime()?.block_on(export(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn export(args: Args) -> anyhow::Result<()> {
    let database = Database::parse(&args.database).map_err(anyhow::Error::msg)?;
    let store = Store::open(&database, false).await?;
    let (from, to) = (args.from.unwrap_or(i64::MIN), args.to.unwrap_or(i64::MAX));
    anyhow::ensure!(from < to, "--from has to be before --to");
    if args.out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip")) {
        return package(&args, &database, &store).await;
    }
    anyhow::ensure!(args.since.is_none(), "--since needs an --out that ends in .zip");
    let count = if args.out == Path::new("-") {
        write_lines(&store, from, to, std::io::stdout().lock()).await?
    } else {
        let file = File::create(&args.out).with_context(|| format!("cannot write {}", args.out.display()))?;
        write_lines(&store, from, to, file).await?
    };
    let detail = format!("{count} lines by the command line");
    store.record(&Event { detail: Some(&detail), ..Event::new("export") }, Clock::system().now()).await?;
    store.close().await;
    eprintln!("{count} lines");
    Ok(())
}

/// Writes the ZIP. The entry about it comes first, so that it is part of what it tells of.
async fn package(args: &Args, database: &Database, store: &Store) -> anyhow::Result<()> {
    let key = LogKey::of(database.path(), &|name| std::env::var(name).ok())?;
    let since = args
        .since
        .as_ref()
        .map(|path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display())))
        .transpose()?;
    let now = Clock::system().now();
    store
        .record(&Event { detail: Some("a package by the command line"), ..Event::new("export") }, now)
        .await?;
    let file = File::create(&args.out).with_context(|| format!("cannot write {}", args.out.display()))?;
    let request = Request { from: args.from, to: args.to, since };
    let written = crate::package::write(store, &key, &request, now, file).await?;
    store.close().await;
    eprintln!("{} of {} lines, {} invocations", written.lines, written.ledger, written.invocations);
    eprintln!("log key: {}", key.public());
    Ok(())
}

async fn write_lines(store: &Store, from: i64, to: i64, out: impl Write) -> anyhow::Result<u64> {
    let mut out = BufWriter::with_capacity(1 << 20, out);
    let mut lines = store.lines(from, to);
    let mut count = 0;
    while let Some(line) = lines.next().await {
        out.write_all(&line.context("cannot read the ledger")?)?;
        out.write_all(b"\n")?;
        count += 1;
    }
    out.flush()?;
    Ok(count)
}
