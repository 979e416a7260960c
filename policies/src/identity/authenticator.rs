//! The compiled section `identity`: from a request's headers to a verified [`Identity`], or a reason why not.
//!
//! Order of use: [`Authenticator::compile`] and [`Authenticator::key_ring`] at configuration; the host
//! fetches [`Authenticator::remote_keys`] (through [`Authenticator::discovered`] where they say so) and
//! puts them into the ring; [`Authenticator::authenticate`] for each request, or, where
//! [`Authenticator::origin`] says so, [`Authenticator::authenticate_payload`]; then
//! [`Authenticator::introspection`]; [`Authenticator::strip`] and [`Authenticator::upstream_headers`]
//! for what goes on. What is fetched, when and by whom is the host's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::cache::TokenCache;
use super::config::{Config, From};
use super::deny::Deny;
use super::discovery::{self, DiscoveryError};
use super::issuer::{Issuer, Keys, RemoteKeys, span};
use super::native::NativeVerifier;
use super::refetch::Missing;
use super::refusal::{Refusal, Refused};
use super::ring::{IssuerId, KeyRing};
use super::source::{self, Sources};
use super::token::{Header, MAX_TOKEN_BYTES, Token, typ_is};
use super::upstream::Upstream;
use super::version::Version;
use super::{Identity, TokenFacts, claims, json, signature};
use crate::evidence::sha256_hex;
use crate::policy::{At, Environment, Problems};
use crate::reason::Reason;

/// Where jwt_authn leaves payloads.
const JWT_AUTHN: &str = "envoy.filters.http.jwt_authn";

/// The compiled section `identity`.
#[derive(Debug, Clone)]
pub struct Authenticator {
    issuers: Vec<Issuer>,
    by_name: HashMap<String, IssuerId>,
    leeway: u64,
    origin: Origin,
    pub(super) sources: Sources,
    deny: Deny,
    upstream: Upstream,
    version: Version,
}

/// Who verifies tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This gate, from the request's headers: call [`Authenticator::authenticate`].
    Token,
    /// Envoy's jwt_authn: read the payload from dynamic metadata and call
    /// [`Authenticator::authenticate_payload`].
    JwtAuthn {
        /// The metadata's namespace.
        namespace: String,
        /// The key in it.
        key: String,
    },
}

impl Authenticator {
    /// Checks a section and adds what is wrong with it to `problems`; `None` if anything is.
    pub fn compile(
        config: &Config,
        at: &At,
        environment: Environment<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let before = problems.iter().count();
        let at_issuers = at.member("issuers");
        if config.issuers.is_empty() {
            problems.add(&at_issuers, "at least one issuer is needed");
        }
        let mut by_name = HashMap::new();
        let mut issuers = Vec::new();
        for (index, issuer) in config.issuers.iter().enumerate() {
            let at = at_issuers.index(index);
            if by_name.insert(issuer.issuer.clone(), IssuerId(index)).is_some() {
                problems.add(&at.member("issuer"), "the issuer is already in the list");
            }
            issuers.extend(Issuer::compile(IssuerId(index), issuer, config.from, &at, environment, problems));
        }
        let leeway = span(config.leeway, 30, Duration::ZERO, Duration::from_secs(300));
        if leeway.is_none() {
            problems.add(&at.member("leeway"), "more than 300s");
        }
        let origin = origin(config, at, problems);
        check_sources(config, at, problems);
        let upstream = Upstream::compile(&config.upstream, &at.member("upstream"), environment, problems);
        if problems.iter().count() > before {
            return None;
        }
        Some(Self {
            issuers,
            by_name,
            leeway: leeway?.as_secs(),
            origin: origin?,
            sources: Sources::new(&config.sources),
            deny: Deny::new(&config.deny),
            upstream: upstream?,
            version: Version::new(),
        })
    }

    /// Who verifies tokens, and so which of the two `authenticate` calls to make.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// How many issuers the policy has; [`IssuerId::index`] is below it.
    pub fn issuer_count(&self) -> usize {
        self.issuers.len()
    }

    /// The `iss` of an issuer.
    pub fn issuer_name(&self, issuer: IssuerId) -> Option<&str> {
        self.issuers.get(issuer.0).map(|issuer| issuer.name.as_str())
    }

