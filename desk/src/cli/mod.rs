//! The command line of `graphwarden`: one file a subcommand, each with `Args` and `run`.
//!
//! To add a subcommand: a file here with `pub struct Args` (`clap::Args`) and
//! `pub(super) fn run(args: Args) -> anyhow::Result<ExitCode>`, a variant of [`Command`], an arm of
//! [`Command::run`]. A subcommand that needs an async runtime builds it itself with [`runtime`].

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

mod approvals;
mod check;
mod conform;
mod detect;
mod examples;
mod explain;
mod export;
mod holds;
mod init;
mod key;
mod lint;
mod manual;
mod mask;
mod masking;
mod progress;
mod serve;
mod sign_in;
mod test;
mod token;
mod verify;

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
    /// Write a policy, an Envoy configuration and a compose file that work
    Init(Box<init::Args>),
    /// Run the desk: approvals, the evidence ledger and their web pages
    Serve(Box<serve::Args>),
    /// Write the evidence of a range of dates
    Export(export::Args),
    /// Mask standard input as the gateway would mask a response
    Mask(mask::Args),
    /// Say what the policy's detectors find in lines of text
    Detect(detect::Args),
    /// See what waits for a decision, and decide
    Approvals(approvals::Args),
    /// Say whether a service in the desk's place is safe to use
    Conform(conform::Args),
    /// Keep records from retention, or let it take them again
    Holds(holds::Args),
    /// Check an export offline
    Verify(verify::Args),
    /// Make a private key for the log, for GRAPHWARDEN_LOG_KEY of every replica
    Key(key::Args),
    /// Say who a token makes its bearer, or why it is refused
    Token(token::Args),
    /// Say what is wrong with policies, and where
    Check(check::Args),
    /// Say what would bite in the Envoy or Istio YAML around the filter
    Lint(lint::Args),
    /// Say how the gate reads a request, and what a policy says about it
    Explain(explain::Args),
    /// Run a table of who may do what against a policy
    Test(test::Args),
    /// Print completions for a shell
    Completions(manual::CompletionsArgs),
    /// Write the man pages
    Man(manual::ManArgs),
}

impl Command {
    fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Init(args) => init::run(*args),
            Self::Serve(args) => serve::run(*args),
            Self::Export(args) => export::run(args),
            Self::Mask(args) => mask::run(args),
            Self::Detect(args) => detect::run(args),
            Self::Approvals(args) => approvals::run(args),
            Self::Conform(args) => conform::run(args),
            Self::Holds(args) => holds::run(args),
            Self::Verify(args) => verify::run(args),
            Self::Key(args) => key::run(args),
            Self::Token(args) => token::run(args),
            Self::Check(args) => check::run(args),
            Self::Lint(args) => lint::run(args),
            Self::Explain(args) => explain::run(args),
            Self::Test(args) => test::run(args),
            Self::Completions(args) => manual::completions(args),
            Self::Man(args) => manual::man(args),
        }
    }
}

/// Parses the command line and does what it says. Errors go to stderr, one line a cause; exit code 1.
/// Wrong usage exits with 2 (clap's own).
pub fn run() -> ExitCode {
    let matches = examples::with_examples(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command.run() {
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

/// The time for trials of policies, in seconds since the Unix epoch.
fn trial_now() -> u64 {
    u64::try_from(crate::clock::Clock::system().now() / 1_000).unwrap_or(0)
}
