//! E-mail addresses, also with `%40` for the at sign (RFC 3986 section 2.1) and, folded before they come here,
//! with full-width or zero-width characters.
//!
//! RFC 5321 section 4.5.3.1: at most 64 bytes before the at sign and 255 after it. Of RFC 5322's `atext` the
//! characters that delimit in URLs, JSON and prose (`/ = ? { | } ^` and the backquote) do not count, and the
//! first must be a letter, a digit or `_`. The domain needs a dot and ends in letters (or `xn--…`, RFC 5890).
//! Letters beyond ASCII count on both sides (RFC 6531) as far as they take two bytes: Latin with marks, Greek,
//! Cyrillic, Hebrew, Arabic. Scripts without spaces take three, so that an address right behind them is cut off
//! from the sentence.

use super::view::{Found, Stop, View};

/// Bytes before the at sign.
const LOCAL: usize = 64;
/// Bytes after it.
const DOMAIN: usize = 255;
/// The longest address, with `%40` for the at sign.
pub(super) const LONGEST: usize = LOCAL + 3 + DOMAIN;

/// What may stand before the at sign.
fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'' | b'&' | b'!' | b'#' | b'$' | b'*' | b'~')
        || is_letter_beyond_ascii(byte)
}

/// What an address may begin with.
fn is_first(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || is_letter_beyond_ascii(byte)
}

/// Whether `byte` begins a two-byte code point of a script with letters.
fn is_letter_beyond_ascii(byte: u8) -> bool {
    matches!(byte, 0xC3..=0xDF)
}

/// The second byte of a two-byte code point, or any other behind the first of a longer one.
fn continues(byte: u8) -> bool {
    matches!(byte, 0x80..=0xBF)
}

/// Looks at the at sign that may stand at `index`: `@`, or `%40`. The address around it begins and ends at…
pub(super) fn at_sign(view: &View<'_>, index: usize) -> Result<(usize, usize), (usize, Stop)> {
    let escaped = view.known(index) == Some(b'%');
    let start = start(view, index, escaped).ok_or((index, Stop::No))?;
    let domain_begins =
        if escaped { view.literal(index, b"%40").map_err(|stop| (start, stop))? } else { index + 1 };
    domain(view, domain_begins).map(|end| (start, end)).map_err(|stop| (start, stop))
}

/// The address that holds or touches the match that ends at `end`, if one does.
pub(super) fn around(view: &View<'_>, end: usize) -> Result<(usize, usize), (usize, Stop)> {
    let mut at = end;
    loop {
        match view.byte(at).map_err(|stop| (end, stop))? {
            Some(b'@') => break,
            Some(b'%') => {
                if view.literal(at, b"%40").map_err(|stop| (end, stop)).is_ok() {
                    break;
                }
                if view.literal(at, b"%40") == Err(Stop::More) {
                    return Err((end, Stop::More));
                }
            }
            Some(byte) if is_local(byte) || continues(byte) => {}
            _ => return Err((end, Stop::No)),
        }
        at += 1;
        if at > end + LOCAL {
            return Err((end, Stop::No));
        }
    }
    match at_sign(view, at) {
        Ok((start, _)) if start >= end => Err((end, Stop::No)),
        other => other,
    }
}

/// Where undecided text begins at the end of what is known: an at sign could come next.
pub(super) fn tail(view: &View<'_>) -> usize {
    let end = view.text.len();
    if view.is_fresh() && view.floor < end && b"%40".starts_with(view.span(view.floor, end)) {
        return view.floor;
    }
    // A code point that is cut in two there may be a letter.
    let half = end.checked_sub(1).filter(|&last| view.known(last).is_some_and(is_letter_beyond_ascii));
    if let Some(last) = half.filter(|last| *last >= view.floor) {
        return start(view, last, false).unwrap_or(last);
    }
    // Of a sign that has begun, the address reaches back as far as from its first byte.
    let begun = [b"%4".as_slice(), b"%"].into_iter().find(|sign| view.span(view.floor, end).ends_with(sign));
    let sign = begun.and_then(|sign| start(view, end.saturating_sub(sign.len()), false));
    sign.into_iter().chain(start(view, end, false)).min().unwrap_or(end)
}

/// Where an address begins whose at sign is at `at`, or would be if it came there. Right behind another match
/// it may be empty: what is left of an address is still one.
fn start(view: &View<'_>, at: usize, escaped: bool) -> Option<usize> {
    let lowest = view.floor.max(at.saturating_sub(LOCAL));
    let mut start = at;
    while start > lowest {
        let Some(byte) = view.known(start - 1) else { break };
        if byte.is_ascii() {
            if !is_local(byte) || (escaped && byte == b'%' && is_delimiter(view.span(start, at))) {
                break;
            }
            start -= 1;
        } else if start >= lowest + 2
            && continues(byte)
            && view.known(start - 2).is_some_and(is_letter_beyond_ascii)
        {
            start -= 2;
        } else {
            break;
        }
    }
    // The percent sign may be decided already: it was no part of an address then either.
    if escaped && view.previous(start) == Some(b'%') && is_delimiter(view.span(start, at)) {
        start += 2;
    } else if escaped
        && start < at
        && view.back(start, 2) == Some(b'%')
        && let (Some(high), Some(low)) = (view.previous(start), view.known(start))
        && is_delimiter(&[high, low])
    {
        start += 1;
    }
    let first = (start..at).find(|&index| view.known(index).is_some_and(is_first));
    first.or((view.is_fresh() && at == view.floor).then_some(at))
}

/// Whether what stands behind a percent sign makes it an escape of something that delimits an address.
fn is_delimiter(escape: &[u8]) -> bool {
    match *escape {
        // `%2B %2D %2E %5F %27`: plus, hyphen, dot, underscore, apostrophe.
        [b'2', b'B' | b'b' | b'D' | b'd' | b'E' | b'e' | b'7', ..] => false,
        [b'5', b'F' | b'f', ..] => false,
        [high, low, ..] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        _ => false,
    }
}

/// The end of the domain that begins at `begin`.
fn domain(view: &View<'_>, begin: usize) -> Found {
    let limit = begin + DOMAIN;
    let mut label = begin;
    let mut dotted = false;
    let mut valid = Err(Stop::No);
    loop {
        let mut at = label;
        // How far the label is nothing but letters, and whether a hyphen ended that.
        let mut letters = label;
        while at < limit {
            let Some(byte) = view.byte(at)? else { break };
            let letter = byte.is_ascii_alphabetic()
                || is_letter_beyond_ascii(byte)
                || (continues(byte) && at > label && !view.known(at - 1).is_some_and(|b| b.is_ascii()));
            if letter {
                if letters == at {
                    letters += 1;
                }
            } else if !(byte.is_ascii_digit() || (byte == b'-' && at > label)) {
                break;
            }
            at += 1;
        }
        if at == label {
            return valid;
        }
        if dotted {
            let punycode = at >= label + 5 && view.span(label, label + 4).eq_ignore_ascii_case(b"xn--");
            if punycode {
                valid = Ok(at);
            } else if letters >= label + 2 && (letters == at || view.known(letters) == Some(b'-')) {
                valid = Ok(letters);
            }
        }
        if at >= limit || view.byte(at)? != Some(b'.') {
            return valid;
        }
        label = at + 1;
        dotted = true;
    }
}
