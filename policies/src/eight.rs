//! Eight bytes looked at in one register: which of them is a quote, a backslash or a control character. What JSON needs
//! looked at is one of these, whether it is read or written.
//!
//! A byte is zero where subtracting one borrows from its top bit. A borrow goes on into the bytes above, so in each
//! answer the lowest byte that is marked is right and those above it may be wrong; that tells whether there is any, and
//! where the first of a word in little-endian order is.

const ONES: u64 = 0x0101_0101_0101_0101;
/// The top bit of each byte: where the answers have theirs.
pub(crate) const TOPS: u64 = ONES << 7;

/// Which bytes of `word` are `byte`.
#[inline]
pub(crate) fn equal(word: u64, byte: u8) -> u64 {
    let word = word ^ (ONES * u64::from(byte));
    word.wrapping_sub(ONES) & !word & TOPS
}

/// Which bytes of `word` end the inside of a JSON string, or begin an escape in it (RFC 8259 section 7).
#[inline]
pub(crate) fn quotes_and_backslashes(word: u64) -> u64 {
    equal(word, b'"') | equal(word, b'\\')
}

/// Which bytes of `word` may not stand in a JSON string: those below a blank.
#[inline]
pub(crate) fn controls(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) & !word & TOPS
}

/// How many bytes there are before the first that is marked.
#[inline]
pub(crate) fn before_first(marked: u64) -> usize {
    marked.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_of_each_kind_is_found(bytes in proptest::array::uniform8(prop_oneof![
            any::<u8>(), Just(b'"'), Just(b'\\'), Just(b'!'), Just(b'#'), 0x1e..0x22u8,
        ])) {
            let word = u64::from_le_bytes(bytes);
            let first = |kind: &dyn Fn(u8) -> bool| bytes.iter().position(|byte| kind(*byte)).unwrap_or(8);
            prop_assert_eq!(before_first(equal(word, b'"')), first(&|byte| byte == b'"'));
            prop_assert_eq!(before_first(quotes_and_backslashes(word)), first(&|byte| matches!(byte, b'"' | b'\\')));
            prop_assert_eq!(before_first(controls(word)), first(&|byte| byte < b' '));
        }
    }
}
