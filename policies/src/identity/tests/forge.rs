//! Makes tokens, good and bad, with keys made once for each run, and the policy that judges them.

use std::sync::{Arc, LazyLock, OnceLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::aws_lc::AwsLc;
use crate::identity::{
    Authenticator, Config, Identity, KeyRing, NativeVerifier, NoNative, Refused, TokenCache,
};
use crate::policy::{At, Problems};

/// The second at which every token is judged here: 2026-11-22T12:00:00Z.
pub(super) const NOW: u64 = 1_795_348_800;

/// Another second, for a gate with a clock of its own; to be set before anything is forged.
pub(super) static MOMENT: OnceLock<u64> = OnceLock::new();

/// The second that tokens are forged for.
pub(super) fn now() -> u64 {
    *MOMENT.get_or_init(|| NOW)
}

/// The issuer whose tokens are forged.
pub(super) const ISSUER: &str = "https://idp.example.com";

/// An issuer with a `typ`, authorised parties, ES256K and its own key.
pub(super) const STRICT: &str = "https://strict.example.com/tenant";

/// An issuer whose keys were never fetched.
pub(super) const UNFETCHED: &str = "https://unfetched.example.com";

/// The keys that sign.
pub(super) struct Keys {
    pub(super) rsa: RsaKeyPair,
    pub(super) rsa_der: Vec<u8>,
    pub(super) other_rsa: RsaKeyPair,
    pub(super) p256: EcdsaKeyPair,
    pub(super) p384: EcdsaKeyPair,
    pub(super) k256: EcdsaKeyPair,
    pub(super) ed25519: Ed25519KeyPair,
}

pub(super) static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let rsa = |size| {
        let key = aws_lc_rs::rsa::KeyPair::generate(size).expect("a key can be made");
        let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key)
            .expect("a key can be written")
            .as_ref()
            .to_vec();
        (RsaKeyPair::from_pkcs8(&der).expect("a key can be read"), der)
    };
    let (rsa_key, rsa_der) = rsa(KeySize::Rsa2048);
    Keys {
        rsa: rsa_key,
        rsa_der,
        other_rsa: rsa(KeySize::Rsa3072).0,
        p256: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key can be made"),
        p384: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key can be made"),
        k256: EcdsaKeyPair::generate(&ECDSA_P256K1_SHA256_FIXED_SIGNING).expect("a key can be made"),
        ed25519: Ed25519KeyPair::generate().expect("a key can be made"),
    }
});

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn unb64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("the test's own base64url")
}

pub(super) fn rsa_jwk(key: &RsaKeyPair, kid: &str) -> Value {
    let public = key.public_key();
    let n = b64(public.modulus().big_endian_without_leading_zero());
    json!({"kty": "RSA", "kid": kid, "n": n, "e": "AQAB"})
}

pub(super) fn ec_jwk(key: &EcdsaKeyPair, curve: &str, kid: &str) -> Value {
    let point = &key.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    json!({"kty": "EC", "crv": curve, "kid": kid, "x": b64(x), "y": b64(y)})
}

pub(super) fn ed_jwk(kid: &str) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(KEYS.ed25519.public_key().as_ref())})
}

fn with(mut jwk: Value, name: &str, value: &str) -> Value {
    jwk[name] = value.into();
    jwk
}

/// The forged issuer's key set, with keys in it that must never verify anything.
pub(super) fn key_set() -> Value {
    json!({"keys": [
        rsa_jwk(&KEYS.rsa, "rsa"),
        with(rsa_jwk(&KEYS.rsa, "rs256-only"), "alg", "RS256"),
        with(rsa_jwk(&KEYS.rsa, "encrypts"), "use", "enc"),
        ec_jwk(&KEYS.p256, "P-256", "p256"),
        ec_jwk(&KEYS.p384, "P-384", "p384"),
        ec_jwk(&KEYS.k256, "secp256k1", "k256"),
        ed_jwk("ed25519"),
        {"kty": "oct", "kid": "oct", "k": b64(b"0123456789abcdef0123456789abcdef"), "alg": "HS256"},
        {"kty": "OKP", "crv": "Ed25519", "kid": "low-order", "x": b64([0_u8; 32])},
    ]})
}

