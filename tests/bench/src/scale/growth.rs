//! What more bytes, rules and detectors cost: Envoy's processor time a request over the amount of work, beside the
//! same Envoy with the filter that does nothing, and the line through it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::{Envoy, Filter};
use serde_json::{Value, json};

use super::bench::{Bench, processor};
use super::fit::{Line, median};
use super::work::{Work, ask, is_masked};
use crate::load;
use crate::results::{Row, Sheet};

/// Connections that ask at once; a few, so that the worker is never idle.
const CONNECTIONS: u32 = 4;
/// How much steeper than the line through all points the last stretch may be.
const STEEPEST: f64 = 1.5;
const NO_OP: &str = "no-op wasm";
const OURS: &str = "graphwarden";

/// How thoroughly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    pub(super) rounds: usize,
    /// Of load for each point and round.
    pub(super) spell: Duration,
}

/// One point: so much work, done by one Envoy.
struct Cell<'a> {
    variant: &'static str,
    amount: f64,
    work: String,
    envoy: &'a Envoy,
    request: Vec<u8>,
    /// Processor time a request, of each round.
    costs: Vec<f64>,
}

/// What is said of a line: per how many units of work, what those are called, and whether each is like the others.
struct Told<'a> {
    per: f64,
    unit: &'a str,
    alike: bool,
}

/// Response bodies from 1 KB to 10 MB.
pub(super) fn bytes(bench: &Bench, effort: Effort, sheet: &mut Sheet) -> Result<()> {
    let sizes = [1 << 10, 4 << 10, 16 << 10, 100 << 10, 1 << 20, 10 << 20];
    let works = sizes.map(|size| (size, Work::Json(size), shown(size)));
    sized(bench, effort, sheet, &works)
}

/// Request bodies from 1 KB to 3 MB.
pub(super) fn uploads(bench: &Bench, effort: Effort, sheet: &mut Sheet) -> Result<()> {
    let sizes = [1 << 10, 16 << 10, 100 << 10, 1 << 20, 3 << 20];
    let works = sizes.map(|size| (size, Work::Upload(size), shown(size)));
    sized(bench, effort, sheet, &works)
}

fn sized(bench: &Bench, effort: Effort, sheet: &mut Sheet, works: &[(usize, Work, String)]) -> Result<()> {
    let no_op = bench.envoy(NO_OP, &bench.setup(bench.no_op()?, bench.policy()?))?;
    let ours = bench.envoy(OURS, &bench.setup(Filter::Graphwarden, bench.policy()?))?;
    let mut cells = Vec::new();
    for (size, work, name) in works {
        for (variant, envoy) in [(NO_OP, &no_op), (OURS, &ours)] {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let amount = *size as f64;
            cells.push(Cell::new(bench, variant, amount, name.clone(), envoy, *work)?);
        }
    }
    run(&mut cells, effort)?;
    rows(&cells, true, sheet)?;
    let told = Told { per: 1024.0, unit: "each further KB", alike: true };
    line(&cells, NO_OP, &told, sheet)?;
    line(&cells, OURS, &told, sheet)
}

/// 1 to 1,000 rules, of which only the last fits.
pub(super) fn rules(bench: &Bench, effort: Effort, sheet: &mut Sheet) -> Result<()> {
    let mut envoys = Vec::new();
    for count in [1_u32, 10, 100, 1_000] {
        let mut policy = bench.policy()?;
        let mut rules: Vec<Value> = (1..count)
            .map(|index| {
                json!({"name": format!("rule {index}"), "operations": ["threads.read"], "then": "deny",
                    "when": format!("identity.email == \"nobody-{index}@example.com\"")})
            })
            .collect();
        rules.push(json!({"name": "last", "operations": ["threads.read"], "then": "allow"}));
        policy["access"] = json!({ "rules": rules });
        let envoy = bench.envoy(&format!("rules-{count}"), &bench.setup(Filter::Graphwarden, policy))?;
        envoys.push((f64::from(count), format!("{count} rules"), envoy));
    }
    let told = Told { per: 1.0, unit: "each further rule", alike: true };
    over_envoys(bench, effort, sheet, &envoys, Work::Json(4 << 10), &told)
}

/// One detector to all of them, on 100 KB.
pub(super) fn detectors(bench: &Bench, effort: Effort, sheet: &mut Sheet) -> Result<()> {
    const NAMES: [&str; 15] = [
        "email",
        "us_ssn",
        "us_itin",
        "payment_card",
        "iban",
        "ip_address",
        "mac_address",
        "date_of_birth",
        "us_passport",
        "us_driver_license",
        "us_bank_routing",
        "uk_nhs",
        "phone",
        "crypto_address",
        "secrets",
    ];
    let mut envoys = Vec::new();
    for count in [1_u32, 4, 8, 12, 15] {
        let mut policy = bench.policy()?;
        policy["masking"] = json!({"detectors": NAMES.get(..usize::try_from(count)?)});
        let envoy = bench.envoy(&format!("detectors-{count}"), &bench.setup(Filter::Graphwarden, policy))?;
        envoys.push((f64::from(count), format!("{count} detectors"), envoy));
    }
    // Some look for more than others do, so the line is only their mean.
    let told = Told { per: 1.0, unit: "each further detector", alike: false };
    over_envoys(bench, effort, sheet, &envoys, Work::Json(100 << 10), &told)
}

