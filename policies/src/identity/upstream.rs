//! What LangGraph is told about the caller, in place of the credential: headers, or an assertion signed by the gate.
//!
//! ```text
//! x-graphwarden-issuer: https://idp.example.com
//! x-graphwarden-subject: 7f3c
//! x-graphwarden-name: Zo%C3%AB O%27Brien
//! x-graphwarden-roles: analyst,pii-reader
//! ```
//!
//! Values are UTF-8, percent-encoded as in RFC 8187 section 3.2.1 but with the visible characters that
//! cannot confuse left alone: everything except letters, digits, space and ``-._~@:/+=`` is `%XX`. Lists are
//! such values joined by commas; a comma inside one is `%2C`. Any URL decoder that leaves `+` alone reads
//! them (Python: `urllib.parse.unquote`), and no claim can end a header or add an item to a list.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jwt_simple::algorithms::{Ed25519KeyPair, EdDSAKeyPairLike as _, HS256Key, MACLike as _};
use jwt_simple::claims::{Audiences, JWTClaims};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::config::{AssertionConfig, UpstreamConfig, UpstreamIdentity};
use super::introspection::unset;
use super::passage::Passage;
use super::{Actor, Identity, source};
use crate::policy::{At, Environment, Problems};

/// How long an assertion is valid, in seconds.
const ASSERTION_SECONDS: u64 = 60;

const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b' ')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@')
    .remove(b':')
    .remove(b'/')
    .remove(b'+')
    .remove(b'=');

/// What goes upstream.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    /// Headers with secrets; names in lower case.
    secrets: Vec<(String, Redacted)>,
    identity: Told,
    passage: Passage,
}

#[derive(Debug, Clone)]
enum Told {
    Nothing,
    Headers,
    Assertion(Box<Assertion>),
}

/// A secret that no Debug output shows.
#[derive(Clone)]
struct Redacted(String);

impl std::fmt::Debug for Redacted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

#[derive(Clone)]
struct Assertion {
    key: AssertionKey,
    issuer: String,
    audience: String,
    header: String,
}

impl std::fmt::Debug for Assertion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assertion").field("header", &self.header).finish_non_exhaustive()
    }
}

#[derive(Clone)]
enum AssertionKey {
    EdDsa(Ed25519KeyPair),
    Hs256(HS256Key),
}

/// What an assertion says beside the registered claims.
#[derive(Serialize)]
struct AboutCaller<'a> {
    /// The `iss` of the caller's own token.
    idp: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    roles: &'a [String],
    groups: &'a [String],
    actor: Actor,
}

impl Upstream {
    pub(super) fn compile(
        config: &UpstreamConfig,
        at: &At,
        environment: Environment<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let mut secrets = Vec::new();
        for (name, secret) in &config.headers {
            let at = at.member("headers").member(name);
            if !is_header_name(name) {
                problems.add(&at, "not the name of a header in lower case that the gate may set");
            }
            match secret.resolve(environment) {
                Some(value) if value.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
                    secrets.push((name.clone(), Redacted(value)));
                }
                Some(_) => problems.add(&at, format!("the value of {} is not visible ASCII", secret.env)),
                None => problems.add(&at, unset(&secret.env)),
            }
        }
        let passage = Passage::compile(&config.pass, &at.member("pass"), problems);
        let at_assertion = at.member("assertion");
        let identity = match (config.identity, &config.assertion) {
            (Some(UpstreamIdentity::Assertion), Some(assertion)) => {
                let assertion = Assertion::compile(assertion, &at_assertion, environment, problems)?;
                if config.headers.contains_key(&assertion.header) {
                    problems.add(&at_assertion.member("header"), "a secret goes into the same header");
                }
                Told::Assertion(Box::new(assertion))
            }
            (Some(UpstreamIdentity::Assertion), None) => {
                let hint = "{ algorithm: EdDSA, key: { env: NAME } }";
                problems.add_with_hint(&at_assertion, "an assertion needs an algorithm and a key", hint);
                return None;
            }
            (_, Some(_)) => {
                problems.add(&at_assertion, "it is used only with `identity: assertion`");
                return None;
            }
            (Some(UpstreamIdentity::Headers), None) => Told::Headers,
            (None, None) => Told::Nothing,
        };
        Some(Self { secrets, identity, passage })
    }

    /// Whether a caller's header of this name must not get through: because LangGraph would believe it, or because
    /// the gate sets it by itself.
    pub(super) fn stops(&self, name: &[u8]) -> bool {
        self.passage.stops(name) || self.sets(name)
    }

    fn sets(&self, name: &[u8]) -> bool {
        let assertion = match &self.identity {
            Told::Assertion(assertion) => Some(assertion.header.as_str()),
            Told::Nothing | Told::Headers => None,
        };
        let mut names = self.secrets.iter().map(|(name, _)| name.as_str()).chain(assertion);
        names.any(|own| source::same_name(own.as_bytes(), name))
    }

    /// For how many seconds the headers of an identity may be used again.
    pub(super) fn seconds_good(&self) -> u64 {
        match &self.identity {
            Told::Nothing | Told::Headers => u64::from(u32::MAX),
            Told::Assertion(_) => ASSERTION_SECONDS / 2,
        }
    }

    /// The headers to set.
    pub(super) fn headers(&self, identity: &Identity, now: u64) -> Vec<(String, Vec<u8>)> {
        let secrets = self.secrets.iter().map(|(name, value)| (name.clone(), value.0.clone().into_bytes()));
        let mut headers: Vec<_> = secrets.collect();
        match &self.identity {
            Told::Nothing => {}
            Told::Headers => tell(identity, &mut headers),
            // A key that was checked at configuration signs; should it not, LangGraph sees no identity
            // and refuses by itself.
            Told::Assertion(assertion) => headers.extend(assertion.header(identity, now)),
        }
        headers
    }
}

