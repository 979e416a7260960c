//! US bank routing numbers: nine digits behind a word of context.
//!
//! Source: American Bankers Association, "ABA Routing Number Policy": weights 3, 7, 1 sum to a multiple of ten;
//! the first two digits are 00–12, 21–32, 61–72 or 80.

use super::context::{OTHER_NUMBERS, Words};
use super::numbers::{Between, Groups, Shape, Shapes, ends};
use super::view::{Found, Stop, View};

pub(super) const WORDS: &Words = &Words::new(&[
    b"routing",
    b"aba",
    b"rtn",
    b"transit number",
    b"routing_number",
    b"routingnumber",
    b"bank code",
    b"ach",
]);

const BARE: Shape = &[(9, 9)];
/// Whether some groups may be such a number, at a glance.
pub(super) const QUICK: &Shapes = &Shapes::new(&[BARE]);

/// A number in digits.
pub(super) fn at(view: &View<'_>, groups: &Groups<'_>) -> Found {
    let bare = groups.fit(BARE, Between::Same);
    if bare == Err(Stop::No) || !groups.context().has_after(WORDS, OTHER_NUMBERS) {
        return Err(Stop::No);
    }
    let end = bare?;
    if is_valid(groups.digits(1)) { ends(view, end) } else { Err(Stop::No) }
}

/// Whether nine digits are a number of a district that exists and end in their check digit.
fn is_valid(digits: &[u8]) -> bool {
    let [tens, ones, ..] = digits else { return false };
    let sum: u32 = digits
        .iter()
        .zip([3, 7, 1].into_iter().cycle())
        .map(|(digit, weight)| u32::from(*digit) * weight)
        .sum();
    matches!(tens * 10 + ones, 0..=12 | 21..=32 | 61..=72 | 80) && sum > 0 && sum.is_multiple_of(10)
}
