//! Tokens that have to pass, so that the table of hostile ones refuses for its reasons and not for others'.

use serde_json::{Value, json};

use super::aws_lc::Unasked;
use super::forge::{
    Gate, ISSUER, NOW, claiming, claims, claims_with, claims_without, good, headed, header, kid, policy, raw,
    resigned, strict, strict_claims,
};
use crate::identity::{Actor, Algorithm, Identity};

fn accept(token: &[u8]) -> Identity {
    Gate::new(policy())
        .judge(token)
        .map(|identity| (*identity).clone())
        .unwrap_or_else(|why| panic!("{why:?}"))
}

#[test]
fn every_algorithm_that_the_issuer_may_use() {
    for algorithm in Algorithm::ALL.iter().filter(|algorithm| **algorithm != Algorithm::Es256k) {
        assert_eq!(accept(&good(algorithm.name())).token.alg, algorithm.name());
    }
}

#[test]
fn what_the_host_cannot_verify_is_not_asked_of_it() {
    let gate = Gate::new(policy());
    for alg in ["PS256", "PS384", "PS512", "EdDSA"] {
        assert!(gate.judge_with(&Unasked, &good(alg)).is_ok(), "{alg}");
    }
}

#[test]
fn es256k_where_the_issuer_names_it_with_s_high_or_low() {
    // The library insists on a low s, RFC 8812 does not: of each pair one is high.
    let claims = strict_claims();
    let header = json!({"alg": "ES256K", "kid": "k256", "typ": "at+jwt"});
    let token = raw(header.to_string(), claims.to_string(), "ES256K");
    accept(&token);
    let text = String::from_utf8(token).expect("tokens are ASCII");
    let (message, signature) = text.rsplit_once('.').expect("three parts");
    let signature = super::forge::unb64(signature);
    let (r, s) = k256::ecdsa::Signature::from_slice(&signature).expect("it is sound").split_scalars();
    let other = k256::ecdsa::Signature::from_scalars(*r, -*s).expect("it is sound");
    accept(format!("{message}.{}", super::forge::b64(other.to_bytes())).as_bytes());
}

#[test]
fn es256_with_s_high_or_low() {
    accept(&resigned("ES256", |signature, _| {
        let (r, s) = p256::ecdsa::Signature::from_slice(&signature).expect("it is sound").split_scalars();
        p256::ecdsa::Signature::from_scalars(*r, -*s).expect("it is sound").to_bytes().to_vec()
    }));
}

#[test]
fn ed25519_by_its_newer_name_and_tokens_without_a_kid() {
    accept(&headed(&json!({"alg": "Ed25519", "kid": kid("EdDSA")}), "EdDSA"));
    for alg in ["RS256", "ES256", "ES384", "EdDSA", "PS256"] {
        accept(&headed(&json!({"alg": alg}), alg));
    }
}

#[test]
fn headers_that_mean_nothing_to_the_gate() {
    for (name, value) in [
        ("typ", json!("application/whatever")),
        ("cty", json!("text/plain")),
        ("b64", json!(true)),
        ("x5t", json!("abc")),
        ("nonce", json!(1)),
    ] {
        let mut header = header("ES256");
        header[name] = value;
        accept(&headed(&header, "ES256"));
    }
}

#[test]
fn dates_up_to_the_leeway_and_no_further() {
    for (name, value) in [
        ("exp", json!(NOW - 29)),
        ("exp", json!((NOW + 1) as f64 + 0.5)),
        ("exp", json!(253_402_300_799_u64)),
        ("nbf", json!(NOW + 30)),
        ("nbf", json!(0)),
        ("iat", json!(NOW + 30)),
        ("iat", json!(NOW as f64 - 0.25)),
    ] {
        accept(&claiming(&claims_with(name, value)));
    }
    accept(&claiming(&claims_without("iat")));
}

#[test]
fn audiences_alone_and_among_others() {
    for audience in [json!("https://api.example.com"), json!(["billing", "langgraph"]), json!(["langgraph"])]
    {
        accept(&claiming(&claims_with("aud", audience)));
    }
}

#[test]
fn types_and_authorised_parties_as_the_issuer_wants_them() {
    let gate = Gate::new(policy());
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+JWT"] {
        let header = json!({"alg": "RS256", "kid": "strict", "typ": typ});
        assert!(gate.judge(&strict(&header, &strict_claims())).is_ok(), "{typ}");
    }
    let mut claims = strict_claims();
    let party = claims.as_object_mut().expect("an object").remove("azp").expect("it is there");
    claims["client_id"] = party;
    assert!(gate.judge(&strict(&json!({"alg": "RS256", "kid": "strict", "typ": "at+jwt"}), &claims)).is_ok());
}

