//! Signing in with OIDC: authorization code with PKCE (RFC 7636), state and nonce, then a session cookie.
//!
//! The state is bound to the browser by a cookie of its own, works once, and lasts ten minutes. The session
//! cookie holds 256 random bits; the database knows only their hash.

use axum::Router;
use axum::extract::{Form, FromRequestParts, Query, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreAuthenticationFlow, CoreClient};
use openidconnect::{
    AuthorizationCode, ClientId, ClientSecret, CsrfToken, Nonce, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope, TokenResponse,
};
use rand::RngCore;
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::Person;
use super::authority::Authority;
use crate::app::Desk;
use crate::error::Error;
use crate::pages::PageError;
use crate::store::{Event, Session, SignIn};

/// How long a sign-in may take, in milliseconds.
const SIGN_IN_MS: i64 = 10 * 60 * 1_000;

/// The routes of signing in and out.
pub fn router() -> Router<Desk> {
    Router::new()
        .route("/sign-in", get(begin))
        .route("/sign-in/callback", get(callback))
        .route("/sign-out", post(sign_out))
}

#[derive(Deserialize)]
struct Begin {
    #[serde(default)]
    return_to: Option<String>,
}

async fn begin(State(desk): State<Desk>, Query(begin): Query<Begin>) -> Result<Response, PageError> {
    let authority = desk.authority()?;
    let metadata = authority.metadata(std::time::Duration::from_secs(300)).await?;
    let client = CoreClient::from_provider_metadata(
        metadata,
        ClientId::new(authority.provider.client_id.clone()),
        authority.provider.client_secret.clone().map(ClientSecret::new),
    )
    .set_redirect_uri(redirect_url(&desk)?);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let mut request = client.authorize_url(
        CoreAuthenticationFlow::AuthorizationCode,
        || CsrfToken::new(random()),
        || Nonce::new(random()),
    );
    for scope in &authority.provider.scopes {
        request = request.add_scope(Scope::new(scope.clone()));
    }
    let (url, state, nonce) = request.set_pkce_challenge(challenge).url();
    let now = desk.clock.now();
    let sign_in = SignIn {
        nonce: nonce.secret().clone(),
        verifier: verifier.secret().clone(),
        return_to: local_path(begin.return_to.as_deref()),
        expires_at: now + SIGN_IN_MS,
    };
    desk.store.begin_sign_in(state.secret(), &sign_in, now).await?;
    let cookie = Cookie::SignIn.set(&desk, state.secret(), SIGN_IN_MS / 1_000);
    Ok(([(SET_COOKIE, cookie)], Redirect::to(url.as_str())).into_response())
}

#[derive(Deserialize)]
struct Callback {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

async fn callback(
    State(desk): State<Desk>,
    headers: HeaderMap,
    Query(callback): Query<Callback>,
) -> Result<Response, PageError> {
    let authority = desk.authority()?;
    let now = desk.clock.now();
    let state = callback.state.ok_or(Error::SignInFailed("the provider's answer carries no state"))?;
    let bound = Cookie::SignIn.read(&desk, &headers);
    if !bound.is_some_and(|bound| bool::from(bound.as_bytes().ct_eq(state.as_bytes()))) {
        return Err(
            Error::SignInFailed("this sign-in was not begun in this browser; please begin again").into()
        );
    }
    let sign_in =
        desk.store.take_sign_in(&state, now).await?.ok_or(Error::SignInFailed(
            "this sign-in took too long or was used already; please begin again",
        ))?;
    if callback.error.is_some() {
        return Err(Error::SignInFailed("the provider did not sign you in").into());
    }
    // RFC 9207: an answer by another issuer is not for us.
    if callback.iss.is_some_and(|issuer| issuer != authority.provider.issuer) {
        return Err(Error::SignInFailed("the answer came from another provider").into());
    }
    let code = callback.code.ok_or(Error::SignInFailed("the provider's answer carries no code"))?;
    let person = exchange(&desk, authority, code, &sign_in).await?;
    let secret = random();
    let lasts = i64::try_from(desk.settings.session.as_millis()).unwrap_or(0);
    let session = Session { person, csrf: random(), expires_at: now + lasts };
    desk.store.begin_session(&secret, &session, now).await?;
    desk.store.record(&Event { person: Some(&session.person), ..Event::new("sign_in") }, now).await?;
    let mut response = Redirect::to(&sign_in.return_to).into_response();
    response.headers_mut().append(SET_COOKIE, Cookie::Session.set(&desk, &secret, lasts / 1_000));
    response.headers_mut().append(SET_COOKIE, Cookie::SignIn.set(&desk, "", 0));
    Ok(response)
}

/// Trades the code for an ID token and checks it, nonce included.
async fn exchange(
    desk: &Desk,
    authority: &Authority,
    code: String,
    sign_in: &SignIn,
) -> Result<Person, Error> {
    let metadata = authority.metadata(std::time::Duration::from_secs(300)).await?;
    let client = CoreClient::from_provider_metadata(
        metadata,
        ClientId::new(authority.provider.client_id.clone()),
        authority.provider.client_secret.clone().map(ClientSecret::new),
    )
    .set_redirect_uri(redirect_url(desk)?);
    let tokens = client
        .exchange_code(AuthorizationCode::new(code))
        .map_err(|error| Error::Provider(anyhow::anyhow!("no token endpoint: {error}")))?
        .set_pkce_verifier(PkceCodeVerifier::new(sign_in.verifier.clone()))
        .request_async(&authority.client())
        .await
        .map_err(|error| match error {
            openidconnect::RequestTokenError::ServerResponse(_) => {
                Error::SignInFailed("the provider refused the code; please begin again")
            }
            error => Error::Provider(anyhow::anyhow!("the token endpoint failed: {error}")),
        })?;
    let id_token = tokens.id_token().ok_or(Error::SignInFailed("the provider sent no ID token"))?;
    // The signature, issuer, audience and times are checked by the same code as in the gate, whose key ring
    // refreshes itself; the nonce (OIDC Core, section 3.1.3.7) is what a sign-in has to add.
    let token = id_token.to_string();
    let person = authority.person(&token, desk.clock.now()).await?;
    if !has_nonce(&token, &sign_in.nonce) {
        return Err(Error::SignInFailed("the ID token was not made for this sign-in"));
    }
    Ok(person)
}

/// Whether a token that was verified carries this nonce.
fn has_nonce(token: &str, nonce: &str) -> bool {
    #[derive(Deserialize)]
    struct Claims {
        nonce: String,
    }
    token
        .split('.')
        .nth(1)
        .and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok())
        .and_then(|payload| serde_json::from_slice::<Claims>(&payload).ok())
        .is_some_and(|claims| bool::from(claims.nonce.as_bytes().ct_eq(nonce.as_bytes())))
}

