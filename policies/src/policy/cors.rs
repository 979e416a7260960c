//! The section `cors`: which web pages may read what the gate answers by itself.
//!
//! ```yaml
//! cors: { origins: [https://chat.example.com], credentials: false }
//! ```
//! LangGraph's own answers carry LangGraph's own CORS headers, and it answers preflights too. A refusal of the gate
//! never reaches LangGraph, so without this a page's script sees a network error in place of the reason.

use serde::Deserialize;

use super::problem::{At, Problems};

/// The section as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorsConfig {
    /// Origins as browsers send them, such as `https://chat.example.com`, or `*` for any.
    pub origins: Vec<String>,
    /// Whether pages may send cookies; not together with `*`.
    #[serde(default)]
    pub credentials: bool,
}

/// The compiled section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// `None` for any.
    origins: Option<Vec<String>>,
    credentials: bool,
}

/// What of a refusal's headers a script may read besides the few that it always may.
const EXPOSED: &str = "www-authenticate, x-request-id";

impl Cors {
    pub(super) fn compile(config: &CorsConfig, at: &At, problems: &mut Problems) -> Self {
        let at_origins = at.member("origins");
        if config.origins.is_empty() {
            problems.add_with_hint(
                &at_origins,
                "at least one origin is needed",
                "such as https://chat.example.com",
            );
        }
        let any = config.origins.iter().any(|origin| origin == "*");
        for (index, origin) in config.origins.iter().enumerate() {
            if origin != "*" && !is_origin(origin) {
                let hint = "scheme, host in lower case, and the port where it is not the usual one";
                problems.add_with_hint(&at_origins.index(index), "not an origin as browsers send it", hint);
            }
        }
        if any && config.origins.len() > 1 {
            problems.add(&at_origins, "`*` stands for every origin, so it stands alone");
        }
        if any && config.credentials {
            problems.add(&at.member("credentials"), "browsers refuse credentials together with `*`");
        }
        Self { origins: (!any).then(|| config.origins.clone()), credentials: config.credentials }
    }

    /// The headers for an answer to a request with this `Origin` (Fetch standard, "HTTP responses").
    pub fn headers(&self, origin: Option<&[u8]>) -> Vec<(&'static str, String)> {
        let Some(origins) = &self.origins else {
            let any = ("access-control-allow-origin", "*".to_owned());
            return vec![any, ("access-control-expose-headers", EXPOSED.to_owned())];
        };
        // Whoever keeps this answer must not give it to another page.
        let mut headers = vec![("vary", "origin".to_owned())];
        let known = origins.iter().find(|known| origin.is_some_and(|origin| known.as_bytes() == origin));
        if let Some(origin) = known {
            headers.push(("access-control-allow-origin", origin.clone()));
            headers.push(("access-control-expose-headers", EXPOSED.to_owned()));
            if self.credentials {
                headers.push(("access-control-allow-credentials", "true".to_owned()));
            }
        }
        headers
    }
}

/// The serialisation of an origin (RFC 6454 section 6.2).
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let is_scheme = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    let is_host = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte);
    !scheme.is_empty() && scheme.bytes().all(is_scheme) && !host.is_empty() && host.bytes().all(is_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str], credentials: bool) -> (Cors, Vec<String>) {
        let config =
            CorsConfig { origins: origins.iter().map(|origin| (*origin).to_owned()).collect(), credentials };
        let mut problems = Problems::new();
        let cors = Cors::compile(&config, &At::root().member("cors"), &mut problems);
        (cors, problems.iter().map(ToString::to_string).collect())
    }

    fn names(headers: &[(&'static str, String)]) -> Vec<&'static str> {
        headers.iter().map(|(name, _)| *name).collect()
    }

    #[test]
    fn a_page_of_the_list_may_read_and_no_other() {
        let (cors, problems) = cors(&["https://chat.example.com", "http://127.0.0.1:3000"], true);
        assert!(problems.is_empty(), "{problems:?}");
        let headers = cors.headers(Some(b"http://127.0.0.1:3000"));
        assert!(headers.contains(&("access-control-allow-origin", "http://127.0.0.1:3000".to_owned())));
        assert!(headers.contains(&("access-control-allow-credentials", "true".to_owned())));
        assert!(headers.contains(&("vary", "origin".to_owned())));
        for other in [
            &b"https://evil.example"[..],
            b"null",
            b"https://chat.example.com.evil.example",
            b"https://chat.example.com/",
            b"HTTPS://chat.example.com",
            b"",
        ] {
            assert_eq!(names(&cors.headers(Some(other))), ["vary"]);
        }
        assert_eq!(names(&cors.headers(None)), ["vary"]);
    }

    #[test]
    fn any_page_may_read_where_the_policy_says_so() {
        let (cors, problems) = cors(&["*"], false);
        assert!(problems.is_empty(), "{problems:?}");
        let expected = ["access-control-allow-origin", "access-control-expose-headers"];
        assert_eq!(names(&cors.headers(Some(b"https://any.example"))), expected);
        assert_eq!(cors.headers(None)[0].1, "*");
    }

    #[test]
    fn what_no_browser_sends_is_a_problem() {
        for wrong in [
            "",
            "chat.example.com",
            "https://",
            "https://Chat.example.com",
            "https://chat.example.com/",
            "https://a b",
            "null",
            "https://*.example.com",
        ] {
            assert_eq!(cors(&[wrong], false).1.len(), 1, "{wrong}");
        }
        assert_eq!(cors(&[], false).1.len(), 1);
        assert_eq!(cors(&["*"], true).1.len(), 1);
        assert_eq!(cors(&["*", "https://a.example"], false).1.len(), 1);
    }
}
