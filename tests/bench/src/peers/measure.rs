//! The rounds: each variant in turn under saturating load, under a fixed rate, and, where it is asked for, at half of
//! what the gate can do.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Arguments, Size, Stage, Variant, request, shapes};
use crate::load::{self, Requests};
use crate::quantile;

/// New tokens for one spell: each takes a while to sign.
const TOKENS: usize = 400;
/// The share of what a variant can do up to which it is loaded at a fixed rate: beyond, its queue is measured.
const BEARABLE: f64 = 0.7;
/// Connections of the load at half rate.
const HALF_CONNECTIONS: u32 = 16;

/// What was measured of a variant, one value a round.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// Answers a second under saturating load.
    pub(super) rate: Vec<f64>,
    /// Processor time of Envoy for an answer, in microseconds.
    pub(super) processor: Vec<f64>,
    /// The same of all processes that the answer takes, but for load and upstream.
    pub(super) together: Vec<f64>,
    /// How many of a hundred requests were refused because there was no room for their evidence.
    pub(super) refused: Vec<f64>,
    /// Latency at a fixed rate, in milliseconds; of rounds in which the variant could bear it.
    pub(super) p50: Vec<f64>,
    pub(super) p99: Vec<f64>,
    /// Latency at half of the gate's rate.
    pub(super) half_p99: Vec<f64>,
}

/// Loads every variant once in each round.
pub(super) fn rounds(
    arguments: &Arguments,
    size: Size,
    stage: &Stage<'_>,
    variants: &mut [Variant],
) -> Result<()> {
    let time = Duration::from_secs_f64(arguments.seconds);
    let same = request(size, &stage.token(0)?);
    let (pace, paced_connections) = size.pace();
    println!(
        "bodies of {}: {} rounds, {time:?} each: saturating over {} connections, then {pace} requests/s over {paced_connections}",
        size.name(),
        arguments.rounds,
        size.connections(),
    );
    let mut tokens = if variants.iter().any(|variant| variant.shape.new_tokens) {
        eprint!("signing tokens");
        stage.new_tokens(size, 1..TOKENS * arguments.rounds + 1)?
    } else {
        Vec::new()
    };
    let mut half = None;
    for variant in &*variants {
        let warm = load::saturate(variant.envoy.port(), &same, size.connections(), time / 2);
        let warm = warm.with_context(|| variant.shape.name.clone())?;
        if variant.shape.name == shapes::OURS && size == Size::Kb4 {
            half = Some(warm.rate() / 2.0);
        }
    }
    for round in 0..arguments.rounds {
        eprint!("\r\x1b[Kround {} of {}", round + 1, arguments.rounds);
        let new = tokens.split_off(tokens.len().saturating_sub(TOKENS));
        for variant in &mut *variants {
            let name = variant.shape.name.clone();
            let requests =
                if variant.shape.new_tokens { Requests::once(new.clone()) } else { Requests::same(&same) };
            spell(variant, size, stage, &requests, time).with_context(|| name.clone())?;
            if variant.shape.new_tokens {
                continue;
            }
            let port = variant.envoy.port();
            if variant.measured.rate.last().is_some_and(|rate| rate * BEARABLE >= pace) {
                let paced = load::pace(port, &same, paced_connections, time, pace);
                let paced = paced.with_context(|| name.clone())?;
                variant.measured.p50.push(quantile(&paced.latencies, 0.5));
                variant.measured.p99.push(quantile(&paced.latencies, 0.99));
            }
            if let Some(half) = half.filter(|_| [shapes::NOOP, shapes::OURS].contains(&name.as_str())) {
                let spell = load::pace(port, &same, HALF_CONNECTIONS, time, half).with_context(|| name)?;
                variant.measured.half_p99.push(quantile(&spell.latencies, 0.99));
            }
        }
    }
    eprintln!("\r\x1b[K");
    Ok(())
}

/// Saturating load, and what it takes.
fn spell(
    variant: &mut Variant,
    size: Size,
    stage: &Stage<'_>,
    requests: &Requests,
    time: Duration,
) -> Result<()> {
    let beside = |variant: &Variant| -> Option<Duration> {
        let desk = variant.shape.desk.then_some(&stage.desk_part);
        variant.servers.iter().chain(desk).map(graphwarden_stand::Part::processor_time).sum()
    };
    let before = (variant.envoy.processor_time(), beside(variant));
    let spell = load::saturate_each(variant.envoy.port(), requests, size.connections(), time)?;
    let after = (variant.envoy.processor_time(), beside(variant));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let answers = spell.answers.max(1) as f64;
    let spent = |before: Option<Duration>, after: Option<Duration>| {
        Some(after?.saturating_sub(before?).as_secs_f64() * 1e6 / answers)
    };
    let measured = &mut variant.measured;
    measured.rate.push(spell.rate());
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let asked = (spell.answers + spell.refused).max(1) as f64;
    measured.refused.push((asked - answers) / asked * 100.0);
    if let Some(envoy) = spent(before.0, after.0) {
        measured.processor.push(envoy);
        measured.together.extend(spent(before.1, after.1).map(|beside| envoy + beside));
    }
    Ok(())
}
