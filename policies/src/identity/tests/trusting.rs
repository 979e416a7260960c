//! `from: jwt_authn`: the payload that Envoy verified is judged like any other, and no header is an identity.

use std::sync::Arc;

use serde_json::{Value, json};

use super::forge::{Gate, ISSUER, NOW, bearer, claims, claims_with, claims_without, good, policy};
use crate::identity::{Authenticator, Identity, KeyRing, NoNative, Origin, Refused, TokenCache};
use crate::reason::Reason;

fn trusting() -> Authenticator {
    let policy = json!({
        "from": "jwt_authn",
        "jwt_authn": {"key": "payload"},
        "issuers": [{"issuer": ISSUER, "audiences": ["langgraph"], "claims": {"roles": "realm_access.roles"}}],
        "deny": {"sub": ["fired"]},
    });
    super::forge::compile(policy).unwrap_or_else(|problems| panic!("{problems}"))
}

fn ask(
    trusting: &Authenticator,
    cache: &mut TokenCache,
    payload: &[u8],
    now: u64,
) -> Result<Arc<Identity>, Refused> {
    trusting.authenticate_payload(payload, &trusting.key_ring(), cache, now)
}

fn judge(payload: &Value) -> Result<(), Reason> {
    let trusting = trusting();
    let judged = ask(&trusting, &mut TokenCache::new(4), payload.to_string().as_bytes(), NOW);
    judged.map(|_| ()).map_err(|refused| refused.reason)
}

#[test]
fn the_policy_says_where_the_payload_is() {
    let origin = Origin::JwtAuthn { namespace: "envoy.filters.http.jwt_authn".into(), key: "payload".into() };
    assert_eq!(*trusting().origin(), origin);
    assert_eq!(*Gate::new(policy()).authenticator.origin(), Origin::Token);
    assert!(trusting().remote_keys().is_empty());
}

#[test]
fn a_payload_becomes_an_identity_by_the_same_rules() {
    let mut payload = claims_with("realm_access", json!({"roles": ["analyst"]}));
    // A protobuf Struct has no integers.
    payload["exp"] = json!((NOW + 300) as f64);
    let trusting = trusting();
    let identity =
        ask(&trusting, &mut TokenCache::new(4), payload.to_string().as_bytes(), NOW).expect("it is sound");
    assert_eq!(identity.subject, "7f3c");
    assert_eq!(identity.roles, ["analyst"]);
    assert_eq!(identity.token.alg, "envoy.filters.http.jwt_authn");
    assert_eq!(identity.token.exp, NOW as i64 + 300);
}

#[test]
fn a_payload_is_checked_although_envoy_checked_it() {
    assert_eq!(judge(&claims()), Ok(()));
    assert_eq!(judge(&claims_with("iss", "https://attacker.example")), Err(Reason::TokenIssuer));
    assert_eq!(judge(&claims_with("aud", "billing")), Err(Reason::TokenAudience));
    assert_eq!(judge(&claims_with("exp", NOW - 30)), Err(Reason::TokenExpired));
    assert_eq!(judge(&claims_without("exp")), Err(Reason::TokenClaims));
    assert_eq!(judge(&claims_with("nbf", NOW + 31)), Err(Reason::TokenNotYetValid));
    assert_eq!(judge(&claims_with("sub", "fired")), Err(Reason::TokenRevoked));
    assert_eq!(judge(&json!([])), Err(Reason::TokenMalformed));
    assert_eq!(judge(&claims_with("x", "x".repeat(17_000))), Err(Reason::TokenMalformed));
}

#[test]
fn no_header_is_an_identity_where_envoy_verifies() {
    let (trusting, gate) = (trusting(), Gate::new(policy()));
    let payload = claims().to_string();
    for headers in [
        bearer(&good("ES256")),
        vec![(b"x-jwt-payload".to_vec(), payload.clone().into_bytes())],
        vec![(b"payload".to_vec(), payload.into_bytes())],
    ] {
        let mut cache = TokenCache::new(4);
        let judged = trusting.authenticate(&headers, &gate.keys, &mut cache, &NoNative, NOW);
        assert_eq!(judged.map_err(|refused| refused.reason).map(|_| ()), Err(Reason::TokenMissing));
    }
}

#[test]
fn no_payload_is_an_identity_where_the_gate_verifies() {
    let gate = Gate::new(policy());
    let judged = ask(&gate.authenticator, &mut TokenCache::new(4), claims().to_string().as_bytes(), NOW);
    assert_eq!(judged.map_err(|refused| refused.reason).map(|_| ()), Err(Reason::Internal));
}

#[test]
fn a_payload_is_read_once_and_never_believed_past_its_exp() {
    let (trusting, mut cache) = (trusting(), TokenCache::new(4));
    let keys: KeyRing = trusting.key_ring();
    let payload = claims().to_string();
    let mut ask = |now| trusting.authenticate_payload(payload.as_bytes(), &keys, &mut cache, now);
    let (first, second) = (ask(NOW).expect("it is sound"), ask(NOW + 299).expect("it is sound"));
    assert!(Arc::ptr_eq(&first, &second));
    // Within the leeway it passes, but is read again.
    assert!(!Arc::ptr_eq(&first, &ask(NOW + 300).expect("it is sound")));
    assert_eq!(ask(NOW + 330).map_err(|refused| refused.reason).map(|_| ()), Err(Reason::TokenExpired));
}
