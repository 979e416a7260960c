//! Times as RFC 3339 section 5.6 writes them, of which state is full: `2026-11-22T11:27:48.552578+00:00`. But for a date of
//! birth there is no value in one.

use super::view::View;

/// Bytes of `2026-11-22T14:21:04`.
pub(super) const TIMESTAMP: usize = 19;
/// The longest fraction of a second that is known as one: nanoseconds.
const FRACTION: usize = 9;

/// Whether `text` is a date and a time.
pub(super) fn is_timestamp(text: &[u8]) -> bool {
    let Ok(text) = <&[u8; TIMESTAMP]>::try_from(text) else { return false };
    // Without a way out at each byte: many are looked at in one step.
    text.iter().zip(b"0000-00-00T00:00:00").fold(true, |fits, (byte, form)| {
        fits & if *form == b'0' { byte.is_ascii_digit() } else { byte == form }
    })
}

/// How many bytes are the fraction of a second and the offset from UTC, `.552578+00:00`, behind a timestamp; none where
/// they are not at hand, or not followed by what ends them for sure.
pub(super) fn fraction_and_offset(view: &View<'_>, at: usize) -> Option<usize> {
    let near = view.span(at, at + 1 + FRACTION + 6 + 1);
    let length = offset_end(near)?;
    match near.get(length) {
        None => view.ended,
        Some(byte) => matches!(byte, b'"' | b'\'' | b',' | b')' | b']' | b'}' | b'\n' | b'\\'),
    }
    .then_some(length)
}

/// Where the offset from UTC ends in `text`, which it or a fraction of a second begins.
fn offset_end(text: &[u8]) -> Option<usize> {
    let fraction = match text {
        [b'.', digits @ ..] => {
            1 + digits.iter().take(FRACTION).take_while(|byte| byte.is_ascii_digit()).count()
        }
        _ => 0,
    };
    match text.get(fraction..)? {
        [b'Z', ..] => Some(fraction + 1),
        [b'+' | b'-', a, b, b':', c, d, ..] if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()) => {
            Some(fraction + 6)
        }
        _ => None,
    }
}

/// Whether `text` is a time, and nothing else.
pub(crate) fn is_moment(text: &[u8]) -> bool {
    text.get(10) == Some(&b'T')
        && text.split_at_checked(TIMESTAMP).is_some_and(|(timestamp, rest)| {
            (rest.is_empty() || offset_end(rest) == Some(rest.len())) && is_timestamp(timestamp)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_all_of_a_moment() {
        for moment in ["", "Z", "+00:00", "-05:30", ".5Z", ".552578+00:00", ".123456789Z"] {
            assert!(is_moment(format!("2026-11-22T11:27:48{moment}").as_bytes()), "{moment}");
        }
        for other in [".552578", "+00:00 ", "+0000", "Z1", ".1234567890Z", ":00", "+00:0a", " 078-05-1120"] {
            assert!(!is_moment(format!("2026-11-22T11:27:48{other}").as_bytes()), "{other}");
        }
        for other in ["", "2026-11-22", "2026-11-22 11:27:48Z", "2O26-11-22T11:27:48Z"] {
            assert!(!is_moment(other.as_bytes()), "{other}");
        }
    }
}
