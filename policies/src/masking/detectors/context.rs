//! Words before a value that say what it is: `SSN: 123456789`, `born on 3 May 1985`.
//!
//! They count up to [`REACH`] bytes before the value, and not across another number of four or more digits:
//! what is behind that belongs to it. Compared in lower case, at word boundaries.

use std::cell::OnceCell;

use super::view::View;

/// Bytes before a value that are read.
pub(super) const REACH: usize = 64;

/// Words in lower case that begin with an ASCII letter.
pub(super) struct Words {
    words: &'static [&'static [u8]],
    /// Which letters any of them begins with, a bit each.
    first: u32,
}

impl Words {
    pub(super) const fn new(words: &'static [&'static [u8]]) -> Self {
        let mut first = 0;
        let mut rest = words;
        while let [word, behind @ ..] = rest {
            if let [letter, ..] = word {
                first |= 1 << (*letter & 31);
            }
            rest = behind;
        }
        Self { words, first }
    }
}

/// The context of whatever begins at one place, read once somebody asks for it.
pub(super) struct Before<'v> {
    view: &'v View<'v>,
    start: usize,
    context: OnceCell<Context>,
}

impl<'v> Before<'v> {
    /// What stands before `start`.
    pub(super) fn new(view: &'v View<'v>, start: usize) -> Self {
        Self { view, start, context: OnceCell::new() }
    }

    /// Where the value begins.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// What stands before it.
    pub(super) fn context(&self) -> &Context {
        self.context.get_or_init(|| Context::read(self.view, self.start))
    }
}

/// The text before a value, in lower case, as far as it may say what the value is.
pub(super) struct Context {
    bytes: [u8; REACH],
    begin: usize,
    /// Where words begin in `bytes`, a bit each: letters without a letter before them.
    words: u64,
    /// Which letters they begin with, a bit each.
    letters: u32,
}

impl Context {
    /// Reads what stands before `start`.
    pub(super) fn read(view: &View<'_>, start: usize) -> Self {
        let mut bytes = [0; REACH];
        let near = view.text.get(start.saturating_sub(REACH)..start).unwrap_or_default();
        let far =
            view.before.get((view.before.len() + near.len()).saturating_sub(REACH)..).unwrap_or_default();
        let middle = REACH - near.len();
        let mut begin = middle - far.len();
        if let Some(place) = bytes.get_mut(begin..middle) {
            place.copy_from_slice(far);
        }
        if let Some(place) = bytes.get_mut(middle..) {
            place.copy_from_slice(near);
        }
        bytes.make_ascii_lowercase();
        let mut digits = 0;
        let mut behind = 0;
        let (mut words, mut letters) = (0, 0);
        // A word begins where no letter stands before: known one byte later, going back.
        let mut note = |index: usize, byte: u8| {
            if byte.is_ascii_lowercase() {
                words |= 1 << index;
                letters |= 1 << (byte & 31);
            }
        };
        for (index, byte) in bytes.iter().enumerate().skip(begin).rev() {
            digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
            if digits == 4 {
                begin = index + 4;
                break;
            }
            if !byte.is_ascii_lowercase() {
                note(index + 1, behind);
            }
            behind = *byte;
        }
        if digits < 4 {
            note(begin, behind);
        }
        Self { bytes, begin, words, letters }
    }

    /// What a value's name says.
    pub(super) fn of(name: &[u8]) -> Self {
        let view = View { before: name, text: b"", floor: 0, wall: isize::MIN, labelled: true, ended: true };
        Self::read(&view, 0)
    }

    /// The text, in lower case.
    pub(super) fn text(&self) -> &[u8] {
        self.bytes.get(self.begin..).unwrap_or_default()
    }

    /// Whether one of `words` stands in it.
    pub(super) fn has(&self, words: &Words) -> bool {
        self.last(words).is_some()
    }

    /// Whether one of `words` stands in it, and none of `others` after that.
    pub(super) fn has_after(&self, words: &Words, others: &Words) -> bool {
        self.last(words).is_some_and(|found| self.last(others).is_none_or(|other| other < found))
    }