#[derive(Deserialize)]
struct SignOut {
    csrf: String,
}

async fn sign_out(
    State(desk): State<Desk>,
    signed_in: SignedIn,
    Form(form): Form<SignOut>,
) -> Result<Response, PageError> {
    signed_in.check(&form.csrf)?;
    desk.store.end_session(&signed_in.secret).await?;
    let event = Event { person: Some(&signed_in.session.person), ..Event::new("sign_out") };
    desk.store.record(&event, desk.clock.now()).await?;
    Ok(([(SET_COOKIE, Cookie::Session.set(&desk, "", 0))], Redirect::to("/")).into_response())
}

fn redirect_url(desk: &Desk) -> Result<RedirectUrl, Error> {
    let base = desk.settings.public_url.as_str().trim_end_matches('/');
    RedirectUrl::new(format!("{base}/sign-in/callback")).map_err(|error| Error::Internal(error.into()))
}

/// 256 random bits, base64url.
fn random() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A path of this desk, never another site's: one slash at the start, no backslash, nothing that a browser
/// would fold away.
fn local_path(path: Option<&str>) -> String {
    path.filter(|path| {
        path.starts_with('/')
            && !path.starts_with("//")
            && path.len() <= 512
            && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    })
    .unwrap_or("/")
    .to_owned()
}

/// The cookies of the desk.
#[derive(Clone, Copy)]
enum Cookie {
    Session,
    SignIn,
}

impl Cookie {
    /// Over https the name has the prefix that binds the cookie to this host (RFC 6265bis, section 4.1.3.2).
    const fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Self::Session, true) => "__Host-graphwarden",
            (Self::Session, false) => "graphwarden",
            (Self::SignIn, true) => "__Host-graphwarden-sign-in",
            (Self::SignIn, false) => "graphwarden-sign-in",
        }
    }

    fn set(self, desk: &Desk, value: &str, seconds: i64) -> HeaderValue {
        let secure = desk.settings.public_url.scheme() == "https";
        let text = format!(
            "{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{}",
            self.name(secure),
            if secure { "; Secure" } else { "" }
        );
        // The value is ours: base64url or empty.
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    fn read(self, desk: &Desk, headers: &HeaderMap) -> Option<String> {
        let name = self.name(desk.settings.public_url.scheme() == "https");
        headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(key, value)| *key == name && !value.is_empty())
            .map(|(_, value)| value.to_owned())
    }
}

/// Extracted where a browser is signed in; otherwise the person is sent to sign in and comes back.
pub struct SignedIn {
    /// Who, and what forms have to carry.
    pub session: Session,
    secret: String,
}

impl SignedIn {
    /// Checks that a form came from a page of this session.
    pub fn check(&self, csrf: &str) -> Result<(), Error> {
        if bool::from(csrf.as_bytes().ct_eq(self.session.csrf.as_bytes())) {
            Ok(())
        } else {
            Err(Error::Forged)
        }
    }
}

impl FromRequestParts<Desk> for SignedIn {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, desk: &Desk) -> Result<Self, PageError> {
        // Without a provider nobody can be signed in; say so instead of sending people in circles.
        desk.authority()?;
        if let Some(secret) = Cookie::Session.read(desk, &parts.headers)
            && let Some(session) = desk.store.session(&secret, desk.clock.now()).await?
        {
            return Ok(Self { session, secret });
        }
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        Err(PageError::sign_in(parts.method == axum::http::Method::GET, path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_back_only_to_paths_of_its_own() {
        assert_eq!(local_path(Some("/approvals/1?x=y")), "/approvals/1?x=y");
        for foreign in
            ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "", "/a b", "/\t/evil"]
        {
            assert_eq!(local_path(Some(foreign)), "/", "{foreign}");
        }
        assert_eq!(local_path(None), "/");
    }

    #[test]
    fn a_nonce_has_to_be_there_and_the_same() {
        let token = |claims: &str| format!("x.{}.y", URL_SAFE_NO_PAD.encode(claims));
        assert!(has_nonce(&token(r#"{"nonce":"n"}"#), "n"));
        for other in [r#"{"nonce":"m"}"#, "{}", r#"{"nonce":1}"#, "garbage"] {
            assert!(!has_nonce(&token(other), "n"), "{other}");
        }
    }
}
