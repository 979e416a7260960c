//! `make demo`: every part of a deployment on this machine, a guided walk through it, then yours.
//!
//! `parts` starts what `graphwarden-stand` knows how to start, `tour` walks and checks each step,
//! `screen` prints. What goes wrong is one line and the path of a log.

mod parts;
mod screen;
mod tour;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use graphwarden_stand::Person;
use tokio::signal::unix::{SignalKind, signal};

use parts::Parts;
use screen::Screen;

/// Starts an OIDC issuer, LangGraph, the desk and Envoy with the filter, and walks through them.
#[derive(Debug, Parser)]
#[command(name = "graphwarden-demo")]
struct Arguments {
    /// Leave after the walk; the exit code is 0 only when every step came out right
    #[arg(long)]
    tour_only: bool,
    #[command(flatten)]
    ports: Ports,
}

/// Where the parts listen, all on 127.0.0.1.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Ports {
    /// The gate: Envoy with the filter
    #[arg(long, env = "DEMO_GATE_PORT", default_value_t = 8180)]
    gate: u16,
    /// Envoy's admin pages
    #[arg(long, env = "DEMO_ADMIN_PORT", default_value_t = 8190)]
    admin: u16,
    /// LangGraph itself
    #[arg(long, env = "DEMO_LANGGRAPH_PORT", default_value_t = 8124)]
    langgraph: u16,
    /// The desk
    #[arg(long, env = "DEMO_DESK_PORT", default_value_t = 8400)]
    desk: u16,
    /// The development OIDC issuer
    #[arg(long, env = "DEMO_ISSUER_PORT", default_value_t = 8300)]
    issuer: u16,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(until_interrupted(arguments)));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            // The rest of a part's error is the end of its log, whose path stands in the first line.
            let text = format!("{error:#}");
            eprintln!("demo: {}", text.lines().next().unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C and a plain `kill` end everything: the parts stop as they are dropped.
async fn until_interrupted(arguments: Arguments) -> Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    tokio::select! {
        outcome = demonstrate(arguments) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(stopped()),
        _ = terminate.recv() => Ok(stopped()),
    }
}

fn stopped() -> ExitCode {
    println!("\nstopping every part");
    ExitCode::SUCCESS
}

async fn demonstrate(arguments: Arguments) -> Result<ExitCode> {
    let screen = Screen::new();
    let parts = Parts::start(&screen, arguments.ports).await?;
    let right = tour::walk(&screen, &parts).await?;
    if arguments.tour_only {
        return Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    addresses(&screen, &parts);
    std::future::pending().await
}

/// What there is to play with.
fn addresses(screen: &Screen, parts: &Parts) {
    let gate = parts.gate_url();
    let token = parts.issuer.token(Person::Analyst);
    screen.heading("Now it is yours");
    screen.address("gate", &gate, "LangGraph's API, through Envoy and the filter");
    screen.address(
        "desk",
        &parts.desk.url(),
        "sign in as Mia Manager to decide, as Art Auditor to read the record",
    );
    screen.address("issuer", parts.issuer.url(), "four people, no passwords");
    screen.address("Envoy", &parts.admin_url(), "statistics: /stats?filter=graphwarden");
    screen.address("LangGraph", &parts.langgraph_url(), "without the gate, to compare");
    screen.address("logs", &parts.logs(), "");
    screen.snippet(
        "With curl, as Ana Analyst (the token is good for an hour):",
        &format!(
            "curl -N {gate}/runs/stream -H 'content-type: application/json' \\\n  -H 'authorization: Bearer {token}' \\\n  \
             -d '{{\"assistant_id\": \"support_agent\", \"stream_mode\": [\"messages-tuple\"], \
             \"input\": {{\"messages\": [{{\"role\": \"user\", \"content\": \"Who is c-1001?\"}}]}}}}'"
        ),
    );
    screen.snippet(
        "With LangGraph's Python SDK (.venv/bin/python), as Eli Engineer, whose run waits for a manager:",
        &format!(
            "from langgraph_sdk import get_sync_client\n\
             token = \"{}\"\n\
             client = get_sync_client(url=\"{gate}\", headers={{\"Authorization\": f\"Bearer {{token}}\"}})\n\
             thread = client.threads.create()\n\
             print(client.runs.wait(thread[\"thread_id\"], \"billing\", input={{\"customer_id\": \"c-1002\", \"amount\": 99}}))",
            parts.issuer.token(Person::Engineer)
        ),
    );
    screen.note("Ctrl-C stops everything.");
}
