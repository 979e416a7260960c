//! Digests: plain SHA-256 for what is masked already, keyed for what is not, and BLAKE2b for the links of a chain.
//!
//! A nine-digit number has 10⁹ spellings: its plain hash is as good as the number. Whatever could hold an
//! unmasked value is digested with a key that stays with the gateway (HMAC-SHA-256, RFC 2104).

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// The hash of a line by which the next one of its chain names it: BLAKE2b (RFC 7693) of 32 bytes.
///
/// A gate hashes a line for every exchange, in WebAssembly, where this takes a third of the time of SHA-256: it
/// works in words of 64 bits, which that machine has, and needs none of the instructions that it lacks.
pub fn link_hash(line: &[u8]) -> [u8; 32] {
    let hash = blake2b_simd::Params::new().hash_length(32).hash(line);
    let mut link = [0; 32];
    link.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
    link
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// The hash behind 64 lower-case hexadecimal digits; `None` for anything else.
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let read = base16ct::lower::decode(text, &mut hash).ok()?;
    (read.len() == 32).then_some(hash)
}

/// The key of the gateway's digests. Its `Debug` shows nothing of it.
///
/// Holds the hash's state behind the key, so that the key is hashed once and not for every digest.
#[derive(Clone)]
pub struct DigestKey(Hmac<Sha256>);

impl DigestKey {
    /// The fewest bytes that a key may have: as many as the digest has (RFC 2104, section 3).
    pub const SHORTEST: usize = 32;

    /// Takes `secret` as the key, or `None` where it is shorter than [`Self::SHORTEST`].
    pub fn new(secret: &[u8]) -> Option<Self> {
        // HMAC takes keys of any length; were that to change, there would be no key rather than a weak one.
        if secret.len() < Self::SHORTEST { None } else { Hmac::new_from_slice(secret).ok().map(Self) }
    }

    /// HMAC-SHA-256 over `parts`, in lower-case hexadecimal. Each part goes in behind its length, so that
    /// no two lists of parts share a digest.
    pub fn digest(&self, parts: &[&[u8]]) -> String {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        hex(&mac.finalize().into_bytes())
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_the_fips_180_example() {
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_link_is_unkeyed_blake2b_with_32_bytes() {
        // What `b2sum --length 256` prints.
        let expected = "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319";
        assert_eq!(hex(&link_hash(b"abc")), expected);
    }

    #[test]
    fn only_64_lower_case_digits_are_a_hash() {
        let digits = "00ff7a".to_owned() + &"1c".repeat(29);
        assert_eq!(unhex(&digits).map(|hash| hex(&hash)), Some(digits.clone()));
        let no_digit = format!("{}g", &digits[1..]);
        for wrong in
            [&digits[2..], &digits[1..], &format!("{digits}00"), &digits.to_uppercase(), &no_digit, ""]
        {
            assert_eq!(unhex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_short_key_is_refused() {
        assert!(DigestKey::new(&[7; 31]).is_none());
        assert!(DigestKey::new(&[7; 32]).is_some());
    }

    #[test]
    fn the_same_bytes_in_other_parts_have_another_digest() {
        let key = DigestKey::new(&[7; 32]).unwrap();
        assert_ne!(key.digest(&[b"ab", b"c"]), key.digest(&[b"a", b"bc"]));
        assert_ne!(key.digest(&[b"abc"]), key.digest(&[b"abc", b""]));
        assert_eq!(key.digest(&[b"ab", b"c"]), key.digest(&[b"ab", b"c"]));
    }

    #[test]
    fn another_key_gives_another_digest() {
        let one = DigestKey::new(&[7; 32]).unwrap();
        let other = DigestKey::new(&[8; 32]).unwrap();
        assert_ne!(one.digest(&[b"abc"]), other.digest(&[b"abc"]));
    }

    #[test]
    fn debug_shows_nothing_of_the_key() {
        assert_eq!(format!("{:?}", DigestKey::new(&[7; 32]).unwrap()), "DigestKey(…)");
    }
}
