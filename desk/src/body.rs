//! Bodies as the contracts take them: of the right type, of bounded size, with errors of ours (RFC 9457).

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// A JSON body. Errors name the field by its path and never show its value.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        if !has_type(&request, "application/json") {
            return Err(Error::MediaType("application/json"));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(body_error)?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let place = format!("line {} column {}", error.line(), error.column());
            Error::Malformed(match error.classify() {
                serde_json::error::Category::Data => {
                    // serde's own text quotes values; what it says about members is worth keeping.
                    let text = error.to_string();
                    match text
                        .split_once('`')
                        .filter(|_| text.starts_with("missing field") || text.starts_with("unknown field"))
                    {
                        Some((what, rest)) => {
                            format!("{what}`{}` at {place}", rest.split('`').next().unwrap_or_default())
                        }
                        None => format!("a member has a wrong type or value at {place}"),
                    }
                }
                _ => format!("the body is not JSON at {place}"),
            })
        })
    }
}

/// Whether the request says that its body is of `media`.
pub fn has_type(request: &Request, media: &str) -> bool {
    request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case(media))
}

/// What a body that could not be read means.
pub fn body_error(rejection: BytesRejection) -> Error {
    if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
        Error::TooLarge(LARGEST)
    } else {
        Error::Malformed("the body did not arrive whole".to_owned())
    }
}

/// The largest body, in bytes, of all routes but the ledger's.
pub const LARGEST: usize = 2 * 1024 * 1024;
