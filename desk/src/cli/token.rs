//! `graphwarden token`: who a token makes its bearer, or why it is refused, by the same code as in the filter.
//!
//! Of the policy only the section `identity` is read, and of that nothing that needs a secret: what goes
//! upstream and introspection play no part in whether a token is sound.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use graphwarden_policies::identity::{
    Authenticator, Config, KeyRing, MAX_TOKEN_BYTES, NoNative, Origin, Refused, SourcesConfig, TokenCache,
    UpstreamConfig,
};
use graphwarden_policies::policy::{At, Problems};
use graphwarden_policies::reason::Reason;
use serde_json::json;

use crate::clock::Clock;

/// What can be told to `token`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The token is read from standard input. Exit code 0: it is good, and its identity is \
printed as JSON. 1: it is refused, and {\"reason\": …} is printed. 2: it could not be judged."
)]
pub struct Args {
    /// The policy: a file of its own, or Envoy or Istio YAML that holds one
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The key set (JWKS) of the issuers whose keys the filter would fetch
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// Judge as of this second since the Unix epoch instead of now
    #[arg(long, value_name = "UNIX")]
    at: Option<u64>,
    /// Check the signature alone, and print the payload
    #[arg(long)]
    signature_only: bool,
}

/// Judges the token on standard input.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match judge(&args) {
        Ok(Ok(good)) => {
            print(&good)?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(Err(refused)) => {
            let told = json!({"reason": refused.reason.code(), "detail": refused.detail});
            print(told.to_string().as_bytes())?;
            if refused.reason == Reason::KeysUnavailable {
                eprintln!("graphwarden: give the issuer's key set with --jwks");
            }
            Ok(ExitCode::FAILURE)
        }
        // Not 1, which says that the token was judged.
        Err(error) => {
            eprintln!("graphwarden: {error:#}");
            Ok(ExitCode::from(2))
        }
    }
}

fn print(line: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(line)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

fn judge(args: &Args) -> anyhow::Result<Result<Vec<u8>, Refused>> {
    let authenticator = authenticator(&args.policy)?;
    let keys = keys(&authenticator, args.jwks.as_deref())?;
    let token = read_token(std::io::stdin().lock())?;
    if args.signature_only {
        return Ok(authenticator.verify_signature(&token, &keys, &NoNative));
    }
    let now = match args.at {
        Some(at) => at,
        None => u64::try_from(Clock::system().now() / 1_000).context("the clock is before 1970")?,
    };
    let headers = [(b"authorization".to_vec(), [b"Bearer ", &token[..]].concat())];
    let found = authenticator.authenticate(&headers, &keys, &mut TokenCache::new(0), &NoNative, now);
    match found {
        Ok(identity) => Ok(Ok(serde_json::to_vec_pretty(&*identity)?)),
        Err(refused) => Ok(Err(refused)),
    }
}

/// The token without the line's end; one byte more than the gate accepts is enough to be refused.
fn read_token(input: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut token = Vec::new();
    input.take(MAX_TOKEN_BYTES as u64 + 3).read_to_end(&mut token).context("cannot read the token")?;
    Ok(token.trim_ascii().to_vec())
}

fn authenticator(path: &Path) -> anyhow::Result<Authenticator> {
    let document = graphwarden_trial::read_document(path)?;
    let section = document.get("identity").context("the policy has no section `identity`")?;
    let mut config: Config =
        serde_json::from_value(section.clone()).map_err(|error| anyhow!("identity: {error}"))?;
    config.upstream = UpstreamConfig::default();
    config.sources = SourcesConfig::default();
    for issuer in &mut config.issuers {
        issuer.introspection = None;
    }
    let mut problems = Problems::new();
    let compiled = Authenticator::compile(&config, &At::root().member("identity"), &|_| None, &mut problems);
    match compiled {
        Some(compiled) if *compiled.origin() == Origin::Token => Ok(compiled),
        Some(_) => bail!("with `from: jwt_authn` it is Envoy's filter that judges tokens"),
        None => Err(problems.into()),
    }
}

fn keys(authenticator: &Authenticator, jwks: Option<&Path>) -> anyhow::Result<KeyRing> {
    let mut ring = authenticator.key_ring();
    if let Some(path) = jwks {
        let set =
            std::fs::read(path).with_context(|| format!("cannot read the key set {}", path.display()))?;
        let remote = authenticator.remote_keys();
        if remote.is_empty() {
            bail!(
                "--jwks is for issuers whose keys are fetched, and the policy holds every issuer's keys itself"
            );
        }
        for keys in remote {
            ring.install(keys.issuer, &set).with_context(|| path.display().to_string())?;
        }
    }
    Ok(ring)
}
