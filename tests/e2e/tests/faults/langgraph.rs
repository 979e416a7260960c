//! LangGraph, or what stands in its place, sends what it never should.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use graphwarden_e2e::{Checks, Gate, expect_masked, expect_refusal};
use graphwarden_stand::{Act, Answer, Ask, Person, Reply, Seen, Site, Upstream, run, wait_until};
use serde_json::{Value, json};

use crate::invariants::{all_is_recorded, no_worker_failed};
use crate::load::{Load, answers, each_is_told_the_truth, thread};

const JSON: (&str, &str) = ("content-type", "application/json");
const SSE: (&str, &str) = ("content-type", "text/event-stream");
const OWNER: &str = r#"{"owner":"zoe.obrien@example.com","ssn":"078-05-1120","card":"4111 1111 1111 1111"}"#;
/// A whole answer that hides behind the end of another.
const SMUGGLED: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 24\r\n\r\n{\"smuggled\":\"by a liar\"}";

fn raw(parts: &[&[u8]], end: Act) -> Vec<Act> {
    let mut acts = Vec::new();
    for part in parts {
        acts.push(Act::Send(part.to_vec()));
        acts.push(Act::Wait(Duration::from_millis(10)));
    }
    acts.push(end);
    acts
}

fn head(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = Reply::head(200, headers);
    head.extend_from_slice(b"\r\n");
    head
}

fn gzip(text: &str) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
    let _ = writer.write_all(text.as_bytes());
    writer.finish().unwrap_or_default()
}

/// A body that is no stream of events, in a chunk each.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let owner = "zoe.obrien@example.com";
    vec![
        ("no-colon", format!("data\n\ndata {OWNER}\n\n{owner}\n\n").into_bytes()),
        (
            "in-names",
            format!("event: {owner}\r\n: {owner}\r\n{owner}: 1\r\nretry: {owner}\r\ndata: {{}}\r\n\r\n")
                .into_bytes(),
        ),
        ("bare-returns", format!("event: a\rdata: {OWNER}\r\rdata: {OWNER}\r\r").into_bytes()),
        (
            "half-json",
            format!("data: {{\"owner\":\"{owner}\r\n\r\ndata: \"}}\r\n\r\ndata: {OWNER}{OWNER}\r\n\r\n")
                .into_bytes(),
        ),
        (
            "bytes",
            [b"data: \xff\xfe\x00 ".as_slice(), owner.as_bytes(), b"\xc3\r\n\r\n\x00\r\n\r\n"].concat(),
        ),
        ("byte-order-mark", format!("\u{feff}data: {OWNER}\n\n\u{feff}data: {OWNER}\n\n").into_bytes()),
        (
            "endless-line",
            [b"data: {\"owner\":\"".as_slice(), &b"x".repeat(3 << 20), owner.as_bytes(), b"\"}"].concat(),
        ),
        ("deep", format!("data: {}{OWNER}\r\n\r\n", "[".repeat(100_000)).into_bytes()),
        ("unfinished", format!("event: values\r\ndata: {OWNER}\r\n").into_bytes()),
    ]
}

