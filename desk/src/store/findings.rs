//! What does not add up in the ledger: contradictions that were refused, gaps, exchanges without an end.

use super::Store;
use super::sql::{Tx, sql};
use crate::error::Error;
use crate::evidence::NewLine;

/// A line that was refused because it contradicts the ledger. The line itself is kept.
#[derive(Debug, Clone)]
pub struct Finding {
    /// When it came, in milliseconds since the Unix epoch.
    pub found_at: i64,
    /// `contradiction`.
    pub kind: String,
    /// The chain.
    pub chain: String,
    /// The place in it.
    pub seq: i64,
    /// How it contradicts.
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
    sql("INSERT INTO findings (found_at, kind, chain, seq, detail, line) VALUES (?, 'contradiction', ?, ?, ?, ?)")
        .bind(now)
        .bind(&line.chain)
        .bind(line.seq)
        .bind(what)
        .bind(kept)
        .execute(tx)
        .await?;
    Ok(())
}

impl Store {
    /// Contradictions, newest first.
    pub async fn findings(&self, limit: u32) -> Result<Vec<Finding>, Error> {
        let rows = sql("SELECT found_at, kind, chain, seq, detail FROM findings ORDER BY id DESC LIMIT ?")
            .bind(limit)
            .fetch_all(&mut self.reader().await?)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Finding {
                    found_at: row.get("found_at")?,
                    kind: row.get("kind")?,
                    chain: row.get("chain")?,
                    seq: row.get("seq")?,
                    detail: row.get("detail")?,
                })
            })
            .collect()
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

    /// Exchanges that were admitted before `before` (milliseconds since the Unix epoch) and have no outcome.
    pub async fn unfinished(&self, before: i64, limit: u32) -> Result<Vec<(String, i64)>, Error> {
        let rows = sql(
            "SELECT a.exchange, a.at FROM lines a WHERE a.kind = 'admission' AND a.at < ? AND NOT EXISTS \
             (SELECT 1 FROM lines o WHERE o.exchange = a.exchange AND o.kind = 'outcome') ORDER BY a.at DESC LIMIT ?",
        )
        .bind(before)
        .bind(limit)
        .fetch_all(&mut self.reader().await?)
        .await?;
        rows.iter().map(|row| Ok((row.get("exchange")?, row.get("at")?))).collect()
    }
}
