//! One way to speak SQL to both databases: statements with `?` or `?1`, values, rows, transactions.
//!
//! The statements of the store are written once, in what SQLite and PostgreSQL have in common: `BIGINT`, text
//! and bytes, and no functions that only one of them knows. Where they cannot agree, [`Sql::by`] takes both
//! spellings. Which database it is, only this module and [`super::pool`] know.

use std::borrow::Cow;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Postgres, Row as _, Sqlite};
use sqlx::{SqlSafeStr as _, SqliteConnection, SqlitePool, Transaction};

use crate::error::Error;

/// A value that goes into a statement.
#[derive(Debug, Clone)]
pub(super) enum Value<'q> {
    Integer(Option<i64>),
    Text(Option<Cow<'q, str>>),
    Bytes(Option<Cow<'q, [u8]>>),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}
impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Self::Integer(Some(i64::from(value)))
    }
}
impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}
impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::Text(Some(Cow::Owned(value)))
    }
}
impl From<Option<String>> for Value<'_> {
    fn from(value: Option<String>) -> Self {
        Self::Text(value.map(Cow::Owned))
    }
}
impl From<Vec<u8>> for Value<'_> {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(Some(Cow::Owned(value)))
    }
}
impl<'q> From<&'q str> for Value<'q> {
    fn from(value: &'q str) -> Self {
        Self::Text(Some(Cow::Borrowed(value)))
    }
}
impl<'q> From<&'q String> for Value<'q> {
    fn from(value: &'q String) -> Self {
        Self::Text(Some(Cow::Borrowed(value)))
    }
}
impl<'q> From<&'q Option<String>> for Value<'q> {
    fn from(value: &'q Option<String>) -> Self {
        Self::Text(value.as_deref().map(Cow::Borrowed))
    }
}
impl<'q> From<Option<&'q str>> for Value<'q> {
    fn from(value: Option<&'q str>) -> Self {
        Self::Text(value.map(Cow::Borrowed))
    }
}
impl<'q> From<&'q [u8]> for Value<'q> {
    fn from(value: &'q [u8]) -> Self {
        Self::Bytes(Some(Cow::Borrowed(value)))
    }
}
impl<'q> From<&'q Vec<u8>> for Value<'q> {
    fn from(value: &'q Vec<u8>) -> Self {
        Self::Bytes(Some(Cow::Borrowed(value)))
    }
}

/// A statement with its values.
#[derive(Debug, Clone)]
pub(super) struct Sql<'q> {
    text: Cow<'static, str>,
    /// Where PostgreSQL needs other words.
    postgres: Option<&'static str>,
    values: Vec<Value<'q>>,
}

/// A statement, its values as `?` in order, or as `?1`, `?2`, … The text never holds what callers sent.
pub(super) fn sql<'q>(text: impl Into<Cow<'static, str>>) -> Sql<'q> {
    Sql { text: text.into(), postgres: None, values: Vec::new() }
}

impl<'q> Sql<'q> {
    /// A statement that the two databases spell differently.
    pub(super) fn by(sqlite: &'static str, postgres: &'static str) -> Self {
        Self { text: Cow::Borrowed(sqlite), postgres: Some(postgres), values: Vec::new() }
    }

    /// The next value.
    pub(super) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Goes on with `text`.
    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.to_mut().push_str(text);
        self
    }

    /// Goes on with a value.
    pub(super) fn push_bind(&mut self, value: impl Into<Value<'q>>) -> &mut Self {
        self.text.to_mut().push('?');
        self.values.push(value.into());
        self
    }

    /// Goes on with a condition: the column holds `text`, whatever the case. No letter of it is a wildcard.
    pub(super) fn push_holds(&mut self, column: &str, text: &str) -> &mut Self {
        let text = text.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        self.push("lower(").push(column).push(") LIKE ");
        self.push_bind(format!("%{text}%")).push(" ESCAPE '\\'")
    }

    /// Runs it; how many rows it changed.
    pub(super) async fn execute(self, on: &mut impl On) -> Result<u64, Error> {
        Ok(match on.link() {
            Link::Sqlite(connection) => self.for_sqlite().execute(connection).await?.rows_affected(),
            Link::Postgres(connection) => self.for_postgres().execute(connection).await?.rows_affected(),
        })
    }

    /// Its first row.
    pub(super) async fn fetch_optional(self, on: &mut impl On) -> Result<Option<Row>, Error> {
        Ok(match on.link() {
            Link::Sqlite(connection) => self.for_sqlite().fetch_optional(connection).await?.map(Row::Sqlite),
            Link::Postgres(connection) => {
                self.for_postgres().fetch_optional(connection).await?.map(Row::Postgres)
            }
        })
    }

    /// Its one row.
    pub(super) async fn fetch_one(self, on: &mut impl On) -> Result<Row, Error> {
        self.fetch_optional(on).await?.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    /// Its rows.
    pub(super) async fn fetch_all(self, on: &mut impl On) -> Result<Vec<Row>, Error> {
        Ok(match on.link() {
            Link::Sqlite(connection) => {
                self.for_sqlite().fetch(connection).map_ok(Row::Sqlite).try_collect().await?
            }
            Link::Postgres(connection) => {
                self.for_postgres().fetch(connection).map_ok(Row::Postgres).try_collect().await?
            }
        })
    }

    /// The first column of its one row.
    pub(super) async fn scalar<T: Column>(self, on: &mut impl On) -> Result<T, Error> {
        self.fetch_one(on).await?.at(0)
    }

    /// The first column of its first row.
    pub(super) async fn first<T: Column>(self, on: &mut impl On) -> Result<Option<T>, Error> {
        self.fetch_optional(on).await?.map(|row| row.at(0)).transpose()
    }

    /// Its rows one after the other, on a connection of the pool.
    pub(super) fn stream<'p>(self, pool: &'p Pool) -> BoxStream<'p, Result<Row, Error>>
    where
        'q: 'p,
    {
        match pool {
            Pool::Sqlite(pool) => {
                self.for_sqlite().fetch(pool).map_ok(Row::Sqlite).map_err(Error::from).boxed()
            }
            Pool::Postgres(pool) => {
                self.for_postgres().fetch(pool).map_ok(Row::Postgres).map_err(Error::from).boxed()
            }
        }
    }

    fn for_sqlite(self) -> Query<'q, Sqlite, SqliteArguments> {
        let text = match self.text {
            Cow::Borrowed(text) => text.into_sql_str(),
            Cow::Owned(text) => AssertSqlSafe(text).into_sql_str(),
        };
        self.values.into_iter().fold(sqlx::query(text), |query, value| match value {
            Value::Integer(value) => query.bind(value),
            Value::Text(value) => query.bind(value.map(Cow::into_owned)),
            Value::Bytes(value) => query.bind(value.map(Cow::into_owned)),
        })
    }

    fn for_postgres(self) -> Query<'q, Postgres, PgArguments> {
        let text = AssertSqlSafe(numbered(self.postgres.unwrap_or(&self.text))).into_sql_str();
        self.values.into_iter().fold(sqlx::query(text), |query, value| match value {
            Value::Integer(value) => query.bind(value),
            // PostgreSQL's text cannot hold U+0000; a search for it finds what was kept in its place.
            Value::Text(value) => query.bind(value.map(|text| text.replace('\0', "\u{fffd}"))),
            Value::Bytes(value) => query.bind(value.map(Cow::into_owned)),
        })
    }
}

