//! A desk over a database of its own, spoken to through `app()`. Which kind of database is up to the binary.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use graphwarden::app::{Desk, app};
use graphwarden::clock::Clock;
use graphwarden::log::LogKey;
use graphwarden::people::Person;
use graphwarden::settings::{Raw, Settings};
use graphwarden::store::{Database, Store};
use graphwarden_stand::{Issuer, Postgres};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

pub(crate) const TOKEN: &str = "gateway-token-for-tests";
pub(crate) const NOON: i64 = 1_763_812_800_000;

pub(crate) struct Room {
    pub(crate) desk: Desk,
    pub(crate) app: Router,
    pub(crate) clock: Clock,
    pub(crate) database: Database,
    directory: TempDir,
    server: Option<&'static Postgres>,
}

/// The databases that the desk runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "each binary has one of them")]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// The server of this process; it ends with the process, and removes its files.
static SERVER: tokio::sync::OnceCell<Postgres> = tokio::sync::OnceCell::const_new();

/// The server, where this binary is about PostgreSQL. Where none is installed the whole binary is left out.
async fn server() -> Option<&'static Postgres> {
    if crate::KIND == Kind::Sqlite {
        return None;
    }
    let start = async || match Postgres::start().await.unwrap() {
        Some(server) => server,
        None => std::process::exit(0),
    };
    Some(SERVER.get_or_init(start).await)
}

