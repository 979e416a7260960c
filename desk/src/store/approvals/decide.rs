//! People: a decision, a review, a revocation, each with its entry in the desk's own chain.

use super::rows::{end, load};
use crate::approvals::{Approval, Given, RemarkKind, Status, Verdict};
use crate::error::Error;
use crate::notify::Happening;
use crate::people::Person;
use crate::store::Store;
use crate::store::journal::{self, Event, Subject};
use crate::store::replicas::announce;
use crate::store::sql::sql;

impl Store {
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
        let approval = self.settled(&mut tx, id, now).await?;
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
        let approval = self.told(load(&mut tx, id).await?.ok_or(Error::UnknownApproval)?);
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
        journal::append(&mut tx, &event, now).await?;
        self.tell(&mut tx, &approval, Happening::of(approval.status), now).await?;
        announce(&mut tx, id).await?;
        tx.commit().await?;
        Ok(approval)
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
        let approval = self.settled(&mut tx, id, now).await?;
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
        let approval = self.told(load(&mut tx, id).await?.ok_or(Error::UnknownApproval)?);
        let event = Event {
            person: Some(person),
            approval: Some(Subject { id, status: Some(approval.status), decision: None, comment }),
            detail: verdict,
            ..Event::new(what.word())
        };
        journal::append(&mut tx, &event, now).await?;
        self.tell(&mut tx, &approval, Happening::of_remark(what), now).await?;
        announce(&mut tx, id).await?;
        tx.commit().await?;
        Ok(approval)
    }
}
