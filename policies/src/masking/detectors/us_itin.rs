//! US individual taxpayer identification numbers: `9NN-GG-NNNN`.
//!
//! Source: IRS Publication 1915 and the Internal Revenue Manual 3.21.263: the first digit is 9, the group is
//! 50–65, 70–88, 90–92 or 94–99. Without separators they count only behind a word of context.

use super::numbers::Groups;
use super::us_ssn;
use super::view::{Found, View};

/// A number in digits.
pub(super) fn at(view: &View<'_>, groups: &Groups<'_>) -> Found {
    us_ssn::nine(view, groups, is_valid)
}

/// Whether nine digits may be a number that was assigned.
fn is_valid(digits: &[u8]) -> bool {
    let [9, _, _, tens, ones, ..] = digits else { return false };
    matches!(tens * 10 + ones, 50..=65 | 70..=88 | 90..=92 | 94..=99)
}
