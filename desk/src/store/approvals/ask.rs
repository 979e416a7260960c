//! Gateways: a question is asked, met by others with the same bytes, claimed once, withdrawn.

use uuid::Uuid;

use super::rows::{end, load};
use crate::approvals::{Approval, Ask, Kind, Status};
use crate::error::Error;
use crate::notify::Happening;
use crate::people::Person;
use crate::store::Store;
use crate::store::journal::{self, Event, Subject};
use crate::store::replicas::announce;
use crate::store::sql::{Tx, sql};

/// What an exchange is told.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The approval that the exchange waits for, or that it claimed.
    pub approval: Approval,
    /// Where it stands for this exchange.
    pub status: Status,
}

impl Store {
    /// Answers an exchange: opens an approval or meets the open one, and claims it where it is granted.
    /// The same exchange gets the same answer.
    pub async fn ask(&self, ask: &Ask, now: i64) -> Result<Asked, Error> {
        let fingerprint = ask.fingerprint()?;
        let mut tx = self.begin().await?;
        let known = sql("SELECT approval, fingerprint, withdrawn_at FROM exchanges WHERE exchange = ?")
            .bind(&ask.exchange)
            .fetch_optional(&mut tx)
            .await?;
        let asked = match known {
            Some(row) => {
                if row.get::<Vec<u8>>("fingerprint")? != fingerprint {
                    return Err(Error::ExchangeReused);
                }
                let id: String = row.get("approval")?;
                let approval = self.settled(&mut tx, &id, now).await?;
                if row.get::<Option<i64>>("withdrawn_at")?.is_some() {
                    Asked { approval, status: Status::Cancelled }
                } else if approval.status == Status::Approved
                    && approval.claimed_by.as_deref().is_some_and(|other| other != ask.exchange)
                {
                    // Another exchange with the same bytes was faster. One grant is one execution, so this
                    // exchange meets the next approval.
                    let approval = self.meet_or_open(&mut tx, ask, &fingerprint, now).await?;
                    sql("UPDATE exchanges SET approval = ? WHERE exchange = ?")
                        .bind(&approval.id)
                        .bind(&ask.exchange)
                        .execute(&mut tx)
                        .await?;
                    claim(&mut tx, approval, &ask.exchange, now).await?
                } else {
                    claim(&mut tx, approval, &ask.exchange, now).await?
                }
            }
            None => {
                let approval = self.meet_or_open(&mut tx, ask, &fingerprint, now).await?;
                sql("INSERT INTO exchanges (exchange, approval, fingerprint, asked_at) VALUES (?, ?, ?, ?)")
                    .bind(&ask.exchange)
                    .bind(&approval.id)
                    .bind(&fingerprint)
                    .bind(now)
                    .execute(&mut tx)
                    .await?;
                claim(&mut tx, approval, &ask.exchange, now).await?
            }
        };
        tx.commit().await?;
        Ok(asked)
    }

    /// The approval that `exchange` waits for, without writing anything: `None` where only [`Store::ask`] can
    /// answer (the exchange is new, or something happened to its approval).
    pub async fn still_pending(&self, ask: &Ask, now: i64) -> Result<Option<Approval>, Error> {
        let row = sql("SELECT approval, fingerprint, withdrawn_at FROM exchanges WHERE exchange = ?")
            .bind(&ask.exchange)
            .fetch_optional(&mut self.reader().await?)
            .await?;
        let Some(row) = row else { return Ok(None) };
        if row.get::<Option<i64>>("withdrawn_at")?.is_some()
            || row.get::<Vec<u8>>("fingerprint")? != ask.fingerprint()?
        {
            return Ok(None);
        }
        let mut connection = self.reader().await?;
        let approval = load(&mut connection, &row.get::<String>("approval")?).await?;
        Ok(approval.filter(|approval| approval.status_at(now) == Status::Pending))
    }

    /// Withdraws an exchange; `id` is the approval that it was told, where it was told one already. The approval
    /// is cancelled when it is undecided and no other exchange waits. Returns the one that was; unknown exchanges
    /// are an error.
    pub async fn withdraw(
        &self,
        id: Option<&str>,
        exchange: &str,
        now: i64,
    ) -> Result<Option<String>, Error> {
        let mut tx = self.begin().await?;
        // The exchange may have moved on to the next approval with the same bytes: then that one is meant.
        let current: Option<String> = match id {
            Some(id) => {
                sql("SELECT e.approval FROM exchanges e JOIN approvals a ON a.id = ?1 \
                     WHERE e.exchange = ?2 AND e.fingerprint = a.fingerprint")
                .bind(id)
                .bind(exchange)
                .first(&mut tx)
                .await?
            }
            None => {
                sql("SELECT approval FROM exchanges WHERE exchange = ?").bind(exchange).first(&mut tx).await?
            }
        };
        let Some(current) = current else { return Err(Error::UnknownApproval) };
        let approval = self.settled(&mut tx, &current, now).await?;
        let standing = approval.kind() == Kind::Standing;
        // What was answered for good stays answered: only an exchange that still waits can withdraw.
        let waits = approval.status == Status::Pending
            || (approval.status == Status::Approved
                && !standing
                && approval.claimed_by.as_deref() != Some(exchange));
        if !waits {
            tx.commit().await?;
            return Ok(None);
        }
        sql("UPDATE exchanges SET withdrawn_at = ? WHERE exchange = ? AND withdrawn_at IS NULL")
            .bind(now)
            .bind(exchange)
            .execute(&mut tx)
            .await?;
        let others: i64 = sql("SELECT count(*) FROM exchanges WHERE approval = ? AND withdrawn_at IS NULL")
            .bind(&current)
            .scalar(&mut tx)
            .await?;
        let cancelled = approval.status == Status::Pending && others == 0;
        if cancelled {
            end(&mut tx, &current, Status::Cancelled, now, None).await?;
            let ended = Approval { status: Status::Cancelled, ..approval };
            self.tell(&mut tx, &ended, Happening::Cancelled, now).await?;
            announce(&mut tx, &current).await?;
        }
        tx.commit().await?;
        Ok(cancelled.then_some(current))
    }

