//! The request target, read as the server reads it: `/threads/%74…?limit=10` → segments and query pairs.
//!
//! The server (uvicorn, Starlette) decodes the path once as UTF-8 and then splits it at `/`, so an escaped
//! slash makes a segment of its own there. Everything that two readers could take differently is refused
//! instead of guessed: escaped slashes and backslashes, dot segments, empty segments, control bytes, bytes
//! above 0x7F, broken escapes. What is left is written out anew in one spelling.
//! What the segments mean is left to [`super::table`].

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Refused;
use crate::reason::Reason;

/// Longest `:path` that is read, bytes.
const PATH_LIMIT: usize = 8 * 1024;
/// Most query pairs that are read.
const PAIRS_LIMIT: usize = 100;

/// RFC 3986 section 2.3: only unreserved characters stay as they are.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request target, decoded once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The path's segments; none for `/`.
    pub(super) segments: Vec<String>,
    /// The path ended in `/` after a segment.
    pub(super) trailing_slash: bool,
    /// The query's pairs in order.
    pub(super) query: Vec<(String, String)>,
}

impl Target {
    /// Reads the raw `:path`.
    pub(super) fn read(raw: &[u8]) -> Result<Self, Refused> {
        if raw.len() > PATH_LIMIT {
            return Err(malformed("path is longer than 8192 bytes"));
        }
        // Visible ASCII only (RFC 3986 has no others), and no fragment, which never travels.
        if raw.iter().any(|&byte| !(0x21..=0x7E).contains(&byte) || byte == b'\\' || byte == b'#') {
            return Err(malformed("path holds a byte that has no place in a request target"));
        }
        let raw = std::str::from_utf8(raw).map_err(|_| malformed("path is not ASCII"))?;
        let (path, query) = raw.split_once('?').unwrap_or((raw, ""));
        let Some(path) = path.strip_prefix('/') else {
            return Err(malformed("path does not start with a slash"));
        };
        let mut segments = Vec::new();
        let mut trailing_slash = false;
        if !path.is_empty() {
            let mut parts = path.split('/').peekable();
            while let Some(part) = parts.next() {
                if part.is_empty() {
                    if parts.peek().is_none() && !segments.is_empty() {
                        trailing_slash = true;
                        break;
                    }
                    return Err(malformed("path has an empty segment"));
                }
                segments.push(segment(part)?);
            }
        }
        Ok(Self { segments, trailing_slash, query: pairs(query)? })
    }

    /// The one value of a query parameter. Repeated parameters were refused, except those that are lists.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Path and query in their one spelling.
    pub(super) fn spelled(&self) -> String {
        let mut spelled = String::with_capacity(64);
        for segment in &self.segments {
            spelled.push('/');
            spelled.extend(utf8_percent_encode(segment, RESERVED));
        }
        if spelled.is_empty() {
            spelled.push('/');
        }
        let mut mark = '?';
        for (key, value) in &self.query {
            spelled.push(mark);
            spelled.extend(utf8_percent_encode(key, RESERVED));
            spelled.push('=');
            spelled.extend(utf8_percent_encode(value, RESERVED));
            mark = '&';
        }
        spelled
    }
}

/// One path segment, decoded once.
fn segment(raw: &str) -> Result<String, Refused> {
    let decoded = decode(raw, false).ok_or_else(|| malformed("path has a broken percent escape"))?;
    if decoded == "." || decoded == ".." {
        return Err(malformed("path has a dot segment"));
    }
    if decoded.chars().any(|c| c == '/' || c == '\\' || c.is_control()) {
        return Err(malformed("path has an escaped slash, backslash or control character"));
    }
    Ok(decoded)
}

/// Query parameters that the server reads as lists, so that they may repeat.
const LISTS: &[&str] = &["include", "namespace", "select", "stream_mode", "stream_modes"];

