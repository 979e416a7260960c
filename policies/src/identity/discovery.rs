//! OpenID Connect Discovery: from an issuer's configuration document to the place of its keys.
//!
//! ```json
//! {"issuer": "https://idp.example.com", "jwks_uri": "https://idp.example.com/keys", …}
//! ```

use std::fmt;

use super::issuer::{RemoteKeys, authority_of, is_path};
use super::json;

/// Largest discovery document read, in bytes.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// Why a discovery document was not followed. The keys installed before stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiscoveryError {
    /// The policy has no such issuer, or does not discover its keys.
    UnknownIssuer,
    /// It is no JSON object of at most 256 KiB, or it repeats a member.
    Malformed,
    /// Its `issuer` is not exactly the policy's (OpenID Connect Discovery section 4.3).
    OtherIssuer,
    /// Its `jwks_uri` is missing or is no URL of a host and a path.
    NoKeys,
    /// Its `jwks_uri` is less protected than the issuer: plain HTTP.
    Insecure,
    /// Its `jwks_uri` is on another host, and the policy names no `jwks_cluster` to reach it.
    OtherHost,
}

impl fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => "no such issuer with discovery in the policy",
            Self::Malformed => {
                "not a discovery document: a JSON object of at most 256 KiB with no member twice"
            }
            Self::OtherIssuer => "the document is another issuer's",
            Self::NoKeys => "the document has no usable jwks_uri",
            Self::Insecure => "the document's jwks_uri is plain HTTP",
            Self::OtherHost => {
                "the document's jwks_uri is on another host and the policy has no jwks_cluster"
            }
        })
    }
}

impl std::error::Error for DiscoveryError {}

/// Where the keys are, in place of `remote`, which pointed to the document.
pub(super) fn follow(
    remote: &RemoteKeys,
    issuer: &str,
    document: &[u8],
) -> Result<RemoteKeys, DiscoveryError> {
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(DiscoveryError::Malformed);
    }
    let document = json::parse_object(document).ok_or(DiscoveryError::Malformed)?;
    if document.get("issuer").is_none_or(|named| named != issuer) {
        return Err(DiscoveryError::OtherIssuer);
    }
    let uri = document.get("jwks_uri").and_then(|uri| uri.as_str()).ok_or(DiscoveryError::NoKeys)?;
    if issuer.starts_with("https://") && !uri.starts_with("https://") {
        return Err(DiscoveryError::Insecure);
    }
    let authority = authority_of(uri).ok_or(DiscoveryError::NoKeys)?;
    let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
    let path = rest.get(authority.len()..).filter(|path| is_path(path)).ok_or(DiscoveryError::NoKeys)?;

    let same_host = authority_of(issuer).is_some_and(|own| own.eq_ignore_ascii_case(authority))
        || remote.authority.eq_ignore_ascii_case(authority);
    let (cluster, authority) = match (same_host, &remote.jwks_cluster) {
        // The issuer's own name may not be the one that the cluster answers to.
        (true, _) => (remote.cluster.clone(), remote.authority.clone()),
        (false, Some(cluster)) => (cluster.clone(), authority.to_owned()),
        (false, None) => return Err(DiscoveryError::OtherHost),
    };
    Ok(RemoteKeys { cluster, authority, path: path.to_owned(), discover: false, ..remote.clone() })
}
