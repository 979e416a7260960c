//! US driver licence numbers behind words of context such as `driver license` or `DLN`.
//!
//! Source: AAMVA, "Driver License / Identification Card formats by state". Every state has its own shape and no
//! state a check digit, so the shape here is their union: up to three letters and then digits, 5 to 16 in all,
//! at least four of them digits, with single hyphens or none (Illinois `D123-4567-8901`).

use super::context::{Before, OTHER_NUMBERS, Words};
use super::view::{Found, Stop, View, is_word};

/// Letters and digits with the hyphens between them, and the byte behind.
pub(super) const LONGEST: usize = 16 + 5 + 2;

pub(super) const WORDS: &Words = &Words::new(&[
    b"driver license",
    b"driver's license",
    b"drivers license",
    b"driver licence",
    b"driver's licence",
    b"drivers licence",
    b"driving licence",
    b"driving license",
    b"driver_license",
    b"drivers_license",
    b"driver_licence",
    b"driverlicense",
    b"driverslicense",
    b"driver lic",
    b"dln",
    b"dl",
    b"license number",
    b"licence number",
    b"license no",
    b"licence no",
    b"license #",
    b"licence #",
    b"license_number",
]);

/// Whether one of the words may stand in `label`: all have `dl`, or `lic`.
pub(super) fn may_be_named(label: &[u8]) -> bool {
    label.windows(2).any(|pair| {
        matches!((pair.first(), pair.last()), (Some(b'd' | b'D'), Some(b'l' | b'L')))
            || matches!((pair.first(), pair.last()), (Some(b'l' | b'L'), Some(b'i' | b'I')))
    })
}

/// A number whose first letter or digit is at `start`.
pub(super) fn at(view: &View<'_>, before: &Before<'_>) -> Found {
    let start = before.start();
    if !before.context().has_after(WORDS, OTHER_NUMBERS) {
        return Err(Stop::No);
    }
    let mut shape = Shape::default();
    let mut at = start;
    let more = loop {
        let byte = match view.byte(at) {
            Ok(Some(byte)) => byte,
            Ok(None) => break false,
            Err(_) => break true,
        };
        match byte {
            b'0'..=b'9' => shape.digits += 1,
            b'A'..=b'Z' | b'a'..=b'z' if shape.digits == 0 => shape.letters += 1,
            b'-' if shape.digits + shape.letters > 0 => match view.byte(at + 1) {
                Ok(Some(next)) if next.is_ascii_digit() => shape.hyphens += 1,
                Ok(_) => break false,
                Err(_) => break true,
            },
            byte if is_word(byte) => return Err(Stop::No),
            _ => break false,
        }
        if shape.letters > 3 || shape.letters + shape.digits > 16 || shape.hyphens > 5 {
            return Err(Stop::No);
        }
        at += 1;
    };
    let fits = shape.digits >= 4 && shape.letters + shape.digits >= 5;
    match (more, fits) {
        (true, _) => Err(Stop::More),
        (false, true) => Ok(at),
        (false, false) => Err(Stop::No),
    }
}

/// What has been read of a number.
#[derive(Default)]
struct Shape {
    letters: usize,
    digits: usize,
    hyphens: usize,
}
