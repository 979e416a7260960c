//! Identity at its edges: where tokens come from, what a page and a graph learn, and floods of garbage.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::{Checks, THREAD, expect_refusal, reason};
use graphwarden_stand::{
    Answer, Ask, Envoy, EnvoySetup, Issuer, LangGraph, LangGraphSetup, Part, Person, Reply, Site, Upstream,
    claims_for, free_port, run, standard_policy, unix_now, wait_until,
};
use serde_json::{Value, json};

const PAGE: &str = "https://chat.example.com";

/// An issuer and an Envoy with the filter, in front of a port. Nothing is recorded: no desk is running.
struct Gate {
    issuer: Arc<Issuer>,
    envoy: Envoy,
}

impl Gate {
    async fn before(site: &Site, port: u16, change: impl FnOnce(&mut Value)) -> Result<Self> {
        let issuer = Issuer::start().await?;
        let mut policy = standard_policy(&issuer)?;
        policy["evidence"] = json!({"off": true});
        change(&mut policy);
        let nobody = free_port()?;
        let envoy =
            Envoy::start(site, &EnvoySetup::new(policy, port, nobody.number(), issuer.port())).await?;
        let gate = Self { issuer: Arc::new(issuer), envoy };
        let ask = Ask::get("/internal/nothing").bearer(&gate.issuer.token(Person::Auditor));
        wait_until("the issuer's keys in the filter", Duration::from_secs(15), async || {
            ask.send(gate.envoy.port()).await.is_ok_and(|answer| reason(&answer) != "keys_unavailable")
        })
        .await?;
        Ok(gate)
    }

    async fn send(&self, ask: Ask) -> Result<Answer> {
        ask.send(self.envoy.port()).await
    }
}

async fn upstream() -> Result<Upstream> {
    Upstream::start(|_| Reply::json(200, &json!({"thread_id": THREAD}))).await
}

fn read_thread() -> Ask {
    Ask::get(&format!("/threads/{THREAD}"))
}

#[test]
fn credentials_come_from_where_the_policy_says_and_pages_can_read_refusals() {
    run("identity", async |site: &Site| {
        let upstream = upstream().await?;
        let gate = Gate::before(site, upstream.port(), |policy| {
            policy["identity"]["sources"] =
                json!({"authorization": true, "x_api_key": true, "cookie": "gate"});
            policy["identity"]["deny"] = json!({"sub": ["u-eli"], "sid": ["s-1"], "jti": ["t-1"]});
            policy["cors"] = json!({"origins": [PAGE], "credentials": true});
        })
        .await?;
        let mut checks = Checks::default();
        checks
            .check(
                "a token is found in each place that the policy names",
                a_token_is_found_in_each_place(&gate, &upstream),
            )
            .await;
        checks.check("who is on the deny list is refused", who_is_on_the_deny_list_is_refused(&gate)).await;
        checks
            .check(
                "every refusal of a token is a challenge as RFC 6750 has it",
                every_refusal_of_a_token_is_a_challenge(&gate),
            )
            .await;
        checks.check("a page can read why it was refused", a_page_can_read_why_it_was_refused(&gate)).await;
        checks
            .check(
                "a preflight needs no token and a route that exists",
                a_preflight_needs_no_token_and_a_route_that_exists(&gate, &upstream),
            )
            .await;
        checks.outcome()
    });
}

async fn a_token_is_found_in_each_place(gate: &Gate, upstream: &Upstream) -> Result<()> {
    let (token, other) = (gate.issuer.token(Person::Analyst), gate.issuer.token(Person::Manager));
    for ask in [
        read_thread().header("x-api-key", &token),
        read_thread().header("cookie", format!("theme=dark; gate={token}; lang=en")),
        read_thread().bearer(&token).header("x-api-key", &token).header("cookie", format!("gate={token}")),
    ] {
        upstream.forget();
        gate.send(ask).await?.expect_status(200)?;
        let seen = upstream.seen();
        let [request] = &seen[..] else { anyhow::bail!("{} requests", seen.len()) };
        ensure!(!request.holds(&token), "a token went upstream: {request:?}");
        ensure!(request.header("x-api-key").as_deref() == Some("stand-upstream-key"), "{request:?}");
        ensure!(request.header("x-graphwarden-subject").as_deref() == Some("u-ana"), "{request:?}");
        let cookies = request.header("cookie");
        ensure!(cookies.is_none() || cookies.as_deref() == Some("theme=dark; lang=en"), "{cookies:?}");
    }
    upstream.forget();
    for ask in [
        read_thread().bearer(&token).header("x-api-key", &other),
        read_thread().bearer(&token).header("cookie", format!("gate={other}")),
        read_thread().header("x-api-key", &token).header("cookie", "gate=x"),
        read_thread().header("x-api-key", &token).header("x-api-key", &token),
        read_thread().header("cookie", format!("gate={token}; gate={token}")),
        read_thread().bearer(&token).header("x-api-key", "lsv2_pt_of_langsmith"),
    ] {
        expect_refusal(&gate.send(ask).await?, 401, "token_ambiguous")?;
    }
    ensure!(upstream.seen().is_empty());
    Ok(())
}

