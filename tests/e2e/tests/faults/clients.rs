//! Callers that stall, vanish, pipeline, close their half, or send byte by byte.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::{Checks, Gate, billing, expect_masked, expect_refusal};
use graphwarden_stand::{Act, Ask, Person, Reply, Seen, Site, Upstream, run, wait_until};
use serde_json::{Value, json};

use crate::invariants::{all_is_recorded, no_worker_failed};
use crate::load::{Load, answers, each_is_told_the_truth, run_of, thread};

/// Streams for as long as anybody listens where it is asked to, else answers.
fn script(seen: &Seen) -> Vec<Act> {
    if seen.header("stream").is_none() {
        return answers(seen);
    }
    let mut head =
        Reply::head(200, &[("content-type", "text/event-stream"), ("transfer-encoding", "chunked")]);
    head.extend_from_slice(b"\r\n");
    let event = "data: {\"owner\":\"zoe.obrien@example.com\"}\n\n";
    let mut acts = vec![Act::Send(head)];
    for _ in 0..500 {
        acts.push(Act::Send(format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()));
        acts.push(Act::Wait(Duration::from_millis(20)));
    }
    acts
}

struct Stand<'a> {
    gate: Gate,
    upstream: Upstream,
    site: &'a Site,
}

impl Stand<'_> {
    fn ask(&self, ask: Ask) -> Ask {
        ask.bearer(&self.gate.token(Person::Analyst))
    }

    async fn recorded(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Result<()> {
        wait_until(&format!("the record of {path}"), Duration::from_secs(20), async || {
            self.gate.desk.export(self.site).is_ok_and(|lines| {
                lines
                    .iter()
                    .any(|line| line["kind"] == "outcome" && line["request"]["path"] == path && holds(line))
            })
        })
        .await
    }

    /// Half a head comes and no more: Envoy waits for the rest as long as its `request_headers_timeout` says.
    async fn stalls(&self) -> Result<()> {
        let path = thread(600_000_001);
        let bytes = self.ask(Ask::get(&path)).bytes();
        let answer =
            Raw::open(self.gate.port(), bytes.get(..90).unwrap_or_default()).await?.read_all().await?;
        ensure!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        ensure!(!self.upstream.seen().iter().any(|seen| seen.target == path), "half a head was forwarded");
        Ok(())
    }

    /// The head comes byte by byte, and so does the body.
    async fn is_slow(&self) -> Result<()> {
        let bytes = self.ask(run_of(600_000_002)).bytes();
        let mut talk = Raw::open(self.gate.port(), b"").await?;
        for piece in bytes.chunks(16) {
            talk.write(piece).await?;
            tokio::task::yield_now().await;
        }
        let answer = talk.read().await?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        expect_masked("the answer", &answer)
    }

    /// Goes away in the middle of an answer.
    async fn vanishes(&self) -> Result<()> {
        let path = thread(600_000_003);
        let mut talk = self.ask(Ask::get(&path)).header("stream", "1").open(self.gate.port()).await?;
        talk.until("data:", Duration::from_secs(10)).await?;
        drop(talk);
        self.recorded(&path, |line| line["response"]["end"] == "client_gone").await
    }

    /// Goes away while people decide: what they agree to afterwards is not forwarded.
    async fn vanishes_while_held(&self) -> Result<()> {
        let talk = billing(4_711).bearer(&self.gate.token(Person::Engineer)).open(self.gate.port()).await?;
        let manager = self.gate.token(Person::Manager);
        self.gate.desk.wait_for_approval(&manager, Duration::from_secs(10)).await?;
        drop(talk);
        wait_until("the withdrawal", Duration::from_secs(10), async || {
            self.gate.desk.open_approvals(&manager).await.is_ok_and(|open| open.is_empty())
        })
        .await
    }

    /// Asks twice in one breath, the second time for what has to be refused.
    async fn pipelines(&self) -> Result<()> {
        let (one, two) = (thread(600_000_004), thread(600_000_005));
        let bytes = [
            self.ask(Ask::get(&one)).bytes(),
            self.ask(Ask::new("DELETE", &two)).bytes(),
            self.ask(run_of(600_000_006)).bytes(),
            Ask::get(&two).header("connection", "close").bytes(),
        ]
        .concat();
        let answers = Raw::open(self.gate.port(), &bytes).await?.read_all().await?;
        let statuses: Vec<&str> =
            answers.match_indices("HTTP/1.1 ").filter_map(|(at, _)| answers.get(at + 9..at + 12)).collect();
        ensure!(statuses == ["200", "403", "200", "401"], "{statuses:?} {answers}");
        expect_masked("the answers", &answers)?;
        let seen = self.upstream.seen();
        ensure!(seen.iter().any(|seen| seen.target == one), "the first did not arrive");
        ensure!(!seen.iter().any(|seen| seen.target == two), "what was refused was forwarded");
        Ok(())
    }

    /// A request held for people, and another behind it on the same connection: that one waits its turn.
    async fn pipelines_behind_a_hold(&self) -> Result<()> {
        let held = billing(4_712).bearer(&self.gate.token(Person::Engineer)).bytes();
        let behind = self.ask(Ask::get(&thread(600_000_007))).header("connection", "close").bytes();
        let mut talk = Raw::open(self.gate.port(), &[held, behind].concat()).await?;
        let (id, _) = self.gate.waiting().await?;
        let path = thread(600_000_007);
        ensure!(!self.upstream.seen().iter().any(|seen| seen.target == path), "it overtook the held one");
        self.gate.decide(&id, "deny", "").await?;
        let answers = talk.read_all().await?;
        let (first, second) = answers.split_at(answers.rfind("HTTP/1.1 ").unwrap_or(0));
        ensure!(first.contains("approval_denied") && second.starts_with("HTTP/1.1 200"), "{answers}");
        Ok(())
    }

    /// Closes its sending half after the request: to HTTP/1.1 in Envoy it is gone.
    async fn closes_its_half(&self) -> Result<()> {
        let path = thread(600_000_008);
        let bytes = self.ask(Ask::get(&path)).header("stream", "1").bytes();
        let mut talk = Raw::open(self.gate.port(), &bytes).await?;
        talk.close_half().await?;
        let answer = talk.read_all().await?;
        expect_masked("the answer", &answer)?;
        self.recorded(&path, |line| line["response"]["end"] == "client_gone" || line["response"].is_null())
            .await
    }

    /// Says that more comes than does, and goes.
    async fn sends_less_than_it_says(&self) -> Result<()> {
        let path = format!("{}/runs/wait", thread(600_000_009));
        let bytes = self.ask(run_of(600_000_009)).bytes();
        let mut talk = Raw::open(self.gate.port(), bytes.get(..bytes.len() - 1).unwrap_or_default()).await?;
        talk.close_half().await?;
        drop(talk.read_all().await);
        ensure!(!self.upstream.seen().iter().any(|seen| seen.target == path), "half a body was forwarded");
        Ok(())
    }
}

