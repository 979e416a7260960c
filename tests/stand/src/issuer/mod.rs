//! A development OIDC issuer: real discovery, keys, codes and signatures, and no passwords.
//!
//! It knows four people, and lets anyone sign in as any of them: so never run it where it is
//! believed. Beside the protocol (`pages`) it signs whatever claims a test asks for (`keys`), right
//! ones and hostile ones.

mod keys;
mod pages;
mod people;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::ports::{Port, bind, free_port};
use keys::Keys;
pub use people::{Person, claims_for, unix_now};

/// The audience that LangGraph's callers are given tokens for.
const AUDIENCE: &str = "langgraph";

/// The desk's client id: people's tokens are good for the desk's API too.
const DESK: &str = "graphwarden-desk";

/// What the pages and the tests share.
#[derive(Debug)]
struct State {
    url: String,
    keys: Mutex<Keys>,
    codes: Mutex<Vec<pages::Code>>,
    key_fetches: AtomicUsize,
    down: std::sync::atomic::AtomicBool,
}

/// The running issuer.
#[derive(Debug)]
pub struct Issuer {
    port: Port,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

impl Issuer {
    /// Starts an issuer on a free port.
    pub async fn start() -> Result<Self> {
        Self::start_on(free_port()?).await
    }

    /// Starts an issuer on this port.
    pub async fn start_on(port: Port) -> Result<Self> {
        let listener = bind(&port).await?;
        let state = Arc::new(State {
            url: format!("http://127.0.0.1:{}", port.number()),
            keys: Mutex::new(Keys::generate()?),
            codes: Mutex::default(),
            key_fetches: AtomicUsize::new(0),
            down: std::sync::atomic::AtomicBool::new(false),
        });
        let app = pages::app(Arc::clone(&state));
        let serving = tokio::spawn(async move {
            // Ends only with the task: axum's accept loop retries its errors.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { port, state, serving })
    }

    /// The issuer's identifier, which is also its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.state.url
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The audience of the tokens that [`Issuer::token`] gives.
    #[must_use]
    pub fn audience(&self) -> &'static str {
        AUDIENCE
    }

    /// The key set as published now.
    #[must_use]
    pub fn jwks(&self) -> Value {
        self.keys(|keys| keys.public())
    }

    /// How often the key set was fetched.
    #[must_use]
    pub fn key_fetches(&self) -> usize {
        self.state.key_fetches.load(Ordering::Relaxed)
    }

    /// From now on every page answers 503 (or serves again).
    pub fn set_down(&self, down: bool) {
        self.state.down.store(down, Ordering::Relaxed);
    }

    /// Retires the key and signs with a new one under a new `kid`.
    pub fn rotate(&self) {
        self.keys(Keys::rotate);
    }

    /// A good token of this person, for LangGraph and for the desk, valid for an hour.
    #[must_use]
    pub fn token(&self, person: Person) -> String {
        let mut claims = claims_for(person, self.url(), AUDIENCE);
        claims["aud"] = json!([AUDIENCE, DESK]);
        self.sign(&claims)
    }

    /// Any claims at all, signed with the current ES256 key.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        self.keys(|keys| keys.sign_es256(claims))
    }

    /// Any claims, signed with the RS256 key, which is made when first asked for and published since.
    pub fn sign_rs256(&self, claims: &Value) -> Result<String> {
        self.keys(|keys| keys.sign_rs256(claims))
    }

    /// Any claims under this header, as it stands, with a signature that is none.
    #[must_use]
    pub fn headed(&self, header: &Value, claims: &Value) -> String {
        // 64 bytes, as long as an ES256 signature.
        keys::compact(header, claims, &"A".repeat(86))
    }

    /// Claims under `alg: none`, without a signature.
    #[must_use]
    pub fn unsigned(&self, claims: &Value) -> String {
        keys::compact(&json!({"alg": "none", "typ": "JWT"}), claims, "")
    }

    /// Claims signed by a key of the same `kid` that this issuer never published.
    #[must_use]
    pub fn forged(&self, claims: &Value) -> String {
        self.keys(|keys| keys.sign_by_stranger(claims))
    }

    /// Claims under HS256 with the published key as the secret: the confusion attack of RFC 8725, 2.1.
    pub fn confused(&self, claims: &Value) -> Result<String> {
        self.keys(|keys| keys.sign_with_public_key_as_secret(claims))
    }

    fn keys<Out>(&self, work: impl FnOnce(&mut Keys) -> Out) -> Out {
        work(&mut self.state.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
