//! People at the API: an OIDC token as bearer.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::Person;
use crate::app::Desk;
use crate::error::Error;
use crate::gateway::bearer;

/// Extracted where a request carries a person's token.
#[derive(Debug)]
pub struct Caller(pub Person);

impl FromRequestParts<Desk> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, desk: &Desk) -> Result<Self, Error> {
        let authority = desk.authority()?;
        let token = bearer(parts).ok_or(Error::SignIn)?;
        Ok(Self(authority.person(token, desk.clock.now()).await?))
    }
}
