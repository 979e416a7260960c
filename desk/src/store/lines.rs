//! The ledger's lines: appended once each, in order of arrival, checked against their chains on the way in.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use futures::StreamExt;
use futures::stream::BoxStream;

use super::Store;
use super::sql::{On, Row, Sql, Tx, sql};
use crate::error::Error;
use crate::evidence::NewLine;

/// How many rows one statement inserts at most.
const ROWS: usize = 32;

macro_rules! insert_head {
    () => {
        "INSERT INTO lines (position, chain, seq, hash, prev, line, received_at, at, kind, exchange, subject, \
         person, operation, graph, thread, effect, status, class) VALUES "
    };
}
macro_rules! insert_row {
    () => {
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    };
}
/// The statements for 1 to [`ROWS`] rows; the database's own cache keeps what it made of those in use.
static INSERTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    (1..=ROWS).map(|rows| format!("{}{}", insert_head!(), vec![insert_row!(); rows].join(", "))).collect()
});

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appended {
    /// Lines that are new and now durable.
    pub accepted: u64,
    /// Lines that were there already, byte for byte.
    pub duplicates: u64,
}

/// The last line known of each chain that wrote lately, to spare the look-up for the next.
#[derive(Debug, Default)]
pub struct Heads(HashMap<String, Option<Head>>);

/// The last line of a chain.
#[derive(Debug)]
struct Head {
    seq: i64,
    hash: Vec<u8>,
    at: i64,
}

/// A line this much ahead of the desk's clock was written by a clock that is wrong, in milliseconds.
const AHEAD_MS: i64 = 60_000;

/// At most so many chains are remembered.
const HEADS: usize = 10_000;

/// One line of a search.
#[derive(Debug, Clone)]
pub struct LineRow {
    /// Its place in the ledger, from 0.
    pub position: i64,
    /// Its chain.
    pub chain: String,
    /// Its place in the chain.
    pub seq: i64,
    /// Its hash.
    pub hash: Vec<u8>,
    /// Its bytes.
    pub line: Vec<u8>,
    /// When it was received, in milliseconds since the Unix epoch.
    pub received_at: i64,
}

/// Which lines to find; everything given has to hold.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Not before, in milliseconds since the Unix epoch.
    pub from: Option<i64>,
    /// Before, in milliseconds since the Unix epoch.
    pub to: Option<i64>,
    /// Name, e-mail address or subject holds this.
    pub person: Option<String>,
    /// The operation's name holds this.
    pub operation: Option<String>,
    /// The thread's id.
    pub thread: Option<String>,
    /// The exchange's id.
    pub exchange: Option<String>,
    /// The decision's effect, or the desk's event.
    pub effect: Option<String>,
    /// The kind of line.
    pub kind: Option<String>,
    /// Only lines before this position, for the next page.
    pub before: Option<i64>,
}

impl Store {
    /// Appends batches in one transaction: each is taken whole or, where it contradicts the ledger, not at all.
    /// When this returns, what was taken is on disk.
    pub async fn append(
        &self,
        batches: &[Vec<NewLine>],
        heads: &mut Heads,
        now: i64,
    ) -> Result<Vec<Result<Appended, Error>>, Error> {
        let result = self.append_all(batches, heads, now).await;
        if result.is_err() {
            // What the cache says may not have become true.
            heads.0.clear();
        }
        self.failing.store(result.is_err(), Ordering::Relaxed);
        result
    }

    async fn append_all(
        &self,
        batches: &[Vec<NewLine>],
        heads: &mut Heads,
        now: i64,
    ) -> Result<Vec<Result<Appended, Error>>, Error> {
        // A replica may have written since.
        if heads.0.len() > HEADS || self.is_shared() {
            heads.0.clear();
        }
        let mut results = Vec::with_capacity(batches.len());
        let mut refused = Vec::new();
        let mut tx = self.begin().await?;
        for batch in batches {
            // Somebody waits for a batch that comes alone, and the whole transaction is its savepoint.
            let appended = if batches.len() == 1 {
                let appended = append_batch(&mut tx, batch, heads, now).await;
                if matches!(appended, Err(Fault::Contradiction(..))) {
                    tx.rollback().await?;
                    tx = self.begin().await?;
                }
                appended
            } else {
                let mut savepoint = tx.savepoint().await?;
                let appended = append_batch(&mut savepoint, batch, heads, now).await;
                match &appended {
                    Ok(_) => savepoint.commit().await?,
                    Err(Fault::Contradiction(..)) => savepoint.rollback().await?,
                    Err(Fault::Error(_)) => {}
                }
                appended
            };
            match appended {
                Ok(appended) => results.push(Ok(appended)),
                Err(Fault::Contradiction(index, what)) => {
                    for line in batch {
                        heads.0.remove(&line.chain);
                    }
                    let line = &batch[index];
                    refused.push((line, what));
                    results.push(Err(Error::Contradiction {
                        chain: line.chain.clone(),
                        seq: u64::try_from(line.seq).unwrap_or(0),
                        what,
                    }));
                }
                Err(Fault::Error(error)) => return Err(error),
            }
        }
        for (line, what) in refused {
            super::findings::record(&mut tx, line, what, now).await?;
        }
        tx.commit().await?;
        Ok(results)
    }