    /// The key sets that the host has to fetch, one for each issuer whose keys are not in the policy.
    pub fn remote_keys(&self) -> Vec<RemoteKeys> {
        self.issuers
            .iter()
            .filter_map(|issuer| match &issuer.keys {
                Keys::Remote(remote) => Some(remote.clone()),
                Keys::Inline(_) | Keys::Elsewhere => None,
            })
            .collect()
    }

    /// Where the keys are, according to the issuer's discovery document.
    ///
    /// # Errors
    /// Where the document is not sound or is another issuer's; the keys installed before stay.
    pub fn discovered(&self, issuer: IssuerId, document: &[u8]) -> Result<RemoteKeys, DiscoveryError> {
        let found = self.issuers.get(issuer.0).ok_or(DiscoveryError::UnknownIssuer)?;
        match &found.keys {
            Keys::Remote(remote) if remote.discover => discovery::follow(remote, &found.name, document),
            Keys::Remote(_) | Keys::Inline(_) | Keys::Elsewhere => Err(DiscoveryError::UnknownIssuer),
        }
    }

    /// A ring with the keys that are in the policy.
    pub fn key_ring(&self) -> KeyRing {
        let mut ring = KeyRing::empty(self.issuers.len());
        for (index, issuer) in self.issuers.iter().enumerate() {
            if let Keys::Inline(set) = &issuer.keys {
                ring.place(IssuerId(index), set.clone());
            }
        }
        ring
    }

