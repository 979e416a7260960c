//! The command line of `graphwarden`: one file a subcommand, each with `Args` and `run`.
//!
//! To add a subcommand: a file here with `pub struct Args` (`clap::Args`) and
//! `pub(super) fn run(args: Args) -> anyhow::Result<ExitCode>`, a variant of [`Command`], an arm of
//! [`Command::run`]. A subcommand that needs an async runtime builds it itself with [`runtime`].

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod export;
mod serve;
mod token;

/// What the user typed.
#[derive(Debug, Parser)]
#[command(
    name = "graphwarden",
    version,
    about = "Approvals, evidence and policy tools for LangGraph behind Envoy"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the desk: approvals, the evidence ledger and their web pages
    Serve(Box<serve::Args>),
    /// Write the evidence of a range of dates
    Export(export::Args),
    /// Say who a token makes its bearer, or why it is refused
    Token(token::Args),
}

impl Command {
    fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Serve(args) => serve::run(*args),
            Self::Export(args) => export::run(args),
            Self::Token(args) => token::run(args),
        }
    }
}

/// Parses the command line and does what it says. Errors go to stderr, one line a cause; exit code 1.
/// Wrong usage exits with 2 (clap's own).
pub fn run() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("graphwarden: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The async runtime for subcommands that need one.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
