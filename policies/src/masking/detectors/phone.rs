//! Telephone numbers: international, and national as written in the US, UK, Germany, France, Spain and India.
//!
//! Sources: ITU-T E.164 (at most 15 digits, no country code begins with 0) and E.123 (notation); the North
//! American Numbering Plan (area and exchange begin with 2–9); Ofcom's National Telephone Numbering Plan;
//! Bundesnetzagentur's Nummernraum; ARCEP's plan; the Spanish Plan Nacional de Numeración; the Indian National
//! Numbering Plan. What has no distinct form, such as ten digits in a row, counts behind a word of context.

use super::context::{Before, OTHER_NUMBERS, Words};
use super::numbers::{Between, Groups, Shape, Shapes, ends, stands_alone};
use super::view::{Found, Stop, View, is_word, longest};

/// `+` and 15 digits, each with a separator of two bytes after it, and the two bytes that show the end.
pub(super) const LONGEST: usize = 1 + 15 * 3 + 2;

pub(super) const WORDS: &Words = &Words::new(&[
    b"phone",
    b"phones",
    b"telephone",
    b"tel",
    b"mobile",
    b"cell",
    b"cellphone",
    b"call",
    b"fax",
    b"whatsapp",
    b"sms",
    b"dial",
    b"hotline",
    b"contact",
    b"text",
    b"ring",
    b"reach",
    b"mob",
    b"ph",
    b"handy",
    b"telefon",
    b"mobil",
    b"rufnummer",
    b"anruf",
    b"portable",
    b"t\xc3\xa9l",
    b"t\xc3\xa9l\xc3\xa9phone",
    b"telefono",
    b"tel\xc3\xa9fono",
    b"movil",
    b"m\xc3\xb3vil",
    b"llama",
    b"appelez",
    b"phonenumber",
    b"phone_number",
]);

/// A national form: the groups, what separates them, how the digits begin, and how many there are in all.
struct Form {
    shape: Shape,
    between: Between,
    /// Whether digits, however few, may begin such a number.
    begins: fn(&[u8]) -> bool,
    total: (usize, usize),
    /// Whether it counts only behind a word of context.
    named: bool,
}

const fn form(shape: Shape, between: Between, begins: fn(&[u8]) -> bool, total: (usize, usize)) -> Form {
    Form { shape, between, begins, total, named: false }
}

const fn named(shape: Shape) -> Form {
    Form { shape, between: Between::Any, begins: |_| true, total: (7, 15), named: true }
}

const FORMS: &[Form] = &[
    // US: 415-555-2671, 1-415-555-2671.
    form(&[(3, 3), (3, 3), (4, 4)], Between::Same, american, (10, 10)),
    form(&[(1, 1), (3, 3), (3, 3), (4, 4)], Between::Same, american_long, (11, 11)),
    // UK: 020 7946 0958, 0161 496 0000, 01632 960001, 07700 900 123.
    form(&[(3, 3), (4, 4), (4, 4)], Between::Mixed, british, (11, 11)),
    form(&[(4, 4), (3, 3), (4, 4)], Between::Mixed, british, (11, 11)),
    form(&[(5, 5), (5, 6)], Between::Mixed, british, (10, 11)),
    form(&[(5, 5), (3, 3), (3, 3)], Between::Mixed, british, (11, 11)),
    form(&[(11, 11)], Between::Same, british, (11, 11)),
    // Germany: 030 1234567, 030/1234567, 0151 23456789, 089 123 456 78, 015123456789.
    form(&[(3, 6), (4, 9)], Between::Any, german, (9, 13)),
    form(&[(3, 6), (2, 5), (2, 5)], Between::Area, german, (10, 13)),
    form(&[(3, 6), (2, 4), (2, 4), (2, 4)], Between::Area, german, (9, 13)),
    form(&[(11, 12)], Between::Same, german_mobile, (11, 12)),
    // France: 01 23 45 67 89, 0612345678.
    form(&[(2, 2), (2, 2), (2, 2), (2, 2), (2, 2)], Between::Same, french, (10, 10)),
    form(&[(10, 10)], Between::Same, french, (10, 10)),
    // Spain: 612 345 678, 612 34 56 78, 91 123 45 67.
    form(&[(3, 3), (3, 3), (3, 3)], Between::Same, spanish, (9, 9)),
    form(&[(3, 3), (2, 2), (2, 2), (2, 2)], Between::Same, spanish, (9, 9)),
    form(&[(2, 2), (3, 3), (2, 2), (2, 2)], Between::Same, spanish, (9, 9)),
    // India: 98765 43210, 098765 43210, 022 2345 6789.
    form(&[(5, 5), (5, 5)], Between::Mixed, indian, (10, 10)),
    form(&[(6, 6), (5, 5)], Between::Mixed, indian_trunk, (11, 11)),
    // With a word of context, whatever the country.
    named(&[(7, 15)]),
    named(&[(2, 6), (4, 10)]),
    named(&[(2, 5), (2, 5), (2, 5)]),
    named(&[(1, 5), (2, 4), (2, 4), (2, 4)]),
    named(&[(1, 4), (2, 4), (2, 4), (2, 4), (2, 4)]),
];

