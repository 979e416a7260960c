//! Databases of every released version are brought up to date, in both kinds, with what was in them; and a migration that was
//! shipped is never changed afterwards.
//!
//! `tests/data/VERSION` holds a database as that version left it, as SQL: schema, a little data, and sqlx's own table with the
//! checksums of the migrations that made it, so that an edited one is refused here before it is refused at a user's. A release
//! adds a folder: `sqlite3 desk.db .dump`, and `pg_dump --inserts --no-owner` without its comments and `\` lines.

#![allow(missing_docs, reason = "tests are named for what they show")]

use std::path::{Path, PathBuf};

use graphwarden::approvals::{Ask, Status};
use graphwarden::people::Person;
use graphwarden::store::{Database, Store};
use graphwarden_stand::Postgres;
use serde_json::json;

/// Within the windows of what the snapshots hold.
const THEN: i64 = 1_763_812_900_000;

/// The folders of all released versions.
fn versions() -> Vec<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let folders = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<PathBuf> = folders.filter(|path| path.join("sqlite.sql").is_file()).collect();
    assert!(!found.is_empty());
    found
}

async fn sqlite(file: &Path, dump: &str) -> Database {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(dump.to_owned())).execute(&pool).await.unwrap();
    pool.close().await;
    Database::Sqlite(file.to_owned())
}

fn postgres(server: &Postgres, dump: &str) -> Database {
    let url = server.database().unwrap();
    let database = Database::parse(&url).unwrap();
    let name = url.rsplit_once("localhost/").unwrap().1.split('?').next().unwrap();
    server.psql(name, dump).unwrap();
    database
}

/// What has to hold of an old database once it is up to date.
async fn is_whole(database: &Database) {
    let store = Store::open(database, false).await.unwrap();
    let old = store.approval("old-approved", THEN).await.unwrap().expect("an old approval is gone");
    assert_eq!((old.status, old.claimed_by.as_deref()), (Status::Approved, Some("x-old")));
    assert_eq!((old.asks.quorum, old.asks.valid_seconds, old.asks.expires_seconds), (1, 600, 3_600));
    assert_eq!(old.decisions[0].comment.as_deref(), Some("fine"));
    // The exchange that claimed it is still the only one, and what waited can be decided.
    let mia = Person {
        issuer: "https://idp.example".into(),
        subject: "mia".into(),
        name: None,
        email: Some("mia@example.com".into()),
        roles: vec!["manager".into()],
        groups: Vec::new(),
        token: None,
    };
    let given = serde_json::from_value(json!({"decision": "approve", "comment": "at last"})).unwrap();
    let decided = store.decide("old-pending", &mia, &given, THEN).await.unwrap();
    assert_eq!(decided.status, Status::Approved);
    let late = store.decide("old-approved", &mia, &given, THEN).await.unwrap_err();
    assert_eq!(late.code(), "decided_before");
    // New questions, in the same tables.
    let ask: Ask = serde_json::from_value(json!({
        "exchange": "x-new", "requester": {"issuer": "https://idp.example", "subject": "ana"},
        "operations": [{"operation": "store.put", "class": "write"}], "rule": "a rule", "policy": "ab",
        "digest": "cd".repeat(32), "preview": {}, "gateway": "gate-1",
        "asks": {"approvers": ["role:manager"], "quorum": 1, "valid_seconds": 600, "expires_seconds": 3600},
    }))
    .unwrap();
    assert_eq!(store.ask(&ask, THEN).await.unwrap().status, Status::Pending);
    store.is_ready(THEN).await.unwrap();
    store.close().await;
    // Again: nothing is left to do.
    Store::open(database, false).await.unwrap().close().await;
}

async fn refusal(database: &Database) -> String {
    match Store::open(database, false).await {
        Ok(_) => panic!("a changed migration was taken"),
        Err(error) => error.to_string(),
    }
}

/// Says that the first migration was another one when it was applied: the same as if the file had been edited since.
const EDITED: &str = "UPDATE _sqlx_migrations SET checksum = ";

#[tokio::test]
async fn every_released_sqlite_database_is_brought_up_to_date_and_an_edited_migration_refused() {
    for version in versions() {
        let folder = tempfile::tempdir().unwrap();
        let dump = std::fs::read_to_string(version.join("sqlite.sql")).unwrap();
        is_whole(&sqlite(&folder.path().join("desk.db"), &dump).await).await;
        let edited = format!("{dump}\n{EDITED} X'00' WHERE version = 1;");
        let error = refusal(&sqlite(&folder.path().join("edited.db"), &edited).await).await;
        assert!(error.contains("has been modified"), "{error}");
        let future = format!(
            "{dump}\nINSERT INTO _sqlx_migrations VALUES (9999, 'of a later version', '2030-01-01', 1, X'00', 1);"
        );
        let error = refusal(&sqlite(&folder.path().join("future.db"), &future).await).await;
        assert!(error.contains("9999"), "a database of a later version has to be refused: {error}");
    }
}

#[tokio::test]
async fn every_released_postgres_database_is_brought_up_to_date_and_an_edited_migration_refused() {
    let Some(server) = Postgres::start().await.unwrap() else { return };
    for version in versions() {
        let dump = std::fs::read_to_string(version.join("postgres.sql")).unwrap();
        is_whole(&postgres(&server, &dump)).await;
        let edited = format!("{dump}\n{EDITED} '\\x00' WHERE version = 1;")
            .replace(EDITED, "UPDATE public._sqlx_migrations SET checksum = ");
        let error = refusal(&postgres(&server, &edited)).await;
        assert!(error.contains("has been modified"), "{error}");
    }
}
