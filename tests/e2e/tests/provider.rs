//! Tokens of a real OpenID Connect provider: sign-in, machines, key rotation under load, a provider that is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::{
    Ask, Envoy, EnvoySetup, Issuer, MACHINE_SECRET, OidcProvider, Reply, Site, Upstream, free_port, run,
    standard_policy,
};
use serde_json::{Value, json};
use tokio::sync::RwLock;

const THREAD: &str = "3f2a8a1e-6f0b-4a52-9d53-0b8f0f2f6a11";

/// The shipped policy for this provider, found by discovery. Nothing is recorded: no desk is running.
async fn policy(provider: &OidcProvider) -> Result<Value> {
    // Only its policy is wanted, with an issuer in it that is replaced.
    let mut policy = standard_policy(&Issuer::start().await?)?;
    policy["identity"]["issuers"] = json!([{
        "issuer": provider.url(),
        "audiences": ["langgraph"],
        "algorithms": ["RS256"],
        "typ": "at+jwt",
        "keys": {"cluster": "idp", "discover": true, "refresh": "10s"},
    }]);
    policy["evidence"] = json!({"off": true});
    Ok(policy)
}

struct Gate {
    provider: OidcProvider,
    upstream: Upstream,
    envoy: Envoy,
}

impl Gate {
    async fn start(site: &Site) -> Result<Self> {
        let provider = OidcProvider::start(site).await?;
        let upstream = Upstream::start(|_| Reply::json(200, &json!({"thread_id": THREAD}))).await?;
        let envoy = envoy(site, &provider, &upstream).await?;
        Ok(Self { provider, upstream, envoy })
    }
}

async fn envoy(site: &Site, provider: &OidcProvider, upstream: &Upstream) -> Result<Envoy> {
    let nobody = free_port()?;
    let setup = EnvoySetup::new(policy(provider).await?, upstream.port(), nobody.number(), provider.port());
    Envoy::start(site, &setup).await
}

fn read_thread(token: &str) -> Ask {
    Ask::get(&format!("/threads/{THREAD}")).bearer(token)
}

#[test]
fn people_sign_in_and_machines_come_with_credentials_of_their_own() {
    run("provider-tokens", async |site: &Site| {
        let gate = Gate::start(site).await?;
        let person = gate.provider.sign_in("zoe").await?;
        let machine = gate.provider.client_credentials().await?;
        for token in [&person, &machine] {
            read_thread(token).send(gate.envoy.port()).await?.expect_status(200)?;
        }
        let seen = gate.upstream.seen();
        let [by_person, by_machine] = &seen[..] else { anyhow::bail!("{} requests", seen.len()) };
        for (name, value) in [
            ("x-graphwarden-subject", "zoe"),
            ("x-graphwarden-actor", "person"),
            ("x-graphwarden-name", "Zo%C3%AB O%27Brien"),
            ("x-graphwarden-email", "zoe.obrien@example.com"),
            ("x-graphwarden-roles", "analyst"),
            ("x-graphwarden-issuer", gate.provider.url()),
        ] {
            ensure!(by_person.header(name).as_deref() == Some(value), "{name}: {:?}", by_person.header(name));
        }
        ensure!(by_machine.header("x-graphwarden-actor").as_deref() == Some("machine"));
        ensure!(by_machine.header("x-graphwarden-subject").as_deref() == Some("nightly"));
        for (request, token) in [(by_person, &person), (by_machine, &machine)] {
            ensure!(
                request.header("authorization").is_none() && !request.holds(token),
                "a token went upstream"
            );
        }
        Ok(())
    });
}

#[test]
fn no_request_is_refused_while_keys_rotate_under_load() {
    run("provider-rotation", async |site: &Site| {
        let gate = Gate::start(site).await?;
        let token = Arc::new(RwLock::new(gate.provider.client_credentials().await?));
        let (stop, passed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let port = gate.envoy.port();
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (token, stop, passed) = (Arc::clone(&token), Arc::clone(&stop), Arc::clone(&passed));
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let current = token.read().await.clone();
                        read_thread(&current).send(port).await?.expect_status(200)?;
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            gate.provider.rotate().await?;
            // The first request with the new key finds a gate that has never seen it.
            *token.write().await = gate.provider.client_credentials().await?;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        stop.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.await.context("a caller ended early")??;
        }
        let passed = passed.load(Ordering::Relaxed);
        ensure!(passed > 100, "only {passed} requests in eight seconds are no load");
        Ok(())
    });
}

