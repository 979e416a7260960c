//! The inside of a JSON string (RFC 8259 section 7), one byte at a time: escapes and what they stand for.

/// Most bytes that spell one character: a surrogate pair, `\ud83d\ude00`.
const LONGEST: usize = 12;

/// What one more byte of an escape did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escaped {
    /// The escape goes on.
    More,
    /// The escape is complete; `spelled` bytes stand for this character.
    Character {
        /// The character; U+FFFD for half a surrogate pair.
        character: char,
        /// How many bytes spell it.
        spelled: usize,
    },
    /// A character is complete as above, and the byte given has to be read again.
    Before {
        /// The character.
        character: char,
        /// How many bytes spell it.
        spelled: usize,
    },
    /// Half a pair, spelled with 6 bytes, and an escape of its own behind it, spelled with 6 more.
    Alone {
        /// What the second escape stands for; U+FFFD is the first.
        then: char,
    },
    /// It is no escape: its bytes stand for themselves, and the byte given has to be read again.
    Literal,
}

/// The state inside an escape, from its backslash on.
#[derive(Debug, Clone, Default)]
pub(super) struct Escape {
    /// The bytes so far; none: not in an escape.
    raw: [u8; LONGEST],
    length: u8,
    /// The first half of a surrogate pair.
    high: Option<u16>,
}

impl Escape {
    /// Whether an escape has begun and is not complete.
    pub(super) fn is_open(&self) -> bool {
        self.length > 0
    }

    /// The bytes of an escape that is not complete; it is over then.
    pub(super) fn abandon(&mut self) -> ([u8; LONGEST], usize) {
        let abandoned = (self.raw, usize::from(self.length));
        *self = Self::default();
        abandoned
    }

    /// Begins an escape, its backslash read.
    pub(super) fn begin(&mut self) {
        *self = Self::default();
        self.keep(b'\\');
    }

    fn keep(&mut self, byte: u8) {
        if let Some(place) = self.raw.get_mut(usize::from(self.length)) {
            *place = byte;
            self.length += 1;
        }
    }

    fn done(&mut self, character: char) -> Escaped {
        let spelled = usize::from(self.length);
        *self = Self::default();
        Escaped::Character { character, spelled }
    }

    /// Takes the next byte after the backslash.
    pub(super) fn take(&mut self, byte: u8) -> Escaped {
        match (self.high, usize::from(self.length)) {
            // `\u` and three hexadecimal digits at most are there.
            (None, 2..=5) | (Some(_), 8..=11) => self.hexadecimal(byte),
            (None, _) => self.simple(byte),
            // A first half waits for the `\u` of its second.
            (Some(_), 6) if byte == b'\\' => {
                self.keep(byte);
                Escaped::More
            }
            (Some(_), 7) if byte == b'u' => {
                self.keep(byte);
                Escaped::More
            }
            (Some(_), 7) => {
                // The backslash begins another escape.
                *self = Self::default();
                self.begin();
                Escaped::Before { character: char::REPLACEMENT_CHARACTER, spelled: 6 }
            }
            (Some(_), _) => {
                *self = Self::default();
                Escaped::Before { character: char::REPLACEMENT_CHARACTER, spelled: 6 }
            }
        }
    }

    fn simple(&mut self, byte: u8) -> Escaped {
        let character = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.keep(byte);
                return Escaped::More;
            }
            _ => return Escaped::Literal,
        };
        self.keep(byte);
        self.done(character)
    }

    fn hexadecimal(&mut self, byte: u8) -> Escaped {
        if !byte.is_ascii_hexdigit() {
            return Escaped::Literal;
        }
        self.keep(byte);
        if !matches!((self.high, self.length), (None, 6) | (Some(_), 12)) {
            return Escaped::More;
        }
        let end = usize::from(self.length);
        let digits = self.raw.get(end - 4..end).unwrap_or_default();
        let unit = digits.iter().fold(0_u16, |unit, digit| {
            (unit << 4) | u16::try_from(char::from(*digit).to_digit(16).unwrap_or(0)).unwrap_or(0)
        });
        match (self.high, unit) {
            (None, 0xD800..=0xDBFF) => {
                self.high = Some(unit);
                Escaped::More
            }
            (Some(high), 0xDC00..=0xDFFF) => {
                let scalar = 0x10000 + ((u32::from(high) & 0x3FF) << 10) + (u32::from(unit) & 0x3FF);
                self.done(char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            (Some(_), 0xD800..=0xDBFF) => {
                // Two first halves: the second of them may still find its other half.
                let mut next = Self { high: Some(unit), ..Self::default() };
                for &byte in self.raw.get(6..12).unwrap_or_default() {
                    next.keep(byte);
                }
                *self = next;
                Escaped::Character { character: char::REPLACEMENT_CHARACTER, spelled: 6 }
            }
            (Some(_), _) => {
                *self = Self::default();
                let then = char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER);
                Escaped::Alone { then }
            }
            (None, _) => self.done(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes the inside of a string; characters with the number of bytes that spell them.
    fn decoded(text: &str) -> Vec<(char, usize)> {
        let mut escape = Escape::default();
        let mut characters = Vec::new();
        for &byte in text.as_bytes() {
            let mut again = true;
            while again {
                again = false;
                if !escape.is_open() {
                    if byte == b'\\' {
                        escape.begin()
                    } else {
                        characters.push((char::from(byte), 1))
                    }
                    continue;
                }
                match escape.take(byte) {
                    Escaped::More => {}
                    Escaped::Character { character, spelled } => characters.push((character, spelled)),
                    Escaped::Before { character, spelled } => {
                        characters.push((character, spelled));
                        again = true;
                    }
                    Escaped::Alone { then } => {
                        characters.extend([(char::REPLACEMENT_CHARACTER, 6), (then, 6)]);
                    }
                    Escaped::Literal => {
                        let (raw, length) = escape.abandon();
                        characters.extend(raw.iter().take(length).map(|&byte| (char::from(byte), 1)));
                        again = true;
                    }
                }
            }
        }
        characters
    }

    #[test]
    fn reads_every_escape_of_rfc_8259() {
        let text: String =
            decoded(r#"a\"\\\/\b\f\n\r\t\u0040\u00EB"#).into_iter().map(|(character, _)| character).collect();
        assert_eq!(text, "a\"\\/\u{8}\u{c}\n\r\t@\u{eb}");
    }

    #[test]
    fn joins_surrogate_pairs_and_leaves_halves_alone() {
        let half = char::REPLACEMENT_CHARACTER;
        assert_eq!(decoded(r"\ud83d\ude00"), [('\u{1f600}', 12)]);
        assert_eq!(decoded(r"\ud83dx"), [(half, 6), ('x', 1)]);
        assert_eq!(decoded(r"\ud83d\n"), [(half, 6), ('\n', 2)]);
        assert_eq!(decoded(r"\ud83d\u0030"), [(half, 6), ('0', 6)]);
        assert_eq!(decoded(r"\ud83d\ud83d\ude00"), [(half, 6), ('\u{1f600}', 12)]);
        assert_eq!(decoded(r"\ude00"), [(half, 6)]);
    }

    #[test]
    fn what_is_no_escape_stands_for_itself() {
        assert_eq!(decoded(r"\x4"), [('\\', 1), ('x', 1), ('4', 1)]);
        assert_eq!(decoded(r"\u00g"), [('\\', 1), ('u', 1), ('0', 1), ('0', 1), ('g', 1)]);
    }
}