fn tell(identity: &Identity, headers: &mut Vec<(String, Vec<u8>)>) {
    let mut add = |name: &str, value: String| {
        headers.push((format!("x-graphwarden-{name}"), value.into_bytes()));
    };
    let actor = match identity.actor {
        Actor::Person => "person",
        Actor::Machine => "machine",
    };
    add("issuer", encode(&identity.issuer));
    add("subject", encode(&identity.subject));
    add("actor", actor.to_owned());
    if let Some(name) = &identity.name {
        add("name", encode(name));
    }
    if let Some(email) = &identity.email {
        add("email", encode(email));
    }
    for (name, list) in [("roles", &identity.roles), ("groups", &identity.groups)] {
        if !list.is_empty() {
            add(name, list.iter().map(|item| encode(item)).collect::<Vec<_>>().join(","));
        }
    }
}

fn encode(text: &str) -> String {
    let encoded = Cow::from(utf8_percent_encode(text, PLAIN));
    // White space at an end of a header is no part of it (RFC 9110 section 5.5).
    let inner = encoded.trim_matches(' ');
    if inner.len() == encoded.len() {
        return encoded.into_owned();
    }
    let leading = encoded.len() - encoded.trim_start_matches(' ').len();
    let trailing = encoded.len().saturating_sub(leading + inner.len());
    format!("{}{inner}{}", "%20".repeat(leading), "%20".repeat(trailing))
}

impl Assertion {
    fn compile(
        config: &AssertionConfig,
        at: &At,
        environment: Environment<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let header = config.header.clone().unwrap_or_else(|| "x-graphwarden-assertion".to_owned());
        let own = header.strip_prefix("x-graphwarden-").is_some_and(is_header_name);
        if !own && !is_header_name(&header) {
            problems
                .add(&at.member("header"), "not the name of a header in lower case that the gate may set");
        }
        let Some(secret) = config.key.resolve(environment) else {
            problems.add(&at.member("key"), unset(&config.key.env));
            return None;
        };
        let key = match config.algorithm.as_str() {
            "EdDSA" => ed25519(&secret).map(|key| {
                AssertionKey::EdDsa(match &config.key_id {
                    Some(id) => key.with_key_id(id),
                    None => key,
                })
            }),
            // RFC 7518 section 3.2: a key as long as the hash.
            "HS256" => (secret.len() >= 32).then(|| {
                let key = HS256Key::from_bytes(secret.as_bytes());
                AssertionKey::Hs256(match &config.key_id {
                    Some(id) => key.with_key_id(id),
                    None => key,
                })
            }),
            _ => {
                problems.add(&at.member("algorithm"), "neither EdDSA nor HS256");
                return None;
            }
        };
        if key.is_none() {
            let hint = "for EdDSA a PKCS #8 PEM or the base64 of a 32-byte seed, for HS256 at least 32 bytes";
            problems.add_with_hint(&at.member("key"), "not a key for the algorithm", hint);
        }
        Some(Self {
            key: key?,
            issuer: config.issuer.clone().unwrap_or_else(|| "graphwarden".to_owned()),
            audience: config.audience.clone().unwrap_or_else(|| "langgraph".to_owned()),
            header,
        })
    }

    fn header(&self, identity: &Identity, now: u64) -> Option<(String, Vec<u8>)> {
        let claims = JWTClaims {
            issued_at: Some(coarse(now)),
            expires_at: Some(coarse(now.saturating_add(ASSERTION_SECONDS))),
            invalid_before: None,
            issuer: Some(self.issuer.clone()),
            subject: Some(identity.subject.clone()),
            audiences: Some(Audiences::AsString(self.audience.clone())),
            jwt_id: None,
            nonce: None,
            custom: AboutCaller {
                idp: &identity.issuer,
                name: identity.name.as_deref(),
                email: identity.email.as_deref(),
                roles: &identity.roles,
                groups: &identity.groups,
                actor: identity.actor,
            },
        };
        let token = match &self.key {
            AssertionKey::EdDsa(key) => key.sign(claims),
            AssertionKey::Hs256(key) => key.authenticate(claims),
        }
        .ok()?;
        let scheme = if self.header == "authorization" { "Bearer " } else { "" };
        Some((self.header.clone(), format!("{scheme}{token}").into_bytes()))
    }
}

fn coarse(seconds: u64) -> jwt_simple::prelude::UnixTimeStamp {
    jwt_simple::prelude::UnixTimeStamp::from_secs(seconds)
}

fn ed25519(secret: &str) -> Option<Ed25519KeyPair> {
    if secret.contains("-----BEGIN") {
        return Ed25519KeyPair::from_pem(secret).ok();
    }
    let seed = STANDARD.decode(secret.trim()).ok()?;
    let seed = ed25519_compact::Seed::from_slice(&seed).ok()?;
    Ed25519KeyPair::from_bytes(&*ed25519_compact::KeyPair::from_seed(seed)).ok()
}

/// Lower-case names without meaning to Envoy or HTTP framing, and not the gate's own.
fn is_header_name(name: &str) -> bool {
    const FRAMING: [&str; 7] =
        ["host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "content-type"];
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !FRAMING.contains(&name)
        && !name.starts_with("x-graphwarden-")
        && !name.starts_with("x-envoy-")
}
