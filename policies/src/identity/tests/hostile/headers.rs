//! Every member of the JOSE header, malformed and abused in turn.

use Reason::{KeysUnavailable, TokenAlgorithm, TokenClaims, TokenKeyUnknown, TokenMalformed, TokenSignature};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::super::forge::{
    KEYS, UNFETCHED, b64, claims, claims_with, ec_jwk, ed_jwk, good, headed, header, raw, rsa_jwk, strict,
    strict_claims,
};
use super::{Case, case};
use crate::reason::Reason;

/// An ES256 header with one member more or another value for one.
fn with(name: &str, value: impl Into<Value>) -> Vec<u8> {
    let mut header = header("ES256");
    header[name] = value.into();
    headed(&header, "ES256")
}

/// A header of these bytes.
fn text(header: impl AsRef<[u8]>) -> Vec<u8> {
    raw(header, claims().to_string(), "ES256")
}

fn unsigned(alg: &str, signature: &str) -> Vec<u8> {
    let header = json!({"alg": alg, "typ": "JWT"}).to_string();
    format!("{}.{}.{signature}", b64(header), b64(claims().to_string())).into_bytes()
}

/// A token under HMAC with a key that everybody knows (RFC 8725 section 2.1).
fn hmac(alg: &str, kid: &str, secret: &[u8]) -> Vec<u8> {
    let header = json!({"alg": alg, "kid": kid}).to_string();
    let message = format!("{}.{}", b64(header), b64(claims().to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes any key");
    mac.update(message.as_bytes());
    format!("{message}.{}", b64(mac.finalize().into_bytes())).into_bytes()
}

/// Signed soundly by the key `alg` stands for, but naming another key.
fn naming(alg: &str, kid: &str) -> Vec<u8> {
    headed(&json!({"alg": alg, "kid": kid}), alg)
}

/// Signed by `signer` but claiming `alg`, with the `kid` of either.
fn claiming_alg(alg: &str, kid: &str, signer: &str) -> Vec<u8> {
    headed(&json!({"alg": alg, "kid": kid}), signer)
}

pub(super) fn cases() -> Vec<Case> {
    [shapes(), algorithms(), keys(), members()].into_iter().flatten().collect()
}

fn shapes() -> Vec<Case> {
    vec![
        case("a header that is no JSON", text("alg=ES256"), TokenMalformed),
        case("a header that is null", text("null"), TokenMalformed),
        case("a header that is an array", text(r#"["ES256"]"#), TokenMalformed),
        case("a header that is a string", text(r#""ES256""#), TokenMalformed),
        case("a header that is empty", text("{}"), TokenMalformed),
        case("a header cut short", text(r#"{"alg":"ES256""#), TokenMalformed),
        case("a header and more", text(r#"{"alg":"ES256","kid":"p256"}{}"#), TokenMalformed),
        case("a header with a trailing comma", text(r#"{"alg":"ES256","kid":"p256",}"#), TokenMalformed),
        case("a header with a comment", text(r#"{"alg":"ES256"/**/,"kid":"p256"}"#), TokenMalformed),
        case(
            "a header after a byte order mark",
            text("\u{feff}{\"alg\":\"ES256\",\"kid\":\"p256\"}"),
            TokenMalformed,
        ),
        case("a header that is not UTF-8", text(b"{\"alg\":\"ES256\",\"kid\":\"p256\xff\"}"), TokenMalformed),
        case("a header with a lone surrogate", text(r#"{"alg":"ES256","kid":"p256\ud800"}"#), TokenMalformed),
        case(
            "a header nested 33 deep",
            text(format!(r#"{{"alg":"ES256","x":{}1{}}}"#, "[".repeat(32), "]".repeat(32))),
            TokenMalformed,
        ),
        case(
            "a header nested 4,000 deep",
            text(format!(r#"{{"alg":"ES256","x":{}{}}}"#, "[".repeat(4_000), "]".repeat(4_000))),
            TokenMalformed,
        ),
        case("alg twice, the same", text(r#"{"alg":"ES256","alg":"ES256","kid":"p256"}"#), TokenMalformed),
        case("alg twice, none last", text(r#"{"alg":"ES256","kid":"p256","alg":"none"}"#), TokenMalformed),
        case("alg twice, none first", text(r#"{"alg":"none","kid":"p256","alg":"ES256"}"#), TokenMalformed),
        case(
            "alg twice, once escaped",
            text(r#"{"alg":"ES256","kid":"p256","\u0061lg":"none"}"#),
            TokenMalformed,
        ),
        case("kid twice", text(r#"{"alg":"ES256","kid":"p256","kid":"rsa"}"#), TokenMalformed),
        case(
            "a member twice inside another",
            text(r#"{"alg":"ES256","kid":"p256","x":{"a":1,"a":2}}"#),
            TokenMalformed,
        ),
    ]
}

fn algorithms() -> Vec<Case> {
    let es256 = header("ES256");
    let without_alg = json!({"kid": es256["kid"], "typ": "JWT"});
    let rsa_key = rsa_jwk(&KEYS.rsa, "rsa");
    vec![
        case("no alg", headed(&without_alg, "ES256"), TokenMalformed),
        case("alg null", with("alg", Value::Null), TokenMalformed),
        case("alg a number", with("alg", 256), TokenMalformed),
        case("alg an array", with("alg", json!(["ES256"])), TokenMalformed),
        case("alg an object", with("alg", json!({"name": "ES256"})), TokenMalformed),
        case("alg true", with("alg", true), TokenMalformed),
        case("alg empty", with("alg", ""), TokenAlgorithm),
        case("alg in lower case", with("alg", "es256"), TokenAlgorithm),
        case("alg with a space", with("alg", "ES256 "), TokenAlgorithm),
        case("alg with a NUL", with("alg", "ES256\0"), TokenAlgorithm),
        case("alg with a look-alike letter", with("alg", "Е\u{405}256"), TokenAlgorithm),
        case("none without a signature", unsigned("none", ""), TokenAlgorithm),
        case("None", unsigned("None", ""), TokenAlgorithm),
        case("NONE", unsigned("NONE", ""), TokenAlgorithm),
        case("nOnE", unsigned("nOnE", ""), TokenAlgorithm),
        case("none with a signature", unsigned("none", "AAAA"), TokenAlgorithm),
        case("ES256 without a signature", unsigned("ES256", ""), TokenMalformed),
        case("RS256 without a signature", unsigned("RS256", ""), TokenMalformed),
        case("EdDSA without a signature", unsigned("EdDSA", ""), TokenMalformed),
        case(
            "HS256 with the modulus as secret",
            hmac("HS256", "rsa", rsa_key["n"].as_str().unwrap_or_default().as_bytes()),
            TokenAlgorithm,
        ),
        case(
            "HS256 with the JWK as secret",
            hmac("HS256", "rsa", rsa_key.to_string().as_bytes()),
            TokenAlgorithm,
        ),
        case(
            "HS256 with the symmetric key of the set",
            hmac("HS256", "oct", b"0123456789abcdef0123456789abcdef"),
            TokenAlgorithm,
        ),
        case("HS256 with an empty secret", hmac("HS256", "rsa", b""), TokenAlgorithm),
        case("HS384", hmac("HS384", "rsa", b"x"), TokenAlgorithm),
        case("HS512", hmac("HS512", "rsa", b"x"), TokenAlgorithm),
        case(
            "an HMAC that calls itself RS256",
            hmac("RS256", "rsa", rsa_key["n"].as_str().unwrap_or_default().as_bytes()),
            TokenSignature,
        ),
        case("ES512", with("alg", "ES512"), TokenAlgorithm),
        case("Ed448", with("alg", "Ed448"), TokenAlgorithm),
        case("RSA1_5", with("alg", "RSA1_5"), TokenAlgorithm),
        case("RSA-OAEP", with("alg", "RSA-OAEP"), TokenAlgorithm),
        case("dir", with("alg", "dir"), TokenAlgorithm),
        case("PBES2", with("alg", "PBES2-HS256+A128KW"), TokenAlgorithm),
        case("ES256K that the issuer does not name", good("ES256K"), TokenAlgorithm),
        case(
            "PS256 that the issuer does not name",
            strict(&json!({"alg": "PS256", "kid": "strict", "typ": "at+jwt"}), &strict_claims()),
            TokenAlgorithm,
        ),
        case(
            "ES256 that the issuer does not name",
            strict(&json!({"alg": "ES256", "kid": "strict", "typ": "at+jwt"}), &strict_claims()),
            TokenAlgorithm,
        ),
        case("RS256 over what RS512 signed", claiming_alg("RS256", "rsa", "RS512"), TokenSignature),
        case("RS512 over what RS256 signed", claiming_alg("RS512", "rsa", "RS256"), TokenSignature),
        case("RS256 over what PS256 signed", claiming_alg("RS256", "rsa", "PS256"), TokenSignature),
        case("PS256 over what RS256 signed", claiming_alg("PS256", "rsa", "RS256"), TokenSignature),
        case("PS384 over what PS256 signed", claiming_alg("PS384", "rsa", "PS256"), TokenSignature),
    ]
}

fn keys() -> Vec<Case> {
    let mut unfetched = claims_with("iss", UNFETCHED);
    unfetched["jti"] = "t-2".into();
    vec![
        case("a kid of nobody", naming("ES256", "nobody"), TokenKeyUnknown),
        case("a kid in another case", naming("ES256", "P256"), TokenKeyUnknown),
        case("an empty kid", naming("ES256", ""), TokenKeyUnknown),
        case("a kid that is a path", naming("ES256", "../../../../dev/null"), TokenKeyUnknown),
        case("a kid that is SQL", naming("ES256", "x' UNION SELECT 'key"), TokenKeyUnknown),
        case("a kid that is a command", naming("ES256", "p256|/usr/bin/id"), TokenKeyUnknown),
        case("a kid with a NUL at its end", naming("ES256", "p256\0"), TokenKeyUnknown),
        case("a kid of 513 bytes", naming("ES256", &"k".repeat(513)), TokenMalformed),
        case("kid null", with("kid", Value::Null), TokenMalformed),
        case("kid a number", with("kid", 1), TokenMalformed),
        case("kid an array", with("kid", json!(["p256"])), TokenMalformed),
        case("ES256 naming an RSA key", naming("ES256", "rsa"), TokenKeyUnknown),
        case("RS256 naming a P-256 key", naming("RS256", "p256"), TokenKeyUnknown),
        case("ES256 naming a P-384 key", naming("ES256", "p384"), TokenKeyUnknown),
        case("ES256 naming a secp256k1 key", claiming_alg("ES256", "k256", "ES256K"), TokenKeyUnknown),
        case("EdDSA naming a P-256 key", claiming_alg("EdDSA", "p256", "ES256"), TokenKeyUnknown),
        case("PS256 with a key for RS256 alone", naming("PS256", "rs256-only"), TokenKeyUnknown),
        case("RS512 with a key for RS256 alone", naming("RS512", "rs256-only"), TokenKeyUnknown),
        case("a key that encrypts", naming("RS256", "encrypts"), TokenKeyUnknown),
        case("a key of low order", claiming_alg("EdDSA", "low-order", "EdDSA"), TokenKeyUnknown),
        case("the symmetric key of the set", naming("RS256", "oct"), TokenKeyUnknown),
        case("another issuer's kid", naming("RS256", "strict"), TokenKeyUnknown),
        case(
            "another issuer's key under this kid",
            strict(&json!({"alg": "RS256", "kid": "rsa"}), &claims()),
            TokenSignature,
        ),
        case("one issuer's key, another's iss", headed_strict_by_first(), TokenKeyUnknown),
        case(
            "keys that were never fetched",
            raw(header("RS256").to_string(), unfetched.to_string(), "RS256"),
            KeysUnavailable,
        ),
        case("no kid and the wrong key", claiming_alg_without_kid("ES384", "EdDSA"), TokenSignature),
    ]
}

/// The first issuer signs what the strict one would have to sign.
fn headed_strict_by_first() -> Vec<u8> {
    raw(
        json!({"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}).to_string(),
        strict_claims().to_string(),
        "RS256",
    )
}

fn claiming_alg_without_kid(alg: &str, signer: &str) -> Vec<u8> {
    headed(&json!({"alg": alg}), signer)
}

fn members() -> Vec<Case> {
    // Keys that a token brings along are never looked at (RFC 8725 section 3.10): the attacker's own
    // signature stays one of an unknown key, or of the wrong one.
    let brought = |name: &str, value: Value, kid: &str| {
        let header = json!({"alg": "RS256", "kid": kid, name: value});
        strict(&header, &claims())
    };
    vec![
        case("crit with a known name", with("crit", json!(["exp"])), TokenMalformed),
        case("crit with an unknown name", with("crit", json!(["http://example.com/x"])), TokenMalformed),
        case("crit empty", with("crit", json!([])), TokenMalformed),
        case("crit null", with("crit", Value::Null), TokenMalformed),
        case("crit a string", with("crit", "exp"), TokenMalformed),
        case(
            "crit with b64",
            headed(&json!({"alg": "ES256", "kid": "p256", "b64": false, "crit": ["b64"]}), "ES256"),
            TokenMalformed,
        ),
        case("b64 false without crit", with("b64", false), TokenMalformed),
        case("b64 a string", with("b64", "true"), TokenMalformed),
        case("zip", with("zip", "DEF"), TokenMalformed),
        case("enc", with("enc", "A128GCM"), TokenMalformed),
        case("cty JWT", with("cty", "JWT"), TokenMalformed),
        case("cty jwt", with("cty", "jwt"), TokenMalformed),
        case("cty a number", with("cty", 1), TokenMalformed),
        case("typ a number", with("typ", 1), TokenMalformed),
        case("typ an array", with("typ", json!(["JWT"])), TokenMalformed),
        case("typ of 513 bytes", with("typ", "t".repeat(513)), TokenMalformed),
        case(
            "a jwk of the attacker's",
            brought("jwk", rsa_jwk(&KEYS.other_rsa, "rsa"), "rsa"),
            TokenSignature,
        ),
        case(
            "a jwk of the attacker's with a kid of its own",
            brought("jwk", rsa_jwk(&KEYS.other_rsa, "mine"), "mine"),
            TokenKeyUnknown,
        ),
        case(
            "a jwk on another curve",
            brought("jwk", ec_jwk(&KEYS.p256, "P-256", "mine"), "mine"),
            TokenKeyUnknown,
        ),
        case("a jwk of another kind", brought("jwk", ed_jwk("mine"), "mine"), TokenKeyUnknown),
        case("a jku", brought("jku", "https://attacker.example/jwks.json".into(), "mine"), TokenKeyUnknown),
        case(
            "a jku into the network",
            brought("jku", "http://169.254.169.254/latest".into(), "rsa"),
            TokenSignature,
        ),
        case("an x5u", brought("x5u", "https://attacker.example/chain.pem".into(), "mine"), TokenKeyUnknown),
        case("an x5c", brought("x5c", json!(["MIIB"]), "rsa"), TokenSignature),
        case(
            "no typ where one is needed",
            strict(&json!({"alg": "RS256", "kid": "strict"}), &strict_claims()),
            TokenClaims,
        ),
        case(
            "an ID token where an access token is needed",
            strict(&json!({"alg": "RS256", "kid": "strict", "typ": "JWT"}), &strict_claims()),
            TokenClaims,
        ),
        case(
            "a logout token where an access token is needed",
            strict(&json!({"alg": "RS256", "kid": "strict", "typ": "logout+jwt"}), &strict_claims()),
            TokenClaims,
        ),
    ]
}