/// A connection without any idea of HTTP.
struct Raw(tokio::net::TcpStream);

impl Raw {
    async fn open(port: u16, bytes: &[u8]) -> Result<Self> {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let mut raw = Self(stream);
        raw.write(bytes).await?;
        Ok(raw)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(tokio::io::AsyncWriteExt::write_all(&mut self.0, bytes).await?)
    }

    async fn close_half(&mut self) -> Result<()> {
        Ok(tokio::io::AsyncWriteExt::shutdown(&mut self.0).await?)
    }

    /// What comes until something that ends an answer of JSON, or the end.
    async fn read(&mut self) -> Result<String> {
        self.until(|text| text.ends_with('}') || text.ends_with("\r\n0\r\n\r\n")).await
    }

    async fn read_all(&mut self) -> Result<String> {
        self.until(|_| false).await
    }

    async fn until(&mut self, enough: impl Fn(&str) -> bool) -> Result<String> {
        let mut all = Vec::new();
        let reading = async {
            let mut block = vec![0; 64 << 10];
            loop {
                let count = tokio::io::AsyncReadExt::read(&mut self.0, &mut block).await.unwrap_or(0);
                all.extend(block.iter().take(count));
                if count == 0 || enough(&String::from_utf8_lossy(&all)) {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(40), reading).await.context("nothing ends")?;
        Ok(String::from_utf8_lossy(&all).into_owned())
    }
}

#[test]
fn callers_that_stall_vanish_pipeline_or_close_their_half_harm_nobody_but_themselves() {
    run("fault_clients", async |site: &Site| {
        let upstream = Upstream::start(script).await?;
        let gate = Gate::with(site, upstream.port(), |setup| {
            setup.concurrency = 2;
            setup.adjust = |config| {
                let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
                if let Some(manager) = config.pointer_mut(manager) {
                    manager["request_headers_timeout"] = json!("2s");
                }
            };
        })
        .await?;
        let load = Load::start(&gate);
        load.passes().await?;
        let stand = Stand { gate, upstream, site };
        let mut checks = Checks::default();
        checks.check("sends slowly", stand.is_slow()).await;
        checks.check("vanishes in the middle of an answer", stand.vanishes()).await;
        checks.check("vanishes while held", stand.vanishes_while_held()).await;
        checks.check("pipelines", stand.pipelines()).await;
        checks.check("pipelines behind a hold", stand.pipelines_behind_a_hold()).await;
        checks.check("closes its half", stand.closes_its_half()).await;
        checks.check("sends less than it says", stand.sends_less_than_it_says()).await;
        checks.check("stalls in the middle of its head", stand.stalls()).await;
        load.passes().await?;
        let told = load.end().await?;
        checks
            .check("others are answered as ever", async { each_is_told_the_truth(&told, &[]).map(drop) })
            .await;
        checks.check("no worker failed", no_worker_failed(&stand.gate.envoy)).await;
        let export = || stand.gate.desk.export(site);
        checks
            .check("all is recorded", async {
                all_is_recorded(export, &stand.upstream.seen()).await.map(drop)
            })
            .await;
        checks
            .check("strangers are refused as ever", async {
                expect_refusal(&Ask::get(&thread(1)).send(stand.gate.port()).await?, 401, "token_missing")
            })
            .await;
        checks.outcome()
    });
}