/// Which of the forms some groups may have, at a glance.
pub(super) const QUICK: &Shapes = &Shapes::new(&{
    let mut shapes: [Shape; FORMS.len()] = [&[]; FORMS.len()];
    let (mut rest, mut forms): (&mut [Shape], &[Form]) = (&mut shapes, FORMS);
    while let ([shape, more @ ..], [form, behind @ ..]) = (rest, forms) {
        *shape = form.shape;
        (rest, forms) = (more, behind);
    }
    shapes
});

/// Country codes that are told apart, with the fewest and the most digits of a whole number.
const COUNTRIES: &[(&[u8], usize, usize)] = &[
    (&[1], 11, 11),
    (&[7], 11, 11),
    (&[3, 1], 11, 11),
    (&[3, 2], 10, 11),
    (&[3, 3], 11, 11),
    (&[3, 4], 11, 11),
    (&[3, 9], 10, 13),
    (&[4, 1], 11, 11),
    (&[4, 3], 9, 13),
    (&[4, 4], 11, 12),
    (&[4, 6], 9, 12),
    (&[4, 8], 11, 11),
    (&[4, 9], 9, 13),
    (&[5, 2], 12, 12),
    (&[5, 5], 12, 13),
    (&[6, 1], 11, 11),
    (&[8, 1], 11, 12),
    (&[8, 6], 12, 13),
    (&[9, 1], 12, 12),
    (&[3, 5, 1], 12, 12),
];

/// The most digits of any number: E.164 section 6.
const MOST: usize = 15;
/// The fewest digits behind `+` that count: small countries have seven with their code.
const FEWEST: usize = 8;

/// A national number in digits, or an international one behind `00`.
pub(super) fn at(view: &View<'_>, groups: &Groups<'_>) -> Found {
    let start = groups.start();
    let known = groups.known_digits();
    let mut found = match known {
        [0] | [0, 0, ..] if stands_alone(view, start) && !groups.context().ends_with(OTHER_NUMBERS) => {
            exit_code(view, start)
        }
        _ => Err(Stop::No),
    };
    let (mut named, mut other) = (None, None);
    for form in QUICK.of(groups).filter_map(|index| FORMS.get(index)) {
        if found == Err(Stop::More) {
            break;
        }
        if !(form.begins)(known) || (form.named && named == Some(false)) {
            continue;
        }
        let fits = groups.fit(form.shape, form.between).and_then(|end| {
            let digits = groups.digits(form.shape.len());
            if digits.len() < form.total.0
                || digits.len() > form.total.1
                || (form.shape.len() == 1 && is_book(digits))
            {
                return Err(Stop::No);
            }
            ends(view, end)
        });
        if fits == Err(Stop::No) {
            continue;
        }
        let named = *named.get_or_insert_with(|| groups.context().has_after(WORDS, OTHER_NUMBERS));
        let mut other = || {
            *other.get_or_insert_with(|| {
                !stands_alone(view, start) || groups.context().ends_with(OTHER_NUMBERS)
            })
        };
        if named || !(form.named || other()) {
            found = longest(found, fits);
        }
    }
    found
}

/// A number that begins with `(`: `(415) 555-2671`, `(020) 7946 0958`.
pub(super) fn in_parentheses(view: &View<'_>, start: usize) -> Found {
    if view.previous(start).is_some_and(|byte| is_word(byte) || byte == b'(') {
        return Err(Stop::No);
    }
    let area_ends = view.run(start + 1, 6, |byte| byte.is_ascii_digit())?;
    let area = view.span(start + 1, area_ends);
    let national = match area {
        [b'0', b'1'..=b'9', ..] => true,
        [b'2'..=b'9', _, _] => false,
        _ => return Err(Stop::No),
    };
    if area.len() < 3 || view.byte(area_ends)? != Some(b')') {
        return Err(Stop::No);
    }
    let begin = match view.byte(area_ends + 1)? {
        Some(b' ' | b'-' | b'/') => area_ends + 2,
        _ => area_ends + 1,
    };
    if !view.byte(begin)?.is_some_and(|byte| byte.is_ascii_digit()) {
        return Err(Stop::No);
    }
    let before = Before::new(view, begin);
    let groups = Groups::read(view, &before);
    let bounded = |found: Found| found.and_then(|end| ends(view, end));
    if national {
        let one = bounded(groups.fit(&[(4, 9)], Between::Any));
        let two = bounded(groups.fit(&[(2, 5), (2, 5)], Between::Any));
        let three = bounded(groups.fit(&[(2, 4), (2, 4), (2, 4)], Between::Any));
        return longest(one, longest(two, three));
    }
    let exchange = groups.known_digits().first().is_none_or(|digit| *digit >= 2);
    let found = longest(
        bounded(groups.fit(&[(3, 3), (4, 4)], Between::Same)),
        bounded(groups.fit(&[(7, 7)], Between::Same)),
    );
    if exchange { found } else { Err(Stop::No) }
}

