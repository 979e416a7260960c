//! Numbers as people write them: groups of digits with single separators. What they mean is for the detectors
//! that read them; here are only the groups, their shapes and the boundaries around them.

use super::context::{Before, Context};
use super::view::{Found, Stop, View, is_word};

/// Groups that are read at most; the longest shape has five.
const GROUPS: usize = 6;
/// Digits that are read at most: one more than any shape has.
const DIGITS: usize = 20;
/// The longest number in bytes, a card of 19 digits in five groups, and the two that show where it ends.
pub(super) const LONGEST: usize = 19 + 4 + 2;

/// The least and most digits of each group of a number.
pub(super) type Shape = &'static [(usize, usize)];

/// The shapes that one kind of number has, at most 32, and at a glance which of them some groups may have.
pub(super) struct Shapes {
    /// Which admit a first group of so many digits, a bit each.
    first: [u32; DIGITS + 1],
    /// Which admit a second group of so many digits, or need none.
    second: [u32; DIGITS + 1],
}

impl Shapes {
    /// Tables for `shapes`; more than 32 do not compile, since a constant is made of them.
    pub(super) const fn new(shapes: &[Shape]) -> Self {
        assert!(shapes.len() <= 32, "a bit for each shape");
        let mut tables = Self { first: [0; DIGITS + 1], second: [0; DIGITS + 1] };
        let mut rest = shapes;
        let mut bit = 1;
        while let [shape, behind @ ..] = rest {
            if let [first, more @ ..] = *shape {
                admit(&mut tables.first, *first, bit);
                admit(&mut tables.second, if let [second, ..] = more { *second } else { (0, DIGITS) }, bit);
            }
            rest = behind;
            bit <<= 1;
        }
        tables
    }

    /// Which of the shapes these groups may have, by their positions; all of them where more may come.
    pub(super) fn of(&self, groups: &Groups<'_>) -> impl Iterator<Item = usize> + use<> {
        let admitted = |table: &[u32], group: usize| table.get(groups.length(group)).copied().unwrap_or(0);
        let mut left =
            if groups.open { u32::MAX } else { admitted(&self.first, 0) & admitted(&self.second, 1) };
        std::iter::from_fn(move || {
            let next = (left != 0).then(|| left.trailing_zeros());
            left &= left.wrapping_sub(1);
            next.and_then(|bit| usize::try_from(bit).ok())
        })
    }
}

/// The kinds of numbers that are told by their groups, at most eight, and at a glance which of them some groups may be.
pub(super) struct Kinds {
    /// Which admit a first group of so many digits, a bit each.
    first: [u8; DIGITS + 1],
    /// Which admit a second group of so many digits, or need none.
    second: [u8; DIGITS + 1],
}

impl Kinds {
    /// Tables for kinds that have these shapes; more than eight do not compile, since a constant is made of them.
    pub(super) const fn new(kinds: &[&Shapes]) -> Self {
        assert!(kinds.len() <= 8, "a bit for each kind");
        let mut tables = Self { first: [0; DIGITS + 1], second: [0; DIGITS + 1] };
        let mut rest = kinds;
        let mut bit = 1;
        while let [shapes, behind @ ..] = rest {
            any(&mut tables.first, &shapes.first, bit);
            any(&mut tables.second, &shapes.second, bit);
            rest = behind;
            bit <<= 1;
        }
        tables
    }

    /// Which of the kinds these groups may be, a bit each; all of them where more may come.
    pub(super) fn of(&self, groups: &Groups<'_>) -> u8 {
        let admitted = |table: &[u8], group: usize| table.get(groups.length(group)).copied().unwrap_or(0);
        if groups.open { u8::MAX } else { admitted(&self.first, 0) & admitted(&self.second, 1) }
    }
}

/// Sets `bit` for every length that any shape admits.
const fn any(table: &mut [u8], shapes: &[u32], bit: u8) {
    let mut rest = (table, shapes);
    while let ([place, behind @ ..], [shapes, more @ ..]) = rest {
        if *shapes != 0 {
            *place |= bit;
        }
        rest = (behind, more);
    }
}

/// Sets `bit` for every length from the least to the most.
const fn admit(table: &mut [u32], (least, most): (usize, usize), bit: u32) {
    let mut length = 0;
    let mut rest = table;
    while let [place, behind @ ..] = rest {
        if length >= least && length <= most {
            *place |= bit;
        }
        rest = behind;
        length += 1;
    }
}

/// Groups of digits from one place on.
pub(super) struct Groups<'b> {
    before: &'b Before<'b>,
    groups: [Group; GROUPS],
    count: usize,
    digits: [u8; DIGITS],
    total: usize,
    /// Whether the known text ends before the last group does, or before it is known what separates the next.
    open: bool,
}

