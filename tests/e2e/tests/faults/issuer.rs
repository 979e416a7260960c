//! The identity provider: slow, resetting, sending garbage or a hundred megabytes of keys, and rotating at last.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use graphwarden_e2e::{Gate, expect_refusal, reason};
use graphwarden_stand::{
    Act, Ask, Desk, Envoy, EnvoySetup, Issuer, Person, Reply, Site, Upstream, run, standard_policy, unix_now,
    wait_until,
};
use serde_json::{Value, json};

use crate::invariants::{all_is_recorded, no_worker_failed};
use crate::load::{Load, each_is_told_the_truth, thread, upstream};

const JSON: (&str, &str) = ("content-type", "application/json");

fn page(body: &[u8]) -> Vec<Act> {
    Reply::whole(200, &[JSON], body)
}

/// Each way in which a key set can be none, and what the provider does.
fn faults() -> Vec<(&'static str, Vec<Act>)> {
    let key = json!({"kty": "EC", "crv": "P-256", "kid": "es-1", "x": "AAAA", "y": "AAAA"});
    let megabyte = Act::Send(b" ".repeat(1 << 20));
    let mut huge = vec![Act::Send(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 104857600\r\n\r\n".to_vec(),
    )];
    huge.extend(std::iter::repeat_n(megabyte, 100));
    vec![
        ("no JSON", page(b"<html>maintenance</html>")),
        ("cut off", page(br#"{"keys":[{"kty":"EC","#)),
        ("no keys", page(br#"{"keys":[]}"#)),
        ("a number of keys", page(br#"{"keys":7}"#)),
        (
            "keys of its own kind",
            page(json!({"keys": [key, {"kty": "oct", "k": "c2VjcmV0"}, 7]}).to_string().as_bytes()),
        ),
        ("ten thousand keys", page(json!({"keys": vec![key; 10_000]}).to_string().as_bytes())),
        ("a redirect", Reply::whole(302, &[("location", "http://127.0.0.1:1/")], b"")),
        ("an error", Reply::whole(500, &[JSON], b"{}")),
        ("half a head", vec![Act::Send(b"HTTP/1.1 200 OK\r\ncontent".to_vec()), Act::Reset]),
        ("silence", vec![Act::Wait(Duration::from_secs(30)), Act::Close]),
        ("a hundred megabytes", huge),
    ]
}

#[test]
fn a_provider_that_is_slow_or_sends_garbage_or_a_hundred_megabytes_of_keys_costs_nobody_who_is_signed_in() {
    run("fault_issuer", async |site: &Site| {
        let upstream = upstream().await?;
        let issuer = Issuer::start().await?;
        let first = issuer.jwks();
        let now: Arc<Mutex<Vec<Act>>> = Arc::new(Mutex::new(page(first.to_string().as_bytes())));
        let provider = Upstream::start({
            let now = Arc::clone(&now);
            move |_| now.lock().unwrap_or_else(PoisonError::into_inner).clone()
        })
        .await?;
        let does = |acts: Vec<Act>| *now.lock().unwrap_or_else(PoisonError::into_inner) = acts;
        let desk = Desk::start(site, issuer.url()).await?;
        let mut setup =
            EnvoySetup::new(standard_policy(&issuer)?, upstream.port(), desk.port(), provider.port());
        setup.policy["identity"]["issuers"][0]["keys"]["timeout"] = json!("1s");
        let gate = Gate { envoy: Envoy::start(site, &setup).await?, desk, issuer };
        gate.wait_for_keys().await?;
        let load = Load::start(&gate);
        load.passes().await?;
        let before = gate.envoy.memory_mib();
        for (at, (fault, acts)) in faults().into_iter().enumerate() {
            does(acts);
            let fetched = provider.seen().len();
            // A key that nobody knows is worth a fetch; where one was made of late, a moment later.
            wait_until(&format!("{fault}: a fetch"), Duration::from_secs(20), async || {
                let claims = json!({"iss": gate.issuer.url(), "aud": "langgraph", "sub": "x", "exp": unix_now() + 600});
                let header = json!({"alg": "ES256", "typ": "JWT", "kid": format!("unknown-{at}-{}", provider.seen().len())});
                let token = gate.issuer.headed(&header, &claims);
                let answer = Ask::get(&thread(1)).bearer(&token).send(gate.port()).await;
                let told = answer.is_ok_and(|answer| {
                    matches!((answer.status, reason(&answer).as_str()), (401, "token_key_unknown") | (503, "keys_unavailable"))
                });
                assert!(told, "{fault}: a token of no key was not refused");
                provider.seen().len() > fetched
            })
            .await?;
        }
        load.passes().await?;
        if let (Some(before), Some(after)) = (before, gate.envoy.memory_mib()) {
            ensure!(after < before + 160, "Envoy grew from {before} to {after} MiB");
        }
        // The provider is well again, and has a new key beside the old one.
        gate.issuer.rotate();
        let mut keys = gate.issuer.jwks();
        let old: Vec<Value> = first["keys"].as_array().cloned().unwrap_or_default();
        keys["keys"].as_array_mut().context("no keys")?.extend(old);
        does(page(keys.to_string().as_bytes()));
        let token = gate.token(Person::Analyst);
        wait_until("the new key", Duration::from_secs(20), async || {
            let answer = Ask::get(&thread(700_000_000)).bearer(&token).send(gate.port()).await;
            answer.is_ok_and(|answer| answer.status == 200)
        })
        .await?;
        load.passes().await?;
        let told = load.end().await?;
        each_is_told_the_truth(&told, &[])?;
        expect_refusal(&Ask::get(&thread(1)).send(gate.port()).await?, 401, "token_missing")?;
        no_worker_failed(&gate.envoy).await?;
        all_is_recorded(|| gate.desk.export(site), &upstream.seen()).await.map(drop)
    });
}