    /// The lines between two times (from inclusive, to exclusive), in ledger order.
    pub fn lines(&self, from: i64, to: i64) -> BoxStream<'_, Result<Vec<u8>, Error>> {
        let rows =
            sql("SELECT line FROM lines WHERE at >= ? AND at < ? AND length(line) > 0 ORDER BY position")
                .bind(from)
                .bind(to)
                .stream(&self.read);
        Box::pin(rows.map(|row| row?.at(0)))
    }

    /// How many lines the ledger holds.
    pub async fn ledger_size(&self) -> Result<i64, Error> {
        sql("SELECT coalesce(max(position), -1) + 1 FROM lines").scalar(&mut self.reader().await?).await
    }

    /// The newest lines that fit, newest first.
    pub async fn search(&self, search: &Search, limit: u32) -> Result<Vec<LineRow>, Error> {
        let mut query = sql("SELECT position, chain, seq, hash, line, received_at FROM lines WHERE 1 = 1");
        if let Some(from) = search.from {
            query.push(" AND at >= ").push_bind(from);
        }
        if let Some(to) = search.to {
            query.push(" AND at < ").push_bind(to);
        }
        if let Some(before) = search.before {
            query.push(" AND position < ").push_bind(before);
        }
        for (column, value) in [("person", &search.person), ("operation", &search.operation)] {
            if let Some(value) = value {
                query.push(" AND ").push_holds(column, value);
            }
        }
        for (column, value) in [
            ("thread", &search.thread),
            ("exchange", &search.exchange),
            ("effect", &search.effect),
            ("kind", &search.kind),
        ] {
            if let Some(value) = value {
                query.push(" AND ").push(column).push(" = ").push_bind(value.clone());
            }
        }
        query.push(" ORDER BY position DESC LIMIT ").push_bind(i64::from(limit));
        let rows = query.fetch_all(&mut self.reader().await?).await?;
        rows.iter().map(read).collect()
    }

    /// The line at `position`.
    pub async fn line(&self, position: i64) -> Result<Option<LineRow>, Error> {
        let row = sql("SELECT position, chain, seq, hash, line, received_at FROM lines WHERE position = ?")
            .bind(position)
            .fetch_optional(&mut self.reader().await?)
            .await?;
        row.as_ref().map(read).transpose()
    }
}

fn read(row: &Row) -> Result<LineRow, Error> {
    Ok(LineRow {
        position: row.get("position")?,
        chain: row.get("chain")?,
        seq: row.get("seq")?,
        hash: row.get("hash")?,
        line: row.get("line")?,
        received_at: row.get("received_at")?,
    })
}

