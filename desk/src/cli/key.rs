//! `graphwarden key`: a new private key for the log, for desks that share a database.

use std::process::ExitCode;

use crate::log::LogKey;

/// Nothing can be told to `key`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the key, for `GRAPHWARDEN_LOG_KEY`.
pub(super) fn run(_: Args) -> anyhow::Result<ExitCode> {
    println!("{}", LogKey::new_private());
    Ok(ExitCode::SUCCESS)
}
