//! Verifies an export from its bytes alone, and says what was proven and what was not.
//!
//! Layer by layer: the manifest is signed and covers every file; every line hashes to its leaf; the leaves and
//! the hashes around them lead to the signed checkpoint; every chain follows line by line; an earlier checkpoint
//! is the beginning of this one. What is proven is the content of every file; the ZIP's own marks around it
//! (dates, attributes) mean nothing and are not looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Read, Seek};

use anyhow::{Context, bail, ensure};
use digest_io::IoWrapper;
use graphwarden_policies::evidence::{Link, ZERO_HASH, sha256_hex};
use sha2::{Digest, Sha256};
use tlog_tiles::{Checkpoint, Hash, record_hash};
use zip::ZipArchive;

use super::{Consistency, Range, TITLE};
use crate::evidence::hex;
use crate::log::{PublicKey, Root};

/// The largest file of the proof that is read at once, in bytes.
const LARGEST_SMALL: u64 = 4 * 1024 * 1024;
/// The longest line of `records.jsonl`, in bytes: what the desk accepts.
const LONGEST_LINE: u64 = 1024 * 1024;

/// What was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Records in the export.
    pub records: u64,
    /// Lines of the ledger at the checkpoint.
    pub ledger: u64,
    /// Chains of the records.
    pub chains: usize,
    /// The size of the earlier checkpoint that was proven the beginning of this one.
    pub since: Option<u64>,
    /// What could not be proven, in words.
    pub open: Vec<String>,
}

/// Verifies an export. An error names the place.
pub fn verify(file: impl Read + Seek, key: &PublicKey, since: Option<&[u8]>) -> anyhow::Result<Report> {
    let mut zip = ZipArchive::new(file).context("the file is not a ZIP, or is cut off")?;
    if let Err(error) = check_manifest(&mut zip, key) {
        // Where a record was changed, its place says more than the file's name.
        if let Err(place) =
            read_range(&mut zip).and_then(|range| check_lines(&mut zip, &range, &mut Chains::default()))
        {
            bail!("{error:#}; {place:#}");
        }
        return Err(error);
    }
    let note = small(&mut zip, "proof/checkpoint")?;
    let checkpoint = key.checkpoint(&note).context("proof/checkpoint is wrong")?;
    let range = read_range(&mut zip)?;
    let mut chains = Chains::default();
    let (records, root) = check_lines(&mut zip, &range, &mut chains)?;
    ensure!(
        root.size() == checkpoint.size(),
        "the proof covers {} lines, the checkpoint {}",
        root.size(),
        checkpoint.size()
    );
    ensure!(
        root.hash() == *checkpoint.hash(),
        "the records do not lead to the signed checkpoint: one was changed, dropped, added or moved, and so was the proof"
    );
    let mut open = Vec::new();
    let count = chains.finish(&mut open);
    let since = match since {
        Some(old) => Some(check_since(&mut zip, key, &checkpoint, old)?),
        None => {
            open.push(
                "that nothing was rewritten or cut off before this export: give an earlier checkpoint with --since".to_owned(),
            );
            None
        }
    };
    Ok(Report { records, ledger: checkpoint.size(), chains: count, since, open })
}

/// The manifest is signed, and every file of the ZIP is as it says, with none missing and none added.
fn check_manifest<F: Read + Seek>(zip: &mut ZipArchive<F>, key: &PublicKey) -> anyhow::Result<()> {
    let text = key.open(&small(zip, "MANIFEST")?).context("MANIFEST is wrong")?;
    let text = String::from_utf8(text)?;
    let mut lines = text.lines();
    ensure!(lines.next() == Some(TITLE), "MANIFEST is not that of an export that this program knows");
    let mut expected = BTreeMap::new();
    for line in lines.skip(3) {
        let mut parts = line.splitn(3, ' ');
        let (Some(hash), Some(length), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            bail!("MANIFEST has a malformed line");
        };
        expected.insert(name.to_owned(), (hash.to_owned(), length.parse::<u64>()?));
    }
    let mut found = BTreeSet::new();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index).context("a file of the ZIP cannot be read")?;
        let name = file.name().context("a file of the ZIP has a name that cannot be read")?.into_owned();
        ensure!(found.insert(name.clone()), "{name} is there twice");
        if name == "MANIFEST" {
            continue;
        }
        let Some((hash, length)) = expected.get(&name) else { bail!("{name} was added") };
        let mut hasher = IoWrapper(Sha256::new());
        let read = std::io::copy(&mut (&mut file).take(length + 1), &mut hasher)
            .with_context(|| format!("{name} was changed"))?;
        ensure!(read == *length && hex(&hasher.0.finalize()) == *hash, "{name} was changed");
    }
    match expected.keys().find(|name| !found.contains(*name)) {
        Some(name) => bail!("{name} is missing"),
        None => Ok(()),
    }
}

