//! The stable codes that name each refusal, with the HTTP status and the blame that go with them.
//!
//! A code is an interface: callers branch on it, auditors count it. It is never renamed.

/// Why a request was refused, or a response cut. [`Reason::code`] is what the outside sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No credential came with the request.
    TokenMissing,
    /// More than one credential came, or one that is not a single Bearer token.
    TokenAmbiguous,
    /// The credential is not a token in JWS compact form, or one of its parts is not what it must be.
    TokenMalformed,
    /// The token names an algorithm that the issuer's policy does not allow, `none` included.
    TokenAlgorithm,
    /// No key of the issuer fits the token's `kid` and algorithm.
    TokenKeyUnknown,
    /// The signature does not verify.
    TokenSignature,
    /// The token's issuer is not in the policy.
    TokenIssuer,
    /// The token is for another audience.
    TokenAudience,
    /// The token has ended.
    TokenExpired,
    /// The token is not valid yet, or was issued in the future.
    TokenNotYetValid,
    /// A claim that must be there is missing or malformed.
    TokenClaims,
    /// The token is sound but has been revoked: the policy's deny list, or the issuer's introspection.
    TokenRevoked,
    /// The issuer's introspection endpoint could not be reached or did not answer as RFC 7662 says.
    IntrospectionUnavailable,
    /// The issuer's keys could not be had yet; trying again later may help.
    KeysUnavailable,
    /// The request line or a header is not one that can be judged safely.
    RequestMalformed,
    /// The body is not the JSON that the route takes, or has duplicate members.
    BodyMalformed,
    /// The body came with a `Content-Encoding`.
    BodyEncoded,
    /// The body is larger or nested deeper than the policy allows.
    BodyTooLarge,
    /// The body did not arrive: the client stalled, or Envoy lacks `allow_on_headers_stop_iteration`.
    BodyNotSeen,
    /// An upgrade (WebSocket, extended CONNECT) was asked for; its frames cannot be judged.
    UpgradeRefused,
    /// The request is no operation that the gate knows.
    OperationUnknown,
    /// A body field gets round the gate and the policy does not open it.
    FieldRefused,
    /// A rule said no, or none said yes.
    AccessDenied,
    /// What the request is about is another's, or not there; the caller is not told which.
    NotFound,
    /// LangGraph could not be asked what the decision hangs on: an assistant's graph, or whose a thread is.
    LookupUnavailable,
    /// The approval was denied by an approver.
    ApprovalDenied,
    /// The approval is still open; asking again with the same bytes meets it.
    ApprovalPending,
    /// The approval ended undecided, or was granted and not used in time.
    ApprovalExpired,
    /// The rule wants approvers to see all of the request, and it does not fit into what they see.
    ApprovalPreview,
    /// As many of this person's requests wait for approval as may; fewer may, later.
    ApprovalLimit,
    /// The approval service could not be reached or did not answer as the contract says.
    ApprovalUnavailable,
    /// The record of the decision could not be made durable, so nothing was done.
    EvidenceUnavailable,
    /// The response cannot be masked and the policy does not let it pass.
    ResponseUnmaskable,
    /// The upstream could not be reached or reset.
    UpstreamUnavailable,
    /// The gate holds as much of others' requests as it may; there may be room later.
    GateFull,
    /// The gate itself is at fault.
    Internal,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: &'static [Reason] = &[
        Self::TokenMissing,
        Self::TokenAmbiguous,
        Self::TokenMalformed,
        Self::TokenAlgorithm,
        Self::TokenKeyUnknown,
        Self::TokenSignature,
        Self::TokenIssuer,
        Self::TokenAudience,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::TokenClaims,
        Self::TokenRevoked,
        Self::IntrospectionUnavailable,
        Self::KeysUnavailable,
        Self::RequestMalformed,
        Self::BodyMalformed,
        Self::BodyEncoded,
        Self::BodyTooLarge,
        Self::BodyNotSeen,
        Self::UpgradeRefused,
        Self::OperationUnknown,
        Self::FieldRefused,
        Self::AccessDenied,
        Self::NotFound,
        Self::LookupUnavailable,
        Self::ApprovalDenied,
        Self::ApprovalPending,
        Self::ApprovalExpired,
        Self::ApprovalPreview,
        Self::ApprovalLimit,
        Self::ApprovalUnavailable,
        Self::EvidenceUnavailable,
        Self::ResponseUnmaskable,
        Self::UpstreamUnavailable,
        Self::GateFull,
        Self::Internal,
    ];

    /// The code: lower-case words joined by underscores.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TokenMissing => "token_missing",
            Self::TokenAmbiguous => "token_ambiguous",
            Self::TokenMalformed => "token_malformed",
            Self::TokenAlgorithm => "token_algorithm",
            Self::TokenKeyUnknown => "token_key_unknown",
            Self::TokenSignature => "token_signature",
            Self::TokenIssuer => "token_issuer",
            Self::TokenAudience => "token_audience",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenClaims => "token_claims",
            Self::TokenRevoked => "token_revoked",
            Self::IntrospectionUnavailable => "introspection_unavailable",
            Self::KeysUnavailable => "keys_unavailable",
            Self::RequestMalformed => "request_malformed",
            Self::BodyMalformed => "body_malformed",
            Self::BodyEncoded => "body_encoded",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyNotSeen => "body_not_seen",
            Self::UpgradeRefused => "upgrade_refused",
            Self::OperationUnknown => "operation_unknown",
            Self::FieldRefused => "field_refused",
            Self::AccessDenied => "access_denied",
            Self::NotFound => "not_found",
            Self::LookupUnavailable => "lookup_unavailable",
            Self::ApprovalDenied => "approval_denied",
            Self::ApprovalPending => "approval_pending",
            Self::ApprovalExpired => "approval_expired",
            Self::ApprovalPreview => "approval_preview",
            Self::ApprovalLimit => "approval_limit",
            Self::ApprovalUnavailable => "approval_unavailable",
            Self::EvidenceUnavailable => "evidence_unavailable",
            Self::ResponseUnmaskable => "response_unmaskable",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::GateFull => "gate_full",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status of the answer. Never 202, and 429/503 only where a retry may help
    /// (LangGraph's JavaScript SDK retries those by itself, the Python SDK none).
    pub const fn status(self) -> u16 {
        match self {
            Self::TokenMissing
            | Self::TokenAmbiguous
            | Self::TokenMalformed
            | Self::TokenAlgorithm
            | Self::TokenKeyUnknown
            | Self::TokenSignature
            | Self::TokenIssuer
            | Self::TokenAudience
            | Self::TokenExpired
            | Self::TokenNotYetValid
            | Self::TokenClaims
            | Self::TokenRevoked => 401,
            Self::RequestMalformed | Self::BodyMalformed => 400,
            Self::NotFound => 404,
            Self::BodyEncoded => 415,
            Self::BodyTooLarge => 413,
            Self::BodyNotSeen => 500,
            Self::UpgradeRefused
            | Self::OperationUnknown
            | Self::FieldRefused
            | Self::AccessDenied
            | Self::ApprovalDenied
            | Self::ApprovalPending
            | Self::ApprovalExpired => 403,
            Self::ApprovalPreview => 413,
            Self::ApprovalLimit => 429,
            Self::KeysUnavailable
            | Self::IntrospectionUnavailable
            | Self::LookupUnavailable
            | Self::ApprovalUnavailable
            | Self::EvidenceUnavailable
            | Self::GateFull => 503,
            Self::ResponseUnmaskable | Self::UpstreamUnavailable => 502,
            Self::Internal => 500,
        }
    }

    /// What the caller is told where nothing more exact is known. Lower-case, no full stop, no secret.
    pub const fn message(self) -> &'static str {
        match self {
            Self::TokenMissing => "a bearer token is required",
            Self::TokenAmbiguous => "exactly one bearer token is required",
            Self::TokenMalformed => "the token is malformed",
            Self::TokenAlgorithm => "the token's algorithm is not accepted",
            Self::TokenKeyUnknown => "the token was signed with an unknown key",
            Self::TokenSignature => "the token's signature does not verify",
            Self::TokenIssuer => "the token's issuer is not accepted",
            Self::TokenAudience => "the token is for another audience",
            Self::TokenExpired => "the token has expired",
            Self::TokenNotYetValid => "the token is not valid yet",
            Self::TokenClaims => "the token lacks a required claim",
            Self::TokenRevoked => "the token has been revoked",
            Self::IntrospectionUnavailable => "the issuer cannot be asked about the token",
            Self::KeysUnavailable => "the issuer's keys are not available yet",
            Self::RequestMalformed => "the request is malformed",
            Self::BodyMalformed => "the request body is malformed",
            Self::BodyEncoded => "an encoded request body is not accepted",
            Self::BodyTooLarge => "the request body is too large",
            Self::BodyNotSeen => {
                "the request body was not seen: the client stalled, or the filter lacks allow_on_headers_stop_iteration"
            }
            Self::UpgradeRefused => "protocol upgrades are not accepted",
            Self::OperationUnknown => "the request is not a known operation",
            Self::FieldRefused => "a field of the request is not accepted",
            Self::AccessDenied => "access denied",
            Self::NotFound => "not found",
            Self::LookupUnavailable => "the server cannot be asked what the request is about",
            Self::ApprovalDenied => "the approval was denied",
            Self::ApprovalPending => "the approval is pending",
            Self::ApprovalExpired => "the approval has expired",
            Self::ApprovalPreview => {
                "the request is too large for approvers to see all of it, which the rule asks for"
            }
            Self::ApprovalLimit => "too many of your requests wait for approval already",
            Self::ApprovalUnavailable => "the approval service is not available",
            Self::EvidenceUnavailable => "the evidence ledger is not available",
            Self::ResponseUnmaskable => "the response cannot be masked",
            Self::UpstreamUnavailable => "the upstream is not available",
            Self::GateFull => "the gate holds as many requests as it can; try again later",
            Self::Internal => "internal error",
        }
    }

    /// The `error` of RFC 6750 section 3.1 for answers with status 401, else `None`.
    /// A request without any credential gets a bare challenge, as the RFC asks.
    pub const fn bearer_error(self) -> Option<&'static str> {
        match self {
            Self::TokenMissing => None,
            Self::TokenAmbiguous => Some("invalid_request"),
            _ if self.status() == 401 => Some("invalid_token"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_and_are_words_joined_by_underscores() {
        let codes: HashSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for code in codes {
            assert!(code.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{code}");
        }
    }

    #[test]
    fn no_refusal_reads_as_success_or_as_already_exists() {
        for reason in Reason::ALL {
            assert!(reason.status() >= 400 && reason.status() != 409, "{reason:?}");
        }
    }

    #[test]
    fn messages_are_fragments() {
        for reason in Reason::ALL {
            let message = reason.message();
            assert!(!message.ends_with('.') && !message.starts_with(char::is_uppercase), "{message}");
        }
    }
}
