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
    words: [u64; 3],
    /// In bytes.
    pub(super) length: usize,
}

impl Known {
    /// The name that `text` begins with, up to a quote. `None` where it is long, or short of text, or has an escape or a
    /// control character in it.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let mut known = Self::default();
        let (eights, _) = text.get(..LONGEST + 8)?.as_chunks::<8>();
        for (index, bytes) in eights.iter().enumerate() {
            let word = u64::from_le_bytes(*bytes);
            let quotes = eight::equal(word, b'"');
            // What is beyond ASCII has the top bit, and stays out like the rest.
            let odd = eight::equal(word, b'\\') | eight::controls(word) | word;
            let before = if quotes == 0 { u64::MAX } else { (quotes & quotes.wrapping_neg()) - 1 };
            if odd & eight::TOPS & before != 0 {
                return None;
            }
            if quotes != 0 {
                let length = eight::before_first(quotes);
                if let Some(place) = known.words.get_mut(index) {
                    *place = word & !(u64::MAX << (length * 8));
                } else if length > 0 {
                    return None;
                }
                known.length += length;
                return Some(known);
            }
            *known.words.get_mut(index)? = word;
            known.length += 8;
        }
        None
    }

    fn place(&self) -> usize {
        let [one, two, three] = self.words;
        let mixed = (one ^ two.rotate_left(23) ^ three.rotate_left(41)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        usize::try_from(mixed >> 59).unwrap_or(0)
    }
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
