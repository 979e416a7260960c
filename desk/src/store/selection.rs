//! Which lines an export holds, and reading them in the order of the ledger together with those around them.

use futures::StreamExt;
use futures::stream::BoxStream;

use super::Store;
use super::sql::{Sql, sql};
use crate::error::Error;

/// What to choose; everything given has to hold. Of an exchange that is chosen by person, operation, thread or
/// decision, every line within the times is taken: its admission, its segments, its outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Not before, in milliseconds since the Unix epoch.
    pub from: Option<i64>,
    /// Before, in milliseconds since the Unix epoch.
    pub to: Option<i64>,
    /// Name, e-mail address or subject holds this.
    pub person: Option<String>,
    /// The operation's name holds this.
    pub operation: Option<String>,
    /// The thread's id.
    pub thread: Option<String>,
    /// `allow` or `deny`.
    pub decision: Option<String>,
    /// The id of the request (`x-request-id`) or of the exchange, as a refusal and the proxy's log name it. What
    /// [`Selection::is_request_id`] refuses is found nowhere.
    pub request: Option<String>,
}

/// A line of the ledger beside the question whether it was chosen.
#[derive(Debug)]
pub struct Selected {
    /// Its place in the ledger.
    pub position: i64,
    /// Whether it was chosen.
    pub chosen: bool,
    /// Its bytes; `None` where retention has taken them.
    pub line: Option<Vec<u8>>,
}

impl Selection {
    /// Whether nothing but times chooses.
    pub fn is_by_time_alone(&self) -> bool {
        self.person.is_none()
            && self.operation.is_none()
            && self.thread.is_none()
            && self.decision.is_none()
            && self.request.is_none()
    }

    /// Whether a request could have this id: the gate takes over no others.
    pub fn is_request_id(id: &str) -> bool {
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
        (1..=128).contains(&id.len()) && id.bytes().all(safe)
    }

    /// Adds the condition to a statement over `lines`.
    pub(super) fn push<'q>(&self, query: &mut Sql<'q>) {
        query.push("at >= ").push_bind(self.from.unwrap_or(i64::MIN));
        query.push(" AND at < ").push_bind(self.to.unwrap_or(i64::MAX));
        if self.is_by_time_alone() {
            return;
        }
        query.push(" AND (exchange IN (SELECT exchange FROM lines WHERE exchange IS NOT NULL AND ");
        self.push_facts(query);
        // The desk's own entries have no exchange.
        query.push(") OR (exchange IS NULL AND ");
        self.push_facts(query);
        query.push("))");
    }

    fn push_facts<'q>(&self, query: &mut Sql<'q>) {
        query.push("1 = 1");
        for (column, value) in [("person", &self.person), ("operation", &self.operation)] {
            if let Some(value) = value {
                query.push(" AND ").push_holds(column, value);
            }
        }
        for (column, value) in [("thread", &self.thread), ("effect", &self.decision)] {
            if let Some(value) = value {
                query.push(" AND ").push(column).push(" = ").push_bind(value.clone());
            }
        }
        if let Some(id) = self.request.as_deref() {
            // The line's own bytes hold the request's id; within a body the quotes would be escaped.
            let named = format!("%\"request!_id\":\"{}\"%", id.replace('_', "!_")).into_bytes();
            let id = if Self::is_request_id(id) { id.to_owned() } else { String::new() };
            let found = !id.is_empty();
            query.push(" AND (exchange = ").push_bind(id);
            if found {
                query.push(" OR line LIKE ").push_bind(named).push(" ESCAPE ").push_bind(b"!".to_vec());
            }
            query.push(")");
        }
    }
}

impl Store {
    /// The first and the last position of the lines that are chosen among the first `size`.
    pub async fn bounds(&self, selection: &Selection, size: i64) -> Result<Option<(i64, i64)>, Error> {
        let mut query = sql("SELECT min(position), max(position) FROM lines WHERE position < ");
        query.push_bind(size).push(" AND ");
        selection.push(&mut query);
        let row = query.fetch_one(&mut self.reader().await?).await?;
        let (first, last): (Option<i64>, Option<i64>) = (row.at(0)?, row.at(1)?);
        Ok(first.zip(last))
    }

    /// Every line between two positions, both included, in order.
    pub fn selected(
        &self,
        selection: &Selection,
        first: i64,
        last: i64,
    ) -> BoxStream<'_, Result<Selected, Error>> {
        let mut query = sql("SELECT position, line, CASE WHEN ");
        selection.push(&mut query);
        query.push(" THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END FROM lines WHERE position BETWEEN ");
        query.push_bind(first).push(" AND ").push_bind(last).push(" ORDER BY position");
        let rows = query.stream(&self.read);
        Box::pin(rows.map(|row| {
            let row = row?;
            let line: Vec<u8> = row.at(1)?;
            let line = Some(line).filter(|line| !line.is_empty());
            Ok(Selected { position: row.at(0)?, chosen: line.is_some() && row.at::<i64>(2)? != 0, line })
        }))
    }
}
