//! Retention: contents of records go when their time has come, unless a hold keeps them. Their hashes stay, in the
//! chains and in the tree, so that the log still verifies. Every purge is an entry of the ledger. What is kept beside
//! the ledger is in [`super::copies`].

use serde::{Deserialize, Serialize};

use super::Store;
use super::journal::{self, Event};
use super::selection::Selection;
use super::sql::{Sql, sql};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::evidence::CLASSES;

/// How many records one transaction empties, so that nobody waits long for the writing connection.
const STEP: i64 = 1_000;
/// The kinds of record that a rule means which names none.
const USUAL_KINDS: [&str; 4] = ["admission", "segment", "outcome", "approval"];
/// Every kind.
const KINDS: [&str; 6] = ["admission", "segment", "outcome", "approval", "start", "desk"];

/// How long records of one class are kept. The first rule that fits a record decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Kinds of record: `admission`, `segment`, `outcome`, `approval`, `start`, `desk`; without it the first four. An
    /// approval's time begins to run when it is over.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Classes of operation: `read`, `write`, `execute`, `admin`; without it all.
    #[serde(default)]
    pub classes: Vec<String>,
    /// How many days.
    pub days: u32,
}

/// A legal hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its number.
    pub id: i64,
    /// Why.
    pub reason: String,
    /// What it keeps.
    pub filter: Selection,
    /// When it was placed, in milliseconds since the Unix epoch.
    pub placed_at: i64,
    /// When it was released.
    pub released_at: Option<i64>,
}

/// A hold's filter as it is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    from: Option<i64>,
    to: Option<i64>,
    person: Option<String>,
    operation: Option<String>,
    thread: Option<String>,
    decision: Option<String>,
    #[serde(default)]
    request: Option<String>,
}

impl Rule {
    /// What is wrong with it, in words.
    pub fn problem(&self) -> Option<String> {
        if let Some(kind) = self.kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
            return Some(format!("`{kind}` is no kind of record; there are {}", KINDS.join(", ")));
        }
        if let Some(class) = self.classes.iter().find(|class| !CLASSES.contains(&class.as_str())) {
            return Some(format!("`{class}` is no class of operation; there are {}", CLASSES.join(", ")));
        }
        (self.days == 0).then(|| "records are kept for at least a day".to_owned())
    }

    /// Whether it is about records of this kind and class.
    pub(super) fn fits(&self, kind: &str, class: &str) -> bool {
        let has = |names: &[String], name: &str| names.iter().any(|one| one == name);
        let is_usual = self.kinds.is_empty() && USUAL_KINDS.contains(&kind);
        (is_usual || has(&self.kinds, kind)) && (self.classes.is_empty() || has(&self.classes, class))
    }

    fn push<'q>(&'q self, query: &mut Sql<'q>) {
        let usual: Vec<&'q str> = USUAL_KINDS.to_vec();
        let kinds =
            if self.kinds.is_empty() { usual } else { self.kinds.iter().map(String::as_str).collect() };
        query.push("(kind IN (");
        push_list(query, &kinds);
        query.push(")");
        if !self.classes.is_empty() {
            query.push(" AND coalesce(class, '') IN (");
            push_list(query, &self.classes.iter().map(String::as_str).collect::<Vec<_>>());
            query.push(")");
        }
        query.push(")");
    }

    /// It in words.
    pub fn in_words(&self) -> String {
        let list =
            |names: &[String], all: &str| if names.is_empty() { all.to_owned() } else { names.join(", ") };
        format!(
            "{} of {} operations after {} days",
            list(&self.kinds, "admissions, segments, outcomes and approvals"),
            list(&self.classes, "all"),
            self.days
        )
    }
}

fn push_list<'q>(query: &mut Sql<'q>, values: &[&'q str]) {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            query.push(", ");
        }
        query.push_bind(*value);
    }
}

impl Store {
    /// Empties every record whose time has come, among those before position `end`, and what is kept beside the
    /// ledger. Returns how many.
    pub async fn purge(&self, rules: &[Rule], end: i64, now: i64) -> Result<u64, Error> {
        // The tree has to hold the hash of a record before its contents go.
        let end = end.min(self.grow().await?);
        let holds = self.holds().await?;
        let mut purged = self.purge_copies(rules, &holds, now).await?;
        for index in 0..rules.len() {
            loop {
                let step = self.purge_some(rules, index, &holds, end, now).await?;
                purged += step;
                if step < STEP as u64 {
                    break;
                }
            }
        }
        if let Err(error) = self.settle().await {
            // What went is gone from the tables; the next round empties the log.
            error.log();
        }
        Ok(purged)
    }

