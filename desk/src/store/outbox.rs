//! The outbox: messages that were made true by a transaction and wait to be sent, one row a destination.

use serde::Serialize;
use uuid::Uuid;

use super::Store;
use super::journal::{self, Event, Subject};
use super::sql::{Row, Tx, sql};
use crate::approvals::Approval;
use crate::error::Error;
use crate::notify::Happening;
use crate::people::Person;

/// Approvals that are ended in one round.
const ENDED_AT_ONCE: i64 = 100;

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// To be sent, or sent again.
    Waiting,
    /// The receiver took it.
    Delivered,
    /// Nobody tries any more.
    Dead,
}

impl DeliveryState {
    /// The word in the contract and the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// Reads [`DeliveryState::word`].
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Waiting, Self::Delivered, Self::Dead].into_iter().find(|state| state.word() == word)
    }
}

/// A message to one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id, the same however often it is sent.
    pub id: String,
    /// Who is told.
    pub destination: String,
    /// The approval that it is about.
    pub approval: String,
    /// What happened.
    pub event: String,
    /// What is told, as JSON.
    pub message: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it failed.
    pub attempts: u32,
    /// When it is tried next, in milliseconds since the Unix epoch.
    pub next_at: i64,
    /// Why it failed last.
    pub error: Option<String>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub at: i64,
}

fn read(row: &Row) -> Result<Delivery, Error> {
    let state: String = row.get("state")?;
    Ok(Delivery {
        id: row.get("id")?,
        destination: row.get("destination")?,
        approval: row.get("approval")?,
        event: row.get("event")?,
        message: row.get("message")?,
        state: DeliveryState::parse(&state)
            .ok_or_else(|| Error::Internal(anyhow::anyhow!("a delivery has an unknown state")))?,
        attempts: u32::try_from(row.get::<i64>("attempts")?).unwrap_or(u32::MAX),
        next_at: row.get("next_at")?,
        error: row.get("error")?,
        at: row.get("at")?,
    })
}

/// The columns that [`read`] reads.
const COLUMNS: &str = "id, destination, approval, event, message, state, attempts, next_at, error, at";

impl Store {
    /// Puts what happened into the outbox, as part of the transaction that makes it so.
    pub(super) async fn tell(
        &self,
        tx: &mut Tx<'_>,
        approval: &Approval,
        event: Happening,
        now: i64,
    ) -> Result<(), Error> {
        let Some(audience) = self.audience.as_deref() else { return Ok(()) };
        let mut message = None;
        for to in audience.destinations.iter().filter(|to| to.events.contains(&event)) {
            let message = match &message {
                Some(message) => message,
                None => {
                    message.insert(serde_json::to_string(&audience.screen.message(approval, event, now))?)
                }
            };
            sql("INSERT INTO deliveries (id, destination, approval, event, message, state, attempts, next_at, at) \
                 VALUES (?, ?, ?, ?, ?, 'waiting', 0, ?, ?)")
            .bind(format!("msg_{}", Uuid::now_v7()))
            .bind(&to.name)
            .bind(&approval.id)
            .bind(event.word())
            .bind(message)
            .bind(now)
            .bind(now)
            .execute(tx)
            .await?;
        }
        if message.is_some() {
            // Whoever is woken takes the next transaction, which begins after this one has ended.
            self.filled.notify_waiters();
        }
        Ok(())
    }

    /// Resolves when something was put into the outbox here; other replicas' are found by looking.
    pub async fn outbox_filled(&self) {
        self.filled.notified().await;
    }

    /// Takes messages that are due to `destination`, oldest first. Until `lease` they are nobody else's; whoever took
    /// them and died without a word loses them then.
    pub async fn take_due(
        &self,
        destination: &str,
        limit: usize,
        now: i64,
        lease: i64,
    ) -> Result<Vec<Delivery>, Error> {
        let due = || {
            sql(format!(
                "SELECT {COLUMNS} FROM deliveries WHERE destination = ? AND state = 'waiting' AND next_at <= ? \
                 ORDER BY next_at, id LIMIT ?"
            ))
            .bind(destination)
            .bind(now)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        };
        // An empty outbox takes no write lock.
        if due().fetch_optional(&mut self.reader().await?).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut tx = self.begin().await?;
        let found: Vec<Delivery> =
            due().fetch_all(&mut tx).await?.iter().map(read).collect::<Result<_, _>>()?;
        for delivery in &found {
            sql("UPDATE deliveries SET next_at = ? WHERE id = ?")
                .bind(lease)
                .bind(&delivery.id)
                .execute(&mut tx)
                .await?;
        }
        tx.commit().await?;
        Ok(found)
    }

    /// The receiver took it.
    pub async fn delivered(&self, id: &str, now: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql("UPDATE deliveries SET state = 'delivered', done_at = ?, error = NULL WHERE id = ? AND state = 'waiting'")
            .bind(now)
            .bind(id)
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }

