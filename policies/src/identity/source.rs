//! Where a request's credential is, and which headers must not go upstream because they are or imply one.
//!
//! Exactly one token: one `Authorization: Bearer`, and where the policy names them `x-api-key` and a
//! cookie. Several that are the same token are one; several that differ are refused, because the next
//! server might believe the other.

use super::config::SourcesConfig;
use super::refusal::Refusal;
use crate::reason::Reason;

const AMBIGUOUS: Reason = Reason::TokenAmbiguous;

/// The places that the policy names.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    pub(super) authorization: bool,
    pub(super) x_api_key: bool,
    pub(super) cookie: Option<String>,
}

impl Sources {
    pub(super) fn new(config: &SourcesConfig) -> Self {
        Self {
            authorization: config.authorization,
            x_api_key: config.x_api_key,
            cookie: config.cookie.clone(),
        }
    }

    /// The request's one token.
    pub(super) fn token<'a>(&self, headers: &'a [(Vec<u8>, Vec<u8>)]) -> Result<&'a [u8], Refusal> {
        let mut found = Found::default();
        let mut authorizations = 0;
        let mut api_keys = 0;
        let mut cookies = 0;
        for (name, value) in headers {
            if self.authorization && name.eq_ignore_ascii_case(b"authorization") {
                authorizations += 1;
                found.add(bearer(value)?)?;
            } else if self.x_api_key && name.eq_ignore_ascii_case(b"x-api-key") {
                api_keys += 1;
                found.add(value.trim_ascii())?;
            } else if let Some(wanted) = &self.cookie
                && name.eq_ignore_ascii_case(b"cookie")
            {
                for (name, value) in cookie_pairs(value) {
                    if name == wanted.as_bytes() {
                        cookies += 1;
                        found.add(value)?;
                    }
                }
            }
            // Not even twice the same: whoever reads the list next may read only the first or the last.
            if authorizations > 1 || api_keys > 1 || cookies > 1 {
                return Err(Refusal::new(AMBIGUOUS, "a credential header came more than once"));
            }
        }
        found.token.ok_or(Refusal::new(Reason::TokenMissing, "no credential came with the request"))
    }
}

#[derive(Default)]
struct Found<'a> {
    token: Option<&'a [u8]>,
}

impl<'a> Found<'a> {
    fn add(&mut self, token: &'a [u8]) -> Result<(), Refusal> {
        if token.is_empty() {
            return Err(Refusal::new(AMBIGUOUS, "a credential is empty"));
        }
        match self.token {
            Some(other) if other != token => {
                Err(Refusal::new(AMBIGUOUS, "two credentials came and they differ"))
            }
            _ => {
                self.token = Some(token);
                Ok(())
            }
        }
    }
}

/// The token of `Bearer b64token` (RFC 6750 section 2.1); the scheme in any case, then spaces.
fn bearer(value: &[u8]) -> Result<&[u8], Refusal> {
    let refused = || Refusal::new(AMBIGUOUS, "the authorization header is not a single bearer token");
    let value = value.trim_ascii();
    let (scheme, rest) = value.split_at_checked(6).ok_or_else(refused)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") || !rest.starts_with(b" ") {
        return Err(refused());
    }
    let token = rest.trim_ascii_start();
    // `Bearer a, Bearer b` is how proxies join two headers.
    if token.is_empty() || token.iter().any(|byte| matches!(byte, b' ' | b'\t' | b',')) {
        return Err(refused());
    }
    Ok(token)
}

/// The pairs of a Cookie header (RFC 6265 section 4.2.1).
fn cookie_pairs(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    value.split(|byte| *byte == b';').filter_map(|pair| {
        let pair = pair.trim_ascii();
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at_checked(equals)?;
        Some((name, value.get(1..)?))
    })
}

/// The Cookie header without the cookie of this name, or `None` where no other is left.
pub(super) fn cookies_without(value: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(value.len());
    for pair in value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
        let this = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        if pair.is_empty() || this.trim_ascii() == name.as_bytes() {
            continue;
        }
        if !kept.is_empty() {
            kept.extend_from_slice(b"; ");
        }
        kept.extend_from_slice(pair);
    }
    (!kept.is_empty()).then_some(kept)
}

/// Whether a request header is a credential, or would be taken for the gate's word upstream.
/// `_` counts as `-`, because CGI-like servers make no difference.
pub(super) fn is_private(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 4] = [b"authorization", b"proxy-authorization", b"x-api-key", b"x-auth-scheme"];
    const PREFIX: &[u8] = b"x-graphwarden-";
    NAMES.iter().any(|private| same_name(name, private))
        || name.get(..PREFIX.len()).is_some_and(|start| same_name(start, PREFIX))
}

/// Whether two header names are one to a careless reader.
pub(super) fn same_name(a: &[u8], b: &[u8]) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| fold(*a) == fold(*b))
}
