//! Signatures that are nearly right, or right for somebody who computes carelessly.

use Reason::TokenSignature;
use aws_lc_rs::signature::KeyPair as _;
use sha2::{Digest as _, Sha256};
use superboring::reexports::rsa::pkcs8::DecodePrivateKey as _;
use superboring::reexports::rsa::{Pkcs1v15Sign, RsaPrivateKey};

use super::super::forge::{KEYS, b64, claims, claims_with, good, header, resigned, sign};
use super::{Case, case};
use crate::reason::Reason;

/// The order of P-256 (FIPS 186-4 D.1.2.3).
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The order of Ed25519's group, little-endian (RFC 8032 section 5.1).
const ED25519_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn flipped(alg: &str, place: usize) -> Vec<u8> {
    resigned(alg, |mut signature, _| {
        let place = place.min(signature.len() - 1);
        signature[place] ^= 0x01;
        signature
    })
}

fn replaced(alg: &str, signature: &[u8]) -> Vec<u8> {
    resigned(alg, |_, _| signature.to_vec())
}

fn es256(r: &[u8], s: &[u8]) -> Vec<u8> {
    replaced("ES256", &[r, s].concat())
}

/// An ES256 token whose r or s is replaced in the sound signature.
fn es256_part(which: usize, part: [u8; 32]) -> Vec<u8> {
    resigned("ES256", |mut signature, _| {
        signature[which * 32..which * 32 + 32].copy_from_slice(&part);
        signature
    })
}

/// An RS256 signature over a DigestInfo that starts like this (RFC 8017 section 9.2).
fn rsa_with_prefix(prefix: &[u8], suffix: &[u8]) -> Vec<u8> {
    let key = RsaPrivateKey::from_pkcs8_der(&KEYS.rsa_der).expect("the forge's key");
    resigned("RS256", |_, message| {
        let digest = [&Sha256::digest(message)[..], suffix].concat();
        let scheme = Pkcs1v15Sign { hash_len: None, prefix: prefix.into() };
        key.sign(scheme, &digest).expect("signing works")
    })
}

/// A PS256 signature with a salt of this length; RFC 7518 section 3.5 wants 32.
fn pss_with_salt(length: usize) -> Vec<u8> {
    use superboring::reexports::rsa::pss::SigningKey;
    use superboring::reexports::rsa::signature::{RandomizedSigner as _, SignatureEncoding as _};
    // The hash of the same generation as its signer.
    use superboring::reexports::rsa::sha2::Sha256;
    let key = RsaPrivateKey::from_pkcs8_der(&KEYS.rsa_der).expect("the forge's key");
    resigned("PS256", |_, message| {
        let signer = SigningKey::<Sha256>::new_with_salt_len(key, length);
        signer.sign_with_rng(&mut superboring::reexports::rand::thread_rng(), message).to_vec()
    })
}

fn modulus() -> Vec<u8> {
    KEYS.rsa.public_key().modulus().big_endian_without_leading_zero().to_vec()
}

/// One good token's signature under another's header and claims.
fn transplanted(alg: &str) -> Vec<u8> {
    let token = String::from_utf8(good(alg)).expect("tokens are ASCII");
    let signature = token.rsplit('.').next().expect("three parts");
    let other = claims_with("sub", "admin").to_string();
    format!("{}.{}.{signature}", b64(header(alg).to_string()), b64(other)).into_bytes()
}

fn der_of_es256() -> Vec<u8> {
    resigned("ES256", |signature, _| {
        p256::ecdsa::Signature::from_slice(&signature).expect("it is sound").to_der().as_bytes().to_vec()
    })
}

pub(super) fn cases() -> Vec<Case> {
    [general(), rsa(), ecdsa(), eddsa()].into_iter().flatten().collect()
}

fn general() -> Vec<Case> {
    let mut cases = Vec::new();
    macro_rules! for_each_algorithm {
        ($($alg:literal),*) => {$(
            cases.extend([
                case(concat!($alg, ": the first bit flipped"), flipped($alg, 0), TokenSignature),
                case(concat!($alg, ": the last bit flipped"), flipped($alg, usize::MAX), TokenSignature),
                case(concat!($alg, ": a byte cut off"), resigned($alg, |s, _| s[..s.len() - 1].to_vec()), TokenSignature),
                case(concat!($alg, ": a byte cut off in front"), resigned($alg, |s, _| s[1..].to_vec()), TokenSignature),
                case(concat!($alg, ": a zero added"), resigned($alg, |s, _| [&s[..], &[0]].concat()), TokenSignature),
                case(concat!($alg, ": a zero added in front"), resigned($alg, |s, _| [&[0], &s[..]].concat()), TokenSignature),
                case(concat!($alg, ": all zeros"), resigned($alg, |s, _| vec![0; s.len()]), TokenSignature),
                case(concat!($alg, ": all ones"), resigned($alg, |s, _| vec![0xff; s.len()]), TokenSignature),
                case(concat!($alg, ": doubled"), resigned($alg, |s, _| [&s[..], &s[..]].concat()), TokenSignature),
                case(concat!($alg, ": over other claims"), transplanted($alg), TokenSignature),
                case(concat!($alg, ": over the payload alone"), resigned($alg, |_, _| sign($alg, claims().to_string().as_bytes())), TokenSignature),
            ]);
        )*};
    }
    for_each_algorithm!("RS256", "PS256", "ES256", "ES384", "EdDSA");
    cases
}

