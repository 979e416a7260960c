//! Everything that can go wrong in an answer: one enum owns the status and the public text (RFC 9457).
//!
//! ```json
//! {"type":"urn:graphwarden:problem:late_decision","title":"Conflict","status":409,"detail":"…","reason":"late_decision"}
//! ```

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use graphwarden_policies::reason::Reason;
use serde_json::json;

use crate::approvals::Status;

/// Why a request to the desk failed, grouped by who can mend it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    // The caller's to mend.
    /// The body, a parameter or a header is not what the contract asks for.
    #[error("{0}")]
    Malformed(String),
    /// The body has another media type.
    #[error("the content type has to be {0}")]
    MediaType(&'static str),
    /// The body is too large.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The gateway's token is missing or wrong.
    #[error("the gateway's token is missing or wrong")]
    GatewayToken,
    /// Nobody is signed in.
    #[error("sign in first")]
    SignIn,
    /// The person's token was refused.
    #[error("{}", .0.message())]
    Token(Reason),
    /// The token is a machine's.
    #[error("a machine cannot decide here; sign in as a person")]
    Machine,
    /// The form did not come from the desk's own page.
    #[error("the form has expired or did not come from this page; load the page again")]
    Forged,
    /// The signed-in person may not see this.
    #[error("this needs one of the roles {needed}; you have {have}")]
    Role {
        /// The roles that would do.
        needed: String,
        /// The roles that the person has.
        have: String,
    },
    /// The requester tried to decide about their own request.
    #[error("you made this request yourself; another person has to decide about it")]
    OwnRequest,
    /// The person is none of those who may decide.
    #[error("only {asked} may decide about this request; you have {have}")]
    NotApprover {
        /// Who may.
        asked: String,
        /// What the person has.
        have: String,
    },
    /// There is no such approval.
    #[error("there is no such approval")]
    UnknownApproval,
    /// There is no such page, record or route.
    #[error("there is nothing here")]
    NotFound,
    /// The route has no such method.
    #[error("this route has no such method")]
    Method,
    /// The approval has ended already.
    #[error("this request is {} already; your decision was not recorded", .0.word())]
    Late(Status),
    /// The person has decided already.
    #[error("you have decided about this request already; your first decision stands")]
    DecidedBefore,
    /// Nobody went past approvers here.
    #[error("nobody went past approvers here, so there is nothing to review")]
    NothingToReview,
    /// It was reviewed already.
    #[error("this was reviewed already; the first review stands")]
    ReviewedBefore,
    /// Not a standing grant.
    #[error("only a standing grant can be taken back")]
    NothingToRevoke,
    /// A message that is not a dead letter.
    #[error("only what was given up can be sent again")]
    NotDead,
    /// Standing grants are off.
    #[error("standing grants are turned off at this desk")]
    StandingOff,
    /// As many approvals of this person are open as may be.
    #[error("{0} requests of this person wait for approval already; decide or withdraw some")]
    TooManyOpen(u32),
    /// An exchange id came again with another request.
    #[error("this exchange id was used for another request")]
    ExchangeReused,
    /// A line contradicts what the ledger holds.
    #[error("line {seq} of chain {chain} {what}")]
    Contradiction {
        /// The chain.
        chain: String,
        /// The place in it.
        seq: u64,
        /// How it contradicts.
        what: &'static str,
    },
    /// The sign-in failed at the provider or on the way.
    #[error("{0}")]
    SignInFailed(&'static str),

    // The operator's to mend.
    /// No provider is configured, so nobody can sign in.
    #[error("no OIDC issuer is configured, so nobody can sign in here")]
    NoProvider,
    /// The provider cannot be reached or answers wrongly.
    #[error("the identity provider cannot be reached; try again in a moment")]
    Provider(#[source] anyhow::Error),
    /// The database refused.
    #[error("the database is not available; nothing was recorded")]
    Storage(#[source] anyhow::Error),
    /// The desk is stopping.
    #[error("the desk is stopping; try again in a moment")]
    Stopping,

    // Ours to mend.
    /// The desk itself is at fault.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

impl Error {
    /// The stable code: lower-case words joined by underscores.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::MediaType(_) => "media_type",
            Self::TooLarge(_) => "too_large",
            Self::GatewayToken => "gateway_token",
            Self::SignIn => "sign_in",
            Self::Token(reason) => reason.code(),
            Self::Machine => "machine",
            Self::Forged => "forged_form",
            Self::Role { .. } => "role_missing",
            Self::OwnRequest => "own_request",
            Self::NotApprover { .. } => "not_an_approver",
            Self::UnknownApproval => "unknown_approval",
            Self::NotFound => "not_found",
            Self::Method => "method",
            Self::Late(_) => "late_decision",
            Self::DecidedBefore => "decided_before",
            Self::NothingToReview => "nothing_to_review",
            Self::ReviewedBefore => "reviewed_before",
            Self::NothingToRevoke => "nothing_to_revoke",
            Self::NotDead => "not_a_dead_letter",
            Self::StandingOff => "standing_grants_off",
            Self::TooManyOpen(_) => Reason::ApprovalLimit.code(),
            Self::ExchangeReused => "exchange_reused",
            Self::Contradiction { .. } => "chain_contradiction",
            Self::SignInFailed(_) => "sign_in_failed",
            Self::NoProvider => "no_provider",
            Self::Provider(_) => "provider_unavailable",
            Self::Storage(_) => "storage_unavailable",
            Self::Stopping => "stopping",
            Self::Internal(_) => "internal",
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::SignInFailed(_) => StatusCode::BAD_REQUEST,
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::GatewayToken | Self::SignIn => StatusCode::UNAUTHORIZED,
            Self::Token(reason) => StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::UNAUTHORIZED),
            Self::Machine
            | Self::Forged
            | Self::Role { .. }
            | Self::OwnRequest
            | Self::StandingOff
            | Self::NotApprover { .. } => StatusCode::FORBIDDEN,
            Self::UnknownApproval | Self::NotFound | Self::NoProvider => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Late(_)
            | Self::DecidedBefore
            | Self::NotDead
            | Self::NothingToReview
            | Self::ReviewedBefore
            | Self::NothingToRevoke
            | Self::ExchangeReused
            | Self::Contradiction { .. } => StatusCode::CONFLICT,
            Self::TooManyOpen(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Provider(_) | Self::Storage(_) | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Logs what the public text leaves out; what is the caller's to mend is not logged.
    pub fn log(&self) {
        match self {
            Self::Provider(cause) => {
                tracing::warn!(error = format!("{cause:#}"), "the identity provider failed")
            }
            Self::Storage(cause) => tracing::error!(error = format!("{cause:#}"), "the database failed"),
            Self::Internal(cause) => tracing::error!(error = format!("{cause:#}"), "internal error"),
            _ => {}
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.log();
        let status = self.status();
        let body = Json(json!({
            "type": format!("urn:graphwarden:problem:{}", self.code()),
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "detail": self.to_string(),
            "reason": self.code(),
        }));
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = match &self {
                Self::Token(reason) => match reason.bearer_error() {
                    Some(error) => format!("Bearer error=\"{error}\""),
                    None => "Bearer".to_owned(),
                },
                _ => "Bearer".to_owned(),
            };
            if let Ok(challenge) = challenge.parse() {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Internal(error.into())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            // Our constraints and triggers hold what the code promises: to trip one is our bug.
            sqlx::Error::Database(inner) if inner.is_unique_violation() || inner.is_check_violation() => {
                Self::Internal(error.into())
            }
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) => {
                Self::Internal(error.into())
            }
            _ => Self::Storage(error.into()),
        }
    }
}

impl From<serde_json::Error> for Error {
    /// JSON of our own that cannot be written or read back; callers' JSON is [`Error::Malformed`].
    fn from(error: serde_json::Error) -> Self {
        Self::Internal(error.into())
    }
}
