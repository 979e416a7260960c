//! What the token cache may and may not remember.

use std::cell::Cell;

use super::aws_lc::AwsLc;
use super::forge::{Gate, NOW, bearer, claiming, claims_with, good, key_set, policy, resigned};
use crate::identity::{IssuerId, Missing, NativeVerifier, NoNative, Refused, TokenCache};
use crate::reason::Reason;

/// Counts how often the host was asked.
#[derive(Default)]
struct Counting(Cell<u32>);

impl NativeVerifier for Counting {
    fn verify(&self, hash: &str, spki_der: &[u8], signature: &[u8], message: &[u8]) -> Option<bool> {
        self.0.set(self.0.get() + 1);
        AwsLc.verify(hash, spki_der, signature, message)
    }
}

fn ask(gate: &Gate, cache: &mut TokenCache, host: &Counting, token: &[u8], now: u64) -> Result<(), Refused> {
    gate.authenticator.authenticate(&bearer(token), &gate.keys, cache, host, now).map(|_| ())
}

#[test]
fn a_token_is_verified_once_and_never_believed_past_its_exp() {
    let (gate, host, mut cache) = (Gate::new(policy()), Counting::default(), TokenCache::new(4));
    let token = good("RS256");
    for _ in 0..3 {
        assert!(ask(&gate, &mut cache, &host, &token, NOW).is_ok());
    }
    assert!(ask(&gate, &mut cache, &host, &token, NOW + 299).is_ok());
    assert_eq!(host.0.get(), 1);
    // Within the leeway it passes, but not from the cache.
    assert!(ask(&gate, &mut cache, &host, &token, NOW + 300).is_ok());
    assert!(ask(&gate, &mut cache, &host, &token, NOW + 329).is_ok());
    assert_eq!(host.0.get(), 3);
    let late = ask(&gate, &mut cache, &host, &token, NOW + 330);
    assert_eq!(late.map_err(|refused| refused.reason), Err(Reason::TokenExpired));
}

#[test]
fn a_bad_token_is_verified_once_in_ten_seconds() {
    let (gate, host, mut cache) = (Gate::new(policy()), Counting::default(), TokenCache::new(4));
    let token = resigned("RS256", |signature, _| vec![1; signature.len()]);
    for second in 0..10 {
        let refused = ask(&gate, &mut cache, &host, &token, NOW + second);
        assert_eq!(refused.map_err(|refused| refused.reason), Err(Reason::TokenSignature));
    }
    assert_eq!(host.0.get(), 1);
    assert!(ask(&gate, &mut cache, &host, &token, NOW + 10).is_err());
    assert_eq!(host.0.get(), 2);
}

#[test]
fn a_flood_of_garbage_pushes_no_good_token_out() {
    let (gate, host, mut cache) = (Gate::new(policy()), Counting::default(), TokenCache::new(2));
    let token = good("RS256");
    assert!(ask(&gate, &mut cache, &host, &token, NOW).is_ok());
    for number in 0..50_u8 {
        let garbage = resigned("RS256", |signature, _| vec![number; signature.len()]);
        assert!(ask(&gate, &mut cache, &host, &garbage, NOW).is_err());
    }
    let asked = host.0.get();
    assert!(ask(&gate, &mut cache, &host, &token, NOW).is_ok());
    assert_eq!(host.0.get(), asked);
    assert_eq!(cache.len(), 1);
}

#[test]
fn a_token_that_will_be_valid_is_not_remembered_as_bad() {
    let (gate, mut cache) = (Gate::new(policy()), TokenCache::new(4));
    let token = claiming(&claims_with("nbf", NOW + 31));
    let host = Counting::default();
    let early = ask(&gate, &mut cache, &host, &token, NOW);
    assert_eq!(early.map_err(|refused| refused.reason), Err(Reason::TokenNotYetValid));
    assert!(ask(&gate, &mut cache, &host, &token, NOW + 1).is_ok());
}

#[test]
fn other_keys_empty_the_cache_and_the_same_keys_do_not() {
    let (mut gate, host, mut cache) = (Gate::new(policy()), Counting::default(), TokenCache::new(4));
    let token = good("RS256");
    assert!(ask(&gate, &mut cache, &host, &token, NOW).is_ok());
    gate.keys.install(IssuerId(0), key_set().to_string().as_bytes()).expect("the same set is sound");
    assert!(ask(&gate, &mut cache, &host, &token, NOW).is_ok());
    assert_eq!(host.0.get(), 1, "a refresh that brought nothing new");

    let mut rotated = key_set();
    rotated["keys"].as_array_mut().expect("an array").retain(|key| key["kid"] != "rsa");
    gate.keys.install(IssuerId(0), rotated.to_string().as_bytes()).expect("it is sound");
    let refused = ask(&gate, &mut cache, &host, &token, NOW);
    assert_eq!(refused.map_err(|refused| refused.reason), Err(Reason::TokenKeyUnknown));
}

#[test]
fn a_refusal_for_want_of_a_key_ends_with_the_key() {
    let (mut gate, mut cache) = (Gate::new(policy()), TokenCache::new(4));
    let mut before = key_set();
    before["keys"].as_array_mut().expect("an array").retain(|key| key["kid"] != "p256");
    gate.keys.install(IssuerId(0), before.to_string().as_bytes()).expect("it is sound");
    let (token, host) = (good("ES256"), Counting::default());
    let refused = ask(&gate, &mut cache, &host, &token, NOW).expect_err("the key is not there");
    assert_eq!(
        (refused.reason, refused.refetch),
        (Reason::TokenKeyUnknown, Some(Missing::kid(IssuerId(0), "p256")))
    );
    gate.keys.install(IssuerId(0), key_set().to_string().as_bytes()).expect("it is sound");
    assert!(ask(&gate, &mut cache, &host, &token, NOW).is_ok());
}

#[test]
fn another_policy_finds_nothing_of_the_one_before() {
    let mut cache = TokenCache::new(4);
    let token = good("ES256");
    let before = Gate::new(policy());
    assert!(
        before.authenticator.authenticate(&bearer(&token), &before.keys, &mut cache, &NoNative, NOW).is_ok()
    );
    let mut stricter = policy();
    stricter["deny"]["sub"] = serde_json::json!(["7f3c"]);
    let after = Gate::new(stricter);
    let refused = after.authenticator.authenticate(&bearer(&token), &after.keys, &mut cache, &NoNative, NOW);
    assert_eq!(refused.map_err(|refused| refused.reason).map(|_| ()), Err(Reason::TokenRevoked));
}

#[test]
fn a_clone_of_the_keys_is_still_the_same_keys() {
    let (gate, host, mut cache) = (Gate::new(policy()), Counting::default(), TokenCache::new(4));
    let token = good("RS256");
    assert!(ask(&gate, &mut cache, &host, &token, NOW).is_ok());
    let copy = Gate { authenticator: gate.authenticator.clone(), keys: gate.keys.clone() };
    assert!(ask(&copy, &mut cache, &host, &token, NOW).is_ok());
    assert_eq!(host.0.get(), 1);
}

#[test]
fn cleared_by_hand_it_asks_again() {
    let (gate, host, mut cache) = (Gate::new(policy()), Counting::default(), TokenCache::new(4));
    let token = good("RS256");
    assert!(ask(&gate, &mut cache, &host, &token, NOW).is_ok());
    cache.clear();
    assert!(cache.is_empty());
    assert!(ask(&gate, &mut cache, &host, &token, NOW).is_ok());
    assert_eq!(host.0.get(), 2);
}