/// What every desk of the tests finds in its environment.
pub(crate) fn environment(name: &str) -> Option<String> {
    match name {
        "GRAPHWARDEN_TOKEN" => Some(TOKEN.to_owned()),
        "SECRET" => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        _ => None,
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The stable code of a problem, after checking its shape.
    pub(crate) fn reason(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        let reason = problem["reason"].as_str().unwrap().to_owned();
        assert_eq!(problem["type"], format!("urn:graphwarden:problem:{reason}"));
        assert!(problem["detail"].is_string() && problem["title"].is_string());
        reason
    }
}

impl Room {
    pub(crate) async fn open() -> Self {
        Self::with(Raw::default(), Clock::standing_at(NOON)).await
    }

    /// A desk whose people come from `issuer`, whose tokens carry the real time.
    pub(crate) async fn with_people(issuer: &Issuer) -> Self {
        let raw = Raw {
            issuer: Some(issuer.url().to_owned()),
            audiences: vec![issuer.audience().to_owned()],
            ..Raw::default()
        };
        let now = i64::try_from(graphwarden_stand::unix_now()).unwrap() * 1_000;
        Self::with(raw, Clock::standing_at(now)).await
    }

    pub(crate) async fn with(raw: Raw, clock: Clock) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = server().await;
        let database = match &server {
            Some(server) => server.database().unwrap(),
            None => directory.path().join("desk.db").display().to_string(),
        };
        let raw = Raw { database: Some(database), ..raw };
        let environment = |name: &str| match name {
            // Beside a file the key is in a file too; replicas are given theirs.
            "GRAPHWARDEN_LOG_KEY" => server.is_some().then(LogKey::new_private),
            name => self::environment(name),
        };
        let settings = Settings::resolve(raw, &environment).unwrap();
        let database = settings.database.clone();
        let store = Store::open(&database, true).await.unwrap();
        let desk = Desk::new(settings, store, clock.clone()).unwrap();
        Self { app: app(desk.clone()), desk, clock, database, directory, server }
    }

    /// The same desk, which tells others.
    pub(crate) async fn tell(&mut self, notify: graphwarden::notify::Notify) {
        let store = Store::open(&self.database, false).await.unwrap();
        let settings = Settings { notify, ..(*self.desk.settings).clone() };
        self.desk = Desk::new(settings, store, self.clock.clone()).unwrap();
        self.app = app(self.desk.clone());
    }

    /// Another desk over the same database: what is left after a crash, or a replica.
    pub(crate) async fn beside(&self) -> (Desk, Router) {
        let store = Store::open(&self.database, false).await.unwrap();
        let desk = Desk::new((*self.desk.settings).clone(), store, self.clock.clone()).unwrap();
        (desk.clone(), app(desk))
    }

    /// A copy of the database as it is now, as a backup makes it.
    pub(crate) async fn copy(&self) -> Database {
        match (&self.database, &self.server) {
            (Database::Postgres(url), Some(server)) => {
                let name = Path::new(url.path()).file_name().unwrap().to_str().unwrap();
                server.copy_of(name).map(|url| Database::parse(&url).unwrap()).unwrap()
            }
            _ => {
                let old = self.file("old.db");
                self.tamper(&format!("VACUUM INTO '{}'", old.display())).await.unwrap();
                Database::Sqlite(old)
            }
        }
    }

    /// A path for a file of this test.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs SQL as someone would who has the database to themselves; what the database says against it.
    pub(crate) async fn tamper(&self, sql: &str) -> Result<(), String> {
        match (&self.database, &self.server) {
            (Database::Postgres(url), Some(server)) => {
                let name = Path::new(url.path()).file_name().unwrap().to_str().unwrap();
                server.psql(name, sql).map(|_| ()).map_err(|error| error.to_string())
            }
            (Database::Sqlite(path), _) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
                let done = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&pool).await;
                pool.close().await;
                done.map(|_| ()).map_err(|error| error.to_string())
            }
            (Database::Postgres(_), None) => unreachable!("a PostgreSQL of another's"),
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes =
            tokio::time::timeout(Duration::from_secs(30), to_bytes(body, usize::MAX)).await.unwrap().unwrap();
        Reply { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.into()).unwrap() }
    }

    /// Status, headers and bytes of an answer that need be no text.
    pub(crate) async fn answer(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Vec<u8>) {
        let (parts, body) = self.app.clone().oneshot(request).await.unwrap().into_parts();
        let bytes =
            tokio::time::timeout(Duration::from_secs(30), to_bytes(body, usize::MAX)).await.unwrap().unwrap();
        (parts.status, parts.headers, bytes.into())
    }

    /// Status and bytes of a page that need be no text.
    pub(crate) async fn raw(&self, path: &str) -> (StatusCode, Vec<u8>) {
        let answer = self.answer(Request::get(path).body(Body::empty()).unwrap()).await;
        (answer.0, answer.2)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn ask(&self, ask: &Value) -> Reply {
        self.ask_waiting(ask, "wait=0").await
    }

    pub(crate) async fn ask_waiting(&self, ask: &Value, prefer: &str) -> Reply {
        let request = Request::post("/v1/approvals")
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", "application/json")
            .header("prefer", prefer)
            .body(Body::from(ask.to_string()))
            .unwrap();
        self.send(request).await
    }

    pub(crate) async fn withdraw(&self, id: &str, exchange: &str) -> Reply {
        let request = Request::delete(format!("/v1/approvals/{id}?exchange={exchange}"))
            .header("authorization", format!("Bearer {TOKEN}"))
            .body(Body::empty())
            .unwrap();
        self.send(request).await
    }

    pub(crate) async fn hand_in(&self, batch: impl Into<Body>) -> Reply {
        let request = Request::post("/v1/evidence")
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", "application/x-ndjson")
            .body(batch.into())
            .unwrap();
        self.send(request).await
    }

    /// Every line of the ledger.
    pub(crate) async fn ledger(&self) -> Vec<Vec<u8>> {
        use futures::TryStreamExt;
        self.desk.store.lines(i64::MIN, i64::MAX).try_collect().await.unwrap()
    }

    /// The events of the desk's own chain, in order, with their reasons.
    pub(crate) async fn events(&self) -> Vec<(String, Option<String>)> {
        let lines = self.ledger().await;
        let entries = lines.iter().map(|line| serde_json::from_slice::<Value>(line).unwrap());
        entries
            .filter(|entry| entry["kind"] == "desk")
            .map(|entry| {
                (entry["event"].as_str().unwrap().to_owned(), entry["reason"].as_str().map(str::to_owned))
            })
            .collect()
    }

    /// Calls the people's API with a token.
    pub(crate) async fn call(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Reply {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
            .unwrap();
        self.send(request).await
    }

    /// Decides as `person`, as the API and the pages do.
    pub(crate) async fn decide(
        &self,
        id: &str,
        person: &Person,
        word: &str,
    ) -> Result<(), graphwarden::error::Error> {
        let given = serde_json::from_value(json!({"decision": word})).unwrap();
        self.desk.decide(id, person, &given).await.map(|_| ())
    }
}

/// What a gateway sends when analyst Ana runs the billing graph.
pub(crate) fn ask(exchange: &str) -> Value {
    json!({
        "exchange": exchange,
        "requester": {"issuer": "https://idp.example", "subject": "ana", "name": "Ana Analyst",
                      "email": "ana@example.com", "roles": ["analyst"]},
        "operations": [{"operation": "threads.create_run", "class": "execute", "graph": "billing", "thread": "t-1"}],
        "rule": "production writes need a manager",
        "asks": {"approvers": ["role:manager"], "quorum": 1, "valid_seconds": 600, "expires_seconds": 3600},
        "policy": "ab".repeat(32),
        "digest": "cd".repeat(32),
        "preview": {"method": "POST", "path": "/threads/t-1/runs", "body": "{\"assistant_id\":\"billing\"}", "truncated": false},
        "gateway": "gate-1"
    })
}

pub(crate) fn person(subject: &str, roles: &[&str]) -> Person {
    Person {
        issuer: "https://idp.example".into(),
        subject: subject.into(),
        name: Some(format!("{subject} of the tests")),
        email: Some(format!("{subject}@example.com")),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        groups: Vec::new(),
        token: None,
    }
}