    async fn purge_some(
        &self,
        rules: &[Rule],
        index: usize,
        holds: &[Hold],
        end: i64,
        now: i64,
    ) -> Result<u64, Error> {
        let rule = &rules[index];
        let before = now.saturating_sub(i64::from(rule.days) * 86_400_000);
        let mut due = sql("SELECT position FROM lines WHERE length(line) > 0 AND position < ");
        due.push_bind(end).push(" AND at < ").push_bind(before).push(" AND ");
        rule.push(&mut due);
        for earlier in &rules[..index] {
            due.push(" AND NOT ");
            earlier.push(&mut due);
        }
        for hold in holds.iter().filter(|hold| hold.released_at.is_none()) {
            due.push(" AND NOT (");
            hold.filter.push(&mut due);
            due.push(")");
        }
        due.push(" ORDER BY position LIMIT ").push_bind(STEP);
        let mut tx = self.begin().await?;
        let positions: Vec<i64> =
            due.fetch_all(&mut tx).await?.iter().map(|row| row.at(0)).collect::<Result<_, _>>()?;
        let (Some(first), Some(last)) = (positions.first(), positions.last()) else { return Ok(0) };
        sql("UPDATE retention SET running = 1").execute(&mut tx).await?;
        for position in &positions {
            sql("UPDATE lines SET line = ?, person = NULL, subject = NULL, operation = NULL, graph = NULL, \
                 thread = NULL WHERE position = ?")
            .bind(Vec::new())
            .bind(*position)
            .execute(&mut tx)
            .await?;
        }
        sql("UPDATE retention SET running = 0").execute(&mut tx).await?;
        let detail = format!(
            "{} records from before {}, ledger positions {first} to {last}: {}",
            positions.len(),
            rfc3339(before),
            rule.in_words()
        );
        journal::append(&mut tx, &Event { detail: Some(&detail), ..Event::new("purge") }, now).await?;
        tx.commit().await?;
        Ok(positions.len() as u64)
    }

    /// Every hold, released ones too, newest first.
    pub async fn holds(&self) -> Result<Vec<Hold>, Error> {
        let rows = sql("SELECT id, reason, filter, placed_at, released_at FROM holds ORDER BY id DESC")
            .fetch_all(&mut self.reader().await?)
            .await?;
        rows.iter()
            .map(|row| {
                let kept: Kept = serde_json::from_str(&row.get::<String>("filter")?)?;
                Ok(Hold {
                    id: row.get("id")?,
                    reason: row.get("reason")?,
                    filter: Selection {
                        from: kept.from,
                        to: kept.to,
                        person: kept.person,
                        operation: kept.operation,
                        thread: kept.thread,
                        decision: kept.decision,
                        request: kept.request,
                    },
                    placed_at: row.get("placed_at")?,
                    released_at: row.get("released_at")?,
                })
            })
            .collect()
    }

    /// Places a hold; its number comes back.
    pub async fn place_hold(&self, reason: &str, filter: &Selection, now: i64) -> Result<i64, Error> {
        let kept = Kept {
            from: filter.from,
            to: filter.to,
            person: filter.person.clone(),
            operation: filter.operation.clone(),
            thread: filter.thread.clone(),
            decision: filter.decision.clone(),
            request: filter.request.clone(),
        };
        let kept = serde_json::to_string(&kept)?;
        let mut tx = self.begin().await?;
        sql("INSERT INTO holds (reason, filter, placed_at) VALUES (?, ?, ?)")
            .bind(reason)
            .bind(&kept)
            .bind(now)
            .execute(&mut tx)
            .await?;
        let id: i64 = sql("SELECT max(id) FROM holds").scalar(&mut tx).await?;
        let detail = format!("hold {id}: {reason}");
        journal::append(&mut tx, &Event { detail: Some(&detail), ..Event::new("hold_placed") }, now).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Releases a hold. False where there is none of this number that still holds.
    pub async fn release_hold(&self, id: i64, now: i64) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let released = sql("UPDATE holds SET released_at = ? WHERE id = ? AND released_at IS NULL")
            .bind(now)
            .bind(id)
            .execute(&mut tx)
            .await?;
        if released == 0 {
            return Ok(false);
        }
        let detail = format!("hold {id}");
        journal::append(&mut tx, &Event { detail: Some(&detail), ..Event::new("hold_released") }, now)
            .await?;
        tx.commit().await?;
        Ok(true)
    }
}