/// A small file of the ZIP.
fn small<F: Read + Seek>(zip: &mut ZipArchive<F>, name: &str) -> anyhow::Result<Vec<u8>> {
    let file = zip.by_name(name).with_context(|| format!("{name} is missing"))?;
    let mut bytes = Vec::new();
    file.take(LARGEST_SMALL + 1).read_to_end(&mut bytes).with_context(|| format!("{name} was changed"))?;
    ensure!(bytes.len() as u64 <= LARGEST_SMALL, "{name} is too large");
    Ok(bytes)
}

fn read_range<F: Read + Seek>(zip: &mut ZipArchive<F>) -> anyhow::Result<Range> {
    serde_json::from_slice(&small(zip, "proof/range.json")?).context("proof/range.json is malformed")
}

/// Walks leaves and records side by side. A ZIP reads one file at a time, so the leaves come first: 33 bytes a
/// line are kept.
fn check_lines<F: Read + Seek>(
    zip: &mut ZipArchive<F>,
    range: &Range,
    chains: &mut Chains,
) -> anyhow::Result<(u64, Root)> {
    let mut root = Root::new();
    push_all(&mut root, &range.before)?;
    ensure!(root.size() == range.first, "proof/range.json does not cover the lines before the first");
    let mut marked: Vec<(u64, Hash)> = Vec::new();
    let mut count = 0;
    let file = zip.by_name("proof/leaves.txt").context("proof/leaves.txt is missing")?;
    for line in BufReader::new(file).lines() {
        let line = line.context("proof/leaves.txt was changed")?;
        let place = || format!("proof/leaves.txt, line {}", count + 1);
        let (hash, mark) = line.split_at_checked(64).with_context(place)?;
        let hash = unhex(hash).with_context(place)?;
        match mark {
            "+" => marked.push((range.first + count, hash)),
            "-" => {}
            _ => bail!("{} is malformed", place()),
        }
        root.push(0, hash).with_context(place)?;
        count += 1;
    }
    ensure!(count == range.count, "proof/leaves.txt has {count} lines instead of {}", range.count);
    push_all(&mut root, &range.after)?;

    let file = zip.by_name("records.jsonl").context("records.jsonl is missing")?;
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut leaves = marked.iter();
    let mut records = 0_u64;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader
            .by_ref()
            .take(LONGEST_LINE + 2)
            .read_until(b'\n', &mut line)
            .context("records.jsonl was changed")?;
        if read == 0 {
            break;
        }
        records += 1;
        let place = format!("records.jsonl, line {records}");
        ensure!(line.pop() == Some(b'\n'), "{place} is cut off");
        let Some((position, leaf)) = leaves.next() else { bail!("{place} was added") };
        ensure!(
            record_hash(&line) == *leaf,
            "{place} (ledger position {position}) is not the record that the ledger has there: it was changed, or one before it was dropped or added"
        );
        chains.take(&line).with_context(|| place)?;
    }
    if let Some((position, _)) = leaves.next() {
        bail!("records.jsonl ends early: the record at ledger position {position} is missing");
    }
    Ok((records, root))
}

fn push_all(root: &mut Root, nodes: &[(u8, String)]) -> anyhow::Result<()> {
    for (level, hash) in nodes {
        let hash = unhex(hash).context("proof/range.json is malformed")?;
        root.push(*level, hash).context("proof/range.json does not fit together")?;
    }
    Ok(())
}

