//! US social security numbers: `AAA-GG-SSSS`.
//!
//! Source: SSA, "Social Security Number Randomization" (2011): the area is never 000, 666 or 900–999, the group
//! never 00, the serial never 0000. Nine digits without separators count only behind a word of context.

use super::context::{OTHER_NUMBERS, Words};
use super::numbers::{Between, Groups, Shape, Shapes, ends};
use super::view::{Found, Stop, View, longest};

pub(super) const WORDS: &Words = &Words::new(&[
    b"ssn",
    b"social security",
    b"social sec",
    b"soc sec",
    b"ss#",
    b"ss number",
    b"socialsecurity",
    b"social_security",
    b"socialsecuritynumber",
    b"ssnumber",
    b"tin",
    b"tax id",
    b"tax_id",
    b"taxid",
    b"taxpayer",
    b"itin",
]);

const SEPARATED: Shape = &[(3, 3), (2, 2), (4, 4)];
const BARE: Shape = &[(9, 9)];
/// Which of the shapes some groups may have, at a glance.
pub(super) const QUICK: &Shapes = &Shapes::new(&[SEPARATED, BARE]);

/// A number in digits.
pub(super) fn at(view: &View<'_>, groups: &Groups<'_>) -> Found {
    nine(view, groups, is_valid)
}

/// Nine digits, as three groups or bare with context, that `valid` accepts. Also the form of an ITIN.
pub(super) fn nine(view: &View<'_>, groups: &Groups<'_>, valid: fn(&[u8]) -> bool) -> Found {
    let check = |count| if valid(groups.digits(count)) { Ok(()) } else { Err(Stop::No) };
    if QUICK.of(groups).next().is_none() {
        return Err(Stop::No);
    }
    let separated = groups.fit(SEPARATED, Between::Same).and_then(|end| {
        check(3)?;
        ends(view, end)
    });
    let bare = groups.fit(BARE, Between::Same).and_then(|end| {
        check(1)?;
        Ok(end)
    });
    let bare = match bare {
        Err(Stop::No) => bare,
        _ if !groups.context().has_after(WORDS, OTHER_NUMBERS) => Err(Stop::No),
        Ok(end) => ends(view, end),
        more => more,
    };
    longest(separated, bare)
}

/// Whether nine digits may be a number that was assigned.
fn is_valid(digits: &[u8]) -> bool {
    let [a, b, c, d, e, serial @ ..] = digits else { return false };
    let area = [*a, *b, *c];
    area != [0, 0, 0]
        && area != [6, 6, 6]
        && *a != 9
        && [*d, *e] != [0, 0]
        && serial.iter().any(|digit| *digit != 0)
}