/// One group of digits. In bytes, since a number is read at every group of digits that a text has.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    length: u8,
    /// Where it ends, from the first digit of all on.
    end: u8,
    /// What separates the next group; 0 if none follows or that is not known.
    separator: u8,
}

impl Group {
    fn length(self) -> usize {
        usize::from(self.length)
    }
}

/// The separators that a shape admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Between {
    /// Spaces, hyphens or dots, the same everywhere.
    Same,
    /// Spaces and hyphens in any mixture.
    Mixed,
    /// Spaces, hyphens, dots and slashes in any mixture.
    Any,
    /// One of those behind the first group, then spaces.
    Area,
}

impl Between {
    fn admits(self, separator: u8, first: u8, index: usize) -> bool {
        match self {
            Self::Same => matches!(separator, b' ' | b'-' | b'.') && separator == first,
            Self::Mixed => matches!(separator, b' ' | b'-'),
            Self::Area if index > 0 => separator == b' ',
            Self::Any | Self::Area => matches!(separator, b' ' | b'-' | b'.' | b'/'),
        }
    }
}

impl<'b> Groups<'b> {
    /// Reads groups from the digit behind `before` on.
    pub(super) fn read(view: &View<'_>, before: &'b Before<'b>) -> Self {
        let mut read = Self {
            before,
            groups: [Group::default(); GROUPS],
            count: 0,
            digits: [0; DIGITS],
            total: 0,
            open: false,
        };
        let mut rest = view.text.get(before.start()..).unwrap_or_default();
        let mut end = 0u8;
        while let Some(place) = read.groups.get_mut(read.count) {
            let begin = read.total;
            while let [byte @ b'0'..=b'9', more @ ..] = rest {
                let Some(digit) = read.digits.get_mut(read.total) else {
                    // Longer than any shape: this group is none, and those before it end here.
                    return read;
                };
                *digit = byte - b'0';
                read.total += 1;
                rest = more;
            }
            let length = u8::try_from(read.total - begin).unwrap_or(u8::MAX);
            end = end.saturating_add(length);
            *place = Group { length, end, separator: 0 };
            read.count += 1;
            match rest {
                [separator @ (b' ' | b'-' | b'.' | b'/'), more @ ..] => {
                    match more.first() {
                        Some(b'0'..=b'9') => place.separator = *separator,
                        Some(_) => return read,
                        None if view.ended => return read,
                        None => {
                            place.separator = *separator;
                            read.open = true;
                            return read;
                        }
                    }
                    rest = more;
                    end = end.saturating_add(1);
                }
                [_, ..] => return read,
                [] => {
                    read.open = !view.ended;
                    return read;
                }
            }
        }
        read
    }

    /// Where the first digit is.
    pub(super) fn start(&self) -> usize {
        self.before.start()
    }

    /// How many digits the group of this number has; none, where there is no such group.
    fn length(&self, group: usize) -> usize {
        self.groups.get(group).map_or(0, |group| group.length())
    }

    /// Whether they begin with the exit code of a telephone number, or may.
    pub(super) fn may_exit(&self) -> bool {
        matches!(self.known_digits(), [0, 0, ..] | [0])
    }

    /// Where the last of them ends, if no number that begins with one of them, or between them, goes on behind it: they
    /// are known, nothing but hyphens and spaces separates them, and what follows is part of none.
    pub(super) fn closed_at(&self, view: &View<'_>) -> Option<usize> {
        let end = self.bound()?;
        let mut at = 0;
        for group in self.groups.get(..self.count)? {
            // What begins here may be read differently: an exit code, a day before a month, fours of a hardware address.
            let zeros = matches!(self.digits.get(at..self.total), Some([0, 0, ..] | [0]));
            let day = group.separator == 0 && group.length <= 2;
            if zeros || day || !matches!(group.separator, 0 | b' ' | b'-') {
                return None;
            }
            at += group.length();
        }
        closes(view, end).then_some(end)
    }

    /// Where a group ends in the text.
    fn end_of(&self, group: Group) -> usize {
        self.start() + usize::from(group.end)
    }

    /// What stands before them.
    pub(super) fn context(&self) -> &Context {
        self.before.context()
    }

    /// Whether points separate them, or may: an IPv4 address.
    pub(super) fn may_be_dotted(&self) -> bool {
        self.open || self.groups.first().is_some_and(|group| group.separator == b'.')
    }

    /// Whether they may be a date in three numbers, or the day before a month.
    pub(super) fn may_be_date(&self) -> bool {
        let lengths = self.groups.map(|group| group.length);
        let three = matches!(lengths, [4, 1..=2, 1..=2, ..] | [1..=2, 1..=2, 2 | 4, ..]);
        self.open || self.may_be_day() || three
    }

