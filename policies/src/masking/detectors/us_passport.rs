//! US passport numbers: nine digits, or a letter and eight digits, behind the word `passport`.
//!
//! Source: US Department of State, "Next Generation U.S. Passport" (2021: a letter and eight digits; before
//! that nine digits). Passports of other countries in the same shapes are found too.

use super::context::{Before, Words};
use super::view::{Found, Stop, View, is_word};

/// Digits of a number without a letter.
pub(super) const DIGITS: usize = 9;

pub(super) const WORDS: &Words = &Words::new(&[
    b"passport",
    b"passports",
    b"passport_number",
    b"passportnumber",
    b"passeport",
    b"reisepass",
]);

/// A number whose first letter or digit is at `start`.
pub(super) fn at(view: &View<'_>, before: &Before<'_>) -> Found {
    let start = before.start();
    let Some(first) = view.known(start).filter(u8::is_ascii_alphanumeric) else { return Err(Stop::No) };
    let digits = if first.is_ascii_digit() { DIGITS } else { DIGITS - 1 };
    let begin = if first.is_ascii_digit() { start } else { start + 1 };
    let end = view.run(begin, digits + 1, |byte| byte.is_ascii_digit());
    if end == Err(Stop::No) || end.is_ok_and(|end| end != begin + digits) || !before.context().has(WORDS) {
        return Err(Stop::No);
    }
    let end = end?;
    match view.byte(end)? {
        Some(byte) if is_word(byte) => Err(Stop::No),
        _ => Ok(end),
    }
}
