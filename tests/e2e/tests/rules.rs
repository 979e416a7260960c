//! What rules ask for beyond yes and no: obligations, facts about a body's fields, and a gate that only observes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::{Checks, Gate, THREAD, expect_refusal, reason};
use graphwarden_stand::{Ask, Person, Reply, Site, Upstream, run, wait_until};
use serde_json::{Value, json};

/// Masked by no rule of the shipped policy, and by the default detectors neither.
const SALARY: &str = "91,500 a year";

async fn upstream() -> Result<Upstream> {
    Upstream::start(|_| {
        let body = json!({"thread_id": THREAD, "salary": SALARY, "host": "203.0.113.7", "n": 1});
        Reply::json(200, &body)
    })
    .await
}

/// A field, how a run sets it, and how a rule sees it.
fn fields() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("webhook", json!({"webhook": "https://hooks.example.com/x"}), "operation.webhook != \"\""),
        (
            "configurable",
            json!({"config": {"configurable": {"model": "m"}}}),
            "\"model\" in operation.configurable",
        ),
        ("context", json!({"context": {"locale": "en"}}), "\"locale\" in operation.context"),
        ("resume", json!({"command": {"resume": "yes"}}), "operation.resume"),
        ("update", json!({"command": {"update": {"a": 1}}}), "operation.update"),
        ("goto", json!({"command": {"goto": "node"}}), "operation.goto"),
        ("checkpoint", json!({"checkpoint": {"checkpoint_id": THREAD}}), "operation.checkpoint"),
        (
            "multitask_strategy",
            json!({"multitask_strategy": "enqueue"}),
            "operation.multitask_strategy == \"enqueue\"",
        ),
        ("if_not_exists", json!({"if_not_exists": "create"}), "operation.if_not_exists == \"create\""),
        ("on_disconnect", json!({"on_disconnect": "continue"}), "operation.on_disconnect == \"continue\""),
        ("on_completion", json!({"on_completion": "delete"}), "operation.on_completion == \"delete\""),
        ("after_seconds", json!({"after_seconds": 9}), "operation.deferred"),
        ("stream_mode", json!({"stream_mode": ["debug"]}), "\"debug\" in operation.stream_modes"),
    ]
}

/// Reads of a thread are obliged, searches are not; each field has a rule that denies it by name.
fn policy(policy: &mut Value) {
    policy["operations"] = json!({
        "public": ["system.health"], "webhooks": ["hooks.example.com"], "configurable": ["model"], "context": ["locale"],
    });
    let mut rules = vec![
        json!({
            "name": "careful", "operations": ["threads.read"], "then": "allow",
            "obligations": {"before": true, "mask": {"keys": ["salary"], "detectors": ["ip_address"]}},
        }),
        json!({
            "name": "no history", "operations": ["threads.create"], "when": "operation.supersteps",
            "then": {"deny": "supersteps"},
        }),
        json!({
            "name": "no sharing", "operations": ["threads.create"], "when": "operation.if_exists == \"do_nothing\"",
            "then": {"deny": "if_exists"},
        }),
    ];
    rules.extend(fields().into_iter().map(|(name, _, when)| {
        json!({"name": name, "operations": ["threads.create_run"], "when": when, "then": {"deny": name}})
    }));
    rules.push(json!({"name": "nothing later", "operations": ["crons.create"], "then": {"deny": "cron"}}));
    rules.push(json!({
        "name": "the rest",
        "operations": ["threads.search", "threads.create_run", "threads.create", "threads.update", "threads.delete"],
        "then": "allow",
    }));
    policy["access"] = json!({"rules": rules});
    policy["evidence"]["before"] = json!([]);
}

#[test]
fn rules_oblige_and_see_what_a_body_asks_for() {
    run("rules", async |site: &Site| -> Result<()> {
        let upstream = upstream().await?;
        let mut gate = Gate::with(site, upstream.port(), |setup| policy(&mut setup.policy)).await?;
        let mut checks = Checks::default();
        checks.check("more is masked where a rule asks for it", extra_masking(&gate)).await;
        checks.check("the record comes first where a rule asks for it", before(&gate, site)).await;
        checks.check("each field is seen by name", each_field(&gate, &upstream)).await;
        checks.check("fields that get round the gate are closed", closed_fields(&gate, &upstream)).await;
        checks.check("without a ledger nothing that is obliged", no_ledger(&mut gate, &upstream)).await;
        checks.outcome()
    });
}