pub(super) fn policy() -> Value {
    json!({
        "issuers": [
            {
                "issuer": ISSUER,
                "audiences": ["langgraph", "https://api.example.com"],
                "algorithms": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"],
                "keys": {"cluster": "idp", "path": "/jwks.json"},
                "claims": {"roles": "realm_access.roles", "groups": "https://example.com/groups"},
                "mappings": {
                    "groups": {"sg-4711": "managers"},
                    "roles": {"app_analyst": "analyst"},
                    "roles_by_group": {"managers": "manager", "sg-0815": "operator"},
                },
            },
            {
                "issuer": STRICT,
                "audiences": ["langgraph"],
                "algorithms": ["RS256", "ES256K"],
                "typ": "at+jwt",
                "authorized_parties": ["console"],
                "keys": {"inline": {"keys": [
                    rsa_jwk(&KEYS.other_rsa, "strict"), ec_jwk(&KEYS.k256, "secp256k1", "k256"),
                ]}},
            },
            {
                "issuer": UNFETCHED,
                "audiences": ["langgraph"],
                "algorithms": ["RS256"],
                "keys": {"cluster": "idp", "discover": true},
            },
        ],
        "deny": {"jti": ["revoked-token"], "sub": ["fired"], "sid": ["ended-session"]},
    })
}

pub(super) fn compile(policy: Value) -> Result<Authenticator, Problems> {
    let config: Config = serde_json::from_value(policy).expect("the policy has the right shape");
    let mut problems = Problems::new();
    let environment = |name: &str| match name {
        "LANGGRAPH_API_KEY" => Some("lsv2-synthetic".to_owned()),
        "HS_KEY" => Some("0123456789abcdef0123456789abcdef".to_owned()),
        "ED_KEY" => Some("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=".to_owned()),
        "SHORT" => Some("short".to_owned()),
        "NEWLINE" => Some("a\r\nb".to_owned()),
        _ => None,
    };
    Authenticator::compile(&config, &At::root().member("identity"), &environment, &mut problems)
        .ok_or(problems)
}

/// The policy and its keys.
pub(super) struct Gate {
    pub(super) authenticator: Authenticator,
    pub(super) keys: KeyRing,
}

impl Gate {
    pub(super) fn new(policy: Value) -> Self {
        let authenticator = compile(policy).unwrap_or_else(|problems| panic!("{problems}"));
        let mut keys = authenticator.key_ring();
        let fetched = authenticator.remote_keys().into_iter().find(|remote| remote.issuer.index() == 0);
        if let Some(first) = fetched {
            keys.install(first.issuer, key_set().to_string().as_bytes())
                .expect("the forge's key set is sound");
        }
        Self { authenticator, keys }
    }

    pub(super) fn judge_with(
        &self,
        native: &dyn NativeVerifier,
        token: &[u8],
    ) -> Result<Arc<Identity>, Refused> {
        let mut cache = TokenCache::new(8);
        let headers = bearer(token);
        let first = self.authenticator.authenticate(&headers, &self.keys, &mut cache, native, now());
        let again = self.authenticator.authenticate(&headers, &self.keys, &mut cache, native, now());
        assert_eq!(first, again, "the cache must not change the answer");
        first
    }

    /// Judges by both verifiers, which have to agree.
    pub(super) fn judge(&self, token: &[u8]) -> Result<Arc<Identity>, Refused> {
        let native = self.judge_with(&AwsLc, token);
        let software = self.judge_with(&NoNative, token);
        assert_eq!(native, software, "the host and jwt-simple must agree");
        software
    }
}

pub(super) fn bearer(token: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    vec![(b"authorization".to_vec(), [b"Bearer ", token].concat())]
}

/// Claims that pass.
pub(super) fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "7f3c", "aud": "langgraph", "exp": now() + 300, "iat": now() - 10, "jti": "t-1",
        "name": "Zoë O'Brien", "email": "zoe.obrien@example.com",
    })
}

