//! Member names that have just been looked at: documents repeat a few dozen of them without end.

use crate::eight;
use crate::masking::path::Places;

/// How many are kept.
const KEPT: usize = 32;
/// The longest that is kept: what its three words tell apart.
const LONGEST: usize = 24;

/// A name as three words, which together with its length are all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::masking) struct Known {
    // Not an array: that would be compared by way of memory just written, in steps that the processor has to wait for.
    first: u64,
    second: u64,
    third: u64,
    /// In bytes.
    pub(super) length: usize,
}

impl Known {
    /// The name that `text` begins with, up to a quote. `None` where it is long, or short of text, or has an escape or a
    /// control character in it.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let (eights, _) = text.get(..LONGEST + 8)?.as_chunks::<8>();
        let &[first, second, third, fourth] = eights else { return None };
        // One after the other and without a loop, so that all of it stays in registers: most names are short.
        let (one, length) = up_to_quote(first)?;
        if length < 8 {
            return Some(Self { first: one, length, ..Self::default() });
        }
        let (two, length) = up_to_quote(second)?;
        if length < 8 {
            return Some(Self { first: one, second: two, third: 0, length: 8 + length });
        }
        let (three, length) = up_to_quote(third)?;
        let whole = length < 8 || fourth.first() == Some(&b'"');
        whole.then_some(Self { first: one, second: two, third: three, length: 16 + length })
    }

    fn place(&self) -> usize {
        let words = self.first ^ self.second.rotate_left(23) ^ self.third.rotate_left(41);
        let mixed = words.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        usize::try_from(mixed >> 59).unwrap_or(0)
    }
}

/// What of eight bytes stands before a quote, and how many bytes that is. `None` where anything odd does.
#[inline]
fn up_to_quote(bytes: [u8; 8]) -> Option<(u64, usize)> {
    let word = u64::from_le_bytes(bytes);
    let quotes = eight::equal(word, b'"');
    // What is beyond ASCII has the top bit, and stays out like the rest.
    let odd = (eight::equal(word, b'\\') | eight::controls(word) | word) & eight::TOPS;
    if quotes == 0 {
        return (odd == 0).then_some((word, 8));
    }
    let before = (quotes & quotes.wrapping_neg()) - 1;
    let length = eight::before_first(quotes);
    (odd & before == 0).then_some((word & !(u64::MAX << (length * 8)), length))
}

/// The last names in which nothing was found and for which no rule holds, and where the paths stand behind them.
#[derive(Debug, Default)]
pub(in crate::masking) struct Names {
    kept: [Option<(Known, Places, Places)>; KEPT],
}

impl Names {
    /// Where the paths stand behind this name, coming from `from`, if it is there.
    pub(super) fn find(&self, name: &Known, from: Places) -> Option<Places> {
        match self.kept.get(name.place())? {
            Some((known, before, behind)) if known == name && *before == from => Some(*behind),
            _ => None,
        }
    }

    /// Keeps a name in which nothing is found, and for which no rule holds.
    pub(super) fn keep(&mut self, name: Known, from: Places, to: Places) {
        if let Some(place) = self.kept.get_mut(name.place()) {
            *place = Some((name, from, to));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_up_to_its_quote() {
        let rest = "\": {\"x\": \"so it goes on and on and on\"}";
        for length in 0..30 {
            let name: String = ('a'..='z').cycle().take(length).collect();
            let known = Known::read(format!("{name}{rest}").as_bytes());
            assert_eq!(known.map(|known| known.length), (length <= LONGEST).then_some(length), "{name}");
            for at in 0..length.min(LONGEST) {
                for odd in ["\\", "\u{1}", "\u{1f}", "\u{e9}", "\u{7f}"] {
                    let mut odd_name = name.clone();
                    odd_name.replace_range(at..=at, odd);
                    let other = Known::read(format!("{odd_name}{rest}").as_bytes());
                    // Only what stays is the same name; DEL may be part of one.
                    assert!(other.is_none() || (odd == "\u{7f}" && other != known), "{odd_name:?}");
                }
            }
        }
        assert_eq!(Known::read(b"too short\""), None);
    }

    #[test]
    fn names_are_told_apart() {
        let rest = "\": {\"x\": \"so it goes on and on and on\"}";
        let read = |name: &str| Known::read(format!("{name}{rest}").as_bytes()).expect("a short name");
        let mut names = Names::default();
        names.keep(read("content"), 1, 3);
        assert_eq!(names.find(&read("content"), 1), Some(3));
        assert_eq!(names.find(&read("content"), 2), None);
        for other in ["", "c", "conten", "contents", "Content", "content\0"] {
            if let Some(other) = Known::read(format!("{other}{rest}").as_bytes()) {
                assert_eq!(names.find(&other, 1), None);
            }
        }
    }
}