#[test]
fn tokens_of_a_key_that_was_withdrawn_are_refused() {
    run("provider-withdrawn", async |site: &Site| {
        let gate = Gate::start(site).await?;
        let old = gate.provider.client_credentials().await?;
        read_thread(&old).send(gate.envoy.port()).await?.expect_status(200)?;
        // Two rotations later its key is no longer published; a token of the new key makes the gate fetch.
        gate.provider.rotate().await?;
        gate.provider.rotate().await?;
        let new = gate.provider.client_credentials().await?;
        read_thread(&new).send(gate.envoy.port()).await?.expect_status(200)?;
        let refused = read_thread(&old).send(gate.envoy.port()).await?;
        refused.expect_status(401)?;
        ensure!(refused.json()?["reason"] == "token_key_unknown", "{}", refused.text());
        Ok(())
    });
}

#[test]
fn a_provider_that_is_away_for_a_minute_costs_nobody_who_is_signed_in() {
    run("provider-away", async |site: &Site| {
        let gate = Gate::start(site).await?;
        let token = gate.provider.sign_in("zoe").await?;
        let fresh = gate.provider.client_credentials().await?;
        read_thread(&token).send(gate.envoy.port()).await?.expect_status(200)?;
        gate.provider.go_down(60).await?;
        // Several refreshes fail in this time: they are due every ten seconds.
        let until = Instant::now() + Duration::from_secs(55);
        while Instant::now() < until {
            read_thread(&token).send(gate.envoy.port()).await?.expect_status(200)?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // Not in any cache of verified tokens: the keys themselves are still there.
        read_thread(&fresh).send(gate.envoy.port()).await?.expect_status(200)?;
        graphwarden_stand::wait_until("the provider is back", Duration::from_secs(20), async || {
            gate.provider.is_up().await
        })
        .await?;
        gate.provider.rotate().await?;
        let new = gate.provider.client_credentials().await?;
        read_thread(&new).send(gate.envoy.port()).await?.expect_status(200)?;
        Ok(())
    });
}

#[test]
fn a_gate_that_starts_without_its_provider_says_so_and_recovers_by_itself() {
    run("provider-late", async |site: &Site| {
        let provider = OidcProvider::start(site).await?;
        let upstream = Upstream::start(|_| Reply::json(200, &json!({"thread_id": THREAD}))).await?;
        let token = provider.client_credentials().await?;
        provider.go_down(45).await?;
        let envoy = envoy(site, &provider, &upstream).await?;
        let early = read_thread(&token).send(envoy.port()).await?;
        early.expect_status(503)?;
        ensure!(early.json()?["reason"] == "keys_unavailable", "{}", early.text());
        graphwarden_stand::wait_until("the keys arrive", Duration::from_secs(90), async || {
            read_thread(&token).send(envoy.port()).await.is_ok_and(|answer| answer.status == 200)
        })
        .await
    });
}

#[test]
fn the_check_of_envoys_own_filter_is_trusted_and_no_header_is() {
    run("provider-jwt-authn", async |site: &Site| {
        let provider = OidcProvider::start(site).await?;
        let upstream = Upstream::start(|_| Reply::json(200, &json!({"thread_id": THREAD}))).await?;
        let mut policy = policy(&provider).await?;
        policy["identity"]["from"] = json!("jwt_authn");
        policy["identity"]["jwt_authn"] = json!({"key": "payload"});
        policy["identity"]["issuers"] = json!([{"issuer": provider.url(), "audiences": ["langgraph"]}]);
        let nobody = free_port()?;
        let mut setup = EnvoySetup::new(policy, upstream.port(), nobody.number(), provider.port());
        let jwks = format!("{}/jwks", provider.url());
        setup.before = vec![json!({
            "name": "envoy.filters.http.jwt_authn",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
                "providers": {"idp": {
                    "issuer": provider.url(),
                    "payload_in_metadata": "payload",
                    "remote_jwks": {"http_uri": {"uri": jwks, "cluster": "idp", "timeout": "5s"}},
                }},
                // Whoever comes without a token is let through to the gate, which has to refuse.
                "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": [
                    {"provider_name": "idp"}, {"allow_missing": {}},
                ]}}}],
            },
        })];
        let envoy = Envoy::start(site, &setup).await?;

        let token = provider.sign_in("zoe").await?;
        read_thread(&token).send(envoy.port()).await?.expect_status(200)?;
        let seen = upstream.seen();
        let [request] = &seen[..] else { anyhow::bail!("{} requests", seen.len()) };
        ensure!(request.header("x-graphwarden-subject").as_deref() == Some("zoe"));
        ensure!(request.header("x-graphwarden-roles").as_deref() == Some("analyst"));
        ensure!(!request.holds(&token), "a token went upstream");

        let claims =
            json!({"iss": provider.url(), "sub": "zoe", "aud": "langgraph", "exp": 4_000_000_000_u64});
        let forged = Ask::get(&format!("/threads/{THREAD}"))
            .header("payload", claims.to_string())
            .header("x-jwt-payload", claims.to_string())
            .header("x-envoy-metadata", claims.to_string())
            .send(envoy.port())
            .await?;
        forged.expect_status(401)?;
        ensure!(forged.json()?["reason"] == "token_missing", "{}", forged.text());
        ensure!(upstream.seen().len() == 1, "a forged request went upstream");
        Ok(())
    });
}

