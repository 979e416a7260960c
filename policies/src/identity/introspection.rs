//! Asking an issuer whether a token is still active (RFC 7662). The request and the verdict; the host sends it.
//!
//! ```text
//! POST /introspect                     200 {"active": true, "sub": "…", "exp": 1790000000}
//! authorization: Basic …
//! token=eyJ…&token_type_hint=access_token
//! ```
//! Anything but a sound 200 means no.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::authenticator::Authenticator;
use super::cache::TokenCache;
use super::config::IntrospectionConfig;
use super::issuer::{is_authority, is_path, span};
use super::refusal::{Refusal, Refused};
use super::{Identity, json};
use crate::policy::{At, Environment, Problems};
use crate::reason::Reason;

/// Largest answer read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// application/x-www-form-urlencoded leaves these as they are.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*');

/// What has to happen before a verified identity may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Introspection {
    /// Nothing: the policy asks for no introspection, or the issuer said "active" a short while ago.
    Settled,
    /// The issuer has to be asked; its answer goes to [`super::Authenticator::introspected`].
    Ask(IntrospectionRequest),
}

/// A request to an introspection endpoint. Holds the token and a secret: not to be logged.
#[derive(Clone, PartialEq, Eq)]
pub struct IntrospectionRequest {
    /// The Envoy cluster.
    pub cluster: String,
    /// All headers, pseudo-headers first.
    pub headers: Vec<(String, String)>,
    /// The form.
    pub body: Vec<u8>,
    /// How long the answer may take.
    pub timeout: Duration,
}

impl std::fmt::Debug for IntrospectionRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntrospectionRequest")
            .field("cluster", &self.cluster)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// One issuer's endpoint.
#[derive(Clone)]
pub(super) struct Introspector {
    cluster: String,
    authority: String,
    path: String,
    authorization: String,
    /// How long "active" is believed, in seconds.
    pub(super) cache: u64,
    timeout: Duration,
}

impl std::fmt::Debug for Introspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introspector").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Introspector {
    pub(super) fn compile(
        config: &IntrospectionConfig,
        issuers_authority: Option<&str>,
        at: &At,
        environment: Environment<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        if config.cluster.is_empty() {
            problems.add(&at.member("cluster"), "the cluster's name is empty");
        }
        if !is_path(&config.path) {
            problems.add(&at.member("path"), "not an absolute path of visible ASCII characters");
        }
        let authority = config.authority.as_deref().or(issuers_authority);
        if !authority.is_some_and(is_authority) {
            problems.add(&at.member("authority"), "the issuer is no URL, so an authority is needed");
        }
        let secret = config.client_secret.resolve(environment);
        if secret.is_none() {
            problems.add(&at.member("client_secret"), unset(&config.client_secret.env));
        }
        let cache = span(config.cache, 30, Duration::ZERO, Duration::from_secs(600));
        if cache.is_none() {
            problems.add(&at.member("cache"), "more than 600s");
        }
        let timeout = span(config.timeout, 2, Duration::from_millis(100), Duration::from_secs(60));
        if timeout.is_none() {
            problems.add(&at.member("timeout"), "not from 100ms to 60s");
        }
        // RFC 6749 section 2.3.1: both are form-encoded before they are joined.
        let encode = |text: &str| utf8_percent_encode(text, FORM).to_string();
        let pair = format!("{}:{}", encode(&config.client_id), encode(&secret?));
        Some(Self {
            cluster: config.cluster.clone(),
            authority: authority?.to_owned(),
            path: config.path.clone(),
            authorization: format!("Basic {}", STANDARD.encode(pair)),
            cache: cache?.as_secs(),
            timeout: timeout?,
        })
    }

    pub(super) fn request(&self, token: &[u8]) -> IntrospectionRequest {
        let pairs = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", &self.authority),
            (":path", &self.path),
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "application/json"),
            ("authorization", &self.authorization),
        ];
        // A token that verified is base64url and dots, which need no escape in a form.
        let body = [b"token=", token, b"&token_type_hint=access_token"].concat();
        IntrospectionRequest {
            cluster: self.cluster.clone(),
            headers: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body,
            timeout: self.timeout,
        }
    }
}

impl Authenticator {
    /// Whether the issuer has to be asked if the token is still active. Call it after
    /// [`Self::authenticate`], with the same headers and cache.
    ///
    /// # Errors
    /// [`Reason::TokenRevoked`] where the issuer said a short while ago that it is not.
    pub fn introspection(
        &self,
        headers: &[(Vec<u8>, Vec<u8>)],
        identity: &Identity,
        cache: &mut TokenCache,
        now: u64,
    ) -> Result<Introspection, Refused> {
        let Some(introspector) =
            self.issuer_named(&identity.issuer).and_then(|(_, i)| i.introspector.as_ref())
        else {
            return Ok(Introspection::Settled);
        };
        let mark = cache.mark(identity.token.sha256.as_bytes());
        match cache.find_active(mark, now) {
            Some(true) => Ok(Introspection::Settled),
            Some(false) => Err(revoked()),
            None => Ok(Introspection::Ask(introspector.request(self.sources.token(headers)?))),
        }
    }

    /// Judges the answer to [`Introspection::Ask`]. `status` is 0 where none came.
    ///
    /// # Errors
    /// [`Reason::TokenRevoked`] where the token is not active,
    /// [`Reason::IntrospectionUnavailable`] where the answer is none.
    pub fn introspected(
        &self,
        identity: &Identity,
        status: u16,
        body: &[u8],
        cache: &mut TokenCache,
        now: u64,
    ) -> Result<(), Refused> {
        let (_, issuer) = self.issuer_named(&identity.issuer).ok_or_else(revoked)?;
        let subject = identity.claims.get("sub").and_then(Value::as_str).unwrap_or(&identity.subject);
        let active = verdict(status, body, subject, now)?;
        let believed = issuer.introspector.as_ref().map_or(0, |introspector| introspector.cache);
        let mark = cache.mark(identity.token.sha256.as_bytes());
        cache.keep_active(mark, active, now.saturating_add(believed), now);
        if active { Ok(()) } else { Err(revoked()) }
    }
}

fn revoked() -> Refused {
    Refusal::new(Reason::TokenRevoked, "the issuer says that the token is not active").into()
}

/// Whether the issuer says that the token is active (RFC 7662 section 2.2).
fn verdict(status: u16, body: &[u8], subject: &str, now: u64) -> Result<bool, Refusal> {
    let unavailable = |detail| Refusal::new(Reason::IntrospectionUnavailable, detail);
    if status != 200 {
        return Err(unavailable("the introspection endpoint did not answer 200"));
    }
    if body.len() > MAX_ANSWER_BYTES {
        return Err(unavailable("the introspection answer has more than 64 KiB"));
    }
    let answer =
        json::parse_object(body).ok_or(unavailable("the introspection answer is not a JSON object"))?;
    let active = answer
        .get("active")
        .and_then(Value::as_bool)
        .ok_or(unavailable("the introspection answer does not say whether the token is active"))?;
    // An answer about somebody else is no answer about this token.
    let other = answer.get("sub").is_some_and(|sub| sub != subject);
    let ended = answer.get("exp").is_some_and(|exp| exp.as_f64().is_none_or(|exp| exp <= now as f64));
    Ok(active && !other && !ended)
}

/// What to say of a secret whose variable is unset or empty.
pub(super) fn unset(variable: &str) -> String {
    format!("the environment variable {variable} is unset or empty")
}
