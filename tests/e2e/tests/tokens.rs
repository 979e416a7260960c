//! Who is calling: which credentials the gate believes, and what becomes of them.

use anyhow::{Result, ensure};
use graphwarden_e2e::{Checks, Gate, THREAD, expect_refusal, reason};
use graphwarden_stand::{Ask, Person, Reply, Site, Upstream, claims_for, run, unix_now};
use serde_json::{Value, json};

async fn upstream() -> Result<Upstream> {
    Upstream::start(|_| Reply::json(200, &json!({"thread_id": THREAD}))).await
}

fn read_thread() -> Ask {
    Ask::get(&format!("/threads/{THREAD}"))
}

#[test]
fn a_caller_is_who_the_token_says_and_nothing_of_it_goes_on() {
    run("tokens", async |site: &Site| {
        let upstream = upstream().await?;
        let gate = Gate::before(site, upstream.port()).await?;
        let mut checks = Checks::default();
        checks
            .check(
                "only a valid token of the issuer for this audience passes",
                only_a_valid_token_of_the_issuer_for_this_audience_passes(&gate, &upstream),
            )
            .await;
        checks
            .check(
                "ambiguous and unreadable credentials are refused",
                ambiguous_and_unreadable_credentials_are_refused(&gate, &upstream),
            )
            .await;
        checks
            .check(
                "the upstream gets the identity and never the credential",
                the_upstream_gets_the_identity_and_never_the_credential(&gate, &upstream),
            )
            .await;
        checks
            .check(
                "a rotated key is fetched and then believed",
                a_rotated_key_is_fetched_and_then_believed(&gate, &upstream),
            )
            .await;
        checks.outcome()
    });
}

async fn only_a_valid_token_of_the_issuer_for_this_audience_passes(
    gate: &Gate,
    upstream: &Upstream,
) -> Result<()> {
    upstream.forget();
    let good = claims_for(Person::Analyst, gate.issuer.url(), gate.issuer.audience());
    let changed = |changes: Value| {
        let mut claims = good.clone();
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        claims
    };
    let now = unix_now();
    let cut = gate.issuer.sign(&good);
    // One character in the middle of the signature is another one.
    let mut bent = cut.clone().into_bytes();
    let middle = bent.len() - 40;
    bent[middle] = if bent[middle] == b'A' { b'B' } else { b'A' };
    let tokens = [
        ("expired", gate.issuer.sign(&changed(json!({"exp": now - 120}))), "token_expired"),
        ("not yet valid", gate.issuer.sign(&changed(json!({"nbf": now + 600}))), "token_not_yet_valid"),
        ("wrong audience", gate.issuer.sign(&changed(json!({"aud": "billing-app"}))), "token_audience"),
        ("wrong issuer", gate.issuer.sign(&changed(json!({"iss": "https://evil.example"}))), "token_issuer"),
        ("no expiry", gate.issuer.sign(&changed(json!({"exp": null}))), "token_claims"),
        ("alg none", gate.issuer.unsigned(&good), "token_algorithm"),
        ("public key as secret", gate.issuer.confused(&good)?, "token_algorithm"),
        ("another's signature", gate.issuer.forged(&good), "token_signature"),
        ("a bent signature", String::from_utf8(bent)?, "token_signature"),
        ("no signature", cut[..=cut.rfind('.').unwrap_or(0)].to_owned(), "token_malformed"),
        ("garbage", "not-a-token".to_owned(), "token_malformed"),
        ("garbage with dots", "a.b.c".to_owned(), "token_malformed"),
    ];
    for (what, token, code) in tokens {
        let answer = read_thread().bearer(&token).send(gate.port()).await?;
        expect_refusal(&answer, 401, code).map_err(|error| error.context(what))?;
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        ensure!(challenge.starts_with("Bearer"), "{what}: WWW-Authenticate is {challenge:?} (RFC 6750, 3)");
        ensure!(!answer.text().contains(&token), "{what}: the answer repeats the token");
    }
    let answer = read_thread().send(gate.port()).await?;
    expect_refusal(&answer, 401, "token_missing")?;
    ensure!(upstream.seen().is_empty(), "a refused request went upstream: {:?}", upstream.seen());

    let answer = read_thread().bearer(&gate.issuer.sign(&good)).send(gate.port()).await?;
    answer.expect_status(200)?;
    let answer = read_thread().bearer(&gate.issuer.sign_rs256(&good)?).send(gate.port()).await?;
    // The RS256 key was published after the gate fetched the keys: an unknown kid makes it look again.
    if answer.status != 200 {
        expect_refusal(&answer, 401, "token_key_unknown")?;
    }
    ensure!(!gate.envoy.log_text().contains(cut.rsplit('.').next().unwrap_or(&cut)), "a token is in the log");
    Ok(())
}

