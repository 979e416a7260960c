//! From a reason to the answer that the caller gets: LangGraph's error shape, with a code, and RFC 6750's challenge.
//!
//! ```json
//! {"detail":"the token has expired","reason":"token_expired","request_id":"4f…"}
//! ```

use std::borrow::Cow;

use graphwarden_policies::identity::challenge;
use graphwarden_policies::reason::Reason;
use serde::Serialize;

use super::event::Reply;

/// The realm of challenges (RFC 9110 section 11.5).
const REALM: &str = "graphwarden";

/// Why an exchange is refused, and what its caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    /// Instead of the reason's own status.
    pub(super) status: Option<u16>,
    /// Holds no secret, no claim and no byte of a body.
    pub(super) detail: Cow<'static, str>,
    pub(super) approval: Option<Pending>,
}

/// The approval that a refused caller can come back for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Pending {
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    detail: &'a str,
    reason: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<&'a Pending>,
}

impl Refusal {
    pub(super) fn new(reason: Reason) -> Self {
        Self { reason, status: None, detail: Cow::Borrowed(reason.message()), approval: None }
    }

    pub(super) fn with_detail(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: detail.into(), ..Self::new(reason) }
    }

    /// The approval is still open: the id and the URL stand in `detail` too, the one member that every client
    /// of LangGraph shows.
    pub(super) fn pending(approval: Pending) -> Self {
        let detail = match &approval.url {
            Some(url) => format!("the approval {} is pending: {url}", approval.id),
            None => format!("the approval {} is pending", approval.id),
        };
        Self { approval: Some(approval), ..Self::with_detail(Reason::ApprovalPending, detail) }
    }

    /// The client did not send the rest of its body in time (RFC 9110 section 15.5.9).
    pub(super) fn stalled() -> Self {
        Self {
            status: Some(408),
            ..Self::with_detail(Reason::BodyNotSeen, "the request body did not arrive in time")
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.status.unwrap_or_else(|| self.reason.status())
    }

    pub(super) fn reply(&self, request_id: &str) -> Reply {
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("x-request-id", request_id.to_owned()),
        ];
        if let Some(challenge) = challenge(REALM, self.reason) {
            headers.push(("www-authenticate", challenge));
        }
        Reply { status: self.status(), headers, body: self.body(request_id) }
    }

    pub(super) fn body(&self, request_id: &str) -> Vec<u8> {
        let body = Body {
            detail: &self.detail,
            reason: self.reason.code(),
            request_id,
            approval: self.approval.as_ref(),
        };
        serde_json::to_vec(&body).unwrap_or_else(|_| br#"{"detail":"internal error"}"#.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
        reply.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn every_reason_becomes_an_error_in_langgraphs_shape() {
        for &reason in Reason::ALL {
            let reply = Refusal::new(reason).reply("r-1");
            assert_eq!(reply.status, reason.status());
            let body: Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(
                body,
                json!({"detail": reason.message(), "reason": reason.code(), "request_id": "r-1"})
            );
            assert_eq!(header(&reply, "www-authenticate").is_some(), reply.status == 401, "{reason:?}");
        }
    }

    #[test]
    fn a_request_without_a_token_gets_a_bare_challenge() {
        let reply = Refusal::new(Reason::TokenMissing).reply("r");
        assert_eq!(header(&reply, "www-authenticate"), Some("Bearer realm=\"graphwarden\""));
    }

    #[test]
    fn a_pending_approval_is_named_in_the_detail_and_beside_it() {
        let pending = Pending { id: "a1".to_owned(), url: Some("http://desk/approvals/a1".to_owned()) };
        let reply = Refusal::pending(pending).reply("r");
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(reply.status, 403);
        assert_eq!(body["approval"], json!({"id": "a1", "url": "http://desk/approvals/a1"}));
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains("a1") && detail.contains("http://desk/approvals/a1"), "{detail}");
    }
}