async fn who_is_on_the_deny_list_is_refused(gate: &Gate) -> Result<()> {
    let claims = claims_for(Person::Analyst, gate.issuer.url(), gate.issuer.audience());
    let with = |name: &str, value: &str| {
        let mut claims = claims.clone();
        claims[name] = json!(value);
        read_thread().bearer(&gate.issuer.sign(&claims))
    };
    gate.send(with("sid", "s-2")).await?.expect_status(200)?;
    for ask in [with("sid", "s-1"), with("jti", "t-1"), with("sub", "u-eli")] {
        expect_refusal(&gate.send(ask).await?, 401, "token_revoked")?;
    }
    Ok(())
}

async fn every_refusal_of_a_token_is_a_challenge(gate: &Gate) -> Result<()> {
    let claims = claims_for(Person::Analyst, gate.issuer.url(), gate.issuer.audience());
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        read_thread().bearer(&gate.issuer.sign(&claims))
    };
    let token = gate.issuer.token(Person::Analyst);
    for (ask, code, error) in [
        (read_thread(), "token_missing", None),
        (read_thread().bearer(&token).header("x-api-key", "x"), "token_ambiguous", Some("invalid_request")),
        (read_thread().bearer("a.b.c"), "token_malformed", Some("invalid_token")),
        (read_thread().bearer(&gate.issuer.unsigned(&claims)), "token_algorithm", Some("invalid_token")),
        (read_thread().bearer(&gate.issuer.forged(&claims)), "token_signature", Some("invalid_token")),
        (with("iss", json!("https://evil.example")), "token_issuer", Some("invalid_token")),
        (with("aud", json!("billing")), "token_audience", Some("invalid_token")),
        (with("exp", json!(unix_now() - 120)), "token_expired", Some("invalid_token")),
        (with("nbf", json!(unix_now() + 600)), "token_not_yet_valid", Some("invalid_token")),
        (with("exp", json!("soon")), "token_claims", Some("invalid_token")),
        (with("sub", json!("u-eli")), "token_revoked", Some("invalid_token")),
    ] {
        let answer = gate.send(ask).await?;
        expect_refusal(&answer, 401, code)?;
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        ensure!(challenge.starts_with("Bearer realm=\"graphwarden\""), "{code}: {challenge}");
        let expected = error.map(|error| format!("error=\"{error}\", error_description=\""));
        match expected {
            None => ensure!(!challenge.contains("error"), "{code}: {challenge}"),
            Some(expected) => ensure!(challenge.contains(&expected), "{code}: {challenge}"),
        }
        for secret in ["u-ana", "u-eli", "evil", "billing", gate.issuer.url()] {
            ensure!(!challenge.contains(secret), "{code}: {challenge}");
        }
    }
    Ok(())
}

