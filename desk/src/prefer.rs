//! The `Prefer` header (RFC 7240): how long a caller is ready to wait.
//!
//! ```text
//! prefer: wait=20
//! prefer: respond-async, wait="10"; foo=bar
//! ```

use axum::http::HeaderMap;

/// The longest wait, in seconds: below what proxies in between put up with.
pub const LONGEST_WAIT: u64 = 30;

/// How long the caller is ready to wait, in seconds, at most [`LONGEST_WAIT`]; `None` where it does not say.
/// `respond-async` without `wait` is 0. The first mention of a preference counts (section 2).
pub fn wait(headers: &HeaderMap) -> Option<u64> {
    let mut wait = None;
    let mut respond_async = false;
    for value in headers.get_all("prefer") {
        let Ok(value) = value.to_str() else { continue };
        for preference in value.split(',') {
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("wait") && wait.is_none() {
                wait = value.parse::<u64>().ok();
            } else if name.trim().eq_ignore_ascii_case("respond-async") {
                respond_async = true;
            }
        }
    }
    wait.map(|seconds| seconds.min(LONGEST_WAIT)).or(respond_async.then_some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("prefer", value.parse().unwrap());
        }
        wait(&headers)
    }

    #[test]
    fn reads_wait_in_every_spelling_of_the_rfc() {
        assert_eq!(of(&["wait=20"]), Some(20));
        assert_eq!(of(&["Wait = \"10\"; foo=bar"]), Some(10));
        assert_eq!(of(&["return=minimal, wait=5"]), Some(5));
        assert_eq!(of(&["return=minimal", "wait=5", "wait=9"]), Some(5));
        assert_eq!(of(&["respond-async"]), Some(0));
        assert_eq!(of(&["respond-async, wait=3"]), Some(3));
    }

    #[test]
    fn caps_the_wait_and_ignores_nonsense() {
        assert_eq!(of(&["wait=3600"]), Some(LONGEST_WAIT));
        assert_eq!(of(&["wait=soon"]), None);
        assert_eq!(of(&["wait=-1"]), None);
        assert_eq!(of(&[]), None);
    }
}
