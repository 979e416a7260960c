//! The request as it came in: hygiene of its headers, and its body as it grows.

use graphwarden_policies::reason::Reason;

use super::event::Pairs;
use super::gate::Moment;
use super::refusal::Refusal;
use super::room::Share;

/// A request whose headers are fit to be judged.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) pairs: Pairs,
    /// The claims that Envoy's jwt_authn verified, in JSON.
    pub(super) verified: Option<Vec<u8>>,
    pub(super) body: Body,
    /// What of the room for bodies this one takes.
    pub(super) share: Share,
    /// The caller said that it will not wait for people (RFC 7240 section 4.1).
    pub(super) patience: Patience,
}

/// Whether a caller waits while people decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    Waits,
    RespondAsync,
}

/// A request's body.
#[derive(Debug)]
pub(super) enum Body {
    /// More may come. `last` is when something last came, the headers included.
    Coming { bytes: Vec<u8>, last: Moment, seen: Seen },
    /// This is all of it; empty where there is none.
    Whole(Vec<u8>),
}

/// Whether the host has shown any of the body yet, be it empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    NotYet,
    Some,
}

/// Request headers that ask for an answer which could not be masked.
const UNMASKABLE_WISHES: [&[u8]; 4] = [b"accept-encoding", b"range", b"if-range", b"te"];

/// The longest `x-request-id` that is taken over.
const LONGEST_REQUEST_ID: usize = 128;

impl Inbound {
    /// Checks the headers, or says what is wrong with them. `limit` is the largest body that is read.
    pub(super) fn new(pairs: Pairs, end_of_stream: bool, limit: usize, now: Moment) -> Result<Self, Refusal> {
        for name in [b":method".as_slice(), b":path", b":authority"] {
            if values(&pairs, name).count() > 1 {
                return Err(Refusal::with_detail(Reason::RequestMalformed, "a pseudo-header came twice"));
            }
        }
        let method = first(&pairs, b":method");
        if method.is_none_or(<[u8]>::is_empty) || first(&pairs, b":path").is_none_or(<[u8]>::is_empty) {
            return Err(Refusal::with_detail(Reason::RequestMalformed, "the request line is incomplete"));
        }
        // An upgraded connection, or an extended CONNECT (RFC 8441), would carry frames past the mask.
        if method == Some(b"CONNECT")
            || first(&pairs, b":protocol").is_some()
            || first(&pairs, b"upgrade").is_some()
        {
            return Err(Refusal::new(Reason::UpgradeRefused));
        }
        let encoded = |value: &[u8]| !value.is_empty() && !value.eq_ignore_ascii_case(b"identity");
        if !end_of_stream && values(&pairs, b"content-encoding").any(encoded) {
            return Err(Refusal::new(Reason::BodyEncoded));
        }
        let announced = first(&pairs, b"content-length").and_then(number);
        if announced.is_some_and(|bytes| bytes > limit as u64) {
            return Err(Refusal::new(Reason::BodyTooLarge));
        }
        let respond_async = values(&pairs, b"prefer").any(prefers_async);
        let body = if end_of_stream {
            Body::Whole(Vec::new())
        } else {
            Body::Coming { bytes: Vec::new(), last: now, seen: Seen::NotYet }
        };
        let patience = if respond_async { Patience::RespondAsync } else { Patience::Waits };
        Ok(Self { pairs, verified: None, body, share: Share::default(), patience })
    }

    pub(super) fn method(&self) -> &[u8] {
        first(&self.pairs, b":method").unwrap_or_default()
    }

    pub(super) fn path(&self) -> &[u8] {
        first(&self.pairs, b":path").unwrap_or_default()
    }
}

impl Body {
    /// Takes what came. Fails where it is more than `limit` in all, or comes after the end.
    pub(super) fn grow(
        self,
        fresh: &[u8],
        end_of_stream: bool,
        limit: usize,
        now: Moment,
    ) -> Result<Self, Refusal> {
        match self {
            Self::Whole(_) => Err(Refusal::new(Reason::Internal)),
            Self::Coming { mut bytes, .. } => {
                if bytes.len().saturating_add(fresh.len()) > limit {
                    return Err(Refusal::new(Reason::BodyTooLarge));
                }
                bytes.extend_from_slice(fresh);
                if end_of_stream {
                    Ok(Self::Whole(bytes))
                } else {
                    Ok(Self::Coming { bytes, last: now, seen: Seen::Some })
                }
            }
        }
    }

    /// The body has ended without a last piece: trailers came.
    pub(super) fn end(self) -> Result<Self, Refusal> {
        match self {
            Self::Whole(_) => Err(Refusal::new(Reason::Internal)),
            Self::Coming { bytes, .. } => Ok(Self::Whole(bytes)),
        }
    }
}

