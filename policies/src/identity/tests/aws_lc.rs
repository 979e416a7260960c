//! A [`NativeVerifier`] as Envoy's `verify_signature` is one: AWS-LC is a sibling of the BoringSSL in Envoy.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};

use crate::identity::NativeVerifier;

/// Knows what the host knows: RSASSA-PKCS1-v1_5 and ECDSA, told apart by the key.
pub(super) struct AwsLc;

impl NativeVerifier for AwsLc {
    fn verify(&self, hash: &str, spki_der: &[u8], signature: &[u8], message: &[u8]) -> Option<bool> {
        let algorithms: [&'static dyn VerificationAlgorithm; 2] = match hash {
            "sha256" => [&RSA_PKCS1_2048_8192_SHA256, &ECDSA_P256_SHA256_ASN1],
            "sha384" => [&RSA_PKCS1_2048_8192_SHA384, &ECDSA_P384_SHA384_ASN1],
            "sha512" => [&RSA_PKCS1_2048_8192_SHA512, &RSA_PKCS1_2048_8192_SHA512],
            _ => return None,
        };
        Some(
            algorithms.into_iter().any(|algorithm| {
                UnparsedPublicKey::new(algorithm, spki_der).verify(message, signature).is_ok()
            }),
        )
    }
}

/// A host that must not be asked.
pub(super) struct Unasked;

impl NativeVerifier for Unasked {
    fn verify(&self, hash: &str, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        panic!("the host was asked about {hash}")
    }
}
