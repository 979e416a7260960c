//! `graphwarden export`: the ledger's lines, byte for byte, in ledger order; the same as OCSF events; or, where the
//! file's name ends in `.zip`, everything that an auditor is handed, with proof.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use futures::StreamExt;
use url::Url;

use crate::clock::{Clock, parse_time};
use crate::log::{LogKey, PublicKey};
use crate::package::{Directory, Request, ocsf_event};
use crate::store::{Database, Event, Selection, Store};

/// What can be told to `export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Database: a path, a sqlite: URL or a postgres: URL
    #[arg(long, env = "GRAPHWARDEN_DATABASE", value_name = "URL|PATH", default_value = "graphwarden.db")]
    database: String,
    #[command(flatten)]
    chosen: Chosen,
    /// Where to: a file, or - for standard output. A name that ends in .zip gets tables, report and proof as well
    #[arg(long, value_name = "FILE|-", default_value = "-")]
    out: PathBuf,
    /// What a line is, where the file is no ZIP
    #[arg(long, value_enum, default_value_t = Format::Lines)]
    format: Format,
    /// A checkpoint from an earlier export, to be proven the beginning of this one (ZIP only)
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// The identity provider's people, to compare with: a CSV file, or the URL of a SCIM 2.0 service (ZIP only)
    #[arg(long, value_name = "FILE|URL")]
    directory: Option<String>,
    /// Name of the environment variable that holds the SCIM service's bearer token
    #[arg(long, value_name = "NAME", default_value = "GRAPHWARDEN_SCIM_TOKEN")]
    directory_token_env: String,
}

/// Which records.
#[derive(Debug, clap::Args)]
pub(super) struct Chosen {
    /// From this time on: a date (midnight UTC) or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<i64>,
    /// Up to, not including, this time: a date (midnight UTC) or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<i64>,
    /// Only of people whose name, e-mail address or subject holds this
    #[arg(long, value_name = "TEXT")]
    actor: Option<String>,
    /// Only of operations whose name holds this
    #[arg(long, value_name = "TEXT")]
    operation: Option<String>,
    /// Only of this thread
    #[arg(long, value_name = "ID")]
    thread: Option<String>,
    /// Only what was allowed, or denied
    #[arg(long, value_name = "allow|deny", value_parser = ["allow", "deny"])]
    decision: Option<String>,
    /// Only of the request with this id: what a refusal calls `request_id`, or the record's `exchange`
    #[arg(long, value_name = "ID", value_parser = request_id)]
    request: Option<String>,
}

impl Chosen {
    /// The same as the store takes it.
    pub(super) fn selection(&self) -> anyhow::Result<Selection> {
        let Self { from, to, actor, operation, thread, decision, request } = self;
        anyhow::ensure!(from.unwrap_or(i64::MIN) < to.unwrap_or(i64::MAX), "--from has to be before --to");
        Ok(Selection {
            from: *from,
            to: *to,
            person: actor.clone(),
            operation: operation.clone(),
            thread: thread.clone(),
            decision: decision.clone(),
            request: request.clone(),
        })
    }
}

/// What a line of a plain export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// The record's exact bytes
    Lines,
    /// An OCSF event (API Activity 6003) for each outcome
    Ocsf,
}

