//! What a glance tells: a table of bytes that may belong to a value, and for most of them that they do not, from
//! the few bytes around them. Never decides that something is a value; what is dull here, the recognisers would
//! have turned down.

use super::super::view::{View, is_word};
use super::super::{date_of_birth, secrets};
use crate::eight;

/// Why bytes are of interest, a bit each: what a byte may begin or be part of, and what a text has of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Triggers(u16);

impl Triggers {
    pub(super) const DIGIT: Self = Self(1);
    pub(super) const UPPER: Self = Self(1 << 1);
    pub(super) const AT: Self = Self(1 << 2);
    pub(super) const PERCENT: Self = Self(1 << 3);
    pub(super) const COLON: Self = Self(1 << 4);
    pub(super) const EQUALS: Self = Self(1 << 5);
    pub(super) const UNDERSCORE: Self = Self(1 << 6);
    pub(super) const HYPHEN: Self = Self(1 << 7);
    pub(super) const PLUS: Self = Self(1 << 8);
    pub(super) const PARENTHESIS: Self = Self(1 << 9);
    pub(super) const DOT: Self = Self(1 << 10);
    /// A custom pattern may begin here, whatever else.
    pub(super) const CUSTOM: Self = Self(1 << 11);
    /// All that may begin a value.
    pub(crate) const ALL: Self = Self((1 << 12) - 1);
    /// A code point begins here that may be folded into another.
    pub(crate) const FOLD: Self = Self(1 << 12);
    /// Ends the inside of a JSON string: a quote or a backslash.
    pub(crate) const END: Self = Self(1 << 14);
    /// May not stand in a JSON string.
    pub(crate) const CONTROL: Self = Self(1 << 15);

    pub(crate) const NONE: Self = Self(0);

    /// Whether it has any of `other`.
    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn of(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is none.
    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// What a text has that may begin a value, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// All that its bytes may be.
    pub(crate) triggers: Triggers,
    /// Which of its eights have a byte that may begin a value: a bit each, the last for all behind the others.
    eights: u64,
}

/// How many eights have a bit of their own.
const EIGHTS: usize = 63;

impl Seen {
    /// Nothing.
    pub(crate) const NONE: Self = Self { triggers: Triggers::NONE, eights: 0 };
    /// Anything, anywhere.
    pub(crate) const ALL: Self = Self { triggers: Triggers::ALL, eights: u64::MAX };

    /// The same places, and of what is there no more than these.
    pub(crate) fn only(self, triggers: Triggers) -> Self {
        Self { triggers, ..self }
    }

    /// Whether nothing is there.
    pub(crate) fn is_none(self) -> bool {
        self.triggers.is_none()
    }

    /// One more eight, or less at the end of a text, at `at`.
    fn add(&mut self, at: usize, triggers: Triggers) {
        self.triggers = self.triggers.and(triggers);
        self.eights |= u64::from(triggers.has(Triggers::ALL)) << (at / 8).min(EIGHTS);
    }

    /// Where the first byte may be, from `at` on, that may begin a value; `None` where there is none.
    fn next(self, at: usize) -> Option<usize> {
        let eight = at / 8;
        if eight >= EIGHTS {
            return (self.eights >> EIGHTS == 1).then_some(at);
        }
        let left = self.eights >> eight;
        let skipped = left.trailing_zeros() as usize;
        match skipped {
            0 => Some(at),
            1..=EIGHTS => Some((eight + skipped) * 8),
            _ => None,
        }
    }
}

/// What every byte may be.
pub(crate) struct Table([Triggers; 256]);

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

impl Table {
    /// A table that knows where the inside of a JSON string ends, and no value.
    pub(super) fn new() -> Self {
        let mut table = Self([Triggers::NONE; 256]);
        table.add(b"\"\\", Triggers::END);
        for control in 0..b' ' {
            table.add(&[control], Triggers::CONTROL);
        }
        table
    }

    pub(super) fn add(&mut self, bytes: &[u8], triggers: Triggers) {
        for byte in bytes {
            if let Some(place) = self.0.get_mut(usize::from(*byte)) {
                *place = place.and(triggers);
            }
        }
    }

    /// What this byte may be.
    pub(crate) fn at(&self, byte: u8) -> Triggers {
        self.0.get(usize::from(byte)).copied().unwrap_or(Triggers::NONE)
    }

    /// All that a text may be, and where.
    pub(crate) fn look(&self, text: &[u8]) -> Seen {
        let mut seen = Seen::NONE;
        for (eight, bytes) in text.chunks(8).enumerate() {
            seen.add(eight * 8, self.seen(bytes));
        }
        seen
    }

