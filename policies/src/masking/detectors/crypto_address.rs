//! Addresses of crypto-currencies, with their check sums where they have any.
//!
//! Sources: Bitcoin's Base58Check (Bitcoin, Litecoin, Dogecoin, Tron: 25 bytes, the last four a double SHA-256),
//! BIP 173 and BIP 350 (Bech32 and Bech32m: `bc1…`, `tb1…`, `ltc1…`, and Cardano's CIP 19 `addr1…`), and
//! Ethereum's `0x` and 40 hexadecimal digits, in any case since EIP-55 is optional. Hashes of 64 digits are none.

use sha2::{Digest, Sha256};

use super::view::{Found, Stop, View, is_word};

/// Cardano's addresses are the longest, and the byte behind.
pub(super) const LONGEST: usize = BECH32_MOST + 1;

const BECH32_MOST: usize = 110;
const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// Human-readable parts that are known, and the shortest and longest address of each.
const BECH32_KINDS: &[(&[u8], usize, usize)] = &[
    (b"bc1", 14, 90),
    (b"tb1", 14, 90),
    (b"ltc1", 14, 90),
    (b"addr1", 50, BECH32_MOST),
    (b"stake1", 50, BECH32_MOST),
];

/// An address that begins at `start`.
pub(super) fn at(view: &View<'_>, start: usize) -> Found {
    if !view.word_begins(start) {
        return Err(Stop::No);
    }
    match view.byte(start)? {
        Some(b'0') => ethereum(view, start),
        Some(b'1' | b'3' | b'L' | b'M' | b'D' | b'T') => {
            super::view::longest(base58check(view, start), bech32(view, start))
        }
        Some(b'b' | b'B' | b't' | b'l' | b'a' | b's') => bech32(view, start),
        _ => Err(Stop::No),
    }
}

fn ethereum(view: &View<'_>, start: usize) -> Found {
    let begin = view.literal(start, b"0x")?;
    let end = view.run(begin, 41, |byte| byte.is_ascii_hexdigit())?;
    if end != begin + 40 {
        return Err(Stop::No);
    }
    view.word_ends(end)
}

fn is_base58(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() && !matches!(byte, b'0' | b'O' | b'I' | b'l')
}

/// BIP 173 leaves out `1`, `b`, `i` and `o`.
fn is_bech32(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() && !matches!(byte | 0x20, b'b' | b'i' | b'o') && byte != b'1'
}

fn base58check(view: &View<'_>, start: usize) -> Found {
    let end = view.run(start, 36, is_base58)?;
    if !(26..=35).contains(&(end - start)) || view.byte(end)?.is_some_and(is_word) {
        return Err(Stop::No);
    }
    // Base 58 to base 256.
    let mut bytes = [0u8; 25];
    for digit in view.span(start, end) {
        let mut carry = BASE58.iter().position(|known| known == digit).ok_or(Stop::No)?;
        for byte in bytes.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = u8::try_from(carry % 256).unwrap_or(0);
            carry /= 256;
        }
        if carry > 0 {
            return Err(Stop::No);
        }
    }
    let (payload, check) = bytes.split_at(21);
    let digest = Sha256::digest(Sha256::digest(payload));
    if digest.starts_with(check) { Ok(end) } else { Err(Stop::No) }
}

fn bech32(view: &View<'_>, start: usize) -> Found {
    let mut more = false;
    for (human, least, most) in BECH32_KINDS {
        // Written in one case throughout; prefixes are compared in lower case.
        let mut end = Ok(start);
        for (offset, letter) in human.iter().enumerate() {
            match view.byte(start + offset) {
                Ok(Some(byte)) if byte.to_ascii_lowercase() == *letter => end = Ok(start + offset + 1),
                Ok(_) => end = Err(Stop::No),
                Err(stop) => end = Err(stop),
            }
            if end.is_err() {
                break;
            }
        }
        let data = match end {
            Ok(data) => data,
            Err(stop) => {
                more |= stop == Stop::More;
                continue;
            }
        };
        let end = view.run(data, most + 1 - human.len(), is_bech32)?;
        let length = end - start;
        if length < *least || length > *most || view.byte(end)?.is_some_and(is_word) {
            return Err(Stop::No);
        }
        let name = human.strip_suffix(b"1").unwrap_or(human);
        return if matches!(checksum(name, view.span(data, end)), 1 | 0x2bc8_30a3) {
            Ok(end)
        } else {
            Err(Stop::No)
        };
    }
    Err(if more { Stop::More } else { Stop::No })
}

/// BIP 173's polynomial: 1 for Bech32, `0x2bc830a3` for Bech32m.
fn checksum(name: &[u8], data: &[u8]) -> u32 {
    let high = name.iter().map(|byte| byte >> 5);
    let low = name.iter().map(|byte| byte & 31);
    let values = data.iter().map(|byte| {
        let byte = byte.to_ascii_lowercase();
        BECH32.iter().position(|known| *known == byte).and_then(|value| u8::try_from(value).ok()).unwrap_or(0)
    });
    high.chain([0]).chain(low).chain(values).fold(1, |check: u32, value| {
        let top = check >> 25;
        let check = ((check & 0x01ff_ffff) << 5) ^ u32::from(value);
        [0x3b6a_57b2u32, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3]
            .iter()
            .enumerate()
            .filter(|(bit, _)| top >> bit & 1 == 1)
            .fold(check, |check, (_, generator)| check ^ generator)
    })
}
