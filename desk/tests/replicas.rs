//! Two desks over one PostgreSQL, on sockets of their own: what one is told the other knows, without delay.

#![allow(missing_docs, reason = "tests are named for what they show")]

#[allow(dead_code, reason = "shared with the other tests of the desk")]
#[path = "desk/room.rs"]
mod room;

use std::time::{Duration, Instant};

use axum::http::Request;
use graphwarden::clock::Clock;
use room::{Room, TOKEN, ask, person};
use serde_json::Value;
use tower::ServiceExt;

/// What the desk of these tests runs over.
const KIND: room::Kind = room::Kind::Postgres;

async fn poll(app: axum::Router, exchange: &str) -> Value {
    let request = Request::post("/v1/approvals")
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", "application/json")
        .header("prefer", "wait=20")
        .body(axum::body::Body::from(ask(exchange).to_string()))
        .unwrap();
    let response = app.oneshot(request).await.unwrap();
    serde_json::from_slice(&axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_long_poll_at_one_hears_a_decision_at_the_other_at_once() {
    let room = Room::open().await;
    let (other, _) = room.beside().await;
    let id = room.ask(&ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    let waiting = tokio::spawn(poll(room.app.clone(), "x1"));
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!waiting.is_finished());
    let given = serde_json::from_value(serde_json::json!({"decision": "approve"})).unwrap();
    other.decide(&id, &person("max", &["manager"]), &given).await.unwrap();
    let decided = Instant::now();
    let answer = waiting.await.unwrap();
    assert_eq!(answer["status"], "approved");
    // Far from the end of the poll, which is what would come without the announcement.
    assert!(decided.elapsed() < Duration::from_secs(5), "{:?}", decided.elapsed());
}

#[tokio::test]
async fn one_grant_is_claimed_once_whichever_replica_is_asked() {
    let room = Room::open().await;
    let (_, beside) = room.beside().await;
    let id = room.ask(&ask("x0")).await.json()["id"].as_str().unwrap().to_owned();
    let polls: Vec<_> = (0..8)
        .map(|n| {
            let app = if n % 2 == 0 { room.app.clone() } else { beside.clone() };
            tokio::spawn(async move { poll(app, &format!("x{n}")).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(600)).await;
    room.decide(&id, &person("max", &["manager"]), "approve").await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    // The others have met the next approval with the same bytes, and still wait.
    let newest = graphwarden::store::Filter { limit: 5, ..Default::default() };
    let next = room.desk.store.approvals(&newest, room.clock.now()).await.unwrap().approvals;
    assert_eq!(next.len(), 2, "one claimed, one open");
    assert!(next[1].claimed_by.is_some() && next[0].claimed_by.is_none());
    room.decide(&next[0].id, &person("max", &["manager"]), "deny").await.unwrap();
    let mut answers = Vec::new();
    for poll in polls {
        answers.push(poll.await.unwrap()["status"].as_str().unwrap().to_owned());
    }
    assert_eq!(answers.iter().filter(|status| *status == "approved").count(), 1, "{answers:?}");
}

#[tokio::test]
async fn listening_goes_on_after_the_database_dropped_the_connections() {
    let room = Room::open().await;
    let (other, _) = room.beside().await;
    let id = room.ask(&ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    let waiting = tokio::spawn(poll(room.app.clone(), "x1"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let drop = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                AND pid <> pg_backend_pid()";
    room.tamper(drop).await.unwrap();
    let given: graphwarden::approvals::Given =
        serde_json::from_value(serde_json::json!({"decision": "approve"})).unwrap();
    // The first attempt may meet a connection that is gone.
    let max = person("max", &["manager"]);
    for _ in 0..5 {
        if other.decide(&id, &max, &given).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let answer = tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
    assert_eq!(answer["status"], "approved");
}

#[tokio::test]
async fn replicas_take_the_time_from_their_database() {
    let room = Room::open().await;
    let clock = Clock::system();
    let wrong = graphwarden::clock::machine() - 3_600_000;
    let offset = room.desk.store.clock_offset(wrong).await.unwrap();
    assert!((3_595_000..3_605_000).contains(&offset), "{offset}");
    clock.follow(offset);
    assert!(clock.now() - graphwarden::clock::machine() > 3_590_000);
}

#[tokio::test]
async fn a_line_handed_in_at_both_is_kept_once() {
    let room = Room::open().await;
    let (_, beside) = room.beside().await;
    let line = |seq: u64, prev: &str| {
        format!(
            r#"{{"v":1,"chain":"c","seq":{seq},"prev":"{prev}","kind":"admission","exchange":"e{seq}","at":"2026-11-22T10:00:00.000000Z"}}"#
        )
    };
    let first = line(0, &"0".repeat(64));
    let second = line(
        1,
        &graphwarden_policies::evidence::hex(&graphwarden_policies::evidence::link_hash(first.as_bytes())),
    );
    let hand_in = async |app: axum::Router, batch: String| {
        let request = Request::post("/v1/evidence")
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", "application/x-ndjson")
            .body(axum::body::Body::from(batch))
            .unwrap();
        let response = app.oneshot(request).await.unwrap();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()
    };
    assert_eq!(hand_in(room.app.clone(), first.clone()).await["accepted"], 1);
    assert_eq!(hand_in(beside.clone(), format!("{first}\n{second}")).await["duplicates"], 1);
    // The first desk has not seen the second line, and must not take it for new.
    assert_eq!(hand_in(room.app.clone(), second.clone()).await["duplicates"], 1);
    let forged = line(1, &"1".repeat(64));
    assert_eq!(hand_in(room.app.clone(), forged).await["reason"], "chain_contradiction");
}
