//! What the request line and headers say: the route, and whether the request may be judged at all.

use super::table::{self, Does, Fit, Route, Shape, also};
use super::target::Target;
use super::{BodyUse, Refused, ids};
use crate::reason::Reason;

/// Most header pairs, and most bytes of them, that are read.
const HEADERS_LIMIT: usize = 256;

/// A request's head as it was understood; the body comes next.
#[derive(Debug)]
pub struct Head {
    /// How the body is to be read.
    pub body: BodyUse,
    /// Forwarded without a token: an operation that the policy made public, or a CORS preflight.
    pub public: bool,
    pub(super) method: String,
    pub(super) target: Target,
    pub(super) shape: Shape,
    pub(super) does: &'static [Does],
    pub(super) names: Names,
}

/// The ids that the path holds, in canonical spelling.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) graph: Option<String>,
    pub(super) assistant: Option<String>,
    pub(super) thread: Option<String>,
    pub(super) run: Option<String>,
    pub(super) cron: Option<String>,
}

/// Reads method, path and headers. `public` says which operations need no token.
pub(super) fn read(
    method: &[u8],
    path: &[u8],
    headers: &[(Vec<u8>, Vec<u8>)],
    public: &dyn Fn(&Does) -> bool,
) -> Result<Head, Refused> {
    let method = match method {
        b"GET" => "GET",
        b"HEAD" => "HEAD",
        b"POST" => "POST",
        b"PUT" => "PUT",
        b"PATCH" => "PATCH",
        b"DELETE" => "DELETE",
        b"OPTIONS" => "OPTIONS",
        b"CONNECT" => return Err(Refused::new(Reason::UpgradeRefused, "CONNECT is not accepted")),
        _ => return Err(Refused::new(Reason::OperationUnknown, "method is not known")),
    };
    check_headers(headers)?;
    let mut target = Target::read(path)?;
    if method == "OPTIONS" {
        return preflight(target, headers);
    }
    let judged = if method == "HEAD" { "GET" } else { method };
    let Some((route, fit)) = route(judged, &mut target) else {
        return Err(Refused::new(Reason::OperationUnknown, "route is not known"));
    };
    if route.shape == Shape::Closed {
        return Err(Refused::new(
            Reason::OperationUnknown,
            "route is internal to the server and never forwarded",
        ));
    }
    let names = names(&fit, &mut target)?;
    Ok(Head {
        body: if route.shape.has_body() { BodyUse::Json } else { BodyUse::Ignored },
        public: !route.does.is_empty() && route.does.iter().all(public),
        method: method.to_owned(),
        target,
        shape: route.shape,
        does: route.does,
        names,
    })
}

/// The route of a target. A trailing slash is a redirect to a URL of the upstream's own, or no route, except
/// where the server or its OpenAPI has the route both ways; there it is dropped.
fn route(method: &str, target: &mut Target) -> Option<(&'static Route, Fit)> {
    let (route, fit) = table::find(method, &target.segments)?;
    if target.trailing_slash {
        if !matches!(route.shape, Shape::Mcp | Shape::A2a) {
            return None;
        }
        target.trailing_slash = false;
    }
    Some((route, fit))
}

/// The CORS preflight (Fetch standard, "CORS-preflight request") of a route that exists. It carries no token.
fn preflight(mut target: Target, headers: &[(Vec<u8>, Vec<u8>)]) -> Result<Head, Refused> {
    let asked =
        header(headers, b"access-control-request-method").and_then(|value| std::str::from_utf8(value).ok());
    let fit = asked
        .filter(|_| header(headers, b"origin").is_some())
        .map(|method| if method == "HEAD" { "GET" } else { method })
        .and_then(|method| route(method, &mut target))
        .filter(|(route, _)| route.shape != Shape::Closed);
    let Some((_, fit)) = fit else {
        return Err(Refused::new(
            Reason::OperationUnknown,
            "OPTIONS is only known as a preflight of a known route",
        ));
    };
    names(&fit, &mut target)?;
    Ok(Head {
        body: BodyUse::Ignored,
        public: true,
        method: "OPTIONS".to_owned(),
        target,
        shape: Shape::Bodiless,
        does: &[also::PREFLIGHT],
        names: Names::default(),
    })
}

/// Headers that have to come at most once, or two readers could take different ones.
const SINGLETONS: &[&[u8]] =
    &[b"host", b":authority", b":method", b":scheme", b"content-length", b"content-type", b"origin"];

fn check_headers(headers: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Refused> {
    if headers.len() > HEADERS_LIMIT {
        return Err(Refused::new(Reason::RequestMalformed, "request has more than 256 headers"));
    }
    let mut seen: Vec<&[u8]> = Vec::with_capacity(SINGLETONS.len());
    for (name, value) in headers {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if let Some(singleton) = SINGLETONS.iter().find(|singleton| is(singleton)) {
            if seen.contains(singleton) {
                return Err(Refused::new(Reason::RequestMalformed, "a header that may come once came twice"));
            }
            // Envoy joins what came twice with a comma, which none of these has in it otherwise.
            if value.contains(&b',') {
                return Err(Refused::new(
                    Reason::RequestMalformed,
                    "a header that may come once has several values",
                ));
            }
            seen.push(singleton);
        }
        // Extended CONNECT (RFC 8441) travels as `:protocol`; Envoy shows HTTP/2 upgrades either way.
        if is(b"upgrade") || is(b":protocol") || (is(b"connection") && lists(value, b"upgrade")) {
            return Err(Refused::new(Reason::UpgradeRefused, "protocol upgrades are not accepted"));
        }
        if is(b"content-encoding") && !value.trim_ascii().eq_ignore_ascii_case(b"identity") {
            return Err(Refused::new(Reason::BodyEncoded, "an encoded request body is not accepted"));
        }
        if is(b"x-http-method-override") || is(b"x-http-method") || is(b"x-method-override") {
            return Err(Refused::new(Reason::RequestMalformed, "method overrides are not accepted"));
        }
    }
    Ok(())
}

/// Whether a comma-separated header value has `token`.
fn lists(value: &[u8], token: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
}

fn header<'a>(headers: &'a [(Vec<u8>, Vec<u8>)], name: &[u8]) -> Option<&'a [u8]> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
}

/// Canonicalises the ids in the path, in `target` too, so that the spelling that was judged is forwarded.
fn names(fit: &Fit, target: &mut Target) -> Result<Names, Refused> {
    let mut names = Names::default();
    let malformed = |detail: &'static str| Refused::new(Reason::RequestMalformed, detail);
    let parts = fit.path.split('/').filter(|part| !part.is_empty());
    for (part, segment) in parts.zip(&mut target.segments) {
        let (slot, detail) = match part {
            "{thread}" => (&mut names.thread, "thread id in the path is not a UUID"),
            "{run}" => (&mut names.run, "run id in the path is not a UUID"),
            "{cron}" => (&mut names.cron, "cron id in the path is not a UUID"),
            "{assistant}" => {
                match ids::assistant(segment) {
                    Some(ids::Assistant::Id(id)) => {
                        segment.clone_from(&id);
                        names.assistant = Some(id);
                    }
                    Some(ids::Assistant::Graph(graph)) => names.graph = Some(graph),
                    None => {
                        return Err(malformed("assistant in the path is neither a UUID nor a graph's name"));
                    }
                }
                continue;
            }
            _ => continue,
        };
        let id = ids::uuid(segment).ok_or_else(|| malformed(detail))?;
        segment.clone_from(&id);
        *slot = Some(id);
    }
    Ok(names)
}
