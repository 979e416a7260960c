//! The section `identity` of the policy as it is written; [`super::Authenticator::compile`] checks it.
//!
//! ```yaml
//! issuers:
//!   - issuer: https://idp.example.com
//!     audiences: [langgraph]
//!     algorithms: [RS256, ES256]
//!     keys: { cluster: idp, path: /.well-known/jwks.json, refresh: 300s }
//!     claims: { roles: realm_access.roles, groups: /groups }
//!     mappings: { groups: { sg-4711: managers }, roles_by_group: { managers: manager } }
//! upstream: { headers: { x-api-key: { env: LANGGRAPH_API_KEY } }, identity: headers }
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::policy::{Secret, Span};

/// The section `identity`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who may issue tokens; at least one, each `issuer` once.
    pub issuers: Vec<IssuerConfig>,
    /// How far the issuers' clocks may differ from ours; 30 s where absent, at most 300 s.
    pub leeway: Option<Span>,
    /// Who verifies: this gate (`token`), or Envoy's jwt_authn filter before it (`jwt_authn`).
    #[serde(default)]
    pub from: From,
    /// Where jwt_authn leaves the payload. Only with `from: jwt_authn`.
    pub jwt_authn: Option<JwtAuthnConfig>,
    /// Where tokens come from. Only with `from: token`.
    #[serde(default)]
    pub sources: SourcesConfig,
    /// Tokens and people that are refused though their tokens are sound.
    #[serde(default)]
    pub deny: DenyConfig,
    /// What LangGraph is told about the caller.
    #[serde(default)]
    pub upstream: UpstreamConfig,
}

/// Who verifies the token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// This gate.
    #[default]
    Token,
    /// Envoy's jwt_authn (or Istio's RequestAuthentication); its payload is taken from dynamic metadata.
    JwtAuthn,
}

/// Where jwt_authn leaves the payload that it verified.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtAuthnConfig {
    /// The metadata's namespace; `envoy.filters.http.jwt_authn` where absent.
    pub namespace: Option<String>,
    /// The value of jwt_authn's `payload_in_metadata`.
    pub key: String,
}

/// One issuer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// A token has to be for one of these.
    pub audiences: Vec<String>,
    /// The algorithms its tokens may use (RFC 8725 section 3.1). May be absent with `from: jwt_authn`.
    #[serde(default)]
    pub algorithms: Vec<String>,
    /// The `typ` that its tokens must have, such as `at+jwt` (RFC 9068). Any where absent.
    pub typ: Option<String>,
    /// The `azp` (or, without one, `client_id`) values accepted. Any where empty.
    #[serde(default)]
    pub authorized_parties: Vec<String>,
    /// Its keys. Must be absent with `from: jwt_authn`.
    pub keys: Option<KeysConfig>,
    /// Which claims become which part of the identity.
    #[serde(default)]
    pub claims: ClaimsConfig,
    /// Other names for what the claims say.
    #[serde(default)]
    pub mappings: MappingsConfig,
    /// Asks the issuer whether a token is still active (RFC 7662).
    pub introspection: Option<IntrospectionConfig>,
}

/// An issuer's keys: exactly one of `inline`, `path` and `discover`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// A JWK Set (RFC 7517 section 5).
    pub inline: Option<serde_json::Value>,
    /// The Envoy cluster that reaches the issuer.
    pub cluster: Option<String>,
    /// The path of the JWK Set.
    pub path: Option<String>,
    /// Find the JWK Set through `/.well-known/openid-configuration`.
    #[serde(default)]
    pub discover: bool,
    /// The `:authority` of key requests; the issuer's own where absent.
    pub authority: Option<String>,
    /// The Envoy cluster of the JWK Set, where discovery names another host than the issuer's.
    pub jwks_cluster: Option<String>,
    /// How long a set is used before it is fetched again; 300 s where absent, 10 s to 24 h.
    pub refresh: Option<Span>,
    /// How long a key request may take; 5 s where absent, 100 ms to 60 s.
    pub timeout: Option<Span>,
}