    /// The open approval for `fingerprint`, or a new one.
    async fn meet_or_open(
        &self,
        tx: &mut Tx<'_>,
        ask: &Ask,
        fingerprint: &[u8],
        now: i64,
    ) -> Result<Approval, Error> {
        let open: Option<String> = sql("SELECT id FROM approvals WHERE fingerprint = ? \
         AND (state = 'pending' OR (state = 'approved' AND claimed_by IS NULL))")
        .bind(fingerprint)
        .first(tx)
        .await?;
        if let Some(id) = open {
            let approval = self.settled(tx, &id, now).await?;
            if approval.status != Status::Expired {
                return Ok(approval);
            }
        }
        let seconds = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
        let id = Uuid::now_v7().to_string();
        // Past approvers it is granted and claimed at once, by the exchange that asks.
        let past = ask.asks.kind() == Kind::BreakGlass;
        if !past {
            self.may_open(tx, ask, now).await?;
        }
        let valid_ms = seconds(ask.asks.grant_seconds.unwrap_or(ask.asks.valid_seconds));
        sql(
        "INSERT INTO approvals (id, fingerprint, requester_issuer, requester_subject, requester_email, requester, \
         operations, rule, approvers, quorum, policy, digest, preview, gateway, created_at, undecided_until, \
         valid_ms, kind, asks, state, ended_at, claimable_until, claimed_by, claimed_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&id)
    .bind(fingerprint)
    .bind(&ask.requester.issuer)
    .bind(&ask.requester.subject)
    .bind(&ask.requester.email)
    .bind(serde_json::to_string(&ask.requester)?)
    .bind(serde_json::to_string(&ask.bound_operations())?)
    .bind(&ask.rule)
    .bind(serde_json::to_string(&ask.asks.approvers)?)
    .bind(ask.asks.quorum)
    .bind(&ask.policy)
    .bind(&ask.digest)
    .bind(serde_json::to_string(&ask.preview)?)
    .bind(&ask.gateway)
    .bind(now)
    .bind(now.saturating_add(seconds(ask.asks.expires_seconds)))
    .bind(valid_ms)
    .bind(ask.asks.kind().word())
    .bind(serde_json::to_string(&ask.asks)?)
    .bind(if past { Status::Approved } else { Status::Pending }.word())
    .bind(past.then_some(now))
    .bind(past.then_some(now.saturating_add(valid_ms)))
    .bind(past.then_some(ask.exchange.as_str()))
    .bind(past.then_some(now))
    .execute(tx)
    .await?;
        if let Some(reason) = ask.asks.break_glass.as_ref() {
            let requester = Person {
                issuer: ask.requester.issuer.clone(),
                subject: ask.requester.subject.clone(),
                name: ask.requester.name.clone(),
                email: ask.requester.email.clone(),
                roles: ask.requester.roles.clone(),
                groups: Vec::new(),
                token: None,
            };
            let subject = Subject {
                id: &id,
                status: Some(Status::Approved),
                decision: None,
                comment: Some(&reason.reason),
            };
            let event =
                Event { person: Some(&requester), approval: Some(subject), ..Event::new("break_glass") };
            journal::append(tx, &event, now).await?;
        }
        let approval = self.told(load(tx, &id).await?.ok_or(Error::UnknownApproval)?);
        let what = if past { Happening::BreakGlass } else { Happening::Asked };
        self.tell(tx, &approval, what, now).await?;
        Ok(approval)
    }
}

impl Store {
    /// Whether the requester may have one more open approval. Nobody is to flood approvers.
    async fn may_open(&self, tx: &mut Tx<'_>, ask: &Ask, now: i64) -> Result<(), Error> {
        let open: i64 =
            sql("SELECT count(*) FROM approvals WHERE state = 'pending' AND undecided_until > ? \
                             AND requester_issuer = ? AND requester_subject = ?")
            .bind(now)
            .bind(&ask.requester.issuer)
            .bind(&ask.requester.subject)
            .scalar(tx)
            .await?;
        match open < i64::from(self.open_per_person) {
            true => Ok(()),
            false => Err(Error::TooManyOpen(self.open_per_person)),
        }
    }
}

/// Claims a granted approval for `exchange`, once.
async fn claim(tx: &mut Tx<'_>, mut approval: Approval, exchange: &str, now: i64) -> Result<Asked, Error> {
    let status = approval.status;
    // A standing grant is not used up.
    if status == Status::Approved && approval.claimed_by.is_none() && approval.kind() != Kind::Standing {
        let claimed = sql("UPDATE approvals SET claimed_by = ?1, claimed_at = ?2 \
             WHERE id = ?3 AND state = 'approved' AND claimed_by IS NULL AND claimable_until > ?2")
        .bind(exchange)
        .bind(now)
        .bind(&approval.id)
        .execute(tx)
        .await?;
        if claimed != 1 {
            return Err(Error::Internal(anyhow::anyhow!("a claim was lost inside its transaction")));
        }
        // Others who wait with the same bytes have to ask for an approval of their own.
        announce(tx, &approval.id).await?;
        approval.claimed_by = Some(exchange.to_owned());
        approval.claimed_at = Some(now);
    }
    Ok(Asked { approval, status })
}
