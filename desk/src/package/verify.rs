//! Verifies an export from its bytes alone, and says what was proven and what was not.
//!
//! Layer by layer: the manifest is signed and covers every file; every line hashes to its leaf; the leaves and
//! the hashes around them lead to the signed checkpoint; every chain follows line by line; an earlier checkpoint
//! is the beginning of this one; the tables that follow from the records are made again and compared. What is proven is the content of every file; the ZIP's own marks around it
//! (dates, attributes) mean nothing and are not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Seek, Write};

use anyhow::{Context, bail, ensure};
use digest_io::IoWrapper;
use graphwarden_policies::evidence::{hex, unhex};
use sha2::{Digest, Sha256};
use tlog_tiles::{Checkpoint, Hash, record_hash};
use zip::ZipArchive;

use super::chains::Chains;
use super::directory::Directory;
use super::entry::Entry;
use super::tables::Tables;
use super::{Consistency, Range, TITLE};
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
    /// The tables that say what the records say.
    pub tables: Vec<&'static str>,
    /// What could not be proven, in words.
    pub open: Vec<String>,
}

/// The files of the export with their hashes, as they were signed.
type Signed = BTreeMap<String, (String, u64)>;

/// Verifies an export. An error names the place.
pub fn verify(file: impl Read + Seek, key: &PublicKey, since: Option<&[u8]>) -> anyhow::Result<Report> {
    let mut zip = ZipArchive::new(file).context("the file is not a ZIP, or is cut off")?;
    let signed = match check_manifest(&mut zip, key) {
        Ok(signed) => signed,
        Err(error) => {
            // Where a record was changed, its place says more than the file's name.
            if let Err(place) =
                read_range(&mut zip).and_then(|range| Lines::default().check(&mut zip, &range))
            {
                bail!("{error:#}; {place:#}");
            }
            return Err(error);
        }
    };
    let note = small(&mut zip, "proof/checkpoint")?;
    let checkpoint = key.checkpoint(&note).context("proof/checkpoint is wrong")?;
    let old = since.map(|old| key.checkpoint(old).context("the earlier checkpoint is wrong")).transpose()?;
    let range = read_range(&mut zip)?;
    let mut lines = Lines {
        tables: Some(Tables::new()?),
        old_size: old.as_ref().map(Checkpoint::size),
        ..Lines::default()
    };
    lines.check(&mut zip, &range)?;
    ensure!(
        lines.root.size() == checkpoint.size(),
        "the proof covers {} lines, the checkpoint {}",
        lines.root.size(),
        checkpoint.size()
    );
    ensure!(
        lines.root.hash() == *checkpoint.hash(),
        "the records do not lead to the signed checkpoint: one was changed, dropped, added or moved, and so was the proof"
    );
    let mut open = Vec::new();
    if lines.purged > 0 {
        open.push(format!(
            "what {} records said whose contents are gone by retention: only their hashes are in the ledger",
            lines.purged
        ));
    }
    let Lines { chains, records, tables, old_root, .. } = lines;
    let chains = chains.finish(&mut open);
    let since = match &old {
        Some(old) => Some(check_since(&mut zip, &checkpoint, old, old_root)?),
        None => {
            open.push(
                "that nothing was rewritten or cut off before this export: give an earlier checkpoint with --since".to_owned(),
            );
            None
        }
    };
    let tables = match tables {
        Some(tables) => check_tables(&mut zip, tables, &signed)?,
        None => Vec::new(),
    };
    open.push(
        "what approvals.csv, findings.csv and report.html say beyond the records: they are the desk's own word, signed"
            .to_owned(),
    );
    Ok(Report { records, ledger: checkpoint.size(), chains, since, tables, open })
}

/// Makes the tables that follow from the records again; they have to be those of the export, byte for byte.
fn check_tables<F: Read + Seek>(
    zip: &mut ZipArchive<F>,
    mut tables: Tables,
    signed: &Signed,
) -> anyhow::Result<Vec<&'static str>> {
    tables.finish();
    let directory = match signed.contains_key("directory.csv") {
        true => {
            let file = zip.by_name("directory.csv").context("directory.csv is missing")?;
            Some(Directory::from_csv(file).context("directory.csv cannot be read")?)
        }
        false => None,
    };
    let compare = |name: &'static str, sink: Sink| {
        let made = (hex(&sink.hash.finalize()), sink.length);
        ensure!(
            signed.get(name) == Some(&made),
            "{name} does not say what the records say: it was made by other means, or by another version"
        );
        Ok(name)
    };
    let mut sink = Sink::default();
    tables.write_invocations(&mut sink)?;
    let mut proven = vec![compare("invocations.csv", sink)?];
    let mut sink = Sink::default();
    tables.write_tokens(&mut sink)?;
    proven.push(compare("tokens.csv", sink)?);
    let mut sink = Sink::default();
    tables.review.write(directory.as_ref(), &mut sink)?;
    proven.push(compare("access-review.csv", sink)?);
    Ok(proven)
}

