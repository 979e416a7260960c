//! The gateway's token: who holds it may ask for approvals and hand in evidence.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::Error;

/// The token's hash, so that comparing takes the same time whatever is presented.
#[derive(Clone)]
pub struct GatewayToken([u8; 32]);

impl GatewayToken {
    /// The token that gateways present.
    pub fn new(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

/// Extracted where a gateway has shown its token.
#[derive(Debug, Clone, Copy)]
pub struct Gateway;

impl<S> FromRequestParts<S> for Gateway
where
    GatewayToken: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let presented = bearer(parts).ok_or(Error::GatewayToken)?;
        let hash: [u8; 32] = Sha256::digest(presented.as_bytes()).into();
        if bool::from(hash.ct_eq(&GatewayToken::from_ref(state).0)) {
            Ok(Self)
        } else {
            Err(Error::GatewayToken)
        }
    }
}

/// The one bearer token of a request (RFC 6750, section 2.1); `None` where there is none or more than one.
pub fn bearer(parts: &Parts) -> Option<&str> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
}
