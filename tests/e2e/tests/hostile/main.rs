//! The hostile tokens through a real Envoy, whose own library checks the signatures: each is refused there with the
//! reason that the policies give by themselves, and nothing of it reaches the upstream.

#[allow(dead_code, reason = "the policies' own tests need more of it")]
#[path = "../../../../policies/src/identity/tests/aws_lc.rs"]
mod aws_lc;
#[allow(dead_code, reason = "the policies' own tests need more of it")]
#[path = "../../../../policies/src/identity/tests/forge.rs"]
mod forge;
mod table;

/// Where the forge and the table find what they are made with.
mod identity {
    pub(crate) use graphwarden_policies::identity::{
        Authenticator, Config, Identity, KeyRing, NativeVerifier, NoNative, Refused, TokenCache,
    };
}
mod policy {
    pub(crate) use graphwarden_policies::policy::{At, Problems};
}
mod reason {
    pub(crate) use graphwarden_policies::reason::Reason;
}

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::{THREAD, reason as reason_of};
use graphwarden_stand::{
    Answer, Ask, Envoy, EnvoySetup, Reply, Site, Upstream, free_port, run, shipped_config, unix_now,
    wait_until,
};
use serde_json::{Value, json};

use crate::reason::Reason;

/// The shipped policy with the forge's issuers. A shorter leeway than theirs, because here time goes by.
fn policy_of_the_forge() -> Result<Value> {
    let mut policy = shipped_config()?
        .pointer("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config/configuration/value")
        .context("no policy in envoy.yaml")?
        .clone();
    policy["identity"] = forge::policy();
    policy["identity"]["leeway"] = json!("10s");
    policy["evidence"] = json!({"off": true});
    policy["access"] = json!({"rules": [{"name": "all", "operations": ["*"], "then": "allow"}]});
    if let Some(policy) = policy.as_object_mut() {
        policy.remove("approvals");
    }
    Ok(policy)
}

async fn send(envoy: &Envoy, token: &[u8]) -> Result<Answer> {
    let bearer = [b"Bearer ", token].concat();
    let ask = Ask::get(&format!("/threads/{THREAD}")).header("authorization", &bearer);
    ask.within(Duration::from_secs(10)).send(envoy.port()).await
}

#[test]
fn every_hostile_token_is_refused_by_a_real_envoy_for_its_reason() {
    run("hostile", async |site: &Site| -> Result<()> {
        let upstream = Upstream::start(|_| Reply::json(200, &json!({"thread_id": THREAD}))).await?;
        // Publishes the forge's keys, and no discovery document.
        let idp = Upstream::start(|seen| match seen.target.as_str() {
            "/jwks.json" => Reply::json(200, &forge::key_set()),
            _ => Reply::json(404, &json!({})),
        })
        .await?;
        let nobody = free_port()?;
        let setup = EnvoySetup::new(policy_of_the_forge()?, upstream.port(), nobody.number(), idp.port());
        let envoy = Envoy::start(site, &setup).await?;
        // Keys take a while to make; only then does the clock of the forge stand.
        std::sync::LazyLock::force(&forge::KEYS);
        let now = forge::MOMENT.get_or_init(unix_now);
        let good = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
        wait_until("the forge's keys", Duration::from_secs(20), async || {
            send(&envoy, &forge::good("ES256")).await.is_ok_and(|answer| answer.status == 200)
        })
        .await?;
        // Envoy takes a carriage return out of a header before anybody sees it, and what is left is a good token.
        let (mended, cases): (Vec<_>, Vec<_>) =
            table::cases().into_iter().partition(|case| case.token.contains(&b'\r'));
        ensure!(mended.len() == 1, "{} tokens that Envoy mends", mended.len());
        ensure!(cases.len() >= 150, "only {} hostile tokens", cases.len());
        upstream.forget();
        let (mut wrong, mut by_envoy) = (Vec::new(), Vec::new());
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for case in &cases {
            // Twice: the second time from the cache.
            for _ in 0..2 {
                let answer = match send(&envoy, &case.token).await {
                    Ok(answer) => answer,
                    Err(error) => {
                        wrong.push(format!("{}: {error:#}", case.name));
                        continue;
                    }
                };
                let code = reason_of(&answer);
                if code == case.reason.code() {
                    *reasons.entry(case.reason.code()).or_default() += 1;
                } else if code.is_empty() && answer.status == 400 {
                    // No byte of it got past Envoy's own reader of requests.
                    by_envoy.push(case.name);
                } else {
                    let (status, text) = (answer.status, answer.text());
                    wrong.push(format!("{}: {status} {text}, not {}", case.name, case.reason.code()));
                }
            }
        }
        ensure!(wrong.is_empty(), "{} s after the forge's moment:\n{}", unix_now() - now, wrong.join("\n"));
        by_envoy.dedup();
        ensure!(by_envoy.len() <= 6, "too few came to the gate: {by_envoy:?}");
        ensure!(upstream.seen().is_empty(), "a hostile token went upstream: {:?}", upstream.seen());
        for code in
            [Reason::TokenSignature, Reason::TokenAlgorithm, Reason::TokenClaims, Reason::TokenMalformed]
        {
            ensure!(reasons.get(code.code()).is_some_and(|count| *count >= 10), "{reasons:?}");
        }
        // The worker is as it was, and good tokens of every algorithm pass.
        for alg in good {
            send(&envoy, &forge::good(alg)).await?.expect_status(200).context(alg)?;
        }
        Ok(())
    });
}
