//! One issuer of the policy, checked and ready for use.

use std::collections::HashSet;
use std::time::Duration;

use super::algorithm::Algorithm;
use super::config::{From, IssuerConfig, KeysConfig};
use super::introspection::Introspector;
use super::mapping::Mapping;
use super::ring::{IssuerId, KeySet, KeySetError};
use super::{json, jwk};
use crate::policy::{At, Environment, Problems, Span};

/// One issuer.
#[derive(Debug, Clone)]
pub(super) struct Issuer {
    pub(super) name: String,
    pub(super) audiences: HashSet<String>,
    pub(super) authorized_parties: HashSet<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) typ: Option<String>,
    pub(super) keys: Keys,
    pub(super) mapping: Mapping,
    pub(super) introspector: Option<Introspector>,
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone)]
pub(super) enum Keys {
    /// From the policy itself.
    Inline(KeySet),
    /// From the issuer, over HTTP.
    Remote(RemoteKeys),
    /// Another filter has them.
    Elsewhere,
}

/// Keys that the host has to fetch and to put into the [`super::KeyRing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteKeys {
    /// Whose keys.
    pub issuer: IssuerId,
    /// The Envoy cluster to ask.
    pub cluster: String,
    /// The `:authority` to send.
    pub authority: String,
    /// The path of the JWK Set, or of the discovery document where `discover` is set.
    pub path: String,
    /// How long a set is used before it is fetched again.
    pub refresh: Duration,
    /// How long a request may take.
    pub timeout: Duration,
    /// Whether `path` is a discovery document; its answer goes to [`super::Authenticator::discovered`].
    pub discover: bool,
    /// The cluster of the JWK Set that was discovered, where that is on another host.
    pub jwks_cluster: Option<String>,
}

impl Issuer {
    pub(super) fn compile(
        id: IssuerId,
        config: &IssuerConfig,
        from: From,
        at: &At,
        environment: Environment<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        if config.issuer.is_empty() {
            problems.add(&at.member("issuer"), "the issuer is empty");
        }
        // RFC 8725 section 3.9: a token for somebody else must not be taken.
        if config.audiences.is_empty() || config.audiences.iter().any(String::is_empty) {
            problems.add_with_hint(
                &at.member("audiences"),
                "at least one audience is needed and none may be empty",
                "the `aud` that the issuer puts into tokens for LangGraph",
            );
        }
        let algorithms = algorithms(config, from, at, problems);
        let keys = keys(id, config, from, at, problems);
        let mapping = Mapping::compile(&config.claims, &config.mappings, at, problems);
        let introspector = match &config.introspection {
            None => None,
            Some(_) if from == From::JwtAuthn => {
                let at = at.member("introspection");
                problems
                    .add(&at, "the token itself is needed to ask about it, so not with `from: jwt_authn`");
                return None;
            }
            Some(introspection) => {
                let authority = authority_of(&config.issuer);
                let at = at.member("introspection");
                Some(Introspector::compile(introspection, authority, &at, environment, problems)?)
            }
        };
        Some(Self {
            name: config.issuer.clone(),
            audiences: config.audiences.iter().cloned().collect(),
            authorized_parties: config.authorized_parties.iter().cloned().collect(),
            algorithms: algorithms?,
            typ: config.typ.clone(),
            keys: keys?,
            mapping: mapping?,
            introspector,
        })
    }
}

fn algorithms(config: &IssuerConfig, from: From, at: &At, problems: &mut Problems) -> Option<Vec<Algorithm>> {
    let at = at.member("algorithms");
    if config.algorithms.is_empty() && from == From::Token {
        problems.add_with_hint(&at, "the algorithms have to be named", "such as [RS256] or [ES256]");
        return None;
    }
    let mut algorithms = Vec::new();
    for (index, name) in config.algorithms.iter().enumerate() {
        match Algorithm::parse(name) {
            Some(algorithm) if algorithms.contains(&algorithm) => {
                problems.add(&at.index(index), "the algorithm is named twice");
            }
            Some(algorithm) => algorithms.push(algorithm),
            None => {
                let known: Vec<&str> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
                let hint = format!("one of {}", known.join(", "));
                problems.add_with_hint(&at.index(index), "not an accepted signature algorithm", hint);
            }
        }
    }
    (algorithms.len() == config.algorithms.len()).then_some(algorithms)
}