/// The first value of the header `name`.
pub(super) fn first<'a>(pairs: &'a Pairs, name: &[u8]) -> Option<&'a [u8]> {
    values(pairs, name).next()
}

/// All values of the header `name`, in order.
pub(super) fn values<'a>(pairs: &'a Pairs, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    pairs.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
}

/// Whether a request header asks for an answer that could not be masked.
pub(super) fn asks_for_unmaskable(name: &[u8]) -> bool {
    UNMASKABLE_WISHES.iter().any(|wish| name.eq_ignore_ascii_case(wish))
}

/// The caller's `x-request-id`, where it is one that can be logged and echoed safely.
pub(super) fn request_id(pairs: &Pairs) -> Option<String> {
    let value = first(pairs, b"x-request-id")?;
    let safe = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    if value.is_empty() || value.len() > LONGEST_REQUEST_ID || !value.iter().all(safe) {
        return None;
    }
    String::from_utf8(value.to_vec()).ok()
}

/// A decimal number, or `None` where it is none.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

fn prefers_async(value: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .filter_map(|preference| preference.split(|byte| *byte == b';').next())
        .any(|preference| preference.trim_ascii().eq_ignore_ascii_case(b"respond-async"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_000_000);

    fn pairs(more: &[(&str, &str)]) -> Pairs {
        [(":method", "POST"), (":path", "/runs/wait"), (":authority", "gate")]
            .iter()
            .chain(more)
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect()
    }

    fn refused(more: &[(&str, &str)]) -> Option<Reason> {
        Inbound::new(pairs(more), false, 100, NOW).err().map(|refusal| refusal.reason)
    }

    #[test]
    fn headers_that_cannot_be_judged_are_refused() {
        assert_eq!(refused(&[]), None);
        assert_eq!(refused(&[(":path", "/other")]), Some(Reason::RequestMalformed));
        assert_eq!(refused(&[(":authority", "b")]), Some(Reason::RequestMalformed));
        assert_eq!(refused(&[("upgrade", "websocket")]), Some(Reason::UpgradeRefused));
        assert_eq!(refused(&[(":protocol", "websocket")]), Some(Reason::UpgradeRefused));
        assert_eq!(refused(&[("content-encoding", "gzip")]), Some(Reason::BodyEncoded));
        assert_eq!(refused(&[("content-encoding", "identity")]), None);
        assert_eq!(refused(&[("content-length", "101")]), Some(Reason::BodyTooLarge));
        assert_eq!(refused(&[("content-length", "100")]), None);
        let connect = vec![(b":method".to_vec(), b"CONNECT".to_vec()), (b":path".to_vec(), b"/".to_vec())];
        assert_eq!(
            Inbound::new(connect, true, 1, NOW).err().map(|refusal| refusal.reason),
            Some(Reason::UpgradeRefused)
        );
        assert!(Inbound::new(Vec::new(), true, 1, NOW).is_err());
    }

    #[test]
    fn a_request_id_is_taken_over_only_where_it_is_safe_to_echo() {
        assert_eq!(request_id(&pairs(&[("x-request-id", "4f-2.a:b_c")])).as_deref(), Some("4f-2.a:b_c"));
        for wrong in ["", "a b", "a\"b", "\u{e9}", &"a".repeat(129)] {
            assert_eq!(request_id(&pairs(&[("x-request-id", wrong)])), None, "{wrong}");
        }
    }

    #[test]
    fn a_caller_can_say_that_it_will_not_wait() {
        let patience =
            |value| Inbound::new(pairs(&[("prefer", value)]), true, 1, NOW).map(|i| i.patience).ok();
        assert_eq!(patience("wait=10, Respond-Async;x=1"), Some(Patience::RespondAsync));
        assert_eq!(patience("respond-asynchronously"), Some(Patience::Waits));
    }

    #[test]
    fn a_body_grows_to_its_limit_and_not_past_its_end() {
        let body = Body::Coming { bytes: Vec::new(), last: NOW, seen: Seen::NotYet };
        let body = body.grow(b"ab", false, 4, NOW).unwrap();
        let body = body.grow(b"cd", true, 4, NOW).unwrap();
        assert!(matches!(&body, Body::Whole(bytes) if bytes == b"abcd"));
        assert_eq!(body.grow(b"", false, 4, NOW).unwrap_err().reason, Reason::Internal);
        let body = Body::Coming { bytes: b"abc".to_vec(), last: NOW, seen: Seen::Some };
        assert_eq!(body.grow(b"de", true, 4, NOW).unwrap_err().reason, Reason::BodyTooLarge);
    }
}
