//! The tree that checkpoints sign is that of RFC 6962: roots, inclusion and consistency against the published vectors,
//! and for every size up to 300 against a reader of proofs that was written from the RFC's text and shares no code with
//! the tree.

use graphwarden::log::{Root, cover};
use sha2::{Digest, Sha256};
use tlog_tiles::{
    Error, Hash, HashReader, check_record, check_tree, prove_record, prove_tree, record_hash,
    stored_hash_index, stored_hashes, tree_hash,
};

/// The largest tree that is tried.
const MOST: u64 = 300;

type Digest256 = [u8; 32];

fn leaf(data: &[u8]) -> Digest256 {
    Sha256::new().chain_update([0]).chain_update(data).finalize().into()
}

fn node(left: &Digest256, right: &Digest256) -> Digest256 {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The Merkle Tree Hash as RFC 6962, section 2.1, defines it.
fn root(leaves: &[Digest256]) -> Digest256 {
    match leaves {
        [] => Sha256::digest([]).into(),
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node(&root(left), &root(right))
        }
    }
}

/// Whether the path proves that `hash` is leaf `index` of the tree (RFC 9162, section 2.1.3.2, which says in steps what
/// RFC 6962, section 2.1.1, defines).
fn includes(hash: Digest256, index: u64, size: u64, path: &[Digest256], root: &Digest256) -> bool {
    if index >= size {
        return false;
    }
    let (mut index, mut last, mut hash) = (index, size - 1, hash);
    for part in path {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            hash = node(part, &hash);
            while index & 1 == 0 && index != 0 {
                (index, last) = (index >> 1, last >> 1);
            }
        } else {
            hash = node(&hash, part);
        }
        (index, last) = (index >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Whether the path proves that the tree of `first` leaves is the beginning of that of `second` (RFC 9162, section
/// 2.1.4.2; RFC 6962, section 2.1.2).
fn is_consistent(
    first: u64,
    first_root: &Digest256,
    second: u64,
    second_root: &Digest256,
    path: &[Digest256],
) -> bool {
    if first == second {
        return path.is_empty() && first_root == second_root;
    }
    let mut path = path.to_vec();
    if first.is_power_of_two() {
        path.insert(0, *first_root);
    }
    let Some((start, rest)) = path.split_first() else { return false };
    let (mut index, mut last) = (first - 1, second - 1);
    while index & 1 == 1 {
        (index, last) = (index >> 1, last >> 1);
    }
    let (mut old, mut new) = (*start, *start);
    for part in rest {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            (old, new) = (node(part, &old), node(part, &new));
            while index & 1 == 0 && index != 0 {
                (index, last) = (index >> 1, last >> 1);
            }
        } else {
            new = node(&new, part);
        }
        (index, last) = (index >> 1, last >> 1);
    }
    last == 0 && old == *first_root && new == *second_root
}

/// A tree as the desk stores it.
#[derive(Default)]
struct Tree {
    stored: Vec<Hash>,
    leaves: Vec<Digest256>,
}

impl HashReader for Tree {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        Ok(indexes.iter().map(|index| self.stored[usize::try_from(*index).unwrap()]).collect())
    }
}

impl Tree {
    fn of<Line: AsRef<[u8]>>(lines: impl IntoIterator<Item = Line>) -> Self {
        let mut tree = Self::default();
        for (place, line) in lines.into_iter().enumerate() {
            let new = stored_hashes(place as u64, line.as_ref(), &tree).unwrap();
            tree.stored.extend(new);
            tree.leaves.push(leaf(line.as_ref()));
        }
        tree
    }

    fn counted() -> Self {
        Self::of((0..MOST).map(|n| format!("{{\"line\":{n}}}")))
    }

    /// Every root up to `MOST`, by the definition; the tree has to have the same ones.
    fn roots(&self) -> Vec<Digest256> {
        (0..=self.leaves.len())
            .map(|size| {
                let expected = root(&self.leaves[..size]);
                if size > 0 {
                    assert_eq!(tree_hash(size as u64, self).unwrap().0, expected, "root of {size}");
                }
                expected
            })
            .collect()
    }
}

fn digests(hashes: &[Hash]) -> Vec<Digest256> {
    hashes.iter().map(|hash| hash.0).collect()
}

fn hexes(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| graphwarden_policies::evidence::hex(&hash.0)).collect()
}

/// The leaves of the vectors that the Certificate Transparency project published for RFC 6962.
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];
const ONE: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const TWO: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const FOUR: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
const FIFTH: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const LAST_TWO: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const FIRST_FOUR: &str = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7";