/// Claims by dotted path (`realm_access.roles`) or JSON pointer (`/https:~1~1example.com~1groups`).
/// A first name that holds `://` is one name, dots and all.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimsConfig {
    /// Whom the token is about; `sub` where absent.
    pub subject: Option<String>,
    /// A name for people; `name` where absent.
    pub name: Option<String>,
    /// An e-mail address; `email` where absent. Dropped where `email_verified` is false.
    pub email: Option<String>,
    /// Roles, a string or an array of strings; `roles` where absent.
    pub roles: Option<String>,
    /// Groups, a string or an array of strings; `groups` where absent.
    pub groups: Option<String>,
    /// Splits a roles or groups claim that is one string (`scope` style) at white space.
    #[serde(default)]
    pub split: bool,
}

/// Other names for roles and groups. What is not named keeps its name.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappingsConfig {
    /// Group as it is in the token → its name in the policy.
    #[serde(default)]
    pub groups: BTreeMap<String, String>,
    /// Role as it is in the token → its name in the policy.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
    /// Group (either name) → a role that its members have.
    #[serde(default)]
    pub roles_by_group: BTreeMap<String, String>,
}

/// RFC 7662 introspection.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionConfig {
    /// The Envoy cluster of the endpoint.
    pub cluster: String,
    /// The endpoint's path.
    pub path: String,
    /// The `:authority`; the issuer's own where absent.
    pub authority: Option<String>,
    /// The client's id at the endpoint (RFC 7617 Basic).
    pub client_id: String,
    /// The client's secret.
    pub client_secret: Secret,
    /// How long "active" is believed; 30 s where absent, at most 600 s.
    pub cache: Option<Span>,
    /// How long an answer may take; 2 s where absent, 100 ms to 60 s.
    pub timeout: Option<Span>,
}

/// Where tokens come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourcesConfig {
    /// `Authorization: Bearer`.
    #[serde(default = "yes")]
    pub authorization: bool,
    /// `x-api-key` with a JWT in it.
    #[serde(default)]
    pub x_api_key: bool,
    /// The cookie of this name. Cookies come with requests that other sites cause, so it has to be one with
    /// `SameSite=Strict`.
    pub cookie: Option<String>,
}

impl Default for SourcesConfig {
    fn default() -> Self {
        Self { authorization: true, x_api_key: false, cookie: None }
    }
}

const fn yes() -> bool {
    true
}

/// Refused though sound.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenyConfig {
    /// Token ids.
    #[serde(default)]
    pub jti: Vec<String>,
    /// Subjects.
    #[serde(default)]
    pub sub: Vec<String>,
    /// Sessions.
    #[serde(default)]
    pub sid: Vec<String>,
}

/// What goes upstream in place of the credential.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Headers with secrets, such as LangGraph's own `x-api-key`.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Headers of the caller's own, besides those that trace a request, that LangGraph may see though they begin
    /// with `x-`: names, or how names begin, such as `x-acme-*`.
    #[serde(default)]
    pub pass: Vec<String>,
    /// How the identity is told; not at all where absent.
    pub identity: Option<UpstreamIdentity>,
    /// The signed assertion. Only, and always, with `identity: assertion`.
    pub assertion: Option<AssertionConfig>,
}

/// How the identity is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamIdentity {
    /// As `x-graphwarden-*` headers.
    Headers,
    /// As a JWT signed by the gate.
    Assertion,
}

/// The gate's own short-lived JWT.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssertionConfig {
    /// `EdDSA` or `HS256`.
    pub algorithm: String,
    /// For EdDSA a PKCS #8 PEM or the base64 of the 32-byte seed; for HS256 at least 32 bytes.
    pub key: Secret,
    /// The header's `kid`.
    pub key_id: Option<String>,
    /// The `iss`; `graphwarden` where absent.
    pub issuer: Option<String>,
    /// The `aud`; `langgraph` where absent.
    pub audience: Option<String>,
    /// The header that carries it; `x-graphwarden-assertion` where absent.
    /// `authorization` gets the scheme `Bearer`.
    pub header: Option<String>,
}
