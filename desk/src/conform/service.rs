//! Speaking to the service as a gate does, and taking for an answer only what the gate takes for one.

use std::time::{Duration, Instant};

use rand::RngCore;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use url::Url;

/// How much later than its wait an answer may come.
const GRACE: Duration = Duration::from_secs(5);

/// The service under test.
#[derive(Debug, Clone)]
pub struct Service {
    http: Client,
    url: String,
    token: String,
    approver: String,
}

/// What it answered.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) took: Duration,
}

/// A sound answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) took: Duration,
    body: Value,
}

impl Answer {
    /// Issuer and subject of everyone who decided so, each once.
    pub(super) fn who(&self, decision: &str) -> Vec<(String, String)> {
        let mut people: Vec<(String, String)> = Vec::new();
        for taken in self.body["decisions"].as_array().into_iter().flatten() {
            let member = |name: &str| taken["approver"][name].as_str().unwrap_or_default().to_owned();
            let person = (member("issuer"), member("subject"));
            if taken["decision"] == decision && !people.contains(&person) {
                people.push(person);
            }
        }
        people
    }
}

impl Service {
    /// A service at `url`, which is where a gate sends `POST`; `approver` is who decides in the checks, as
    /// `role:NAME`, `group:NAME` or `subject:ID`.
    pub fn new(url: &Url, token: String, approver: String) -> anyhow::Result<Self> {
        let mut url = url.clone();
        if url.path() == "/" {
            url.set_path("/v1/approvals");
        }
        let http = Client::builder().timeout(Duration::from_secs(40)).no_proxy().build()?;
        Ok(Self { http, url: url.as_str().trim_end_matches('/').to_owned(), token, approver })
    }

    /// A question that nobody has asked before.
    pub(super) fn question(&self) -> Value {
        json!({
            "exchange": random_id(),
            "requester": {"issuer": "https://conform.invalid", "subject": random_id(), "name": "Conformance",
                          "email": null, "roles": ["conform"]},
            "operations": [{"operation": "threads.create_run", "class": "execute", "graph": "conform"}],
            "rule": "conformance",
            "asks": {"approvers": [self.approver], "quorum": 1, "valid_seconds": 600, "expires_seconds": 3600},
            "policy": "ab".repeat(32),
            "digest": random_digest(),
            "preview": {"method": "POST", "path": "/threads/t/runs", "body": "{}", "truncated": false},
            "gateway": "conform",
        })
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        token: Option<&str>,
        wait: u64,
        body: Option<String>,
    ) -> Result<Reply, String> {
        let began = Instant::now();
        let mut request = self
            .http
            .request(method, url)
            .header("prefer", format!("wait={wait}"))
            .timeout(Duration::from_secs(wait) + GRACE);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = request.send().await.map_err(|error| {
            let what = if error.is_timeout() { "it did not answer in time" } else { "the connection broke" };
            what.to_owned()
        })?;
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.map_err(|_| "its answer broke off".to_owned())?;
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Reply { status, body, took: began.elapsed() })
    }

    /// Asks with any text as the body and any token.
    pub(super) async fn post(&self, token: Option<&str>, body: String) -> Result<Reply, String> {
        self.send(Method::POST, &self.url, token, 0, Some(body)).await
    }

    /// Sends any text with the gateway's token.
    pub(super) async fn ask_text(&self, body: String) -> Result<Reply, String> {
        self.post(Some(&self.token), body).await
    }

    /// Asks, whatever the answer.
    pub(super) async fn ask_raw(&self, question: &Value) -> Result<Reply, String> {
        self.post(Some(&self.token), question.to_string()).await
    }

    /// Asks, for a sound answer, waiting up to so many seconds.
    pub(super) async fn ask_waiting(&self, question: &Value, wait: u64) -> Result<Answer, String> {
        let body = Some(question.to_string());
        let reply = self.send(Method::POST, &self.url, Some(&self.token), wait, body).await?;
        sound(reply)
    }

    /// Asks, for a sound answer at once.
    pub(super) async fn ask(&self, question: &Value) -> Result<Answer, String> {
        self.ask_waiting(question, 0).await
    }

    /// Asks, for an answer that stands so.
    pub(super) async fn expect(&self, question: &Value, status: &str, when: &str) -> Result<Answer, String> {
        let answer = self.ask(question).await.map_err(|what| format!("{when}: {what}"))?;
        if answer.status == status {
            Ok(answer)
        } else {
            Err(format!("{when} it answers `{}` instead of `{status}`", answer.status))
        }
    }

    /// Asks, for anything but a grant; what it is instead.
    pub(super) async fn expect_no_grant(&self, question: &Value, when: &str) -> Result<(), String> {
        let reply = self.ask_raw(question).await.map_err(|what| format!("{when}: {what}"))?;
        match sound(reply) {
            Ok(answer) if answer.status == "approved" => Err(format!("{when} it says `approved`")),
            _ => Ok(()),
        }
    }

    /// Asks, for a refusal by status.
    pub(super) async fn expect_refusal(&self, question: &Value, what: &str) -> Result<(), String> {
        let reply = self.ask_raw(question).await.map_err(|error| format!("{what}: {error}"))?;
        refused(&reply, what)
    }

    /// Withdraws; the status of the answer.
    pub(super) async fn withdraw(&self, id: &str, exchange: &str, with_token: bool) -> Result<u16, String> {
        let url = format!("{}/{id}?exchange={exchange}", self.url);
        let token = with_token.then_some(self.token.as_str());
        Ok(self.send(Method::DELETE, &url, token, 0, None).await?.status)
    }

    /// Withdraws by the exchange alone; the status of the answer.
    pub(super) async fn withdraw_exchange(&self, exchange: &str) -> Result<u16, String> {
        let url = format!("{}?exchange={exchange}", self.url);
        Ok(self.send(Method::DELETE, &url, Some(&self.token), 0, None).await?.status)
    }
}

