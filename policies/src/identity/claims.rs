//! The checks that claims have to pass (RFC 7519 section 4.1, RFC 8725, RFC 9068), whoever verified the signature.

use serde_json::{Map, Value};

use super::issuer::Issuer;
use super::refusal::Refusal;
use crate::reason::Reason;

/// The last second of the year 9999. A later date is a mistake, mostly milliseconds, and would make a
/// token that never ends.
const MAX_DATE: i64 = 253_402_300_799;

/// Longest `sub`, `jti` and `sid`, in bytes.
const MAX_ID: usize = 1024;

/// Dates and ids of a token that passed.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) exp: i64,
    pub(super) iat: Option<i64>,
    pub(super) jti: Option<String>,
    pub(super) sid: Option<String>,
}

/// The claim `iss`.
pub(super) fn issuer(claims: &Map<String, Value>) -> Result<&str, Refusal> {
    match claims.get("iss") {
        Some(Value::String(issuer)) => Ok(issuer),
        Some(_) => Err(Refusal::new(Reason::TokenClaims, "iss is not a string")),
        None => Err(Refusal::new(Reason::TokenIssuer, "the token has no iss")),
    }
}

/// Checks everything but `iss` and the signature.
pub(super) fn check(
    claims: &Map<String, Value>,
    issuer: &Issuer,
    leeway: u64,
    now: u64,
) -> Result<Checked, Refusal> {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let leeway = i64::try_from(leeway).unwrap_or(i64::MAX);
    let malformed = |detail| Refusal::new(Reason::TokenClaims, detail);

    let exp = date(claims, "exp")
        .map_err(|NoDate| malformed("exp is not a date"))?
        .ok_or(malformed("the token has no exp"))?;
    let nbf = date(claims, "nbf").map_err(|NoDate| malformed("nbf is not a date"))?;
    let iat = date(claims, "iat").map_err(|NoDate| malformed("iat is not a date"))?;
    // RFC 7519 section 4.1.4: "on or after" exp the token must not be accepted.
    if now >= exp.saturating_add(leeway) {
        return Err(Refusal::new(Reason::TokenExpired, "exp has passed"));
    }
    let latest = now.saturating_add(leeway);
    if nbf.is_some_and(|nbf| nbf > latest) {
        return Err(Refusal::new(Reason::TokenNotYetValid, "nbf has not come yet"));
    }
    if iat.is_some_and(|iat| iat > latest) {
        return Err(Refusal::new(Reason::TokenNotYetValid, "the token was issued in the future"));
    }
    check_audience(claims, issuer)?;
    check_authorized_party(claims, issuer)?;
    Ok(Checked {
        exp,
        iat,
        jti: id(claims, "jti").map_err(|NoId| malformed("jti is not a short string"))?,
        sid: id(claims, "sid").map_err(|NoId| malformed("sid is not a short string"))?,
    })
}

/// RFC 7519 section 4.1.3.
fn check_audience(claims: &Map<String, Value>, issuer: &Issuer) -> Result<(), Refusal> {
    let accepted = |audience: &str| issuer.audiences.contains(audience);
    let found = match claims.get("aud") {
        None => return Err(Refusal::new(Reason::TokenAudience, "the token has no aud")),
        Some(Value::String(audience)) => accepted(audience),
        Some(Value::Array(audiences)) => {
            let mut found = false;
            for audience in audiences {
                let Value::String(audience) = audience else {
                    return Err(Refusal::new(Reason::TokenClaims, "aud is not made of strings"));
                };
                found |= accepted(audience);
            }
            found
        }
        Some(_) => return Err(Refusal::new(Reason::TokenClaims, "aud is neither a string nor an array")),
    };
    if found { Ok(()) } else { Err(Refusal::new(Reason::TokenAudience, "the token is for another audience")) }
}

/// OpenID Connect Core section 3.1.3.7; access tokens name the client in `client_id` (RFC 9068 section 2.2).
fn check_authorized_party(claims: &Map<String, Value>, issuer: &Issuer) -> Result<(), Refusal> {
    if issuer.authorized_parties.is_empty() {
        return Ok(());
    }
    match claims.get("azp").or_else(|| claims.get("client_id")) {
        Some(Value::String(party)) if issuer.authorized_parties.contains(party) => Ok(()),
        Some(Value::String(_)) => {
            Err(Refusal::new(Reason::TokenAudience, "the token was issued to another client"))
        }
        Some(_) => Err(Refusal::new(Reason::TokenClaims, "azp is not a string")),
        None => {
            Err(Refusal::new(Reason::TokenAudience, "the token does not say which client it was issued to"))
        }
    }
}

struct NoDate;

/// A NumericDate (RFC 7519 section 2), whole seconds; fractions are allowed there and cut off here.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, NoDate> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let Value::Number(number) = value else { return Err(NoDate) };
    let seconds = match number.as_i64() {
        Some(seconds) => seconds,
        None => {
            let seconds = number.as_f64().ok_or(NoDate)?.floor();
            if !(0.0..=MAX_DATE as f64).contains(&seconds) {
                return Err(NoDate);
            }
            seconds as i64
        }
    };
    if (0..=MAX_DATE).contains(&seconds) { Ok(Some(seconds)) } else { Err(NoDate) }
}

struct NoId;

fn id(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, NoId> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(id)) if !id.is_empty() && id.len() <= MAX_ID => Ok(Some(id.clone())),
        Some(_) => Err(NoId),
    }
}

/// Whether a text can be an identifier: not empty, not long, no control characters.
pub(super) fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ID && !text.chars().any(char::is_control)
}
