//! A policy that changes under steady load, by ECDS: `envoy/ecds` with a file that Envoy watches.
//!
//! Requests are due at fixed times whether or not earlier ones are answered; a stall is how late an answer is. Every
//! answer has to be whole, a 200, and judged by one of the two policies.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::{Envoy, Port, Tools, free_port};
use serde_json::{Value, json};

use super::bench::Bench;
use super::fit::median;
use super::work::{SECRET, Work};
use crate::load::Connection;
use crate::results::{Row, Sheet};

/// How late a request may be answered while the policy changes, in milliseconds.
const BAR: f64 = 50.0;
/// Connections of the load, a thread each.
const CONNECTIONS: u32 = 4;
/// Requests a second.
const RATE: f64 = 400.0;
/// Between changes; each takes far less.
const BETWEEN: Duration = Duration::from_millis(1500);
/// What stands in the place of an e-mail address under each of two policies.
const MASKS: [&str; 2] = ["[FIRST]", "[SECOND]"];

/// When a request was due, after the beginning, how late its answer was, and which policy judged it.
type Answered = (Duration, Duration, usize);

/// Changes the policy so many times.
pub(super) fn measure(bench: &Bench, changes: usize, sheet: &mut Sheet) -> Result<()> {
    let (port, admin) = (free_port()?, free_port()?);
    fs::create_dir_all(bench.site.folder().join("gate"))?;
    hand_out(bench, 0)?;
    let config = config(bench, [&port, &admin])?;
    let environment = [("LANGGRAPH_API_KEY", "key")];
    crate::pin(crate::Core::Proxy);
    let envoy = bench.runtime.block_on(Envoy::start_text(
        &bench.site,
        ("change", &config),
        (port, admin),
        &environment,
    ));
    crate::pin(crate::Core::Load);
    let envoy = envoy?;
    let request = Work::Json(4096).request(&bench.token);
    settle(envoy.port(), &request)?;

    let began = Instant::now();
    let time = BETWEEN * u32::try_from(changes + 1)?;
    let mut changed = Vec::new();
    let answers = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CONNECTIONS)
            .map(|index| {
                let (port, request) = (envoy.port(), request.as_slice());
                scope.spawn(move || call(port, request, index, began, time))
            })
            .collect();
        for change in 1..=changes {
            std::thread::sleep((began + BETWEEN * u32::try_from(change)?).duration_since(Instant::now()));
            hand_out(bench, change % 2)?;
            changed.push(began.elapsed());
        }
        let mut answers = Vec::new();
        for caller in callers {
            answers.extend(caller.join().map_err(|_| anyhow::anyhow!("a caller panicked"))??);
        }
        anyhow::Ok(answers)
    })?;
    for (change, at) in changed.iter().enumerate() {
        let last = answers.iter().filter(|(due, ..)| *due < *at + BETWEEN).max_by_key(|(due, ..)| *due);
        ensure!(last.is_some_and(|(.., which)| *which == (change + 1) % 2), "change {change} was not taken");
    }
    report(&answers, &changed, sheet)
}

fn report(answers: &[Answered], changed: &[Duration], sheet: &mut Sheet) -> Result<()> {
    let half = BETWEEN / 2;
    let worst = |from: Duration, to: Duration| {
        let late = answers.iter().filter(|(due, ..)| *due >= from && *due < to).map(|(_, late, _)| *late);
        late.max().map(|late| late.as_secs_f64() * 1e3).context("no answer in a spell")
    };
    // What was due a little before the change may wait for it as well.
    let early = Duration::from_millis(20);
    let stalls: Vec<f64> =
        changed.iter().map(|at| worst(at.saturating_sub(early), *at + half)).collect::<Result<_>>()?;
    let calm: Vec<f64> =
        changed.iter().map(|at| worst(*at + half, *at + BETWEEN - early)).collect::<Result<_>>()?;
    let longest = stalls.iter().copied().fold(0.0, f64::max);
    sheet.add(Row::new("graphwarden", "policy change", "longest wait around a change", "ms", &stalls)?);
    sheet.add(Row::new("graphwarden", "no change", "longest wait in as long a spell", "ms", &calm)?);
    sheet.add(Row::once("graphwarden", "policy change", "longest wait of all", "ms", longest)?.at_most(BAR));
    let all: Vec<f64> = answers.iter().map(|(_, late, _)| late.as_secs_f64() * 1e3).collect();
    sheet.add(Row::once("graphwarden", "policy change", "median", "ms", median(&all)?)?);
    Ok(())
}

