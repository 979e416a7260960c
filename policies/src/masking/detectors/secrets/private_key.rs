//! Private keys in PEM (RFC 7468 section 2) and OpenPGP armour (RFC 9580 section 6.2): from
//! `-----BEGIN … PRIVATE KEY-----` to the end of the end marker, or of the text. In constant memory.

use super::super::view::{Stop, View};
use super::{FoundSecret, Secret};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const KINDS: &[&[u8]] = &[
    b"PRIVATE KEY-----",
    b"RSA PRIVATE KEY-----",
    b"EC PRIVATE KEY-----",
    b"DSA PRIVATE KEY-----",
    b"OPENSSH PRIVATE KEY-----",
    b"ENCRYPTED PRIVATE KEY-----",
    b"ANY PRIVATE KEY-----",
    b"PGP PRIVATE KEY BLOCK-----",
    b"SSH2 ENCRYPTED PRIVATE KEY-----",
];

/// The beginning of a block whose first hyphen is at `start`.
pub(in super::super) fn private_key(view: &View<'_>, start: usize) -> FoundSecret {
    if view.byte(start + 1)? != Some(b'-') {
        return Err(Stop::No);
    }
    let begin = view.literal(start, BEGIN)?;
    let mut more = false;
    for kind in KINDS {
        match view.literal(begin, kind) {
            Ok(end) => return Ok(Secret::Block(end)),
            Err(stop) => more |= stop == Stop::More,
        }
    }
    Err(if more { Stop::More } else { Stop::No })
}

/// How much of the end marker has come. The label is not compared: whatever ends, the block does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Block {
    /// Bytes of `-----END ` that have come in a row.
    marker: usize,
    /// Once it is whole, hyphens of the last five.
    hyphens: Option<usize>,
}

impl Block {
    /// Takes the next byte; says whether the block ends with it.
    pub(in super::super) fn step(&mut self, byte: u8) -> bool {
        if let Some(hyphens) = self.hyphens {
            let hyphens = if byte == b'-' { hyphens + 1 } else { 0 };
            self.hyphens = Some(hyphens);
            return hyphens == 5;
        }
        self.marker = match END.get(self.marker) {
            Some(expected) if *expected == byte => self.marker + 1,
            // More than five hyphens in a row still end in five.
            _ if byte == b'-' && self.marker == 5 => 5,
            _ if byte == b'-' => 1,
            _ => 0,
        };
        if self.marker == END.len() {
            self.hyphens = Some(0);
        }
        false
    }
}
