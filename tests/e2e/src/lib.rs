//! What the end-to-end tests share: a whole gate, and what must never be seen behind it.
//!
//! Which test belongs where: `tokens` who is calling; `hostile` the hostile tokens of the policies' own tests; `requests` what the gate takes for a request;
//! `responses` what it makes of answers that LangGraph never sends; `approvals` and `evidence` the
//! desk, there and not there; `langgraph` the real server and its SDK; `configuration` what Envoy
//! says about policies and about the files that we ship; `rules` what rules ask for beyond yes and no, and observe mode;
//! `operations` the table of operations against
//! the server's own description; `bypass` what the server did against what was judged; `ownership` two
//! people who keep to what is theirs; `istio` and `kubernetes` the manifests and the chart; `release` what `make dist` hands out;
//! `traces` and `watching` what operators see; `examples` and `ecds` what else `envoy/` ships; `init` and `lint` what the
//! program writes and judges.

pub mod corpus;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::{
    Answer, Ask, Desk, Envoy, EnvoySetup, Issuer, Person, Site, standard_policy, wait_until,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// A thread's id, for paths.
pub const THREAD: &str = "01a20302-2b19-7586-827f-8a80cbc7f389";

/// Personal data of the demo agent's customers, in every spelling that it uses. Nobody may see it.
pub const SECRETS: &[&str] = &[
    "zoe.obrien",
    "ravi.iyer",
    "@example.com",
    "@example.org",
    "555-0132",
    "555-0187",
    "078-05-1120",
    "219-09-9999",
    "4111 1111 1111 1111",
    "4111111111111111",
    "5500-0000-0000-0004",
    "3782 822463 10005",
];

/// An issuer, a desk and an Envoy with the filter, in front of something.
#[derive(Debug)]
pub struct Gate {
    /// Signs tokens.
    pub issuer: Issuer,
    /// Decides and records.
    pub desk: Desk,
    /// Lets through, or not.
    pub envoy: Envoy,
}

impl Gate {
    /// Stands before the port with the shipped policy.
    pub async fn before(site: &Site, langgraph: u16) -> Result<Self> {
        Self::with(site, langgraph, |_| {}).await
    }

    /// Stands before the port with what the test changes.
    pub async fn with(site: &Site, langgraph: u16, change: impl FnOnce(&mut EnvoySetup)) -> Result<Self> {
        let issuer = Issuer::start().await?;
        let desk = Desk::start(site, issuer.url()).await?;
        let mut setup = EnvoySetup::new(standard_policy(&issuer)?, langgraph, desk.port(), issuer.port());
        change(&mut setup);
        let envoy = Envoy::start(site, &setup).await?;
        let gate = Self { issuer, desk, envoy };
        gate.wait_for_keys().await?;
        Ok(gate)
    }

    /// A worker has the issuer's keys a moment after Envoy serves; until then the gate says 503.
    pub async fn wait_for_keys(&self) -> Result<()> {
        // A denied operation: nothing reaches the upstream, nothing is decided, but the token is read.
        let ask = Ask::get("/internal/nothing").bearer(&self.token(Person::Auditor));
        wait_until("the issuer's keys in the filter", Duration::from_secs(15), async || {
            let answer = ask.send(self.port()).await;
            answer.is_ok_and(|answer| reason(&answer) != "keys_unavailable")
        })
        .await
    }

    /// The gate's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.envoy.port()
    }

    /// A good token.
    #[must_use]
    pub fn token(&self, person: Person) -> String {
        self.issuer.token(person)
    }

    /// Sends a request with this person's token.
    pub async fn send(&self, person: Person, ask: Ask) -> Result<Answer> {
        ask.bearer(&self.token(person)).send(self.port()).await
    }

    /// Sends a run of [`billing`] in the background, as the engineer.
    #[must_use]
    pub fn bill(&self, amount: u64) -> JoinHandle<Result<Answer>> {
        let (request, port) = (billing(amount).bearer(&self.token(Person::Engineer)), self.port());
        tokio::spawn(async move { request.send(port).await })
    }

    /// The approval that waits for the manager, and its id before it.
    pub async fn waiting(&self) -> Result<(String, Value)> {
        let manager = self.token(Person::Manager);
        let approval = self.desk.wait_for_approval(&manager, Duration::from_secs(10)).await?;
        let id = approval["id"].as_str().context("an approval without an id")?.to_owned();
        Ok((id, approval))
    }