/// Waits until keys and policy are there.
fn settle(port: u16, request: &[u8]) -> Result<()> {
    let began = Instant::now();
    while let Err(error) = Connection::open(port).and_then(|mut one| one.exchange(request).map(|_| ())) {
        ensure!(began.elapsed() < Duration::from_secs(20), "no answer: {error:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// One connection's share of the load.
fn call(port: u16, request: &[u8], index: u32, began: Instant, time: Duration) -> Result<Vec<Answered>> {
    let mut connection = Connection::open(port)?;
    let mut answers = Vec::new();
    for number in (index..).step_by(usize::try_from(CONNECTIONS)?) {
        let due = Duration::from_secs_f64(f64::from(number) / RATE);
        if due >= time {
            break;
        }
        std::thread::sleep((began + due).saturating_duration_since(Instant::now()));
        let answer = connection.exchange(request)?;
        let late = began.elapsed() - due;
        ensure!(memchr::memmem::find(answer, SECRET).is_none(), "not masked");
        let judged = MASKS.map(|mask| memchr::memmem::find(answer, mask.as_bytes()).is_some());
        let which = judged.iter().position(|judged| *judged).context("masked by neither policy")?;
        ensure!(judged.iter().filter(|judged| **judged).count() == 1, "masked by both policies");
        answers.push((due, late, which));
    }
    Ok(answers)
}

/// Puts one of the policies in the place of the file that Envoy watches, by moving it.
fn hand_out(bench: &Bench, which: usize) -> Result<()> {
    let text = fs::read_to_string(Tools::find().root().join("envoy/ecds/filter.yaml"))?;
    let mut document: Value = serde_saphyr::from_str(&text)?;
    let plugin = &mut document["resources"][0]["typed_config"]["config"];
    plugin["vm_config"]["code"]["local"]["filename"] = json!(bench.site.tools().module()?);
    let mut policy = bench.policy()?;
    policy["identity"]["issuers"][0]["keys"] = json!({ "inline": bench.issuer.jwks() });
    // All detectors, of which one tells which policy it was.
    policy["masking"]["detectors"] = json!([
        {"name": "email", "action": {"replace": {"with": MASKS.get(which)}}},
        "phone", "us_ssn", "payment_card", "iban", "ip_address", "date_of_birth", "secrets",
    ]);
    plugin["configuration"]["value"] = policy;
    let next = bench.site.write("next.yaml", document.to_string())?;
    fs::rename(next, bench.site.folder().join("gate/filter.yaml")).context("cannot move the file")
}

fn config(bench: &Bench, ports: [&Port; 2]) -> Result<String> {
    let text = fs::read_to_string(Tools::find().root().join("envoy/ecds/envoy.yaml"))?;
    let gate = bench.site.folder().join("gate");
    let at = |port: u16| format!("address: 127.0.0.1, port_value: {port}");
    let replaced = [
        ("/etc/envoy/gate", gate.to_str().context("path")?.to_owned()),
        ("port_value: 9901", format!("port_value: {}", ports[1].number())),
        ("address: 0.0.0.0, port_value: 8080", at(ports[0].number())),
        ("address: langgraph, port_value: 8000", at(bench.upstream())),
        ("address: desk, port_value: 8400", at(bench.upstream())),
        ("address: idp.example.com, port_value: 443", at(bench.issuer.port())),
    ];
    replaced.into_iter().try_fold(text, |text, (from, to)| {
        ensure!(text.contains(from), "no {from} in envoy/ecds/envoy.yaml");
        Ok(text.replace(from, &to))
    })
}