/// What the upstream does for the header `fault`; without it, what a healthy one does.
fn script(seen: &Seen) -> Vec<Act> {
    let Some(fault) = seen.header("fault") else { return answers(seen) };
    let owner = OWNER.as_bytes();
    if let Some((_, body)) = malformed().into_iter().find(|(name, _)| *name == fault) {
        return Reply::chunked(200, &[SSE], &[&body], &[]);
    }
    match fault.as_str() {
        "reset" => {
            let mut start = Reply::head(200, &[SSE, ("transfer-encoding", "chunked")]);
            start.extend_from_slice(b"\r\n40\r\nevent: values\r\ndata: {\"owner\":\"zoe.obrien@exam");
            raw(&[&start], Act::Reset)
        }
        "reset-before" => vec![Act::Reset],
        "reset-head" => raw(&[b"HTTP/1.1 200 OK\r\ncontent-ty"], Act::Reset),
        "short" => raw(&[&head(&[JSON, ("content-length", "9000")]), owner], Act::Close),
        "long" => raw(&[&[whole().as_slice(), SMUGGLED.as_bytes()].concat()], Act::Wait(Duration::ZERO)),
        "long-later" => raw(&[&whole(), SMUGGLED.as_bytes()], Act::Wait(Duration::from_millis(50))),
        "two-lengths" => {
            raw(&[&head(&[JSON, ("content-length", "10"), ("content-length", "83")]), owner], Act::Close)
        }
        "length-and-chunks" => {
            let start = head(&[JSON, ("content-length", "20"), ("transfer-encoding", "chunked")]);
            raw(
                &[&start, format!("{:x}\r\n{OWNER}\r\n0\r\n\r\n", OWNER.len()).as_bytes()],
                Act::Wait(Duration::ZERO),
            )
        }
        "bad-chunk" => {
            let start = head(&[JSON, ("transfer-encoding", "chunked")]);
            raw(&[&start, b"10\r\n{\"owner\":\"zoe.ob\r\nzz\r\nrien@example.com\"}"], Act::Close)
        }
        "endless-headers" => {
            let more: Vec<u8> =
                (0..40_000).flat_map(|at| format!("x-{at}: {}\r\n", "y".repeat(60)).into_bytes()).collect();
            raw(&[b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n", &more], Act::Close)
        }
        "100" => raw(&[b"HTTP/1.1 100 Continue\r\n\r\n", &whole()], Act::Wait(Duration::ZERO)),
        "103" => raw(
            &[b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n", &whole()],
            Act::Wait(Duration::ZERO),
        ),
        "1xx-flood" => {
            raw(&[&b"HTTP/1.1 102 Processing\r\n\r\n".repeat(2_000), &whole()], Act::Wait(Duration::ZERO))
        }
        "101" => raw(
            &[
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
                owner,
            ],
            Act::Close,
        ),
        "gzip" => Reply::whole(200, &[JSON, ("content-encoding", "gzip")], &gzip(OWNER)),
        "gzip-unsaid-json" => Reply::whole(200, &[JSON], &gzip(OWNER)),
        "gzip-unsaid-text" => Reply::whole(200, &[("content-type", "text/plain")], &gzip(OWNER)),
        "gzip-unsaid-sse" => Reply::chunked(200, &[SSE], &[&gzip(&format!("data: {OWNER}\n\n"))], &[]),
        "trailers" => Reply::chunked(
            200,
            &[JSON],
            &[br#"{"mail":"zoe.obr"#, br#"ien@example.com"}"#],
            &[("x-sum", "7")],
        ),
        _ => Reply::json(500, &json!({"detail": fault})),
    }
}

fn whole() -> Vec<u8> {
    let mut all = head(&[JSON, ("content-length", &OWNER.len().to_string())]);
    all.extend_from_slice(OWNER.as_bytes());
    all
}

struct Stand<'a> {
    gate: Gate,
    upstream: Upstream,
    site: &'a Site,
    next: std::cell::Cell<u64>,
}

impl Stand<'_> {
    /// Sends a request that meets the fault, in a thread of its own.
    async fn meet(&self, fault: &str) -> Result<(String, Result<Answer>)> {
        let number = 900_000_000 + self.next.replace(self.next.get() + 1);
        let ask = Ask::get(&thread(number)).header("fault", fault);
        let answer = self.gate.send(Person::Analyst, ask).await;
        if let Ok(answer) = &answer {
            expect_masked(fault, &answer.text())?;
            ensure!(!answer.text().contains("smuggled"), "{fault}: what hid behind an answer came out");
        }
        Ok((thread(number), answer))
    }

    /// The answer lacks its end, or says in LangGraph's shape that there is none.
    async fn breaks(&self, fault: &str) -> Result<()> {
        let (path, answer) = self.meet(fault).await?;
        let answer = answer.with_context(|| format!("{fault}: nothing at all came back"))?;
        if answer.complete {
            expect_refusal(&answer, answer.status, "upstream_unavailable").context(fault.to_owned())?;
            ensure!((502..=504).contains(&answer.status), "{fault}: {}", answer.status);
            return Ok(());
        }
        ensure!(answer.status == 200, "{fault}: {answer:?}");
        wait_until(&format!("{fault}: the record that it broke off"), Duration::from_secs(10), async || {
            self.gate.desk.export(self.site).is_ok_and(|lines| {
                lines
                    .iter()
                    .any(|line| line["request"]["path"] == *path && line["response"]["end"] == "reset")
            })
        })
        .await
    }

    /// The answer is whole, and masked.
    async fn passes(&self, fault: &str) -> Result<()> {
        let answer = self.meet(fault).await?.1?;
        answer.expect_status(200)?;
        ensure!(answer.complete && answer.json()?.is_object(), "{fault}: {}", answer.text());
        Ok(())
    }
}

async fn stand<'a>(site: &'a Site, adjust: fn(&mut Value)) -> Result<(Stand<'a>, Load)> {
    let upstream = Upstream::start(script).await?;
    let gate = Gate::with(site, upstream.port(), |setup| {
        setup.concurrency = 2;
        setup.adjust = adjust;
    })
    .await?;
    let load = Load::start(&gate);
    load.passes().await?;
    Ok((Stand { gate, upstream, site, next: std::cell::Cell::new(0) }, load))
}

async fn ends_well(stand: Stand<'_>, load: Load, mut checks: Checks) -> Result<()> {
    load.passes().await?;
    let told = load.end().await?;
    checks.check("others are answered as ever", async { each_is_told_the_truth(&told, &[]).map(drop) }).await;
    checks.check("no worker failed", no_worker_failed(&stand.gate.envoy)).await;
    let export = || stand.gate.desk.export(stand.site);
    checks
        .check("all is recorded", async { all_is_recorded(export, &stand.upstream.seen()).await.map(drop) })
        .await;
    checks.outcome()
}

#[test]
fn an_upstream_that_breaks_off_or_lies_about_its_length_is_never_made_whole() {
    run("fault_lengths", async |site: &Site| {
        let (stand, load) = stand(site, |_| {}).await?;
        let mut checks = Checks::default();
        for fault in
            ["reset", "reset-before", "reset-head", "short", "two-lengths", "length-and-chunks", "bad-chunk"]
        {
            checks.check(fault, stand.breaks(fault)).await;
        }
        // The connection has bytes on it that nobody asked for, and carries no other request.
        for fault in ["long"; 10] {
            checks.check(fault, stand.passes(fault)).await;
        }
        ends_well(stand, load, checks).await
    });
}

#[test]
fn an_upstream_with_endless_headers_interim_answers_or_trailers_is_read_as_http_says() {
    run("fault_heads", async |site: &Site| {
        // What comes behind an answer while the next request is under way is taken for its answer, in HTTP/1.1 by
        // anybody: who does not trust LangGraph's framing gives each request a connection of its own.
        let alone = |config: &mut Value| {
            for cluster in config["static_resources"]["clusters"].as_array_mut().into_iter().flatten() {
                if cluster["name"] == "langgraph" {
                    cluster["typed_extension_protocol_options"] = json!({
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                            "common_http_protocol_options": {"max_requests_per_connection": 1},
                            "explicit_http_config": {"http_protocol_options": {}},
                        },
                    });
                }
            }
        };
        let (stand, load) = stand(site, alone).await?;
        let mut checks = Checks::default();
        checks.check("endless-headers", stand.breaks("endless-headers")).await;
        checks
            .check("101", async { expect_refusal(&stand.meet("101").await?.1?, 403, "upgrade_refused") })
            .await;
        for fault in ["100", "103", "1xx-flood", "trailers", "long-later", "long-later", "long-later"] {
            checks.check(fault, stand.passes(fault)).await;
        }
        ends_well(stand, load, checks).await
    });
}

#[test]
fn malformed_streams_and_hidden_compression_bring_nothing_unmasked_out() {
    run("fault_bodies", async |site: &Site| {
        let (stand, load) = stand(site, |_| {}).await?;
        let mut checks = Checks::default();
        for (fault, _) in malformed() {
            checks
                .check(fault, async {
                    let answer = stand.meet(fault).await?.1?;
                    ensure!(answer.status == 200, "{fault}: {}", answer.status);
                    Ok(())
                })
                .await;
        }
        checks
            .check("gzip", async {
                expect_refusal(&stand.meet("gzip").await?.1?, 502, "response_unmaskable")
            })
            .await;
        for fault in ["gzip-unsaid-json", "gzip-unsaid-text", "gzip-unsaid-sse"] {
            checks
                .check(fault, async {
                    let answer = stand.meet(fault).await?.1?;
                    ensure!(!answer.complete, "{fault}: passed as whole: {answer:?}");
                    ensure!(answer.body.len() < 8, "{fault}: {} bytes came out", answer.body.len());
                    Ok(())
                })
                .await;
        }
        ends_well(stand, load, checks).await
    });
}
