//! `graphwarden-bench identity`: what it costs to know who calls, beside Envoy's own jwt_authn in the same run.
//!
//! *Added latency*: one caller asks, is answered and asks again, on each variant in turn, round by round; what is
//! printed is the median over rounds of the difference between two variants' medians of one round, and likewise the
//! processor time that Envoy spends on a request more. The gate is compared with itself where the operation is public.
//! In the rows of the *check* nothing else differs but finding and verifying the token and ruling on that caller; in
//! the others LangGraph is told besides who calls, in headers, and gets the gate's own key, which jwt_authn does not
//! do. jwt_authn is compared with Envoy alone.
//!
//! *Flood*: good requests at a fixed rate, in turn alone and beside 10,000 requests a second with garbage for tokens,
//! each latency counted from when the request was due.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use graphwarden_stand::{
    Ask, Envoy, EnvoySetup, Filter, Issuer, Person, Site, claims_for, free_port, standard_policy,
};
use serde_json::{Value, json};

use super::load::{self, Latencies};
use super::peers::jwt_authn;
use super::results::{Row, Sheet};
use super::{Core, first, last, median, pin, quantile, sorted};

/// What a token that was verified before may add, in microseconds.
const CACHED: f64 = 15.0;
/// What a new RS256 token may add at the median, in microseconds.
const UNCACHED: f64 = 100.0;
/// How many times the quiet p99 the p99 beside the flood may be.
const FLOODED: f64 = 2.0;
/// Garbage requests a second.
const FLOOD: f64 = 10_000.0;

/// What can be told to `identity`.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Arguments {
    /// Rounds; each measures every variant once
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Requests for each variant and round
    #[arg(long, default_value_t = 300)]
    requests: usize,
    /// Seconds of each spell of good requests, quiet or beside a flood
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Good requests a second beside the flood
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Connections that the flood comes over
    #[arg(long, default_value_t = 4)]
    connections: u32,
}

/// Runs both comparisons; an error where a bar is missed.
pub(super) fn compare(
    arguments: Arguments,
    site: &Site,
    runtime: &tokio::runtime::Runtime,
    upstream: u16,
) -> Result<()> {
    let issuer = runtime.block_on(Issuer::start())?;
    let tokens = Tokens::new(&issuer, arguments.rounds * arguments.requests)?;
    let envoys = Envoys::start(site, runtime, upstream, &issuer)?;
    envoys.wait_for_keys(&tokens)?;
    let mut sheet = Sheet::new("identity");
    added(arguments, &envoys, &tokens, &mut sheet)?;
    flooded(arguments, &envoys, &tokens, &mut sheet)?;
    sheet.keep()
}

/// A request for an operation that can be made public, with this token.
fn request(token: &str) -> Vec<u8> {
    Ask::get("/ok").bearer(token).bytes()
}

/// The tokens, good and bad.
struct Tokens {
    /// Sent again and again.
    same: Vec<u8>,
    /// Each sent once to each variant.
    fresh: Vec<Vec<u8>>,
    /// One bad signature.
    bad: String,
    /// Expired, under a `kid` that nobody knows.
    stale: String,
}

impl Tokens {
    fn new(issuer: &Issuer, count: usize) -> Result<Self> {
        let claims = claims_for(Person::Analyst, issuer.url(), issuer.audience());
        let numbered = |number: usize| {
            let mut claims = claims.clone();
            claims["jti"] = json!(format!("bench-{number}"));
            issuer.sign_rs256(&claims)
        };
        let same = numbered(0)?;
        let mut expired = claims.clone();
        expired["exp"] = json!(1_700_000_000);
        let stale = issuer.sign(&expired);
        let (_, rest) = stale.split_once('.').context("a token has dots")?;
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": "nobody-knows-this-one"});
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        let (signed, signature) = same.rsplit_once('.').context("a token has dots")?;
        let rest_of_it = signature.get(8..).context("a signature is long")?;
        Ok(Self {
            same: request(&same),
            fresh: (1..=count)
                .map(|number| numbered(number).map(|token| request(&token)))
                .collect::<Result<_>>()?,
            bad: format!("{signed}.AAAAAAAA{rest_of_it}"),
            stale: format!("{header}.{rest}"),
        })
    }
}

/// One Envoy for each variant.
struct Envoys {
    public: Envoy,
    /// Checks the token, and tells LangGraph nothing.
    check: Envoy,
    gate: Envoy,
    alone: Envoy,
    jwt_authn: Envoy,
    jwt_authn_cached: Envoy,
}

