//! The issuer's pages: discovery, keys, "sign in as", and the token endpoint.
//!
//! Authorization code with PKCE (RFC 7636, S256 only; a client that sends no challenge is served
//! too, as confidential clients do), client credentials (RFC 6749, 4.4) and userinfo.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use axum::extract::{Form, Query, Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::people::{Person, claims_for, unix_now};
use super::{AUDIENCE, State};

/// A code that was given out and not used yet.
#[derive(Clone, Debug)]
pub(super) struct Code {
    code: String,
    person: Person,
    request: Authorize,
}

/// The query of an authorization request.
#[derive(Clone, Debug, Deserialize)]
struct Authorize {
    client_id: String,
    redirect_uri: String,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    code_challenge: Option<String>,
    /// Whom to sign in as; the page asks when it is absent.
    #[serde(default)]
    person: Option<String>,
}

/// The form of a token request.
#[derive(Debug, Deserialize)]
struct TokenForm {
    grant_type: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    code_verifier: Option<String>,
    #[serde(default)]
    redirect_uri: Option<String>,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    audience: Option<String>,
}

type StateOf = Shared<Arc<State>>;

pub(super) fn app(state: Arc<State>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/jwks.json", get(keys))
        .route("/authorize", get(authorize))
        .route("/token", post(token))
        .route("/userinfo", get(userinfo))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), refuse_while_down))
        .with_state(state)
}

async fn refuse_while_down(Shared(state): StateOf, request: Request, next: Next) -> Response {
    if state.down.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "down on request of the test").into_response();
    }
    next.run(request).await
}

async fn discovery(Shared(state): StateOf) -> Json<Value> {
    let url = &state.url;
    Json(json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/userinfo"),
        "jwks_uri": format!("{url}/jwks.json"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "client_credentials"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "RS256"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "scopes_supported": ["openid", "profile", "email"],
    }))
}

async fn keys(Shared(state): StateOf) -> Json<Value> {
    state.key_fetches.fetch_add(1, Ordering::Relaxed);
    Json(state.keys.lock().unwrap_or_else(PoisonError::into_inner).public())
}

async fn authorize(Shared(state): StateOf, Query(request): Query<Authorize>) -> Response {
    let Some(person) = request.person.as_deref().and_then(Person::of_role) else {
        return Html(sign_in_page(&request)).into_response();
    };
    let code = Uuid::new_v4().to_string();
    let mut back = request.redirect_uri.clone();
    back.push(if back.contains('?') { '&' } else { '?' });
    back.push_str(&format!("code={code}"));
    if let Some(given) = &request.state {
        back.push_str(&format!("&state={}", escaped(given)));
    }
    back.push_str(&format!("&iss={}", escaped(&state.url)));
    state.codes.lock().unwrap_or_else(PoisonError::into_inner).push(Code { code, person, request });
    Redirect::to(&back).into_response()
}

fn sign_in_page(request: &Authorize) -> String {
    let mut query =
        format!("client_id={}&redirect_uri={}", escaped(&request.client_id), escaped(&request.redirect_uri));
    for (name, value) in
        [("state", &request.state), ("nonce", &request.nonce), ("code_challenge", &request.code_challenge)]
    {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", escaped(value)));
        }
    }
    let people: String = Person::ALL
        .into_iter()
        .map(|person| {
            let (role, name) = (person.role(), person.name());
            format!(r#"<li><a href="/authorize?{query}&amp;person={role}"><b>{name}</b><span>{role}</span></a></li>"#)
        })
        .collect();
    format!(
        r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in as</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body{{font:16px/1.5 system-ui,sans-serif;margin:12vh auto;max-width:24rem;padding:0 1rem;color:#1c2330;background:#f6f7f9}}
h1{{font-size:1.3rem}}ul{{list-style:none;padding:0}}a{{display:flex;justify-content:space-between;padding:.8rem 1rem;margin:.5rem 0;
background:#fff;border:1px solid #d5dae2;border-radius:.5rem;color:inherit;text-decoration:none}}a:hover,a:focus{{border-color:#2456c5}}
span{{color:#5a6473}}p{{color:#5a6473;font-size:.9rem}}</style></head><body>
<main><h1>Sign in as</h1><ul>{people}</ul><p>A development issuer: no password, no secrets.</p></main></body></html>"#
    )
}

async fn token(Shared(state): StateOf, headers: HeaderMap, Form(form): Form<TokenForm>) -> Response {
    match form.grant_type.as_str() {
        "authorization_code" => by_code(&state, &form),
        "client_credentials" => by_credentials(&state, &headers, &form),
        _ => refused("unsupported_grant_type"),
    }
}

fn by_code(state: &State, form: &TokenForm) -> Response {
    let mut codes = state.codes.lock().unwrap_or_else(PoisonError::into_inner);
    // A code is good for one try, whatever comes of it (RFC 6749, 4.1.2).
    let Some(position) = codes.iter().position(|known| Some(&known.code) == form.code.as_ref()) else {
        return refused("invalid_grant");
    };
    let given = codes.swap_remove(position);
    drop(codes);
    let same_place = form.redirect_uri.as_ref().is_none_or(|uri| *uri == given.request.redirect_uri);
    let proven = given.request.code_challenge.as_ref().is_none_or(|challenge| {
        let hash = form.code_verifier.as_ref().map(|verifier| Sha256::digest(verifier.as_bytes()));
        hash.is_some_and(|hash| URL_SAFE_NO_PAD.encode(hash) == *challenge)
    });
    if !same_place || !proven {
        return refused("invalid_grant");
    }
    let access = claims_for(given.person, &state.url, form.audience.as_deref().unwrap_or(AUDIENCE));
    let mut id = claims_for(given.person, &state.url, &given.request.client_id);
    if let (Some(members), Some(nonce)) = (id.as_object_mut(), &given.request.nonce) {
        members.insert("nonce".to_owned(), json!(nonce));
    }
    let keys = state.keys.lock().unwrap_or_else(PoisonError::into_inner);
    answer(&json!({
        "access_token": keys.sign_es256(&access),
        "id_token": keys.sign_es256(&id),
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "openid profile email",
    }))
}

/// A machine's token: any client may have one, under its own name and without a person's claims.
fn by_credentials(state: &State, headers: &HeaderMap, form: &TokenForm) -> Response {
    let Some(client) = form.client_id.clone().or_else(|| basic_user(headers)) else {
        return refused("invalid_client");
    };
    let now = unix_now();
    let claims = json!({
        "iss": state.url, "sub": client, "client_id": client, "azp": client,
        "aud": form.audience.as_deref().unwrap_or(AUDIENCE),
        "iat": now, "exp": now + 3600, "jti": Uuid::new_v4().to_string(), "roles": ["service"],
    });
    let keys = state.keys.lock().unwrap_or_else(PoisonError::into_inner);
    answer(&json!({"access_token": keys.sign_es256(&claims), "token_type": "Bearer", "expires_in": 3600}))
}

/// The user of `Authorization: Basic`.
fn basic_user(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    Some(pair.split_once(':')?.0.to_owned())
}

/// The claims of the bearer, read without a check: whoever holds a token of ours may read it.
async fn userinfo(headers: HeaderMap) -> Response {
    let claims = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer ")?.split('.').nth(1).map(str::to_owned))
        .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    match claims {
        Some(claims) => Json(claims).into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

fn answer(body: &Value) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn refused(error: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response()
}

/// Percent-encoding of a query value (RFC 3986, 2.3: unreserved characters stay).
fn escaped(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
