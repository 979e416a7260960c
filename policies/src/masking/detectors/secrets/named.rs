//! Values that the name before them says are secret: `password=…`, `"api_key": "…"`, `Authorization: Bearer …`,
//! `scheme://user:…@host`. Only the value is found, so that the text stays readable.
//!
//! Sources: RFC 9110 section 11.6.2 (`Authorization`), RFC 3986 section 3.2.1 (`userinfo`); the names are those
//! of the generic rules that secret scanners share.

use super::super::view::{Stop, View};
use super::{FoundSecret, LEAST, Secret};

/// Bytes of a value that are read; a longer one goes on without being held.
const MOST: usize = 256;
/// Bytes before the separator that are read for the name.
const NAME: usize = 40;
/// Bytes of a user's name before the password in a URL.
const USER: usize = 50;

/// How sure a name makes it that the value is a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    /// `password`: any value that is one.
    Sure,
    /// `token`: a value that looks random.
    Likely,
    /// `authorization`: a scheme, then a value.
    Header,
}

const NAMES: &[(&[u8], Name)] = &[
    (b"password", Name::Sure),
    (b"passwd", Name::Sure),
    (b"passphrase", Name::Sure),
    (b"pwd", Name::Sure),
    (b"passcode", Name::Sure),
    (b"secret", Name::Sure),
    (b"secret_key", Name::Sure),
    (b"secretkey", Name::Sure),
    (b"secret-key", Name::Sure),
    (b"client_secret", Name::Sure),
    (b"clientsecret", Name::Sure),
    (b"secret_access_key", Name::Sure),
    (b"secretaccesskey", Name::Sure),
    (b"access_key", Name::Likely),
    (b"accesskey", Name::Likely),
    (b"api_key", Name::Likely),
    (b"apikey", Name::Likely),
    (b"api-key", Name::Likely),
    (b"api key", Name::Likely),
    (b"auth_token", Name::Likely),
    (b"access_token", Name::Likely),
    (b"accesstoken", Name::Likely),
    (b"refresh_token", Name::Likely),
    (b"refreshtoken", Name::Likely),
    (b"session_token", Name::Likely),
    (b"bearer_token", Name::Likely),
    (b"id_token", Name::Likely),
    (b"private_key", Name::Likely),
    (b"account_key", Name::Likely),
    (b"accountkey", Name::Likely),
    (b"token", Name::Likely),
    (b"authorization", Name::Header),
];

/// Names that end like one of those and are none.
const NOT: &[&[u8]] = &[b"page_token", b"next_token", b"max_token", b"stop_token"];

/// Schemes of `Authorization`.
const SCHEMES: &[&[u8]] = &[b"bearer ", b"basic ", b"token ", b"apikey ", b"digest "];

/// The names that make a value secret, in lower case.
pub(in super::super) fn names() -> impl Iterator<Item = &'static [u8]> {
    NAMES.iter().map(|(name, _)| *name)
}

/// A value at `begin`, right behind `:` or `=`: where it begins, and where it ends. While that is not decided, what
/// stands between the separator and the value waits with it.
pub(in super::super) fn named_value(view: &View<'_>, begin: usize) -> Option<(usize, FoundSecret)> {
    let mut before = view.text.get(..begin).unwrap_or_default().iter().rev().chain(view.before.iter().rev());
    let separator = *before.next()?;
    let mut name = [0u8; NAME];
    let mut first = NAME;
    for byte in before.take(NAME + 4) {
        // The name may be quoted, and a space may follow it.
        if first == NAME && matches!(byte, b'"' | b'\'' | b'\\' | b' ' | b'`') {
            continue;
        }
        let byte = byte.to_ascii_lowercase();
        if first == NAME && !may_end(byte) {
            break;
        }
        let Some(place) = first.checked_sub(1).and_then(|at| name.get_mut(at)) else { break };
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b' ')) {
            break;
        }
        *place = byte;
        first -= 1;
    }
    match classify(name.get(first..).unwrap_or_default()) {
        Some(kind) => Some(value(view, begin, kind, separator == b'=')),
        None if separator == b':' => Some(user_info(view, begin)),
        None => None,
    }
}

/// A whole text whose label, with `: ` behind it, is what stands before.
pub(in super::super) fn after_label(view: &View<'_>) -> Option<(usize, FoundSecret)> {
    let kind = labelled(view.before.strip_suffix(b": ")?)?;
    Some(value(view, view.floor, kind, true))
}

/// Whether a value called `label` may be secret on that account.
pub(in super::super) fn makes_secret(label: &[u8]) -> bool {
    labelled(label).is_some()
}

/// How sure this label makes it that a value is secret.
fn labelled(label: &[u8]) -> Option<Name> {
    let tail = label.get(label.len().saturating_sub(NAME)..).unwrap_or_default();
    let mut name = [0; NAME];
    let name = name.get_mut(..tail.len())?;
    name.copy_from_slice(tail);
    name.make_ascii_lowercase();
    classify(name)
}

/// Whether `name` ends in one that says that its value is secret.
fn classify(name: &[u8]) -> Option<Name> {
    if !name.last().is_some_and(|byte| may_end(*byte)) {
        return None;
    }
    let ends = |known: &[u8]| {
        name.strip_suffix(known).is_some_and(|rest| !rest.last().is_some_and(u8::is_ascii_alphanumeric))
    };
    if NOT.iter().any(|other| ends(other)) {
        return None;
    }
    NAMES.iter().find(|(known, _)| ends(known)).map(|(_, kind)| *kind)
}

/// Whether a name may end in this letter: most do not.
fn may_end(byte: u8) -> bool {
    matches!(byte, b'd' | b'e' | b't' | b'y' | b'n')
}

