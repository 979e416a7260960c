//! The desk's own chain: what people did here, as lines of the same ledger (`kind: "desk"`).
//!
//! ```json
//! {"v":1,"chain":"…","seq":4,"prev":"…","kind":"desk","at":"…","event":"decision","actor":{…},"approval":{…}}
//! ```

use graphwarden_policies::evidence::{VERSION, ZERO_HASH, hex, timestamp};
use serde::Serialize;
use uuid::Uuid;

use super::Store;
use super::sql::{Tx, sql};
use crate::approvals::{Status, Verdict};
use crate::error::Error;
use crate::evidence::NewLine;
use crate::people::Person;

/// Something that happened at the desk.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// What: `start`, `sign_in`, `decision`, `decision_refused`, `export`, `search`, `checkpoint`, …
    pub event: &'a str,
    /// Who did it; absent for the desk itself.
    pub person: Option<&'a Person>,
    /// Which approval it was about.
    pub approval: Option<Subject<'a>>,
    /// The exchange that it was about.
    pub exchange: Option<&'a str>,
    /// The reason code of a refusal.
    pub reason: Option<&'a str>,
    /// More, in a form fit for reading.
    pub detail: Option<&'a str>,
}

/// The approval that an [`Event`] was about.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Subject<'a> {
    /// Its id, as it was given.
    pub id: &'a str,
    /// Where it stands after the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// What was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Verdict>,
    /// Why, in the person's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<&'a str>,
}

impl<'a> Event<'a> {
    /// An event with nothing known but its name.
    pub const fn new(event: &'a str) -> Self {
        Self { event, person: None, approval: None, exchange: None, reason: None, detail: None }
    }
}

#[derive(Serialize)]
struct Entry<'a> {
    v: u32,
    chain: &'a str,
    seq: u64,
    prev: &'a str,
    kind: &'static str,
    at: String,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exchange: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Actor<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a crate::people::TokenMarks>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<Subject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct Actor<'a> {
    issuer: &'a str,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    roles: &'a [String],
    kind: &'static str,
}

impl Store {
    /// Writes an event into the desk's own chain.
    pub async fn record(&self, event: &Event<'_>, now: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        append(&mut tx, event, now).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Writes an event into the desk's own chain, as part of a transaction. The chain goes on where the last
/// entry of the database left it.
pub(super) async fn append(tx: &mut Tx<'_>, event: &Event<'_>, now: i64) -> Result<(), Error> {
    let last = sql("SELECT chain, seq, hash FROM lines WHERE kind = 'desk' ORDER BY position DESC LIMIT 1")
        .fetch_optional(tx)
        .await?;
    let (chain, seq, prev) = match &last {
        Some(row) => {
            let hash: Vec<u8> = row.get("hash")?;
            (row.get("chain")?, row.get::<i64>("seq")? + 1, hex(&hash))
        }
        None => (format!("desk-{}", Uuid::new_v4()), 0, ZERO_HASH.to_owned()),
    };
    let micros = u64::try_from(now).unwrap_or(0).saturating_mul(1_000);
    let line = serde_json::to_vec(&Entry {
        v: VERSION,
        chain: &chain,
        seq: u64::try_from(seq).unwrap_or(0),
        prev: &prev,
        kind: "desk",
        at: timestamp(micros),
        event: event.event,
        exchange: event.exchange,
        actor: event.person.map(|person| Actor {
            issuer: &person.issuer,
            subject: &person.subject,
            name: person.name.as_deref(),
            email: person.email.as_deref(),
            roles: &person.roles,
            kind: "person",
        }),
        token: event.person.and_then(|person| person.token.as_ref()),
        approval: event.approval,
        reason: event.reason,
        detail: event.detail,
    })?;
    let line = NewLine::of_desk(line)?;
    super::lines::insert(tx, std::slice::from_ref(&line), now).await?;
    Ok(())
}