    /// Whether one of `words` stands right before the value: `order number #`, and nothing but letters and signs between.
    pub(super) fn ends_with(&self, words: &Words) -> bool {
        let between = |byte: &u8| byte.is_ascii_lowercase() || b" #:=\"'(-_".contains(byte);
        let gap = |end| self.text().get(end..).unwrap_or_default();
        self.last(words).is_some_and(|end| gap(end).len() <= 16 && gap(end).iter().all(between))
    }

    /// Where the last of `words` in it ends.
    pub(super) fn last(&self, words: &Words) -> Option<usize> {
        if self.letters & words.first == 0 {
            return None;
        }
        let mut last = None;
        let mut left = self.words;
        while left != 0 {
            let index = usize::try_from(left.trailing_zeros()).unwrap_or(REACH);
            left &= left - 1;
            let rest = self.bytes.get(index..).unwrap_or_default();
            if rest.first().is_some_and(|letter| words.first >> (letter & 31) & 1 == 1) {
                let here = words
                    .words
                    .iter()
                    .filter(|word| stands(word, rest))
                    .map(|word| index - self.begin + word.len())
                    .max();
                last = last.max(here);
            }
        }
        last
    }
}

/// Whether `text` begins with `word`, and no letter follows. Digits and `_` may: `ssn2`. Only `call_` is not the word
/// `call`: ids of tool calls begin so, and are all over a conversation's state.
fn stands(word: &[u8], text: &[u8]) -> bool {
    let next = text.get(word.len());
    word.first() == text.first()
        && text.starts_with(word)
        && !next.is_some_and(u8::is_ascii_alphabetic)
        && !(word == b"call" && next == Some(&b'_'))
}

/// Words that say that a number is an identifier of some other kind.
pub(super) const OTHER_NUMBERS: &Words = &Words::new(&[
    b"order",
    b"orders",
    b"invoice",
    b"tracking",
    b"ticket",
    b"case",
    b"sku",
    b"ean",
    b"upc",
    b"gtin",
    b"isbn",
    b"reference",
    b"ref",
    b"transaction",
    b"confirmation",
    b"zip",
    b"postcode",
    b"timestamp",
    b"commit",
    b"build",
    b"version",
    b"serial",
    b"shipment",
    b"parcel",
    b"issue",
    b"batch",
    b"lot",
    b"po",
]);

#[cfg(test)]
mod tests {
    use super::*;

    fn has(before: &str, text: &str, words: &'static [&'static [u8]]) -> bool {
        let view = View {
            before: before.as_bytes(),
            text: text.as_bytes(),
            floor: 0,
            wall: isize::MIN,
            labelled: false,
            ended: true,
        };
        Context::read(&view, text.len()).has(&Words::new(words))
    }

    #[test]
    fn words_count_at_their_boundaries_and_in_any_case() {
        assert!(has("", "SSN: ", &[b"ssn"]));
        assert!(has("", "user_ssn=", &[b"ssn"]));
        assert!(has("S", "sn ", &[b"ssn"]));
        assert!(!has("", "lessn ", &[b"ssn"]));
        assert!(!has("", "ssnx ", &[b"ssn"]));
        assert!(has("", "ssnx ssn ssny ", &[b"ssn"]));
    }

    #[test]
    fn words_do_not_count_across_another_number_nor_beyond_reach() {
        assert!(!has("", "ssn 078-05-1120 and ", &[b"ssn"]));
        assert!(has("", "ssn of line 12 is ", &[b"ssn"]));
        assert!(!has("ssn", &" ".repeat(REACH), &[b"ssn"]));
        assert!(has("ssn", &" ".repeat(REACH - 3), &[b"ssn"]));
    }

    #[test]
    fn the_nearest_word_wins() {
        let view = View {
            before: b"",
            text: b"ssn, order ",
            floor: 0,
            wall: isize::MIN,
            labelled: false,
            ended: true,
        };
        assert!(!Context::read(&view, 11).has_after(&Words::new(&[b"ssn"]), OTHER_NUMBERS));
        let view = View {
            before: b"",
            text: b"order, ssn ",
            floor: 0,
            wall: isize::MIN,
            labelled: false,
            ended: true,
        };
        assert!(Context::read(&view, 11).has_after(&Words::new(&[b"ssn"]), OTHER_NUMBERS));
    }
}