    /// The manager says `approve` or `deny`, and the desk takes it.
    pub async fn decide(&self, id: &str, decision: &str, comment: &str) -> Result<()> {
        let (status, body) = self.desk.decide(&self.token(Person::Manager), id, decision, comment).await?;
        ensure!(status == 200, "{status} {body}");
        Ok(())
    }

    /// Outcome lines in the desk, once there are as many; the gate delivers them a moment later.
    pub async fn outcomes(&self, site: &Site, count: usize) -> Result<Vec<Value>> {
        self.lines(site, "outcome", count).await
    }

    /// Lines of a kind in the desk, once there are as many.
    pub async fn lines(&self, site: &Site, kind: &str, count: usize) -> Result<Vec<Value>> {
        let found = || -> Result<Vec<Value>> {
            Ok(self.desk.export(site)?.into_iter().filter(|line| line["kind"] == kind).collect())
        };
        wait_until(&format!("{count} lines of kind {kind}"), Duration::from_secs(10), async || {
            found().is_ok_and(|lines| lines.len() >= count)
        })
        .await?;
        found()
    }
}

/// Checks that share one gate, because Envoy takes seconds to compile the filter. Each runs, whatever
/// became of those before it, and each that fails is named.
#[derive(Debug, Default)]
pub struct Checks {
    failed: Vec<String>,
    passed: usize,
}

impl Checks {
    /// Runs one check.
    pub async fn check(&mut self, behaviour: &str, check: impl Future<Output = Result<()>>) {
        match check.await {
            Ok(()) => self.passed += 1,
            Err(error) => self.failed.push(format!("{behaviour}: {error:#}")),
        }
    }

    /// Fails when any check did.
    pub fn outcome(self) -> Result<()> {
        ensure!(
            self.failed.is_empty(),
            "{} passed, {} failed\n  {}",
            self.passed,
            self.failed.len(),
            self.failed.join("\n  ")
        );
        ensure!(self.passed > 0, "nothing was checked");
        Ok(())
    }
}

/// A run of `billing`, which a manager has to agree to.
#[must_use]
pub fn billing(amount: u64) -> Ask {
    let body = json!({"assistant_id": "billing", "input": {"customer_id": "c-1001", "amount": amount, "note": "receipt to zoe.obrien@example.com"}});
    Ask::post(&format!("/threads/{THREAD}/runs/wait"), &body)
}

/// The reason code of a refusal; empty when there is none.
#[must_use]
pub fn reason(answer: &Answer) -> String {
    answer.json().ok().and_then(|body| Some(body.get("reason")?.as_str()?.to_owned())).unwrap_or_default()
}

/// Fails unless the answer is a refusal with this status and reason, in LangGraph's error shape.
pub fn expect_refusal(answer: &Answer, status: u16, code: &str) -> Result<()> {
    ensure!(
        answer.status == status && reason(answer) == code,
        "expected {status} {code}, got {} {}",
        answer.status,
        answer.text()
    );
    let body = answer.json()?;
    ensure!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "no detail: {body}");
    ensure!(body["request_id"].as_str().is_some_and(|id| !id.is_empty()), "no request_id: {body}");
    Ok(())
}

/// Fails when any of the customers' data stands in the text.
pub fn expect_masked(what: &str, text: &str) -> Result<()> {
    for secret in SECRETS {
        if let Some(place) = text.find(secret) {
            let around: String =
                text.get(place.saturating_sub(60)..).unwrap_or(text).chars().take(160).collect();
            anyhow::bail!("{what} holds {secret:?}: …{around}…");
        }
    }
    Ok(())
}

/// What a reader of a `messages-tuple` stream puts together: for each message the text of its
/// deltas in order, and likewise the arguments of its tool calls.
pub fn assembled(answer: &Answer) -> Result<Vec<(String, String, String)>> {
    let mut messages: Vec<(String, String, String)> = Vec::new();
    for (event, data) in answer.events() {
        if event != "messages" && !event.starts_with("messages|") {
            continue;
        }
        let data: Value = serde_json::from_str(&data).with_context(|| format!("event {event}: {data}"))?;
        let message = &data[0];
        let id = message["id"].as_str().unwrap_or_default().to_owned();
        if !messages.iter().any(|(known, _, _)| *known == id) {
            messages.push((id.clone(), String::new(), String::new()));
        }
        let Some((_, text, arguments)) = messages.iter_mut().find(|(known, _, _)| *known == id) else {
            continue;
        };
        text.push_str(message["content"].as_str().unwrap_or_default());
        for chunk in message["tool_call_chunks"].as_array().into_iter().flatten() {
            arguments.push_str(chunk["args"].as_str().unwrap_or_default());
        }
    }
    Ok(messages)
}
