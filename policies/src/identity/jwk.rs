//! A JSON Web Key (RFC 7517) as a key that can verify; everything else about it is checked and dropped.
//!
//! ```json
//! {"kty": "RSA", "kid": "2026-11", "use": "sig", "alg": "RS256", "n": "0vx7…", "e": "AQAB"}
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::algorithms::{
    Edwards25519PublicKey, K256PublicKey, P256PublicKey, P384PublicKey, RSAPublicKey,
};
use serde_json::{Map, Value};

use super::algorithm::{Algorithm, Family};

/// Longest `kid` accepted, in bytes.
pub(super) const MAX_KID: usize = 512;

/// A public key with the limits that its JWK puts on its use.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// The JWK's `kid`.
    pub(super) kid: Option<String>,
    /// The JWK's `alg`: the only algorithm that the key may be used with.
    algorithm: Option<Algorithm>,
    pub(super) material: Material,
    /// The key as SubjectPublicKeyInfo, for hosts that verify by themselves.
    pub(super) spki: Option<Vec<u8>>,
}

/// The key itself, in the form that jwt-simple checked and verifies with.
#[derive(Debug, Clone)]
pub(super) enum Material {
    Rsa { key: Box<RSAPublicKey>, bytes: usize },
    P256(P256PublicKey),
    P384(P384PublicKey),
    K256(K256PublicKey),
    Ed25519(Edwards25519PublicKey),
}

impl Material {
    const fn family(&self) -> Family {
        match self {
            Self::Rsa { .. } => Family::Rsa,
            Self::P256(_) => Family::P256,
            Self::P384(_) => Family::P384,
            Self::K256(_) => Family::K256,
            Self::Ed25519(_) => Family::Ed25519,
        }
    }
}

impl Key {
    /// Reads a JWK. The error says why the key cannot verify signatures, as a fragment without key bytes.
    pub(super) fn from_jwk(jwk: &Map<String, Value>) -> Result<Self, &'static str> {
        // RFC 7517 section 9.2: a private key that was published is no longer anybody's.
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| jwk.contains_key(*name)) {
            return Err("it is a private or symmetric key");
        }
        check_use(jwk)?;
        let kid = match jwk.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= MAX_KID => Some(kid.clone()),
            Some(_) => return Err("its kid is not a short string"),
        };
        let (material, spki) = material(jwk)?;
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(Value::String(name)) => match Algorithm::parse(name) {
                Some(algorithm) if algorithm.family() == material.family() => Some(algorithm),
                Some(_) => return Err("its alg and its kty disagree"),
                None => return Err("its alg is not an accepted signature algorithm"),
            },
            Some(_) => return Err("its alg is not a string"),
        };
        Ok(Self { kid, algorithm, material, spki })
    }

    /// Whether the key may verify signatures of this algorithm (RFC 8725 section 3.1).
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.material.family() == algorithm.family() && self.algorithm.is_none_or(|only| only == algorithm)
    }
}

/// RFC 7517 sections 4.2 and 4.3.
fn check_use(jwk: &Map<String, Value>) -> Result<(), &'static str> {
    match jwk.get("use") {
        None => {}
        Some(Value::String(purpose)) if purpose == "sig" => {}
        Some(_) => return Err("its use is not sig"),
    }
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => Ok(()),
        Some(_) => Err("its key_ops do not hold verify"),
    }
}

fn material(jwk: &Map<String, Value>) -> Result<(Material, Option<Vec<u8>>), &'static str> {
    let kty = jwk.get("kty").and_then(Value::as_str).ok_or("it has no kty")?;
    let curve = jwk.get("crv").and_then(Value::as_str);
    match (kty, curve) {
        ("RSA", _) => {
            let modulus = integer(jwk, "n")?;
            let exponent = integer(jwk, "e")?;
            let key = RSAPublicKey::from_components(&modulus, &exponent)
                .map_err(|_| "it is not an RSA key of 2048 to 4096 bits with the exponent 65537")?;
            let spki = key.to_der().ok();
            Ok((Material::Rsa { key: Box::new(key), bytes: modulus.len() }, spki))
        }
        ("EC", Some("P-256")) => {
            let key =
                P256PublicKey::from_bytes(&point(jwk, 32)?).map_err(|_| "its point is not on its curve")?;
            let spki = key.to_der().ok();
            Ok((Material::P256(key), spki))
        }
        ("EC", Some("P-384")) => {
            let key =
                P384PublicKey::from_bytes(&point(jwk, 48)?).map_err(|_| "its point is not on its curve")?;
            let spki = key.to_der().ok();
            Ok((Material::P384(key), spki))
        }
        ("EC", Some("secp256k1")) => {
            let key =
                K256PublicKey::from_bytes(&point(jwk, 32)?).map_err(|_| "its point is not on its curve")?;
            // BoringSSL has no secp256k1.
            Ok((Material::K256(key), None))
        }
        ("OKP", Some("Ed25519")) => {
            let x = bytes(jwk, "x")?;
            if x.len() != 32 {
                return Err("its x has the wrong length");
            }
            // jwt-simple refuses non-canonical encodings and points of small order here.
            let key = Edwards25519PublicKey::from_bytes(&x).map_err(|_| "its x is not a sound point")?;
            // Envoy's `verify_signature` knows no Ed25519.
            Ok((Material::Ed25519(key), None))
        }
        _ => Err("its kty or crv is not an accepted one"),
    }
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let text = jwk.get(name).and_then(Value::as_str).ok_or("it lacks a part")?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "a part of it is not canonical base64url")
}

/// A big-endian integer without the leading zeros that some libraries add (RFC 7518 section 6.3.1.1).
fn integer(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let bytes = bytes(jwk, name)?;
    let significant: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
    if significant.is_empty() { Err("a part of it is zero") } else { Ok(significant) }
}

/// The uncompressed point of SEC 1 section 2.3.3. Coordinates have their full length (RFC 7518 section 6.2.1.2).
fn point(jwk: &Map<String, Value>, length: usize) -> Result<Vec<u8>, &'static str> {
    let x = bytes(jwk, "x")?;
    let y = bytes(jwk, "y")?;
    if x.len() != length || y.len() != length {
        return Err("its coordinates have the wrong length");
    }
    Ok([&[4_u8][..], &x, &y].concat())
}
