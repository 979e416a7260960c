//! What LangGraph is told: headers that no claim can break out of, and assertions that verify.

use std::collections::BTreeMap;

use jwt_simple::algorithms::{Ed25519PublicKey, EdDSAPublicKeyLike as _, HS256Key, MACLike as _};
use jwt_simple::prelude::{UnixTimeStamp, VerificationOptions};
use percent_encoding::percent_decode_str;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::forge::{Gate, ISSUER, NOW, claims, policy};
use crate::identity::{Actor, Identity, TokenCache, TokenFacts};

fn gate(upstream: Value) -> Gate {
    let mut policy = policy();
    policy["upstream"] = upstream;
    Gate::new(policy)
}

fn identity() -> Identity {
    let Value::Object(claims) = claims() else { unreachable!() };
    Identity {
        issuer: ISSUER.to_owned(),
        subject: "7f3c".to_owned(),
        name: Some("Zoë O'Brien".to_owned()),
        email: Some("zoe.obrien@example.com".to_owned()),
        roles: vec!["analyst".to_owned(), "a,b".to_owned()],
        groups: vec!["staff".to_owned()],
        actor: Actor::Person,
        claims,
        token: TokenFacts {
            jti: None,
            iat: None,
            exp: 0,
            alg: "ES256".to_owned(),
            kid: None,
            sha256: String::new(),
        },
    }
}

fn told(gate: &Gate, identity: &Identity) -> BTreeMap<String, String> {
    told_with(gate, identity, &mut TokenCache::new(4), NOW)
}

fn told_with(gate: &Gate, identity: &Identity, cache: &mut TokenCache, now: u64) -> BTreeMap<String, String> {
    gate.authenticator
        .upstream_headers(identity, cache, now)
        .iter()
        .map(|(name, value)| (name.clone(), String::from_utf8(value.clone()).expect("headers are ASCII")))
        .collect()
}

#[test]
fn one_callers_words_are_never_told_of_another() {
    for upstream in [
        json!({"identity": "headers"}),
        json!({"identity": "assertion", "assertion": {"algorithm": "EdDSA", "key": {"env": "ED_KEY"}}}),
    ] {
        let (gate, mut cache) = (gate(upstream), TokenCache::new(4));
        let of = |subject: &str, sha256: &str| {
            let token = TokenFacts { sha256: sha256.to_owned(), exp: NOW as i64 + 300, ..identity().token };
            Identity { subject: subject.to_owned(), token, ..identity() }
        };
        let (one, other) = (of("7f3c", "01"), of("8a4d", "02"));
        let first = told_with(&gate, &one, &mut cache, NOW);
        assert_ne!(first, told_with(&gate, &other, &mut cache, NOW));
        assert_eq!(first, told_with(&gate, &one, &mut cache, NOW + 1));
    }
}

#[test]
fn an_assertion_is_signed_anew_before_it_is_too_old_to_be_used() {
    let assertion = json!({"algorithm": "EdDSA", "key": {"env": "ED_KEY"}});
    let gate = gate(json!({"identity": "assertion", "assertion": assertion}));
    let token = TokenFacts { exp: NOW as i64 + 300, ..identity().token };
    let (identity, mut cache) = (Identity { token, ..identity() }, TokenCache::new(4));
    let first = told_with(&gate, &identity, &mut cache, NOW);
    assert_eq!(first, told_with(&gate, &identity, &mut cache, NOW + 29));
    assert_ne!(first, told_with(&gate, &identity, &mut cache, NOW + 30));
}

#[test]
fn nothing_is_told_unless_the_policy_says_so() {
    assert!(told(&Gate::new(policy()), &identity()).is_empty());
}

#[test]
fn langgraphs_own_key_comes_from_the_environment() {
    let gate = gate(json!({"headers": {"x-api-key": {"env": "LANGGRAPH_API_KEY"}}}));
    assert_eq!(
        told(&gate, &identity()),
        BTreeMap::from([("x-api-key".to_owned(), "lsv2-synthetic".to_owned())])
    );
    assert!(!format!("{:?}", gate.authenticator).contains("synthetic"));
}

