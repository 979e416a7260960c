//! Code points that only dress a value up are folded away before detectors look: full-width forms become
//! ASCII, unusual spaces and hyphens become plain ones, zero-width characters vanish.
//!
//! Works on bytes: what is not UTF-8, and every other code point, stays as it is. Folds nothing that is not
//! listed here; case and accents are the detectors' matter.

/// Zero-width characters in a row that a value may hold; one more breaks it, so that a value stays bounded.
pub(super) const MAX_ZERO_WIDTHS: u8 = 8;

/// Bytes of the text that one byte of folded text may stand for, with the zero-width characters after it.
pub(crate) const MAX_SPREAD: usize = 3 + MAX_ZERO_WIDTHS as usize * 3;

/// Stands for a zero-width character beyond [`MAX_ZERO_WIDTHS`]: a byte that no detector accepts.
const BREAK: u8 = 0;

/// The first bytes of all code points that are folded.
pub(crate) const FIRST: &[u8] = &[0xC2, 0xE2, 0xE3, 0xEF];

/// Folded text and where each byte of it stood.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// The bytes that detectors see.
    pub(super) text: Vec<u8>,
    /// For each, where its bytes begin and end.
    spans: Vec<(u32, u32)>,
    /// Bytes of the input that are folded; the rest is a code point that has not come whole yet.
    pub(super) length: usize,
    /// Zero-width characters at the end of the folded part.
    pub(super) zero_widths: u8,
}

impl Folded {
    /// Where the byte `index` of the folded text begins; behind the last, where the folded part ends.
    pub(super) fn begin(&self, index: usize) -> usize {
        self.spans.get(index).map_or(self.length, |span| span.0 as usize)
    }

    /// Where the byte before `index` ends.
    pub(super) fn end(&self, index: usize) -> usize {
        index.checked_sub(1).and_then(|last| self.spans.get(last)).map_or(0, |span| span.1 as usize)
    }
}

/// What one code point becomes.
enum Becomes {
    /// This byte, standing for so many.
    Byte(u8, usize),
    /// Nothing, for so many bytes.
    Nothing(usize),
    /// It has not come whole.
    Partial,
    /// Not a code point that is folded.
    Itself,
}

/// Bytes that are looked at together for what is beyond ASCII.
const PIECE: usize = 16;

/// Whether `text` holds anything to fold, or ends in what may become so. `zero_widths` came right before.
pub(super) fn is_needed(text: &[u8], zero_widths: u8) -> bool {
    if zero_widths > 0 && !text.is_empty() {
        return true;
    }
    // Most of most texts is ASCII.
    let pieces = text.chunks(PIECE).enumerate().filter(|(_, piece)| !piece.is_ascii());
    let mut first = pieces.flat_map(|(index, piece)| {
        let is_first = |(_, byte): &(usize, &u8)| FIRST.contains(*byte);
        piece.iter().enumerate().filter(is_first).map(move |(offset, _)| index * PIECE + offset)
    });
    first.any(|at| !matches!(becomes(text.get(at..).unwrap_or_default()), Becomes::Itself))
}

/// Folds `text`, which `zero_widths` zero-width characters precede. At the end of a text a code point that is
/// not whole stands for itself.
pub(super) fn fold(text: &[u8], zero_widths: u8, ended: bool) -> Folded {
    let mut folded = Folded {
        text: Vec::with_capacity(text.len()),
        spans: Vec::with_capacity(text.len()),
        length: 0,
        zero_widths,
    };
    let mut at = 0;
    while let Some(&first) = text.get(at) {
        let becomes =
            if first < 0x80 { Becomes::Itself } else { becomes(text.get(at..).unwrap_or_default()) };
        let (byte, length) = match becomes {
            Becomes::Itself => (first, 1),
            Becomes::Byte(byte, length) => (byte, length),
            Becomes::Partial if ended => (first, 1),
            Becomes::Partial => break,
            Becomes::Nothing(length) if folded.zero_widths < MAX_ZERO_WIDTHS => {
                folded.zero_widths += 1;
                at += length;
                continue;
            }
            Becomes::Nothing(length) => {
                folded.push(BREAK, at, length);
                at += length;
                continue;
            }
        };
        folded.push(byte, at, length);
        folded.zero_widths = 0;
        at += length;
    }
    folded.length = at;
    folded
}

impl Folded {
    fn push(&mut self, byte: u8, at: usize, length: usize) {
        self.text.push(byte);
        // Blocks are a few KiB, so that positions always fit.
        self.spans
            .push((u32::try_from(at).unwrap_or(u32::MAX), u32::try_from(at + length).unwrap_or(u32::MAX)));
    }
}