    /// Whether they are one or two digits that no others follow.
    fn may_be_day(&self) -> bool {
        self.groups.first().is_some_and(|first| first.length <= 2 && first.separator == 0)
    }

    /// How many digits they have in all, as far as they are known; `None` where more may come.
    pub(super) fn total(&self) -> Option<usize> {
        (!self.open).then_some(self.total)
    }

    /// Where every number ends that begins with them, at most; `None` where that is not known: more may come, or they are
    /// the day before a month, or a prefix behind which parentheses may stand.
    pub(super) fn bound(&self) -> Option<usize> {
        let read = self.groups.get(..self.count)?;
        let whole = !self.open && self.count < GROUPS && self.total < DIGITS && !self.may_exit();
        let last = read.last().filter(|_| whole)?;
        (!self.may_be_day()).then_some(self.end_of(*last))
    }

    /// Whether they are too few for any number that is told by its digits: telephone numbers have seven.
    pub(super) fn are_few(&self) -> bool {
        self.total().is_some_and(|digits| digits < 7)
    }

    /// The digits of the first `groups` groups, each 0 to 9.
    pub(super) fn digits(&self, groups: usize) -> &[u8] {
        let length = self.groups.iter().take(groups).map(|group| group.length()).sum::<usize>();
        self.digits.get(..length).unwrap_or_default()
    }

    /// The digits of all groups that have been read, as far as they are known.
    pub(super) fn known_digits(&self) -> &[u8] {
        self.digits.get(..self.total).unwrap_or_default()
    }

    /// The end of the groups if they begin with `shape`, the least and most digits of each.
    pub(super) fn fit(&self, shape: &[(usize, usize)], between: Between) -> Found {
        let first = self.groups.first().map_or(0, |group| group.separator);
        let mut end = 0;
        for (index, (least, most)) in shape.iter().enumerate() {
            let group = match self.groups.get(index) {
                Some(group) if index < self.count => group,
                _ if self.open => return Err(Stop::More),
                _ => return Err(Stop::No),
            };
            let grows = self.open && index + 1 == self.count && group.separator == 0;
            if group.length() > *most || (group.length() < *least && !grows) {
                return Err(Stop::No);
            }
            if grows {
                return Err(Stop::More);
            }
            if index + 1 < shape.len() && !between.admits(group.separator, first, index) {
                return Err(Stop::No);
            }
            end = self.end_of(*group);
        }
        Ok(end)
    }

    /// How many groups there are, each length, and whether more may come. For shapes without a fixed form.
    pub(super) fn lengths(&self) -> impl Iterator<Item = (usize, usize, u8)> + '_ {
        self.groups
            .iter()
            .take(self.count)
            .map(|group| (group.length(), self.end_of(*group), group.separator))
    }
}

/// Whether a number that means something by itself may begin at `start`: not inside a word, not behind the point of a
/// decimal fraction, not as a later part of an identifier such as `A1-2345`.
pub(super) fn begins(view: &View<'_>, start: usize) -> bool {
    let Some(previous) = view.previous(start) else { return true };
    if is_word(previous) {
        return false;
    }
    let before = view.back(start, 2);
    match previous {
        b'-' => !before.is_some_and(|byte| byte.is_ascii_alphanumeric()),
        b'.' | b'/' => !before.is_some_and(|byte| byte.is_ascii_digit()),
        b'+' => false,
        _ => true,
    }
}

/// Whether a number may end at `end`: not inside a word, not before further digits of a longer number.
pub(super) fn ends(view: &View<'_>, end: usize) -> Found {
    match view.byte(end)? {
        Some(byte) if is_word(byte) => Err(Stop::No),
        Some(b'-' | b'.' | b'/') => match view.byte(end + 1)? {
            Some(byte) if byte.is_ascii_digit() => Err(Stop::No),
            _ => Ok(end),
        },
        _ => Ok(end),
    }
}

/// Whether the digits before `end` are the last of any number that they are part of: what follows is in none, unless
/// one or two of them are a day before a month.
pub(super) fn closes(view: &View<'_>, end: usize) -> bool {
    match (view.byte(end), view.byte(end + 1)) {
        (Ok(None), _) => true,
        (Ok(Some(b' ')), Ok(next)) => !next.is_some_and(|byte| byte.is_ascii_digit() || byte == b'('),
        (Ok(Some(byte)), _) => matches!(byte, b'"' | b'\'' | b',' | b';' | b')' | b'\n' | b'\\'),
        _ => false,
    }
}

/// Whether no other number stands right before `start`, with a space between: then this is no part of a longer one.
pub(super) fn stands_alone(view: &View<'_>, start: usize) -> bool {
    view.previous(start) != Some(b' ') || !view.back(start, 2).is_some_and(|byte| byte.is_ascii_digit())
}
