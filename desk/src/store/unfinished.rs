//! Exchanges that were admitted and never ended: a VM that died left them open. They are looked for a while after
//! their admission, and marked by an entry of the desk's own instead of being forgotten.

use super::Store;
use super::journal::{self, Event};
use super::sql::sql;
use crate::error::Error;

/// How many lines one step looks at.
const STEP: i64 = 5_000;
/// How many exchanges one step marks.
const MARKS: i64 = 200;
/// The name of the progress.
const SWEEP: &str = "unfinished";

impl Store {
    /// Marks exchanges of which nothing was heard since `before` (milliseconds since the Unix epoch) and that have no
    /// outcome. Returns how many were marked.
    pub async fn mark_unfinished(&self, before: i64, now: i64) -> Result<u64, Error> {
        while self.look_for_open(before).await? {}
        let mut marked = 0;
        loop {
            let step = self.mark_some(before, now).await?;
            marked += step;
            if step < MARKS as u64 {
                return Ok(marked);
            }
        }
    }

    /// Looks at admissions that were received before `before`; those without an outcome are kept in mind. Says
    /// whether there may be more.
    async fn look_for_open(&self, before: i64) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let from: i64 = sql("SELECT position FROM progress WHERE name = ?")
            .bind(SWEEP)
            .first(&mut tx)
            .await?
            .unwrap_or(0);
        let bounds =
            sql("SELECT max(position), max(received_at) FROM (SELECT position, received_at FROM lines \
             WHERE position >= ? ORDER BY position LIMIT ?) AS step WHERE received_at < ?")
            .bind(from)
            .bind(STEP)
            .bind(before)
            .fetch_one(&mut tx)
            .await?;
        let Some(last) = bounds.at::<Option<i64>>(0)? else { return Ok(false) };
        sql("INSERT INTO open_exchanges (exchange, position, at) SELECT a.exchange, a.position, a.at FROM lines a \
             WHERE a.position BETWEEN ? AND ? AND a.kind = 'admission' AND a.exchange IS NOT NULL AND NOT EXISTS \
             (SELECT 1 FROM lines o WHERE o.exchange = a.exchange AND o.kind = 'outcome') AND NOT EXISTS \
             (SELECT 1 FROM open_exchanges e WHERE e.exchange = a.exchange)")
        .bind(from)
        .bind(last)
        .execute(&mut tx)
        .await?;
        if sql("UPDATE progress SET position = ? WHERE name = ?")
            .bind(last + 1)
            .bind(SWEEP)
            .execute(&mut tx)
            .await?
            == 0
        {
            sql("INSERT INTO progress (name, position) VALUES (?, ?)")
                .bind(SWEEP)
                .bind(last + 1)
                .execute(&mut tx)
                .await?;
        }
        tx.commit().await?;
        Ok(last + 1 - from >= STEP)
    }

    /// Of those kept in mind, marks the ones that are silent; a stream that still flows is not over.
    async fn mark_some(&self, before: i64, now: i64) -> Result<u64, Error> {
        let mut tx = self.begin().await?;
        sql("DELETE FROM open_exchanges WHERE marked_at IS NULL AND EXISTS \
             (SELECT 1 FROM lines o WHERE o.exchange = open_exchanges.exchange AND o.kind = 'outcome')")
        .execute(&mut tx)
        .await?;
        let silent = sql("SELECT exchange, at FROM open_exchanges WHERE marked_at IS NULL AND NOT EXISTS \
             (SELECT 1 FROM lines s WHERE s.exchange = open_exchanges.exchange AND s.received_at >= ?) \
             ORDER BY position LIMIT ?")
        .bind(before)
        .bind(MARKS)
        .fetch_all(&mut tx)
        .await?;
        for row in &silent {
            let exchange: String = row.at(0)?;
            let at: i64 = row.at(1)?;
            let detail = format!(
                "admitted {} and silent since: its worker may have been made anew, or its gateway stopped",
                crate::clock::rfc3339(at)
            );
            let event =
                Event { exchange: Some(&exchange), detail: Some(&detail), ..Event::new("unfinished") };
            journal::append(&mut tx, &event, now).await?;
            sql("UPDATE open_exchanges SET marked_at = ? WHERE exchange = ?")
                .bind(now)
                .bind(&exchange)
                .execute(&mut tx)
                .await?;
        }
        tx.commit().await?;
        Ok(silent.len() as u64)
    }
}