/// An international number that begins with `+`.
pub(super) fn international(view: &View<'_>, start: usize) -> Found {
    if view.previous(start).is_some_and(|byte| is_word(byte) || byte == b'+') {
        return Err(Stop::No);
    }
    behind_code(view, start + 1, false)
}

/// An international number that begins with `00`, of a country that is told apart.
fn exit_code(view: &View<'_>, start: usize) -> Found {
    let begin = view.literal(start, b"00")?;
    behind_code(view, begin, true)
}

/// The digits of an international number from the country code on.
fn behind_code(view: &View<'_>, begin: usize, strict: bool) -> Found {
    let mut digits = [0u8; MOST];
    let mut total = 0;
    let mut at = begin;
    let mut in_parentheses = false;
    // The last place where the number may end, and the digits up to there.
    let mut last = None;
    let mut overlong = false;
    loop {
        let byte = view.byte(at)?;
        match byte {
            // The digit that is dialled only at home does not count: `+44 (0)20`.
            Some(b'0')
                if in_parentheses && view.previous(at) == Some(b'(') && view.byte(at + 1)? == Some(b')') =>
            {
                at += 1;
                continue;
            }
            Some(digit @ b'0'..=b'9') => {
                let Some(place) = digits.get_mut(total) else {
                    overlong = true;
                    break;
                };
                *place = digit - b'0';
                total += 1;
                at += 1;
                if total == 1 && digit == b'0' {
                    return Err(Stop::No);
                }
                continue;
            }
            Some(b')') if in_parentheses => {
                in_parentheses = false;
                at += 1;
            }
            Some(byte) if is_word(byte) => break,
            _ => {}
        }
        if !in_parentheses && total >= FEWEST {
            if country(&digits).is_some_and(|(_, most)| total > most) && last.is_some() {
                break;
            }
            last = Some((at, total));
        }
        // One separator, or a space and a parenthesis, before the next digit.
        let mut next = at;
        if matches!(view.byte(next)?, Some(b' ' | b'-' | b'.' | b'/')) {
            next += 1;
        }
        if !in_parentheses && total > 0 && view.byte(next)? == Some(b'(') {
            next += 1;
            in_parentheses = true;
        }
        if next == at && byte != Some(b')') || !view.byte(next)?.is_some_and(|byte| byte.is_ascii_digit()) {
            overlong = false;
            break;
        }
        at = next;
    }
    let word_goes_on = !overlong && view.byte(at)?.is_some_and(is_word);
    match last {
        Some((end, count)) if !(word_goes_on && end == at) => match country(&digits) {
            Some((fewest, _)) if strict && count < fewest => Err(Stop::No),
            None if strict => Err(Stop::No),
            _ => Ok(end),
        },
        _ => Err(Stop::No),
    }
}

/// The fewest and most digits of numbers of the country that `digits` begin with.
fn country(digits: &[u8]) -> Option<(usize, usize)> {
    COUNTRIES.iter().find(|(code, _, _)| digits.starts_with(code)).map(|(_, fewest, most)| (*fewest, *most))
}

/// Whether the digit at `index`, if there is one, is in `range`.
fn digit(digits: &[u8], index: usize, range: std::ops::RangeInclusive<u8>) -> bool {
    digits.get(index).is_none_or(|digit| range.contains(digit))
}

fn american(digits: &[u8]) -> bool {
    digit(digits, 0, 2..=9) && digit(digits, 3, 2..=9)
}

fn american_long(digits: &[u8]) -> bool {
    digit(digits, 0, 1..=1) && digits.get(1..).is_none_or(american)
}

fn british(digits: &[u8]) -> bool {
    digit(digits, 0, 0..=0) && digits.get(1).is_none_or(|digit| matches!(digit, 1 | 2 | 3 | 7 | 8))
}

fn german(digits: &[u8]) -> bool {
    digit(digits, 0, 0..=0) && digit(digits, 1, 1..=9)
}

fn german_mobile(digits: &[u8]) -> bool {
    digit(digits, 0, 0..=0) && digit(digits, 1, 1..=1) && digit(digits, 2, 5..=7)
}

fn french(digits: &[u8]) -> bool {
    digit(digits, 0, 0..=0) && digit(digits, 1, 1..=9)
}

fn spanish(digits: &[u8]) -> bool {
    digits.first().is_none_or(|digit| matches!(digit, 6 | 7 | 9))
}

fn indian(digits: &[u8]) -> bool {
    digit(digits, 0, 6..=9)
}

fn indian_trunk(digits: &[u8]) -> bool {
    digit(digits, 0, 0..=0) && digits.get(1..).is_none_or(indian)
}

/// Whether ten digits in a row are a book's number (ISO 2108, ISBN-10) rather than a French landline's.
fn is_book(digits: &[u8]) -> bool {
    if digits.len() != 10 || digits.first() != Some(&0) || matches!(digits.get(1), Some(6 | 7)) {
        return false;
    }
    let sum: u32 = digits.iter().zip((1..=10).rev()).map(|(digit, weight)| u32::from(*digit) * weight).sum();
    sum.is_multiple_of(11)
}
