//! `graphwarden-bench ledger`: the ledger under load: records appended durably in batches, an export of all of them, its verification, and what
//! evidence before action adds to a request.
//!
//! The records are sealed here, as gateways seal them: chains of admissions and outcomes with bodies, about 1.2 KB
//! each. The desk is the program that people install, over SQLite.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use blake2b_simd::Params;
use graphwarden_stand::{
    Ask, Desk, Envoy, EnvoySetup, GATEWAY_TOKEN, Issuer, Part, Person, Site, claims_for, free_port,
    standard_policy,
};
use serde_json::json;

use crate::load;
use crate::results::{Row, Sheet};

/// Records a second that have to be appended.
const RATE_BAR: f64 = 5_000.0;
/// How long export and verification of a million records may take each.
const TIME_BAR: Duration = Duration::from_secs(60);
/// Memory of an export, in MiB.
const MEMORY_BAR: u64 = 200;
/// What evidence before action may add at the median, in milliseconds.
const LATENCY_BAR: f64 = 2.0;
/// Gateways that hand in at once, and records of one batch.
const GATEWAYS: u64 = 4;
const BATCH: u64 = 200;

/// Measures, prints, and fails where a bar is missed.
pub(crate) fn measure(records: u64, desk_only: bool) -> Result<()> {
    let site = Site::new("ledger")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut sheet = Sheet::new("ledger");
    runtime
        .block_on(async {
            ledger(&site, records, &mut sheet).await?;
            if !desk_only {
                before_action(&site, &mut sheet).await?;
            }
            Ok::<_, anyhow::Error>(())
        })
        .with_context(|| format!("logs: {}", site.folder().display()))?;
    sheet.keep()?;
    site.passed();
    Ok(())
}