fn rsa() -> Vec<Case> {
    // DigestInfo of SHA-256, whole and damaged.
    let whole: &[u8] = &[
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
        0x04, 0x20,
    ];
    let without_null: &[u8] = &[
        0x30, 0x2f, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x04, 0x20,
    ];
    let sha1: &[u8] =
        &[0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14];
    let one: Vec<u8> = [vec![0; 255], vec![1]].concat();
    let mut less_one = modulus();
    *less_one.last_mut().expect("a modulus has bytes") -= 1;
    vec![
        case("RS256: a DigestInfo without NULL", rsa_with_prefix(without_null, b""), TokenSignature),
        case("RS256: no DigestInfo at all", rsa_with_prefix(b"", b""), TokenSignature),
        case("RS256: a DigestInfo that names SHA-1", rsa_with_prefix(sha1, b""), TokenSignature),
        case("RS256: bytes after the hash", rsa_with_prefix(whole, b"\0\0"), TokenSignature),
        case("RS256: the modulus itself", replaced("RS256", &modulus()), TokenSignature),
        case("RS256: the modulus less one", replaced("RS256", &less_one), TokenSignature),
        case("RS256: one", replaced("RS256", &one), TokenSignature),
        case("PS256: the modulus itself", replaced("PS256", &modulus()), TokenSignature),
        case("PS256: no salt", pss_with_salt(0), TokenSignature),
        case("PS256: a salt of 20 bytes", pss_with_salt(20), TokenSignature),
        case("PS256: the longest salt", pss_with_salt(222), TokenSignature),
    ]
}

fn ecdsa() -> Vec<Case> {
    let zero = [0_u8; 32];
    let mut one = zero;
    one[31] = 1;
    let mut above = P256_ORDER;
    above[31] += 1;
    let mut below = P256_ORDER;
    below[31] -= 1;
    vec![
        case("ES256: r zero", es256_part(0, zero), TokenSignature),
        case("ES256: s zero", es256_part(1, zero), TokenSignature),
        case("ES256: r the order", es256_part(0, P256_ORDER), TokenSignature),
        case("ES256: s the order", es256_part(1, P256_ORDER), TokenSignature),
        case("ES256: r above the order", es256_part(0, above), TokenSignature),
        case("ES256: s above the order", es256_part(1, above), TokenSignature),
        case("ES256: r and s the order", es256(&P256_ORDER, &P256_ORDER), TokenSignature),
        case("ES256: r and s one", es256(&one, &one), TokenSignature),
        case("ES256: r one, s the order less one", es256(&one, &below), TokenSignature),
        case(
            "ES256: r and s exchanged",
            resigned("ES256", |s, _| [&s[32..], &s[..32]].concat()),
            TokenSignature,
        ),
        case("ES256: in DER", der_of_es256(), TokenSignature),
        case(
            "ES256: as long as ES384's",
            resigned("ES256", |s, _| [&[0; 16], &s[..32], &[0; 16], &s[32..]].concat()),
            TokenSignature,
        ),
        case(
            "ES384: by the key of ES256",
            resigned("ES384", |_, message| sign("ES256", message)),
            TokenSignature,
        ),
        case("ES256: by secp256k1", resigned("ES256", |_, message| sign("ES256K", message)), TokenSignature),
    ]
}

fn eddsa() -> Vec<Case> {
    let mut identity = [0_u8; 32];
    identity[0] = 1;
    // s + L is the same scalar, spelled so that the signature differs (RFC 8032 section 5.1.7).
    let malleable = resigned("EdDSA", |mut signature, _| {
        let mut carry = 0_u16;
        for (byte, order) in signature[32..].iter_mut().zip(ED25519_ORDER) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        signature
    });
    vec![
        case("EdDSA: s with the order added", malleable, TokenSignature),
        case(
            "EdDSA: R of low order, s zero",
            replaced("EdDSA", &[identity, [0; 32]].concat()),
            TokenSignature,
        ),
        case(
            "EdDSA: R zero",
            resigned("EdDSA", |mut s, _| {
                s[..32].fill(0);
                s
            }),
            TokenSignature,
        ),
        case(
            "EdDSA: R not canonical",
            resigned("EdDSA", |mut s, _| {
                s[..32].fill(0xff);
                s
            }),
            TokenSignature,
        ),
        case(
            "EdDSA: s the order",
            resigned("EdDSA", |mut s, _| {
                s[32..].copy_from_slice(&ED25519_ORDER);
                s
            }),
            TokenSignature,
        ),
        case(
            "EdDSA: by the key of ES256",
            resigned("EdDSA", |_, message| sign("ES256", message)),
            TokenSignature,
        ),
    ]
}