    /// All that these bytes may be.
    pub(crate) fn seen(&self, text: &[u8]) -> Triggers {
        text.iter().fold(Triggers::NONE, |seen, byte| seen.and(self.at(*byte)))
    }

    /// The first byte of `text` from `at` on that is one of `active`, and what it is; nothing, at the end, where there is
    /// none.
    pub(super) fn first(&self, text: &[u8], mut at: usize, active: Seen) -> (usize, Triggers) {
        while let Some(eight) = active.next(at).filter(|eight| *eight < text.len()) {
            let end = (eight / 8 + 1) * 8;
            let bytes = text.get(eight..end.min(text.len())).unwrap_or_default();
            for (offset, byte) in bytes.iter().enumerate() {
                let triggers = self.at(*byte).of(active.triggers);
                if !triggers.is_none() {
                    return (eight + offset, triggers);
                }
            }
            at = end + self.dull(text.get(end..).unwrap_or_default(), active, end);
        }
        (text.len().max(at), Triggers::NONE)
    }

    /// How many bytes at the beginning of `text`, which is at `at`, are none of `active`, counted in eights: where nobody
    /// has looked before.
    fn dull(&self, text: &[u8], active: Seen, at: usize) -> usize {
        if active.eights != u64::MAX && at < EIGHTS * 8 {
            return 0;
        }
        let (eights, _) = text.as_chunks::<8>();
        let dull = |bytes: &&[u8; 8]| !self.eight(bytes).has(active.triggers);
        eights.iter().take_while(dull).count() * 8
    }

    /// All that eight bytes may be.
    fn eight(&self, bytes: &[u8; 8]) -> Triggers {
        let [a, b, c, d, e, f, g, h] = bytes.map(|byte| self.at(byte));
        a.and(b).and(c.and(d)).and(e.and(f).and(g.and(h)))
    }

    /// How many bytes there are before the first quote or backslash, and all that those may be.
    pub(crate) fn inside(&self, text: &[u8]) -> (usize, Seen) {
        let mut seen = Seen::NONE;
        let mut at = 0;
        let (eights, _) = text.as_chunks::<8>();
        for bytes in eights {
            if let Some(end) = end_in(bytes) {
                seen.add(at, self.seen(bytes.get(..end).unwrap_or_default()));
                return (at + end, seen);
            }
            seen.add(at, self.eight(bytes));
            at += 8;
        }
        for byte in text.get(at..).unwrap_or_default() {
            let triggers = self.at(*byte);
            if triggers.has(Triggers::END) {
                break;
            }
            seen.add(at, triggers);
            at += 1;
        }
        (at, seen)
    }
}

/// Where the first quote or backslash is in eight bytes.
fn end_in(bytes: &[u8; 8]) -> Option<usize> {
    let ends = eight::quotes_and_backslashes(u64::from_le_bytes(*bytes));
    (ends != 0).then(|| eight::before_first(ends))
}

/// Pairs of letters without their case, a bit each. Other bytes may pass for letters.
#[derive(Debug)]
struct Pairs([u32; 32]);

impl Pairs {
    fn of(pairs: impl Iterator<Item = (u8, u8)>) -> Self {
        let mut set = Self([0; 32]);
        for (first, second) in pairs {
            if let Some(row) = set.0.get_mut(usize::from(first & 31)) {
                *row |= 1 << (second & 31);
            }
        }
        set
    }

    fn has(&self, first: u8, second: u8) -> bool {
        self.0.get(usize::from(first & 31)).is_some_and(|row| row >> (second & 31) & 1 == 1)
    }
}

/// What stands around bytes of interest where there is a value.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// Before the first hyphen or underscore of a token.
    prefixes: Pairs,
    /// How tokens begin that are told by a capital.
    capitals: Pairs,
    /// How names end that make a value secret.
    names: Pairs,
    /// How months begin.
    months: Pairs,
}

/// The last two bytes, if there are two.
fn last_two(text: &[u8]) -> Option<(u8, u8)> {
    match text {
        [.., first, second] => Some((*first, *second)),
        _ => None,
    }
}

impl Surroundings {
    pub(super) fn new() -> Self {
        let first_two = |text: &[u8]| match text {
            [first, second, ..] => Some((*first, *second)),
            _ => None,
        };
        let word = |prefix: &'static [u8]| prefix.split(|byte| matches!(byte, b'-' | b'_')).next();
        let capital = |prefix: &&'static [u8]| prefix.iter().take(2).all(u8::is_ascii_uppercase);
        Self {
            prefixes: Pairs::of(secrets::prefixes().filter_map(word).filter_map(last_two)),
            capitals: Pairs::of(secrets::prefixes().filter(capital).filter_map(first_two)),
            names: Pairs::of(secrets::names().filter_map(last_two)),
            months: Pairs::of(date_of_birth::months().filter_map(first_two)),
        }
    }

