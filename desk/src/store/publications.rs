//! What was handed to places outside of the desk: checkpoints, cosignatures, archived lines.

use super::Store;
use super::sql::sql;
use crate::error::Error;

/// How publishing to one place stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publication {
    /// Lines under the last checkpoint that it took.
    pub size: u64,
    /// When it took it, in milliseconds since the Unix epoch.
    pub at: i64,
    /// Since when it takes none.
    pub failed_since: Option<i64>,
    /// What it said last.
    pub error: Option<String>,
}

impl Store {
    /// Every place and how it stands, by name.
    pub async fn publications(&self) -> Result<Vec<(String, Publication)>, Error> {
        let rows = sql("SELECT target, size, at, failed_since, error FROM publications ORDER BY target")
            .fetch_all(&mut self.reader().await?)
            .await?;
        rows.iter()
            .map(|row| {
                let publication = Publication {
                    size: u64::try_from(row.get::<i64>("size")?).unwrap_or(0),
                    at: row.get("at")?,
                    failed_since: row.get("failed_since")?,
                    error: row.get("error")?,
                };
                Ok((row.get("target")?, publication))
            })
            .collect()
    }

    /// How one place stands.
    pub async fn publication(&self, target: &str) -> Result<Publication, Error> {
        let all = self.publications().await?;
        Ok(all
            .into_iter()
            .find(|(name, _)| name == target)
            .map(|(_, publication)| publication)
            .unwrap_or_default())
    }

    /// The place took a checkpoint of `size` lines.
    pub async fn published(&self, target: &str, size: u64, now: i64) -> Result<(), Error> {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let mut tx = self.begin().await?;
        let known = sql(
            "UPDATE publications SET size = ?, at = ?, failed_since = NULL, error = NULL WHERE target = ?",
        )
        .bind(size)
        .bind(now)
        .bind(target)
        .execute(&mut tx)
        .await?;
        if known == 0 {
            sql("INSERT INTO publications (target, size, at) VALUES (?, ?, ?)")
                .bind(target)
                .bind(size)
                .bind(now)
                .execute(&mut tx)
                .await?;
        }
        tx.commit().await
    }

    /// The place did not take a checkpoint.
    pub async fn not_published(&self, target: &str, error: &str, now: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let known = sql(
            "UPDATE publications SET failed_since = coalesce(failed_since, ?), error = ? WHERE target = ?",
        )
        .bind(now)
        .bind(error)
        .bind(target)
        .execute(&mut tx)
        .await?;
        if known == 0 {
            sql("INSERT INTO publications (target, size, at, failed_since, error) VALUES (?, 0, 0, ?, ?)")
                .bind(target)
                .bind(now)
                .bind(error)
                .execute(&mut tx)
                .await?;
        }
        tx.commit().await
    }

    /// A place is not published to any more.
    pub async fn forget_publication(&self, target: &str) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql("DELETE FROM publications WHERE target = ?").bind(target).execute(&mut tx).await?;
        tx.commit().await
    }

    /// Keeps a witness's signature line under the checkpoint of `size` lines.
    pub async fn add_cosignature(&self, size: u64, witness: &str, line: &str, now: i64) -> Result<(), Error> {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let mut tx = self.begin().await?;
        sql("DELETE FROM cosignatures WHERE size = ? AND witness = ?")
            .bind(size)
            .bind(witness)
            .execute(&mut tx)
            .await?;
        sql("INSERT INTO cosignatures (size, witness, at, line) VALUES (?, ?, ?, ?)")
            .bind(size)
            .bind(witness)
            .bind(now)
            .bind(line)
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }

    /// The signature lines of witnesses under the checkpoint of `size` lines.
    pub async fn cosignatures(&self, size: u64) -> Result<Vec<String>, Error> {
        let rows = sql("SELECT line FROM cosignatures WHERE size = ? ORDER BY witness")
            .bind(i64::try_from(size).unwrap_or(i64::MAX))
            .fetch_all(&mut self.reader().await?)
            .await?;
        rows.iter().map(|row| row.at(0)).collect()
    }
}