/// The value that begins at `at`, behind spaces, quotes and a scheme: where it begins, and where it ends.
fn value(view: &View<'_>, at: usize, kind: Name, equals: bool) -> (usize, FoundSecret) {
    match value_begins(view, at, kind) {
        Err(stop) => (at, Err(stop)),
        Ok((begin, quote)) => match value_at(view, begin, quote, kind, equals) {
            Err(Stop::More) => (at, Err(Stop::More)),
            found => (begin, found),
        },
    }
}

fn value_begins(view: &View<'_>, at: usize, kind: Name) -> Result<(usize, Option<u8>), Stop> {
    let mut begin = at;
    // `==`, `::` and `=>` compare, separate and point.
    if matches!(view.byte(begin)?, Some(b'=' | b':' | b'>')) {
        return Err(Stop::No);
    }
    while begin < at + 3 && view.byte(begin)? == Some(b' ') {
        begin += 1;
    }
    if view.byte(begin)? == Some(b'\\') {
        begin += 1;
    }
    let quote = view.byte(begin)?.filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
    if quote.is_some() {
        begin += 1;
    }
    if kind == Name::Header {
        for scheme in SCHEMES {
            let mut end = Ok(begin);
            for (offset, letter) in scheme.iter().enumerate() {
                match view.byte(begin + offset)? {
                    Some(byte) if byte.to_ascii_lowercase() == *letter => end = Ok(begin + offset + 1),
                    _ => end = Err(Stop::No),
                }
                if end.is_err() {
                    break;
                }
            }
            if let Ok(end) = end {
                return Ok((end, quote));
            }
        }
    }
    Ok((begin, quote))
}

fn value_at(view: &View<'_>, begin: usize, quote: Option<u8>, kind: Name, equals: bool) -> FoundSecret {
    let class: fn(u8) -> bool = match quote {
        Some(b'"') => |byte| !matches!(byte, b'"' | b'\n' | b'\r'),
        Some(b'\'') => |byte| !matches!(byte, b'\'' | b'\n' | b'\r'),
        Some(_) => |byte| !matches!(byte, b'`' | b'\n' | b'\r'),
        None if kind == Name::Sure => bare,
        None => |byte| bare(byte) && byte.is_ascii(),
    };
    // What is no secret whatever follows is not held.
    if matches!(view.byte(begin)?, Some(b'[' | b'<' | b'{' | b'$' | b'*' | b'(')) {
        return Err(Stop::No);
    }
    let end = view.run(begin, MOST, class)?;
    let text = view.span(begin, end);
    if text.len() == MOST {
        return Ok(Secret::While(end, class));
    }
    // The end of a sentence is none of the value's, except that passwords like to end in `!`.
    let ends: &[u8] = if kind == Name::Sure { b"." } else { b".!?:" };
    let sentence = text.iter().rev().take_while(|byte| quote.is_none() && ends.contains(byte)).count();
    let end = end - sentence - usize::from(text.last() == Some(&b'\\'));
    let text = view.span(begin, end);
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = text.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let random = digits > 0 && (letters > 0 || text.len() >= 12);
    let fits = match kind {
        Name::Sure if quote.is_some() || equals => text.len() >= LEAST,
        Name::Sure => text.len() >= 6 && (digits > 0 || text.iter().any(u8::is_ascii_punctuation)),
        Name::Likely => text.len() >= 8 && (random || text.len() >= 20),
        Name::Header => text.len() >= 8,
    };
    if !fits || is_placeholder(text) { Err(Stop::No) } else { Ok(Secret::Ends(end)) }
}

/// What a value without quotes is made of.
fn bare(byte: u8) -> bool {
    byte > b' '
        && !matches!(
            byte,
            b',' | b';' | b'"' | b'\'' | b'<' | b'>' | b')' | b']' | b'}' | b'&' | b'|' | b'`' | 0x7F
        )
}

/// Words that stand where a secret would.
fn is_placeholder(text: &[u8]) -> bool {
    let words: [&[u8]; 10] = [
        b"null",
        b"none",
        b"true",
        b"false",
        b"undefined",
        b"required",
        b"optional",
        b"string",
        b"redacted",
        b"changeme",
    ];
    let core = text.strip_suffix(b"!").or(text.strip_suffix(b"?")).unwrap_or(text);
    words.iter().any(|word| core.eq_ignore_ascii_case(word))
        || text.first().is_some_and(|first| text.iter().all(|byte| byte == first))
}

/// The password of `scheme://user:password@host`, at `begin`.
fn user_info(view: &View<'_>, begin: usize) -> (usize, FoundSecret) {
    let mut user = 0;
    let mut slashes = 0;
    let within = view.text.get(..begin).unwrap_or_default().iter().rev();
    let mut scheme = false;
    for byte in within.chain(view.before.iter().rev()).skip(1).take(USER + 3) {
        match (slashes, byte) {
            (2, b':') => {
                scheme = true;
                break;
            }
            (0 | 1, b'/') => slashes += 1,
            (0, byte) if *byte > b' ' && !matches!(byte, b'@' | b'"' | b'\'' | b'?' | b'#' | b':') => {
                user += 1
            }
            _ => break,
        }
    }
    if !scheme || user == 0 {
        return (begin, Err(Stop::No));
    }
    let found =
        view.run(begin, 128, |byte| byte > b' ' && !matches!(byte, b'/' | b'@' | b'"' | b'\'' | b'?' | b'#'));
    let found = found.and_then(|end| {
        if end > begin && view.byte(end)? == Some(b'@') { Ok(Secret::Ends(end)) } else { Err(Stop::No) }
    });
    (begin, found)
}