#[test]
fn claims_become_an_identity_with_the_policys_names() {
    let mut claims = claims();
    claims["realm_access"] = json!({"roles": ["app_analyst", "viewer", "viewer"]});
    claims["https://example.com/groups"] = json!(["sg-4711", "sg-0815", "staff"]);
    let identity = accept(&claiming(&claims));
    assert_eq!(identity.issuer, ISSUER);
    assert_eq!(identity.subject, "7f3c");
    assert_eq!(identity.name.as_deref(), Some("Zoë O'Brien"));
    assert_eq!(identity.email.as_deref(), Some("zoe.obrien@example.com"));
    assert_eq!(identity.groups, ["managers", "sg-0815", "staff"]);
    assert_eq!(identity.roles, ["analyst", "viewer", "operator", "manager"]);
    assert_eq!(identity.actor, Actor::Person);
    assert_eq!(identity.claims["jti"], "t-1");
    assert_eq!(identity.token.jti.as_deref(), Some("t-1"));
    assert_eq!(identity.token.iat, Some(NOW as i64 - 10));
    assert_eq!(identity.token.exp, NOW as i64 + 300);
    assert_eq!(identity.token.kid.as_deref(), Some("p256"));
    assert_eq!(identity.token.sha256.len(), 64);
}

#[test]
fn one_string_is_one_role_and_null_is_none() {
    let single = accept(&claiming(&claims_with("realm_access", json!({"roles": "app_analyst"}))));
    assert_eq!(single.roles, ["analyst"]);
    let none = accept(&claiming(&claims_with("realm_access", json!({"roles": null}))));
    assert!(none.roles.is_empty() && none.groups.is_empty());
}

#[test]
fn a_scope_is_split_where_the_policy_says_so() {
    let mut policy = policy();
    policy["issuers"][0]["claims"] = json!({"roles": "scope", "split": true});
    let gate = Gate::new(policy);
    let identity =
        gate.judge(&claiming(&claims_with("scope", "runs:read  runs:write"))).expect("it is sound");
    assert_eq!(identity.roles, ["runs:read", "runs:write"]);
}

#[test]
fn an_address_that_was_not_verified_is_no_address() {
    for unverified in [json!(false), json!("false")] {
        assert_eq!(accept(&claiming(&claims_with("email_verified", unverified))).email, None);
    }
    assert!(accept(&claiming(&claims_with("email_verified", true))).email.is_some());
}

#[test]
fn machines_are_told_from_people() {
    let machine = |claims: Value| accept(&claiming(&claims)).actor;
    let bare = |extra: Value| {
        let mut claims = claims_without("name");
        let members = claims.as_object_mut().expect("an object");
        members.remove("email");
        members.extend(extra.as_object().expect("an object").clone());
        claims
    };
    assert_eq!(machine(bare(json!({"client_id": "7f3c"}))), Actor::Machine);
    assert_eq!(machine(bare(json!({"azp": "nightly"}))), Actor::Machine);
    assert_eq!(machine(claims_with("idtyp", "app")), Actor::Machine);
    assert_eq!(machine(claims_with("gty", "client-credentials")), Actor::Machine);
    assert_eq!(machine(bare(json!({"azp": "c", "preferred_username": "service-account-c"}))), Actor::Machine);
    assert_eq!(machine(claims_with("azp", "console")), Actor::Person);
    assert_eq!(machine(bare(json!({"azp": "console", "preferred_username": "zoe"}))), Actor::Person);
    assert_eq!(machine(bare(json!({"client_id": "console", "auth_time": NOW - 60}))), Actor::Person);
    assert_eq!(machine(bare(json!({}))), Actor::Person);
}

#[test]
fn the_payload_of_a_sound_signature_whatever_its_dates() {
    let gate = Gate::new(policy());
    let token = claiming(&claims_with("exp", 1_300_819_380));
    let payload = gate.authenticator.verify_signature(&token, &gate.keys, &crate::identity::NoNative);
    let payload: Value =
        serde_json::from_slice(&payload.expect("the signature is sound")).expect("it is JSON");
    assert_eq!(payload["sub"], "7f3c");
    let mut broken = token;
    let last = broken.len() - 10;
    broken[last] = if broken[last] == b'A' { b'B' } else { b'A' };
    assert!(gate.authenticator.verify_signature(&broken, &gate.keys, &crate::identity::NoNative).is_err());
}