async fn ledger(site: &Site, records: u64, sheet: &mut Sheet) -> Result<()> {
    let database = site.folder().join("ledger.db");
    let port = free_port()?;
    let mut command = Command::new(site.tools().program()?);
    command
        .args(["serve", "--listen", &format!("127.0.0.1:{}", port.number()), "--database"])
        .arg(&database)
        .env("GRAPHWARDEN_TOKEN", GATEWAY_TOKEN)
        .env("GRAPHWARDEN_LOG", "warn")
        .current_dir(site.folder());
    let mut desk = Part::start("ledger", site.folder(), &command)?;
    let url = format!("http://127.0.0.1:{}/readyz", port.number());
    desk.ready(Duration::from_secs(20), async || Ask::get("/readyz").send(port.number()).await.is_ok())
        .await
        .with_context(|| url.clone())?;

    let each = records / GATEWAYS;
    let began = Instant::now();
    let gateways: Vec<_> = (0..GATEWAYS)
        .map(|gateway| {
            let port = port.number();
            std::thread::spawn(move || hand_in(port, gateway, each))
        })
        .collect();
    let mut memory = Vec::new();
    while gateways.iter().any(|gateway| !gateway.is_finished()) {
        memory.extend(desk.memory_mib());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let mut bytes = 0;
    for gateway in gateways {
        bytes += gateway.join().map_err(|_| anyhow::anyhow!("a gateway panicked"))??;
    }
    let took = began.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = (each * GATEWAYS) as f64 / took.as_secs_f64();
    let early = memory.get(memory.len() / 5).copied().unwrap_or(0);
    let late = memory.iter().copied().max().unwrap_or(0);
    println!(
        "appended   {} records of {} bytes in {:.1} s: {rate:.0}/s (bar {RATE_BAR:.0}); the desk's memory {early} MiB early on, {late} MiB at most",
        each * GATEWAYS,
        bytes / (each * GATEWAYS).max(1),
        took.as_secs_f64()
    );
    let work = format!("{records} records");
    sheet.add(Row::once("appending", &work, "rate", "/s", rate)?.at_least(RATE_BAR));
    let memory = Row::once("appending", &work, "memory of the desk", "MiB", whole(late))?;
    sheet.add(memory.at_most(whole(early.max(32) * 3)));
    desk.stop(Duration::from_secs(60));

    let out = site.folder().join("ledger.zip");
    let mut export = Command::new(site.tools().program()?);
    export.args(["export", "--database"]).arg(&database).arg("--out").arg(&out);
    let (took, peak) = watched(site, "export", &export).await?;
    let size = std::fs::metadata(&out)?.len() / (1024 * 1024);
    println!(
        "exported   in {:.1} s (bar {TIME_BAR:?}), {peak} MiB of memory at most (bar {MEMORY_BAR}), a ZIP of {size} MiB",
        took.as_secs_f64()
    );
    sheet.add(Row::once("export", &work, "time", "s", took.as_secs_f64())?.at_most(TIME_BAR.as_secs_f64()));
    sheet.add(Row::once("export", &work, "memory", "MiB", whole(peak))?.at_most(whole(MEMORY_BAR)));
    let key = std::fs::read_to_string(site.folder().join("export.log"))?;
    let key = key.lines().find_map(|line| line.strip_prefix("log key: ")).context("no log key")?.to_owned();
    let mut verify = Command::new(site.tools().program()?);
    verify.arg("verify").arg(&out).args(["--key", &key]);
    let (took, peak) = watched(site, "verify", &verify).await?;
    println!("verified   in {:.1} s (bar {TIME_BAR:?}), {peak} MiB of memory at most", took.as_secs_f64());
    let row = Row::once("verification", &work, "time", "s", took.as_secs_f64())?;
    sheet.add(row.at_most(TIME_BAR.as_secs_f64()));
    Ok(())
}

fn whole(number: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let number = number as f64;
    number
}

/// Runs a command to its end; how long it took, and the most memory that was seen.
async fn watched(site: &Site, name: &str, command: &Command) -> Result<(Duration, u64)> {
    let began = Instant::now();
    let mut part = Part::start(name, site.folder(), command)?;
    let mut peak = 0;
    loop {
        if let Some(status) = part.ended() {
            ensure!(status.success(), "{name} ended with {status}:\n{}", part.log_text());
            return Ok((began.elapsed(), peak));
        }
        peak = peak.max(part.memory_mib().unwrap_or(0));
        ensure!(began.elapsed() < Duration::from_secs(600), "{name} takes for ever");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Seals and hands in `count` records as one gateway; each batch waits until the one before is durable. Returns how
/// many bytes the records had.
fn hand_in(port: u16, gateway: u64, count: u64) -> Result<u64> {
    let mut connection = load::Connection::open(port)?;
    let mut prev = "0".repeat(64);
    let (mut seq, mut bytes) = (0, 0);
    while seq < count {
        let mut body = String::new();
        for _ in 0..BATCH.min(count - seq) {
            let line = line(gateway, seq, &prev);
            prev = Params::new().hash_length(32).hash(line.as_bytes()).to_hex().to_string();
            bytes += line.len() as u64;
            body.push_str(&line);
            body.push('\n');
            seq += 1;
        }
        let head = format!(
            "POST /v1/evidence HTTP/1.1\r\nhost: desk\r\nauthorization: Bearer {GATEWAY_TOKEN}\r\n\
             content-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        connection.exchange([head.as_bytes(), body.as_bytes()].concat().as_slice())?;
    }
    Ok(bytes)
}

/// A record as the filter writes it: admissions and outcomes in turn.
fn line(gateway: u64, seq: u64, prev: &str) -> String {
    let exchange = format!("{gateway:08x}-0000-4000-8000-{:012x}", seq / 2);
    let person = (seq / 2) % 500;
    let second = seq / 200;
    let at = format!(
        "2026-11-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        1 + second / 86_400 % 28,
        second / 3_600 % 24,
        second / 60 % 60,
        second % 60,
        seq % 200 * 5_000
    );
    let answer = "{\\\"messages\\\":[{\\\"type\\\":\\\"ai\\\",\\\"content\\\":\\\"the customer's address is [EMAIL], the card ends in 1111\\\"}]}";
    let (kind, response) = if seq.is_multiple_of(2) {
        ("admission", String::new())
    } else {
        let body = format!(
            r#","response":{{"status":200,"masked":{{"email":1,"payment_card":1}},"bytes":{},"body":"{answer}","duration_us":{},"end":"complete"}}"#,
            answer.len(),
            20_000 + seq % 1_000
        );
        ("outcome", body)
    };
    format!(
        r#"{{"v":1,"chain":"bench-{gateway}","seq":{seq},"prev":"{prev}","kind":"{kind}","exchange":"{exchange}","at":"{at}","gateway":"langgraph-gate","policy":"{policy}","request_id":"{exchange}","actor":{{"issuer":"https://idp.example.com/realms/main","subject":"u-{person:06}","name":"Person Number {person}","email":"person{person}@example.com","roles":["analyst","role-{role}"],"kind":"person"}},"token":{{"jti":"{exchange}","iat":1763812000,"exp":1763815600,"alg":"RS256","kid":"key-2026-11","sha256":"{policy}"}},"source":{{"address":"10.1.2.{host}:40000","user_agent":"langgraph-sdk-py/0.3"}},"request":{{"method":"POST","path":"/threads/{exchange}/runs/wait","digest":"{policy}","bytes":132,"body":"{{\"assistant_id\":\"support_agent\",\"input\":{{\"messages\":[{{\"role\":\"user\",\"content\":\"Who is [EMAIL]?\"}}]}}}}"}},"operations":[{{"operation":"threads.create_run","class":"execute","graph":"support_agent","thread":"{exchange}"}}],"decision":{{"effect":"allow","rule":"analysts and engineers run the support agent"}}{response}}}"#,
        policy = "5f".repeat(32),
        role = person % 7,
        host = person % 250,
    )
}

/// What a commit of the desk's writes into the log of its database, about, in bytes.
const SYNCED: usize = 16 * 1024;

/// How long this disk takes to make such an append durable, with nothing of ours around it.
fn sync_alone(site: &Site) -> Result<Vec<Duration>> {
    use std::io::Write as _;
    let mut file = std::fs::File::create(site.folder().join("alone"))?;
    (0..25)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&[7; SYNCED])?;
            file.sync_all()?;
            let took = began.elapsed();
            // As the requests come: a disk that is never left alone answers faster.
            std::thread::sleep(Duration::from_millis(10));
            Ok(took)
        })
        .collect()
}

/// The same requests through two gates, one of which waits for its admission to be durable.
async fn before_action(site: &Site, sheet: &mut Sheet) -> Result<()> {
    let issuer = Issuer::start().await?;
    let token = issuer.sign_rs256(&claims_for(Person::Analyst, issuer.url(), issuer.audience()))?;
    let request = Ask::get("/threads/01a20302-2b19-7586-827f-8a80cbc7f389").bearer(&token).bytes();
    let port = free_port()?;
    let mut program = Command::new(std::env::current_exe().context("own path")?);
    program.args(["upstream", &port.number().to_string()]);
    let mut answering = Part::start("upstream", site.folder(), &program)?;
    answering
        .ready(Duration::from_secs(10), async || Ask::get("/").send(port.number()).await.is_ok())
        .await?;
    let desk = Desk::start(site, issuer.url()).await?;
    let mut gates = Vec::new();
    for (name, before) in [("afterwards", json!([])), ("before", json!(["read"]))] {
        let mut policy = standard_policy(&issuer)?;
        policy["evidence"]["before"] = before;
        let setup = EnvoySetup::new(policy, port.number(), desk.port(), issuer.port());
        let envoy = Envoy::start_on(free_port()?, free_port()?, name, site, &setup).await?;
        let (port, request) = (envoy.port(), request.clone());
        tokio::task::spawn_blocking(move || crate::check(name, port, &request)).await??;
        gates.push((envoy, load::latencies()?, Vec::new()));
    }
    let mut syncs = Vec::new();
    for _ in 0..8 {
        syncs.extend(sync_alone(site)?);
        for (envoy, all, rounds) in &mut gates {
            let (port, request) = (envoy.port(), request.clone());
            let spell = tokio::task::spawn_blocking(move || {
                load::pace(port, &request, 1, Duration::from_secs(2), 100.0)
            })
            .await??;
            all.add(&spell.latencies)?;
            rounds.push(crate::quantile(&spell.latencies, 0.5));
        }
    }
    let [after, before] =
        [0, 1].map(|index| gates.get(index).map_or(f64::NAN, |gate| crate::quantile(&gate.1, 0.5)));
    println!(
        "admission  durable before the request goes on: median {before:.2} ms, {after:.2} ms without waiting, {:.2} ms added (bar {LATENCY_BAR})",
        before - after
    );
    syncs.sort_unstable();
    let alone = syncs.get(syncs.len() / 2).copied().unwrap_or_default();
    println!(
        "the disk   alone, in the same seconds: {:.2} ms at the median for one append of {SYNCED} bytes and its fsync",
        alone.as_secs_f64() * 1_000.0
    );
    let [(_, _, without), (_, _, with)] = gates.as_slice() else { anyhow::bail!("not two gates") };
    let added: Vec<f64> = with.iter().zip(without).map(|(with, without)| with - without).collect();
    let row = Row::new("evidence before action", "100 requests/s", "added latency", "ms", &added)?;
    sheet.add(row.at_most(LATENCY_BAR));
    let alone = Row::once("the disk alone", "16 KiB and fsync", "time", "ms", alone.as_secs_f64() * 1e3)?;
    sheet.add(alone);
    Ok(())
}