#[test]
fn identity_headers_are_ascii_and_lists_keep_their_items_apart() {
    let told = told(&gate(json!({"identity": "headers"})), &identity());
    let expected = [
        ("actor", "person"),
        ("email", "zoe.obrien@example.com"),
        ("groups", "staff"),
        ("issuer", "https://idp.example.com"),
        ("name", "Zo%C3%AB O%27Brien"),
        ("roles", "analyst,a%2Cb"),
        ("subject", "7f3c"),
    ];
    let expected = expected.map(|(name, value)| (format!("x-graphwarden-{name}"), value.to_owned()));
    assert_eq!(told, BTreeMap::from(expected));
}

#[test]
fn what_is_not_known_is_not_told() {
    let bare = Identity {
        name: None,
        email: None,
        roles: vec![],
        groups: vec![],
        actor: Actor::Machine,
        ..identity()
    };
    let told = told(&gate(json!({"identity": "headers"})), &bare);
    assert_eq!(told.len(), 3);
    assert_eq!(told["x-graphwarden-actor"], "machine");
}

#[test]
fn white_space_at_the_ends_is_not_lost() {
    for name in [" ", "  x ", "x  ", "é "] {
        let told = told(
            &gate(json!({"identity": "headers"})),
            &Identity { name: Some(name.to_owned()), ..identity() },
        );
        let value = &told["x-graphwarden-name"];
        assert_eq!(value.trim(), value);
        assert_eq!(percent_decode_str(value).decode_utf8().as_deref(), Ok(name));
    }
}

proptest! {
    /// Whatever claims hold, a header's value is visible ASCII with inner spaces, and decodes to it.
    #[test]
    fn no_claim_breaks_out_of_its_header(name in any::<String>(), roles in prop::collection::vec(any::<String>(), 1..5)) {
        let gate = gate(json!({"identity": "headers"}));
        let identity = Identity { name: Some(name.clone()), roles: roles.clone(), ..identity() };
        let told = told(&gate, &identity);
        for value in told.values() {
            prop_assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        }
        let decode = |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.into_owned());
        prop_assert_eq!(decode(&told["x-graphwarden-name"]).ok(), Some(name));
        let decoded: Result<Vec<String>, _> = told["x-graphwarden-roles"].split(',').map(decode).collect();
        prop_assert_eq!(decoded.ok(), Some(roles));
    }
}

fn options(now: u64) -> Option<VerificationOptions> {
    Some(VerificationOptions {
        artificial_time: Some(UnixTimeStamp::from_secs(now)),
        time_tolerance: Some(jwt_simple::prelude::Duration::from_secs(0)),
        allowed_audiences: Some(["langgraph".to_owned()].into()),
        allowed_issuers: Some(["graphwarden".to_owned()].into()),
        ..Default::default()
    })
}

#[test]
fn an_eddsa_assertion_verifies_for_sixty_seconds() {
    let assertion = json!({"algorithm": "EdDSA", "key": {"env": "ED_KEY"}, "key_id": "gate-1"});
    let told = told(&gate(json!({"identity": "assertion", "assertion": assertion})), &identity());
    let token = &told["x-graphwarden-assertion"];
    // The key of RFC 8037 appendix A.2.
    let key =
        Ed25519PublicKey::from_bytes(&super::forge::unb64("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))
            .expect("a sound key");
    let claims = key.verify_token::<Value>(token, options(NOW + 59)).expect("it verifies");
    assert_eq!(claims.subject.as_deref(), Some("7f3c"));
    assert_eq!(claims.custom["idp"], ISSUER);
    assert_eq!(claims.custom["roles"], json!(["analyst", "a,b"]));
    assert_eq!(claims.custom["actor"], "person");
    assert!(key.verify_token::<Value>(token, options(NOW + 61)).is_err());
    let header = super::forge::unb64(token.split('.').next().expect("a header"));
    let header: Value = serde_json::from_slice(&header).expect("it is JSON");
    assert_eq!((&header["alg"], &header["kid"]), (&json!("EdDSA"), &json!("gate-1")));
}

#[test]
fn an_hs256_assertion_verifies_and_may_travel_as_a_bearer_token() {
    let assertion = json!({"algorithm": "HS256", "key": {"env": "HS_KEY"}, "header": "authorization"});
    let told = told(&gate(json!({"identity": "assertion", "assertion": assertion})), &identity());
    let token = told["authorization"].strip_prefix("Bearer ").expect("a bearer token");
    let key = HS256Key::from_bytes(b"0123456789abcdef0123456789abcdef");
    assert!(key.verify_token::<Value>(token, options(NOW)).is_ok());
    assert!(HS256Key::from_bytes(&[0; 32]).verify_token::<Value>(token, options(NOW)).is_err());
}
