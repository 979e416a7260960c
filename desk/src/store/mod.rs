//! Storage: SQLite in WAL mode with `synchronous=FULL`, so that a commit is on disk before anyone is told.
//!
//! One connection writes, every transaction through it; others read. What the code promises, constraints and
//! triggers in `migrations/` hold again.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};

use crate::error::Error;

mod approvals;
mod findings;
mod journal;
mod lines;
mod sessions;
mod tree;

pub use approvals::{Asked, Filter, Listed};
pub use findings::{Finding, Gap};
pub use journal::{Event, Subject};
pub use lines::{Appended, Heads, LineRow, Search};
pub use sessions::{Session, SignIn};
pub use tree::StoredCheckpoint;

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    write: SqlitePool,
    read: SqlitePool,
}

impl Store {
    /// Opens the database and brings its schema up to date. The file is made where `create` says so.
    pub async fn open(path: &Path, create: bool) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(create)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let cannot =
            |error: sqlx::Error| anyhow::anyhow!("cannot open the database {}: {error}", path.display());
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(30))
            .connect_with(options.clone().pragma("wal_autocheckpoint", "4000").pragma("cache_size", "-16000"))
            .await
            .map_err(cannot)?;
        sqlx::migrate!("./migrations").run(&write).await.map_err(|error| {
            anyhow::anyhow!("cannot bring the database {} up to date: {error}", path.display())
        })?;
        let read = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(30))
            .connect_with(options.read_only(true).create_if_missing(false))
            .await
            .map_err(cannot)?;
        Ok(Self { write, read })
    }

    /// Begins a transaction that may write. It holds the only writing connection until it ends.
    async fn begin(&self) -> Result<Transaction<'_, Sqlite>, Error> {
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Whether the database answers, for `/readyz`.
    pub async fn is_ready(&self) -> Result<(), Error> {
        sqlx::query("SELECT count(*) FROM sign_ins").execute(&self.read).await?;
        // An empty write transaction finds a disk that has become read-only.
        self.begin().await?.commit().await?;
        Ok(())
    }

    /// Closes every connection, moving the write-ahead log into the database.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}