    /// The receiver did not take it. `next` is when to try again; without it the message is a dead letter.
    pub async fn not_delivered(
        &self,
        id: &str,
        error: &str,
        next: Option<i64>,
        now: i64,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let state = if next.is_some() { DeliveryState::Waiting } else { DeliveryState::Dead };
        sql("UPDATE deliveries SET state = ?, attempts = attempts + 1, next_at = ?, error = ?, done_at = ? \
             WHERE id = ? AND state = 'waiting'")
        .bind(state.word())
        .bind(next.unwrap_or(now))
        .bind(error)
        .bind(next.is_none().then_some(now))
        .bind(id)
        .execute(&mut tx)
        .await?;
        tx.commit().await
    }

    /// Messages, newest first.
    pub async fn deliveries(&self, state: Option<DeliveryState>, limit: u32) -> Result<Vec<Delivery>, Error> {
        let mut query = sql(format!("SELECT {COLUMNS} FROM deliveries WHERE 1 = 1"));
        if let Some(state) = state {
            query.push(" AND state = ").push_bind(state.word());
        }
        query.push(" ORDER BY at DESC, id DESC LIMIT ").push_bind(i64::from(limit));
        query.fetch_all(&mut self.reader().await?).await?.iter().map(read).collect()
    }

    /// How many dead letters there are.
    pub async fn dead_letters(&self) -> Result<i64, Error> {
        sql("SELECT count(*) FROM deliveries WHERE state = 'dead'").scalar(&mut self.reader().await?).await
    }

    /// Gives a dead letter another round of attempts, with an entry in the desk's own chain.
    pub async fn retry_delivery(&self, id: &str, person: &Person, now: i64) -> Result<Delivery, Error> {
        let mut tx = self.begin().await?;
        let row = sql(format!("SELECT {COLUMNS} FROM deliveries WHERE id = ?"))
            .bind(id)
            .fetch_optional(&mut tx)
            .await?;
        let mut delivery = read(&row.ok_or(Error::NotFound)?)?;
        if delivery.state != DeliveryState::Dead {
            return Err(Error::NotDead);
        }
        sql(
            "UPDATE deliveries SET state = 'waiting', attempts = 0, next_at = ?, done_at = NULL WHERE id = ?",
        )
        .bind(now)
        .bind(id)
        .execute(&mut tx)
        .await?;
        let subject = Subject { id: &delivery.approval, status: None, decision: None, comment: None };
        let event = Event {
            person: Some(person),
            approval: Some(subject),
            detail: Some(&delivery.destination),
            ..Event::new("notification_retried")
        };
        journal::append(&mut tx, &event, now).await?;
        tx.commit().await?;
        self.filled.notify_waiters();
        delivery.state = DeliveryState::Waiting;
        delivery.attempts = 0;
        delivery.next_at = now;
        Ok(delivery)
    }

    /// Forgets what was delivered before `before` and what was given up thrice as long ago, and gives up on destinations that are not told any more.
    pub async fn tidy_outbox(&self, destinations: &[&str], before: i64, now: i64) -> Result<(), Error> {
        let long_ago = now.saturating_sub(now.saturating_sub(before).saturating_mul(3));
        let mut stray = sql("SELECT count(*) FROM deliveries WHERE (state = 'delivered' AND done_at < ");
        stray.push_bind(before).push(") OR (state = 'dead' AND done_at < ");
        stray.push_bind(long_ago).push(") OR (state = 'waiting'");
        others(&mut stray, destinations);
        stray.push(")");
        if stray.scalar::<i64>(&mut self.reader().await?).await? == 0 {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        sql("DELETE FROM deliveries WHERE (state = 'delivered' AND done_at < ?) OR (state = 'dead' AND done_at < ?)")
            .bind(before)
            .bind(long_ago)
            .execute(&mut tx)
            .await?;
        let mut given_up = sql("UPDATE deliveries SET state = 'dead', error = ");
        given_up.push_bind("this destination is not in the settings any more").push(", done_at = ");
        given_up.push_bind(now).push(" WHERE state = 'waiting'");
        others(&mut given_up, destinations);
        given_up.execute(&mut tx).await?;
        tx.commit().await
    }

    /// Ends approvals whose time has run out, oldest first, and says which; each is told of.
    pub async fn expire_due(&self, now: i64) -> Result<Vec<String>, Error> {
        let due = sql("SELECT id FROM approvals WHERE (state = 'pending' AND undecided_until <= ?1) \
             OR (state = 'approved' AND claimed_by IS NULL AND claimable_until <= ?1) ORDER BY created_at LIMIT ?2")
        .bind(now)
        .bind(ENDED_AT_ONCE)
        .fetch_all(&mut self.reader().await?)
        .await?;
        let mut ended = Vec::with_capacity(due.len());
        if due.is_empty() {
            return Ok(ended);
        }
        let mut tx = self.begin().await?;
        for row in &due {
            let id: String = row.at(0)?;
            self.settle_one(&mut tx, &id, now).await?;
            super::replicas::announce(&mut tx, &id).await?;
            ended.push(id);
        }
        tx.commit().await?;
        Ok(ended)
    }
}

/// Goes on with a condition: the destination is none of these.
fn others<'q>(statement: &mut super::sql::Sql<'q>, destinations: &[&'q str]) {
    for name in destinations {
        statement.push(" AND destination <> ").push_bind(*name);
    }
}