fn request_id(text: &str) -> Result<String, String> {
    match Selection::is_request_id(text) {
        true => Ok(text.to_owned()),
        false => Err("expected letters, digits and `-_.:`, 128 at the most".to_owned()),
    }
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
    let selection = args.chosen.selection()?;
    let database = Database::parse(&args.database).map_err(anyhow::Error::msg)?;
    let store = Store::open(&database, false).await?;
    if args.out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip")) {
        return package(&args, selection, &database, &store).await;
    }
    anyhow::ensure!(args.since.is_none(), "--since needs an --out that ends in .zip");
    anyhow::ensure!(args.directory.is_none(), "--directory needs an --out that ends in .zip");
    let log = match args.format {
        Format::Lines => None,
        Format::Ocsf => {
            let key = LogKey::of(database.path(), &|name| std::env::var(name).ok())?;
            Some(PublicKey::parse(key.public())?.name().to_owned())
        }
    };
    let count = if args.out == Path::new("-") {
        write_lines(&store, &selection, log.as_deref(), std::io::stdout().lock()).await?
    } else {
        let file = File::create(&args.out).with_context(|| format!("cannot write {}", args.out.display()))?;
        write_lines(&store, &selection, log.as_deref(), file).await?
    };
    let what = if log.is_some() { "OCSF events" } else { "lines" };
    let detail = format!("{count} {what} by the command line");
    store.record(&Event { detail: Some(&detail), ..Event::new("export") }, Clock::system().now()).await?;
    store.close().await;
    eprintln!("{count} {what}");
    Ok(())
}

/// Writes the ZIP. The entry about it comes first, so that it is part of what it tells of.
async fn package(
    args: &Args,
    selection: Selection,
    database: &Database,
    store: &Store,
) -> anyhow::Result<()> {
    anyhow::ensure!(args.format == Format::Lines, "--format ocsf does not go into a .zip");
    let key = LogKey::of(database.path(), &|name| std::env::var(name).ok())?;
    let since = args
        .since
        .as_ref()
        .map(|path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display())))
        .transpose()?;
    let directory = match &args.directory {
        Some(place) => Some(directory(place, &args.directory_token_env).await?),
        None => None,
    };
    let now = Clock::system().now();
    store
        .record(&Event { detail: Some("a package by the command line"), ..Event::new("export") }, now)
        .await?;
    let file = File::create(&args.out).with_context(|| format!("cannot write {}", args.out.display()))?;
    let request = Request { selection, since, directory };
    let bar = super::progress::waiting("writing the package");
    let written = crate::package::write(store, &key, &request, now, file).await;
    bar.finish_and_clear();
    let written = written?;
    store.close().await;
    eprintln!("{} of {} lines, {} invocations", written.lines, written.ledger, written.invocations);
    eprintln!("log key: {}", key.public());
    Ok(())
}

/// Reads the directory from a file, or asks a service for it.
async fn directory(place: &str, token: &str) -> anyhow::Result<Directory> {
    if place.starts_with("https://") || place.starts_with("http://") {
        let url = Url::parse(place).context("--directory is no URL")?;
        return Directory::from_scim(&url, std::env::var(token).ok().as_deref()).await;
    }
    let file = File::open(place).with_context(|| format!("cannot read {place}"))?;
    Directory::from_csv(file).with_context(|| format!("{place} cannot be used"))
}

async fn write_lines(
    store: &Store,
    selection: &Selection,
    ocsf: Option<&str>,
    out: impl Write,
) -> anyhow::Result<u64> {
    let mut out = BufWriter::with_capacity(1 << 20, out);
    let size = store.ledger_size().await?;
    let Some((first, last)) = store.bounds(selection, size).await? else { return Ok(0) };
    let mut lines = store.selected(selection, first, last);
    let mut count = 0;
    let bar = super::progress::lines("exporting", u64::try_from(last.saturating_sub(first)).unwrap_or(0));
    while let Some(selected) = lines.next().await {
        let selected = selected.context("cannot read the ledger")?;
        bar.set_position(u64::try_from(selected.position.saturating_sub(first)).unwrap_or(0));
        let Some(line) = selected.line.filter(|_| selected.chosen) else { continue };
        match ocsf {
            None => out.write_all(&line)?,
            Some(log) => match ocsf_event(u64::try_from(selected.position)?, &line, log)? {
                Some(event) => serde_json::to_writer(&mut out, &event)?,
                None => continue,
            },
        }
        out.write_all(b"\n")?;
        count += 1;
    }
    out.flush()?;
    bar.finish_and_clear();
    Ok(count)
}
