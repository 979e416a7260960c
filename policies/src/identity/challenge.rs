//! The `WWW-Authenticate` value of a refusal (RFC 6750 section 3): what went wrong, and nothing from the token.

use crate::reason::Reason;

/// The challenge for a refusal, or `None` where its status is not 401.
///
/// `realm` names what is protected. Without a credential the challenge is bare, as the RFC asks.
pub fn challenge(realm: &str, reason: Reason) -> Option<String> {
    if reason.status() != 401 {
        return None;
    }
    let realm = quoted(realm);
    Some(match reason.bearer_error() {
        None => format!("Bearer realm={realm}"),
        Some(error) => {
            format!("Bearer realm={realm}, error=\"{error}\", error_description={}", quoted(reason.message()))
        }
    })
}

/// A quoted-string (RFC 9110 section 5.6.4) of the characters that RFC 6750 section 3 lets an
/// error_description have; others are left out, so that no text can end the string or the line.
fn quoted(text: &str) -> String {
    let allowed = text.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\'));
    format!("\"{}\"", allowed.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_credential_gets_a_bare_challenge() {
        assert_eq!(
            challenge("graphwarden", Reason::TokenMissing).as_deref(),
            Some("Bearer realm=\"graphwarden\"")
        );
    }

    #[test]
    fn a_bad_token_gets_the_error_and_a_description() {
        assert_eq!(
            challenge("graphwarden", Reason::TokenExpired).as_deref(),
            Some(
                r#"Bearer realm="graphwarden", error="invalid_token", error_description="the token has expired""#
            )
        );
        assert!(
            challenge("g", Reason::TokenAmbiguous).is_some_and(|value| value.contains("invalid_request"))
        );
    }

    #[test]
    fn every_401_has_one_and_nothing_else_does() {
        for reason in Reason::ALL {
            assert_eq!(challenge("g", *reason).is_some(), reason.status() == 401, "{reason:?}");
        }
    }

    #[test]
    fn a_realm_cannot_break_out() {
        let value = challenge("a\"b\\c\r\nset-cookie: é", Reason::TokenMissing);
        assert_eq!(value.as_deref(), Some("Bearer realm=\"abcset-cookie: \""));
    }
}
