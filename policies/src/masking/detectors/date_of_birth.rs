//! Dates of birth: dates behind a word such as `born` or `DOB`.
//!
//! Source: the field formats of Unicode CLDR 44 for English, German, French and Spanish: `12/03/1985`,
//! `1985-03-12`, `12 March 1985`, `March 12, 1985`, `12. März 1985`, `12-Mar-1985`. Years 1900 to 2099, or two
//! digits. A month's name that begins the date must begin with a capital.

use super::context::{Before, Words};
use super::view::{Found, Stop, View, is_word, longest};

/// `30th of septiembre de 1985`, and a byte of context at the end.
pub(super) const LONGEST: usize = 32;

pub(super) const WORDS: &Words = &Words::new(&[
    b"dob",
    b"d.o.b",
    b"date of birth",
    b"date_of_birth",
    b"dateofbirth",
    b"birth date",
    b"birth_date",
    b"birthdate",
    b"birthday",
    b"birth",
    b"born",
    b"geboren",
    b"geburtsdatum",
    b"geb",
    b"n\xc3\xa9",
    b"n\xc3\xa9e",
    b"naissance",
    b"nacimiento",
    b"nacido",
    b"nacida",
    b"bday",
    b"b-day",
]);

/// Months, in lower case. Longer forms before their abbreviations.
const MONTHS: &[&[u8]] = &[
    b"january",
    b"februar",
    b"february",
    b"march",
    b"april",
    b"may",
    b"june",
    b"july",
    b"august",
    b"september",
    b"october",
    b"november",
    b"december",
    b"januar",
    b"m\xc3\xa4rz",
    b"mai",
    b"juni",
    b"juli",
    b"oktober",
    b"dezember",
    b"janvier",
    b"f\xc3\xa9vrier",
    b"mars",
    b"avril",
    b"juin",
    b"juillet",
    b"ao\xc3\xbbt",
    b"septembre",
    b"octobre",
    b"novembre",
    b"d\xc3\xa9cembre",
    b"enero",
    b"febrero",
    b"marzo",
    b"abril",
    b"mayo",
    b"junio",
    b"julio",
    b"agosto",
    b"septiembre",
    b"octubre",
    b"noviembre",
    b"diciembre",
    b"jan",
    b"feb",
    b"mar",
    b"apr",
    b"jun",
    b"jul",
    b"aug",
    b"sep",
    b"sept",
    b"oct",
    b"nov",
    b"dec",
    b"okt",
    b"dez",
];

/// The names of months, in lower case.
pub(super) fn months() -> impl Iterator<Item = &'static [u8]> {
    MONTHS.iter().copied()
}

/// A date whose first digit is at `start`.
pub(super) fn at(view: &View<'_>, before: &Before<'_>) -> Found {
    let start = before.start();
    in_context(before, longest(numeric(view, start), day_first(view, start)))
}

/// A date that begins with a month's name at `start`.
pub(super) fn month_first(view: &View<'_>, start: usize) -> Found {
    if !view.word_begins(start) || !may_be_month(view, start) {
        return Err(Stop::No);
    }
    in_context(&Before::new(view, start), with_month_first(view, start))
}

/// Whether the first three letters are a month's, as far as they are known: tells most words apart.
fn may_be_month(view: &View<'_>, start: usize) -> bool {
    let mut letters = [0; 3];
    for (offset, letter) in letters.iter_mut().enumerate() {
        match view.known(start + offset) {
            // All begin with a letter of ASCII.
            Some(byte) if offset == 0 && !byte.is_ascii_alphabetic() => return false,
            Some(byte) => *letter = byte.to_ascii_lowercase(),
            None => return !view.ended,
        }
    }
    matches!(
        &letters,
        b"jan"
            | b"feb"
            | b"mar"
            | b"apr"
            | b"may"
            | b"jun"
            | b"jul"
            | b"aug"
            | b"sep"
            | b"oct"
            | b"nov"
            | b"dec"
            | b"mai"
            | b"m\xc3\xa4"
            | b"okt"
            | b"dez"
            | b"f\xc3\xa9"
            | b"avr"
            | b"jui"
            | b"ao\xc3"
            | b"d\xc3\xa9"
            | b"ene"
            | b"abr"
            | b"ago"
            | b"dic"
    )
}

fn in_context(before: &Before<'_>, found: Found) -> Found {
    if found == Err(Stop::No) || !before.context().has(WORDS) { Err(Stop::No) } else { found }
}

