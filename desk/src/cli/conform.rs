//! `graphwarden conform`: whether a service in the desk's place is safe to use.

use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;
use url::Url;

use crate::conform::{Checked, Decider, Finding, Service, names, run as try_everything};

/// What can be told to `conform`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where gates send their questions, such as https://approvals.example.com/v1/approvals
    url: Url,
    /// Name of the environment variable that holds the gateway's token
    #[arg(long, value_name = "NAME", default_value = "GRAPHWARDEN_TOKEN")]
    token_env: String,
    /// Who decides in the checks: role:NAME, group:NAME or subject:ID
    #[arg(long, value_name = "WHO", default_value = "role:manager")]
    approver: String,
    /// Program that decides, split at blanks; it is given ID approve|deny PERSON, where PERSON is 1 or 2
    #[arg(long, value_name = "PROGRAM")]
    decide: Option<String>,
    /// Name of an environment variable that holds an approver's OIDC token, for services with the desk's own API for people; twice for two people
    #[arg(long = "approver-token-env", value_name = "NAME", conflicts_with = "decide")]
    approver_tokens: Vec<String>,
    /// Try only this check; may be given again
    #[arg(long, value_name = "CHECK")]
    only: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Tries everything. Exit code 0 where all is kept, 1 where something is broken, 3 where something is unproven.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let secret = |name: &str| {
        std::env::var(name)
            .ok()
            .filter(|secret| !secret.is_empty())
            .with_context(|| format!("the environment variable {name} is not set"))
    };
    if let Some(unknown) = args.only.iter().find(|only| !names().any(|name| name == only.as_str())) {
        anyhow::bail!(
            "there is no check {unknown}; the checks are {}",
            names().collect::<Vec<_>>().join(", ")
        );
    }
    let service = Service::new(&args.url, secret(&args.token_env)?, args.approver)?;
    let decider = match args.decide {
        Some(program) => {
            Decider::Program { command: program.split_whitespace().map(str::to_owned).collect() }
        }
        None if args.approver_tokens.is_empty() => Decider::Nobody,
        None => {
            let mut base = args.url.clone();
            base.set_path("");
            let tokens =
                args.approver_tokens.iter().map(|name| secret(name)).collect::<anyhow::Result<_>>()?;
            Decider::Desk { base, tokens }
        }
    };
    let quiet = args.json;
    let show = |checked: &Checked| {
        if !quiet {
            println!("{checked}");
        }
    };
    let report = super::runtime()?.block_on(try_everything(&service, &decider, &args.only, show));
    let (broken, unproven) = (report.broken(), report.unproven());
    if args.json {
        let checks = report.checks.iter().map(|check| {
            let (word, detail) = match &check.finding {
                Finding::Kept => ("kept", None),
                Finding::Noted(note) => ("kept", Some(note.as_str())),
                Finding::Broken(what) => ("broken", Some(what.as_str())),
                Finding::Unproven(why) => ("unproven", Some(*why)),
            };
            json!({"check": check.name, "promise": check.promise, "finding": word, "detail": detail})
        });
        println!("{}", json!({"checks": checks.collect::<Vec<_>>(), "broken": broken, "unproven": unproven}));
    } else if broken.is_empty() {
        println!(
            "{} of {} promises are kept, {unproven} are unproven",
            report.checks.len() - unproven,
            report.checks.len()
        );
    } else {
        println!("not safe to use: {} broken ({}), {unproven} unproven", broken.len(), broken.join(", "));
    }
    Ok(match (broken.is_empty(), unproven) {
        (false, _) => ExitCode::FAILURE,
        (true, 0) => ExitCode::SUCCESS,
        (true, _) => ExitCode::from(3),
    })
}
