//! Key sets: what is taken, what is passed over, what leaves the old keys in place, and discovery.

use serde_json::{Value, json};

use super::forge::{Gate, ISSUER, KEYS, b64, compile, ec_jwk, ed_jwk, good, key_set, policy, rsa_jwk, unb64};
use crate::identity::jwk::Key;
use crate::identity::refetch::Missing;
use crate::identity::{DiscoveryError, IssuerId, KeySetError, MAX_KEY_SET_BYTES, MAX_KEYS};
use crate::reason::Reason;

fn jwk(change: impl FnOnce(&mut Value)) -> Result<(), &'static str> {
    let mut jwk = ec_jwk(&KEYS.p256, "P-256", "k");
    change(&mut jwk);
    Key::from_jwk(jwk.as_object().expect("an object")).map(|_| ())
}

#[test]
fn a_jwks_limits_on_its_own_use_are_kept() {
    assert_eq!(jwk(|_| {}), Ok(()));
    assert_eq!(jwk(|jwk| jwk["use"] = "sig".into()), Ok(()));
    assert_eq!(jwk(|jwk| jwk["key_ops"] = json!(["verify"])), Ok(()));
    assert_eq!(jwk(|jwk| jwk["alg"] = "ES256".into()), Ok(()));
    assert_eq!(jwk(|jwk| jwk["x5c"] = json!(["ignored"])), Ok(()));
    for (name, value) in [
        ("use", json!("enc")),
        ("use", json!(["sig"])),
        ("use", Value::Null),
        ("key_ops", json!(["sign"])),
        ("key_ops", json!([])),
        ("key_ops", json!("verify")),
        ("alg", json!("ES384")),
        ("alg", json!("RS256")),
        ("alg", json!("HS256")),
        ("alg", json!("ECDH-ES")),
        ("alg", json!(1)),
        ("kid", json!(1)),
        ("kid", json!("k".repeat(513))),
        ("kty", json!("RSA")),
        ("kty", json!("oct")),
        ("kty", json!("ec")),
        ("kty", Value::Null),
        ("crv", json!("P-384")),
        ("crv", json!("P-521")),
        ("crv", json!("secp256k1")),
        ("d", json!("AA")),
        ("k", json!("AA")),
        ("x", json!("AA")),
        ("x", json!("")),
        ("x", Value::Null),
        ("y", json!(b64([0_u8; 32]))),
        ("y", json!(b64([0xff_u8; 32]))),
    ] {
        assert!(jwk(|jwk| jwk[name] = value.clone()).is_err(), "{name}: {value}");
    }
}

#[test]
fn coordinates_have_their_full_length_and_one_spelling() {
    let whole = ec_jwk(&KEYS.p256, "P-256", "k");
    let x = whole["x"].as_str().expect("a string").to_owned();
    let longer = b64([&[0_u8][..], &unb64(&x)].concat());
    for spelled in [format!("{x}="), format!("{x} "), longer, x[..x.len() - 2].to_owned()] {
        assert!(jwk(|jwk| jwk["x"] = spelled.clone().into()).is_err(), "{spelled}");
    }
}

#[test]
fn rsa_keys_are_neither_small_nor_strange() {
    let whole = rsa_jwk(&KEYS.rsa, "k");
    let n = unb64(whole["n"].as_str().expect("a string"));
    let check = |n: &[u8], e: &[u8]| {
        let jwk = json!({"kty": "RSA", "n": b64(n), "e": b64(e)});
        Key::from_jwk(jwk.as_object().expect("an object")).map(|_| ())
    };
    let e = [1, 0, 1];
    assert_eq!(check(&n, &e), Ok(()));
    assert_eq!(check(&[&[0][..], &n].concat(), &e), Ok(()), "a leading zero that some libraries add");
    assert!(check(&n[1..], &e).is_err(), "2,040 bits");
    assert!(check(&n[128..], &e).is_err(), "1,024 bits");
    assert!(check(&[&n[..], &n[..], &n[..]].concat(), &e).is_err(), "6,144 bits");
    assert!(check(&[], &e).is_err());
    assert!(check(&[0; 256], &e).is_err());
    for e in [&[][..], &[0], &[1], &[2], &[3], &[1, 0, 0], &[1; 40]] {
        assert!(check(&n, e).is_err(), "{e:?}");
    }
    let mut even = n.clone();
    *even.last_mut().expect("bytes") &= 0xfe;
    assert!(check(&even, &e).is_err());
}