/// The query's pairs as `parse_qsl(keep_blank_values=True)` gives them: split at `&`, `+` is a space.
fn pairs(raw: &str) -> Result<Vec<(String, String)>, Refused> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for part in raw.split('&').filter(|part| !part.is_empty()) {
        if pairs.len() == PAIRS_LIMIT {
            return Err(malformed("query has more than 100 parameters"));
        }
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let (Some(key), Some(value)) = (decode(key, true), decode(value, true)) else {
            return Err(malformed("query has a broken percent escape"));
        };
        if key.chars().chain(value.chars()).any(char::is_control) {
            return Err(malformed("query has a control character"));
        }
        // Starlette's `get` takes the last of several, other readers the first.
        if !LISTS.contains(&key.as_str()) && pairs.iter().any(|(known, _)| *known == key) {
            return Err(malformed("query repeats a parameter"));
        }
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// Percent-decodes once. `None` for an escape without two hexadecimal digits and for what is not UTF-8.
fn decode(raw: &str, plus_is_space: bool) -> Option<String> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if plus_is_space => b' ',
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

fn malformed(detail: &'static str) -> Refused {
    Refused::new(Reason::RequestMalformed, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(raw: &str) -> Result<String, String> {
        Target::read(raw.as_bytes()).map(|target| target.spelled()).map_err(|refused| refused.detail)
    }

    #[test]
    fn decodes_once_and_spells_one_way() {
        assert_eq!(spelled("/%74hreads/search").as_deref(), Ok("/threads/search"));
        assert_eq!(spelled("/threads/%73earch?a=1&b").as_deref(), Ok("/threads/search?a=1&b="));
        assert_eq!(spelled("/a%2574b").as_deref(), Ok("/a%2574b"), "decoded twice");
        assert_eq!(spelled("/a?x=1+2&y=%26").as_deref(), Ok("/a?x=1%202&y=%26"));
        assert_eq!(spelled("/").as_deref(), Ok("/"));
        assert_eq!(spelled("/?").as_deref(), Ok("/"));
        assert_eq!(spelled("/%C3%A9").as_deref(), Ok("/%C3%A9"));
    }

    #[test]
    fn refuses_what_two_readers_take_differently() {
        for raw in [
            "",
            "*",
            "threads",
            "http://host/threads",
            "//threads",
            "/threads//x",
            "/threads/./x",
            "/threads/../x",
            "/threads/%2e%2E/x",
            "/threads/.%2e/x",
            "/threads%2Fx",
            "/threads%5cx",
            "/threads\\x",
            "/threads/%00",
            "/threads/%0a",
            "/threads/%7f",
            "/threads/%",
            "/threads/%2",
            "/threads/%zz",
            "/threads/%ff",
            "/threads/%c0%af",
            "/threads/x#y",
            "/threads x",
            "/a?x=%",
            "/a?x=1&x=2",
            "/a?x=%00",
        ] {
            assert!(Target::read(raw.as_bytes()).is_err(), "{raw}");
        }
        assert!(Target::read(b"/threads/\xff").is_err());
        assert!(Target::read(b"/threads/\0").is_err());
    }

    #[test]
    fn a_trailing_slash_is_told_apart() {
        assert!(Target::read(b"/mcp/").is_ok_and(|target| target.trailing_slash));
        assert!(Target::read(b"/mcp").is_ok_and(|target| !target.trailing_slash));
        assert!(Target::read(b"/mcp//").is_err());
    }

    proptest::proptest! {
        /// Invariant: the spelling of a target reads as the same target, and is its own spelling.
        #[test]
        fn the_spelling_is_a_fixed_point(raw in "/[!-~]{0,60}") {
            if let Ok(target) = Target::read(raw.as_bytes()) {
                let spelled = target.spelled();
                if let Ok(again) = Target::read(spelled.as_bytes()) {
                    proptest::prop_assert_eq!(&again.segments, &target.segments);
                    proptest::prop_assert_eq!(&again.query, &target.query);
                    proptest::prop_assert_eq!(again.spelled(), spelled);
                } else {
                    proptest::prop_assert!(false, "{} does not read", spelled);
                }
            }
        }
    }
}
