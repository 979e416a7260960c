//! Words before a value that say what it is: `SSN: 123456789`, `born on 3 May 1985`.
//!
//! They count up to [`REACH`] bytes before the value, and not across another number of four or more digits:
//! what is behind that belongs to it. Compared in lower case, at word boundaries.

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

/// The text before a value, in lower case, as far as it may say what the value is.
pub(super) struct Context {
    bytes: [u8; REACH],
    begin: usize,
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
        for (index, byte) in bytes.iter().enumerate().skip(begin).rev() {
            digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
            if digits == 4 {
                begin = index + 4;
                break;
            }
        }
        Self { bytes, begin }
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
        let text = self.text();
        let mut last = None;
        let mut before = b' ';
        for (index, byte) in text.iter().enumerate() {
            // A word begins: no letter before it.
            if !before.is_ascii_lowercase()
                && byte.is_ascii_lowercase()
                && words.first >> (byte & 31) & 1 == 1
            {
                let rest = text.get(index..).unwrap_or_default();
                let here =
                    words.words.iter().filter(|word| stands(word, rest)).map(|word| index + word.len()).max();
                last = last.max(here);
            }
            before = *byte;
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
