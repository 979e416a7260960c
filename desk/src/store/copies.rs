//! Retention of what is kept beside the ledger: copies of refused lines, and approvals that are over. The same rules and
//! holds decide as for lines; what went is told by an entry of the ledger.
//!
//! Of an approval go the people (who asked, who decided, what they said), what their requests were about beyond the
//! operations' names, and the preview. Its times, terms, states and digests stay, and so does that it was emptied. One
//! that went past approvers keeps everything until it was reviewed.

use serde::Deserialize;

use super::Store;
use super::journal::{self, Event};
use super::retention::{Hold, Rule};
use super::selection::Selection;
use super::sql::{Row, Tx, sql};
use crate::approvals::{OperationView, Requester};
use crate::error::Error;
use crate::evidence::{NewLine, strictest};

/// How many are looked at in one transaction.
const STEP: i64 = 500;
/// What stands where contents stood.
const GONE: &str = "emptied by retention";
const DAY_MS: i64 = 86_400_000;

/// What rules and holds look at.
#[derive(Debug, Default)]
struct Facts {
    kind: String,
    class: String,
    /// When it came, in milliseconds since the Unix epoch.
    from: i64,
    /// When its time began to run.
    over: i64,
    people: Vec<String>,
    operations: Vec<String>,
    threads: Vec<String>,
    effect: Option<String>,
    /// Nothing could be read of it: a hold that asks for anything keeps it.
    unreadable: bool,
}

impl Facts {
    /// Whether the first rule that fits says that it goes.
    fn are_due(&self, rules: &[Rule], now: i64) -> bool {
        let days = if self.unreadable {
            // Nobody knows its class, so it stays as long as anything does.
            rules.iter().map(|rule| rule.days).max()
        } else {
            rules.iter().find(|rule| rule.fits(&self.kind, &self.class)).map(|rule| rule.days)
        };
        days.is_some_and(|days| self.over < now.saturating_sub(i64::from(days) * DAY_MS))
    }

    fn are_held(&self, holds: &[Hold]) -> bool {
        holds.iter().any(|hold| hold.released_at.is_none() && self.fit(&hold.filter))
    }

    fn fit(&self, filter: &Selection) -> bool {
        let holds = |texts: &[String], wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| {
                let wanted = wanted.to_lowercase();
                self.unreadable || texts.iter().any(|text| text.to_lowercase().contains(&wanted))
            })
        };
        self.from >= filter.from.unwrap_or(i64::MIN)
            && self.from < filter.to.unwrap_or(i64::MAX)
            && holds(&self.people, &filter.person)
            && holds(&self.operations, &filter.operation)
            && filter.thread.as_ref().is_none_or(|thread| self.unreadable || self.threads.contains(thread))
            && match (&filter.decision, &self.effect) {
                (Some(wanted), Some(effect)) => wanted == effect,
                // An approval is about an exchange that may have ended either way.
                _ => true,
            }
    }
}

impl Store {
    /// Empties copies of refused lines and approvals whose time has come. Returns how many.
    pub(super) async fn purge_copies(&self, rules: &[Rule], holds: &[Hold], now: i64) -> Result<u64, Error> {
        // Nothing younger than the shortest rule can be due, so it is not even read.
        let Some(shortest) = rules.iter().map(|rule| rule.days).min() else { return Ok(0) };
        let before = now.saturating_sub(i64::from(shortest) * DAY_MS);
        let mut purged = 0;
        let mut after = i64::MIN;
        while let Some(last) = self.purge_refused(rules, holds, (after, before, now), &mut purged).await? {
            after = last;
        }
        let mut after = String::new();
        while let Some(last) = self.purge_approvals(rules, holds, (&after, before, now), &mut purged).await? {
            after = last;
        }
        Ok(purged)
    }

    async fn purge_refused(
        &self,
        rules: &[Rule],
        holds: &[Hold],
        (after, before, now): (i64, i64, i64),
        purged: &mut u64,
    ) -> Result<Option<i64>, Error> {
        let mut tx = self.begin().await?;
        let rows = sql("SELECT id, found_at, line FROM findings WHERE length(line) > 0 AND id > ? \
             AND found_at < ? ORDER BY id LIMIT ?")
        .bind(after)
        .bind(before)
        .bind(STEP)
        .fetch_all(&mut tx)
        .await?;
        let mut due = Vec::new();
        for row in &rows {
            let facts = refused(row)?;
            if facts.are_due(rules, now) && !facts.are_held(holds) {
                due.push(row.get::<i64>("id")?);
            }
        }
        if !due.is_empty() {
            at_work(&mut tx, true).await?;
            for id in &due {
                sql("UPDATE findings SET line = ? WHERE id = ?")
                    .bind(Vec::new())
                    .bind(*id)
                    .execute(&mut tx)
                    .await?;
            }
            at_work(&mut tx, false).await?;
            told(&mut tx, &format!("{} copies of refused records", due.len()), now).await?;
            tx.commit().await?;
        }
        *purged += due.len() as u64;
        rows.last().map(|row| row.get("id")).transpose()
    }

