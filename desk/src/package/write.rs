//! Writes an export: one pass over the ledger fills the records, the leaves and the tables; then come the proof, the
//! desk's own tables, the report, and the signed list of all of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};

use anyhow::{Context, ensure};
use futures::StreamExt;
use graphwarden_policies::evidence::hex;
use tlog_tiles::{Hash, record_hash, stored_hash_index};

use super::archive::Archive;
use super::directory::Directory;
use super::entry::Entry;
use super::tables::Tables;
use super::{Consistency, Range, TITLE, report, sheets};
use crate::clock::rfc3339;
use crate::log::{LogKey, PublicKey, cover};
use crate::store::{Filter, Selection, Store};

/// What to export.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Which records.
    pub selection: Selection,
    /// An earlier checkpoint of the same ledger, to be proven the beginning of this one.
    pub since: Option<Vec<u8>>,
    /// The people of the identity provider, to compare with.
    pub directory: Option<Directory>,
}

/// What was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Lines in `records.jsonl`.
    pub lines: u64,
    /// Rows in `invocations.csv`.
    pub invocations: u64,
    /// How many lines the ledger had.
    pub ledger: u64,
}

/// Writes an export of everything chosen that the ledger holds at `now`.
pub async fn write(
    store: &Store,
    key: &LogKey,
    request: &Request,
    now: i64,
    out: File,
) -> anyhow::Result<Written> {
    let selection = &request.selection;
    let (from, to) = (selection.from.unwrap_or(i64::MIN), selection.to.unwrap_or(i64::MAX));
    ensure!(from < to, "the range of dates is empty");
    let checkpoint = store.checkpoint(key, now).await?;
    let size = checkpoint.size;
    let opened = PublicKey::parse(key.public())?.checkpoint(&checkpoint.note)?;
    let mut archive = Archive::new(out);
    let mut tables = Tables::new()?;

    archive.begin("records.jsonl")?;
    let bounds = store.bounds(selection, i64::try_from(size)?).await?;
    let (first, last) = bounds.unwrap_or((0, -1));
    let mut pass =
        Pass { lines: 0, purged: 0, leaves: BufWriter::with_capacity(1 << 18, tempfile::tempfile()?) };
    pass.run(store, selection, (first, last), &mut archive, &mut tables).await?;
    let Pass { lines, purged, leaves } = pass;
    let mut leaves = leaves.into_inner().map_err(|error| error.into_error())?;
    leaves.seek(SeekFrom::Start(0))?;
    archive.begin("proof/leaves.txt")?;
    std::io::copy(&mut std::io::BufReader::with_capacity(1 << 18, leaves), &mut archive)?;

    let (first, after) = (u64::try_from(first)?, u64::try_from(last + 1)?);
    let range = Range {
        first,
        count: after - first,
        before: subtrees(store, 0, first).await?,
        after: subtrees(store, after, size).await?,
    };
    archive.whole("proof/range.json", &serde_json::to_vec(&range)?)?;
    archive.whole("proof/checkpoint", &store.cosigned(&checkpoint).await?)?;
    let since = match &request.since {
        Some(since) => Some(prove_since(store, key, since, size, &mut archive).await?),
        None => None,
    };

    let invocations = tables.finish();
    archive.begin("invocations.csv")?;
    tables.write_invocations(&mut archive)?;
    archive.begin("tokens.csv")?;
    tables.write_tokens(&mut archive)?;
    if let Some(directory) = &request.directory {
        archive.begin("directory.csv")?;
        directory.write(&mut archive)?;
    }
    archive.begin("access-review.csv")?;
    let review = tables.review.write(request.directory.as_ref(), &mut archive)?;

    let listed = store.approvals(&Filter { limit: u32::MAX - 1, ..Filter::default() }, now).await?;
    let mut approvals = listed.approvals;
    approvals.retain(|approval| {
        (from..to).contains(&approval.created_at) && sheets::is_chosen(approval, selection)
    });
    approvals.reverse();
    archive.begin("approvals.csv")?;
    sheets::approvals(&approvals, &mut archive)?;
    let findings = store.all_findings(now).await?;
    archive.begin("findings.csv")?;
    sheets::findings(&findings, &mut archive)?;

    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    approvals.iter().for_each(|approval| *outcomes.entry(approval.status.word()).or_default() += 1);
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    findings.iter().for_each(|finding| *kinds.entry(&finding.kind).or_default() += 1);
    let owned = |counts: BTreeMap<&str, u64>| {
        counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
    };
    archive.begin("report.html")?;
    let facts = report::Facts {
        made: rfc3339(now),
        from: time(selection.from, "the beginning"),
        to: time(selection.to, "the end"),
        filters: filters(selection),
        records: lines,
        purged,
        ledger: size,
        invocations,
        root: hex(&opened.hash().0),
        key: key.public(),
        since,
        review,
        directory: request.directory.as_ref().map(Directory::len),
        approvals: owned(outcomes),
        findings: owned(kinds),
    };
    report::write(&facts, &tables.figures, &mut archive)?;
    archive.whole("README.txt", super::readme::readme(&facts).as_bytes())?;
    let heading = format!(
        "{TITLE}\nmade {}\nfrom {}\nto {}\n",
        rfc3339(now),
        time(selection.from, "-"),
        time(selection.to, "-")
    );
    archive.finish(key, &heading)?;
    Ok(Written { lines, invocations, ledger: size })
}

