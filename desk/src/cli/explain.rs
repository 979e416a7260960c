//! `graphwarden explain`: how the gate reads a request, and what the policy says about it.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use graphwarden_trial::{self as trial, Known, Written};
use serde_json::{Map, Value};

/// What can be told to `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy: a file of its own, or Envoy or Istio YAML that holds one
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The caller's claims as JSON; without it nobody calls. What a token needs besides (iss, aud, exp) is filled in
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// The request as raw HTTP/1.1; - is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    request: PathBuf,
    /// What LangGraph says of threads, assistants, crons and tools: YAML as under `known` in tables of expectations
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    /// The caller's address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    source: String,
    /// The time, in seconds since the Unix epoch, instead of now
    #[arg(long, value_name = "SECONDS")]
    now: Option<u64>,
}

/// Prints the reading and the decision as JSON. Exit code 0 whatever the decision; 1 where the policy is wrong.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let found = trial::read_one(&args.policy)?;
    let policy = match found.compile() {
        Ok(policy) => policy,
        Err(problems) => {
            super::check::report(&args.policy, &found, &problems);
            return Ok(ExitCode::FAILURE);
        }
    };
    let claims: Option<Map<String, Value>> = match &args.claims {
        None => None,
        Some(path) => {
            let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            Some(
                serde_json::from_slice(&text)
                    .with_context(|| format!("{} is no JSON object", path.display()))?,
            )
        }
    };
    let message = if args.request.as_os_str() == "-" {
        let mut message = Vec::new();
        let mut input = std::io::stdin();
        if input.is_terminal() {
            eprintln!("graphwarden: reading the request from the terminal, end it with Ctrl-D");
        }
        input.read_to_end(&mut message).context("cannot read the request")?;
        message
    } else {
        std::fs::read(&args.request).with_context(|| format!("cannot read {}", args.request.display()))?
    };
    let raw = trial::Raw::parse(&message)?;
    let now = args.now.unwrap_or_else(super::trial_now);
    let known = match &args.known {
        None => Known::default(),
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let written: Written =
                serde_saphyr::from_str(&text).with_context(|| path.display().to_string())?;
            written.read().with_context(|| path.display().to_string())?
        }
    };
    let caller = trial::Caller { claims: claims.as_ref(), source: &args.source, now };
    let verdict = trial::judge(&policy, &caller, &raw, &known);
    println!("{}", serde_json::to_string_pretty(&verdict.to_json(policy.mode))?);
    Ok(ExitCode::SUCCESS)
}