async fn a_rotated_key_is_fetched_and_then_believed(gate: &Gate, upstream: &Upstream) -> Result<()> {
    upstream.forget();
    gate.send(Person::Analyst, read_thread()).await?.expect_status(200)?;
    gate.issuer.rotate();
    let token = gate.token(Person::Analyst);
    let limit = std::time::Duration::from_secs(10);
    graphwarden_stand::wait_until("the new key", limit, async || {
        let answer = read_thread().bearer(&token).send(gate.port()).await;
        answer.is_ok_and(|answer| answer.status == 200)
    })
    .await?;
    Ok(())
}

async fn ambiguous_and_unreadable_credentials_are_refused(gate: &Gate, upstream: &Upstream) -> Result<()> {
    upstream.forget();
    let token = gate.token(Person::Analyst);
    let twice = read_thread().bearer(&token).bearer(&token).send(gate.port()).await?;
    expect_refusal(&twice, 401, "token_ambiguous")?;
    let odd = read_thread().header("authorization", format!("Basic {token}")).send(gate.port()).await?;
    ensure!(odd.status == 401, "Basic: {} {}", odd.status, odd.text());
    // Bytes above 0x7F, which make the SDK's plain calls panic.
    let answer = read_thread().header("authorization", b"Bearer caf\xe9").send(gate.port()).await?;
    ensure!(answer.status == 401 || answer.status == 400, "{} {}", answer.status, answer.text());
    for (name, value) in
        [("x-note", &b"caf\xe9"[..]), ("user-agent", b"\xff\xfe"), ("content-type", b"\x80/json")]
    {
        let answer = read_thread().bearer(&token).header(name, value).send(gate.port()).await?;
        ensure!(
            answer.status == 200 || reason(&answer) == "request_malformed",
            "{name}: {} {}",
            answer.status,
            answer.text()
        );
    }
    // None of it harmed the worker.
    for _ in 0..4 {
        gate.send(Person::Analyst, read_thread()).await?.expect_status(200)?;
    }
    Ok(())
}

async fn the_upstream_gets_the_identity_and_never_the_credential(
    gate: &Gate,
    upstream: &Upstream,
) -> Result<()> {
    upstream.forget();
    let token = gate.token(Person::Analyst);
    let answer = read_thread()
        .bearer(&token)
        .header("x-graphwarden-subject", "u-mia")
        .header("X-Graphwarden-Roles", "manager")
        .header("x-auth-scheme", "langsmith")
        .header("x-api-key", "callers-own-key")
        .header("accept-encoding", "gzip")
        .header("range", "bytes=0-3")
        .send(gate.port())
        .await?;
    answer.expect_status(200)?;
    let seen = upstream.seen();
    let request = seen.last().ok_or_else(|| anyhow::anyhow!("nothing arrived"))?;
    let signature = token.rsplit('.').next().unwrap_or(&token);
    ensure!(!request.holds(signature), "the token went upstream: {request:?}");
    ensure!(request.header("authorization").is_none(), "{request:?}");
    ensure!(request.header("x-auth-scheme").is_none(), "{request:?}");
    ensure!(request.header("accept-encoding").is_none() && request.header("range").is_none(), "{request:?}");
    ensure!(!request.holds("callers-own-key"), "{request:?}");
    ensure!(request.header("x-api-key").as_deref() == Some("stand-upstream-key"), "{request:?}");
    ensure!(request.header("x-graphwarden-subject").as_deref() == Some("u-ana"), "{request:?}");
    ensure!(request.header("x-graphwarden-roles").as_deref() == Some("analyst"), "{request:?}");
    let spoofed =
        request.headers.iter().filter(|(_, value)| value == b"u-mia" || value == b"manager").count();
    ensure!(spoofed == 0, "{request:?}");
    Ok(())
}

#[test]
fn a_request_is_refused_while_the_issuer_cannot_be_asked_for_keys() {
    run("no_keys", async |site: &Site| {
        let upstream = upstream().await?;
        let issuer = graphwarden_stand::Issuer::start().await?;
        issuer.set_down(true);
        let policy = graphwarden_stand::standard_policy(&issuer)?;
        let closed = graphwarden_stand::free_port()?;
        let setup =
            graphwarden_stand::EnvoySetup::new(policy, upstream.port(), closed.number(), issuer.port());
        let envoy = graphwarden_stand::Envoy::start(site, &setup).await?;
        let ask = read_thread().bearer(&issuer.token(Person::Analyst));
        let answer = ask.send(envoy.port()).await?;
        ensure!(
            answer.status == 503 && reason(&answer) == "keys_unavailable",
            "{} {}",
            answer.status,
            answer.text()
        );
        ensure!(upstream.seen().is_empty());
        // And it recovers by itself.
        issuer.set_down(false);
        graphwarden_stand::wait_until("the keys", std::time::Duration::from_secs(45), async || {
            ask.send(envoy.port()).await.is_ok_and(|answer| reason(&answer) != "keys_unavailable")
        })
        .await
    });
}
