//! RFC 7662: what is asked, what is believed, for how long, and that anything else means no.

use std::time::Duration;

use serde_json::json;

use super::forge::{Gate, NOW, bearer, good, policy};
use crate::identity::{Identity, Introspection, NoNative, TokenCache};
use crate::reason::Reason;

fn gate() -> Gate {
    let mut policy = policy();
    policy["issuers"][0]["introspection"] = json!({
        "cluster": "idp", "path": "/introspect", "client_id": "gate way",
        "client_secret": {"env": "LANGGRAPH_API_KEY"}, "cache": "20s",
    });
    Gate::new(policy)
}

struct Asking {
    gate: Gate,
    cache: TokenCache,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    identity: std::sync::Arc<Identity>,
}

impl Asking {
    fn new() -> Self {
        let (gate, mut cache, headers) = (gate(), TokenCache::new(4), bearer(&good("ES256")));
        let identity = gate
            .authenticator
            .authenticate(&headers, &gate.keys, &mut cache, &NoNative, NOW)
            .expect("the token is good");
        Self { gate, cache, headers, identity }
    }

    fn needed(&mut self, now: u64) -> Result<Introspection, Reason> {
        let found =
            self.gate.authenticator.introspection(&self.headers, &self.identity, &mut self.cache, now);
        found.map_err(|refused| refused.reason)
    }

    fn answer(&mut self, status: u16, body: &str, now: u64) -> Result<(), Reason> {
        let judged = self.gate.authenticator.introspected(
            &self.identity,
            status,
            body.as_bytes(),
            &mut self.cache,
            now,
        );
        judged.map_err(|refused| refused.reason)
    }
}

#[test]
fn asks_as_the_standard_says_and_shows_no_secret() {
    let mut asking = Asking::new();
    let Ok(Introspection::Ask(request)) = asking.needed(NOW) else { panic!("the issuer has to be asked") };
    assert_eq!(request.cluster, "idp");
    assert_eq!(request.timeout, Duration::from_secs(2));
    let header =
        |name: &str| request.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    assert_eq!(header(":method"), Some("POST"));
    assert_eq!(header(":path"), Some("/introspect"));
    assert_eq!(header(":authority"), Some("idp.example.com"));
    assert_eq!(header("content-type"), Some("application/x-www-form-urlencoded"));
    // gate%20way:lsv2-synthetic
    assert_eq!(header("authorization"), Some("Basic Z2F0ZSUyMHdheTpsc3YyLXN5bnRoZXRpYw=="));
    let body = String::from_utf8(request.body.clone()).expect("a form");
    assert!(body.starts_with("token=eyJ") && body.ends_with("&token_type_hint=access_token"));
    let shown = format!("{request:?} {:?}", asking.gate.authenticator);
    assert!(!shown.contains("eyJ") && !shown.contains("Z2F0") && !shown.contains("synthetic"), "{shown}");
}

#[test]
fn believes_an_answer_for_as_long_as_the_policy_says() {
    let mut asking = Asking::new();
    assert_eq!(asking.answer(200, r#"{"active":true,"sub":"7f3c"}"#, NOW), Ok(()));
    assert_eq!(asking.needed(NOW + 19), Ok(Introspection::Settled));
    assert!(matches!(asking.needed(NOW + 20), Ok(Introspection::Ask(_))));

    assert_eq!(asking.answer(200, r#"{"active":false}"#, NOW + 20), Err(Reason::TokenRevoked));
    assert_eq!(asking.needed(NOW + 39), Err(Reason::TokenRevoked));
    assert!(matches!(asking.needed(NOW + 40), Ok(Introspection::Ask(_))));
}

#[test]
fn anything_but_a_sound_yes_means_no_and_is_not_remembered() {
    let huge = json!({"active": true, "x": "x".repeat(70_000)}).to_string();
    for (status, body) in [
        (0, ""),
        (503, ""),
        (504, "upstream request timeout"),
        (401, r#"{"active":true}"#),
        (201, r#"{"active":true}"#),
        (200, ""),
        (200, "{}"),
        (200, "true"),
        (200, r#"{"active":"true"}"#),
        (200, r#"{"active":1}"#),
        (200, r#"{"active":false,"active":true}"#),
        (200, huge.as_str()),
    ] {
        let mut asking = Asking::new();
        assert_eq!(
            asking.answer(status, body, NOW),
            Err(Reason::IntrospectionUnavailable),
            "{status} {body:.40}"
        );
        assert!(matches!(asking.needed(NOW), Ok(Introspection::Ask(_))));
    }
}

#[test]
fn a_yes_about_somebody_else_or_about_the_past_is_a_no() {
    for body in [
        json!({"active": true, "sub": "another"}),
        json!({"active": true, "sub": 1}),
        json!({"active": true, "exp": NOW}),
        json!({"active": true, "exp": "soon"}),
    ] {
        assert_eq!(Asking::new().answer(200, &body.to_string(), NOW), Err(Reason::TokenRevoked), "{body}");
    }
}

#[test]
fn issuers_without_introspection_are_settled() {
    let gate = Gate::new(policy());
    let (mut cache, headers) = (TokenCache::new(4), bearer(&good("ES256")));
    let identity = gate
        .authenticator
        .authenticate(&headers, &gate.keys, &mut cache, &NoNative, NOW)
        .expect("the token is good");
    let found = gate.authenticator.introspection(&headers, &identity, &mut cache, NOW);
    assert_eq!(found, Ok(Introspection::Settled));
}

#[test]
fn a_policy_that_keeps_no_answer_asks_each_time() {
    let mut policy = policy();
    policy["issuers"][0]["introspection"] = json!({
        "cluster": "idp", "path": "/introspect", "client_id": "c",
        "client_secret": {"env": "HS_KEY"}, "cache": "0s",
    });
    let mut asking = Asking { gate: Gate::new(policy), ..Asking::new() };
    assert_eq!(asking.answer(200, r#"{"active":true}"#, NOW), Ok(()));
    assert!(matches!(asking.needed(NOW), Ok(Introspection::Ask(_))));
}
