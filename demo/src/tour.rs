//! The guided walk. Each step sends real requests through the gate, prints them, and says whether
//! what came back is what should have.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use graphwarden_stand::{Answer, Ask, Person, wait_until};
use serde_json::{Value, json};

use crate::parts::Parts;
use crate::screen::{Screen, Tint};

/// Values of the agent's customer that may not leave. They are invented.
const SECRETS: [&str; 5] =
    ["zoe.obrien", "078-05-1120", "555-0132", "4111 1111 1111 1111", "4111111111111111"];

/// What the walk keeps from step to step.
struct Walk<'a> {
    screen: &'a Screen,
    parts: &'a Parts,
    right: bool,
}

/// Walks all steps; `true` when every one came out right.
pub(crate) async fn walk(screen: &Screen, parts: &Parts) -> Result<bool> {
    let mut walk = Walk { screen, parts, right: true };
    walk.no_token().await?;
    walk.no_right().await?;
    let thread = walk.masked_answer().await?;
    walk.masked_stream(&thread).await?;
    walk.approval().await?;
    walk.evidence().await?;
    screen.heading(if walk.right { "Every step came out right" } else { "Not every step came out right" });
    Ok(walk.right)
}

impl Walk<'_> {
    async fn no_token(&mut self) -> Result<()> {
        self.screen.heading("1  Nobody in particular asks");
        let body = json!({});
        self.screen.request("without a token", "POST", "/threads", Some(&body));
        let answer = self.send(Ask::post("/threads", &body)).await?;
        self.check(
            answer.status == 401 && field(&answer, "reason") == "token_missing",
            "refused: who calls is not known, so nothing reached LangGraph",
        );
        Ok(())
    }

    async fn no_right(&mut self) -> Result<()> {
        self.screen.heading("2  Someone known asks for what their role does not cover");
        let body = json!({"assistant_id": "support_agent", "input": {"messages": []}});
        self.screen.request(&describe(Person::Auditor), "POST", "/runs/wait", Some(&body));
        let answer = self.send(Ask::post("/runs/wait", &body).bearer(&self.token(Person::Auditor))).await?;
        self.check(
            answer.status == 403 && field(&answer, "reason") == "access_denied",
            "refused: the operation is known, and no rule allows it to an auditor",
        );
        Ok(())
    }

    async fn masked_answer(&mut self) -> Result<String> {
        self.screen.heading("3  An analyst asks the support agent, and gets the answer masked");
        let token = self.token(Person::Analyst);
        let body = json!({});
        self.screen.request(&describe(Person::Analyst), "POST", "/threads", Some(&body));
        let answer = self.send(Ask::post("/threads", &body).bearer(&token)).await?;
        let thread = field(&answer, "thread_id");
        let path = format!("/threads/{thread}/runs/wait");
        let body = question();
        self.screen.request(&describe(Person::Analyst), "POST", &path, Some(&body));
        let answer = self.send(Ask::post(&path, &body).bearer(&token)).await?;
        let said = last_message(&answer.json().unwrap_or_default());
        self.screen.block(&said, Tint::Bold);

        // The same thread, asked of LangGraph itself: this is what the gate kept back.
        let state = Ask::get(&format!("/threads/{thread}/state")).send(self.parts.langgraph.port()).await?;
        let state = state.json()?;
        let unmasked = last_message(&state["values"]);
        self.screen.note("what LangGraph holds, read past the gate:");
        self.screen.block(&unmasked, Tint::Dim);
        self.check(
            answer.status == 200
                && said.contains("Zoë O'Brien")
                && clean(&answer.text())
                && unmasked.contains("078-05-1120"),
            "e-mail, telephone, social security number and card are masked, the rest is untouched",
        );
        Ok(thread)
    }

    async fn masked_stream(&mut self, thread: &str) -> Result<()> {
        self.screen.heading("4  The same as a stream, five letters at a time");
        let mut body = question();
        body["stream_mode"] = json!(["messages-tuple"]);
        let path = format!("/threads/{thread}/runs/stream");
        self.screen.request(&describe(Person::Analyst), "POST", &path, Some(&body));
        let answer = self.send(Ask::post(&path, &body).bearer(&self.token(Person::Analyst))).await?;
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        let mut order = Vec::new();
        let mut pieces = 0;
        for (event, data) in answer.events() {
            let Ok(data) = serde_json::from_str::<Value>(&data) else { continue };
            let (Some(id), Some(text)) = (data[0]["id"].as_str(), data[0]["content"].as_str()) else {
                continue;
            };
            if event == "messages" && data[0]["type"] == "AIMessageChunk" {
                if !texts.contains_key(id) {
                    order.push(id.to_owned());
                }
                texts.entry(id.to_owned()).or_default().push_str(text);
                pieces += 1;
            }
        }
        let whole: Vec<&String> = order.iter().filter_map(|id| texts.get(id)).collect();
        for text in &whole {
            self.screen.block(text, Tint::Bold);
        }
        self.screen.note(&format!("put together from {pieces} events, over {} reads", answer.arrivals.len()));
        let assembled = whole.iter().map(|text| text.as_str()).collect::<Vec<_>>().join("\n");
        self.check(
            answer.status == 200
                && answer.complete
                && pieces > 10
                && answer.arrivals.len() > 3
                && clean(&answer.text())
                && clean(&assembled)
                && assembled.contains("Done ✓"),
            "no event held a whole value, and yet none can be put together from them",
        );
        Ok(())
    }

    async fn approval(&mut self) -> Result<()> {
        self.screen.heading("5  A production run waits until a manager agrees");
        let (engineer, manager) = (self.token(Person::Engineer), self.token(Person::Manager));
        let answer =
            Ask::post("/threads", &json!({})).bearer(&engineer).send(self.parts.envoy.port()).await?;
        let path = format!("/threads/{}/runs/wait", field(&answer, "thread_id"));
        let input =
            json!({"customer_id": "c-1001", "amount": 240, "note": "refund to zoe.obrien@example.com"});
        let body = json!({"assistant_id": "billing", "input": input});
        self.screen.request(&describe(Person::Engineer), "POST", &path, Some(&body));
        let (request, port) = (
            Ask::post(&path, &body).bearer(&engineer).within(Duration::from_secs(60)),
            self.parts.envoy.port(),
        );
        let began = Instant::now();
        let asked = tokio::spawn(async move { request.send(port).await });

        let approval = self.parts.desk.wait_for_approval(&manager, Duration::from_secs(15)).await?;
        let id = approval["id"].as_str().context("an approval without an id")?.to_owned();
        let charges = self.parts.langgraph.charges().len();
        self.screen.note("held. What the manager sees at the desk:");
        let text =
            |pointer: &str| approval.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        self.screen.field("asks", &format!("{} <{}>", text("/requester/name"), text("/requester/email")));
        self.screen.field(
            "for",
            &format!("{} on graph {}", text("/operations/0/operation"), text("/operations/0/graph")),
        );
        self.screen.field("rule", &text("/rule"));
        self.screen.field("body", &text("/preview/body"));
        self.screen.field("page", &text("/url"));
        self.check(
            charges == 0 && clean(&approval.to_string()),
            "nothing was charged yet, and the preview is masked",
        );

        let decision = json!({"decision": "approve"});
        let at = format!("desk /v1/approvals/{id}/decisions");
        self.screen.request(&describe(Person::Engineer), "POST", &at, Some(&decision));
        let (status, refusal) = self.parts.desk.decide(&engineer, &id, "approve", "").await?;
        self.screen
            .block(&format!("{status} {}", refusal["detail"].as_str().unwrap_or_default()), Tint::Yellow);
        self.check(
            status == 403 && self.parts.langgraph.charges().is_empty(),
            "nobody agrees to their own request",
        );

        self.screen.request(&describe(Person::Manager), "POST", &at, Some(&decision));
        let (status, _) =
            self.parts.desk.decide(&manager, &id, "approve", "checked with the customer").await?;
        let answer = asked.await.context("the held request")??;
        self.screen.answer(&answer, began.elapsed());
        self.screen.block(&answer.text(), Tint::Bold);
        self.check(
            status == 200
                && answer.status == 200
                && clean(&answer.text())
                && self.parts.langgraph.charges().len() == 1,
            "the very request that waited went on, charged once, and its receipt is masked",
        );
        Ok(())
    }

    async fn evidence(&mut self) -> Result<()> {
        self.screen.heading("6  The evidence of all that");
        // Five requests were let through or refused in the steps above; reads come a moment later.
        wait_until("the evidence", Duration::from_secs(15), async || {
            self.parts.desk.export(&self.parts.site).is_ok_and(|lines| {
                lines
                    .iter()
                    .filter(|line| line["kind"] == "outcome" && line["response"]["status"] == 200)
                    .count()
                    >= 5
            })
        })
        .await?;
        let text = self.parts.desk.export_text(&self.parts.site)?;
        self.screen.note(
            "graphwarden export, a line each; every line holds the hash of the one before it in its chain",
        );
        let mut heads: BTreeMap<String, (u64, String)> = BTreeMap::new();
        let mut unbroken = true;
        let mut count = 0;
        for line in text.lines() {
            let value: Value = serde_json::from_str(line).context("a line of the export")?;
            let hash = blake2b_simd::Params::new().hash_length(32).hash(line.as_bytes()).to_hex().to_string();
            let chain = value["chain"].as_str().unwrap_or_default().to_owned();
            let (seq, prev) =
                (value["seq"].as_u64().unwrap_or_default(), value["prev"].as_str().unwrap_or_default());
            if let Some((last, expected)) = heads.get(&chain) {
                unbroken &= seq == last + 1 && prev == expected;
            }
            self.screen.say(&evidence_line(&value, &hash));
            heads.insert(chain, (seq, hash));
            count += 1;
        }
        let wanted = ["token_missing", "access_denied"].iter().all(|reason| text.contains(reason))
            && text.contains("\"admission\"")
            && text.contains("role")
            && text.contains("approv");
        self.check(
            unbroken && wanted && clean(&text),
            &format!(
                "{count} lines in {} chains, each bound to the one before; no masked value in any",
                heads.len()
            ),
        );
        Ok(())
    }

    /// Sends through the gate and prints the answer.
    async fn send(&self, ask: Ask) -> Result<Answer> {
        let began = Instant::now();
        let answer = ask.send(self.parts.envoy.port()).await?;
        self.screen.answer(&answer, began.elapsed());
        Ok(answer)
    }

    fn token(&self, person: Person) -> String {
        self.parts.issuer.token(person)
    }

    fn check(&mut self, right: bool, text: &str) {
        self.right &= right;
        self.screen.verdict(right, text);
    }
}

