//! What does not add up in the ledger: contradictions that were refused, clocks that went back or are ahead, gaps,
//! exchanges without an end, checkpoints that nobody took.

use super::Store;
use super::sql::{Row, Tx, sql};
use crate::error::Error;
use crate::evidence::NewLine;

/// Something that does not add up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finding {
    /// `contradiction`, `clock_back`, `clock_ahead`, `gap`, `unfinished` or `unpublished`.
    pub kind: String,
    /// When it was found or began, in milliseconds since the Unix epoch.
    pub at: Option<i64>,
    /// The chain; of what was not published, the place that did not take it.
    pub chain: String,
    /// The place in the chain.
    pub seq: Option<i64>,
    /// The exchange.
    pub exchange: String,
    /// More, in words.
    pub detail: String,
}

/// A chain with lines missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The chain.
    pub chain: String,
    /// The last place known.
    pub last: i64,
    /// How many lines are missing before it.
    pub missing: i64,
}

/// The longest refused line that is kept whole, in bytes.
const LONGEST_KEPT: usize = 64 * 1024;
/// The most findings of one kind that are listed.
const MOST: u32 = 100_000;

/// Keeps a refused line.
pub(super) async fn record(tx: &mut Tx<'_>, line: &NewLine, what: &str, now: i64) -> Result<(), Error> {
    let kept = line.bytes.get(..LONGEST_KEPT).unwrap_or(&line.bytes);
    let known: i64 =
        sql("SELECT count(*) FROM findings WHERE chain = ? AND seq = ? AND detail = ? AND line = ?")
            .bind(&line.chain)
            .bind(line.seq)
            .bind(what)
            .bind(kept)
            .scalar(tx)
            .await?;
    if known > 0 {
        // A gateway that retries would fill the table with the same finding.
        return Ok(());
    }
    insert(tx, "contradiction", line, what, Some(kept), now).await
}

/// Notes something odd about the time of a line that was taken. A clock that is ahead is told once a chain.
pub(super) async fn note_clock(
    tx: &mut Tx<'_>,
    kind: &str,
    line: &NewLine,
    what: &str,
    now: i64,
) -> Result<(), Error> {
    if kind == CLOCK_AHEAD {
        let known: i64 = sql("SELECT count(*) FROM findings WHERE chain = ? AND kind = ?")
            .bind(&line.chain)
            .bind(kind)
            .scalar(tx)
            .await?;
        if known > 0 {
            return Ok(());
        }
    }
    insert(tx, kind, line, what, None, now).await
}

/// A line was written before the one that it follows.
pub(super) const CLOCK_BACK: &str = "clock_back";
/// A line comes from the future.
pub(super) const CLOCK_AHEAD: &str = "clock_ahead";

async fn insert(
    tx: &mut Tx<'_>,
    kind: &str,
    line: &NewLine,
    what: &str,
    kept: Option<&[u8]>,
    now: i64,
) -> Result<(), Error> {
    sql("INSERT INTO findings (found_at, kind, chain, seq, detail, line) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(now)
        .bind(kind)
        .bind(&line.chain)
        .bind(line.seq)
        .bind(what)
        .bind(kept.unwrap_or_default())
        .execute(tx)
        .await?;
    Ok(())
}

impl Store {
    /// Contradictions and clocks, newest first.
    pub async fn findings(&self, limit: u32) -> Result<Vec<Finding>, Error> {
        let rows = sql("SELECT found_at, kind, chain, seq, detail FROM findings ORDER BY id DESC LIMIT ?")
            .bind(limit)
            .fetch_all(&mut self.reader().await?)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Chains with lines missing: chains count from 0, so as many lines have to be there as the last place says.
    pub async fn gaps(&self) -> Result<Vec<Gap>, Error> {
        let rows = sql("SELECT chain, max(seq) AS last, max(seq) + 1 - count(*) AS missing FROM lines \
             GROUP BY chain HAVING max(seq) + 1 > count(*) ORDER BY chain")
        .fetch_all(&mut self.reader().await?)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Gap { chain: row.get("chain")?, last: row.get("last")?, missing: row.get("missing")? })
            })
            .collect()
    }

    /// Exchanges that were marked as unfinished and have no outcome still, newest first: the exchange, when it was
    /// admitted, and at which position.
    pub async fn unfinished(&self, limit: u32) -> Result<Vec<(String, i64, i64)>, Error> {
        let rows = sql(
            "SELECT exchange, at, position FROM open_exchanges WHERE marked_at IS NOT NULL AND NOT EXISTS \
             (SELECT 1 FROM lines o WHERE o.exchange = open_exchanges.exchange AND o.kind = 'outcome') \
             ORDER BY position DESC LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&mut self.reader().await?)
        .await?;
        rows.iter().map(|row| Ok((row.at(0)?, row.at(1)?, row.at(2)?))).collect()
    }

    /// Everything that does not add up now, by kind.
    pub async fn all_findings(&self, _now: i64) -> Result<Vec<Finding>, Error> {
        let mut all = self.findings(MOST).await?;
        for gap in self.gaps().await? {
            all.push(Finding {
                kind: "gap".to_owned(),
                seq: Some(gap.last),
                detail: format!("{} lines are missing before place {}", gap.missing, gap.last),
                chain: gap.chain,
                ..Finding::default()
            });
        }
        for (exchange, at, position) in self.unfinished(MOST).await? {
            all.push(Finding {
                kind: "unfinished".to_owned(),
                at: Some(at),
                exchange,
                detail: format!("admitted at ledger position {position}, and no outcome was handed in"),
                ..Finding::default()
            });
        }
        for (target, publication) in self.publications().await? {
            if let Some(since) = publication.failed_since {
                all.push(Finding {
                    kind: "unpublished".to_owned(),
                    at: Some(since),
                    detail: format!("takes no checkpoint after the one of {} lines", publication.size),
                    chain: target,
                    ..Finding::default()
                });
            }
        }
        Ok(all)
    }
}

fn read(row: &Row) -> Result<Finding, Error> {
    Ok(Finding {
        at: Some(row.get("found_at")?),
        kind: row.get("kind")?,
        chain: row.get("chain")?,
        seq: Some(row.get("seq")?),
        exchange: String::new(),
        detail: row.get("detail")?,
    })
}
