//! Text as a JSON string (RFC 8259 section 7), fast: a recorded body is most of its line, and a line is written for
//! every exchange.
//!
//! The same bytes as serde_json writes. That looks at every byte by itself; here eight are looked at at once.

use crate::eight;

/// Writes `text` as a JSON string, quotes included.
pub(super) fn write_string(text: &str, output: &mut Vec<u8>) {
    // One byte in eight of a JSON body is a quote.
    output.reserve(text.len() + text.len() / 4 + 2);
    output.push(b'"');
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    for bytes in words {
        let word = u64::from_le_bytes(*bytes);
        if eight::controls(word) != 0 {
            bytes.iter().for_each(|byte| write_byte(*byte, output));
        } else if eight::quotes_and_backslashes(word) == 0 {
            output.extend_from_slice(bytes);
        } else {
            let (escaped, length) = escape_marked(bytes);
            // A copy of a fixed length is a few stores; one of any length is a call.
            let end = output.len() + length;
            output.extend_from_slice(&escaped);
            output.truncate(end);
        }
    }
    rest.iter().for_each(|byte| write_byte(*byte, output));
    output.push(b'"');
}

/// The eight bytes, none of them a control character, with a backslash before each quote and backslash, and how
/// many bytes that makes. Without a branch: where quotes stand in JSON is what no predictor learns.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline]
fn escape_marked(bytes: &[u8; 8]) -> ([u8; 16], usize) {
    let mut escaped = [0; 16];
    let mut length = 0;
    for byte in bytes {
        let marked = usize::from((*byte == b'"') | (*byte == b'\\'));
        // The mask changes nothing, as at most 14 bytes stand before the last; it is cheaper than a check.
        if let Some(slot) = escaped.get_mut(length & 15) {
            *slot = b'\\';
        }
        length += marked;
        if let Some(slot) = escaped.get_mut(length & 15) {
            *slot = *byte;
        }
        length += 1;
    }
    (escaped, length)
}

/// The same, with what WebAssembly has for it: the marks choose a row of [`PLACES`], and one instruction puts every byte in
/// its place. (A fortieth of what a request costs.)
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline]
fn escape_marked(bytes: &[u8; 8]) -> ([u8; 16], usize) {
    use core::arch::wasm32::{
        i8x16_bitmask, u8x16_eq, u8x16_splat, u8x16_swizzle, u64x2, u64x2_extract_lane, v128_or,
    };

    // Behind the text stands the backslash that is put in between.
    let text = u64x2(u64::from_le_bytes(*bytes), u64::from(b'\\'));
    let marked = v128_or(u8x16_eq(text, u8x16_splat(b'"')), u8x16_eq(text, u8x16_splat(b'\\')));
    let marks = usize::from(i8x16_bitmask(marked).to_le_bytes()[0]);
    let [low, high] = PLACES.get(marks).copied().unwrap_or_default();
    let escaped = u8x16_swizzle(text, u64x2(low, high));
    let mut both = [0; 16];
    let (first, second) = both.split_at_mut(8);
    first.copy_from_slice(&u64x2_extract_lane::<0>(escaped).to_le_bytes());
    second.copy_from_slice(&u64x2_extract_lane::<1>(escaped).to_le_bytes());
    (both, 8 + marks.count_ones() as usize)
}

/// For each set of marked bytes of eight: which byte of the text stands at each place once it is escaped. The eighth is the
/// backslash.
#[cfg(any(test, all(target_arch = "wasm32", target_feature = "simd128")))]
static PLACES: [[u64; 2]; 256] = places();

#[cfg(any(test, all(target_arch = "wasm32", target_feature = "simd128")))]
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which finds an index that is out of bounds"
)]
const fn places() -> [[u64; 2]; 256] {
    let mut rows = [[0; 2]; 256];
    let mut marks = 0;
    while marks < 256 {
        let (mut row, mut place, mut byte) = (0u128, 0, 0);
        while byte < 8 {
            if marks >> byte & 1 == 1 {
                row |= 8 << (8 * place);
                place += 1;
            }
            row |= byte << (8 * place);
            place += 1;
            byte += 1;
        }
        rows[marks] = [row as u64, (row >> 64) as u64];
        marks += 1;
    }
    rows
}

#[inline]
fn write_byte(byte: u8, output: &mut Vec<u8>) {
    if byte >= 0x20 && byte != b'"' && byte != b'\\' {
        output.push(byte);
        return;
    }
    match byte {
        0x08 => output.extend_from_slice(b"\\b"),
        b'\t' => output.extend_from_slice(b"\\t"),
        b'\n' => output.extend_from_slice(b"\\n"),
        0x0C => output.extend_from_slice(b"\\f"),
        b'\r' => output.extend_from_slice(b"\\r"),
        b'"' | b'\\' => output.extend_from_slice(&[b'\\', byte]),
        _ => {
            let low = byte & 0x0F;
            let digit = if low < 10 { b'0' + low } else { b'a' + low - 10 };
            output.extend_from_slice(&[b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), digit]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut output = Vec::new();
        write_string(text, &mut output);
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn every_byte_is_written_as_serde_json_writes_it_at_every_place_of_a_word() {
        for byte in 0..0x80u8 {
            for place in 0..17 {
                let mut text = "a".repeat(place);
                text.push(char::from(byte));
                text.push_str("bcdefghij");
                assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
            }
        }
    }

    #[test]
    fn every_row_of_places_is_what_escaping_by_hand_makes() {
        for marks in 0..=u8::MAX {
            let bytes: [u8; 8] =
                std::array::from_fn(|byte| if marks >> byte & 1 == 1 { b'"' } else { b'a' + byte as u8 });
            let (escaped, length) = escape_marked(&bytes);
            let row: Vec<u8> =
                PLACES[usize::from(marks)].iter().flat_map(|half| half.to_le_bytes()).collect();
            let by_row: Vec<u8> = row
                .iter()
                .take(length)
                .map(|from| *bytes.get(usize::from(*from)).unwrap_or(&b'\\'))
                .collect();
            assert_eq!(by_row, escaped[..length], "{marks:#010b}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_writes_it(text in ".{0,200}") {
            prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
        }

        #[test]
        fn text_full_of_escapes_is_too(text in "[\"\\\\\\x00-\\x1f\u{e9}\u{2028}\u{1F600}az]{0,200}") {
            prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