    async fn purge_approvals(
        &self,
        rules: &[Rule],
        holds: &[Hold],
        (after, before, now): (&str, i64, i64),
        purged: &mut u64,
    ) -> Result<Option<String>, Error> {
        let mut tx = self.begin().await?;
        let rows = sql("SELECT id, requester, operations, created_at, undecided_until, state, ended_at, \
             claimable_until, claimed_at FROM approvals WHERE emptied_at IS NULL AND id > ? \
             AND created_at < ? AND (kind <> 'break_glass' OR EXISTS \
             (SELECT 1 FROM remarks r WHERE r.approval = approvals.id AND r.kind = 'review')) ORDER BY id LIMIT ?")
        .bind(after)
        .bind(before)
        .bind(STEP)
        .fetch_all(&mut tx)
        .await?;
        let mut due = Vec::new();
        for row in &rows {
            let mut facts = approval(row)?;
            if !facts.are_due(rules, now) {
                continue;
            }
            let id: String = row.get("id")?;
            if !holds.is_empty() {
                facts.people.extend(deciders(&mut tx, &id).await?);
            }
            if !facts.are_held(holds) {
                due.push((id, row.get::<String>("operations")?));
            }
        }
        if !due.is_empty() {
            at_work(&mut tx, true).await?;
            for (id, operations) in &due {
                empty(&mut tx, id, operations, now).await?;
            }
            at_work(&mut tx, false).await?;
            told(&mut tx, &format!("{} approvals that were over", due.len()), now).await?;
            tx.commit().await?;
        }
        *purged += due.len() as u64;
        rows.last().map(|row| row.get("id")).transpose()
    }
}

/// Of a refused line.
fn refused(row: &Row) -> Result<Facts, Error> {
    let found: i64 = row.get("found_at")?;
    let bytes: Vec<u8> = row.get("line")?;
    Ok(match NewLine::of_gateway(&bytes) {
        Ok(line) => Facts {
            kind: line.kind,
            class: line.class.unwrap_or_default(),
            from: line.at,
            over: found,
            people: line.person.into_iter().collect(),
            operations: line.operation.into_iter().collect(),
            threads: line.thread.into_iter().collect(),
            effect: line.effect,
            unreadable: false,
        },
        // It was cut, being long.
        Err(_) => Facts { from: found, over: found, unreadable: true, ..Facts::default() },
    })
}

/// Of an approval.
fn approval(row: &Row) -> Result<Facts, Error> {
    let requester: Requester = serde_json::from_str(&row.get::<String>("requester")?)?;
    let operations: Vec<OperationView> = serde_json::from_str(&row.get::<String>("operations")?)?;
    let created: i64 = row.get("created_at")?;
    let ended: Option<i64> = row.get("ended_at")?;
    let over = if row.get::<String>("state")? == "pending" {
        Some(row.get("undecided_until")?)
    } else {
        [ended, row.get("claimable_until")?, row.get("claimed_at")?].into_iter().flatten().max()
    };
    let people = [requester.name, requester.email, Some(requester.subject)];
    Ok(Facts {
        kind: "approval".to_owned(),
        class: strictest(operations.iter().map(|operation| operation.class.as_str()))
            .unwrap_or_default()
            .to_owned(),
        from: created,
        over: over.unwrap_or(i64::MAX),
        people: people.into_iter().flatten().collect(),
        threads: operations.iter().filter_map(|one| one.text("thread")).map(str::to_owned).collect(),
        operations: operations.into_iter().map(|operation| operation.operation).collect(),
        effect: None,
        unreadable: false,
    })
}

/// Who decided about an approval, and who spoke about it later.
async fn deciders(tx: &mut Tx<'_>, id: &str) -> Result<Vec<String>, Error> {
    let rows = sql("SELECT subject, name, email FROM decisions WHERE approval = ?1 \
         UNION ALL SELECT subject, name, NULL FROM remarks WHERE approval = ?1")
    .bind(id)
    .fetch_all(tx)
    .await?;
    let mut people = Vec::new();
    for row in rows {
        people.push(row.at::<String>(0)?);
        people.extend(row.at::<Option<String>>(1)?);
        people.extend(row.at::<Option<String>>(2)?);
    }
    Ok(people)
}

async fn empty(tx: &mut Tx<'_>, id: &str, operations: &str, now: i64) -> Result<(), Error> {
    #[derive(Deserialize, serde::Serialize)]
    struct Named {
        operation: String,
        #[serde(default)]
        class: String,
    }
    let named: Vec<Named> = serde_json::from_str(operations)?;
    let requester = serde_json::json!({ "issuer": "", "subject": GONE });
    let preview = serde_json::json!({ "method": "", "path": "", "body": GONE, "truncated": true });
    sql("UPDATE approvals SET requester_issuer = '', requester_subject = '', requester_email = NULL, \
         requester = ?, operations = ?, preview = ?, emptied_at = ? WHERE id = ?")
    .bind(requester.to_string())
    .bind(serde_json::to_string(&named)?)
    .bind(preview.to_string())
    .bind(now)
    .bind(id)
    .execute(tx)
    .await?;
    // One decision a person: their numbers keep them apart.
    for statement in [
        "UPDATE decisions SET issuer = '', subject = ? || ' ' || id, name = NULL, email = NULL, roles = '[]', \
         fits = '[]', comment = NULL WHERE approval = ?",
        "UPDATE remarks SET issuer = '', subject = ? || ' ' || id, name = NULL, comment = NULL WHERE approval = ?",
    ] {
        sql(statement).bind(GONE).bind(id).execute(tx).await?;
    }
    Ok(())
}

async fn at_work(tx: &mut Tx<'_>, at_work: bool) -> Result<(), Error> {
    sql("UPDATE retention SET running = ?").bind(i64::from(at_work)).execute(tx).await?;
    Ok(())
}

async fn told(tx: &mut Tx<'_>, detail: &str, now: i64) -> Result<(), Error> {
    journal::append(tx, &Event { detail: Some(detail), ..Event::new("purge") }, now).await
}