impl Envoys {
    fn start(site: &Site, runtime: &tokio::runtime::Runtime, upstream: u16, issuer: &Issuer) -> Result<Self> {
        let mut policy = standard_policy(issuer)?;
        policy["evidence"] = json!({"off": true});
        policy["masking"] = json!({"fields": [], "detectors": [], "unmaskable": "pass"});
        policy["operations"] = json!({});
        policy["access"] =
            json!({"rules": [{"name": "health", "operations": ["system.health"], "then": "allow"}]});
        let mut check = policy.clone();
        check["identity"]["upstream"] = json!({});
        let mut public = policy.clone();
        public["operations"] = json!({"public": ["system.health"]});
        let start = |name: &str, policy: &Value, filter: Filter, before: Vec<Value>| {
            let mut setup = EnvoySetup::new(policy.clone(), upstream, upstream, issuer.port());
            setup.filter = filter;
            setup.before = before;
            pin(Core::Proxy);
            let envoy = runtime.block_on(Envoy::start_on(free_port()?, free_port()?, name, site, &setup));
            pin(Core::Load);
            envoy.with_context(|| name.to_owned())
        };
        Ok(Self {
            public: start("public", &public, Filter::Graphwarden, Vec::new())?,
            check: start("check", &check, Filter::Graphwarden, Vec::new())?,
            gate: start("gate", &policy, Filter::Graphwarden, Vec::new())?,
            alone: start("alone", &policy, Filter::Absent, Vec::new())?,
            jwt_authn: start("jwt_authn", &policy, Filter::Absent, vec![jwt_authn(issuer, false)])?,
            jwt_authn_cached: start(
                "jwt_authn-cache",
                &policy,
                Filter::Absent,
                vec![jwt_authn(issuer, true)],
            )?,
        })
    }