#[test]
fn edwards_points_of_low_order_or_odd_spelling_are_no_keys() {
    let check = |x: &[u8]| {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(x)});
        Key::from_jwk(jwk.as_object().expect("an object")).map(|_| ())
    };
    assert!(Key::from_jwk(ed_jwk("k").as_object().expect("an object")).is_ok());
    let mut one = [0; 32];
    one[0] = 1;
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    let mut not_reduced = [0xff; 32];
    (not_reduced[0], not_reduced[31]) = (0xee, 0x7f);
    let order_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let order_8: Vec<u8> =
        (0..32).map(|i| u8::from_str_radix(&order_8[2 * i..2 * i + 2], 16).expect("hex")).collect();
    for x in [&[0; 32][..], &one, &minus_one, &not_reduced, &order_8, &[0xff; 32], &[0; 31], &[0; 33], &[]] {
        assert!(check(x).is_err(), "{x:?}");
    }
    let x25519 = json!({"kty": "OKP", "crv": "X25519", "x": b64([9_u8; 32])});
    assert!(Key::from_jwk(x25519.as_object().expect("an object")).is_err());
}

#[test]
fn a_set_that_is_not_sound_leaves_the_keys_before_it() {
    let mut gate = Gate::new(policy());
    let idp = IssuerId(0);
    let token = good("ES256");
    let large = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(MAX_KEY_SET_BYTES));
    let many = json!({"keys": vec![ec_jwk(&KEYS.p256, "P-256", "k"); MAX_KEYS + 1]}).to_string();
    for (set, error) in [
        ("", KeySetError::Malformed),
        ("null", KeySetError::Malformed),
        ("[]", KeySetError::Malformed),
        ("{}", KeySetError::Malformed),
        (r#"{"keys":{}}"#, KeySetError::Malformed),
        (r#"{"keys":[],"keys":[]}"#, KeySetError::Malformed),
        (r#"{"keys":[{"kty":"EC","kty":"EC"}]}"#, KeySetError::Malformed),
        ("<html>no healthy upstream</html>", KeySetError::Malformed),
        (r#"{"keys":[]}"#, KeySetError::NoUsableKey),
        (r#"{"keys":[1,"x",null,{"kty":"oct","k":"AA"}]}"#, KeySetError::NoUsableKey),
        (large.as_str(), KeySetError::TooLarge),
        (many.as_str(), KeySetError::TooManyKeys),
    ] {
        assert_eq!(gate.keys.install(idp, set.as_bytes()), Err(error));
        assert!(gate.keys.is_loaded(idp));
        assert!(gate.judge(&token).is_ok());
    }
    assert_eq!(
        gate.keys.install(IssuerId(9), key_set().to_string().as_bytes()),
        Err(KeySetError::UnknownIssuer)
    );
}

#[test]
fn keys_that_cannot_verify_are_passed_over() {
    let mut gate = Gate::new(policy());
    let count = gate.keys.install(IssuerId(0), key_set().to_string().as_bytes());
    assert_eq!(count, Ok(6), "all but the encrypting, the symmetric and the low-order one");
    let full = json!({"keys": vec![ec_jwk(&KEYS.p256, "P-256", "k"); MAX_KEYS]}).to_string();
    assert_eq!(gate.keys.install(IssuerId(0), full.as_bytes()), Ok(MAX_KEYS));
}

#[test]
fn of_keys_that_share_a_kid_any_of_the_first_four_may_have_signed() {
    let mut gate = Gate::new(policy());
    let fresh = || {
        let key = aws_lc_rs::signature::EcdsaKeyPair::generate(
            &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        );
        ec_jwk(&key.expect("a key can be made"), "P-256", "p256")
    };
    let right = ec_jwk(&KEYS.p256, "P-256", "p256");
    let token = good("ES256");
    for others in 0..6 {
        let keys: Vec<Value> = (0..others).map(|_| fresh()).chain([right.clone()]).collect();
        gate.keys.install(IssuerId(0), json!({"keys": keys}).to_string().as_bytes()).expect("it is sound");
        assert_eq!(gate.judge(&token).is_ok(), others < 4, "{others} before it");
    }
}

#[test]
fn keys_are_found_where_the_policy_or_the_issuer_says() {
    let gate = Gate::new(policy());
    let remote = gate.authenticator.remote_keys();
    assert_eq!(remote.len(), 2);
    assert_eq!((remote[0].authority.as_str(), remote[0].path.as_str()), ("idp.example.com", "/jwks.json"));
    assert!(!remote[0].discover && remote[1].discover);
    assert_eq!(remote[1].path, "/.well-known/openid-configuration");
    assert_eq!(gate.authenticator.issuer_name(remote[0].issuer), Some(ISSUER));
    assert_eq!(gate.authenticator.issuer_count(), 3);
}

#[test]
fn discovery_follows_its_own_issuers_document_alone() {
    let discovering = |issuer: &str, keys: Value| {
        let issuer = json!({"issuer": issuer, "audiences": ["a"], "algorithms": ["RS256"], "keys": keys});
        compile(json!({"issuers": [issuer]})).expect("it is sound")
    };
    let plain = discovering("https://idp.example.com/realms/r", json!({"cluster": "idp", "discover": true}));
    let [document] = &plain.remote_keys()[..] else { panic!("one") };
    assert_eq!(document.path, "/realms/r/.well-known/openid-configuration");

    let follow = |issuer: &str, uri: &str| {
        let body = json!({"issuer": issuer, "jwks_uri": uri}).to_string();
        plain.discovered(IssuerId(0), body.as_bytes())
    };
    let issuer = "https://idp.example.com/realms/r";
    let found = follow(issuer, "https://idp.example.com/realms/r/certs?x=1").expect("it is sound");
    assert_eq!((found.path.as_str(), found.cluster.as_str()), ("/realms/r/certs?x=1", "idp"));
    assert!(!found.discover);
    for (issuer, uri, error) in [
        ("https://idp.example.com/realms/s", "https://idp.example.com/certs", DiscoveryError::OtherIssuer),
        ("https://idp.example.com/realms/r/", "https://idp.example.com/certs", DiscoveryError::OtherIssuer),
        (issuer, "http://idp.example.com/certs", DiscoveryError::Insecure),
        (issuer, "https://keys.example.com/certs", DiscoveryError::OtherHost),
        (issuer, "https://idp.example.com", DiscoveryError::NoKeys),
        (issuer, "https://user@idp.example.com/certs", DiscoveryError::NoKeys),
        (issuer, "https://idp.example.com/c erts", DiscoveryError::NoKeys),
        (issuer, "ftp://idp.example.com/certs", DiscoveryError::Insecure),
    ] {
        assert_eq!(follow(issuer, uri), Err(error), "{uri}");
    }
    for body in ["", "[]", r#"{"issuer":"a","issuer":"a"}"#] {
        assert_eq!(plain.discovered(IssuerId(0), body.as_bytes()), Err(DiscoveryError::Malformed));
    }
    assert_eq!(plain.discovered(IssuerId(1), b"{}"), Err(DiscoveryError::UnknownIssuer));

    let keys = json!({"cluster": "idp", "discover": true, "jwks_cluster": "keys"});
    let apart = discovering("https://idp.example.com", keys);
    let body = json!({"issuer": "https://idp.example.com", "jwks_uri": "https://keys.example.com/v3/certs"});
    let found = apart.discovered(IssuerId(0), body.to_string().as_bytes()).expect("it is sound");
    assert_eq!((found.cluster.as_str(), found.authority.as_str()), ("keys", "keys.example.com"));
}

#[test]
fn only_unknown_keys_of_remote_issuers_are_worth_a_fetch() {
    let gate = Gate::new(policy());
    let refetch = |token: &[u8]| gate.judge(token).expect_err("it is refused").refetch;
    let naming = |alg: &str, kid: &str| super::forge::headed(&json!({"alg": alg, "kid": kid}), alg);
    assert_eq!(refetch(&naming("ES256", "nobody")), Some(Missing::kid(IssuerId(0), "nobody")));
    assert_eq!(refetch(&naming("ES256", "rsa")), None, "the kid is known and does not fit");
    assert_eq!(refetch(&super::forge::resigned("ES256", |s, _| vec![1; s.len()])), None);
    let strict = json!({"alg": "RS256", "kid": "nobody", "typ": "at+jwt"});
    assert_eq!(refetch(&super::forge::strict(&strict, &super::forge::strict_claims())), None, "inline keys");
}

#[test]
fn no_key_is_fetched_for_a_token_that_none_could_make_pass() {
    let gate = Gate::new(policy());
    let refetch = |claims: &serde_json::Value| {
        let header = json!({"alg": "ES256", "kid": "nobody"}).to_string();
        let refused = gate.judge(&super::forge::raw(header, claims.to_string(), "ES256"));
        let refused = refused.expect_err("nobody signed it");
        assert_eq!(refused.reason, Reason::TokenKeyUnknown, "it is not told more than others");
        refused.refetch.is_some()
    };
    assert!(refetch(&super::forge::claims()));
    for (name, value) in [
        ("aud", json!("billing")),
        ("exp", json!(1)),
        ("exp", json!("soon")),
        ("nbf", json!(super::forge::NOW + 600)),
    ] {
        assert!(!refetch(&super::forge::claims_with(name, value)), "{name}");
    }
    assert!(!refetch(&super::forge::claims_without("exp")));
}
