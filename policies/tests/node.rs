//! One whole decision on `wasm32-unknown-unknown`, as a browser page would run it; `make test-node` runs it
//! under Node.js.
#![cfg(all(target_family = "wasm", target_os = "unknown"))]

use graphwarden_policies::access::{Call, Effect};
use graphwarden_policies::evidence::{Chain, End, Kind, Record, ResponseRecord, Succession};
use graphwarden_policies::identity::{Identity, NoNative, TokenCache};
use graphwarden_policies::masking::Media;
use graphwarden_policies::policy::Policy;
use graphwarden_policies::reason::Reason;
use jwt_simple::prelude::*;
use std::sync::Arc;
use wasm_bindgen_test::wasm_bindgen_test;

const ISSUER: &str = "https://idp.example.com";
const NOW: u64 = 1_800_000_000;

fn environment(name: &str) -> Option<String> {
    (name == "KEY").then(|| "0123456789abcdef0123456789abcdef".to_owned())
}

fn policy(keys: &Ed25519KeyPair) -> Policy {
    let x = Base64UrlSafeNoPadding::encode_to_string(keys.public_key().to_bytes()).unwrap();
    let document = serde_json::json!({
        "identity": {"issuers": [{
            "issuer": ISSUER,
            "audiences": ["langgraph"],
            "algorithms": ["EdDSA"],
            "keys": {"inline": {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x}]}},
            "claims": {"roles": "roles"},
        }]},
        "access": {"default": "deny", "rules": [{
            "name": "analysts search",
            "operations": ["threads.search"],
            "when": "'analyst' in identity.roles",
            "then": "allow",
        }]},
        "evidence": {"off": true},
    });
    Policy::parse(document.to_string().as_bytes(), &environment)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

fn token(keys: &Ed25519KeyPair, roles: &[&str]) -> String {
    let at = UnixTimeStamp::from_secs(NOW - 10);
    let roles = serde_json::json!({"roles": roles});
    let mut claims = Claims::with_custom_claims(roles, Duration::from_secs(300))
        .with_issuer(ISSUER)
        .with_subject("u-1")
        .with_audience("langgraph");
    claims.issued_at = Some(at);
    claims.invalid_before = Some(at);
    claims.expires_at = Some(at + Duration::from_secs(300));
    keys.sign(claims).unwrap()
}

fn authenticate(policy: &Policy, token: &str) -> Result<Arc<Identity>, Reason> {
    let headers = [(b"authorization".to_vec(), format!("Bearer {token}").into_bytes())];
    policy
        .authenticator
        .authenticate(&headers, &policy.authenticator.key_ring(), &mut TokenCache::new(16), &NoNative, NOW)
        .map_err(|refused| refused.reason)
}

fn decide(policy: &Policy, identity: &Identity, path: &[u8]) -> Effect {
    let head =
        policy.operations.read_head(b"POST", path, &[]).unwrap_or_else(|refused| panic!("{refused:?}"));
    let request = policy.operations.read(&head, b"{}").unwrap_or_else(|refused| panic!("{refused:?}"));
    policy.rules.decide(identity, &request, &Call::default(), NOW).effect
}

#[wasm_bindgen_test]
fn a_verified_analyst_may_search_and_nothing_else() {
    let keys = Ed25519KeyPair::generate().with_key_id("k1");
    let policy = policy(&keys);
    let analyst = authenticate(&policy, &token(&keys, &["analyst"])).unwrap();
    assert_eq!(decide(&policy, &analyst, b"/threads/search"), Effect::Allow);
    assert!(matches!(decide(&policy, &analyst, b"/threads"), Effect::Deny { .. }));
    let guest = authenticate(&policy, &token(&keys, &[])).unwrap();
    assert!(matches!(decide(&policy, &guest, b"/threads/search"), Effect::Deny { .. }));
}

#[wasm_bindgen_test]
fn a_token_signed_by_someone_else_is_refused() {
    let policy = policy(&Ed25519KeyPair::generate().with_key_id("k1"));
    let other = Ed25519KeyPair::generate().with_key_id("k1");
    assert_eq!(authenticate(&policy, &token(&other, &["analyst"])).unwrap_err(), Reason::TokenSignature);
}

#[wasm_bindgen_test]
fn a_value_split_over_two_chunks_is_masked() {
    let policy = policy(&Ed25519KeyPair::generate().with_key_id("k1"));
    let mut masker = policy.masking.plan(None).open(Media::Json);
    let mut output = Vec::new();
    for chunk in [&br#"{"to":"zoe.obrien@exa"#[..], &br#"mple.com","n":1}"#[..]] {
        masker.push(chunk, &mut output).unwrap();
        assert!(!String::from_utf8_lossy(&output).contains("zoe"));
    }
    masker.finish(&mut output).unwrap();
    assert_eq!(String::from_utf8(output).unwrap(), r#"{"to":"[EMAIL]","n":1}"#);
}

#[wasm_bindgen_test]
fn a_sealed_line_is_the_next_of_its_chain() {
    let mut chain = Chain::new("c".to_owned());
    let line = chain.seal(&Record::new(Kind::Start, "x", "gate", NOW * 1_000_000)).unwrap();
    assert!(Succession::from_start("c").accept(&line.bytes).is_ok());
}

#[wasm_bindgen_test]
fn a_recorded_body_is_escaped_as_serde_json_escapes_it_wherever_quotes_and_backslashes_stand() {
    let mut chain = Chain::new("c".to_owned());
    for marks in 0..=u8::MAX {
        let body: String = (0..8)
            .map(|byte| match (marks >> byte & 1, byte % 2) {
                (1, 0) => '"',
                (1, _) => '\\',
                _ => 'x',
            })
            .collect();
        let body = format!("{body}é\n{body}ab");
        let mut record = Record::new(Kind::Outcome, "x", "gate", NOW * 1_000_000);
        record.response = Some(ResponseRecord {
            status: 200,
            masked: std::collections::BTreeMap::new(),
            bytes: 0,
            body: Some(body.clone()),
            segments: None,
            body_truncated: false,
            body_sha256: None,
            duration_us: 1,
            end: End::Complete,
        });
        let line = String::from_utf8(chain.seal(&record).unwrap().bytes).unwrap();
        let expected = format!("\"body\":{}}}}}", serde_json::to_string(&body).unwrap());
        assert!(line.ends_with(&expected), "{line}");
    }
}
