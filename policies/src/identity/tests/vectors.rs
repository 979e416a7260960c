//! The examples of RFC 7515 appendix A, RFC 7520 section 4 and RFC 8037 appendix A.4, all of them: a gate has to refuse
//! the forms and algorithms that it does not take, too. The rest of RFC 8037's are key agreements, which are no signatures.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::aws_lc::AwsLc;
use crate::identity::jwk::Key;
use crate::identity::token::Token;
use crate::identity::{NativeVerifier, NoNative, signature};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    jwk: Map<String, Value>,
    token: String,
    /// The reason code, where the gate takes no such token.
    refused: Option<String>,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("vectors.json")).expect("the vectors are JSON")
}

fn verifies(token: &Token<'_>, key: &Key, native: &dyn NativeVerifier) -> bool {
    signature::verify(key, token.header.algorithm, &token.signature, token.signed, native)
}

#[test]
fn verifies_the_standards_examples_both_ways() {
    let mut verified = 0;
    for vector in vectors() {
        let name = &vector.name;
        let parsed = Token::parse(vector.token.as_bytes());
        if let Some(code) = vector.refused {
            assert_eq!(parsed.err().map(|refusal| refusal.reason.code().to_owned()), Some(code), "{name}");
            continue;
        }
        let token = parsed.unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"));
        let key = Key::from_jwk(&vector.jwk).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert!(verifies(&token, &key, &NoNative), "{name}: jwt-simple");
        assert!(verifies(&token, &key, &AwsLc), "{name}: the host");
        verified += 1;
    }
    assert_eq!(verified, 6);
}

#[test]
fn no_example_verifies_once_a_bit_is_flipped() {
    for vector in vectors().into_iter().filter(|vector| vector.refused.is_none()) {
        let mut token = Token::parse(vector.token.as_bytes()).expect("parsed above");
        let key = Key::from_jwk(&vector.jwk).expect("parsed above");
        for place in [0, token.signature.len() / 2, token.signature.len() - 1] {
            token.signature[place] ^= 1;
            assert!(!verifies(&token, &key, &NoNative), "{}", vector.name);
            assert!(!verifies(&token, &key, &AwsLc), "{}", vector.name);
            token.signature[place] ^= 1;
        }
    }
}

#[test]
fn symmetric_and_unsupported_example_keys_are_no_keys() {
    let by_algorithm = |vector: &Vector| vector.refused.as_deref() == Some("token_algorithm");
    for vector in vectors().into_iter().filter(|vector| by_algorithm(vector) && vector.jwk["kty"] != "RSA") {
        assert!(Key::from_jwk(&vector.jwk).is_err(), "{}", vector.name);
    }
}