fn question() -> Value {
    json!({
        "assistant_id": "support_agent",
        "input": {"messages": [{"role": "user", "content": "Who is customer c-1001?"}]},
    })
}

fn describe(person: Person) -> String {
    format!("as {}, role {}", person.name(), person.role())
}

fn field(answer: &Answer, name: &str) -> String {
    answer.json().ok().and_then(|body| Some(body.get(name)?.as_str()?.to_owned())).unwrap_or_default()
}

fn last_message(values: &Value) -> String {
    let messages = values["messages"].as_array();
    messages.and_then(|all| all.last()?["content"].as_str()).unwrap_or_default().to_owned()
}

/// Whether none of the customer's values stands in the text.
fn clean(text: &str) -> bool {
    SECRETS.iter().all(|secret| !text.contains(secret))
}

/// One line of evidence in columns.
fn evidence_line(line: &Value, hash: &str) -> String {
    let text = |pointer: &str| line.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |pointer: &str| line.pointer(pointer).map(Value::to_string).unwrap_or_default();
    let masked: Vec<String> = line["response"]["masked"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(detector, count)| format!("{count} {detector}"))
        .collect();
    let outcome = [
        text("/decision/effect"),
        text("/decision/reason"),
        text("/approval/status"),
        text("/event"),
        masked.join(", "),
    ];
    let outcome: Vec<String> = outcome.into_iter().filter(|part| !part.is_empty()).collect();
    format!(
        "{:<8} {:<9} {:<13} {:<19} {:<4} {:<50}",
        hash.get(..8).unwrap_or_default(),
        text("/kind"),
        text("/actor/name"),
        text("/operations/0/operation"),
        number("/response/status"),
        outcome.join(" · "),
    )
}