/// Whether a reply refuses the question for good.
pub(super) fn refused(reply: &Reply, what: &str) -> Result<(), String> {
    match reply.status {
        400..=499 => Ok(()),
        status => Err(format!("{what} is answered with {status} instead of being refused")),
    }
}

/// Reads an answer as the gate does: an exact 200, an id that is safe in a path, a status of the contract.
pub(super) fn sound(reply: Reply) -> Result<Answer, String> {
    let Reply { status: code, body, took } = reply;
    if code != 200 {
        return Err(format!("it answers {code}, and the gate takes only an exact 200"));
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (id, status) = (text("id"), text("status"));
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if id.is_empty() || id.len() > 128 || !id.bytes().all(safe) {
        return Err("its answer has no `id` of letters, digits, `-`, `_` and `.`".to_owned());
    }
    if !["pending", "approved", "denied", "expired", "cancelled"].contains(&status.as_str()) {
        return Err("its answer has no `status` that the contract knows".to_owned());
    }
    Ok(Answer { id, status, took, body })
}

/// A question with a member set, by JSON pointer.
pub(super) fn with(question: &Value, pointer: &str, value: Value) -> Value {
    let mut question = question.clone();
    match question.pointer_mut(pointer) {
        Some(member) => *member = value,
        None => {
            if let Some((parent, name)) = pointer.rsplit_once('/')
                && let Some(parent) = question.pointer_mut(parent)
            {
                parent[name] = value;
            }
        }
    }
    question
}

/// The same question by another exchange.
pub(super) fn again(question: &Value) -> Value {
    with(question, "/exchange", json!(random_id()))
}

/// The exchange of a question.
pub(super) fn exchange(question: &Value) -> &str {
    question["exchange"].as_str().unwrap_or_default()
}

fn random_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// 64 hexadecimal digits.
pub(super) fn random_digest() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