    /// Whether nothing in a value depends on its being called `label`: no secret.
    pub(super) fn is_plain_label(&self, label: &[u8]) -> bool {
        !last_two(label).is_some_and(|(first, second)| self.names.has(first, second))
            || !secrets::makes_secret(label)
    }

    /// Whether no recogniser that `trigger` runs at `at` can find anything or has to wait.
    ///
    /// `active`: all that a text has which is at hand as a whole; everything, where it is not.
    pub(super) fn are_dull(&self, view: &View<'_>, at: usize, trigger: Triggers, active: Triggers) -> bool {
        let back = |count: usize| {
            if at >= view.floor + count { view.known(at - count) } else { view.back(at, count) }.unwrap_or(0)
        };
        // Behind the end nothing comes; behind what is known, anything.
        let ahead = |count: usize| match view.known(at + count) {
            None if view.ended => Some(0),
            known => known,
        };
        let no_token = || !self.prefixes.has(back(2), back(1));
        // A name may be part of the value before. Between it and its separator quotes and spaces may stand.
        let written = |count: usize| view.written(at, count).unwrap_or(0);
        let no_name = || match written(1) {
            b'"' | b'\'' | b'\\' | b' ' | b'`' => false,
            last => !self.names.has(written(2), last),
        };
        let hexadecimal = |byte: u8| byte.is_ascii_hexdigit();
        let Some(next) = ahead(1) else { return false };
        // Most of these end a sentence.
        if trigger == Triggers::DOT {
            return !(hexadecimal(next) && hexadecimal(back(1))) || ahead(5).is_some_and(|byte| byte != b'.');
        }
        let Some(second) = ahead(2) else { return false };
        let no_pairs = |separator: u8, third: u8| {
            third != separator
                || !(hexadecimal(next) && hexadecimal(second))
                || !(hexadecimal(back(1)) && hexadecimal(back(2)))
                || is_word(back(3))
        };
        match trigger {
            Triggers::DIGIT => in_word(view, at, back),
            Triggers::UNDERSCORE => no_token(),
            Triggers::EQUALS => no_name(),
            Triggers::HYPHEN => {
                let Some(third) = ahead(3) else { return false };
                no_token() && (next, second) != (b'-', b'-') && no_pairs(b'-', third)
            }
            Triggers::COLON => {
                let Some(third) = ahead(3) else { return false };
                let group = next == b':' || (hexadecimal(next) && hexadecimal(back(1)));
                // Only an address at a host has a user with a password.
                let user = next > b' ' && active.has(Triggers::AT);
                !group && !user && no_pairs(b':', third) && no_name()
            }
            Triggers::PLUS => !(next.is_ascii_digit() || matches!(next, b' ' | b'-' | b'.' | b'/' | b'(')),
            Triggers::PARENTHESIS => !next.is_ascii_digit(),
            Triggers::PERCENT => (next, second) != (b'4', b'0'),
            Triggers::UPPER => self.is_dull_capital(view.known(at).unwrap_or(0), back, next, ahead, active),
            _ => false,
        }
    }

    fn is_dull_capital(
        &self,
        capital: u8,
        back: impl Fn(usize) -> u8,
        next: u8,
        ahead: impl Fn(usize) -> Option<u8>,
        active: Triggers,
    ) -> bool {
        let previous = back(1);
        if is_word(previous) {
            return !(capital == b'J' && previous == b'y' && back(2) == b'e');
        }
        let alphanumeric = |count: usize| ahead(count).is_none_or(|byte| byte.is_ascii_alphanumeric());
        let address = || {
            matches!(capital, b'L' | b'M' | b'D' | b'T' | b'B') && [3, 4, 5, 12].into_iter().all(alphanumeric)
        };
        let token = next.is_ascii_uppercase() && self.capitals.has(capital, next);
        let month = active.has(Triggers::DIGIT) && self.months.has(capital, next);
        !token && !month && previous != b'/' && !address()
    }
}

/// Whether the digit at `at` is inside a word that is none of a value's: behind an underscore, more than five letters,
/// or letters that are themselves inside a word.
fn in_word(view: &View<'_>, at: usize, back: impl Fn(usize) -> u8) -> bool {
    let mut letters = 0;
    while letters < 6 && at > view.floor + letters && back(letters + 1).is_ascii_alphabetic() {
        letters += 1;
    }
    letters == 6 || is_word(back(letters + 1))
}
