//! IP addresses, versions 4 and 6.
//!
//! Sources: RFC 3986 section 3.2.2 (`IPv4address`), RFC 4291 section 2.2 (text forms of IPv6, also with an IPv4
//! tail), RFC 5952. Four numbers behind a word such as `version` are a version. An IPv6 address needs a digit
//! and all eight groups or `::`; `std::vec` and `::abc` are code.

use super::context::{Before, Words};
use super::view::{Found, Stop, View, is_word};

/// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255` and the two bytes that show the end.
pub(super) const LONGEST: usize = 45 + 2;

/// Words right before four numbers that are no address.
const VERSIONS: &Words = &Words::new(&[
    b"version",
    b"ver",
    b"v",
    b"release",
    b"build",
    b"firmware",
    b"section",
    b"chapter",
    b"chrome",
    b"clause",
]);

/// An IPv4 address whose first digit is at `start`.
pub(super) fn v4(view: &View<'_>, before: &Before<'_>) -> Found {
    let start = before.start();
    match view.previous(start) {
        Some(b'.' | b'-') => return Err(Stop::No),
        Some(previous) if is_word(previous) => return Err(Stop::No),
        _ => {}
    }
    let end = dotted(view, start)?;
    match view.byte(end)? {
        Some(byte) if is_word(byte) => return Err(Stop::No),
        Some(b'.') if view.byte(end + 1)?.is_some_and(|byte| byte.is_ascii_digit()) => return Err(Stop::No),
        _ => {}
    }
    if is_version(view, before, end) { Err(Stop::No) } else { Ok(end) }
}

/// Four numbers up to 255 with dots between.
fn dotted(view: &View<'_>, start: usize) -> Found {
    let mut at = start;
    for part in 0..4 {
        let begin = at;
        let mut number = 0u32;
        while let Some(digit @ b'0'..=b'9') = view.byte(at)? {
            number = number * 10 + u32::from(digit - b'0');
            at += 1;
            if number > 255 || at > begin + 3 {
                return Err(Stop::No);
            }
        }
        if at == begin {
            return Err(Stop::No);
        }
        if part < 3 {
            if view.byte(at)? != Some(b'.') {
                return Err(Stop::No);
            }
            at += 1;
        }
    }
    Ok(at)
}

/// Whether the four numbers are a version: behind a word that says so, or `Chrome/120.0.0.0`.
fn is_version(view: &View<'_>, before: &Before<'_>, end: usize) -> bool {
    let start = before.start();
    let product = view.previous(start) == Some(b'/')
        && view.back(start, 2).is_some_and(|byte| byte.is_ascii_alphabetic());
    if product && view.span(start, end).ends_with(b".0.0") {
        return true;
    }
    let context = before.context();
    let text = context.text();
    context.last(VERSIONS).is_some_and(|word| {
        text.get(word..).is_some_and(|gap| gap.len() <= 3 && gap.iter().all(|byte| b" :=.#/".contains(byte)))
    })
}

/// An IPv6 address whose first colon is at `colon`: where it begins, and where it ends.
pub(super) fn v6(view: &View<'_>, colon: usize) -> (usize, Found) {
    let start = view.run_back(colon, 4, |byte| byte.is_ascii_hexdigit());
    (start, v6_at(view, start))
}

/// An IPv6 address at `start`.
pub(super) fn v6_at(view: &View<'_>, start: usize) -> Found {
    if !view.word_begins(start) || view.follows_group(start) {
        return Err(Stop::No);
    }
    let mut groups = 0;
    let mut digit = false;
    let mut compressed = false;
    let mut at = start;
    // Behind `::` an address may end; this is where it last could.
    let mut end = None;
    loop {
        let group = at;
        while let Some(byte) = view.byte(at)?.filter(u8::is_ascii_hexdigit) {
            digit |= byte.is_ascii_digit();
            at += 1;
            if at > group + 4 {
                return Err(Stop::No);
            }
        }
        if at > group {
            groups += 1;
            end = Some(at);
            if view.byte(at)? == Some(b'.') && (compressed || groups == 7) && groups <= 7 {
                // The last 32 bits as an IPv4 address, or the end of a sentence.
                match dotted(view, group) {
                    Ok(dotted) => {
                        groups += 1;
                        end = Some(dotted);
                        break;
                    }
                    Err(Stop::More) => return Err(Stop::More),
                    Err(Stop::No) => break,
                }
            }
        }
        if groups == 8 || view.byte(at)? != Some(b':') {
            break;
        }
        if view.byte(at + 1)? == Some(b':') {
            if compressed || groups == 8 {
                return Err(Stop::No);
            }
            compressed = true;
            at += 2;
            end = Some(at);
        } else if at == group {
            // A single colon at the beginning, or three in a row.
            return Err(Stop::No);
        } else if view.byte(at + 1)?.is_some_and(|byte| byte.is_ascii_hexdigit()) {
            at += 1;
        } else {
            break;
        }
    }
    let end = end.ok_or(Stop::No)?;
    let whole = if compressed { groups < 8 && (groups >= 3 || (groups >= 1 && digit)) } else { groups == 8 };
    if !whole {
        return Err(Stop::No);
    }
    match view.byte(end)? {
        Some(byte) if is_word(byte) => Err(Stop::No),
        Some(b':') if view.byte(end + 1)?.is_some_and(|byte| byte.is_ascii_hexdigit() || byte == b':') => {
            Err(Stop::No)
        }
        _ => Ok(end),
    }
}
