//! What the gate takes for a request: paths, bodies and routes that try to get round it.

use std::time::Duration;

use anyhow::{Result, ensure};
use graphwarden_e2e::{Checks, Gate, THREAD, billing, expect_refusal, reason};
use graphwarden_stand::{Ask, Person, Reply, Site, Upstream, run};
use serde_json::json;

async fn upstream() -> Result<Upstream> {
    Upstream::start(|_| Reply::json(200, &json!({"thread_id": THREAD}))).await
}

#[test]
fn a_request_that_cannot_be_judged_is_not_forwarded() {
    run("requests", async |site: &Site| {
        let upstream = upstream().await?;
        let gate = Gate::before(site, upstream.port()).await?;
        let mut checks = Checks::default();
        checks
            .check(
                "a path is judged as langgraph will read it",
                a_path_is_judged_as_langgraph_will_read_it(&gate, &upstream),
            )
            .await;
        checks.check("what is not known is denied", what_is_not_known_is_denied(&gate, &upstream)).await;
        checks.check("an upgrade is refused", an_upgrade_is_refused(&gate, &upstream)).await;
        checks
            .check(
                "a body of three megabytes is judged and forwarded whole",
                a_body_of_three_megabytes_is_judged_and_forwarded_whole(&gate, &upstream),
            )
            .await;
        checks
            .check(
                "a body that cannot be judged is refused",
                a_body_that_cannot_be_judged_is_refused(&gate, &upstream),
            )
            .await;
        checks.outcome()
    });
}