    /// Ties a request to a verified caller.
    ///
    /// `headers` are all request headers in order, `now` is seconds since the Unix epoch.
    ///
    /// # Errors
    /// With the reason; [`Refused::refetch`] where fresher keys may change it. With
    /// `from: jwt_authn` always: there, nothing in a header can be an identity.
    pub fn authenticate(
        &self,
        headers: &[(Vec<u8>, Vec<u8>)],
        keys: &KeyRing,
        cache: &mut TokenCache,
        native: &dyn NativeVerifier,
        now: u64,
    ) -> Result<Arc<Identity>, Refused> {
        if self.origin != Origin::Token {
            return Err(Refusal::new(
                Reason::TokenMissing,
                "the policy takes identities from jwt_authn alone",
            )
            .into());
        }
        let token = self.sources.token(headers)?;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::new(Reason::TokenMalformed, "the token has more than 16 KiB").into());
        }
        self.remembered(token, keys, cache, now, || self.verify(token, keys, native, now))
    }

    /// What is known of these bytes, or else what `find` finds, which is kept.
    fn remembered(
        &self,
        bytes: &[u8],
        keys: &KeyRing,
        cache: &mut TokenCache,
        now: u64,
        find: impl FnOnce() -> Result<Identity, Refused>,
    ) -> Result<Arc<Identity>, Refused> {
        cache.keep_only(&self.version, keys.version());
        let mark = cache.mark(bytes);
        if let Some(known) = cache.find(mark, now) {
            return known;
        }
        let found = find().map(Arc::new);
        match &found {
            Ok(identity) => cache.keep_good(mark, Arc::clone(identity), identity.token.exp, now),
            // These end by themselves: the date comes, the keys come.
            Err(Refused { reason: Reason::TokenNotYetValid | Reason::KeysUnavailable, .. }) => {}
            Err(refused) => cache.keep_bad(mark, *refused, now),
        }
        found
    }

    /// Ties a request to the caller that Envoy's jwt_authn verified. `payload` is the JSON of the claims,
    /// from dynamic metadata and from nowhere else: a header must never come here.
    ///
    /// # Errors
    /// With the reason; also where the policy is not `from: jwt_authn`.
    pub fn authenticate_payload(
        &self,
        payload: &[u8],
        keys: &KeyRing,
        cache: &mut TokenCache,
        now: u64,
    ) -> Result<Arc<Identity>, Refused> {
        if self.origin == Origin::Token {
            return Err(
                Refusal::new(Reason::Internal, "the policy does not take identities from jwt_authn").into()
            );
        }
        if payload.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::new(Reason::TokenMalformed, "the payload has more than 16 KiB").into());
        }
        self.remembered(payload, keys, cache, now, || {
            let map = json::parse_object(payload).ok_or(Refusal::new(
                Reason::TokenMalformed,
                "the payload is not a JSON object or repeats a member",
            ))?;
            let (_, issuer) = self.issuer_of(&map)?;
            Ok(self.identity(issuer, map, payload, JWT_AUTHN, None, now)?)
        })
    }

    /// The caller that a token with these claims would make. What a token needs and the claims leave out
    /// (`iss`, `aud`, `exp`) is taken from the first issuer of the policy, or the one that `iss` names.
    /// For tools that try a policy out: nothing is verified, so this must never meet a request.
    ///
    /// # Errors
    /// As [`Self::authenticate`], without those of signatures.
    pub fn suppose(&self, mut claims: Map<String, Value>, now: u64) -> Result<Arc<Identity>, Refused> {
        if let Some(first) = self.issuers.first() {
            claims.entry("iss").or_insert_with(|| Value::from(first.name.clone()));
        }
        let (_, issuer) = self.issuer_of(&claims)?;
        if let Some(audience) = issuer.audiences.iter().min() {
            claims.entry("aud").or_insert_with(|| Value::from(audience.clone()));
        }
        claims.entry("exp").or_insert_with(|| Value::from(now.saturating_add(3600)));
        Ok(Arc::new(self.identity(issuer, claims, b"", "none", None, now)?))
    }

    /// The payload of a token whose signature verifies, whatever its claims say of time and audience.
    /// For tools: it answers "is this from that issuer?", never "may this pass?".
    ///
    /// # Errors
    /// With the reason.
    pub fn verify_signature(
        &self,
        token: &[u8],
        keys: &KeyRing,
        native: &dyn NativeVerifier,
    ) -> Result<Vec<u8>, Refused> {
        let token = Token::parse(token)?;
        let (id, issuer) = self.issuer_of(&token.claims()?)?;
        check_signature(&token, id, issuer, keys, native)?;
        Ok(token.payload)
    }

    /// Whether this request header must not go upstream: credentials wherever a client may put them,
    /// `x-auth-scheme`, the gate's own `x-graphwarden-*`, what the policy sets by itself, and every `x-*` that the
    /// policy does not let through, because LangGraph may hand those to graphs as configuration. Where a
    /// cookie is a token source that is the whole Cookie header; [`Self::cookies_to_keep`] gives the rest
    /// of it to put back.
    pub fn strip(&self, name: &[u8]) -> bool {
        source::is_private(name)
            || self.upstream.stops(name)
            || (self.sources.cookie.is_some() && source::same_name(name, b"cookie"))
    }

    /// What of a Cookie header may go upstream: all but the cookie that is a token source. `None` where
    /// nothing is left, or where no cookie is a source and the header was not to be stripped at all.
    pub fn cookies_to_keep(&self, value: &[u8]) -> Option<Vec<u8>> {
        source::cookies_without(value, self.sources.cookie.as_deref()?)
    }

    /// The headers to set upstream: LangGraph's own key, and the identity as the policy has it told.
    /// `now` is seconds since the Unix epoch. `cache` is the one that the identity was found with: it keeps them, an
    /// assertion for half of the time that it is valid.
    pub fn upstream_headers(
        &self,
        identity: &Identity,
        cache: &mut TokenCache,
        now: u64,
    ) -> Arc<[(String, Vec<u8>)]> {
        let mark = cache.mark(identity.token.sha256.as_bytes());
        if let Some(told) = cache.find_told(mark, now) {
            return told;
        }
        let told: Arc<[_]> = self.upstream.headers(identity, now).into();
        let exp = u64::try_from(identity.token.exp).unwrap_or(0);
        let until = now.saturating_add(self.upstream.seconds_good()).min(exp);
        cache.keep_told(mark, Arc::clone(&told), until, now);
        told
    }

    pub(super) fn issuer_named(&self, name: &str) -> Option<(IssuerId, &Issuer)> {
        let id = *self.by_name.get(name)?;
        Some((id, self.issuers.get(id.0)?))
    }

    fn issuer_of(&self, map: &Map<String, Value>) -> Result<(IssuerId, &Issuer), Refusal> {
        self.issuer_named(claims::issuer(map)?)
            .ok_or(Refusal::new(Reason::TokenIssuer, "the issuer is not in the policy"))
    }

    fn verify(
        &self,
        bytes: &[u8],
        keys: &KeyRing,
        native: &dyn NativeVerifier,
        now: u64,
    ) -> Result<Identity, Refused> {
        let token = Token::parse(bytes)?;
        let map = token.claims()?;
        let (id, issuer) = self.issuer_of(&map)?;
        check_signature(&token, id, issuer, keys, native).map_err(|refused| {
            // No key could make this token pass, so none is fetched for it.
            let hopeless = refused.reason != Reason::KeysUnavailable
                && claims::check(&map, issuer, self.leeway, now).is_err();
            if hopeless { Refused { refetch: None, ..refused } } else { refused }
        })?;
        let Header { alg, kid, typ, .. } = token.header;
        if issuer.typ.as_deref().is_some_and(|wanted| !typ_is(typ.as_deref(), wanted)) {
            return Err(Refusal::new(Reason::TokenClaims, "the header's typ is not the issuer's").into());
        }
        Ok(self.identity(issuer, map, bytes, &alg, kid, now)?)
    }

    fn identity(
        &self,
        issuer: &Issuer,
        map: Map<String, Value>,
        bytes: &[u8],
        alg: &str,
        kid: Option<String>,
        now: u64,
    ) -> Result<Identity, Refusal> {
        let checked = claims::check(&map, issuer, self.leeway, now)?;
        self.deny.check(checked.jti.as_deref(), checked.sid.as_deref(), &map)?;
        let token = TokenFacts {
            jti: checked.jti,
            iat: checked.iat,
            exp: checked.exp,
            alg: alg.to_owned(),
            kid,
            sha256: sha256_hex(bytes),
        };
        let identity = issuer.mapping.identity(&issuer.name, map, token)?;
        self.deny.check_subject(&identity.subject)?;
        Ok(identity)
    }
}

