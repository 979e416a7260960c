//! Which of a caller's own `x-*` headers may go upstream: those that trace a request, and those that Envoy manages.
//!
//! LangGraph copies headers into `config.configurable` where its `http.configurable_headers` says so, and `x-*` is what
//! people write there. A graph takes what it reads from there for the word of whoever deployed it, so that
//! `configurable["x-user-id"]` would be whatever the caller likes. So all of them stop here but the ones that say
//! nothing about who calls, and those that the policy lets through (`upstream.pass`).

use super::source::{self, same_name};
use crate::policy::{At, Problems};

/// Tracing (B3, OpenTracing, the clouds' own), and what Envoy writes itself or takes from no stranger.
const ALWAYS: [&str; 11] = [
    "x-request-id",
    "x-b3-*",
    "x-ot-span-context",
    "x-client-trace-id",
    "x-cloud-trace-context",
    "x-amzn-trace-id",
    "x-datadog-*",
    "x-correlation-id",
    "x-envoy-*",
    "x-forwarded-for",
    "x-forwarded-proto",
];

/// The `x-*` headers that pass.
#[derive(Debug, Clone)]
pub(super) struct Passage {
    names: Vec<Pattern>,
}

/// A header's name in lower case, or, with `*` at its end, how names begin.
#[derive(Debug, Clone)]
enum Pattern {
    Name(String),
    Prefix(String),
}

impl Passage {
    /// `more` is what the policy lets through besides.
    pub(super) fn compile(more: &[String], at: &At, problems: &mut Problems) -> Self {
        for (index, name) in more.iter().enumerate() {
            let at = at.index(index);
            let body = name.strip_suffix('*').unwrap_or(name);
            let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if !body.starts_with("x-") || !body.bytes().all(is_part) || name.as_str() == "x-" {
                let hint = "such as x-tenant or x-acme-*; headers that begin otherwise pass anyway";
                problems.add_with_hint(&at, "not the name of an x- header in lower case", hint);
            } else if source::is_private(name.as_bytes()) || name.starts_with("x-graphwarden-") {
                problems.add(&at, "this header never goes upstream, whatever is in it");
            }
        }
        let names = ALWAYS.into_iter().chain(more.iter().map(String::as_str)).map(Pattern::new).collect();
        Self { names }
    }

    /// Whether a request header stops here. `_` counts as `-`, because CGI-like servers make no difference; what
    /// passes has to be spelt as it is written.
    pub(super) fn stops(&self, name: &[u8]) -> bool {
        name.get(..2).is_some_and(|start| same_name(start, b"x-"))
            && !self.names.iter().any(|pattern| pattern.fits(name))
    }
}

impl Pattern {
    fn new(name: &str) -> Self {
        match name.strip_suffix('*') {
            Some(start) => Self::Prefix(start.to_owned()),
            None => Self::Name(name.to_owned()),
        }
    }

    fn fits(&self, name: &[u8]) -> bool {
        match self {
            Self::Name(own) => own.as_bytes().eq_ignore_ascii_case(name),
            Self::Prefix(own) => {
                name.get(..own.len()).is_some_and(|start| own.as_bytes().eq_ignore_ascii_case(start))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(more: &[&str]) -> (Passage, Vec<String>) {
        let more: Vec<String> = more.iter().map(|name| (*name).to_owned()).collect();
        let mut problems = Problems::new();
        let passage = Passage::compile(&more, &At::root().member("pass"), &mut problems);
        (passage, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn only_what_says_nothing_about_the_caller_passes() {
        let (passage, _) = passage(&[]);
        for name in
            ["x-user-id", "X-User-Id", "x-tenant-id", "x_user_id", "X_roles", "x-", "x-forwarded-user"]
        {
            assert!(passage.stops(name.as_bytes()), "{name}");
        }
        for name in [
            "x-request-id",
            "X-B3-TraceId",
            "x-envoy-attempt-count",
            "x-forwarded-for",
            "traceparent",
            "accept",
            "x",
            "",
            ":path",
            "xenon",
        ] {
            assert!(!passage.stops(name.as_bytes()), "{name}");
        }
        assert!(passage.stops(b"x_request_id"), "a careless reader's spelling of what passes");
    }

    #[test]
    fn the_policy_may_let_more_through() {
        let (passage, problems) = passage(&["x-tenant", "x-acme-*"]);
        assert!(problems.is_empty(), "{problems:?}");
        assert!(!passage.stops(b"x-tenant") && !passage.stops(b"x-acme-region"));
        assert!(passage.stops(b"x-tenants") && passage.stops(b"x-acme"));
        assert!(!self::passage(&["x-*"]).0.stops(b"x-user-id"), "everything, said in so many words");
    }

    #[test]
    fn what_is_no_name_of_an_x_header_is_a_problem() {
        for wrong in ["", "x", "x-", "tenant", "X-Tenant", "x-a*b", "x-a b", "*", "x_tenant"] {
            assert_eq!(passage(&[wrong]).1.len(), 1, "{wrong}");
        }
        for never in ["x-api-key", "x-auth-scheme", "x-graphwarden-subject", "x-graphwarden-*"] {
            assert!(passage(&[never]).1[0].contains("never goes upstream"), "{never}");
        }
    }
}