fn over_envoys(
    bench: &Bench,
    effort: Effort,
    sheet: &mut Sheet,
    envoys: &[(f64, String, Envoy)],
    work: Work,
    told: &Told<'_>,
) -> Result<()> {
    let cells =
        envoys.iter().map(|(amount, name, envoy)| Cell::new(bench, OURS, *amount, name.clone(), envoy, work));
    let mut cells = cells.collect::<Result<Vec<_>>>()?;
    run(&mut cells, effort)?;
    rows(&cells, false, sheet)?;
    line(&cells, OURS, told, sheet)
}

impl<'a> Cell<'a> {
    /// Asks once, to see that what will be timed is right.
    fn new(
        bench: &Bench,
        variant: &'static str,
        amount: f64,
        work: String,
        envoy: &'a Envoy,
        asked: Work,
    ) -> Result<Self> {
        let request = asked.request(&bench.token);
        let answer = ask(envoy.port(), &request).with_context(|| format!("{variant}, {work}"))?;
        match asked {
            Work::Upload(size) => {
                let whole = format!("{{\"taken\":{size}}}");
                let came = memchr::memmem::find(&answer, whole.as_bytes()).is_some();
                ensure!(
                    came,
                    "{variant}: not all of {size} bytes came: {}",
                    String::from_utf8_lossy(&answer)
                );
            }
            Work::Json(size) => {
                ensure!(is_masked(&answer)? == (variant == OURS), "{variant}, {work}: masked or not");
                ensure!(answer.len() > size / 2, "{variant}, {work}: {} bytes", answer.len());
            }
            Work::Events(..) | Work::Open { .. } => {}
        }
        Ok(Self { variant, amount, work, envoy, request, costs: Vec::new() })
    }
}

/// All cells in turn, round by round.
fn run(cells: &mut [Cell<'_>], effort: Effort) -> Result<()> {
    for round in 0..=effort.rounds {
        for cell in cells.iter_mut() {
            let before = processor(cell.envoy)?;
            let spell = load::saturate(cell.envoy.port(), &cell.request, CONNECTIONS, effort.spell)
                .with_context(|| format!("{}, {}", cell.variant, cell.work))?;
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let cost = (processor(cell.envoy)? - before) / spell.answers.max(1) as f64;
            // The first round only warms.
            if round > 0 {
                cell.costs.push(cost);
            }
        }
    }
    Ok(())
}

fn rows(cells: &[Cell<'_>], beside_no_op: bool, sheet: &mut Sheet) -> Result<()> {
    for cell in cells {
        let mut row =
            Row::new(cell.variant, &cell.work, "processor time", "µs", &cell.costs)?.over(cell.amount);
        let base = cells.iter().find(|base| base.variant == NO_OP && base.work == cell.work);
        if let Some(base) = base.filter(|_| beside_no_op && cell.variant != NO_OP) {
            row = row.of(NO_OP, &cell.costs, &base.costs)?;
        }
        sheet.add(row);
    }
    Ok(())
}

/// The line through a variant's medians.
fn line(cells: &[Cell<'_>], variant: &str, told: &Told<'_>, sheet: &mut Sheet) -> Result<()> {
    let points = cells
        .iter()
        .filter(|cell| cell.variant == variant)
        .map(|cell| Ok((cell.amount, median(&cell.costs)?)))
        .collect::<Result<Vec<_>>>()?;
    add_line(variant, "processor time", ("µs", told.unit, told.per), told.alike, &points, sheet)
}

/// The rows of a line: what it starts with, what each further unit costs, how well it fits, and how much steeper its
/// last stretch is, which has a bar where all units are alike.
pub(super) fn add_line(
    variant: &str,
    metric: &str,
    (unit, each, per): (&str, &str, f64),
    alike: bool,
    points: &[(f64, f64)],
    sheet: &mut Sheet,
) -> Result<()> {
    let line = Line::through(points).with_context(|| format!("{variant}: {each}"))?;
    let verdict = if !alike {
        ""
    } else if line.is_linear() {
        "; linear"
    } else {
        "; faster than linear"
    };
    eprintln!(
        "{variant}: {:.4} {unit} of {metric} for {each}, from {:.1} {unit}; r² {:.3}{verdict}",
        line.slope * per,
        line.start,
        line.r2
    );
    sheet.add(Row::once(variant, each, &format!("{metric} by the line"), unit, line.slope * per)?);
    sheet.add(Row::once(variant, each, "start of the line", unit, line.start)?);
    sheet.add(Row::once(variant, each, "r²", "", line.r2)?);
    // How steep noise is does not matter where hardly anything grows.
    let (first, last) = (points.first().context("no point")?.1, points.last().context("no point")?.1);
    let row = Row::once(variant, each, "last stretch, of the line", "", line.last)?;
    sheet.add(if alike && variant.starts_with(OURS) && last > 1.5 * first {
        row.at_most(STEEPEST)
    } else {
        row
    });
    Ok(())
}

fn shown(size: usize) -> String {
    if size >= 1 << 20 { format!("{} MB", size >> 20) } else { format!("{} KB", size >> 10) }
}
