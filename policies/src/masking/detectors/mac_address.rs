//! Hardware addresses: EUI-48 and EUI-64 as `00:1b:44:11:3a:b7`, `00-1B-44-11-3A-B7`, `001b.4411.3ab7`.
//!
//! Source: IEEE Std 802-2014 section 8.1 (hexadecimal notation). Longer chains, such as fingerprints, are none.

use super::view::{Found, Stop, View, is_word};

/// An EUI-64 in pairs and the two bytes that show the end.
pub(super) const LONGEST: usize = 8 * 3 - 1 + 2;

/// An address in pairs whose first separator, `:` or `-`, is at `separator`: where it begins, and where it ends.
pub(super) fn pairs(view: &View<'_>, separator: usize) -> (usize, Found) {
    let start = view.run_back(separator, 2, |byte| byte.is_ascii_hexdigit());
    if start + 2 != separator {
        return (start, Err(Stop::No));
    }
    (start, groups(view, start, 2, &[6, 8]))
}

/// An address in fours whose first dot is at `dot`.
pub(super) fn fours(view: &View<'_>, dot: usize) -> (usize, Found) {
    let start = view.run_back(dot, 4, |byte| byte.is_ascii_hexdigit());
    if start + 4 != dot {
        return (start, Err(Stop::No));
    }
    (start, groups(view, start, 4, &[3]))
}

/// An address in either form at `start`, as far as it is known.
pub(super) fn at(view: &View<'_>, start: usize) -> Found {
    super::view::longest(groups(view, start, 2, &[6, 8]), groups(view, start, 4, &[3]))
}

/// As many groups of `size` hexadecimal digits as one of `counts`, with one separator throughout.
fn groups(view: &View<'_>, start: usize, size: usize, counts: &[usize]) -> Found {
    if !view.word_begins(start) || view.follows_group(start) {
        return Err(Stop::No);
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    let mut separator = None;
    let mut at = start;
    for count in 1..=most {
        for _ in 0..size {
            if !view.byte(at)?.is_some_and(|byte| byte.is_ascii_hexdigit()) {
                return Err(Stop::No);
            }
            at += 1;
        }
        let next = view.byte(at)?;
        let goes_on = match separator {
            None => {
                next.is_some_and(|byte| if size == 4 { byte == b'.' } else { matches!(byte, b':' | b'-') })
            }
            some => next == some,
        };
        let goes_on = goes_on && view.byte(at + 1)?.is_some_and(|byte| byte.is_ascii_hexdigit());
        if !goes_on {
            return if counts.contains(&count) && !next.is_some_and(is_word) {
                Ok(at)
            } else {
                Err(Stop::No)
            };
        }
        separator = next;
        at += 1;
    }
    Err(Stop::No)
}
