//! A token in JWS compact serialisation (RFC 7515 section 7.1), taken apart; nothing in it is believed yet.
//!
//! ```text
//! BASE64URL(header) . BASE64URL(claims) . BASE64URL(signature)
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::json;
use super::jwk::MAX_KID;
use super::refusal::Refusal;
use crate::reason::Reason;

/// Longest token accepted, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A token's parts.
pub(super) struct Token<'a> {
    /// The bytes that are signed: both encoded parts and the dot between them.
    pub(super) signed: &'a [u8],
    pub(super) header: Header,
    /// The payload as it was sent.
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// What the gate uses of a JOSE header. `jku`, `jwk`, `x5u` and `x5c` are never looked at: keys come
/// from the policy alone (RFC 8725 section 3.10).
#[derive(Debug)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    /// The algorithm as the token spells it.
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    pub(super) typ: Option<String>,
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    pub(super) fn parse(token: &'a [u8]) -> Result<Self, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::new(Reason::TokenMalformed, "the token has more than 16 KiB"));
        }
        let shape = || Refusal::new(Reason::TokenMalformed, "the token is not three parts joined by dots");
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(shape());
        };
        let signed = token.get(..header.len() + 1 + payload.len()).ok_or_else(shape)?;
        let header = Header::parse(&decode(header, "the header is not canonical base64url")?)?;
        let payload = decode(payload, "the claims are not canonical base64url")?;
        let signature = decode(signature, "the signature is not canonical base64url")?;
        if signature.is_empty() {
            return Err(Refusal::new(Reason::TokenMalformed, "the signature is empty"));
        }
        Ok(Self { signed, header, payload, signature })
    }

    /// The claims, as an object without repeated members.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, Refusal> {
        json::parse_object(&self.payload).ok_or(Refusal::new(
            Reason::TokenMalformed,
            "the claims are not a JSON object, repeat a member or nest too deeply",
        ))
    }
}

/// Padding, white space and set trailing bits are refused: one token, one spelling.
fn decode(part: &[u8], otherwise: &'static str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::new(Reason::TokenMalformed, otherwise))
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let malformed = |detail| Refusal::new(Reason::TokenMalformed, detail);
        let map = json::parse_object(bytes)
            .ok_or(malformed("the header is not a JSON object, repeats a member or nests too deeply"))?;
        let alg = match map.get("alg") {
            Some(Value::String(alg)) => alg.clone(),
            _ => return Err(malformed("the header has no alg")),
        };
        // No extension is understood, so none may be critical (RFC 7515 section 4.1.11).
        if map.contains_key("crit") {
            return Err(malformed("the header has critical extensions"));
        }
        // RFC 7797 asks for `crit` with it; without, some libraries obey it all the same.
        if map.get("b64").is_some_and(|b64| b64 != true) {
            return Err(malformed("the header asks for unencoded claims"));
        }
        // Nested tokens and encrypted ones (RFC 7519 section 5.2, RFC 7516).
        if map.contains_key("enc") || map.contains_key("zip") {
            return Err(malformed("the header is not that of a signed token"));
        }
        match map.get("cty") {
            None => {}
            Some(Value::String(cty)) if !cty.eq_ignore_ascii_case("jwt") => {}
            Some(_) => return Err(malformed("the token holds another token")),
        }
        let text = |name: &str, most: usize, otherwise| match map.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= most => Ok(Some(text.clone())),
            Some(_) => Err(malformed(otherwise)),
        };
        let kid = text("kid", MAX_KID, "the header's kid is not a short string")?;
        let typ = text("typ", MAX_KID, "the header's typ is not a short string")?;
        let algorithm = Algorithm::parse(&alg)
            .ok_or(Refusal::new(Reason::TokenAlgorithm, "the algorithm is none that uses a public key"))?;
        Ok(Self { algorithm, alg, kid, typ })
    }
}

/// Whether a `typ` is the one wanted: without regard to case, `application/` may be left off
/// (RFC 7515 section 4.1.9, RFC 9068 section 4).
pub(super) fn typ_is(given: Option<&str>, wanted: &str) -> bool {
    fn short(typ: &str) -> &str {
        match typ.get(..12) {
            Some(prefix) if prefix.eq_ignore_ascii_case("application/") => typ.get(12..).unwrap_or(typ),
            _ => typ,
        }
    }
    given.is_some_and(|given| short(given).eq_ignore_ascii_case(short(wanted)))
}
