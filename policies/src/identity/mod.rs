//! Who is calling: issuers, their keys, tokens, and the claims that become an [`Identity`].
//!
//! Follows RFC 8725 (JSON Web Token best current practices) throughout: algorithms are pinned per
//! issuer, keys come from the policy alone, everything has a bound, and what is ambiguous is refused.
//! HTTP to the issuers, the clock and the request are the host's.

mod algorithm;
mod authenticator;
mod cache;
mod challenge;
mod claims;
mod config;
mod deny;
mod discovery;
mod introspection;
mod issuer;
mod json;
mod jwk;
mod mapping;
mod native;
mod passage;
mod path;
mod refetch;
mod refusal;
mod ring;
mod signature;
mod source;
mod token;
mod upstream;
mod version;

pub use algorithm::Algorithm;
pub use authenticator::{Authenticator, Origin};
pub use cache::TokenCache;
pub use challenge::challenge;
pub use config::{
    AssertionConfig, ClaimsConfig, Config, DenyConfig, From, IntrospectionConfig, IssuerConfig,
    JwtAuthnConfig, KeysConfig, MappingsConfig, SourcesConfig, UpstreamConfig, UpstreamIdentity,
};
pub use discovery::DiscoveryError;
pub use introspection::{Introspection, IntrospectionRequest};
pub use issuer::RemoteKeys;
pub use native::{NativeVerifier, NoNative};
pub use refetch::{Missing, Refetch, RefetchGate, next_fetch};
pub use refusal::Refused;
pub use ring::{IssuerId, KeyRing, KeySetError, MAX_KEY_SET_BYTES, MAX_KEYS};
pub use token::MAX_TOKEN_BYTES;

use serde::{Deserialize, Serialize};

/// A verified caller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The token's `iss`.
    pub issuer: String,
    /// The token's `sub`.
    pub subject: String,
    /// A name for people to read, where the claims give one.
    pub name: Option<String>,
    /// An e-mail address, where the claims give one.
    pub email: Option<String>,
    /// Roles, after the policy's mappings.
    pub roles: Vec<String>,
    /// Groups, after the policy's mappings.
    pub groups: Vec<String>,
    /// Whether a person or a machine calls.
    pub actor: Actor,
    /// All claims of the token, for conditions.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// What the record keeps about the token in place of the token.
    pub token: TokenFacts,
}

/// Who stands behind a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// A person who signed in.
    Person,
    /// A machine with credentials of its own (OAuth 2.0 client credentials, RFC 6749 section 4.4).
    Machine,
}

/// The parts of a token that identify it in the record without being usable as a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// The `jti` claim.
    pub jti: Option<String>,
    /// The `iat` claim, seconds since the Unix epoch.
    pub iat: Option<i64>,
    /// The `exp` claim, seconds since the Unix epoch.
    pub exp: i64,
    /// The header's `alg`.
    pub alg: String,
    /// The header's `kid`.
    pub kid: Option<String>,
    /// SHA-256 of the token's bytes, lower-case hexadecimal.
    pub sha256: String,
}

#[cfg(test)]
mod tests;
