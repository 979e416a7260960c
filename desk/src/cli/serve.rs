//! `graphwarden serve`: the desk, until SIGTERM or Ctrl-C.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::app::{Desk, app};
use crate::clock::Clock;
use crate::settings::{Raw, Settings};
use crate::store::{Event, Store};

/// What can be told to `serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// YAML file with the same settings; flags and environment win over it
    #[arg(long, env = "GRAPHWARDEN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Raw,
    /// How logs are written
    #[arg(long, env = "GRAPHWARDEN_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// One line for people
    Text,
    /// One JSON object a line
    Json,
}

/// Runs the desk until it is told to stop.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let raw = match &args.config {
        Some(path) => args.settings.over(Raw::read(path)?),
        None => args.settings,
    };
    let settings = Settings::resolve(raw, &|name| std::env::var(name).ok())?;
    log_to_stderr(args.log_format);
    super::runtime()?.block_on(serve(settings))?;
    Ok(ExitCode::SUCCESS)
}

fn log_to_stderr(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("GRAPHWARDEN_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sqlx=warn,hyper=warn"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Where the log cannot be written, neither can the error that says so: trying would be a panic.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let store = Store::open(&settings.database, true).await?;
    let listener = tokio::net::TcpListener::bind(settings.listen)
        .await
        .map_err(|error| anyhow::anyhow!("cannot listen on {}: {error}", settings.listen))?;
    let address = listener.local_addr()?;
    let database = settings.database.to_string();
    let public_url = settings.public_url.to_string();
    let summary = settings.summary();
    let desk = Desk::new(settings, store.clone(), Clock::system())?;
    follow_the_database(&desk).await?;
    desk.store
        .record(
            &Event {
                detail: Some(concat!("graphwarden ", env!("CARGO_PKG_VERSION"))),
                ..Event::new("start")
            },
            desk.clock.now(),
        )
        .await?;
    desk.store
        .record(&Event { detail: Some(&summary), ..Event::new("configuration") }, desk.clock.now())
        .await?;
    tracing::info!(%address, database, public_url, "listening");
    tracing::info!(key = desk.log_key.public(), "the log's public key: auditors need it to verify exports");
    let kept = desk.clone();
    let minute = crate::task::keep("what is done every minute", move || every_minute(kept.clone()));
    let telling = tokio::spawn(crate::notify::run(desk.clone()));
    let stopping = desk.clone();
    // An answer is small and waited for: it must not wait for the acknowledgement of the one before it.
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection's segments may wait");
        }
    });
    axum::serve(listener, app(desk))
        .with_graceful_shutdown(async move {
            told_to_stop().await;
            tracing::info!("stopping: open requests are answered first");
            stopping.stop();
        })
        .await?;
    minute.abort();
    // What is on its way may arrive; what is not is sent by whoever starts next.
    tokio::time::timeout(std::time::Duration::from_secs(5), telling).await.ok();
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Takes the time from the database that replicas share: a window must not be longer at one of them.
async fn follow_the_database(desk: &Desk) -> Result<(), crate::error::Error> {
    let offset = desk.store.clock_offset(crate::clock::machine()).await?;
    if offset.abs() > 1_000 {
        tracing::warn!(offset, "this machine's clock differs from the database's, which is followed (ms)");
    }
    desk.clock.follow(offset);
    Ok(())
}

/// Keeps the ledger, and looks at the clock.
async fn every_minute(desk: Desk) {
    let mut minute = tokio::time::interval(std::time::Duration::from_secs(60));
    minute.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        minute.tick().await;
        if let Err(error) = follow_the_database(&desk).await {
            error.log();
        }
        crate::keeping::round(&desk).await;
    }
}

/// Resolves on SIGTERM or Ctrl-C.
async fn told_to_stop() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            },
            Err(_) => {
                interrupt.await.ok();
            }
        }
    }
    #[cfg(not(unix))]
    interrupt.await.ok();
}
