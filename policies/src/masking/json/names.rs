//! Member names that have just been looked at: documents repeat a few dozen of them without end.

use crate::eight;
use crate::masking::path::Places;

/// The most that are kept; then it begins anew.
const MOST: usize = 64;
/// Places from which they are found: twice as many, so that most are where they belong.
const PLACES: usize = 2 * MOST;
/// How many places further than where it belongs one may be.
const NEAR: usize = 4;
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
        usize::try_from(mixed >> 57).unwrap_or(0)
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

/// What is known of a name in which nothing was found and for which no rule holds.
#[derive(Debug, Clone, Copy)]
pub(in crate::masking) struct Said {
    /// Where the paths stand behind it.
    pub(super) to: Places,
    /// Whether it makes no secret of its value.
    pub(super) plain: bool,
    /// Whether it says nothing about its value, once somebody has asked.
    pub(super) silent: Option<bool>,
}

/// Such names of a body, each with where the paths stood before it.
#[derive(Debug)]
pub(in crate::masking) struct Names {
    kept: Vec<(Known, Places, Said)>,
    /// By [`Known::place`], the position of one in `kept`, from one on.
    places: [u8; PLACES],
    /// How often it has begun anew.
    age: u64,
}

/// Where a name is kept, as long as nothing begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    position: usize,
    age: u64,
}

impl Default for Names {
    fn default() -> Self {
        Self { kept: Vec::new(), places: [0; PLACES], age: 0 }
    }
}

impl Names {
    /// Where this name is, coming from `from`, and what it says; if it is there.
    pub(super) fn find(&self, name: &Known, from: Places) -> Option<(Place, Said)> {
        for near in 0..NEAR {
            let position = usize::from(*self.places.get((name.place() + near) % PLACES)?).checked_sub(1)?;
            let (known, before, said) = self.kept.get(position)?;
            if known == name && *before == from {
                return Some((Place { position, age: self.age }, *said));
            }
        }
        None
    }

    /// Whether the name that is kept there says nothing about its value; `ask` tells it, of one that is not kept as well.
    pub(super) fn is_silent(&mut self, kept: Option<Place>, ask: impl FnOnce() -> bool) -> bool {
        // A document in an array may have begun anew since: then another name is there.
        let kept = kept.filter(|place| place.age == self.age);
        match kept.and_then(|place| self.kept.get_mut(place.position)) {
            Some((_, _, said)) => *said.silent.get_or_insert_with(ask),
            None => ask(),
        }
    }

    /// Keeps a name in which nothing is found, and for which no rule holds.
    pub(super) fn keep(&mut self, name: Known, from: Places, said: Said) {
        let free = (name.place()..name.place() + NEAR).map(|place| place % PLACES);
        let mut free = free.filter(|place| self.places.get(*place) == Some(&0));
        let place = match free.next() {
            Some(place) if self.kept.len() < MOST => place,
            _ => {
                self.places = [0; PLACES];
                self.age = self.age.wrapping_add(1);
                self.kept.clear();
                name.place()
            }
        };
        self.kept.push((name, from, said));
        if let Some(place) = self.places.get_mut(place) {
            *place = u8::try_from(self.kept.len()).unwrap_or(0);
        }
    }

    /// The heap it takes, in bytes.
    pub(in crate::masking) fn footprint(&self) -> usize {
        self.kept.capacity() * size_of::<(Known, Places, Said)>()
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
        names.keep(read("content"), 1, Said { to: 3, plain: true, silent: None });
        assert_eq!(names.find(&read("content"), 1).map(|(_, said)| said.to), Some(3));
        assert!(names.find(&read("content"), 2).is_none());
        for other in ["", "c", "conten", "contents", "Content", "content\0"] {
            if let Some(other) = Known::read(format!("{other}{rest}").as_bytes()) {
                assert!(names.find(&other, 1).is_none());
            }
        }
    }
}
