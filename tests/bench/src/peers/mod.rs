//! `graphwarden-bench peers`: this filter beside Envoy alone, beside filters that do nothing or only copy, beside what
//! Envoy brings itself, and beside the servers that people put next to it today.
//!
//! All variants of one size of body run at once, on the same listener settings, and are loaded in turn, round by
//! round. Before it is timed, each has to show that it does its work: a bad token is refused, what has to be masked is
//! gone, all else is there. Envoy's one worker has a core to itself where there are two; load, upstream and the
//! servers beside Envoy share the other, which favours those that have servers.

mod chain;
mod measure;
pub(crate) mod profile;
mod rows;
mod shapes;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};
use graphwarden_stand::{
    Ask, Envoy, EnvoySetup, Issuer, Part, Person, Port, Site, claims_for, free_port, wait_until,
};
use serde_json::{Value, json};

pub(crate) use chain::jwt_authn;
use measure::Measured;
use shapes::{Masks, Shape};

use crate::upstream;
use crate::{Core, pin};

/// What can be told to `peers`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Arguments {
    /// Sizes of body; each is a group of results of its own
    #[arg(long, value_delimiter = ',', default_value = "4kb")]
    size: Vec<Size>,
    /// Only what needs nothing but this workspace: no servers beside Envoy
    #[arg(long)]
    core: bool,
    /// Rounds; each loads every variant once
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of saturating load for each variant and round, and of paced load
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Other builds of our module to load beside it
    #[arg(long, value_delimiter = ',')]
    also: Vec<PathBuf>,
    /// Only these variants, by the beginnings of their names; nothing is kept then
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// A size of body, and the load that suits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Size {
    #[value(name = "1kb")]
    Kb1,
    #[value(name = "4kb")]
    Kb4,
    #[value(name = "100kb")]
    Kb100,
    #[value(name = "10mb")]
    Mb10,
}

impl Size {
    const fn bytes(self) -> usize {
        match self {
            Self::Kb1 => 1 << 10,
            Self::Kb4 => 4 << 10,
            Self::Kb100 => 100 << 10,
            Self::Mb10 => 10 << 20,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Kb1 => "1 KB",
            Self::Kb4 => "4 KB",
            Self::Kb100 => "100 KB",
            Self::Mb10 => "10 MB",
        }
    }

    const fn group(self) -> &'static str {
        match self {
            Self::Kb1 => "peers-1kb",
            Self::Kb4 => "peers-4kb",
            Self::Kb100 => "peers-100kb",
            Self::Mb10 => "peers-10mb",
        }
    }

    /// Connections of the saturating load.
    const fn connections(self) -> u32 {
        match self {
            Self::Kb1 | Self::Kb4 | Self::Kb100 => 16,
            Self::Mb10 => 4,
        }
    }

    /// Requests a second of the paced load, and its connections.
    const fn pace(self) -> (f64, u32) {
        match self {
            Self::Kb1 | Self::Kb4 => (500.0, 4),
            Self::Kb100 => (100.0, 4),
            Self::Mb10 => (3.0, 2),
        }
    }
}

/// One variant, running.
#[derive(Debug)]
struct Variant {
    shape: Shape,
    envoy: Envoy,
    servers: Vec<Part>,
    measured: Measured,
}

/// What all variants share.
pub(crate) struct Stage<'a> {
    site: &'a Site,
    runtime: &'a tokio::runtime::Runtime,
    issuer: Issuer,
    upstream: Port,
    desk: Port,
    /// The desk's work is counted apart from the upstream's.
    desk_part: Part,
    _upstream_part: Part,
}

/// Measures each size, prints and keeps the figures; an error where a bar is missed.
pub(crate) fn compare(arguments: &Arguments, site: &Site, runtime: &tokio::runtime::Runtime) -> Result<()> {
    let stage = Stage::new(site, runtime)?;
    let mut missed = Vec::new();
    for size in &arguments.size {
        let mut variants = stage.start(arguments, *size)?;
        measure::rounds(arguments, *size, &stage, &mut variants)
            .with_context(|| format!("bodies of {}", size.name()))?;
        let sheet = rows::sheet(*size, &variants)?;
        rows::print(*size, &variants, sheet.rows());
        if arguments.only.is_empty() {
            missed.extend(sheet.keep().err().map(|error| error.to_string()));
        }
    }
    ensure!(missed.is_empty(), "{}", missed.join("; "));
    Ok(())
}

impl<'a> Stage<'a> {
    /// Starts what all variants share.
    pub(crate) fn new(site: &'a Site, runtime: &'a tokio::runtime::Runtime) -> Result<Self> {
        let (upstream, upstream_part) = crate::answering(site, runtime, "upstream")?;
        let (desk, desk_part) = crate::answering(site, runtime, "desk")?;
        let issuer = runtime.block_on(Issuer::start())?;
        Ok(Self { site, runtime, issuer, upstream, desk, desk_part, _upstream_part: upstream_part })
    }
}