async fn a_page_can_read_why_it_was_refused(gate: &Gate) -> Result<()> {
    let expired = {
        let mut claims = claims_for(Person::Analyst, gate.issuer.url(), gate.issuer.audience());
        claims["exp"] = json!(unix_now() - 120);
        gate.issuer.sign(&claims)
    };
    let forbidden = Ask::new("DELETE", &format!("/threads/{THREAD}"));
    for ask in [
        read_thread(),
        read_thread().bearer(&expired),
        forbidden.bearer(&gate.issuer.token(Person::Auditor)),
        Ask::get("/internal/nothing").bearer(&gate.issuer.token(Person::Analyst)),
    ] {
        let answer = gate.send(ask.clone().header("origin", PAGE)).await?;
        ensure!(matches!(answer.status, 401 | 403 | 404), "{} {}", answer.status, answer.text());
        let header = |name: &str| answer.header(name).unwrap_or_default();
        ensure!(header("access-control-allow-origin") == PAGE, "{:?}", answer.headers);
        ensure!(header("access-control-allow-credentials") == "true", "{:?}", answer.headers);
        ensure!(header("access-control-expose-headers").contains("www-authenticate"), "{:?}", answer.headers);
        ensure!(header("vary").contains("origin"), "{:?}", answer.headers);
        for other in [Some("https://evil.example"), None] {
            let ask = other.iter().fold(ask.clone(), |ask, origin| ask.header("origin", origin));
            let answer = gate.send(ask).await?;
            ensure!(
                answer.header("access-control-allow-origin").is_none(),
                "{other:?}: {:?}",
                answer.headers
            );
        }
    }
    Ok(())
}

async fn a_preflight_needs_no_token_and_a_route_that_exists(gate: &Gate, upstream: &Upstream) -> Result<()> {
    upstream.forget();
    let preflight = |path: &str, method: &str| {
        Ask::new("OPTIONS", path)
            .header("origin", PAGE)
            .header("access-control-request-method", method)
            .header("access-control-request-headers", "authorization,content-type")
    };
    for (path, method) in
        [("/threads", "POST"), ("/runs/stream", "POST"), (&format!("/threads/{THREAD}/state"), "GET")]
    {
        gate.send(preflight(path, method)).await?.expect_status(200)?;
    }
    ensure!(upstream.seen().len() == 3 && upstream.seen().iter().all(|request| request.method == "OPTIONS"));
    for (path, method) in
        [("/threads", "DELETE"), ("/nothing", "GET"), ("/internal/truncate", "POST"), ("/threads/x", "GET")]
    {
        let answer = gate.send(preflight(path, method)).await?;
        ensure!((400..500).contains(&answer.status), "{path} {method}: {}", answer.status);
        ensure!(answer.header("access-control-allow-origin").as_deref() == Some(PAGE), "{path} {method}");
    }
    let answer = gate.send(Ask::new("OPTIONS", "/threads")).await?;
    ensure!((400..500).contains(&answer.status), "no preflight: {}", answer.status);
    ensure!(upstream.seen().len() == 3, "{:?}", upstream.seen());
    Ok(())
}

#[test]
fn no_graph_is_configured_by_a_header_that_its_caller_made_up() {
    run("configurable", async |site: &Site| {
        let python = site.tools().root().join("tests/e2e/python");
        let setup = LangGraphSetup {
            graphs: vec![("echo".to_owned(), python.join("echo.py"))],
            http: Some(json!({"configurable_headers": {"includes": ["x-*", "x_*"]}})),
            ..LangGraphSetup::default()
        };
        let langgraph = LangGraph::start(site, &setup).await?;
        let gate = Gate::before(site, langgraph.port(), |policy| {
            policy["identity"]["sources"] = json!({"x_api_key": true});
            policy["identity"]["upstream"]["pass"] = json!(["x-acme-*"]);
            policy["access"] = json!({"rules": [
                {"name": "all", "operations": ["class:read", "class:write", "class:execute"], "then": "allow"},
            ]});
        })
        .await?;
        let token = gate.issuer.token(Person::Analyst);
        let forge = async |port: u16, name: &str| -> Result<Value> {
            let mut script = Command::new(site.tools().python()?);
            let server = format!("http://127.0.0.1:{port}");
            script.arg(python.join("forge.py")).args([&server, &token]).env("LANGSMITH_TRACING", "false");
            let mut part = Part::start(name, site.folder(), &script)?;
            let status = part.exit(Duration::from_secs(60)).await?;
            let text = part.log_text();
            ensure!(status.success(), "{status}: {text}");
            serde_json::from_str(text.lines().last().unwrap_or_default()).context("not JSON")
        };
        // What the gate is there for: without it, the graph takes the caller's word.
        let without = forge(langgraph.port(), "forge-without").await?;
        ensure!(without["x-user-id"] == "admin" && without["x-roles"] == "admin", "{without}");

        let with = forge(gate.envoy.port(), "forge-with").await?;
        ensure!(!with.to_string().contains("admin"), "{with}");
        ensure!(with["x-graphwarden-subject"] == "u-ana", "{with}");
        ensure!(with["x-b3-traceid"] == "4f5e", "tracing goes on: {with}");
        ensure!(!with.to_string().contains(&token), "a token became configuration");

        let body = json!({"assistant_id": "echo", "input": {}});
        let ask = Ask::post("/runs/wait", &body)
            .header("x-api-key", &token)
            .header("x-acme-region", "eu")
            .header("x_user_id", "admin");
        let answer = ask.send(gate.envoy.port()).await?;
        let seen = answer.expect_status(200)?.json()?;
        ensure!(seen["seen"]["x-acme-region"] == "eu", "{seen}");
        ensure!(!seen.to_string().contains("admin"), "{seen}");
        Ok(())
    });
}