/// What the code point at the beginning of `text`, which is beyond ASCII, becomes.
fn becomes(text: &[u8]) -> Becomes {
    match *text {
        [0xC2 | 0xE2 | 0xE3 | 0xEF] | [0xE2, 0x80 | 0x81 | 0x88] | [0xE3, 0x80] => Becomes::Partial,
        [0xEF, 0xB9 | 0xBB..=0xBD] => Becomes::Partial,
        // U+00A0 no-break space, U+00AD soft hyphen.
        [0xC2, 0xA0, ..] => Becomes::Byte(b' ', 2),
        [0xC2, 0xAD, ..] => Becomes::Nothing(2),
        // U+2000..U+200A and U+202F spaces; U+200B..U+200F zero width and direction marks; U+2010..U+2013
        // hyphens and the en dash; U+202A..U+202E direction overrides.
        [0xE2, 0x80, 0x80..=0x8A | 0xAF, ..] => Becomes::Byte(b' ', 3),
        [0xE2, 0x80, 0x8B..=0x8F | 0xAA..=0xAE, ..] => Becomes::Nothing(3),
        [0xE2, 0x80, 0x90..=0x93, ..] => Becomes::Byte(b'-', 3),
        // U+205F space; U+2060..U+2064 and U+2066..U+2069: joiners and isolates.
        [0xE2, 0x81, 0x9F, ..] => Becomes::Byte(b' ', 3),
        [0xE2, 0x81, 0xA0..=0xA4 | 0xA6..=0xA9, ..] => Becomes::Nothing(3),
        // U+2212 minus sign.
        [0xE2, 0x88, 0x92, ..] => Becomes::Byte(b'-', 3),
        // U+3000 ideographic space.
        [0xE3, 0x80, 0x80, ..] => Becomes::Byte(b' ', 3),
        // U+FE6B small commercial at, U+FE63 small hyphen.
        [0xEF, 0xB9, 0xAB, ..] => Becomes::Byte(b'@', 3),
        [0xEF, 0xB9, 0xA3, ..] => Becomes::Byte(b'-', 3),
        // U+FEFF zero-width no-break space.
        [0xEF, 0xBB, 0xBF, ..] => Becomes::Nothing(3),
        // U+FF01..U+FF5E full-width forms of `!` to `~`.
        [0xEF, 0xBC, low @ 0x81..=0xBF, ..] => Becomes::Byte(low - 0x81 + b'!', 3),
        [0xEF, 0xBD, low @ 0x80..=0x9E, ..] => Becomes::Byte(low - 0x80 + b'`', 3),
        _ => Becomes::Itself,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        String::from_utf8(fold(text.as_bytes(), 0, true).text).unwrap()
    }

    #[test]
    fn full_width_forms_become_ascii() {
        let wide: String = ('!'..='~').map(|c| char::from_u32(c as u32 - 0x21 + 0xFF01).unwrap()).collect();
        let plain: String = ('!'..='~').collect();
        assert_eq!(folded(&wide), plain);
    }

    #[test]
    fn zero_width_characters_vanish_up_to_a_bound() {
        assert_eq!(folded("a\u{200b}b\u{feff}\u{2060}c\u{ad}d"), "abcd");
        let many = format!("a{}b", "\u{200b}".repeat(9));
        assert_eq!(folded(&many), "a\0b");
    }

    #[test]
    fn spaces_and_hyphens_become_plain() {
        assert_eq!(folded("1\u{a0}2\u{2011}3\u{2013}4\u{202f}5\u{3000}6\u{2212}7"), "1 2-3-4 5 6-7");
    }

    #[test]
    fn positions_lead_back_to_the_text() {
        let folded = fold("é\u{200b}１@".as_bytes(), 0, true);
        assert_eq!(folded.text, "é1@".as_bytes());
        assert_eq!((folded.begin(2), folded.end(3)), (5, 8));
        assert_eq!((folded.begin(3), folded.end(4), folded.begin(4)), (8, 9, 9));
    }

    #[test]
    fn a_code_point_cut_in_two_waits_for_its_rest() {
        for (cut, length) in
            [(&b"a\xEF\xBC"[..], 1), (b"a\xE2", 1), (b"a\xE2\x80", 1), (b"a\xC3", 2), (b"\xFF", 1)]
        {
            assert_eq!(fold(cut, 0, false).length, length);
            assert_eq!(is_needed(cut, 0), length != cut.len());
        }
    }

    #[test]
    fn ordinary_text_needs_no_folding() {
        for text in ["plain", "naïve — “quoted” … 日本語", "🙂"] {
            assert!(!is_needed(text.as_bytes(), 0), "{text}");
        }
        assert!(is_needed("a\u{200b}".as_bytes(), 0));
    }
}
