//! Storage, in one of two databases: SQLite for one desk, PostgreSQL for several that work as one.
//!
//! SQLite runs in WAL mode with `synchronous=FULL`, so that a commit is on disk before anyone is told; one
//! connection writes, every transaction through it, others read. With PostgreSQL every transaction that writes
//! holds one advisory lock, whichever replica it comes from. So whatever the store does to decide is done by one
//! at a time, and means the same in both. What the code promises, constraints and triggers in `migrations/`
//! hold again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::error::Error;
use crate::notify::Audience;
use crate::people::Kin;

mod approvals;
mod copies;
mod database;
mod findings;
mod journal;
mod lines;
mod outbox;
mod publications;
mod replicas;
mod retention;
mod selection;
mod sessions;
mod sql;
mod tree;
mod unfinished;

pub use approvals::{Asked, Filter, Listed};
pub use database::Database;
pub use findings::{Finding, Gap};
pub use journal::{Event, Subject};
pub use lines::{Appended, Heads, LineRow, Search};
pub use outbox::{Delivery, DeliveryState};
pub use publications::Publication;
pub use replicas::Change;
pub use retention::{Hold, Rule};
pub use selection::{Selected, Selection};
pub use sessions::{Session, SignIn};
pub use tree::StoredCheckpoint;

use sql::{Pool, Reader, Tx, sql};

/// What replicas that share a PostgreSQL hold while they write ("graphwarden", in eight bytes of it).
const WRITERS: i64 = 0x6772_6170_6877_6172;

/// How many approvals of one person may be open at a time, where nothing else is said.
pub const OPEN_PER_PERSON: u32 = 100;

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    write: Pool,
    read: Pool,
    kin: Arc<Kin>,
    /// The last batch of evidence could not be kept: the disk is full, most likely.
    failing: Arc<AtomicBool>,
    /// How a file is opened once more, to empty its write-ahead log.
    file: Option<SqliteConnectOptions>,
    /// Who is told of what happens to approvals; nobody where it is absent.
    audience: Option<Arc<Audience>>,
    /// How many approvals of one person may be open at a time.
    open_per_person: u32,
    /// Rung when something was put into the outbox.
    filled: Arc<tokio::sync::Notify>,
}

impl Store {
    /// Opens the database and brings its schema up to date. A file is made where `create` says so; a PostgreSQL
    /// database has to be there.
    pub async fn open(database: &Database, create: bool) -> anyhow::Result<Self> {
        let cannot = |error: sqlx::Error| anyhow::anyhow!("cannot open the database {database}: {error}");
        let behind = |error: sqlx::migrate::MigrateError| {
            anyhow::anyhow!("cannot bring the database {database} up to date: {error}")
        };
        match database {
            Database::Sqlite(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(create)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .foreign_keys(true)
                    .busy_timeout(Duration::from_secs(10));
                let write = SqlitePoolOptions::new()
                    .max_connections(1)
                    .acquire_timeout(Duration::from_secs(30))
                    // A file needs no ping: it would cost every commit a round to the connection's thread.
                    .test_before_acquire(false)
                    // SQLite ends a transaction by itself when the disk is full, and then refuses the rollback. Such a
                    // connection would be counted as inside of it for ever, and begin no other.
                    .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
                    .connect_with(
                        options
                            .clone()
                            .pragma("wal_autocheckpoint", "4000")
                            .pragma("cache_size", "-16000")
                            // What retention takes is overwritten, not only let go of.
                            .pragma("secure_delete", "on"),
                    )
                    .await
                    .map_err(cannot)?;
                sqlx::migrate!("./migrations/sqlite").run(&write).await.map_err(behind)?;
                let read = SqlitePoolOptions::new()
                    .max_connections(4)
                    .acquire_timeout(Duration::from_secs(30))
                    .connect_with(options.clone().read_only(true).create_if_missing(false))
                    .await
                    .map_err(cannot)?;
                let file = Some(options.create_if_missing(false).busy_timeout(Duration::ZERO));
                Ok(Self::over(Pool::Sqlite(write), Pool::Sqlite(read), file))
            }
            Database::Postgres(url) => {
                let options: PgConnectOptions = url.as_str().parse().map_err(cannot)?;
                let options = options.application_name("graphwarden");
                // A server that was told otherwise must not lose what the desk acknowledged.
                let durable = options.clone().options([("synchronous_commit", "on")]);
                let write = PgPoolOptions::new()
                    .max_connections(1)
                    .acquire_timeout(Duration::from_secs(30))
                    .connect_with(durable)
                    .await
                    .map_err(cannot)?;
                // The migrator takes a lock of its own, so that replicas may start at once.
                sqlx::migrate!("./migrations/postgres").run(&write).await.map_err(behind)?;
                let read = PgPoolOptions::new()
                    .max_connections(8)
                    .acquire_timeout(Duration::from_secs(30))
                    .connect_with(options.options([("default_transaction_read_only", "on")]))
                    .await
                    .map_err(cannot)?;
                Ok(Self::over(Pool::Postgres(write), Pool::Postgres(read), None))
            }
        }
    }

