//! The keys of all issuers, replaced set by set. A set that does not parse leaves the one before it in place.
//!
//! Fetching and its timing belong to the host; see [`super::RefetchGate`].

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::algorithm::Algorithm;
use super::json;
use super::jwk::Key;
use super::version::Version;

/// Largest JWK Set accepted, in bytes.
pub const MAX_KEY_SET_BYTES: usize = 256 * 1024;

/// Most keys accepted in one JWK Set.
pub const MAX_KEYS: usize = 100;

/// Most keys tried for one token: with `kid`s that repeat, or a token without one.
const MAX_CANDIDATES: usize = 4;

/// An issuer of the policy, by its place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IssuerId(pub(super) usize);

impl IssuerId {
    /// The issuer's place in the policy's list, from zero.
    pub const fn index(self) -> usize {
        self.0
    }
}

/// Why a JWK Set was not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySetError {
    /// The policy has no such issuer.
    UnknownIssuer,
    /// It has more bytes than [`MAX_KEY_SET_BYTES`].
    TooLarge,
    /// It is no JSON object with an array `keys`, or it repeats a member.
    Malformed,
    /// It has more keys than [`MAX_KEYS`].
    TooManyKeys,
    /// None of its keys can verify signatures.
    NoUsableKey,
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => "no such issuer in the policy",
            Self::TooLarge => "the key set has more than 256 KiB",
            Self::Malformed => "not a JWK Set: a JSON object with an array `keys` and no member twice",
            Self::TooManyKeys => "the key set has more than 100 keys",
            Self::NoUsableKey => "no key of the set can verify signatures",
        })
    }
}

impl std::error::Error for KeySetError {}

/// The issuers' keys.
#[derive(Debug, Clone)]
pub struct KeyRing {
    sets: Vec<Option<KeySet>>,
    version: Version,
}

#[derive(Debug, Clone)]
pub(super) struct KeySet {
    keys: Arc<[Key]>,
    digest: [u8; 32],
}

impl KeyRing {
    /// A ring for so many issuers, without keys.
    pub(super) fn empty(issuers: usize) -> Self {
        Self { sets: vec![None; issuers], version: Version::new() }
    }

    /// Replaces an issuer's keys and returns how many of the new ones can verify signatures.
    ///
    /// # Errors
    /// Where the set is not sound; the keys installed before stay.
    pub fn install(&mut self, issuer: IssuerId, jwks: &[u8]) -> Result<usize, KeySetError> {
        let slot = self.sets.get_mut(issuer.0).ok_or(KeySetError::UnknownIssuer)?;
        let set = KeySet::parse(jwks)?;
        let count = set.keys.len();
        // The same set again must not empty the token cache of every VM at every refresh.
        if slot.as_ref().is_none_or(|old| old.digest != set.digest) {
            *slot = Some(set);
            self.version = Version::new();
        }
        Ok(count)
    }

    /// Puts a set that has been parsed before in place.
    pub(super) fn place(&mut self, issuer: IssuerId, set: KeySet) {
        if let Some(slot) = self.sets.get_mut(issuer.0) {
            *slot = Some(set);
            self.version = Version::new();
        }
    }

    /// Whether the issuer has keys.
    pub fn is_loaded(&self, issuer: IssuerId) -> bool {
        self.keys(issuer).is_some()
    }

    pub(super) fn version(&self) -> &Version {
        &self.version
    }

    fn keys(&self, issuer: IssuerId) -> Option<&[Key]> {
        self.sets.get(issuer.0)?.as_ref().map(|set| &*set.keys)
    }

    /// Whether a key of this `kid` is there, whatever it is good for.
    pub(super) fn has_kid(&self, issuer: IssuerId, kid: Option<&str>) -> bool {
        let keys = self.keys(issuer).unwrap_or_default();
        kid.is_some_and(|kid| keys.iter().any(|key| key.kid.as_deref() == Some(kid)))
    }

    /// The keys that may have signed: of this `kid`, or any where the token names none.
    /// `None` where the issuer's keys are not loaded.
    pub(super) fn candidates(
        &self,
        issuer: IssuerId,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Option<Vec<&Key>> {
        let fitting = self.keys(issuer)?.iter().filter(|key| {
            key.fits(algorithm)
                && match (kid, &key.kid) {
                    (None, _) => true,
                    (Some(wanted), Some(kid)) => wanted == kid,
                    (Some(_), None) => false,
                }
        });
        Some(fitting.take(MAX_CANDIDATES).collect())
    }
}

impl KeySet {
    /// Parses a JWK Set. Keys that cannot verify are passed over (RFC 7517 section 5).
    pub(super) fn parse(jwks: &[u8]) -> Result<Self, KeySetError> {
        if jwks.len() > MAX_KEY_SET_BYTES {
            return Err(KeySetError::TooLarge);
        }
        let set = json::parse_object(jwks).ok_or(KeySetError::Malformed)?;
        let entries = set.get("keys").and_then(Value::as_array).ok_or(KeySetError::Malformed)?;
        if entries.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let keys: Arc<[Key]> =
            entries.iter().filter_map(Value::as_object).filter_map(|jwk| Key::from_jwk(jwk).ok()).collect();
        if keys.is_empty() {
            return Err(KeySetError::NoUsableKey);
        }
        Ok(Self { keys, digest: Sha256::digest(jwks).into() })
    }
}
