//! The ledger for auditors: search, one record, and what does not add up.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Html;
use axum::routing::get;
use graphwarden_policies::evidence::hex;
use serde::Deserialize;
use serde_json::Value;

use super::words::{self, Piece};
use super::{Frame, PageError, is_auditor, render, replay};
use crate::app::Desk;
use crate::clock::parse_time;
use crate::error::Error;
use crate::people::{Person, SignedIn};
use crate::store::{Event, LineRow, Search};

/// Lines a page.
const PAGE: u32 = 50;
/// Lines of one exchange that are looked at for its page: a stream has many segments.
const SEGMENTS: u32 = 2_000;

pub(super) fn router() -> Router<Desk> {
    Router::new()
        .route("/evidence", get(search))
        .route("/evidence/{position}", get(show))
        .route("/findings", get(findings))
}

pub(super) fn check(desk: &Desk, person: &Person) -> Result<(), Error> {
    if is_auditor(desk, person) {
        return Ok(());
    }
    Err(Error::Role { needed: desk.settings.auditor_roles.join(", "), have: person.roles_in_words() })
}

/// A line in the search's results.
struct Row {
    position: i64,
    at: String,
    at_words: String,
    kind: String,
    who: String,
    what: String,
    effect: String,
    status: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Wanted {
    person: String,
    operation: String,
    thread: String,
    effect: String,
    kind: String,
    from: String,
    to: String,
    before: Option<i64>,
}

#[derive(Template)]
#[template(path = "evidence.html")]
struct EvidencePage {
    frame: Frame,
    wanted: Wanted,
    rows: Vec<Row>,
    size: i64,
    /// The query of the next page.
    next: Option<String>,
    /// A date that could not be read.
    wrong: Option<String>,
    kinds: [&'static str; 5],
    effects: [&'static str; 2],
}

async fn search(
    State(desk): State<Desk>,
    signed_in: SignedIn,
    Query(wanted): Query<Wanted>,
) -> Result<Html<String>, PageError> {
    check(&desk, &signed_in.session.person)?;
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let mut wrong = None;
    let mut time = |text: &str, days: i64| {
        let text = given(text)?;
        let at = parse_time(&text);
        if at.is_none() {
            wrong = Some(format!("“{text}” is not a date such as 2026-11-22."));
        }
        at.map(|at| at + days * 86_400_000)
    };
    let search = Search {
        from: time(&wanted.from, 0),
        // People mean the whole day.
        to: time(&wanted.to, 1),
        person: given(&wanted.person),
        operation: given(&wanted.operation),
        thread: given(&wanted.thread),
        exchange: None,
        effect: given(&wanted.effect),
        kind: given(&wanted.kind),
        before: wanted.before,
    };
    let now = desk.clock.now();
    let lines = desk.store.search(&search, PAGE).await?;
    // Who reads evidence is evidence. What they searched for is not repeated: it may hold a person's name.
    let detail = format!("{} lines shown", lines.len());
    let event = Event {
        person: Some(&signed_in.session.person),
        detail: Some(&detail),
        ..Event::new("evidence_read")
    };
    desk.store.record(&event, now).await?;
    let next = (lines.len() == PAGE as usize).then(|| next_query(&wanted, lines.last())).flatten();
    let page = EvidencePage {
        frame: Frame::new(&desk, &signed_in.session, "Evidence", "evidence"),
        rows: lines.iter().map(row).collect(),
        size: desk.store.ledger_size().await?,
        next,
        wrong,
        wanted,
        kinds: ["admission", "segment", "outcome", "start", "desk"],
        effects: ["allow", "deny"],
    };
    Ok(render(&page)?)
}

fn next_query(wanted: &Wanted, last: Option<&LineRow>) -> Option<String> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in [
        ("person", &wanted.person),
        ("operation", &wanted.operation),
        ("thread", &wanted.thread),
        ("effect", &wanted.effect),
        ("kind", &wanted.kind),
        ("from", &wanted.from),
        ("to", &wanted.to),
    ] {
        if !value.is_empty() {
            query.append_pair(name, value);
        }
    }
    query.append_pair("before", &last?.position.to_string());
    Some(query.finish())
}

fn row(line: &LineRow) -> Row {
    let record: Value = serde_json::from_slice(&line.line).unwrap_or_default();
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let at = text("/at");
    let who = [text("/actor/name"), text("/actor/email"), text("/actor/subject")]
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or_default();
    let operation = record
        .pointer("/operations/0")
        .and_then(|operation| serde_json::from_value(operation.clone()).ok())
        .map(|operation| words::operation(&operation));
    let what = operation.unwrap_or_else(|| {
        let request = format!("{} {}", text("/request/method"), text("/request/path"));
        match request.trim() {
            "" => words::sentence(&text("/event").replace('_', " ")).trim_end_matches('.').to_owned(),
            request => request.to_owned(),
        }
    });
    Row {
        position: line.position,
        at_words: parse_time(&at).map(words::time).unwrap_or_default(),
        at,
        kind: text("/kind"),
        who,
        what,
        effect: [text("/decision/effect"), text("/approval/decision")]
            .into_iter()
            .find(|effect| !effect.is_empty())
            .unwrap_or_default(),
        status: record.pointer("/response/status").map(ToString::to_string).unwrap_or_default(),
    }
}

fn is_segment(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Kind<'a> {
        kind: &'a str,
    }
    serde_json::from_slice::<Kind<'_>>(line).is_ok_and(|line| line.kind == "segment")
}

#[derive(Template)]
#[template(path = "record.html")]
struct RecordPage {
    frame: Frame,
    row: Row,
    chain: String,
    seq: i64,
    hash: String,
    received_words: String,
    /// Whether retention has taken the contents.
    gone: bool,
    pieces: Vec<Piece>,
    approval: Option<replay::Met>,
    replay: Vec<replay::Piece>,
    replay_cut: bool,
    related: Vec<Row>,
}

async fn show(
    State(desk): State<Desk>,
    signed_in: SignedIn,
    Path(position): Path<i64>,
) -> Result<Html<String>, PageError> {
    check(&desk, &signed_in.session.person)?;
    let line = desk.store.line(position).await?.ok_or(Error::NotFound)?;
    let record: Value = serde_json::from_slice(&line.line).unwrap_or_default();
    let exchange = record["exchange"].as_str().filter(|exchange| !exchange.is_empty());
    let (related, segments) = match exchange {
        Some(exchange) => {
            let search = Search { exchange: Some(exchange.to_owned()), ..Search::default() };
            let (segments, related): (Vec<_>, Vec<_>) = desk
                .store
                .search(&search, SEGMENTS)
                .await?
                .into_iter()
                .partition(|line| is_segment(&line.line));
            // The newest come first.
            (related, segments.into_iter().rev().map(|line| line.line).collect())
        }
        None => (Vec::new(), Vec::new()),
    };
    let records: Vec<Value> =
        related.iter().filter_map(|line| serde_json::from_slice(&line.line).ok()).collect();
    let outcome = records.iter().find(|record| record["kind"] == "outcome");
    let (replay, replay_cut) = replay::pieces(&segments, outcome);
    let approval = replay::approval(&record).or_else(|| replay::approval(outcome?));
    let detail = format!("record {position}");
    let event = Event {
        person: Some(&signed_in.session.person),
        detail: Some(&detail),
        ..Event::new("evidence_read")
    };
    desk.store.record(&event, desk.clock.now()).await?;
    let page = RecordPage {
        frame: Frame::new(&desk, &signed_in.session, format!("Record {position}"), "evidence"),
        row: row(&line),
        hash: hex(&line.hash),
        received_words: words::time(line.received_at),
        gone: line.line.is_empty(),
        pieces: words::pieces(&words::pretty(&String::from_utf8_lossy(&line.line))),
        approval,
        replay,
        replay_cut,
        related: related.iter().filter(|other| other.position != position).map(row).collect(),
        chain: line.chain,
        seq: line.seq,
    };
    Ok(render(&page)?)
}

fn told(at: &Option<i64>) -> String {
    at.map(words::time).unwrap_or_default()
}

#[derive(Template)]
#[template(path = "findings.html")]
struct FindingsPage {
    frame: Frame,
    contradictions: Vec<crate::store::Finding>,
    clocks: Vec<crate::store::Finding>,
    gaps: Vec<crate::store::Gap>,
    /// Exchange, when it was admitted, and the position of its admission.
    unfinished: Vec<(String, String, i64)>,
    unpublished: Vec<(String, String, u64)>,
}

async fn findings(State(desk): State<Desk>, signed_in: SignedIn) -> Result<Html<String>, PageError> {
    check(&desk, &signed_in.session.person)?;
    let event = Event {
        person: Some(&signed_in.session.person),
        detail: Some("findings"),
        ..Event::new("evidence_read")
    };
    desk.store.record(&event, desk.clock.now()).await?;
    let (contradictions, clocks): (Vec<_>, Vec<_>) =
        desk.store.findings(200).await?.into_iter().partition(|finding| finding.kind == "contradiction");
    let publications = desk.store.publications().await?;
    let page = FindingsPage {
        frame: Frame::new(&desk, &signed_in.session, "Findings", "findings"),
        contradictions,
        clocks,
        gaps: desk.store.gaps().await?,
        unfinished: desk
            .store
            .unfinished(100)
            .await?
            .into_iter()
            .map(|(exchange, at, position)| (exchange, words::time(at), position))
            .collect(),
        unpublished: publications
            .into_iter()
            .filter_map(|(target, publication)| {
                Some((target, words::time(publication.failed_since?), publication.size))
            })
            .collect(),
    };
    Ok(render(&page)?)
}
