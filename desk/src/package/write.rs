//! Writes an export: streams the ledger into the ZIP, hashing as it goes, and signs the manifest at the end.

use std::fs::File;
use std::io::{BufWriter, Seek, Write};

use anyhow::{Context, ensure};
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tlog_tiles::record_hash;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{Consistency, Range, TITLE, sheets};
use crate::clock::rfc3339;
use crate::evidence::hex;
use crate::log::{LogKey, PublicKey, cover};
use crate::store::{Filter, Store};

/// What to export.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// From this time on, in milliseconds since the Unix epoch.
    pub from: Option<i64>,
    /// Before this time.
    pub to: Option<i64>,
    /// An earlier checkpoint of the same ledger, to be proven the beginning of this one.
    pub since: Option<Vec<u8>>,
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

/// Writes an export of everything that the ledger holds at `now`.
pub async fn write(
    store: &Store,
    key: &LogKey,
    request: &Request,
    now: i64,
    out: File,
) -> anyhow::Result<Written> {
    let (from, to) = (request.from.unwrap_or(i64::MIN), request.to.unwrap_or(i64::MAX));
    ensure!(from < to, "the range of dates is empty");
    let checkpoint = store.checkpoint(key, now).await?;
    let size = checkpoint.size;
    let end = i64::try_from(size)?;
    let mut archive = Archive::new(out);

    let mut bounds = None;
    let mut lines = 0;
    archive.begin("records.jsonl")?;
    let mut stream = store.lines_before(from, to, end);
    while let Some(line) = stream.next().await {
        let (position, line) = line?;
        archive.write_all(&line)?;
        archive.write_all(b"\n")?;
        let first = bounds.map_or(position, |(first, _)| first);
        bounds = Some((first, position));
        lines += 1;
    }
    drop(stream);

    // Lines of the range that are not exported (another date) are there as hashes alone.
    let (first, last) = bounds.unwrap_or((0, -1));
    archive.begin("proof/leaves.txt")?;
    let mut stream = store.lines_between(first, last);
    while let Some(line) = stream.next().await {
        let (at, line) = line?;
        let mark = if (from..to).contains(&at) { '+' } else { '-' };
        writeln!(archive, "{}{mark}", hex(&record_hash(&line).0))?;
    }
    drop(stream);
    let (first, after) = (u64::try_from(first)?, u64::try_from(last + 1)?);
    let range = Range {
        first,
        count: after - first,
        before: subtrees(store, 0, first).await?,
        after: subtrees(store, after, size).await?,
    };
    archive.whole("proof/range.json", &serde_json::to_vec(&range)?)?;
    archive.whole("proof/checkpoint", &checkpoint.note)?;
    if let Some(since) = &request.since {
        let old = PublicKey::parse(key.public())?
            .checkpoint(since)
            .context("the earlier checkpoint cannot be used")?;
        ensure!(
            (1..=size).contains(&old.size()),
            "the earlier checkpoint covers {} lines, the ledger has {size}: it was rolled back, or the checkpoint is of another one",
            old.size()
        );
        let proof = store.consistency(old.size(), size).await?;
        let consistency =
            Consistency { size: old.size(), proof: proof.iter().map(|hash| hex(&hash.0)).collect() };
        archive.whole("proof/consistency.json", &serde_json::to_vec(&consistency)?)?;
    }

    archive.begin("invocations.csv")?;
    let invocations = sheets::invocations(store, from, to, &mut archive).await?;
    let listed = store.approvals(&Filter { limit: u32::MAX - 1, ..Filter::default() }, now).await?;
    let mut approvals = listed.approvals;
    approvals.retain(|approval| (from..to).contains(&approval.created_at));
    approvals.reverse();
    archive.begin("approvals.csv")?;
    sheets::approvals(&approvals, &mut archive)?;
    archive.begin("findings.csv")?;
    sheets::findings(
        &store.findings(u32::MAX).await?,
        &store.gaps().await?,
        &store.unfinished(now - 600_000, u32::MAX).await?,
        &mut archive,
    )?;
    archive.whole("README.txt", readme(request, now, lines, size, key).as_bytes())?;
    archive.finish(key, request, now)?;
    Ok(Written { lines, invocations, ledger: size })
}

