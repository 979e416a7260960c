//! Approvals in the database: asked, decided, claimed and withdrawn, each in one transaction.

use uuid::Uuid;

use super::Store;
use super::journal::{Event, Subject};
use super::replicas::announce;
use super::sql::{On, Row, Tx, sql};
use crate::approvals::{
    Approval, Ask, Asks, Decision, Denial, Given, Kind, Remark, RemarkKind, Sight, Status, Verdict,
};
use crate::error::Error;
use crate::people::Person;

/// What an exchange is told.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The approval that the exchange waits for, or that it claimed.
    pub approval: Approval,
    /// Where it stands for this exchange.
    pub status: Status,
}

/// Which approvals to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those that stand so.
    pub status: Option<Status>,
    /// Only those whose requester, rule or operation holds this text.
    pub text: Option<String>,
    /// Only those of this kind.
    pub kind: Option<Kind>,
    /// Only those that nobody has reviewed.
    pub unreviewed: bool,
    /// Not before, in milliseconds since the Unix epoch.
    pub from: Option<i64>,
    /// Before, in milliseconds since the Unix epoch.
    pub to: Option<i64>,
    /// Only those older than the approval of this id, for the next page: ids are in the order of time.
    pub before: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// Approvals found, newest first, and whether there are more.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The approvals, without their decisions' order lost.
    pub approvals: Vec<Approval>,
    /// Whether the limit cut the list.
    pub more: bool,
}

