//! `graphwarden-bench profile`: where the processor time of a request goes, inside the module by its own stopwatches (a
//! build that nobody else loads), and outside of it by what is left of Envoy's.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use super::shapes::{Masks, NOOP, OURS, Shape};
use super::{Size, Stage, Variant, check, request, shapes};
use crate::load;
use crate::results::{Row, Sheet};

/// What can be told to `profile`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Arguments {
    /// Rounds; each loads every variant once
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of saturating load for each variant and round
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

/// What the stopwatches time, and what they are called here.
const WATCHES: [(&str, &str); 8] = [
    ("request_headers", "the request's headers, out of the host"),
    ("source", "the caller's address, out of the host"),
    ("judging", "token, operation, rules: the verdict"),
    ("editing", "the request's headers, told to the host"),
    ("response_headers", "the response's headers"),
    ("response_body", "masking"),
    ("end", "the record: written and chained"),
    ("root", "delivering evidence, and its answers"),
];
/// All of the request's callback, in which four of them run.
const REQUEST: &str = "request";
/// How many of them run in it.
const IN_REQUEST: usize = 4;

/// Nanoseconds of each watch since Envoy started; the request's callback is the last.
type Sums = [f64; WATCHES.len() + 1];

/// One round of a variant.
struct Spell {
    /// Of Envoy's processor time, for an answer, in microseconds.
    processor: f64,
    /// The watches' times, for an answer, in microseconds.
    parts: Sums,
}

impl Stage<'_> {
    /// Measures, prints and keeps it.
    pub(crate) fn profile(&self, arguments: &Arguments) -> Result<()> {
        let module = self.site.tools().root().join("target/bench/stopwatch.wasm");
        ensure!(module.is_file(), "{} is missing; `make profile` builds it", module.display());
        let size = Size::Kb4;
        let (noop, ours) = self.shapes(&module)?;
        let (noop, ours) = (self.variant(noop, "profile-noop")?, self.variant(ours, "profile-ours")?);
        let token = self.token(0)?;
        for variant in [&noop, &ours] {
            self.runtime.block_on(check(variant, size, &token)).context(variant.shape.name.clone())?;
        }
        let same = request(size, &token);
        let time = Duration::from_secs_f64(arguments.seconds);
        for variant in [&noop, &ours] {
            load::saturate(variant.envoy.port(), &same, size.connections(), time)?;
        }
        let (mut idle, mut spells) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds {
            idle.push(self.watched(&noop, size, &same, time)?.processor);
            spells.push(self.watched(&ours, size, &same, time)?);
        }
        let sheet = sheet(&idle, &spells)?;
        print(sheet.rows());
        sheet.keep()
    }

    /// The filter that does nothing, and ours with its stopwatches.
    fn shapes(&self, module: &PathBuf) -> Result<(Shape, Shape)> {
        let all = shapes::all(self.site, &self.issuer, std::slice::from_ref(module))?;
        let (mut noop, mut ours) = (None, None);
        for shape in all {
            match shape.name.as_str() {
                NOOP => noop = Some(shape),
                "stopwatch" => ours = Some(Shape { name: OURS.to_owned(), ..shape }),
                _ => {}
            }
        }
        let ours = ours.filter(|shape| shape.desk && shape.masks == Masks::FormsAndFields);
        Ok((noop.context("no variant that does nothing")?, ours.context("no variant of ours")?))
    }

    /// Saturating load, and what Envoy and the watches say of it.
    fn watched(&self, variant: &Variant, size: Size, request: &[u8], time: Duration) -> Result<Spell> {
        let before = (variant.envoy.processor_time(), self.sums(variant)?);
        let spell = load::saturate(variant.envoy.port(), request, size.connections(), time)?;
        let processor = variant.envoy.processor_time();
        let after = self.sums(variant)?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let answers = spell.answers.max(1) as f64;
        let spent = processor.zip(before.0).context("the kernel does not tell processor time")?;
        let mut parts = after;
        parts
            .iter_mut()
            .zip(before.1)
            .for_each(|(after, before)| *after = (*after - before) / 1_000.0 / answers);
        Ok(Spell { processor: spent.0.saturating_sub(spent.1).as_secs_f64() * 1e6 / answers, parts })
    }

    /// What the watches have counted.
    fn sums(&self, variant: &Variant) -> Result<Sums> {
        let page = self.runtime.block_on(variant.envoy.prometheus())?;
        let mut sums = [0.0; WATCHES.len() + 1];
        for (sum, name) in sums.iter_mut().zip(WATCHES.map(|(name, _)| name).into_iter().chain([REQUEST])) {
            let name = format!("graphwarden_time_{name}");
            *sum = page
                .lines()
                .filter(|line| line.split(['{', ' ']).next().is_some_and(|key| key.ends_with(&name)))
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum();
        }
        Ok(sums)
    }
}

/// The figures, one value a round.
fn sheet(idle: &[f64], spells: &[Spell]) -> Result<Sheet> {
    let mut sheet = Sheet::new("profile");
    let mut add = |variant: &str, of: &dyn Fn(usize, &Spell) -> f64| -> Result<()> {
        let rounds: Vec<f64> = spells.iter().enumerate().map(|(round, spell)| of(round, spell)).collect();
        sheet.add(Row::new(variant, Size::Kb4.name(), "processor", "µs", &rounds)?);
        Ok(())
    };
    let idle = |round: usize| idle.get(round).copied().unwrap_or_default();
    let watch = |spell: &Spell, index: usize| spell.parts.get(index).copied().unwrap_or_default();
    let request = |spell: &Spell| watch(spell, WATCHES.len());
    let after: fn(&Spell) -> f64 = |spell| spell.parts.iter().take(WATCHES.len()).skip(IN_REQUEST).sum();
    let within: fn(&Spell) -> f64 = |spell| spell.parts.iter().take(IN_REQUEST).sum();
    add("Envoy with a filter that does nothing", &|round, _| idle(round))?;
    for (index, (_, what)) in WATCHES.iter().enumerate() {
        add(what, &|_, spell| watch(spell, index))?;
        if index + 1 == IN_REQUEST {
            add("the rest of the request's callback", &|_, spell| request(spell) - within(spell))?;
        }
    }
    add("in the module, all", &|_, spell| request(spell) + after(spell))?;
    add("outside of it, more than with a filter that does nothing", &|round, spell| {
        spell.processor - idle(round) - request(spell) - after(spell)
    })?;
    add("Envoy with graphwarden", &|_, spell| spell.processor)?;
    Ok(sheet)
}

fn print(rows: &[Row]) {
    println!("\nprocessor time of a request with 4 KB, µs: median over rounds");
    for row in rows {
        println!("{:<60}{:>8.1}", row.variant, row.median);
    }
}
