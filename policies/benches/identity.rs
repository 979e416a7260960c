//! What it costs to know who calls: a token that was verified before, one that is new, and one that is bad.
//!
//! The baseline is the signature check alone, by AWS-LC, as Envoy's own jwt_authn cannot avoid it either.

use std::hint::black_box;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair,
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use graphwarden_policies::identity::{Authenticator, Config, KeyRing, NativeVerifier, NoNative, TokenCache};
use graphwarden_policies::policy::{At, Problems};
use serde_json::{Value, json};

const NOW: u64 = 1_795_348_800;

/// The host's check, by the sibling of its library.
struct AwsLc;

impl NativeVerifier for AwsLc {
    fn verify(&self, _: &str, spki_der: &[u8], signature: &[u8], message: &[u8]) -> Option<bool> {
        // An EC key in SPKI has 91 bytes, an RSA key of 2,048 bits 294.
        let algorithm: &'static dyn VerificationAlgorithm =
            if spki_der.len() < 120 { &ECDSA_P256_SHA256_ASN1 } else { &RSA_PKCS1_2048_8192_SHA256 };
        Some(UnparsedPublicKey::new(algorithm, spki_der).verify(message, signature).is_ok())
    }
}

struct Bench {
    authenticator: Authenticator,
    keys: KeyRing,
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
}

type Headers = Vec<(Vec<u8>, Vec<u8>)>;

impl Bench {
    fn new() -> Self {
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key can be made");
        let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key can be made");
        let n = URL_SAFE_NO_PAD.encode(rsa.public_key().modulus().big_endian_without_leading_zero());
        let point = p256.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let config: Config = serde_json::from_value(json!({"issuers": [{
            "issuer": "https://idp.example.com",
            "audiences": ["langgraph"],
            "algorithms": ["RS256", "ES256"],
            "keys": {"inline": {"keys": [
                {"kty": "RSA", "kid": "RS256", "n": n, "e": "AQAB"},
                {"kty": "EC", "crv": "P-256", "kid": "ES256", "x": x, "y": y},
            ]}},
            "claims": {"roles": "realm_access.roles"},
        }]}))
        .expect("the section has the right shape");
        let mut problems = Problems::new();
        let authenticator = Authenticator::compile(&config, &At::root(), &|_| None, &mut problems)
            .unwrap_or_else(|| panic!("{problems}"));
        Self { keys: authenticator.key_ring(), authenticator, rsa, p256 }
    }

    fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        if alg == "ES256" {
            return self.p256.sign(&random, message).expect("signing works").as_ref().to_vec();
        }
        let mut signature = vec![0; self.rsa.public_modulus_len()];
        self.rsa.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("signing works");
        signature
    }

    /// A token of about 1 KB, as identity providers make them.
    fn message(alg: &str) -> String {
        let claims = json!({
            "iss": "https://idp.example.com", "sub": "7f3c0c1e-54ab-4a10-9a55-2d8a1b0f6c11", "aud": ["langgraph", "account"],
            "exp": NOW + 3600, "iat": NOW, "jti": "0b0c8f2e-8a9f-4c75-a6b5-1c4c0f7f9c3a", "typ": "Bearer", "azp": "console",
            "sid": "b6a7c0de", "acr": "1", "scope": "openid profile email", "email_verified": true,
            "realm_access": {"roles": ["analyst", "offline_access", "uma_authorization", "default-roles"]},
            "resource_access": {"account": {"roles": ["manage-account", "manage-account-links", "view-profile"]}},
            "name": "Uma Example", "preferred_username": "uma", "given_name": "Uma", "family_name": "Example",
            "email": "uma@example.com",
        });
        let header: Value = json!({"alg": alg, "typ": "JWT", "kid": alg});
        format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        )
    }

    fn headers(message: &str, signature: &[u8]) -> Headers {
        let bearer = format!("Bearer {message}.{}", URL_SAFE_NO_PAD.encode(signature));
        let others =
            [(":method", "GET"), (":path", "/threads"), ("accept", "*/*"), ("user-agent", "langgraph-sdk")];
        let mut headers: Headers =
            others.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).to_vec();
        headers.push((b"authorization".to_vec(), bearer.into_bytes()));
        headers
    }

    fn judge(&self, headers: &Headers, cache: &mut TokenCache, host: &dyn NativeVerifier) -> bool {
        self.authenticator.authenticate(black_box(headers), &self.keys, cache, host, NOW).is_ok()
    }
}

fn identity(criterion: &mut Criterion) {
    let bench = Bench::new();
    let mut group = criterion.benchmark_group("identity");
    for alg in ["RS256", "ES256"] {
        let message = Bench::message(alg);
        let signature = bench.sign(alg, message.as_bytes());
        let good = Bench::headers(&message, &signature);
        let bad = Bench::headers(&message, &vec![0x17; signature.len()]);
        let mut cache = TokenCache::new(64);
        let mut none = TokenCache::new(0);
        assert!(bench.judge(&good, &mut cache, &AwsLc) && !bench.judge(&bad, &mut cache, &AwsLc));

        group.bench_function(format!("{alg}, seen before"), |b| {
            b.iter(|| bench.judge(&good, &mut cache, &AwsLc))
        });
        group.bench_function(format!("{alg}, bad and seen before"), |b| {
            b.iter(|| bench.judge(&bad, &mut cache, &AwsLc));
        });
        group.bench_function(format!("{alg}, new, host"), |b| {
            b.iter(|| bench.judge(&good, &mut none, &AwsLc))
        });
        group.bench_function(format!("{alg}, bad and new, host"), |b| {
            b.iter(|| bench.judge(&bad, &mut none, &AwsLc));
        });
        group.bench_function(format!("{alg}, new, jwt-simple"), |b| {
            b.iter(|| bench.judge(&good, &mut none, &NoNative));
        });
        group.bench_function(format!("{alg}, baseline: AWS-LC alone"), |b| {
            let (algorithm, key): (&'static dyn VerificationAlgorithm, &[u8]) = match alg {
                "ES256" => (&ECDSA_P256_SHA256_FIXED, bench.p256.public_key().as_ref()),
                _ => (&RSA_PKCS1_2048_8192_SHA256, bench.rsa.public_key().as_ref()),
            };
            let key = UnparsedPublicKey::new(algorithm, key);
            b.iter(|| key.verify(black_box(message.as_bytes()), &signature).is_ok());
        });
    }
    group.finish();
}

criterion_group!(benches, identity);
criterion_main!(benches);
