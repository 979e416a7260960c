//! Start-up: from Envoy's start to the first answer through the filter, with the module compiled and the policy read,
//! beside the same Envoy without it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::{Envoy, EnvoySetup, Filter, free_port};

use super::bench::Bench;
use super::work::{Work, is_masked};
use crate::load::Connection;
use crate::results::{Row, Sheet};

/// What starting with our module may take, in seconds.
const BAR: f64 = 1.5;
/// Between attempts to get an answer.
const PAUSE: Duration = Duration::from_millis(2);

/// Starts each variant in turn, so many times, on all cores.
pub(super) fn measure(bench: &Bench, rounds: usize, sheet: &mut Sheet) -> Result<()> {
    let variants = bench.variants()?;
    let mut times = vec![Vec::new(); variants.len()];
    for _ in 0..rounds {
        for ((name, filter), times) in variants.iter().zip(&mut times) {
            let setup = bench.setup(filter.clone(), bench.policy()?);
            let took = first_answer(bench, &setup).with_context(|| (*name).to_owned())?;
            times.push(took.as_secs_f64());
        }
    }
    for ((name, filter), times) in variants.iter().zip(&times) {
        let row = Row::new(name, "start", "to the first answer", "s", times)?;
        sheet.add(if matches!(filter, Filter::Graphwarden) { row.at_most(BAR) } else { row });
    }
    Ok(())
}

/// How long it takes from the start of Envoy to its first 200, which has to be masked or not as the filter says.
fn first_answer(bench: &Bench, setup: &EnvoySetup) -> Result<Duration> {
    let (port, admin) = (free_port()?, free_port()?);
    let number = port.number();
    let request = Work::Json(4096).request(&bench.token);
    super::bench::everywhere();
    let began = Instant::now();
    let asking = std::thread::spawn(move || {
        loop {
            let answer = Connection::open(number)
                .and_then(|mut connection| connection.exchange(&request).map(<[u8]>::to_vec));
            if let Ok(answer) = answer {
                return Ok((began.elapsed(), answer));
            }
            ensure!(began.elapsed() < Duration::from_secs(60), "no answer within a minute");
            std::thread::sleep(PAUSE);
        }
    });
    let envoy = bench.runtime.block_on(Envoy::start_on(port, admin, "start", &bench.site, setup))?;
    crate::pin(crate::Core::Load);
    let (took, answer) = asking.join().map_err(|_| anyhow::anyhow!("the asking thread panicked"))??;
    let masked = matches!(setup.filter, Filter::Graphwarden);
    ensure!(is_masked(&answer)? == masked, "masked is not {masked}");
    drop(envoy);
    Ok(took)
}
