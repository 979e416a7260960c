//! Whether a signature verifies: by the host where it can, else by jwt-simple's keys. Both give the same answer.
//!
//! jwt-simple's own `verify_token` also judges the claims, with a clock and a leniency of its own, so
//! its checked keys are used with the primitives that they hold (`AsRef`) and the claims stay ours.

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use sha2::{Digest as _, Sha256, Sha384};
use superboring::hash::MessageDigest;
use superboring::pkey::PKey;
use superboring::rsa::Padding;
use superboring::sign::{RsaPssSaltlen, Verifier};

use super::algorithm::{Algorithm, Hash};
use super::jwk::{Key, Material};
use super::native::NativeVerifier;

/// Whether `signature` over `message` verifies under `key`.
pub(super) fn verify(
    key: &Key,
    algorithm: Algorithm,
    signature: &[u8],
    message: &[u8],
    native: &dyn NativeVerifier,
) -> bool {
    if !key.fits(algorithm) || !well_formed(key, signature) {
        return false;
    }
    natively(key, algorithm, signature, message, native)
        .unwrap_or_else(|| in_software(key, algorithm, signature, message))
}

/// Lengths are judged here so that hosts and libraries cannot differ over them.
fn well_formed(key: &Key, signature: &[u8]) -> bool {
    match &key.material {
        Material::Rsa { bytes, .. } => signature.len() == *bytes,
        Material::P256(_) | Material::K256(_) | Material::Ed25519(_) => signature.len() == 64,
        Material::P384(_) => signature.len() == 96,
    }
}

/// `None` where the host cannot tell.
fn natively(
    key: &Key,
    algorithm: Algorithm,
    signature: &[u8],
    message: &[u8],
    native: &dyn NativeVerifier,
) -> Option<bool> {
    let spki = key.spki.as_deref()?;
    let hash = algorithm.hash().name();
    match algorithm {
        Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => {
            native.verify(hash, spki, signature, message)
        }
        // r or s of zero, or not below the order, is no signature in either form.
        Algorithm::Es256 => match p256::ecdsa::Signature::from_slice(signature) {
            Ok(signature) => native.verify(hash, spki, signature.to_der().as_bytes(), message),
            Err(_) => Some(false),
        },
        Algorithm::Es384 => match p384::ecdsa::Signature::from_slice(signature) {
            Ok(signature) => native.verify(hash, spki, signature.to_der().as_bytes(), message),
            Err(_) => Some(false),
        },
        // Envoy's function has no parameter for PSS, and neither Ed25519 nor secp256k1.
        Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 | Algorithm::Es256k | Algorithm::EdDsa => None,
    }
}

fn in_software(key: &Key, algorithm: Algorithm, signature: &[u8], message: &[u8]) -> bool {
    match &key.material {
        Material::Rsa { key, .. } => {
            let pkcs1 = matches!(algorithm, Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512);
            let padding = if pkcs1 { Padding::PKCS1 } else { Padding::PKCS1_PSS };
            let digest = match algorithm.hash() {
                Hash::Sha256 => MessageDigest::sha256(),
                Hash::Sha384 => MessageDigest::sha384(),
                Hash::Sha512 => MessageDigest::sha512(),
            };
            let Ok(key) = PKey::from_rsa(key.as_ref().as_ref().clone()) else { return false };
            let Ok(mut verifier) = Verifier::new(digest, &key) else { return false };
            // The salt is as long as the hash (RFC 7518 section 3.5).
            verifier.set_rsa_padding(padding).is_ok()
                && verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH).is_ok()
                && verifier.update(message).is_ok()
                && verifier.verify(signature).is_ok_and(|verified| verified)
        }
        Material::P256(key) => p256::ecdsa::Signature::from_slice(signature)
            .is_ok_and(|signature| key.as_ref().verify_prehash(&Sha256::digest(message), &signature).is_ok()),
        Material::P384(key) => p384::ecdsa::Signature::from_slice(signature)
            .is_ok_and(|signature| key.as_ref().verify_prehash(&Sha384::digest(message), &signature).is_ok()),
        // RFC 8812 asks for no low s, which this library insists on: both forms are the same signature.
        Material::K256(key) => k256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| {
            key.as_ref().verify_prehash(&Sha256::digest(message), &signature.normalize_s()).is_ok()
        }),
        Material::Ed25519(key) => ed25519_compact::Signature::from_slice(signature)
            .is_ok_and(|signature| key.as_ref().verify(message, &signature).is_ok()),
    }
}
