//! Reading approvals: one, many by a filter, and what the same person asked before.

use super::rows::{columns, fill, load, read};
use crate::approvals::{Approval, Kind, Status};
use crate::error::Error;
use crate::store::Store;
use crate::store::sql::{Row, sql};

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

impl Store {
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
        let approvals = self.whole(rows.iter().take(filter.limit as usize), now).await?;
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
        self.whole(rows.iter(), now).await
    }

    /// The approvals of these rows with what people said about them, as they stand at `now`.
    async fn whole(&self, rows: impl Iterator<Item = &Row>, now: i64) -> Result<Vec<Approval>, Error> {
        let mut approvals: Vec<Approval> = rows.map(read).collect::<Result<_, _>>()?;
        fill(&mut self.reader().await?, &mut approvals).await?;
        for approval in &mut approvals {
            approval.status = approval.status_at(now);
        }
        Ok(approvals.into_iter().map(|approval| self.told(approval)).collect())
    }

    /// The approval with what this desk knows about who is who.
    pub(in crate::store) fn told(&self, mut approval: Approval) -> Approval {
        approval.kin = std::sync::Arc::clone(&self.kin);
        approval
    }
}