/// `claims()` with one of them replaced; `null` stays `null`.
pub(super) fn claims_with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

/// `claims()` without one of them.
pub(super) fn claims_without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().expect("claims are an object").remove(name);
    claims
}

/// Signs with the key that an algorithm's tokens are signed with.
pub(super) fn sign(alg: &str, message: &[u8]) -> Vec<u8> {
    let rng = SystemRandom::new();
    let rsa = |encoding: &'static dyn RsaEncoding| {
        let mut out = vec![0; KEYS.rsa.public_modulus_len()];
        KEYS.rsa.sign(encoding, &rng, message, &mut out).expect("signing works");
        out
    };
    let ecdsa = |key: &EcdsaKeyPair| key.sign(&rng, message).expect("signing works").as_ref().to_vec();
    match alg {
        "RS256" => rsa(&signature::RSA_PKCS1_SHA256),
        "RS384" => rsa(&signature::RSA_PKCS1_SHA384),
        "RS512" => rsa(&signature::RSA_PKCS1_SHA512),
        "PS256" => rsa(&signature::RSA_PSS_SHA256),
        "PS384" => rsa(&signature::RSA_PSS_SHA384),
        "PS512" => rsa(&signature::RSA_PSS_SHA512),
        "ES256" => ecdsa(&KEYS.p256),
        "ES384" => ecdsa(&KEYS.p384),
        "ES256K" => ecdsa(&KEYS.k256),
        "EdDSA" | "Ed25519" => KEYS.ed25519.sign(message).as_ref().to_vec(),
        other => panic!("the forge cannot sign {other}"),
    }
}

/// The `kid` of the key that an algorithm's tokens are signed with.
pub(super) fn kid(alg: &str) -> &'static str {
    match alg {
        "ES256" => "p256",
        "ES384" => "p384",
        "ES256K" => "k256",
        "EdDSA" | "Ed25519" => "ed25519",
        _ => "rsa",
    }
}

pub(super) fn header(alg: &str) -> Value {
    json!({"alg": alg, "kid": kid(alg), "typ": "JWT"})
}

/// A token of these very bytes, signed as `alg` says.
pub(super) fn raw(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>, alg: &str) -> Vec<u8> {
    let message = format!("{}.{}", b64(header), b64(claims));
    let signature = sign(alg, message.as_bytes());
    format!("{message}.{}", b64(signature)).into_bytes()
}

/// A token that is sound in every way.
pub(super) fn good(alg: &str) -> Vec<u8> {
    raw(header(alg).to_string(), claims().to_string(), alg)
}

/// A token with these claims, its signature sound.
pub(super) fn claiming(claims: &Value) -> Vec<u8> {
    raw(header("ES256").to_string(), claims.to_string(), "ES256")
}

/// A token with this header, its signature sound for `alg`.
pub(super) fn headed(header: &Value, alg: &str) -> Vec<u8> {
    raw(header.to_string(), claims().to_string(), alg)
}

/// A good token with another signature, made from the right one and the message.
pub(super) fn resigned(alg: &str, change: impl FnOnce(Vec<u8>, &[u8]) -> Vec<u8>) -> Vec<u8> {
    let message = format!("{}.{}", b64(header(alg).to_string()), b64(claims().to_string()));
    let signature = change(sign(alg, message.as_bytes()), message.as_bytes());
    format!("{message}.{}", b64(signature)).into_bytes()
}

/// A token of the issuer [`STRICT`], signed with its RSA key.
pub(super) fn strict(header: &Value, claims: &Value) -> Vec<u8> {
    let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let mut signature = vec![0; KEYS.other_rsa.public_modulus_len()];
    KEYS.other_rsa
        .sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
        .expect("signing works");
    format!("{message}.{}", b64(signature)).into_bytes()
}

pub(super) fn strict_claims() -> Value {
    json!({"iss": STRICT, "sub": "svc", "aud": "langgraph", "exp": now() + 300, "azp": "console"})
}
