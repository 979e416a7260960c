//! The identity provider as the desk uses it: discovery, keys, and tokens that become people.
//!
//! Tokens are verified by `graphwarden_policies::identity`, the same code as in the gate. This module brings
//! the keys, over HTTP, and the time. The sign-in itself is in [`super::sign_in`].

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use graphwarden_policies::identity::{
    Actor, Authenticator, Config, Identity, IssuerId, KeyRing, MAX_KEY_SET_BYTES, NoNative, TokenCache,
};
use graphwarden_policies::policy::{At, Problems};
use openidconnect::core::CoreProviderMetadata;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse, IssuerUrl};
use serde_json::json;

use super::{Person, TokenMarks};
use crate::error::Error;
use crate::settings::Provider;

/// How long keys and metadata are used before they are fetched again.
const FRESH: Duration = Duration::from_secs(300);
/// Unknown keys make the desk fetch again, but not more often than this.
const PAUSE: Duration = Duration::from_secs(5);
/// How long the provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Verified tokens that are remembered.
const REMEMBERED: usize = 1_000;

/// The provider, and what was learnt from it.
pub struct Authority {
    /// Its settings.
    pub(super) provider: Provider,
    http: reqwest::Client,
    authenticator: Authenticator,
    issuer: IssuerId,
    keys: Mutex<(KeyRing, TokenCache)>,
    fetched: tokio::sync::Mutex<Option<(CoreProviderMetadata, Instant)>>,
}

impl Authority {
    /// Compiles the settings. The provider itself is asked when someone first needs it, so that the desk
    /// starts without it.
    pub fn new(provider: Provider) -> anyhow::Result<Self> {
        let config: Config = serde_json::from_value(json!({
            "issuers": [{
                "issuer": provider.issuer,
                "audiences": provider.audiences,
                "algorithms": provider.algorithms,
                // The desk fetches the keys itself; the cluster and path are never used.
                "keys": {"cluster": "provider", "path": "/"},
                "claims": {
                    "name": provider.name,
                    "email": provider.email,
                    "roles": provider.roles,
                    "groups": provider.groups,
                },
            }],
        }))?;
        let mut problems = Problems::new();
        let authenticator =
            Authenticator::compile(&config, &At::root().member("identity"), &|_| None, &mut problems)
                .with_context(|| format!("the settings of the provider are wrong: {problems}"))?;
        let issuer = authenticator.remote_keys().first().context("the provider has no keys")?.issuer;
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            // A provider that redirects could send the desk anywhere.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("graphwarden/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let keys = Mutex::new((authenticator.key_ring(), TokenCache::new(REMEMBERED)));
        Ok(Self { provider, http, authenticator, issuer, keys, fetched: tokio::sync::Mutex::new(None) })
    }

    /// The person behind a token. `now` is in milliseconds since the Unix epoch.
    pub async fn person(&self, token: &str, now: i64) -> Result<Person, Error> {
        self.metadata(FRESH).await?;
        let identity = match self.verify(token, now) {
            Err((reason, true)) => {
                // The provider may have changed its keys.
                self.metadata(PAUSE).await?;
                self.verify(token, now).map_err(|(retried, _)| Error::Token(retried)).inspect_err(|_| {
                    tracing::debug!(reason = reason.code(), "a token was refused with fresh keys too");
                })?
            }
            other => other.map_err(|(reason, _)| Error::Token(reason))?,
        };
        Person::of(&identity)
    }

    fn verify(
        &self,
        token: &str,
        now: i64,
    ) -> Result<std::sync::Arc<Identity>, (graphwarden_policies::reason::Reason, bool)> {
        let headers = [(b"authorization".to_vec(), format!("Bearer {token}").into_bytes())];
        let seconds = u64::try_from(now / 1_000).unwrap_or(0);
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let (ring, cache) = &mut *keys;
        self.authenticator
            .authenticate(&headers, ring, cache, &NoNative, seconds)
            .map_err(|refused| (refused.reason, refused.refetch.is_some()))
    }

    /// The provider's metadata, with its keys installed, no older than `age`. Where the provider cannot be
    /// asked, older ones do.
    pub(super) async fn metadata(&self, age: Duration) -> Result<CoreProviderMetadata, Error> {
        let mut fetched = self.fetched.lock().await;
        if let Some((metadata, at)) = fetched.as_ref()
            && at.elapsed() < age
        {
            return Ok(metadata.clone());
        }
        match self.fetch().await {
            Ok(metadata) => {
                *fetched = Some((metadata.clone(), Instant::now()));
                Ok(metadata)
            }
            Err(error) => match fetched.as_mut() {
                Some((metadata, at)) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the identity provider cannot be asked, its old keys are used"
                    );
                    // Try again after a pause, not with every request.
                    *at = Instant::now().checked_sub(FRESH.saturating_sub(PAUSE)).unwrap_or(*at);
                    Ok(metadata.clone())
                }
                None => Err(Error::Provider(error)),
            },
        }
    }

    async fn fetch(&self) -> anyhow::Result<CoreProviderMetadata> {
        let issuer = IssuerUrl::new(self.provider.issuer.clone())?;
        let metadata =
            CoreProviderMetadata::discover_async(issuer, &self.client()).await.context("discovery failed")?;
        let mut response =
            self.http.get(metadata.jwks_uri().url().clone()).send().await?.error_for_status()?;
        let mut jwks = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            jwks.extend_from_slice(&chunk);
            anyhow::ensure!(
                jwks.len() <= MAX_KEY_SET_BYTES,
                "the key set is larger than {MAX_KEY_SET_BYTES} bytes"
            );
        }
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.0.install(self.issuer, &jwks).context("the key set cannot be used")?;
        Ok(metadata)
    }

    /// The HTTP client as the `openidconnect` crate takes it.
    pub(super) fn client(&self) -> Client {
        Client::new(self.http.clone())
    }
}

/// An HTTP client for the `openidconnect` crate.
pub(crate) struct Client(reqwest::Client);

impl Client {
    /// Calls through `http`.
    pub(crate) const fn new(http: reqwest::Client) -> Self {
        Self(http)
    }
}

impl<'c> AsyncHttpClient<'c> for Client {
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, CallError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        let http = self.0.clone();
        Box::pin(async move {
            let response = http.execute(reqwest::Request::try_from(request)?).await?;
            let mut builder = axum::http::Response::builder().status(response.status());
            for (name, value) in response.headers() {
                builder = builder.header(name, value);
            }
            Ok(builder.body(response.bytes().await?.to_vec())?)
        })
    }
}

/// Why a call to the provider failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("the provider cannot be reached: {0}")]
    Transport(#[from] reqwest::Error),
    #[error("the provider's answer is malformed")]
    Malformed(#[from] axum::http::Error),
}

impl Person {
    /// The person of a verified identity. Machines are no people.
    fn of(identity: &Identity) -> Result<Self, Error> {
        if identity.actor == Actor::Machine {
            return Err(Error::Machine);
        }
        Ok(Self {
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            name: identity.name.clone(),
            email: identity.email.clone(),
            roles: identity.roles.clone(),
            groups: identity.groups.clone(),
            token: Some(TokenMarks {
                jti: identity.token.jti.clone(),
                iat: identity.token.iat,
                exp: identity.token.exp,
                alg: identity.token.alg.clone(),
                kid: identity.token.kid.clone(),
                sha256: identity.token.sha256.clone(),
            }),
        })
    }
}