/// The columns that [`read`] reads.
macro_rules! columns {
    () => {
        "id, requester, operations, rule, approvers, quorum, policy, digest, preview, gateway, created_at, \
         undecided_until, valid_ms, state, ended_at, claimable_until, claimed_by, claimed_at, asks"
    };
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
                let approval = settled(&mut tx, &id, now).await?;
                if row.get::<Option<i64>>("withdrawn_at")?.is_some() {
                    Asked { approval, status: Status::Cancelled }
                } else if approval.status == Status::Approved
                    && approval.claimed_by.as_deref().is_some_and(|other| other != ask.exchange)
                {
                    // Another exchange with the same bytes was faster. One grant is one execution, so this
                    // exchange meets the next approval.
                    let approval = meet_or_open(&mut tx, ask, &fingerprint, now).await?;
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
                let approval = meet_or_open(&mut tx, ask, &fingerprint, now).await?;
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

    /// Takes a person's decision, and writes it into the desk's own chain in the same transaction.
    pub async fn decide(
        &self,
        id: &str,
        person: &Person,
        given: &Given,
        now: i64,
    ) -> Result<Approval, Error> {
        let comment = given.comment()?;
        let mut tx = self.begin().await?;
        let approval = match settle(&mut tx, id, now).await? {
            Some(approval) => self.told(approval),
            None => return Err(Error::UnknownApproval),
        };
        if let Err(refusal) = approval.may_decide(person, now) {
            // Settling may have ended the approval, which is worth keeping.
            tx.commit().await?;
            return Err(refusal);
        }
        sql("INSERT INTO decisions (approval, issuer, subject, name, email, roles, decision, comment, at, fits) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(id)
        .bind(&person.issuer)
        .bind(&person.subject)
        .bind(&person.name)
        .bind(&person.email)
        .bind(serde_json::to_string(&person.roles)?)
        .bind(given.decision.word())
        .bind(&comment)
        .bind(now)
        .bind(serde_json::to_string(&approval.asks.fits(person))?)
        .execute(&mut tx)
        .await?;
        let approval = self.told(load(&mut tx, id).await?.ok_or(Error::UnknownApproval)?);
        match approval.outcome() {
            Some(Verdict::Deny) => end(&mut tx, id, Status::Denied, now, None).await?,
            Some(Verdict::Approve) => {
                end(&mut tx, id, Status::Approved, now, Some(now.saturating_add(approval.valid_ms))).await?;
            }
            None => {}
        }
        let approval = load(&mut tx, id).await?.ok_or(Error::UnknownApproval)?;
        let event = Event {
            person: Some(person),
            approval: Some(Subject {
                id,
                status: Some(approval.status),
                decision: Some(given.decision),
                comment: comment.as_deref(),
            }),
            ..Event::new("decision")
        };
        super::journal::append(&mut tx, &event, now).await?;
        announce(&mut tx, id).await?;
        tx.commit().await?;
        Ok(self.told(approval))
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
        let approval = settled(&mut tx, &current, now).await?;
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
            announce(&mut tx, &current).await?;
        }
        tx.commit().await?;
        Ok(cancelled.then_some(current))
    }

    /// Keeps what a person says about an approval afterwards, with an entry in the desk's own chain; a revocation
    /// ends the grant in the same transaction.
    pub async fn remark(
        &self,
        id: &str,
        person: &Person,
        what: RemarkKind,
        verdict: Option<&str>,
        comment: Option<&str>,
        now: i64,
    ) -> Result<Approval, Error> {
        let mut tx = self.begin().await?;
        let approval = settle(&mut tx, id, now).await?.ok_or(Error::UnknownApproval)?;
        let approval = self.told(approval);
        let may = match what {
            RemarkKind::Review => approval.may_review(person),
            RemarkKind::Revocation => approval.may_revoke(person, now),
        };
        if let Err(refusal) = may {
            tx.commit().await?;
            return Err(refusal);
        }
        sql("INSERT INTO remarks (approval, kind, verdict, issuer, subject, name, comment, at) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(id)
        .bind(what.word())
        .bind(verdict)
        .bind(&person.issuer)
        .bind(&person.subject)
        .bind(&person.name)
        .bind(comment)
        .bind(now)
        .execute(&mut tx)
        .await?;
        if what == RemarkKind::Revocation {
            sql("UPDATE approvals SET state = 'cancelled', ended_at = ? WHERE id = ? AND kind = 'standing'")
                .bind(now)
                .bind(id)
                .execute(&mut tx)
                .await?;
        }
        let approval = load(&mut tx, id).await?.ok_or(Error::UnknownApproval)?;
        let event = Event {
            person: Some(person),
            approval: Some(Subject { id, status: Some(approval.status), decision: None, comment }),
            detail: verdict,
            ..Event::new(what.word())
        };
        super::journal::append(&mut tx, &event, now).await?;
        announce(&mut tx, id).await?;
        tx.commit().await?;
        Ok(self.told(approval))
    }

    /// One approval with its decisions, as it stands at `now`.
    pub async fn approval(&self, id: &str, now: i64) -> Result<Option<Approval>, Error> {
        let mut connection = self.reader().await?;
        let approval = load(&mut connection, id).await?;
        Ok(approval.map(|mut approval| {
            approval.status = approval.status_at(now);
            self.told(approval)
        }))
    }

    /// Approvals as they stand at `now`, newest first.
    pub async fn approvals(&self, filter: &Filter, now: i64) -> Result<Listed, Error> {
        let mut query = sql(concat!("SELECT ", columns!(), " FROM approvals WHERE 1 = 1"));
        match filter.status {
            None => {}
            Some(Status::Expired) => {
                query.push(" AND (state = 'expired' OR (state = 'pending' AND undecided_until <= ");
                query.push_bind(now);
                query.push(") OR (state = 'approved' AND claimed_by IS NULL AND claimable_until <= ");
                query.push_bind(now);
                query.push("))");
            }
            Some(Status::Pending) => {
                query.push(" AND state = 'pending' AND undecided_until > ");
                query.push_bind(now);
            }
            Some(Status::Approved) => {
                query.push(" AND state = 'approved' AND (claimed_by IS NOT NULL OR claimable_until > ");
                query.push_bind(now);
                query.push(")");
            }
            Some(status) => {
                query.push(" AND state = ");
                query.push_bind(status.word());
            }
        }
        if let Some(kind) = filter.kind {
            query.push(" AND kind = ").push_bind(kind.word());
        }
        if filter.unreviewed {
            query.push(
                " AND NOT EXISTS (SELECT 1 FROM remarks WHERE approval = approvals.id AND kind = 'review')",
            );
        }
        if let Some(from) = filter.from {
            query.push(" AND created_at >= ").push_bind(from);
        }
        if let Some(to) = filter.to {
            query.push(" AND created_at < ").push_bind(to);
        }
        if let Some(before) = &filter.before {
            query.push(" AND (created_at, id) < (SELECT created_at, id FROM approvals WHERE id = ");
            query.push_bind(before).push(")");
        }
        if let Some(text) = &filter.text {
            for (index, column) in ["requester", "rule", "operations", "id"].into_iter().enumerate() {
                query.push(if index == 0 { " AND (" } else { " OR " });
                query.push_holds(column, text);
            }
            query.push(")");
        }
        query.push(" ORDER BY created_at DESC, id DESC LIMIT ");
        query.push_bind(i64::from(filter.limit) + 1);
        let rows = query.fetch_all(&mut self.reader().await?).await?;
        let more = rows.len() > filter.limit as usize;
        let mut approvals = Vec::with_capacity(rows.len());
        let mut connection = self.reader().await?;
        for row in rows.iter().take(filter.limit as usize) {
            let mut approval = read(row)?;
            approval.decisions = decisions(&mut connection, &approval.id).await?;
            approval.remarks = remarks(&mut connection, &approval.id).await?;
            approval.status = approval.status_at(now);
            approvals.push(self.told(approval));
        }
        Ok(Listed { approvals, more })
    }

    /// What the same person asked for before, newest first, without `except`.
    pub async fn asked_before(&self, of: &Approval, limit: u32, now: i64) -> Result<Vec<Approval>, Error> {
        let rows = sql(concat!(
            "SELECT ",
            columns!(),
            " FROM approvals WHERE requester_issuer = ? AND requester_subject = ? AND id <> ? AND created_at <= ? \
             ORDER BY created_at DESC LIMIT ?",
        ))
        .bind(&of.requester.issuer)
        .bind(&of.requester.subject)
        .bind(&of.id)
        .bind(of.created_at)
        .bind(limit)
        .fetch_all(&mut self.reader().await?)
        .await?;
        rows.iter()
            .map(|row| {
                let mut approval = read(row)?;
                approval.status = approval.status_at(now);
                Ok(self.told(approval))
            })
            .collect()
    }

    /// The approval with what this desk knows about who is who.
    fn told(&self, mut approval: Approval) -> Approval {
        approval.kin = std::sync::Arc::clone(&self.kin);
        approval
    }
}

/// The open approval for `fingerprint`, or a new one.
async fn meet_or_open(tx: &mut Tx<'_>, ask: &Ask, fingerprint: &[u8], now: i64) -> Result<Approval, Error> {
    let open: Option<String> = sql("SELECT id FROM approvals WHERE fingerprint = ? \
         AND (state = 'pending' OR (state = 'approved' AND claimed_by IS NULL))")
    .bind(fingerprint)
    .first(tx)
    .await?;
    if let Some(id) = open {
        let approval = settled(tx, &id, now).await?;
        if approval.status != Status::Expired {
            return Ok(approval);
        }
    }
    let seconds = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
    let id = Uuid::now_v7().to_string();
    // Past approvers it is granted and claimed at once, by the exchange that asks.
    let past = ask.asks.kind() == Kind::BreakGlass;
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
        let event = Event { person: Some(&requester), approval: Some(subject), ..Event::new("break_glass") };
        super::journal::append(tx, &event, now).await?;
    }
    load(tx, &id).await?.ok_or(Error::UnknownApproval)
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

/// Ends an approval, or grants it.
async fn end(
    tx: &mut Tx<'_>,
    id: &str,
    status: Status,
    now: i64,
    claimable_until: Option<i64>,
) -> Result<(), Error> {
    sql("UPDATE approvals SET state = ?, ended_at = ?, claimable_until = ? WHERE id = ? AND state = 'pending'")
        .bind(status.word())
        .bind(now)
        .bind(claimable_until)
        .bind(id)
        .execute(tx)
        .await?;
    Ok(())
}

/// Loads an approval and writes down what time has done to it.
async fn settle(tx: &mut Tx<'_>, id: &str, now: i64) -> Result<Option<Approval>, Error> {
    let Some(mut approval) = load(tx, id).await? else { return Ok(None) };
    let status = approval.status_at(now);
    if status != approval.status {
        sql("UPDATE approvals SET state = 'expired', ended_at = coalesce(ended_at, ?) WHERE id = ?")
            .bind(now)
            .bind(id)
            .execute(tx)
            .await?;
        approval.status = status;
    }
    Ok(Some(approval))
}

async fn settled(tx: &mut Tx<'_>, id: &str, now: i64) -> Result<Approval, Error> {
    settle(tx, id, now).await?.ok_or(Error::UnknownApproval)
}

async fn load(connection: &mut impl On, id: &str) -> Result<Option<Approval>, Error> {
    let row = sql(concat!("SELECT ", columns!(), " FROM approvals WHERE id = ?"))
        .bind(id)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut approval = read(&row)?;
    approval.decisions = decisions(connection, id).await?;
    approval.remarks = remarks(connection, id).await?;
    Ok(Some(approval))
}

fn read(row: &Row) -> Result<Approval, Error> {
    let json = |column: &str| row.get::<String>(column);
    let state: String = row.get("state")?;
    Ok(Approval {
        id: row.get("id")?,
        requester: serde_json::from_str(&json("requester")?)?,
        operations: serde_json::from_str(&json("operations")?)?,
        rule: row.get("rule")?,
        asks: asks(row)?,
        policy: row.get("policy")?,
        digest: row.get("digest")?,
        preview: serde_json::from_str(&json("preview")?)?,
        gateway: row.get("gateway")?,
        created_at: row.get("created_at")?,
        undecided_until: row.get("undecided_until")?,
        valid_ms: row.get("valid_ms")?,
        status: Status::parse(&state)
            .ok_or_else(|| Error::Internal(anyhow::anyhow!("an approval has an unknown state")))?,
        ended_at: row.get("ended_at")?,
        claimable_until: row.get("claimable_until")?,
        claimed_by: row.get("claimed_by")?,
        claimed_at: row.get("claimed_at")?,
        decisions: Vec::new(),
        remarks: Vec::new(),
        kin: std::sync::Arc::default(),
    })
}

/// What was asked for; approvals from before there was more to ask have it in columns.
fn asks(row: &Row) -> Result<Asks, Error> {
    let text: String = row.get("asks")?;
    if !text.is_empty() {
        return Ok(serde_json::from_str(&text)?);
    }
    let seconds = |milliseconds: i64| u64::try_from(milliseconds / 1_000).unwrap_or(0);
    let (created, until): (i64, i64) = (row.get("created_at")?, row.get("undecided_until")?);
    Ok(Asks {
        approvers: serde_json::from_str(&row.get::<String>("approvers")?)?,
        quorum: u32::try_from(row.get::<i64>("quorum")?).unwrap_or(u32::MAX),
        valid_seconds: seconds(row.get("valid_ms")?),
        expires_seconds: seconds(until.saturating_sub(created)),
        all_of: Vec::new(),
        denial: Denial::One,
        preview: Sight::Partial,
        grant_seconds: None,
        break_glass: None,
    })
}

async fn remarks(connection: &mut impl On, id: &str) -> Result<Vec<Remark>, Error> {
    let rows = sql(
        "SELECT kind, verdict, issuer, subject, name, comment, at FROM remarks WHERE approval = ? ORDER BY id",
    )
    .bind(id)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let review = row.get::<String>("kind")? == RemarkKind::Review.word();
            Ok(Remark {
                kind: if review { RemarkKind::Review } else { RemarkKind::Revocation },
                verdict: row.get("verdict")?,
                issuer: row.get("issuer")?,
                subject: row.get("subject")?,
                name: row.get("name")?,
                comment: row.get("comment")?,
                at: row.get("at")?,
            })
        })
        .collect()
}

async fn decisions(connection: &mut impl On, id: &str) -> Result<Vec<Decision>, Error> {
    let rows = sql(
        "SELECT issuer, subject, name, email, decision, comment, at, fits FROM decisions WHERE approval = ? ORDER BY id",
    )
    .bind(id)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Decision {
                issuer: row.get("issuer")?,
                subject: row.get("subject")?,
                name: row.get("name")?,
                email: row.get("email")?,
                verdict: if row.get::<String>("decision")? == "approve" {
                    Verdict::Approve
                } else {
                    Verdict::Deny
                },
                comment: row.get("comment")?,
                at: row.get("at")?,
                fits: serde_json::from_str(&row.get::<String>("fits")?)?,
            })
        })
        .collect()
}