/// `?` and `?1` as `$1`; the statements of the store hold no other question marks.
fn numbered(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut next = 1_u32;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        out.push(if letter == '?' { '$' } else { letter });
        if letter == '?' && !letters.peek().is_some_and(char::is_ascii_digit) {
            out.push_str(&next.to_string());
            next += 1;
        }
    }
    out
}

/// A row.
#[derive(Debug)]
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// What a column can hold.
pub(super) trait Column:
    for<'r> sqlx::Decode<'r, Sqlite>
    + sqlx::Type<Sqlite>
    + for<'r> sqlx::Decode<'r, Postgres>
    + sqlx::Type<Postgres>
{
}
impl Column for i64 {}
impl Column for Option<i64> {}
impl Column for String {}
impl Column for Option<String> {}
impl Column for Vec<u8> {}
impl Column for Option<Vec<u8>> {}

impl Row {
    /// The column of this name.
    pub(super) fn get<T: Column>(&self, column: &str) -> Result<T, Error> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// The column at this place.
    pub(super) fn at<T: Column>(&self, index: usize) -> Result<T, Error> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(index)?,
            Self::Postgres(row) => row.try_get(index)?,
        })
    }
}

/// A pool of connections.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// What a statement runs on.
pub(super) enum Link<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

/// Something that leads to a connection.
pub(super) trait On: Send {
    /// The connection.
    fn link(&mut self) -> Link<'_>;
}

/// A connection that reads.
pub(super) enum Reader {
    Sqlite(sqlx::pool::PoolConnection<Sqlite>),
    Postgres(sqlx::pool::PoolConnection<Postgres>),
}

impl On for Reader {
    fn link(&mut self) -> Link<'_> {
        match self {
            Self::Sqlite(connection) => Link::Sqlite(connection),
            Self::Postgres(connection) => Link::Postgres(connection),
        }
    }
}

/// A transaction that writes; dropped, it is rolled back.
pub(super) enum Tx<'c> {
    Sqlite(Transaction<'c, Sqlite>),
    Postgres(Transaction<'c, Postgres>),
}

impl On for Tx<'_> {
    fn link(&mut self) -> Link<'_> {
        match self {
            Self::Sqlite(tx) => Link::Sqlite(tx),
            Self::Postgres(tx) => Link::Postgres(tx),
        }
    }
}

impl Tx<'_> {
    /// Makes it durable.
    pub(super) async fn commit(self) -> Result<(), Error> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    /// Undoes it.
    pub(super) async fn rollback(self) -> Result<(), Error> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await?,
            Self::Postgres(tx) => tx.rollback().await?,
        }
        Ok(())
    }

    /// A part of it that can be undone alone.
    pub(super) async fn savepoint(&mut self) -> Result<Tx<'_>, Error> {
        Ok(match self {
            Self::Sqlite(tx) => Tx::Sqlite(tx.begin().await?),
            Self::Postgres(tx) => Tx::Postgres(tx.begin().await?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_placeholders_as_postgres_wants_them() {
        assert_eq!(numbered("a = ? AND b = ? LIMIT ?"), "a = $1 AND b = $2 LIMIT $3");
        assert_eq!(numbered("a = ?2 AND b = ?1 AND c < ?2"), "a = $2 AND b = $1 AND c < $2");
    }
}