/// `12/03/1985`, `12.03.85`, `1985-03-12`.
fn numeric(view: &View<'_>, start: usize) -> Found {
    let (first, at) = number(view, start, 4)?;
    let separator = view.byte(at)?;
    if !matches!(separator, Some(b'/' | b'-' | b'.' | b' ')) {
        return Err(Stop::No);
    }
    let (second, next) = number(view, at + 1, 2)?;
    if view.byte(next)? != separator {
        return Err(Stop::No);
    }
    let (third, end) = number(view, next + 1, 4)?;
    let day = |number| (1..=31).contains(&number);
    let year = |number, digits| (digits == 4 && is_year(number)) || digits == 2;
    let valid = match at - start {
        4 => is_year(first) && (1..=12).contains(&second) && day(third) && end - next <= 3,
        _ => {
            day(first)
                && day(second)
                && first.min(second) <= 12
                && at - start <= 2
                && year(third, end - next - 1)
        }
    };
    // A time may follow a date, as in ISO 8601.
    match view.byte(end)? {
        Some(b'T') if valid => Ok(end),
        Some(byte) if is_word(byte) => Err(Stop::No),
        // One more group of digits, and it is no date.
        byte if byte == separator && view.byte(end + 1)?.is_some_and(|byte| byte.is_ascii_digit()) => {
            Err(Stop::No)
        }
        _ if valid => Ok(end),
        _ => Err(Stop::No),
    }
}

/// `12 March 1985`, `12th of March, 1985`, `12. März 1985`, `12-Mar-1985`.
fn day_first(view: &View<'_>, start: usize) -> Found {
    let (day, at) = number(view, start, 2)?;
    if !(1..=31).contains(&day) {
        return Err(Stop::No);
    }
    let at = ordinal(view, at)?;
    let mut at = separator(view, at, b" -./")?;
    for word in [&b"of "[..], b"de "] {
        match view.literal(at, word) {
            Err(Stop::No) => {}
            found => at = found?,
        }
    }
    let at = month(view, at)?;
    let mut at = separator(view, at, b" -./,")?;
    match view.literal(at, b"de ") {
        Err(Stop::No) => {}
        found => at = found?,
    }
    year_at(view, at)
}

/// `March 12, 1985`, `Mar. 12th 1985`.
fn with_month_first(view: &View<'_>, start: usize) -> Found {
    let at = month(view, start)?;
    let at = separator(view, at, b" -./")?;
    let (day, at) = number(view, at, 2)?;
    if !(1..=31).contains(&day) {
        return Err(Stop::No);
    }
    let at = ordinal(view, at)?;
    let at = separator(view, at, b" -/,")?;
    year_at(view, at)
}

/// A year of four digits that ends a word.
fn year_at(view: &View<'_>, at: usize) -> Found {
    let (year, end) = number(view, at, 4)?;
    if end - at != 4 || !is_year(year) {
        return Err(Stop::No);
    }
    view.word_ends(end)
}

fn is_year(number: u32) -> bool {
    (1900..=2099).contains(&number)
}

/// A number of one to `most` digits, and where it ends.
fn number(view: &View<'_>, start: usize, most: usize) -> Result<(u32, usize), Stop> {
    let end = view.run(start, most + 1, |byte| byte.is_ascii_digit())?;
    if end == start || end > start + most {
        return Err(Stop::No);
    }
    let value = view.span(start, end).iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
    Ok((value, end))
}

/// Past `st`, `nd`, `rd`, `th` if they come.
fn ordinal(view: &View<'_>, at: usize) -> Found {
    let Some(first) = view.byte(at)?.filter(|byte| matches!(byte, b's' | b'n' | b'r' | b't')) else {
        return Ok(at);
    };
    match (first, view.byte(at + 1)?) {
        (b's', Some(b't')) | (b'n' | b'r', Some(b'd')) | (b't', Some(b'h')) => Ok(at + 2),
        _ => Ok(at),
    }
}

/// Past one of `separators`, and a space after it.
fn separator(view: &View<'_>, at: usize, separators: &[u8]) -> Found {
    match view.byte(at)? {
        Some(byte) if separators.contains(&byte) => {}
        _ => return Err(Stop::No),
    }
    Ok(if view.byte(at + 1)? == Some(b' ') { at + 2 } else { at + 1 })
}

/// Past a month's name, whole.
fn month(view: &View<'_>, at: usize) -> Found {
    if !may_be_month(view, at) {
        return Err(Stop::No);
    }
    let mut found = Err(Stop::No);
    for name in MONTHS {
        let mut end = Ok(at);
        for (offset, letter) in name.iter().enumerate() {
            match view.byte(at + offset) {
                Ok(Some(byte)) if byte.to_ascii_lowercase() == *letter => end = Ok(at + offset + 1),
                Ok(_) => end = Err(Stop::No),
                Err(stop) => end = Err(stop),
            }
            if end.is_err() {
                break;
            }
        }
        found = longest(found, end);
    }
    let end = found?;
    match view.byte(end)? {
        Some(byte) if byte.is_ascii_alphabetic() => Err(Stop::No),
        Some(b'.') => Ok(if matches!(view.byte(end + 1)?, Some(b' ' | b'-')) { end + 1 } else { end }),
        _ => Ok(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_month_is_told_by_its_first_letters() {
        for month in MONTHS {
            let view =
                View { before: b"", text: month, floor: 0, wall: isize::MIN, labelled: false, ended: true };
            assert!(may_be_month(&view, 0), "{}", String::from_utf8_lossy(month));
            assert_eq!(super::month(&view, 0), Ok(month.len()));
        }
        let view =
            View { before: b"", text: b"Mark", floor: 0, wall: isize::MIN, labelled: false, ended: true };
        assert_eq!(super::month(&view, 0), Err(Stop::No));
    }
}
