//! An approval as rows, and what time does to it.

use crate::approvals::{Approval, Asks, Decision, Denial, Remark, RemarkKind, Sight, Status, Verdict};
use crate::error::Error;
use crate::notify::Happening;
use crate::store::Store;
use crate::store::sql::{On, Row, Tx, sql};

/// The columns that [`read`] reads.
macro_rules! columns {
    () => {
        "id, requester, operations, rule, approvers, quorum, policy, digest, preview, gateway, created_at, \
         undecided_until, valid_ms, state, ended_at, claimable_until, claimed_by, claimed_at, asks"
    };
}
pub(super) use columns;

/// Ends an approval, or grants it.
pub(super) async fn end(
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

impl Store {
    /// Loads an approval and writes down what time has done to it.
    pub(in crate::store) async fn settle_one(
        &self,
        tx: &mut Tx<'_>,
        id: &str,
        now: i64,
    ) -> Result<Option<Approval>, Error> {
        let Some(approval) = load(tx, id).await? else { return Ok(None) };
        let mut approval = self.told(approval);
        let status = approval.status_at(now);
        if status != approval.status {
            sql("UPDATE approvals SET state = 'expired', ended_at = coalesce(ended_at, ?) WHERE id = ?")
                .bind(now)
                .bind(id)
                .execute(tx)
                .await?;
            approval.status = status;
            self.tell(tx, &approval, Happening::of(status), now).await?;
        }
        Ok(Some(approval))
    }

    /// The same for an approval that is there.
    pub(super) async fn settled(&self, tx: &mut Tx<'_>, id: &str, now: i64) -> Result<Approval, Error> {
        self.settle_one(tx, id, now).await?.ok_or(Error::UnknownApproval)
    }
}

pub(super) async fn load(connection: &mut impl On, id: &str) -> Result<Option<Approval>, Error> {
    let row = sql(concat!("SELECT ", columns!(), " FROM approvals WHERE id = ?"))
        .bind(id)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut approval = read(&row)?;
    fill(connection, std::slice::from_mut(&mut approval)).await?;
    Ok(Some(approval))
}

pub(super) fn read(row: &Row) -> Result<Approval, Error> {
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

/// Adds to approvals what people decided and said about them, each in its order; two statements however many there are.
pub(super) async fn fill(connection: &mut impl On, approvals: &mut [Approval]) -> Result<(), Error> {
    if approvals.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = approvals.iter().map(|approval| approval.id.clone()).collect();
    let of = |columns: &str, table: &str| {
        let mut query = sql(format!("SELECT approval, {columns} FROM {table} WHERE approval IN ("));
        for (index, id) in ids.iter().enumerate() {
            query.push(if index == 0 { "" } else { ", " }).push_bind(id);
        }
        query.push(") ORDER BY id");
        query
    };
    let decided = of("issuer, subject, name, email, decision, comment, at, fits", "decisions");
    for row in decided.fetch_all(connection).await? {
        if let Some(approval) = of_row(approvals, &row)? {
            approval.decisions.push(decision(&row)?);
        }
    }
    let said = of("kind, verdict, issuer, subject, name, comment, at", "remarks");
    for row in said.fetch_all(connection).await? {
        if let Some(approval) = of_row(approvals, &row)? {
            approval.remarks.push(remark(&row)?);
        }
    }
    Ok(())
}

fn of_row<'a>(approvals: &'a mut [Approval], row: &Row) -> Result<Option<&'a mut Approval>, Error> {
    let id: String = row.get("approval")?;
    Ok(approvals.iter_mut().find(|approval| approval.id == id))
}

fn remark(row: &Row) -> Result<Remark, Error> {
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
}

fn decision(row: &Row) -> Result<Decision, Error> {
    Ok(Decision {
        issuer: row.get("issuer")?,
        subject: row.get("subject")?,
        name: row.get("name")?,
        email: row.get("email")?,
        verdict: if row.get::<String>("decision")? == "approve" { Verdict::Approve } else { Verdict::Deny },
        comment: row.get("comment")?,
        at: row.get("at")?,
        fits: serde_json::from_str(&row.get::<String>("fits")?)?,
    })
}