enum Fault {
    /// The line at this index of the batch contradicts the ledger.
    Contradiction(usize, &'static str),
    Error(Error),
}

impl<E: Into<Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

async fn append_batch(
    tx: &mut Tx<'_>,
    batch: &[NewLine],
    heads: &mut Heads,
    now: i64,
) -> Result<Appended, Fault> {
    let mut staged: Vec<&NewLine> = Vec::with_capacity(batch.len());
    let mut appended = Appended::default();
    for (index, line) in batch.iter().enumerate() {
        if !heads.0.contains_key(&line.chain) {
            heads.0.insert(line.chain.clone(), last_of(tx, &line.chain).await?);
        }
        let head = heads.0.get(&line.chain).and_then(Option::as_ref);
        let mut clock = clock_of(line, head, now);
        match head {
            // The usual case: the next line of its chain.
            Some(head) if line.seq == head.seq + 1 => {
                if line.prev != head.hash {
                    return Err(Fault::Contradiction(index, "does not follow the line before it"));
                }
            }
            // Lines are missing in between; they may still come, and the gap is shown until they do.
            Some(head) if line.seq > head.seq + 1 => {}
            None => {
                if line.seq == 0 && line.prev.iter().any(|byte| *byte != 0) {
                    return Err(Fault::Contradiction(index, "is the first but names one before it"));
                }
            }
            Some(_) => {
                insert_refs(tx, &staged, now).await?;
                staged.clear();
                match compare(tx, line).await? {
                    Place::Same => {
                        appended.duplicates += 1;
                        continue;
                    }
                    Place::Free => {
                        // It overtook nothing: it is late, and so are its neighbours' times.
                        insert_refs(tx, &[line], now).await?;
                        appended.accepted += 1;
                        continue;
                    }
                    Place::Contradicts(what) => return Err(Fault::Contradiction(index, what)),
                }
            }
        }
        if let Some((kind, what)) = clock.take() {
            super::findings::note_clock(tx, kind, line, &what, now).await?;
        }
        let head = Head { seq: line.seq, hash: line.hash.clone(), at: line.at };
        heads.0.insert(line.chain.clone(), Some(head));
        staged.push(line);
        appended.accepted += 1;
    }
    insert_refs(tx, &staged, now).await?;
    Ok(appended)
}

/// What is odd about the time of a line: the kind of finding, and words for it.
fn clock_of(line: &NewLine, head: Option<&Head>, now: i64) -> Option<(&'static str, String)> {
    if let Some(head) = head.filter(|head| line.seq == head.seq + 1 && line.at < head.at) {
        let back = head.at - line.at;
        return Some((
            super::findings::CLOCK_BACK,
            format!("its time is {back} ms before that of the line before it"),
        ));
    }
    let ahead = line.at.saturating_sub(now);
    (ahead > AHEAD_MS).then(|| {
        (super::findings::CLOCK_AHEAD, format!("its time is {} s ahead of the desk's clock", ahead / 1_000))
    })
}

/// The last line of a chain.
async fn last_of(connection: &mut impl On, chain: &str) -> Result<Option<Head>, Error> {
    let row = sql("SELECT seq, hash, at FROM lines WHERE chain = ? ORDER BY seq DESC LIMIT 1")
        .bind(chain)
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok(Head { seq: row.get("seq")?, hash: row.get("hash")?, at: row.get("at")? })).transpose()
}

/// How a line that is not the newest of its chain relates to what is there.
enum Place {
    Same,
    Free,
    Contradicts(&'static str),
}

async fn compare(connection: &mut impl On, line: &NewLine) -> Result<Place, Error> {
    let rows = sql("SELECT seq, hash, prev FROM lines WHERE chain = ? AND seq BETWEEN ? AND ?")
        .bind(&line.chain)
        .bind(line.seq - 1)
        .bind(line.seq + 1)
        .fetch_all(connection)
        .await?;
    for row in &rows {
        let seq: i64 = row.get("seq")?;
        let hash: Vec<u8> = row.get("hash")?;
        if seq == line.seq {
            return Ok(if hash == line.hash {
                Place::Same
            } else {
                Place::Contradicts("differs from the line already recorded there")
            });
        }
    }
    for row in &rows {
        let seq: i64 = row.get("seq")?;
        if seq == line.seq - 1 && row.get::<Vec<u8>>("hash")? != line.prev {
            return Ok(Place::Contradicts("does not follow the line before it"));
        }
        if seq == line.seq + 1 && row.get::<Vec<u8>>("prev")? != line.hash {
            return Ok(Place::Contradicts("is not the one that the line after it names"));
        }
    }
    Ok(Place::Free)
}

/// Inserts lines that were checked.
pub(super) async fn insert(tx: &mut Tx<'_>, lines: &[NewLine], now: i64) -> Result<(), Error> {
    insert_refs(tx, &lines.iter().collect::<Vec<_>>(), now).await
}

async fn insert_refs(connection: &mut impl On, lines: &[&NewLine], now: i64) -> Result<(), Error> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut position: i64 =
        sql("SELECT coalesce(max(position), -1) + 1 FROM lines").scalar(connection).await?;
    for chunk in lines.chunks(ROWS) {
        let Some(statement) = INSERTS.get(chunk.len() - 1) else { continue };
        let mut query = sql(statement.as_str());
        for line in chunk {
            query = bind(query, line, position, now);
            position += 1;
        }
        query.execute(connection).await?;
    }
    Ok(())
}

fn bind<'q>(query: Sql<'q>, line: &'q NewLine, position: i64, now: i64) -> Sql<'q> {
    query
        .bind(position)
        .bind(&line.chain)
        .bind(line.seq)
        .bind(&line.hash)
        .bind(&line.prev)
        .bind(&line.bytes)
        .bind(now)
        .bind(line.at)
        .bind(&line.kind)
        .bind(&line.exchange)
        .bind(&line.subject)
        .bind(&line.person)
        .bind(&line.operation)
        .bind(&line.graph)
        .bind(&line.thread)
        .bind(&line.effect)
        .bind(line.status)
        .bind(&line.class)
}
