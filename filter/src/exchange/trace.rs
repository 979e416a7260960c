//! The trace that a request belongs to (W3C Trace Context), which the calls made for it join.
//!
//! ```text
//! traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
//! tracestate: vendor=opaque
//! ```
//! A `traceparent` that is malformed, or there twice, begins no trace, and its `tracestate` means nothing then. What
//! goes to LangGraph is not touched: that is the proxy's own tracing.

use super::event::Pairs;
use super::inbound::values;

/// The length of a `traceparent` of version 00.
const PARENT: usize = 55;
/// The longest `tracestate` that is passed on: what the specification asks everyone to pass on at least.
const LONGEST_STATE: usize = 512;
/// The flags that mean something: sampled, and (level 2) that the id is random.
const FLAGS: u8 = 0b11;

/// A trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// 32 hexadecimal digits.
    id: String,
    flags: u8,
    state: Option<String>,
}

impl Trace {
    /// The trace that these request headers name.
    pub(super) fn of(pairs: &Pairs) -> Option<Self> {
        let mut parents = values(pairs, b"traceparent");
        let parent = parents.next().filter(|_| parents.next().is_none())?;
        let (id, flags) = parse(parent)?;
        Some(Self { id, flags, state: state(pairs) })
    }

    /// The headers of a call that is a child of the request. `span` is the call's own id, never 0.
    pub fn headers(&self, span: u64) -> impl Iterator<Item = (String, String)> {
        let parent = format!("00-{}-{:016x}-{:02x}", self.id, span.max(1), self.flags);
        let state = self.state.clone().map(|state| ("tracestate".to_owned(), state));
        [("traceparent".to_owned(), parent)].into_iter().chain(state)
    }
}

/// The id and the flags of a `traceparent`. One of a later version is read as far as it is like version 00.
fn parse(parent: &[u8]) -> Option<(String, u8)> {
    let text = std::str::from_utf8(parent).ok()?.trim_ascii();
    let mut parts = text.splitn(5, '-');
    let mut part = |length: usize| {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        parts.next().filter(|part| part.len() == length && part.bytes().all(digit))
    };
    let (version, id, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let ends_well = if version == "00" { text.len() == PARENT } else { version != "ff" };
    (ends_well && !is_zero(id) && !is_zero(span))
        .then_some((id.to_owned(), u8::from_str_radix(flags, 16).ok()? & FLAGS))
}

/// The `tracestate`, its values joined where it came in several.
fn state(pairs: &Pairs) -> Option<String> {
    let mut state = String::new();
    for value in values(pairs, b"tracestate") {
        let value = std::str::from_utf8(value).ok()?.trim_ascii();
        if value.bytes().any(|byte| !matches!(byte, b' '..=b'~' | b'\t')) {
            return None;
        }
        if !state.is_empty() && !value.is_empty() {
            state.push(',');
        }
        state.push_str(value);
        if state.len() > LONGEST_STATE {
            return None;
        }
    }
    (!state.is_empty()).then_some(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn trace(headers: &[(&str, &str)]) -> Option<Trace> {
        let pairs: Pairs = headers
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect();
        Trace::of(&pairs)
    }

    fn sent(headers: &[(&str, &str)]) -> Vec<(String, String)> {
        trace(headers).map(|trace| trace.headers(0xab).collect()).unwrap_or_default()
    }

    #[test]
    fn a_call_is_a_child_of_the_request() {
        let expected = [
            ("traceparent".to_owned(), "00-0af7651916cd43dd8448eb211c80319c-00000000000000ab-01".to_owned()),
            ("tracestate".to_owned(), "a=1,b=2,c=3".to_owned()),
        ];
        let several =
            [("traceparent", GOOD), ("tracestate", "a=1,b=2"), ("tracestate", ""), ("tracestate", "c=3")];
        assert_eq!(sent(&several), expected);
        assert_eq!(sent(&[("traceparent", GOOD)]).len(), 1);
    }

    #[test]
    fn what_is_malformed_begins_no_trace() {
        for wrong in [
            "",
            "00",
            "00-4f",
            &GOOD.to_uppercase(),
            &GOOD.replace("0af7", "0ag7"),
            &GOOD.replace('-', "_"),
            &format!("{GOOD}-extra"),
            &format!("{GOOD}0"),
            &GOOD.replacen("00-", "ff-", 1),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0é",
        ] {
            assert_eq!(trace(&[("traceparent", wrong), ("tracestate", "a=1")]), None, "{wrong}");
        }
        assert_eq!(trace(&[("traceparent", GOOD), ("traceparent", GOOD)]), None, "twice");
        assert_eq!(trace(&[("tracestate", "a=1")]), None, "alone");
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for later in [GOOD.replacen("00-", "01-", 1), format!("{}-more", GOOD.replacen("00-", "cc-", 1))] {
            let [(_, parent)] = sent(&[("traceparent", &later)]).try_into().unwrap();
            assert!(parent.starts_with("00-0af7"), "{parent}");
        }
    }

    #[test]
    fn flags_that_mean_nothing_are_not_passed_on() {
        let [(_, parent)] = sent(&[("traceparent", &GOOD.replace("-01", "-ff"))]).try_into().unwrap();
        assert!(parent.ends_with("-03"), "{parent}");
    }

    #[test]
    fn a_state_that_is_too_long_or_no_text_is_left_out_whole() {
        for wrong in [format!("a={}", "x".repeat(600)), "a=\u{1}".to_owned(), "a=é".to_owned()] {
            assert_eq!(sent(&[("traceparent", GOOD), ("tracestate", &wrong)]).len(), 1);
        }
    }
}