    fn over(write: Pool, read: Pool, file: Option<SqliteConnectOptions>) -> Self {
        Self {
            write,
            read,
            kin: Arc::default(),
            failing: Arc::default(),
            file,
            audience: None,
            open_per_person: OPEN_PER_PERSON,
            filled: Arc::default(),
        }
    }

    /// The same store, told who hears of what happens to approvals.
    #[must_use]
    pub fn telling(self, audience: Audience) -> Self {
        let audience = Some(Arc::new(audience)).filter(|audience| !audience.destinations.is_empty());
        Self { audience, ..self }
    }

    /// The same store, told how many approvals of one person may be open at a time.
    #[must_use]
    pub fn opening(self, open_per_person: u32) -> Self {
        Self { open_per_person, ..self }
    }

    /// The same store, told which issuers share their subjects.
    #[must_use]
    pub fn knowing(self, kin: Kin) -> Self {
        Self { kin: Arc::new(kin), ..self }
    }

    /// Begins a transaction that may write. Until it ends no other writes, in this desk or in a replica.
    async fn begin(&self) -> Result<Tx<'_>, Error> {
        match &self.write {
            Pool::Sqlite(pool) => Ok(Tx::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?)),
            Pool::Postgres(pool) => {
                // What follows in READ COMMITTED sees everything that the last holder of the lock committed.
                let mut tx = Tx::Postgres(pool.begin().await?);
                sql("SELECT pg_advisory_xact_lock(?)").bind(WRITERS).fetch_one(&mut tx).await?;
                Ok(tx)
            }
        }
    }

    /// A connection that reads.
    async fn reader(&self) -> Result<Reader, Error> {
        Ok(match &self.read {
            Pool::Sqlite(pool) => Reader::Sqlite(pool.acquire().await?),
            Pool::Postgres(pool) => Reader::Postgres(pool.acquire().await?),
        })
    }

    /// Whether other desks write into the same database.
    pub const fn is_shared(&self) -> bool {
        matches!(self.write, Pool::Postgres(_))
    }

    /// Whether the database answers and takes writes, for `/readyz`.
    pub async fn is_ready(&self, now: i64) -> Result<(), Error> {
        sql("SELECT count(*) FROM sign_ins").fetch_one(&mut self.reader().await?).await?;
        if self.failing.load(Ordering::Relaxed) {
            // Nobody hands in to a desk that is not ready, so it has to find out by itself. An empty transaction
            // writes nothing, not even to a full disk; that there was an outage belongs into the ledger anyway.
            let event =
                Event { detail: Some("evidence was refused for want of storage"), ..Event::new("recovered") };
            self.record(&event, now).await?;
            self.failing.store(false, Ordering::Relaxed);
            return Ok(());
        }
        // An empty write transaction finds a disk that has become read-only.
        self.begin().await?.commit().await
    }

    /// Empties SQLite's write-ahead log, in which pages stand as they were before retention overwrote them. Where an
    /// export reads at that moment, the next round does it. (PostgreSQL's vacuum and its WAL are its owner's.)
    async fn settle(&self) -> Result<(), Error> {
        if let Some(options) = &self.file {
            let mut connection = options.connect().await?;
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
            connection.close().await?;
        }
        Ok(())
    }

    /// Closes every connection; SQLite moves its write-ahead log into the database.
    pub async fn close(&self) {
        for pool in [&self.read, &self.write] {
            match pool {
                Pool::Sqlite(pool) => pool.close().await,
                Pool::Postgres(pool) => pool.close().await,
            }
        }
    }
}