fn keys(id: IssuerId, config: &IssuerConfig, from: From, at: &At, problems: &mut Problems) -> Option<Keys> {
    let at = at.member("keys");
    let keys = match (&config.keys, from) {
        (None, From::JwtAuthn) => return Some(Keys::Elsewhere),
        (Some(_), From::JwtAuthn) => {
            problems.add(&at, "with `from: jwt_authn` the keys belong into Envoy's filter");
            return None;
        }
        (None, From::Token) => {
            let hint =
                "{ cluster: idp, path: /jwks.json }, { cluster: idp, discover: true } or { inline: {…} }";
            problems.add_with_hint(&at, "the issuer's keys are needed", hint);
            return None;
        }
        (Some(keys), From::Token) => keys,
    };
    let ways = [keys.inline.is_some(), keys.path.is_some(), keys.discover];
    if ways.iter().filter(|way| **way).count() != 1 {
        problems.add(&at, "exactly one of `inline`, `path` and `discover` is needed");
        return None;
    }
    match &keys.inline {
        Some(set) => inline(keys, set, &at, problems).map(Keys::Inline),
        None => remote(id, &config.issuer, keys, &at, problems).map(Keys::Remote),
    }
}

fn inline(keys: &KeysConfig, set: &serde_json::Value, at: &At, problems: &mut Problems) -> Option<KeySet> {
    if keys.cluster.is_some() || keys.refresh.is_some() || keys.jwks_cluster.is_some() {
        problems.add(at, "inline keys are not fetched, so no cluster and no refresh");
    }
    let at = at.member("inline");
    let bytes = serde_json::to_vec(set).ok()?;
    // Over the network a key that cannot be used is passed over; here somebody wrote it by hand.
    let entries = set.get("keys").and_then(serde_json::Value::as_array);
    for (index, entry) in entries.into_iter().flatten().enumerate() {
        let why = match json::parse_object(entry.to_string().as_bytes()) {
            Some(jwk) => jwk::Key::from_jwk(&jwk).err(),
            None => Some("it is not an object"),
        };
        if let Some(why) = why {
            problems.add(&at.member("keys").index(index), format!("the key cannot verify signatures: {why}"));
        }
    }
    match KeySet::parse(&bytes) {
        Ok(set) => Some(set),
        // Said above for each key.
        Err(KeySetError::NoUsableKey) if entries.is_some_and(|entries| !entries.is_empty()) => None,
        Err(error) => {
            problems.add(&at, error.to_string());
            None
        }
    }
}

fn remote(
    issuer: IssuerId,
    name: &str,
    keys: &KeysConfig,
    at: &At,
    problems: &mut Problems,
) -> Option<RemoteKeys> {
    let refresh = span(keys.refresh, 300, Duration::from_secs(10), Duration::from_secs(86_400));
    let timeout = span(keys.timeout, 5, Duration::from_millis(100), Duration::from_secs(60));
    if refresh.is_none() {
        problems.add(&at.member("refresh"), "not from 10s to 24h");
    }
    if timeout.is_none() {
        problems.add(&at.member("timeout"), "not from 100ms to 60s");
    }
    let cluster = keys.cluster.as_deref().filter(|cluster| !cluster.is_empty());
    if cluster.is_none() {
        problems.add_with_hint(
            &at.member("cluster"),
            "the keys need a cluster",
            "the name of an Envoy cluster",
        );
    }
    if keys.jwks_cluster.is_some() && !keys.discover {
        problems.add(&at.member("jwks_cluster"), "it is used only with `discover: true`");
    }
    let authority = keys.authority.as_deref().or_else(|| authority_of(name));
    if !authority.is_some_and(is_authority) {
        let hint = "the host that the issuer answers to, such as idp.example.com";
        problems.add_with_hint(
            &at.member("authority"),
            "the issuer is no URL, so an authority is needed",
            hint,
        );
    }
    let path = match &keys.path {
        Some(path) if is_path(path) => Some(path.clone()),
        Some(_) => {
            problems.add(&at.member("path"), "not an absolute path of visible ASCII characters");
            None
        }
        None => Some(discovery_path(name)),
    };
    Some(RemoteKeys {
        issuer,
        cluster: cluster?.to_owned(),
        authority: authority?.to_owned(),
        path: path?,
        refresh: refresh?,
        timeout: timeout?,
        discover: keys.discover,
        jwks_cluster: keys.jwks_cluster.clone(),
    })
}

/// OpenID Connect Discovery section 4: appended to the issuer's own path.
fn discovery_path(issuer: &str) -> String {
    let rest = issuer.split_once("://").map_or("", |(_, rest)| rest);
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    let slash = if path.is_empty() { "" } else { "/" };
    format!("{slash}{}/.well-known/openid-configuration", path.trim_end_matches('/'))
}

/// The host and port of a URL.
pub(super) fn authority_of(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    (matches!(scheme, "https" | "http") && is_authority(authority)).then_some(authority)
}

/// Whether a text can stand in `:authority`; user information cannot.
pub(super) fn is_authority(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_~:[]%".contains(&byte))
}

/// Whether a text can stand in `:path`.
pub(super) fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text.len() <= 2048
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// The span given, or so many seconds; `None` out of bounds.
pub(super) fn span(given: Option<Span>, seconds: u64, least: Duration, most: Duration) -> Option<Duration> {
    let span = given.map_or(Duration::from_secs(seconds), |span| span.0);
    (least..=most).contains(&span).then_some(span)
}