async fn a_path_is_judged_as_langgraph_will_read_it(gate: &Gate, upstream: &Upstream) -> Result<()> {
    upstream.forget();
    // Encoded letters are decoded first, so this is the same thread, and goes on decoded.
    let answer = gate.send(Person::Analyst, Ask::get(&format!("/%74hreads/{THREAD}"))).await?;
    answer.expect_status(200)?;
    ensure!(upstream.seen().last().is_some_and(|seen| seen.target == format!("/threads/{THREAD}")));
    // Spelt in other ways it is still the run of `billing` that an analyst may not have.
    for path in
        [format!("/%74hreads/{THREAD}/%72uns/wait"), format!("/threads/{}/runs/wait", THREAD.to_uppercase())]
    {
        let ask = Ask::post(&path, &json!({"assistant_id": "billing", "input": {}}));
        expect_refusal(&gate.send(Person::Analyst, ask).await?, 403, "access_denied")?;
    }
    let before = upstream.seen().len();
    for path in [
        format!("/threads/{THREAD}%2Fstate"),
        format!("/threads/{THREAD}%5Cstate"),
        format!("/threads/{THREAD}/%2e%2e/search"),
        "/threads/%zz".to_owned(),
        "/threads/%00".to_owned(),
    ] {
        let answer = gate.send(Person::Analyst, Ask::get(&path)).await?;
        ensure!((400..=404).contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
    }
    ensure!(upstream.seen().len() == before, "{:?}", upstream.seen().get(before..));
    Ok(())
}

async fn what_is_not_known_is_denied(gate: &Gate, upstream: &Upstream) -> Result<()> {
    upstream.forget();
    for (method, path) in [
        ("GET", "/nothing/here"),
        ("POST", "/internal/truncate"),
        ("GET", "/internal/debug/thread/1"),
        ("POST", "/deploy"),
        ("GET", "/ui/support_agent"),
        ("PUT", "/threads"),
        ("DELETE", "/threads"),
    ] {
        let ask = Ask::new(method, path).body(if method == "GET" { "" } else { "{}" });
        let answer = gate.send(Person::Manager, ask).await?;
        ensure!(
            answer.status == 403 && reason(&answer) == "operation_unknown",
            "{method} {path}: {} {}",
            answer.status,
            answer.text()
        );
    }
    // A known operation that no rule names.
    let answer = gate.send(Person::Manager, Ask::new("DELETE", &format!("/threads/{THREAD}"))).await?;
    expect_refusal(&answer, 403, "access_denied")?;
    ensure!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    // Health is public by the policy, and needs no token.
    Ask::get("/ok").send(gate.port()).await?.expect_status(200)?;
    Ok(())
}

async fn an_upgrade_is_refused(gate: &Gate, upstream: &Upstream) -> Result<()> {
    upstream.forget();
    let ask = Ask::get(&format!("/threads/{THREAD}"))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let answer = gate.send(Person::Analyst, ask).await?;
    ensure!(answer.status == 403, "{} {}", answer.status, answer.text());
    ensure!(upstream.seen().is_empty());
    Ok(())
}

async fn a_body_of_three_megabytes_is_judged_and_forwarded_whole(
    gate: &Gate,
    upstream: &Upstream,
) -> Result<()> {
    upstream.forget();
    let filler = "x".repeat(3 * 1024 * 1024);
    let body = json!({"assistant_id": "support_agent", "input": {"messages": [{"role": "user", "content": filler}]}});
    let ask = Ask::post(&format!("/threads/{THREAD}/runs/wait"), &body).within(Duration::from_secs(60));
    gate.send(Person::Analyst, ask).await?.expect_status(200)?;
    let seen = upstream.seen();
    ensure!(seen.len() == 1 && seen[0].body.len() == body.to_string().len(), "{} bytes", seen[0].body.len());
    ensure!(seen[0].body == body.to_string().into_bytes(), "the body changed on its way");

    let filler = "x".repeat(6 * 1024 * 1024);
    let body = json!({"assistant_id": "support_agent", "input": {"messages": [{"role": "user", "content": filler}]}});
    let ask = Ask::post(&format!("/threads/{THREAD}/runs/wait"), &body).within(Duration::from_secs(60));
    let answer = gate.send(Person::Analyst, ask).await?;
    ensure!(answer.status == 413, "{} {}", answer.status, answer.text());
    ensure!(upstream.seen().len() == 1, "the large one went upstream");
    Ok(())
}

async fn a_body_that_cannot_be_judged_is_refused(gate: &Gate, upstream: &Upstream) -> Result<()> {
    upstream.forget();
    let path = format!("/threads/{THREAD}/runs/wait");
    let bodies: [(&str, &[u8]); 6] = [
        ("not JSON", b"assistant_id=support_agent"),
        ("cut off", br#"{"assistant_id": "support_agent", "input""#),
        ("a member twice", br#"{"assistant_id": "support_agent", "assistant_id": "billing", "input": {}}"#),
        ("a byte order mark", b"\xef\xbb\xbf{\"assistant_id\": \"support_agent\"}"),
        ("not UTF-8", b"{\"assistant_id\": \"support_agent\", \"input\": {\"a\": \"\xff\"}}"),
        ("empty", b""),
    ];
    for (what, body) in bodies {
        // The content type is what LangGraph ignores, so the gate may not go by it.
        let ask = Ask::new("POST", &path).header("content-type", "text/plain").body(body);
        let answer = gate.send(Person::Analyst, ask).await?;
        ensure!(
            answer.status == 400 && reason(&answer) == "body_malformed",
            "{what}: {} {}",
            answer.status,
            answer.text()
        );
    }
    let ask = Ask::new("POST", &path).header("content-encoding", "gzip").body(&b"\x1f\x8b\x08"[..]);
    expect_refusal(&gate.send(Person::Analyst, ask).await?, 415, "body_encoded")?;
    for field in [
        json!({"webhook": "https://evil.example/collect"}),
        json!({"config": {"configurable": {"user_id": "u-mia"}}}),
    ] {
        let mut body = json!({"assistant_id": "support_agent", "input": {}});
        for (name, value) in field.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        expect_refusal(&gate.send(Person::Analyst, Ask::post(&path, &body)).await?, 403, "field_refused")?;
    }
    ensure!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    Ok(())
}

#[test]
fn without_the_permission_to_stop_early_nothing_that_needs_a_body_is_forwarded() {
    run("stop_setting", async |site: &Site| {
        let upstream = upstream().await?;
        let gate = Gate::with(site, upstream.port(), |setup| {
            setup.allow_stop = false;
            setup.policy["limits"] = json!({"body_wait": "1s"});
        })
        .await?;
        // What needs no body works under either setting.
        gate.send(Person::Analyst, Ask::get(&format!("/threads/{THREAD}"))).await?.expect_status(200)?;
        let before = upstream.seen().len();
        let body = json!({"assistant_id": "support_agent", "input": {}});
        let ask = Ask::post(&format!("/threads/{THREAD}/runs/wait"), &body);
        let answer = gate.send(Person::Analyst, ask).await?;
        expect_refusal(&answer, 500, "body_not_seen")?;
        ensure!(answer.first_byte < Duration::from_secs(8), "only after {:?}", answer.first_byte);
        // Nor does anything go on that a person would have to agree to.
        let answer = gate.send(Person::Engineer, billing(17)).await?;
        expect_refusal(&answer, 500, "body_not_seen")?;
        ensure!(upstream.seen().len() == before, "it was forwarded");
        Ok(())
    });
}
