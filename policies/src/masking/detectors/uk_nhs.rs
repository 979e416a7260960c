//! UK NHS numbers: ten digits, `NNN NNN NNNC`, the last a check digit modulo 11.
//!
//! Source: NHS Data Dictionary, "NHS NUMBER". Grouped by spaces they count by themselves unless they could be a
//! US telephone number; otherwise, and without separators, behind a word of context.

use super::context::{OTHER_NUMBERS, Words};
use super::numbers::{Between, Groups, Shape, Shapes, ends};
use super::view::{Found, Stop, View, longest};

pub(super) const WORDS: &Words = &Words::new(&[b"nhs", b"national health", b"patient", b"health service"]);

const GROUPED: Shape = &[(3, 3), (3, 3), (4, 4)];
const BARE: Shape = &[(10, 10)];
/// Which of the shapes some groups may have, at a glance.
pub(super) const QUICK: &Shapes = &Shapes::new(&[GROUPED, BARE]);

/// A number in digits.
pub(super) fn at(view: &View<'_>, groups: &Groups<'_>) -> Found {
    let grouped = groups.fit(GROUPED, Between::Same);
    let bare = groups.fit(BARE, Between::Same);
    if grouped == Err(Stop::No) && bare == Err(Stop::No) {
        return Err(Stop::No);
    }
    let named = groups.context().has_after(WORDS, OTHER_NUMBERS);
    let grouped = grouped.and_then(|end| {
        let digits = groups.digits(3);
        let telephone = digits.first() >= Some(&2) && digits.get(3) >= Some(&2);
        let spaced = groups.lengths().next().is_some_and(|(_, _, separator)| separator == b' ');
        if is_valid(digits) && (named || (spaced && !telephone)) { ends(view, end) } else { Err(Stop::No) }
    });
    let bare = match bare {
        Ok(end) if named && is_valid(groups.digits(1)) => ends(view, end),
        Err(Stop::More) if named => bare,
        _ => Err(Stop::No),
    };
    longest(grouped, bare)
}

/// Whether ten digits end in their check digit.
fn is_valid(digits: &[u8]) -> bool {
    let (Some(check), 10) = (digits.last(), digits.len()) else { return false };
    let sum: u32 = digits.iter().zip((2..=10).rev()).map(|(digit, weight)| u32::from(*digit) * weight).sum();
    let expected = (11 - sum % 11) % 11;
    expected == u32::from(*check) && digits.iter().any(|digit| *digit != 0)
}