/// Hashes what is written.
#[derive(Default)]
struct Sink {
    hash: Sha256,
    length: u64,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The manifest is signed, and every file of the ZIP is as it says, with none missing and none added.
fn check_manifest<F: Read + Seek>(zip: &mut ZipArchive<F>, key: &PublicKey) -> anyhow::Result<Signed> {
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
        None => Ok(expected),
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
/// The records and leaves as they are read.
#[derive(Default)]
struct Lines {
    chains: Chains,
    records: u64,
    purged: u64,
    root: Root,
    /// The tables to fill.
    tables: Option<Tables>,
    /// The size of the earlier checkpoint, and the root that the leaves have there, where they reach it.
    old_size: Option<u64>,
    old_root: Option<Hash>,
}

impl Lines {
    /// Every line is the one that its leaf says, in order, with none missing and none added; every chain follows.
    fn check<F: Read + Seek>(&mut self, zip: &mut ZipArchive<F>, range: &Range) -> anyhow::Result<()> {
        let marked = self.read_leaves(zip, range)?;
        let file = zip.by_name("records.jsonl").context("records.jsonl is missing")?;
        let mut reader = BufReader::with_capacity(1 << 18, file);
        let mut leaves = marked.iter();
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
            self.records += 1;
            let place = format!("records.jsonl, line {}", self.records);
            ensure!(line.pop() == Some(b'\n'), "{place} is cut off");
            let Some((position, leaf)) = leaves.next() else { bail!("{place} was added") };
            ensure!(
                record_hash(&line) == *leaf,
                "{place} (ledger position {position}) is not the record that the ledger has there: it was changed, or one before it was dropped or added"
            );
            let entry = Entry::read(&line).with_context(|| format!("{place} is no record"))?;
            self.chains.take(&entry, &line).with_context(|| place)?;
            if let Some(tables) = &mut self.tables {
                tables.take(*position, &entry)?;
            }
        }
        if let Some((position, _)) = leaves.next() {
            bail!("records.jsonl ends early: the record at ledger position {position} is missing");
        }
        Ok(())
    }

    /// Reads the hashes of the ledger; those of the records in the export come back with their positions.
    fn read_leaves<F: Read + Seek>(
        &mut self,
        zip: &mut ZipArchive<F>,
        range: &Range,
    ) -> anyhow::Result<Vec<(u64, Hash)>> {
        push_all(&mut self.root, &range.before)?;
        ensure!(
            self.root.size() == range.first,
            "proof/range.json does not cover the lines before the first"
        );
        self.look_at_root();
        let mut marked: Vec<(u64, Hash)> = Vec::new();
        let mut count = 0;
        let file = zip.by_name("proof/leaves.txt").context("proof/leaves.txt is missing")?;
        let mut reader = BufReader::with_capacity(1 << 18, file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader
                .by_ref()
                .take(80)
                .read_until(b'\n', &mut line)
                .context("proof/leaves.txt was changed")?;
            if read == 0 {
                break;
            }
            let place = || format!("proof/leaves.txt, line {}", count + 1);
            let text = std::str::from_utf8(&line)
                .ok()
                .and_then(|line| line.strip_suffix('\n'))
                .with_context(place)?;
            let (hash, mark) = text.split_at_checked(64).with_context(place)?;
            let hash = unhex(hash).map(Hash).with_context(place)?;
            match mark {
                "+" => marked.push((range.first + count, hash)),
                "-" => {}
                "x" => self.purged += 1,
                _ => bail!("{} is malformed", place()),
            }
            self.root.push(0, hash).with_context(place)?;
            count += 1;
            self.look_at_root();
        }
        ensure!(count == range.count, "proof/leaves.txt has {count} lines instead of {}", range.count);
        push_all(&mut self.root, &range.after)?;
        self.look_at_root();
        Ok(marked)
    }

    /// Keeps the root where the tree is as large as the earlier checkpoint.
    fn look_at_root(&mut self) {
        if self.old_size == Some(self.root.size()) {
            self.old_root = Some(self.root.hash());
        }
    }
}

fn push_all(root: &mut Root, nodes: &[(u8, String)]) -> anyhow::Result<()> {
    for (level, hash) in nodes {
        let hash = unhex(hash).map(Hash).context("proof/range.json is malformed")?;
        root.push(*level, hash).context("proof/range.json does not fit together")?;
    }
    Ok(())
}

/// The earlier checkpoint is the beginning of this one: the leaves say so where they reach back to it, else the proof
/// that the export holds for it.
fn check_since<F: Read + Seek>(
    zip: &mut ZipArchive<F>,
    checkpoint: &Checkpoint,
    old: &Checkpoint,
    old_root: Option<Hash>,
) -> anyhow::Result<u64> {
    const REWRITTEN: &str =
        "the ledger's history was rewritten: the earlier checkpoint is not the beginning of this one";
    ensure!(
        old.size() <= checkpoint.size(),
        "the ledger has shrunk from {} to {} lines since the earlier checkpoint: it was rolled back or cut off",
        old.size(),
        checkpoint.size()
    );
    if let Some(root) = old_root {
        ensure!(root == *old.hash(), REWRITTEN);
        return Ok(old.size());
    }
    let bytes = small(zip, "proof/consistency.json").with_context(|| {
        format!(
            "the export does not reach back to the earlier checkpoint of {} lines and holds no proof for it; make it with the same --since",
            old.size()
        )
    })?;
    let consistency: Consistency =
        serde_json::from_slice(&bytes).context("proof/consistency.json is malformed")?;
    ensure!(
        consistency.size == old.size(),
        "the export holds a proof for a checkpoint of {} lines, not of {}",
        consistency.size,
        old.size()
    );
    let hashes: Option<Vec<Hash>> = consistency.proof.iter().map(|hash| unhex(hash).map(Hash)).collect();
    let proof = hashes.context("proof/consistency.json is malformed")?;
    tlog_tiles::check_tree(&proof, checkpoint.size(), *checkpoint.hash(), old.size(), *old.hash())
        .ok()
        .context(REWRITTEN)?;
    Ok(old.size())
}