fn check_signature(
    token: &Token<'_>,
    id: IssuerId,
    issuer: &Issuer,
    keys: &KeyRing,
    native: &dyn NativeVerifier,
) -> Result<(), Refused> {
    let algorithm = token.header.algorithm;
    if !issuer.algorithms.contains(&algorithm) {
        return Err(
            Refusal::new(Reason::TokenAlgorithm, "the algorithm is not one that the issuer may use").into()
        );
    }
    let remote = matches!(issuer.keys, Keys::Remote(_)).then_some(id);
    let kid = token.header.kid.as_deref();
    let Some(candidates) = keys.candidates(id, kid, algorithm) else {
        let detail = "the issuer's keys have not been fetched yet";
        return Err(Refused { reason: Reason::KeysUnavailable, detail, refetch: remote.map(Missing::any) });
    };
    if candidates.is_empty() {
        let detail = "no key of the issuer has the token's kid and fits its algorithm";
        let missing = |id| kid.map_or(Missing::any(id), |kid| Missing::kid(id, kid));
        let refetch = if keys.has_kid(id, kid) { None } else { remote.map(missing) };
        return Err(Refused { reason: Reason::TokenKeyUnknown, detail, refetch });
    }
    if candidates
        .into_iter()
        .any(|key| signature::verify(key, algorithm, &token.signature, token.signed, native))
    {
        return Ok(());
    }
    // Without a kid, a key that is not here yet looks like a bad signature.
    let refetch = if kid.is_none() { remote.map(Missing::any) } else { None };
    Err(Refused { reason: Reason::TokenSignature, detail: "the signature does not verify", refetch })
}

fn origin(config: &Config, at: &At, problems: &mut Problems) -> Option<Origin> {
    let at = at.member("jwt_authn");
    match (config.from, &config.jwt_authn) {
        (From::Token, None) => Some(Origin::Token),
        (From::Token, Some(_)) => {
            problems.add(&at, "it is used only with `from: jwt_authn`");
            None
        }
        (From::JwtAuthn, None) => {
            let hint = "{ key: PAYLOAD }, with the value of payload_in_metadata in Envoy's filter";
            problems.add_with_hint(&at, "the place of the payload is needed", hint);
            None
        }
        (From::JwtAuthn, Some(place)) => {
            if place.key.is_empty() {
                problems.add(&at.member("key"), "the key is empty");
            }
            let namespace = place.namespace.clone().unwrap_or_else(|| JWT_AUTHN.to_owned());
            Some(Origin::JwtAuthn { namespace, key: place.key.clone() })
        }
    }
}

fn check_sources(config: &Config, at: &At, problems: &mut Problems) {
    let at = at.member("sources");
    let sources = &config.sources;
    if !sources.authorization && !sources.x_api_key && sources.cookie.is_none() {
        problems.add(&at, "at least one source of tokens is needed");
    }
    // RFC 6265 section 4.1.1, a token of RFC 9110.
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    if sources.cookie.as_deref().is_some_and(|name| !is_name(name)) {
        problems.add(&at.member("cookie"), "not the name of a cookie");
    }
}