/// What is asked: its name, who asks, the request; the rule and the reason of the record.
type Observed = (&'static str, Option<Person>, Ask, Option<&'static str>, Option<&'static str>);

fn read_thread() -> Ask {
    Ask::get(&format!("/threads/{THREAD}"))
}

fn search() -> Ask {
    Ask::post("/threads/search", &json!({}))
}

async fn extra_masking(gate: &Gate) -> Result<()> {
    let careful = gate.send(Person::Analyst, read_thread()).await?;
    careful.expect_status(200)?;
    let body = careful.json()?;
    ensure!(!careful.text().contains("91,500") && !careful.text().contains("203.0.113.7"), "{body}");
    ensure!(body["thread_id"] == THREAD && body["n"] == 1, "{body}");
    let plain = gate.send(Person::Analyst, search()).await?.json()?;
    ensure!(plain["salary"] == SALARY && plain["host"] == "203.0.113.7", "{plain}");
    Ok(())
}

async fn before(gate: &Gate, site: &Site) -> Result<()> {
    gate.send(Person::Engineer, search()).await?.expect_status(200)?;
    gate.send(Person::Engineer, read_thread()).await?.expect_status(200)?;
    // Outcomes follow in batches: other exchanges' may be there long before.
    wait_until("the outcomes of what was admitted", Duration::from_secs(10), async || {
        let (Ok(admissions), Ok(outcomes)) =
            (gate.lines(site, "admission", 1).await, gate.outcomes(site, 1).await)
        else {
            return false;
        };
        admissions.iter().all(|line| outcomes.iter().any(|outcome| outcome["exchange"] == line["exchange"]))
    })
    .await?;
    let admissions = gate.lines(site, "admission", 1).await?;
    ensure!(
        admissions.iter().all(|line| line["operations"][0]["operation"] == "threads.read"),
        "only what is obliged is written down first: {admissions:?}"
    );
    let outcomes = gate.outcomes(site, 1).await?;
    for admission in &admissions {
        let outcome = outcomes.iter().find(|line| line["exchange"] == admission["exchange"]);
        let outcome = outcome.context("no outcome of what was admitted")?;
        ensure!(admission["decision"]["rule"] == "careful" && outcome["decision"]["rule"] == "careful");
        ensure!(admission["seq"].as_u64() < outcome["seq"].as_u64(), "{admission} {outcome}");
    }
    Ok(())
}

async fn each_field(gate: &Gate, upstream: &Upstream) -> Result<()> {
    let path = format!("/threads/{THREAD}/runs/wait");
    let plain = json!({"assistant_id": "support_agent", "input": {}});
    gate.send(Person::Analyst, Ask::post(&path, &plain)).await?.expect_status(200)?;
    upstream.forget();
    let with = |field: &Value| {
        let mut body = plain.clone();
        for (name, value) in field.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body
    };
    let mut asks: Vec<(&str, Ask)> =
        fields().iter().map(|(name, field, _)| (*name, Ask::post(&path, &with(field)))).collect();
    // In one run of a batch, and in a command, it is the same field.
    let resumed = with(&json!({"on_completion": "delete"}));
    asks.push(("on_completion", Ask::post("/runs/batch", &json!([plain, resumed]))));
    let command = json!({"id": 1, "method": "input.respond", "params": {"interrupt_id": "i", "response": 1}});
    asks.push(("resume", Ask::post(&format!("/threads/{THREAD}/commands"), &command)));
    asks.push(("supersteps", Ask::post("/threads", &json!({"supersteps": []}))));
    asks.push(("if_exists", Ask::post("/threads", &json!({"thread_id": THREAD, "if_exists": "do_nothing"}))));
    asks.push(("cron", Ask::post("/runs/crons", &with(&json!({"schedule": "* * * * *"})))));
    for (name, ask) in asks {
        let answer = gate.send(Person::Analyst, ask).await?;
        expect_refusal(&answer, 403, "access_denied").context(name)?;
        ensure!(answer.json()?["detail"] == name, "{name}: denied by another rule: {}", answer.text());
    }
    ensure!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    Ok(())
}

async fn closed_fields(gate: &Gate, upstream: &Upstream) -> Result<()> {
    upstream.forget();
    let path = format!("/threads/{THREAD}/runs/wait");
    for (name, field) in [
        ("webhook", json!({"webhook": "https://elsewhere.example.com/x"})),
        ("configurable", json!({"config": {"configurable": {"temperature": 1}}})),
        ("a caller-made identity", json!({"config": {"configurable": {"user_id": "u-mia"}}})),
        (
            "the server's identity",
            json!({"config": {"configurable": {"langgraph_auth_user": {"identity": "u-mia"}}}}),
        ),
        ("another thread", json!({"config": {"configurable": {"thread_id": gate.envoy.port().to_string()}}})),
        ("context", json!({"context": {"user_id": "u-mia"}})),
        ("checkpoint", json!({"checkpoint": {"checkpoint_id": THREAD, "user_id": "u-mia"}})),
        ("command", json!({"command": {"send": []}})),
        ("what nobody knows", json!({"run_as": "u-mia"})),
    ] {
        let mut body = json!({"assistant_id": "support_agent", "input": {}});
        for (name, value) in field.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let answer = gate.send(Person::Manager, Ask::post(&path, &body)).await?;
        expect_refusal(&answer, 403, "field_refused").context(name)?;
    }
    ensure!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    Ok(())
}

async fn no_ledger(gate: &mut Gate, upstream: &Upstream) -> Result<()> {
    gate.desk.kill();
    upstream.forget();
    let answer = gate.send(Person::Analyst, read_thread()).await?;
    expect_refusal(&answer, 503, "evidence_unavailable")?;
    ensure!(upstream.seen().is_empty(), "it was read before its record was durable");
    gate.send(Person::Analyst, search()).await?.expect_status(200)?;
    Ok(())
}

#[test]
fn an_observing_gate_refuses_nothing_and_says_what_it_would_have() {
    run("observe", async |site: &Site| -> Result<()> {
        let upstream = upstream().await?;
        let gate = Gate::with(site, upstream.port(), |setup| {
            setup.policy["mode"] = json!("observe");
            setup.policy["access"]["rules"].as_array_mut().into_iter().for_each(|rules| {
                let closed = json!({"name": "closed for now (7.1)", "operations": ["threads.search"], "then": {"deny": "x"}});
                rules.insert(0, closed);
            });
        })
        .await?;
        upstream.forget();
        let run_path = format!("/threads/{THREAD}/runs/wait");
        let billing = json!({"assistant_id": "billing", "input": {"amount": 1}});
        let hooked = json!({"assistant_id": "support_agent", "webhook": "https://elsewhere.example.com/"});
        // Who asks what; the rule and reason with which an enforcing gate would have refused it.
        let asks: Vec<Observed> = vec![
            ("nobody", None, read_thread(), None, Some("token_missing")),
            (
                "a rule that denies",
                Some(Person::Analyst),
                search(),
                Some("closed for now (7.1)"),
                Some("access_denied"),
            ),
            ("no rule", Some(Person::Analyst), Ask::post(&run_path, &billing), None, Some("access_denied")),
            (
                "a rule that asks people",
                Some(Person::Engineer),
                Ask::post(&run_path, &billing),
                Some("billing is production, a manager has to agree"),
                Some("approval_pending"),
            ),
            ("a field", Some(Person::Analyst), Ask::post(&run_path, &hooked), None, Some("field_refused")),
            (
                "an unknown route",
                Some(Person::Analyst),
                Ask::get("/nothing"),
                None,
                Some("operation_unknown"),
            ),
            (
                "what is allowed",
                Some(Person::Manager),
                read_thread(),
                Some("people look at assistants, threads and runs"),
                None,
            ),
        ];
        let mut checks = Checks::default();
        for (what, person, ask, rule, code) in asks {
            checks.check(what, observed(&gate, site, &upstream, person, ask, rule, code)).await;
        }
        checks.check("the statistics say it", observed_statistics(&gate)).await;
        ensure!(
            gate.desk.open_approvals(&gate.token(Person::Manager)).await?.is_empty(),
            "people were asked"
        );
        checks.outcome()
    });
}

/// The request goes through as it came, and its record says what would have become of it.
async fn observed(
    gate: &Gate,
    site: &Site,
    upstream: &Upstream,
    person: Option<Person>,
    ask: Ask,
    rule: Option<&str>,
    code: Option<&str>,
) -> Result<()> {
    let seen = upstream.seen().len();
    let answer = match person {
        Some(person) => gate.send(person, ask).await?,
        None => ask.send(gate.port()).await?,
    };
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    ensure!(upstream.seen().len() == seen + 1, "it did not arrive as one request");
    ensure!(reason(&answer).is_empty(), "{}", answer.text());
    let arrived = upstream.seen();
    let id = arrived.last().and_then(|seen| seen.header("x-request-id")).context("no request id")?;
    let record = async || -> Result<Option<Value>> {
        Ok(gate.outcomes(site, 1).await?.into_iter().find(|line| line["request_id"] == id))
    };
    wait_until("the record", Duration::from_secs(10), async || {
        record().await.is_ok_and(|line| line.is_some())
    })
    .await?;
    let record = record().await?.context("no record")?;
    let decision = &record["decision"];
    ensure!(decision["rule"].as_str() == rule, "{record}");
    ensure!(decision["reason"].as_str() == code, "{record}");
    let (effect, observed) = if code.is_some() { ("deny", true) } else { ("allow", false) };
    ensure!(
        decision["effect"] == effect && decision["observed"].as_bool().unwrap_or(false) == observed,
        "{record}"
    );
    ensure!(record["response"]["status"] == 200, "{record}");
    Ok(())
}

async fn observed_statistics(gate: &Gate) -> Result<()> {
    let statistics = gate.envoy.prometheus().await?;
    for series in [
        r#"requests{graphwarden_decision="would_deny",graphwarden_reason="token_missing"}"#,
        r#"requests{graphwarden_decision="would_deny",graphwarden_reason="approval_pending"}"#,
        r#"requests{graphwarden_decision="would_deny",graphwarden_reason="field_refused"}"#,
        r#"would_deny{graphwarden_rule="closed_for_now__7_1_"}"#,
        r#"would_deny{graphwarden_rule="billing_is_production__a_manager_has_to_agree"}"#,
        r#"would_deny{graphwarden_rule="none"}"#,
    ] {
        let series = format!("graphwarden_{series} ");
        let value = statistics.lines().find_map(|line| line.strip_prefix(series.as_str()));
        let own: Vec<&str> = statistics.lines().filter(|line| line.contains("graphwarden_")).collect();
        ensure!(value.is_some_and(|value| value != "0"), "{series}is {value:?} in {}", own.join("\n"));
    }
    ensure!(!statistics.contains(r#"graphwarden_decision="deny""#), "something was refused");
    Ok(())
}
