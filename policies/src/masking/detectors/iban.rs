//! International bank account numbers.
//!
//! Source: ISO 13616-1 and SWIFT's IBAN Registry (release 98): two letters, two check digits, then letters and
//! digits up to the country's length; the whole is 1 modulo 97. Single spaces or hyphens may stand anywhere after
//! the check digits, as people group them in fours.

use super::view::{Found, Stop, View, is_word};

/// 34 letters and digits (ISO 13616), a separator after each four or fewer, and the byte behind.
pub(super) const LONGEST: usize = 34 + SEPARATORS + 1;
/// Separators that are read: groups of four leave eight.
const SEPARATORS: usize = 12;

/// Countries and the lengths of their numbers.
const COUNTRIES: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// A number that begins at `start`.
pub(super) fn at(view: &View<'_>, start: usize) -> Found {
    if !view.word_begins(start) {
        return Err(Stop::No);
    }
    let letter = |index| match view.byte(index) {
        Ok(Some(byte)) if byte.is_ascii_alphabetic() => Ok(byte.to_ascii_uppercase()),
        Err(stop) => Err(stop),
        _ => Err(Stop::No),
    };
    let first = letter(start)?;
    if !COUNTRIES.iter().any(|(code, _)| code.first() == Some(&first)) {
        return Err(Stop::No);
    }
    let code = [first, letter(start + 1)?];
    let Some(length) = COUNTRIES.iter().find(|(known, _)| **known == code).map(|(_, length)| *length) else {
        return Err(Stop::No);
    };
    // Modulo 97 of everything behind the check digits, then of the country and the check digits.
    let mut rest = 0u32;
    let mut check = 0u32;
    let mut at = start + 2;
    let mut separators = 0;
    for index in 2..length {
        let mut byte = view.byte(at)?;
        if index >= 4 && matches!(byte, Some(b' ' | b'-')) && separators < SEPARATORS {
            separators += 1;
            at += 1;
            byte = view.byte(at)?;
        }
        match byte {
            Some(digit @ b'0'..=b'9') if index < 4 => check = check * 10 + u32::from(digit - b'0'),
            Some(byte) if index >= 4 && byte.is_ascii_alphanumeric() => rest = append(rest, byte),
            _ => return Err(Stop::No),
        }
        at += 1;
    }
    for letter in code {
        rest = append(rest, letter);
    }
    if (rest * 100 + check) % 97 != 1 {
        return Err(Stop::No);
    }
    match view.byte(at)? {
        Some(byte) if is_word(byte) => Err(Stop::No),
        _ => Ok(at),
    }
}

/// The remainder after one more letter (A = 10 … Z = 35) or digit.
fn append(remainder: u32, byte: u8) -> u32 {
    match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        _ => (remainder * 100 + u32::from(byte.to_ascii_uppercase() - b'A') + 10) % 97,
    }
}