impl Stage<'_> {
    /// Starts what is wanted of the variants, and sees that each does its work.
    fn start(&self, arguments: &Arguments, size: Size) -> Result<Vec<Variant>> {
        let token = self.token(0)?;
        let wanted = |shape: &Shape| {
            size.bytes() <= shape.largest
                && (shape.core || !arguments.core)
                // What a token costs once does not depend on bodies.
                && (size == Size::Kb4 || !shape.new_tokens)
                && (arguments.only.is_empty() || arguments.only.iter().any(|only| shape.name.starts_with(only)))
        };
        let shapes = shapes::all(self.site, &self.issuer, &arguments.also)?;
        let mut variants = Vec::new();
        for (index, shape) in shapes.into_iter().filter(wanted).enumerate() {
            eprint!("\r\x1b[Kstarting {}", shape.name);
            let name = shape.name.clone();
            let variant = self.variant(shape, &format!("{}-{index}", size.group()))?;
            self.runtime.block_on(check(&variant, size, &token)).with_context(|| name)?;
            variants.push(variant);
        }
        eprintln!("\r\x1b[K");
        Ok(variants)
    }

    fn variant(&self, shape: Shape, name: &str) -> Result<Variant> {
        let mut setup = EnvoySetup::new(
            shape.policy.clone(),
            self.upstream.number(),
            self.desk.number(),
            self.issuer.port(),
        );
        setup.filter = shape.filter.clone();
        setup.before.clone_from(&shape.before);
        let mut servers = Vec::new();
        for server in &shape.servers {
            let port = free_port()?;
            let policy = self.site.write("policy.json", self.server_policy(&shape.policy).to_string())?;
            let keys = self.site.write("keys.json", self.issuer.jwks().to_string())?;
            let mut command = server.command(self.site, port.number(), &policy, &keys)?;
            command.env("LANGGRAPH_API_KEY", "bench-upstream-key");
            pin(Core::Load);
            let mut part =
                Part::start(&format!("{name}-{}", server.cluster()), self.site.folder(), &command)?;
            let number = port.number();
            self.runtime.block_on(part.ready(Duration::from_secs(60), async || {
                tokio::net::TcpStream::connect(("127.0.0.1", number)).await.is_ok()
            }))?;
            setup.clusters.push(chain::grpc_cluster(server.cluster(), number));
            servers.push(part);
        }
        pin(Core::Proxy);
        let envoy = Envoy::start_on(free_port()?, free_port()?, name, self.site, &setup);
        let envoy = self.runtime.block_on(envoy);
        pin(Core::Load);
        Ok(Variant { shape, envoy: envoy?, servers, measured: Measured::default() })
    }

    /// What a server beside Envoy decides and masks by: it neither records nor asks.
    fn server_policy(&self, policy: &Value) -> Value {
        let mut policy = policy.clone();
        policy["evidence"] = json!({"off": true});
        policy["access"] = json!({"rules": [{"name": "reading", "operations": ["threads.read"],
                "when": r#""analyst" in identity.roles"#, "then": "allow"}]});
        if let Some(policy) = policy.as_object_mut() {
            policy.remove("approvals");
            policy.remove("digest_key");
        }
        policy
    }

    /// An analyst's token, other than those of other numbers.
    fn token(&self, number: usize) -> Result<String> {
        let mut claims = claims_for(Person::Analyst, self.issuer.url(), self.issuer.audience());
        claims["jti"] = json!(format!("bench-{number}"));
        self.issuer.sign_rs256(&claims)
    }

    /// Requests for a body of that size, each with a token of its own.
    fn new_tokens(&self, size: Size, numbers: std::ops::Range<usize>) -> Result<Vec<Vec<u8>>> {
        numbers.map(|number| Ok(request(size, &self.token(number)?))).collect()
    }
}

/// Asks for a thread of that size.
fn request(size: Size, token: &str) -> Vec<u8> {
    Ask::get(&upstream::path(size.bytes())).bearer(token).bytes()
}

/// What shows by its form in each four kilobytes of a thread, and what does not.
const FORMS: [&str; 9] = [
    "zoe.obrien@example.com",
    "ravi.iyer@example.org",
    "536-90-4399",
    "4111 1111 1111 1111",
    "5500-0000-0000-0004",
    "m.keller@example.net",
    "212-64-9012",
    "3782 822463 10005",
    "lena.fuchs@example.com",
];
const FIELD: &str = "078-05-1120";

/// Asks once the keys are there, and sees that the variant does what it is measured for.
async fn check(variant: &Variant, size: Size, token: &str) -> Result<()> {
    let (port, shape) = (variant.envoy.port(), &variant.shape);
    let ask = async |token: &str| {
        let ask = Ask::get(&upstream::path(size.bytes())).bearer(token).within(Duration::from_secs(60));
        ask.send(port).await
    };
    let mut last = None;
    wait_until("an answer", Duration::from_secs(20), async || {
        last = ask(token).await.ok();
        last.as_ref().is_some_and(|answer| answer.status == 200)
    })
    .await
    .with_context(|| format!("answered {:?}", last.as_ref().map(|answer| answer.status)))?;
    let answer = last.context("no answer")?;
    let (sent, got) = (upstream::thread(size.bytes()), String::from_utf8(answer.body)?);
    if shape.masks == Masks::Nothing {
        ensure!(got == sent, "the body was changed");
    } else {
        for value in FORMS {
            ensure!(!got.contains(value), "{value} is not masked");
        }
        let field = shape.masks == Masks::FormsAndFields;
        ensure!(!field || !got.contains(FIELD), "{FIELD} is not masked");
        let (sent, got): (Value, Value) = (serde_json::from_str(&sent)?, serde_json::from_str(&got)?);
        let messages = |thread: &Value| thread["values"]["messages"].as_array().map_or(0, Vec::len);
        ensure!(messages(&sent) == messages(&got), "messages are missing");
        ensure!(sent["metadata"] == got["metadata"], "more was changed than had to be");
    }
    let (head, rest) = token.split_at(token.len() - 8);
    let forged = format!("{head}{}", rest.chars().rev().collect::<String>());
    let refused = ask(&forged).await?;
    match refused.status {
        401 | 403 if shape.guards => Ok(()),
        200 if !shape.guards => Ok(()),
        status => bail!("a forged token was answered {status}"),
    }
}