#[test]
fn proofs_are_those_of_the_published_vectors() {
    let tree = Tree::of(LEAVES);
    tree.roots();
    // Leaf, counted from 1, and size.
    for (place, size, expected) in [
        (1, 1, Vec::new()),
        (1, 8, vec![ONE, TWO, FOUR]),
        (6, 8, vec![FIFTH, LAST_TWO, FIRST_FOUR]),
        (3, 3, vec!["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
        (2, 5, vec!["6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", TWO, FIFTH]),
    ] {
        assert_eq!(hexes(&prove_record(size, place - 1, &tree).unwrap()), expected, "{place} of {size}");
    }
    for (old, new, expected) in [
        (1, 1, Vec::new()),
        (1, 8, vec![ONE, TWO, FOUR]),
        (
            6,
            8,
            vec!["0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a", LAST_TWO, FIRST_FOUR],
        ),
        (2, 5, vec![TWO, FIFTH]),
    ] {
        assert_eq!(hexes(&prove_tree(new, old, &tree).unwrap()), expected, "{old} to {new}");
    }
}

#[test]
fn inclusion_is_proven_for_every_line_of_every_size_up_to_three_hundred() {
    let tree = Tree::counted();
    let roots = tree.roots();
    for size in 1..=MOST {
        let whole = roots[usize::try_from(size).unwrap()];
        for (index, hash) in (0..size).zip(&tree.leaves) {
            let proof = prove_record(size, index, &tree).unwrap();
            check_record(&proof, size, Hash(whole), index, Hash(*hash)).unwrap();
            let path = digests(&proof);
            assert!(includes(*hash, index, size, &path, &whole), "{index} of {size}");
            // Another line, another place, a part that was changed or left out. Each is tried for one in five: hashes
            // are slow where nothing is optimised.
            if !(size + index).is_multiple_of(5) {
                continue;
            }
            assert!(!includes(leaf(b"another"), index, size, &path, &whole));
            assert!(size == 1 || !includes(*hash, (index + 1) % size, size, &path, &whole));
            if let Some((_, shorter)) = path.split_last() {
                assert!(!includes(*hash, index, size, shorter, &whole), "{index} of {size}, cut");
                let mut changed = path.clone();
                changed[0][31] ^= 1;
                assert!(!includes(*hash, index, size, &changed, &whole), "{index} of {size}, changed");
            }
        }
    }
}

#[test]
fn consistency_is_proven_for_every_pair_of_sizes_up_to_three_hundred() {
    let tree = Tree::counted();
    let roots = tree.roots();
    let at = |size: u64| roots[usize::try_from(size).unwrap()];
    let mut pairs = 0;
    for new in 1..=MOST {
        for old in 1..=new {
            let proof = prove_tree(new, old, &tree).unwrap();
            check_tree(&proof, new, Hash(at(new)), old, Hash(at(old))).unwrap();
            let path = digests(&proof);
            assert!(is_consistent(old, &at(old), new, &at(new), &path), "{old} to {new}");
            pairs += 1;
            // A log that was rewritten, or rolled back and grown again, has no proof.
            if !(new + old).is_multiple_of(5) {
                continue;
            }
            let other = leaf(b"rewritten");
            assert!(!is_consistent(old, &other, new, &at(new), &path), "{old} to {new}");
            assert!(!is_consistent(old, &at(old), new, &other, &path), "{old} to {new}");
            assert!(check_tree(&proof, new, Hash(at(new)), old, Hash(other)).is_err());
            assert!(check_tree(&proof, new, Hash(other), old, Hash(at(old))).is_err());
        }
    }
    assert_eq!(pairs, MOST * (MOST + 1) / 2);
}

#[test]
fn ranges_of_every_size_up_to_three_hundred_lead_to_the_root() {
    // What an export of some of the records is verified by: the subtrees before, the records, the subtrees after.
    let tree = Tree::counted();
    let roots = tree.roots();
    let stored = |level: u8, index: u64| {
        assert!(index >= stored_hash_index(level, 0));
        tree.stored[usize::try_from(index).unwrap()]
    };
    for size in 1..=MOST {
        for from in (0..size).step_by(1 + usize::try_from(size / 24).unwrap()) {
            for to in [from, from + 1, (from + size).div_ceil(2), size] {
                let mut whole = Root::new();
                for (level, index) in cover(0, from) {
                    whole.push(level, stored(level, index)).unwrap();
                }
                for n in from..to {
                    let line = format!("{{\"line\":{n}}}");
                    whole.push(0, record_hash(line.as_bytes())).unwrap();
                }
                for (level, index) in cover(to, size) {
                    whole.push(level, stored(level, index)).unwrap();
                }
                assert_eq!(whole.size(), size);
                assert_eq!(whole.hash().0, roots[usize::try_from(size).unwrap()], "{from}..{to} of {size}");
            }
        }
    }
}
