//! Ranges of a Merkle tree: which complete subtrees cover lines that are not at hand, and the root of a tree
//! that is given as such subtrees and single lines, from left to right.

use tlog_tiles::{EMPTY_HASH, Hash, node_hash, stored_hash_index};

/// The fewest complete subtrees that cover the lines `from..to`, as (level, index in stored hashes), from left
/// to right. At most two a level.
pub fn cover(mut from: u64, to: u64) -> Vec<(u8, u64)> {
    let mut nodes = Vec::new();
    while from < to {
        let fits = (to - from).ilog2();
        let level = if from == 0 { fits } else { from.trailing_zeros().min(fits) };
        // 64 levels at most, so the conversion holds.
        let level = u8::try_from(level).unwrap_or(u8::MAX);
        nodes.push((level, stored_hash_index(level, from >> level)));
        from += 1 << level;
    }
    nodes
}

/// The root of a tree, from its complete subtrees or lines in order.
#[derive(Debug, Default)]
pub struct Root {
    size: u64,
    peaks: Vec<(u8, Hash)>,
}

impl Root {
    /// A tree without lines.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many lines are in it.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a complete subtree of `1 << level` lines. `None` where one of that size cannot begin here.
    pub fn push(&mut self, level: u8, hash: Hash) -> Option<()> {
        let lines = 1_u64.checked_shl(u32::from(level))?;
        if !self.size.is_multiple_of(lines) {
            return None;
        }
        self.size = self.size.checked_add(lines)?;
        let (mut level, mut hash) = (level, hash);
        while let Some((last, left)) = self.peaks.last().copied()
            && last == level
        {
            self.peaks.pop();
            hash = node_hash(left, hash);
            level += 1;
        }
        self.peaks.push((level, hash));
        Some(())
    }

    /// The root (RFC 6962, section 2.1).
    pub fn hash(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some((_, last)) = peaks.next() else { return EMPTY_HASH };
        peaks.fold(*last, |right, (_, left)| node_hash(*left, right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog_tiles::record_hash;

    /// The vectors of the Certificate Transparency project for RFC 6962.
    #[test]
    fn roots_are_those_of_the_published_vectors() {
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut root = Root::new();
        assert_eq!(root.hash(), EMPTY_HASH);
        for (input, expected) in inputs.iter().zip(roots) {
            root.push(0, record_hash(input)).unwrap();
            assert_eq!(graphwarden_policies::evidence::hex(&root.hash().0), expected);
        }
    }

    #[test]
    fn a_subtree_cannot_begin_where_it_does_not_fit() {
        let mut root = Root::new();
        root.push(0, EMPTY_HASH).unwrap();
        assert!(root.push(1, EMPTY_HASH).is_none());
        assert!(root.push(64, EMPTY_HASH).is_none());
    }
}