async fn subtrees(store: &Store, from: u64, to: u64) -> anyhow::Result<Vec<(u8, String)>> {
    let wanted = cover(from, to);
    let indexes: Vec<u64> = wanted.iter().map(|(_, index)| *index).collect();
    let nodes = store.nodes(&indexes).await?;
    wanted.into_iter().map(|(level, index)| Ok((level, hex(&nodes.at(index)?.0)))).collect()
}

/// A ZIP that hashes what is written into it.
struct Archive {
    zip: ZipWriter<BufWriter<File>>,
    name: Option<String>,
    hash: Sha256,
    length: u64,
    done: Vec<(String, String, u64)>,
}

impl Archive {
    fn new(out: File) -> Self {
        Self {
            zip: ZipWriter::new(BufWriter::with_capacity(1 << 18, out)),
            name: None,
            hash: Sha256::new(),
            length: 0,
            done: Vec::new(),
        }
    }

    fn begin(&mut self, name: &str) -> anyhow::Result<()> {
        self.close();
        self.zip.start_file(name, options())?;
        self.name = Some(name.to_owned());
        Ok(())
    }

    fn close(&mut self) {
        if let Some(name) = self.name.take() {
            let hash = std::mem::replace(&mut self.hash, Sha256::new()).finalize();
            self.done.push((name, hex(&hash), std::mem::take(&mut self.length)));
        }
    }

    fn whole(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.begin(name)?;
        self.write_all(bytes)?;
        Ok(())
    }

    fn finish(mut self, key: &LogKey, request: &Request, now: i64) -> anyhow::Result<()> {
        self.close();
        self.done.sort();
        let time = |at: Option<i64>| at.map_or_else(|| "-".to_owned(), rfc3339);
        let mut text =
            format!("{TITLE}\nmade {}\nfrom {}\nto {}\n", rfc3339(now), time(request.from), time(request.to));
        for (name, hash, length) in &self.done {
            text.push_str(&format!("{hash} {length} {name}\n"));
        }
        self.zip.start_file("MANIFEST", options())?;
        self.zip.write_all(&key.sign(text.as_bytes())?)?;
        let mut out = self.zip.finish()?;
        out.flush()?;
        out.stream_position()?;
        out.get_ref().sync_all()?;
        Ok(())
    }
}

impl Write for Archive {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.zip.write(bytes)?;
        let taken = bytes.get(..written).unwrap_or(bytes);
        self.hash.update(taken);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        // Flushing a deflate stream in the middle only makes it longer.
        Ok(())
    }
}

fn options() -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(3))
        .large_file(true)
}

fn readme(request: &Request, now: i64, lines: u64, size: u64, key: &LogKey) -> String {
    let time = |at: Option<i64>, else_: &str| at.map_or_else(|| else_.to_owned(), rfc3339);
    format!(
        "Evidence from Graphwarden\n\
         =========================\n\n\
         Made      {made}\n\
         From      {from}\n\
         To        {to} (not included)\n\
         Records   {lines} of {size} in the ledger\n\
         Log key   {key}\n\n\
         What is here\n\
         ------------\n\
         invocations.csv   who did what, when, and how it ended, in order of time\n\
         approvals.csv     who asked for approval, who decided, when, and why\n\
         findings.csv      what does not add up: refused records, gaps, requests without an end\n\
         records.jsonl     the exact records, one a line, in the order of the ledger\n\
         proof/            what ties the records to the signed state of the ledger\n\
         MANIFEST          the hash of every file here, signed\n\n\
         How to check it\n\
         ---------------\n\
         Get the log key from the desk's owner by a way that you trust, not from this file. Then, offline:\n\n\
         \x20   graphwarden verify THIS.zip --key LOG-KEY\n\n\
         With a checkpoint that you kept from an earlier export (proof/checkpoint), ask for an export made with\n\
         --since FILE, and run verify with the same --since FILE: it proves that nothing was rewritten or cut off.\n\n\
         By hand: a record's hash is SHA-256 of its line without the line feed, and is the `prev` of the next record\n\
         of its chain. Its leaf in the Merkle tree is SHA-256 of a zero byte and the line (RFC 6962).\n\
         Cells that begin like a formula have an apostrophe in front; records.jsonl has the exact text.\n",
        made = rfc3339(now),
        from = time(request.from, "the beginning"),
        to = time(request.to, "the end"),
        key = key.public(),
    )
}