    fn wait_for_keys(&self, tokens: &Tokens) -> Result<()> {
        for envoy in
            [&self.public, &self.check, &self.gate, &self.alone, &self.jwt_authn, &self.jwt_authn_cached]
        {
            let mut tries = 0;
            while let Err(error) = load::Connection::open(envoy.port())?.exchange(&tokens.same) {
                tries += 1;
                if tries > 100 {
                    return Err(error.context("never answered 200"));
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(())
    }
}

/// What one variant took: for each round the median latency, and the processor time of a request, in microseconds.
#[derive(Default)]
struct Took {
    latency: Vec<f64>,
    processor: Vec<f64>,
}

/// Prints what knowing the caller adds.
fn added(arguments: Arguments, envoys: &Envoys, tokens: &Tokens, sheet: &mut Sheet) -> Result<()> {
    let mut took: [Took; 8] = Default::default();
    let same = vec![tokens.same.clone(); arguments.requests];
    for (round, fresh) in tokens.fresh.chunks_exact(arguments.requests).enumerate() {
        eprint!("\rround {} of {}", round + 1, arguments.rounds);
        let spells: [(&Envoy, &[Vec<u8>]); 8] = [
            (&envoys.public, &same),
            (&envoys.check, &same),
            (&envoys.check, fresh),
            (&envoys.gate, &same),
            (&envoys.gate, fresh),
            (&envoys.alone, &same),
            (&envoys.jwt_authn_cached, &same),
            (&envoys.jwt_authn, fresh),
        ];
        for ((envoy, requests), took) in spells.into_iter().zip(&mut took) {
            let before = envoy.processor_time();
            took.latency.push(one_by_one(envoy.port(), requests)? * 1e3);
            if let (Some(before), Some(after)) = (before, envoy.processor_time()) {
                let spent = after.saturating_sub(before).as_secs_f64() * 1e6;
                took.processor.push(spent / requests.len() as f64);
            }
        }
    }
    eprintln!("\r");
    let [public, checked, checked_new, known, new, alone, their_known, their_new] = &took;
    println!(
        "what knowing the caller adds, µs at the median ({} rounds of {} requests, one at a time)\n",
        arguments.rounds, arguments.requests
    );
    println!("{:<46}{:>16}{:>20}{:>16}{:>12}", "", "graphwarden", "Envoy's jwt_authn", "processor", "theirs");
    let over = |with: &[f64], without: &[f64]| -> Vec<f64> {
        with.iter().zip(without).map(|(a, b)| a - b).collect()
    };
    for (what, ours, theirs, bar) in [
        ("a token verified before: the check", checked, their_known, CACHED),
        ("a new RS256 token: the check", checked_new, their_new, UNCACHED),
        ("a token verified before, and LangGraph told", known, their_known, CACHED),
        ("a new RS256 token, and LangGraph told", new, their_new, UNCACHED),
    ] {
        let latency = over(&ours.latency, &public.latency);
        let of = |values: &[f64]| {
            let values = sorted(values.iter().copied());
            format!("{:.1} ({:.0}–{:.0})", median(&values), first(&values), last(&values))
        };
        let processor = |with: &Took, without: &Took| {
            let spent = sorted(over(&with.processor, &without.processor).into_iter());
            if spent.is_empty() { "unknown".to_owned() } else { format!("{:.1}", median(&spent)) }
        };
        println!(
            "{what:<46}{:>16}{:>20}{:>16}{:>12}",
            of(&latency),
            of(&over(&theirs.latency, &alone.latency)),
            processor(ours, public),
            processor(theirs, alone)
        );
        sheet.add(Row::new("graphwarden", what, "added latency", "µs", &latency)?.at_most(bar));
        let theirs = over(&theirs.latency, &alone.latency);
        sheet.add(Row::new("jwt_authn", what, "added latency", "µs", &theirs)?);
    }
    Ok(())
}

/// The median latency of these requests, one after the other, in milliseconds.
fn one_by_one(port: u16, requests: &[Vec<u8>]) -> Result<f64> {
    let mut connection = load::Connection::open(port)?;
    let mut latencies = load::latencies()?;
    for request in requests {
        let asked = Instant::now();
        connection.exchange(request)?;
        latencies.saturating_record(u64::try_from(asked.elapsed().as_nanos())?);
    }
    Ok(quantile(&latencies, 0.5))
}

/// What a flood consists of.
#[derive(Clone, Copy, Debug)]
enum Garbage {
    /// One token, its signature wrong.
    Same,
    /// Tokens that all differ, under a `kid` that nobody knows.
    Different,
    /// Tokens that all differ, under the right `kid`: each signature has to be checked.
    Forged,
}

impl Garbage {
    const ALL: [Self; 3] = [Self::Same, Self::Different, Self::Forged];

    fn name(self) -> &'static str {
        match self {
            Self::Same => "one bad token",
            Self::Different => "unknown keys, all different",
            Self::Forged => "forged signatures, all different",
        }
    }

    /// The request, and where in it a number makes it another one.
    fn request(self, tokens: &Tokens) -> Result<(Vec<u8>, Option<usize>)> {
        let token = match self {
            Self::Same | Self::Forged => &tokens.bad,
            Self::Different => &tokens.stale,
        };
        let request = request(token);
        // The beginning of the signature, where every character counts.
        let signature = token.rsplit('.').next().unwrap_or_default().as_bytes();
        let place = request.windows(signature.len()).position(|window| window == signature);
        let place = place.context("the token is in the request")?;
        Ok((request, if matches!(self, Self::Same) { None } else { Some(place) }))
    }
}

/// Prints the latencies of good requests alone and beside each flood.
fn flooded(arguments: Arguments, envoys: &Envoys, tokens: &Tokens, sheet: &mut Sheet) -> Result<()> {
    let time = Duration::from_secs_f64(arguments.seconds);
    println!(
        "\ngood requests ({} a second) beside {FLOOD} a second with garbage for a token\n\n{:<42}{:>10}{:>10}{:>10}{:>12}",
        arguments.rate, "", "p50 ms", "p99 ms", "of quiet", "garbage/s"
    );
    for (name, envoy, counts) in
        [("graphwarden", &envoys.gate, true), ("jwt_authn, its cache", &envoys.jwt_authn_cached, false)]
    {
        let mut quiet = load::latencies()?;
        let mut quiet_rounds = Vec::new();
        let mut beside: Vec<(Garbage, Latencies, Vec<f64>, Vec<f64>)> = Vec::new();
        for garbage in Garbage::ALL {
            beside.push((garbage, load::latencies()?, Vec::new(), Vec::new()));
        }
        for round in 0..arguments.rounds {
            eprint!("\r{name}: round {} of {}", round + 1, arguments.rounds);
            let spell = load::pace(envoy.port(), &tokens.same, 2, time, arguments.rate)?;
            quiet.add(&spell.latencies)?;
            quiet_rounds.push(quantile(&spell.latencies, 0.99));
            for (garbage, latencies, rounds, rates) in &mut beside {
                let (spell, rate) = spell_beside(*garbage, arguments, envoy, tokens, round)?;
                latencies.add(&spell.latencies)?;
                rounds.push(quantile(&spell.latencies, 0.99));
                rates.push(rate);
            }
        }
        eprint!("\r");
        let row = |what: &str, latencies: &Latencies, ratio: String, rate: String| {
            let (p50, p99) = (quantile(latencies, 0.5), quantile(latencies, 0.99));
            println!("{what:<42}{p50:>10.2}{p99:>10.2}{ratio:>10}{rate:>12}");
        };
        row(&format!("{name}, quiet"), &quiet, String::new(), String::new());
        sheet.add(Row::new(name, "quiet", "p99", "ms", &quiet_rounds)?);
        for (garbage, latencies, rounds, rates) in beside {
            let ratio = quantile(&latencies, 0.99) / quantile(&quiet, 0.99);
            let rate = median(&sorted(rates.iter().copied()));
            row(&format!("  {}", garbage.name()), &latencies, format!("{ratio:.2}"), format!("{rate:.0}"));
            let work = format!("beside {}", garbage.name());
            let figure = Row::new(name, &work, "p99", "ms", &rounds)?.of("quiet", &rounds, &quiet_rounds)?;
            sheet.add(if counts { figure.at_most(FLOODED) } else { figure });
            let answered = Row::new(name, &work, "garbage answered", "/s", &rates)?;
            sheet.add(if counts { answered.at_least(FLOOD * 0.95) } else { answered });
        }
    }
    Ok(())
}

fn spell_beside(
    garbage: Garbage,
    arguments: Arguments,
    envoy: &Envoy,
    tokens: &Tokens,
    round: usize,
) -> Result<(load::Spell, f64)> {
    let (request, place) = garbage.request(tokens)?;
    let time = Duration::from_secs_f64(arguments.seconds);
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| {
        let floods: Vec<_> = (0..arguments.connections)
            .map(|index| {
                let (request, stop, answered) = (request.clone(), &stop, &answered);
                let numbers = Numbers {
                    first: (round as u64) << 32 | u64::from(index),
                    step: u64::from(arguments.connections),
                };
                let rate = FLOOD / f64::from(arguments.connections);
                scope.spawn(move || flood(envoy.port(), request, place, numbers, rate, stop, answered))
            })
            .collect();
        let spell = load::pace(envoy.port(), &tokens.same, 2, time, arguments.rate);
        stop.store(true, Ordering::Relaxed);
        for flood in floods {
            match flood.join() {
                Ok(ended) => ended?,
                Err(_) => bail!("a flood's thread panicked"),
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let rate = answered.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
        Ok((spell?, rate))
    })
}

/// The numbers of one connection, none of which another has.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    first: u64,
    step: u64,
}

/// Sends bad requests over one connection until told to stop. Each has to be refused.
fn flood(
    port: u16,
    mut request: Vec<u8>,
    place: Option<usize>,
    numbers: Numbers,
    rate: f64,
    stop: &AtomicBool,
    answered: &AtomicU64,
) -> Result<()> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("cannot connect")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut buffer = vec![0; 16 * 1024];
    let started = Instant::now();
    let mut sent = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        let due = started + Duration::from_secs_f64(f64::from(sent) / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if let Some(place) = place {
            let number = numbers.first + u64::from(sent) * numbers.step;
            for (index, byte) in request.iter_mut().skip(place).take(8).enumerate() {
                *byte = DIGITS[usize::try_from(number >> (6 * index) & 63)?];
            }
        }
        stream.write_all(&request).context("sending")?;
        let mut filled = 0;
        while !is_refused(buffer.get(..filled).unwrap_or_default())? {
            let count = stream.read(buffer.get_mut(filled..).unwrap_or_default()).context("reading")?;
            ensure!(count > 0, "the connection ended in the middle of an answer");
            filled += count;
        }
        sent += 1;
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Whether these bytes are a whole answer; an error when it is not a 401.
fn is_refused(bytes: &[u8]) -> Result<bool> {
    let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(false) };
    let text = String::from_utf8_lossy(bytes.get(..head).unwrap_or_default());
    ensure!(text.starts_with("HTTP/1.1 401"), "garbage was answered {text}");
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    Ok(bytes.len() >= head + 4 + length.context("no content-length")?)
}