/// The one pass over the lines.
struct Pass {
    lines: u64,
    purged: u64,
    /// `proof/leaves.txt`, put aside until the records are written.
    leaves: BufWriter<File>,
}

impl Pass {
    async fn run(
        &mut self,
        store: &Store,
        selection: &Selection,
        (first, last): (i64, i64),
        archive: &mut Archive,
        tables: &mut Tables,
    ) -> anyhow::Result<()> {
        let mut stream = store.selected(selection, first, last);
        while let Some(selected) = stream.next().await {
            let selected = selected?;
            let position = u64::try_from(selected.position)?;
            let (hash, mark) = match &selected.line {
                Some(line) if selected.chosen => {
                    archive.write_all(line)?;
                    archive.write_all(b"\n")?;
                    tables.take(
                        position,
                        &Entry::read(line).context("a record of the ledger cannot be read")?,
                    )?;
                    self.lines += 1;
                    (record_hash(line), '+')
                }
                // In the ledger and not chosen: there as a hash alone.
                Some(line) => (record_hash(line), '-'),
                None => {
                    self.purged += 1;
                    (leaf(store, position).await?, 'x')
                }
            };
            writeln!(self.leaves, "{}{mark}", hex(&hash.0))?;
        }
        Ok(())
    }
}

/// The leaf of a line whose contents are gone.
async fn leaf(store: &Store, position: u64) -> anyhow::Result<Hash> {
    let index = stored_hash_index(0, position);
    Ok(store.nodes(&[index]).await?.at(index)?)
}

async fn prove_since(
    store: &Store,
    key: &LogKey,
    since: &[u8],
    size: u64,
    archive: &mut Archive,
) -> anyhow::Result<u64> {
    let old =
        PublicKey::parse(key.public())?.checkpoint(since).context("the earlier checkpoint cannot be used")?;
    ensure!(
        (1..=size).contains(&old.size()),
        "the earlier checkpoint covers {} lines, the ledger has {size}: it was rolled back, or the checkpoint is of another one",
        old.size()
    );
    let proof = store.consistency(old.size(), size).await?;
    let consistency =
        Consistency { size: old.size(), proof: proof.iter().map(|hash| hex(&hash.0)).collect() };
    archive.whole("proof/consistency.json", &serde_json::to_vec(&consistency)?)?;
    Ok(old.size())
}

async fn subtrees(store: &Store, from: u64, to: u64) -> anyhow::Result<Vec<(u8, String)>> {
    let wanted = cover(from, to);
    let indexes: Vec<u64> = wanted.iter().map(|(_, index)| *index).collect();
    let nodes = store.nodes(&indexes).await?;
    wanted.into_iter().map(|(level, index)| Ok((level, hex(&nodes.at(index)?.0)))).collect()
}

fn time(at: Option<i64>, otherwise: &str) -> String {
    at.map_or_else(|| otherwise.to_owned(), rfc3339)
}

/// What was chosen besides the times, in words.
fn filters(selection: &Selection) -> Vec<(&'static str, String)> {
    [
        ("person", &selection.person),
        ("operation", &selection.operation),
        ("thread", &selection.thread),
        ("decision", &selection.decision),
        ("request", &selection.request),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value.clone()?)))
    .collect()
}
