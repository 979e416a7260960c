//! What desks over one PostgreSQL tell each other: which approvals changed, and what time it is.
//!
//! A change is announced inside the transaction that makes it, so it is heard when, and only when, it is true.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::mpsc;

use super::Store;
use super::sql::{Pool, Sql, Tx, sql};
use crate::error::Error;

/// The channel of NOTIFY.
const CHANNEL: &str = "graphwarden_approvals";
/// How long to wait before listening again after the connection broke.
const PAUSE: Duration = Duration::from_millis(500);
/// Changes that may be on their way inside this process.
const BACKLOG: usize = 1_024;

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Something happened to this approval.
    Of(String),
    /// The connection was lost for a while: anything may have happened.
    Unknown,
}

/// Announces a change of `approval` to the other replicas, when `tx` commits.
pub(super) async fn announce(tx: &mut Tx<'_>, approval: &str) -> Result<(), Error> {
    if matches!(tx, Tx::Postgres(_)) {
        sql("SELECT pg_notify(?, ?)").bind(CHANNEL).bind(approval).fetch_one(tx).await?;
    }
    Ok(())
}

impl Store {
    /// What changes, by this desk and by every replica; `None` where there can be none. Has to run inside the
    /// async runtime; listening ends when the receiver is dropped or the store is closed.
    pub fn changes(&self) -> Option<mpsc::Receiver<Change>> {
        let Pool::Postgres(pool) = self.read.clone() else { return None };
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let listen = move || listen_always(pool.clone(), sender.clone());
        crate::task::keep("listening to the database", listen);
        Some(receiver)
    }

    /// By how many milliseconds the database's clock is ahead of this machine's. Replicas follow it, so that
    /// all of them have the same time. 0 where the database is a file.
    pub async fn clock_offset(&self, now: i64) -> Result<i64, Error> {
        if !self.is_shared() {
            return Ok(0);
        }
        let asked = std::time::Instant::now();
        let theirs: i64 =
            Sql::by("SELECT 0", "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
                .scalar(&mut self.reader().await?)
                .await?;
        let half = i64::try_from(asked.elapsed().as_millis() / 2).unwrap_or(0);
        Ok(theirs.saturating_sub(now.saturating_add(half)))
    }
}

async fn listen_always(pool: sqlx::PgPool, sender: mpsc::Sender<Change>) {
    while !sender.is_closed() && !pool.is_closed() {
        if let Err(error) = listen(&pool, &sender).await {
            if pool.is_closed() {
                return;
            }
            tracing::warn!(%error, "the database's announcements cannot be heard, trying again");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen(pool: &sqlx::PgPool, sender: &mpsc::Sender<Change>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    // What was announced before this is not heard any more.
    if sender.send(Change::Unknown).await.is_err() {
        return Ok(());
    }
    loop {
        let change = tokio::select! {
            // `None`: the connection broke and was made again.
            heard = listener.try_recv() => match heard? {
                Some(notice) => Change::Of(notice.payload().to_owned()),
                None => Change::Unknown,
            },
            () = sender.closed() => return Ok(()),
        };
        if sender.send(change).await.is_err() {
            return Ok(());
        }
    }
}
