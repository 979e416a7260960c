//! `graphwarden holds`: legal holds, which keep records from retention.

use std::process::ExitCode;

use super::export::Chosen;
use crate::clock::{Clock, rfc3339};
use crate::store::{Database, Selection, Store};

/// What can be told to `holds`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Database: a path, a sqlite: URL or a postgres: URL
    #[arg(
        long,
        env = "GRAPHWARDEN_DATABASE",
        value_name = "URL|PATH",
        default_value = "graphwarden.db",
        global = true
    )]
    database: String,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Keep records from retention, until the hold is released
    Place {
        /// Why, for the ledger
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        chosen: Chosen,
    },
    /// Let retention take them again
    Release {
        /// The hold's number
        id: i64,
    },
    /// List holds, released ones too
    List,
}

/// Does it, with an entry of the ledger for each change.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    super::runtime()?.block_on(holds(args))
}

async fn holds(args: Args) -> anyhow::Result<ExitCode> {
    let database = Database::parse(&args.database).map_err(anyhow::Error::msg)?;
    let store = Store::open(&database, false).await?;
    let now = Clock::system().now();
    let mut code = ExitCode::SUCCESS;
    match args.what {
        What::Place { reason, chosen } => {
            let filter = chosen.selection()?;
            anyhow::ensure!(!reason.trim().is_empty(), "--reason is empty");
            let id = store.place_hold(reason.trim(), &filter, now).await?;
            println!("hold {id} keeps {}", in_words(&filter));
        }
        What::Release { id } => {
            if store.release_hold(id, now).await? {
                println!("hold {id} is released");
            } else {
                eprintln!("graphwarden: there is no hold {id} that still holds");
                code = ExitCode::FAILURE;
            }
        }
        What::List => {
            for hold in store.holds().await? {
                let state = hold
                    .released_at
                    .map_or_else(|| "holds".to_owned(), |at| format!("released {}", rfc3339(at)));
                println!(
                    "{}\t{}\t{state}\t{}\t{}",
                    hold.id,
                    rfc3339(hold.placed_at),
                    in_words(&hold.filter),
                    hold.reason
                );
            }
        }
    }
    store.close().await;
    Ok(code)
}

fn in_words(filter: &Selection) -> String {
    let mut words = Vec::new();
    if let Some(from) = filter.from {
        words.push(format!("from {}", rfc3339(from)));
    }
    if let Some(to) = filter.to {
        words.push(format!("before {}", rfc3339(to)));
    }
    for (name, value) in [
        ("person", &filter.person),
        ("operation", &filter.operation),
        ("thread", &filter.thread),
        ("decision", &filter.decision),
    ] {
        if let Some(value) = value {
            words.push(format!("{name} {value}"));
        }
    }
    if words.is_empty() { "every record".to_owned() } else { words.join(", ") }
}
