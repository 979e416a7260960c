//! The issuer's keys, and every right and wrong way to sign with them.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::{
    ECDSAP256KeyPairLike as _, ES256KeyPair, HS256Key, JWTClaims, MACLike as _, RS256KeyPair,
    RSAKeyPairLike as _,
};
use serde_json::{Value, json};

/// RSA as deployed issuers have it.
const RSA_BITS: usize = 2048;

/// The current keys.
#[derive(Debug)]
pub(super) struct Keys {
    serial: usize,
    es256: ES256KeyPair,
    rs256: Option<RS256KeyPair>,
}

impl Keys {
    pub(super) fn generate() -> Result<Self> {
        Ok(Self { serial: 1, es256: ES256KeyPair::generate().with_key_id("es-1"), rs256: None })
    }

    pub(super) fn rotate(&mut self) {
        self.serial += 1;
        self.es256 = ES256KeyPair::generate().with_key_id(&format!("es-{}", self.serial));
    }

    /// The key set, with `use` and `alg` as issuers publish them.
    pub(super) fn public(&self) -> Value {
        let mut keys = vec![published(&self.es256.public_key().to_jwk(), "ES256")];
        if let Some(rs256) = &self.rs256 {
            keys.push(published(&rs256.public_key().to_jwk(), "RS256"));
        }
        json!({ "keys": keys })
    }

    pub(super) fn sign_es256(&self, claims: &Value) -> String {
        signed(self.es256.sign(bare(claims)))
    }

    pub(super) fn sign_rs256(&mut self, claims: &Value) -> Result<String> {
        if self.rs256.is_none() {
            self.rs256 = Some(RS256KeyPair::generate(RSA_BITS).context("no RSA key")?.with_key_id("rs-1"));
        }
        let key = self.rs256.as_ref().context("no RSA key")?;
        Ok(signed(key.sign(bare(claims))))
    }

    pub(super) fn sign_by_stranger(&self, claims: &Value) -> String {
        let kid = format!("es-{}", self.serial);
        signed(ES256KeyPair::generate().with_key_id(&kid).sign(bare(claims)))
    }

    pub(super) fn sign_with_public_key_as_secret(&self, claims: &Value) -> Result<String> {
        let pem = self.es256.public_key().to_pem().context("no PEM of the public key")?;
        let kid = format!("es-{}", self.serial);
        Ok(signed(HS256Key::from_bytes(pem.as_bytes()).with_key_id(&kid).authenticate(bare(claims))))
    }
}

/// A token from its three parts as they stand.
pub(super) fn compact(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

/// The library's claims without any of its own, so that hostile ones pass as they are.
fn bare(claims: &Value) -> JWTClaims<Value> {
    JWTClaims {
        issued_at: None,
        expires_at: None,
        invalid_before: None,
        issuer: None,
        subject: None,
        audiences: None,
        jwt_id: None,
        nonce: None,
        custom: claims.clone(),
    }
}

fn published(jwk: &str, algorithm: &str) -> Value {
    let mut jwk: Value = serde_json::from_str(jwk).unwrap_or_default();
    if let Some(members) = jwk.as_object_mut() {
        members.insert("use".to_owned(), json!("sig"));
        members.insert("alg".to_owned(), json!(algorithm));
    }
    jwk
}

/// Signing fails only for claims that are no JSON object, which would be the test's own mistake.
fn signed<Fault: std::fmt::Display>(token: Result<String, Fault>) -> String {
    token.unwrap_or_else(|error| panic!("cannot sign: {error}"))
}
