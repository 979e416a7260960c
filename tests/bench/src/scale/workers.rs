//! What each further worker costs in memory: a VM of its own, with the module compiled once for all.

use anyhow::Result;

use super::bench::{Bench, idle, memory};
use super::growth::add_line;
use crate::results::{Row, Sheet};

/// Envoy with one worker to four, after each has answered.
pub(super) fn measure(bench: &Bench, sheet: &mut Sheet) -> Result<()> {
    for (variant, filter) in bench.variants()? {
        let mut points = Vec::new();
        for workers in [1, 2, 4] {
            let mut setup = bench.setup(filter.clone(), bench.policy()?);
            setup.concurrency = workers;
            let envoy = bench.envoy(variant, &setup)?;
            let (amount, held) = (f64::from(workers), memory(&envoy)? / 1024.0);
            points.push((amount, held));
            let work = if workers == 1 { "1 worker".to_owned() } else { format!("{workers} workers") };
            sheet.add(Row::once(variant, &work, "memory", "MiB", held)?.over(amount));
            let cost = idle(&envoy)?;
            let row = Row::once(variant, &work, "processor time while nothing happens", "ms/s", cost)?;
            sheet.add(row.over(amount));
        }
        add_line(variant, "memory", ("MiB", "each further worker", 1.0), true, &points, sheet)?;
    }
    Ok(())
}