#[test]
fn a_token_that_the_provider_ended_is_refused_and_so_is_every_token_that_it_cannot_be_asked_about() {
    run("provider-introspection", async |site: &Site| {
        let provider = OidcProvider::start(site).await?;
        let upstream = Upstream::start(|_| Reply::json(200, &json!({"thread_id": THREAD}))).await?;
        let mut policy = policy(&provider).await?;
        policy["identity"]["issuers"][0]["introspection"] = json!({
            "cluster": "idp", "path": "/token/introspection", "client_id": "nightly",
            "client_secret": {"env": "INTROSPECTION_SECRET"}, "cache": "3s", "timeout": "1s",
        });
        let nobody = free_port()?;
        let mut setup = EnvoySetup::new(policy, upstream.port(), nobody.number(), provider.port());
        setup.environment = vec![("INTROSPECTION_SECRET".to_owned(), MACHINE_SECRET.to_owned())];
        let envoy = Envoy::start(site, &setup).await?;
        let ask = async |token: &str| read_thread(token).send(envoy.port()).await;

        let (machine, person) = (provider.client_credentials().await?, provider.sign_in("zoe").await?);
        for token in [&machine, &person] {
            ask(token).await?.expect_status(200)?;
        }
        provider.revoke(&machine).await?;
        // Believed a moment longer, and no longer than the policy says.
        let revoked = Instant::now();
        graphwarden_stand::wait_until("the revocation is noticed", Duration::from_secs(10), async || {
            ask(&machine).await.is_ok_and(|answer| answer.status == 401)
        })
        .await?;
        ensure!(revoked.elapsed() < Duration::from_secs(5), "noticed after {:?}", revoked.elapsed());
        let refused = ask(&machine).await?;
        ensure!(refused.json()?["reason"] == "token_revoked", "{}", refused.text());
        let challenge = refused.header("www-authenticate").unwrap_or_default();
        ensure!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        ask(&person).await?.expect_status(200)?;

        let unasked = provider.client_credentials().await?;
        provider.go_down(6).await?;
        let passed = upstream.seen().len();
        let refused = ask(&unasked).await?;
        refused.expect_status(503)?;
        ensure!(refused.json()?["reason"] == "introspection_unavailable", "{}", refused.text());
        ensure!(upstream.seen().len() == passed, "a request went upstream unasked");
        graphwarden_stand::wait_until("the provider is asked again", Duration::from_secs(20), async || {
            ask(&unasked).await.is_ok_and(|answer| answer.status == 200)
        })
        .await
    });
}

#[test]
fn where_the_provider_introspects_no_jwt_nobody_passes() {
    run("provider-refuses-jwts", async |site: &Site| {
        let provider = OidcProvider::start(site).await?;
        let upstream = Upstream::start(|_| Reply::json(200, &json!({"thread_id": THREAD}))).await?;
        let mut policy = policy(&provider).await?;
        policy["identity"]["issuers"][0]["introspection"] = json!({
            "cluster": "idp", "path": "/test/plain/introspection", "client_id": "nightly",
            "client_secret": {"env": "INTROSPECTION_SECRET"}, "cache": "1s", "timeout": "1s",
        });
        let nobody = free_port()?;
        let mut setup = EnvoySetup::new(policy, upstream.port(), nobody.number(), provider.port());
        setup.environment = vec![("INTROSPECTION_SECRET".to_owned(), MACHINE_SECRET.to_owned())];
        let envoy = Envoy::start(site, &setup).await?;
        for token in [provider.client_credentials().await?, provider.sign_in("zoe").await?] {
            // At once, from the cache, and when the provider is asked again.
            for _ in 0..3 {
                let refused = read_thread(&token).send(envoy.port()).await?;
                let reason = refused.json()?["reason"].as_str().unwrap_or_default().to_owned();
                let closed = matches!(
                    (refused.status, reason.as_str()),
                    (401, "token_revoked") | (503, "introspection_unavailable")
                );
                ensure!(closed, "{} {}", refused.status, refused.text());
                tokio::time::sleep(Duration::from_millis(600)).await;
            }
        }
        ensure!(upstream.seen().is_empty(), "{:?}", upstream.seen());
        Ok(())
    });
}
