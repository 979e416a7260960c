//! Payment card numbers: 12 to 19 digits with a check digit, in an issuer's range, with separators or without.
//!
//! Sources: ISO/IEC 7812-1 (structure, and the Luhn formula in annex B); the issuers' published ranges as
//! collected in "Payment card number" (EN Wikipedia, 2025). Thirteen-digit milliseconds and sixteen-digit
//! microseconds begin with 1, which is no issuer's.

use super::context::{OTHER_NUMBERS, Words};
use super::numbers::{Between, Groups, Shape, Shapes, ends, stands_alone};
use super::view::{Found, Stop, View, longest};

/// Groups as printed on cards and forms.
const SHAPES: &[Shape] = &[
    &[(12, 19)],
    &[(4, 4), (4, 4), (4, 5)],
    &[(4, 4), (4, 4), (4, 4), (1, 4)],
    &[(4, 4), (4, 4), (4, 4), (4, 4), (1, 3)],
    // American Express and Diners Club.
    &[(4, 4), (6, 6), (4, 5)],
    // Maestro and UnionPay.
    &[(6, 6), (13, 13)],
    &[(4, 4), (4, 4), (5, 5)],
    &[(8, 8), (4, 8)],
    &[(6, 6), (6, 6), (4, 6)],
    &[(6, 6), (10, 10)],
];

/// Which of the shapes some groups may have, at a glance.
pub(super) const QUICK: &Shapes = &Shapes::new(SHAPES);

/// A number in digits.
pub(super) fn at(view: &View<'_>, groups: &Groups<'_>) -> Found {
    if !may_begin(groups.known_digits()) {
        return Err(Stop::No);
    }
    let mut found = Err(Stop::No);
    for shape in QUICK.of(groups).filter_map(|index| SHAPES.get(index)) {
        let end = groups.fit(shape, Between::Mixed).and_then(|end| {
            let digits = groups.digits(shape.len());
            if is_valid(digits) && !is_other(view, groups, shape.len(), digits.len()) {
                card_ends(view, end)
            } else {
                Err(Stop::No)
            }
        });
        found = longest(found, end);
        if found == Err(Stop::More) {
            return found;
        }
    }
    found
}

/// Words right before a number that make it an identifier, where it has a length that few cards have.
const IDS: &Words = &Words::new(&[b"id", b"message", b"msg"]);

/// Whether what stands right before says that the digits are something else, such as `order 4…`, or the end of
/// something longer. Fifteen and sixteen digits, which most cards have, are never let through with separators.
fn is_other(view: &View<'_>, groups: &Groups<'_>, shape: usize, length: usize) -> bool {
    let usual = matches!(length, 15 | 16);
    if usual && shape > 1 {
        return false;
    }
    let context = groups.context();
    context.ends_with(OTHER_NUMBERS)
        || (!usual && (context.ends_with(IDS) || !stands_alone(view, groups.start())))
}

/// Whether a card's number may end at `end`: as numbers do, and before a slash and its expiry date.
fn card_ends(view: &View<'_>, end: usize) -> Found {
    if view.byte(end)? == Some(b'/') { Ok(end) } else { ends(view, end) }
}

/// Whether cards begin like `digits`, however few.
fn may_begin(digits: &[u8]) -> bool {
    matches!(digits, [] | [2..=6, ..] | [8, 1 | 2 | 6, ..] | [9, 7 | 8, ..] | [8] | [9])
}

/// Whether `digits` are a card's: its issuer's range and length, and its check digit.
fn is_valid(digits: &[u8]) -> bool {
    in_range(digits) && luhn(digits)
}

/// Luhn's formula: ISO/IEC 7812-1 annex B.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(*digit);
            match (place % 2, digit * 2) {
                (0, _) => digit,
                (_, doubled) if doubled > 9 => doubled - 9,
                (_, doubled) => doubled,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether an issuer has cards of this length that begin so.
fn in_range(digits: &[u8]) -> bool {
    let [a, b, c, d, e, f, ..] = digits else { return false };
    let two = u32::from(*a) * 10 + u32::from(*b);
    let three = two * 10 + u32::from(*c);
    let four = three * 10 + u32::from(*d);
    let six = four * 100 + u32::from(*e) * 10 + u32::from(*f);
    match digits.len() {
        // Maestro.
        12 => maestro(four),
        // Visa's old length, Maestro.
        13 => two / 10 == 4 || maestro(four),
        // Diners Club, Maestro.
        14 => matches!(three, 300..=305 | 309) || matches!(two, 36 | 38 | 39) || maestro(four),
        // American Express, Diners Club enRoute, JCB's old ranges, Maestro.
        15 => matches!(two, 34 | 37) || matches!(four, 2014 | 2149 | 2131 | 1800) || maestro(four),
        16 => {
            matches!(two, 40..=49 | 50..=59 | 60..=69 | 81 | 82)
                || matches!(four, 2200..=2204 | 2205 | 2221..=2720)
                || matches!(four, 3528..=3589 | 3088..=3094 | 3096..=3102 | 3112..=3120 | 3158..=3159 | 3337..=3349)
                || matches!(two, 36 | 38 | 39)
                || matches!(three, 300..=305 | 353 | 356)
                || matches!(four, 8600 | 9792 | 9860)
        }
        17 => {
            maestro(four)
                || matches!(four, 2200..=2204)
                || two == 62
                || matches!(three, 300..=305)
                || matches!(two, 36 | 38 | 39)
        }
        18 => {
            maestro(four)
                || matches!(four, 2200..=2204)
                || two == 62
                || matches!(six, 506_099..=506_198 | 650_002..=650_027 | 507_865..=507_964)
                || matches!(two, 36 | 38 | 39)
                || matches!(three, 300..=305)
        }
        19 => {
            two / 10 == 4
                || maestro(four)
                || matches!(two, 36 | 38 | 39 | 62 | 65 | 81)
                || matches!(three, 300..=305 | 644..=649)
                || matches!(four, 2200..=2204 | 3528..=3589 | 6011)
                || matches!(six, 506_099..=506_198 | 507_865..=507_964)
        }
        _ => false,
    }
}

/// Maestro's ranges, which allow every length from 12 to 19.
fn maestro(four: u32) -> bool {
    matches!(
        four,
        5018 | 5020 | 5038 | 5893 | 6304 | 6390 | 6703 | 6706 | 6709 | 6759 | 6761
            ..=6763 | 6767 | 6771 | 6777
    )
}
