//! `graphwarden verify`: checks an export offline, and says what was proven and what was not.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::log::PublicKey;
use crate::package::verify;

/// What can be told to `verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The export
    #[arg(value_name = "FILE.zip")]
    file: PathBuf,
    /// The log's public key, or a file that holds it
    #[arg(long, value_name = "KEY|FILE")]
    key: String,
    /// A checkpoint from earlier, which has to be the beginning of this one
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
}

/// Verifies; exit code 1 where anything was changed.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let text = match std::fs::read_to_string(&args.key) {
        Ok(text) => text,
        Err(_) => args.key.clone(),
    };
    let key = PublicKey::parse(&text)?;
    let since = args
        .since
        .as_ref()
        .map(|path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display())))
        .transpose()?;
    let file = File::open(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let bar = super::progress::bytes("reading", file.metadata().map_or(0, |about| about.len()));
    let verified = verify(BufReader::new(bar.wrap_read(file)), &key, since.as_deref());
    bar.finish_and_clear();
    match verified {
        Ok(report) => {
            println!("Proven for {}:", args.file.display());
            println!("  every file is as it was signed by {}", key.name());
            println!(
                "  {} records are in the ledger of {} lines, unchanged and in order",
                report.records, report.ledger
            );
            println!("  each of {} chains follows record by record", report.chains);
            if !report.tables.is_empty() {
                println!("  {} say what the records say", report.tables.join(", "));
            }
            if let Some(size) = report.since {
                println!("  the ledger has only grown since the checkpoint of {size} lines");
            }
            if !report.open.is_empty() {
                println!("Not proven:");
                for open in &report.open {
                    println!("  {open}");
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("graphwarden: {} is NOT sound: {error:#}", args.file.display());
            Ok(ExitCode::FAILURE)
        }
    }
}