/// A token of this issuer, sound in all but that nobody has its key.
fn garbage(issuer: &Issuer, number: u64) -> Result<String> {
    let claims = claims_for(Person::Analyst, issuer.url(), issuer.audience());
    let header = json!({"alg": "ES256", "typ": "JWT", "kid": format!("garbage-{number}")});
    let token = issuer.headed(&header, &claims);
    ensure!(token.split('.').count() == 3);
    Ok(token)
}

#[test]
fn a_rotated_key_is_seen_within_two_seconds_while_garbage_floods_in() {
    run("flood", async |site: &Site| {
        let upstream = upstream().await?;
        let gate = Gate::before(site, upstream.port(), |_| {}).await?;
        let (issuer, port) = (Arc::clone(&gate.issuer), gate.envoy.port());
        // A key that stays: its callers must not notice anything.
        let steady = issuer.sign_rs256(&claims_for(Person::Analyst, issuer.url(), issuer.audience()))?;
        wait_until("the steady key", Duration::from_secs(10), async || {
            read_thread().bearer(&steady).send(port).await.is_ok_and(|answer| answer.status == 200)
        })
        .await?;

        let stop = Arc::new(AtomicBool::new(false));
        let (floods, passed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut tasks = Vec::new();
        for index in 0..24_u64 {
            let (issuer, stop, floods) = (Arc::clone(&issuer), Arc::clone(&stop), Arc::clone(&floods));
            tasks.push(tokio::spawn(async move {
                let mut number = index << 32;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let answer = read_thread().bearer(&garbage(&issuer, number)?).send(port).await?;
                    expect_refusal(&answer, 401, "token_key_unknown")?;
                    floods.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            }));
        }
        tasks.push(tokio::spawn({
            let (stop, passed) = (Arc::clone(&stop), Arc::clone(&passed));
            async move {
                while !stop.load(Ordering::Relaxed) {
                    read_thread().bearer(&steady).send(port).await?.expect_status(200)?;
                    passed.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            }
        }));

        let (began, fetches) = (Instant::now(), issuer.key_fetches());
        let mut slowest = Duration::ZERO;
        for _ in 0..4 {
            // Not in step with the two seconds.
            tokio::time::sleep(Duration::from_millis(2_300)).await;
            issuer.rotate();
            let (rotated, token) = (Instant::now(), issuer.token(Person::Analyst));
            wait_until("the new key", Duration::from_secs(10), async || {
                read_thread().bearer(&token).send(port).await.is_ok_and(|answer| answer.status == 200)
            })
            .await?;
            slowest = slowest.max(rotated.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await??;
        }
        let (floods, passed) = (floods.load(Ordering::Relaxed), passed.load(Ordering::Relaxed));
        let (fetched, seconds) = (issuer.key_fetches() - fetches, began.elapsed().as_secs());
        println!(
            "{floods} refused, {passed} passed, {fetched} fetches in {seconds} s, slowest rotation {slowest:?}"
        );
        ensure!(slowest < Duration::from_millis(2_500), "a rotated key was seen after {slowest:?}");
        ensure!(floods > 100 && passed > 100, "{floods} refused and {passed} passed are no flood");
        let most = 5 + usize::try_from(seconds)? / 2 + 2;
        ensure!(fetched <= most, "{fetched} fetches in {seconds} s");
        Ok(())
    });
}
