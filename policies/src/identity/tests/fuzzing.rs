//! Properties over random damage: nothing panics, nothing damaged passes, and both verifiers agree.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::aws_lc::AwsLc;
use super::forge::{Gate, NOW, bearer, good, policy};
use crate::identity::{NoNative, TokenCache};

static GATE: LazyLock<Gate> = LazyLock::new(|| Gate::new(policy()));
static TOKENS: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| ["RS256", "PS384", "ES256", "ES384", "EdDSA"].map(good).to_vec());

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Any byte of a good token changed into any other makes it bad.
    #[test]
    fn no_damaged_token_passes(which in 0_usize..5, place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut token = TOKENS[which].clone();
        let place = place.index(token.len());
        prop_assume!(token[place] != byte && !byte.is_ascii_whitespace());
        token[place] = byte;
        prop_assert!(GATE.judge(&token).is_err());
    }

    /// A token cut anywhere, or with anything after it, is bad.
    #[test]
    fn no_cut_or_grown_token_passes(which in 0_usize..5, cut in any::<prop::sample::Index>(), tail in "[A-Za-z0-9_.=-]{1,8}") {
        let token = &TOKENS[which];
        prop_assert!(GATE.judge(&token[..cut.index(token.len())]).is_err());
        prop_assert!(GATE.judge(&[&token[..], tail.as_bytes()].concat()).is_err());
    }

    /// Whatever comes in whatever headers, the answer is a refusal and the same from both.
    #[test]
    fn random_headers_are_refused(headers in prop::collection::vec(
        (prop::sample::select(vec!["authorization", "x-api-key", "cookie", "Authorization"]), prop::collection::vec(any::<u8>(), 0..60)), 0..4,
    )) {
        let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value)).collect();
        let mut cache = TokenCache::new(2);
        let native = GATE.authenticator.authenticate(&headers, &GATE.keys, &mut cache, &AwsLc, NOW);
        cache.clear();
        let software = GATE.authenticator.authenticate(&headers, &GATE.keys, &mut cache, &NoNative, NOW);
        prop_assert_eq!(native.is_ok(), false);
        prop_assert_eq!(native, software);
    }

    /// A header and claims of random JSON-like text under a sound signature never pass and never panic.
    #[test]
    fn random_parts_are_refused(header in r#"\{("alg":"ES256",?)?("kid":"p256")?[\[\]{}":,a-z0-9]{0,20}\}?"#, claims in r#"\{[\[\]{}":,a-z0-9.]{0,60}\}?"#) {
        let token = super::forge::raw(header, claims, "ES256");
        prop_assert!(GATE.judge(&token).is_err());
    }

    /// Random bytes are no key set, whatever they are, and leave the keys alone.
    #[test]
    fn random_bytes_are_no_key_set(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut keys = GATE.keys.clone();
        prop_assert!(keys.install(crate::identity::IssuerId(0), &bytes).is_err());
        let mut cache = TokenCache::new(2);
        prop_assert!(GATE.authenticator.authenticate(&bearer(&TOKENS[2]), &keys, &mut cache, &AwsLc, NOW).is_ok());
    }
}