fn check_since<F: Read + Seek>(
    zip: &mut ZipArchive<F>,
    key: &PublicKey,
    checkpoint: &Checkpoint,
    old: &[u8],
) -> anyhow::Result<u64> {
    let old = key.checkpoint(old).context("the earlier checkpoint is wrong")?;
    ensure!(
        old.size() <= checkpoint.size(),
        "the ledger has shrunk from {} to {} lines since the earlier checkpoint: it was rolled back or cut off",
        old.size(),
        checkpoint.size()
    );
    let proof = if old.size() == checkpoint.size() {
        Vec::new()
    } else {
        let bytes = small(zip, "proof/consistency.json").context(
            "the export holds no proof for an earlier checkpoint; it has to be made with the same --since",
        )?;
        let consistency: Consistency =
            serde_json::from_slice(&bytes).context("proof/consistency.json is malformed")?;
        ensure!(
            consistency.size == old.size(),
            "the export holds a proof for a checkpoint of {} lines, not of {}",
            consistency.size,
            old.size()
        );
        let hashes: Option<Vec<Hash>> = consistency.proof.iter().map(|hash| unhex(hash)).collect();
        hashes.context("proof/consistency.json is malformed")?
    };
    tlog_tiles::check_tree(&proof, checkpoint.size(), *checkpoint.hash(), old.size(), *old.hash())
        .ok()
        .context(
            "the ledger's history was rewritten: the earlier checkpoint is not the beginning of this one",
        )?;
    Ok(old.size())
}

/// Follows every chain, in whatever order its lines arrived.
#[derive(Default)]
struct Chains(HashMap<String, Chain>);

#[derive(Default)]
struct Chain {
    /// The lines that follow one another without a gap.
    run: Option<Run>,
    /// Lines that overtook others, or whose neighbours are not in the export: place → (prev, hash).
    apart: BTreeMap<u64, (String, String)>,
}

struct Run {
    /// The first place, and the hash that it names as the one before.
    first: u64,
    prev: String,
    /// The next place, and the hash that it has to name.
    next: u64,
    head: String,
}

impl Chains {
    fn take(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let link = Link::read(line)?;
        ensure!(link.seq != 0 || link.prev == ZERO_HASH, "the chain's first record names one before it");
        let chain = self.0.entry(link.chain).or_default();
        let hash = sha256_hex(line);
        let Some(run) = &mut chain.run else {
            chain.run = Some(Run { first: link.seq, prev: link.prev, next: link.seq + 1, head: hash });
            return Ok(());
        };
        let known = (run.first..run.next).contains(&link.seq) || chain.apart.contains_key(&link.seq);
        ensure!(!known, "the chain has two records at place {}", link.seq);
        chain.apart.insert(link.seq, (link.prev, hash));
        while let Some((prev, hash)) = chain.apart.remove(&run.next) {
            ensure!(
                prev == run.head,
                "the record at place {} of its chain does not follow the one before it",
                run.next
            );
            (run.next, run.head) = (run.next + 1, hash);
        }
        while let Some(place) = run.first.checked_sub(1)
            && let Some((prev, hash)) = chain.apart.remove(&place)
        {
            ensure!(
                hash == run.prev,
                "the record at place {} of its chain does not follow the one before it",
                run.first
            );
            (run.first, run.prev) = (place, prev);
        }
        Ok(())
    }

    /// Says which chains have gaps, and returns how many chains there are.
    fn finish(self, open: &mut Vec<String>) -> usize {
        let count = self.0.len();
        let mut names: Vec<_> = self.0.into_iter().collect();
        names.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, chain) in names {
            if let (Some(run), Some(place)) = (&chain.run, chain.apart.keys().next()) {
                open.push(format!(
                    "that chain {name} is whole: places {} to {} follow one another, the next record is at place {place}",
                    run.first,
                    run.next - 1
                ));
            }
        }
        count
    }
}

fn unhex(text: &str) -> Option<Hash> {
    if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut hash = [0; 32];
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(Hash(hash))
}
