//! What rules ask for besides a quorum: seats, majorities, all of the request, standing grants, the way past
//! approvers, people with more than one token.

use std::sync::Arc;

use axum::http::StatusCode;
use graphwarden::clock::Clock;
use graphwarden::error::Error;
use graphwarden::people::Person;
use graphwarden::settings::Raw;
use serde_json::{Value, json};

use crate::room::{NOON, Room, ask, person};

fn asking(exchange: &str, more: Value) -> Value {
    let mut question = ask(exchange);
    question["asks"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    question
}

fn seats(exchange: &str) -> Value {
    let all_of =
        json!([{"approver": "role:manager", "count": 1}, {"approver": "group:security", "count": 2}]);
    asking(exchange, json!({"approvers": ["role:manager", "group:security"], "quorum": 3, "all_of": all_of}))
}

fn guard(subject: &str) -> Person {
    Person { groups: vec!["security".into()], ..person(subject, &[]) }
}

async fn id(room: &Room, question: &Value) -> String {
    room.ask(question).await.json()["id"].as_str().unwrap().to_owned()
}

async fn with_standing_grants() -> Room {
    Room::with(Raw { standing_grants: Some(true), ..Raw::default() }, Clock::standing_at(NOON)).await
}

fn code(result: Result<(), Error>) -> &'static str {
    result.unwrap_err().code()
}

#[tokio::test]
async fn seats_are_filled_by_distinct_people_of_each_group() {
    let room = Room::open().await;
    let id = id(&room, &seats("x1")).await;
    for one in [guard("gus"), guard("gil")] {
        room.decide(&id, &one, "approve").await.unwrap();
    }
    assert_eq!(room.ask(&seats("x1")).await.json()["status"], "pending");
    room.decide(&id, &guard("gwen"), "approve").await.unwrap();
    assert_eq!(room.ask(&seats("x1")).await.json()["status"], "pending", "three, and no manager");
    // A manager who is of security too sits where security cannot.
    let both = Person { groups: vec!["security".into()], ..person("max", &["manager"]) };
    room.decide(&id, &both, "approve").await.unwrap();
    let answer = room.ask(&seats("x1")).await.json();
    assert_eq!(
        (answer["status"].as_str(), answer["decisions"].as_array().unwrap().len()),
        (Some("approved"), 4)
    );
}

#[tokio::test]
async fn who_had_the_role_when_deciding_keeps_the_seat() {
    let room = Room::open().await;
    let id = id(&room, &seats("x1")).await;
    room.decide(&id, &person("max", &["manager"]), "approve").await.unwrap();
    // The same person cannot come back with another role for another seat.
    assert_eq!(code(room.decide(&id, &guard("max"), "approve").await), "decided_before");
    for one in [guard("gus"), guard("gil")] {
        room.decide(&id, &one, "approve").await.unwrap();
    }
    assert_eq!(room.ask(&seats("x1")).await.json()["status"], "approved");
}

#[tokio::test]
async fn a_majority_outvotes_a_denial_and_a_majority_denies() {
    for (votes, status) in
        [(["approve", "deny", "approve"], "approved"), (["deny", "approve", "deny"], "denied")]
    {
        let room = Room::open().await;
        let question = asking("x1", json!({"quorum": 2, "denial": "majority"}));
        let id = id(&room, &question).await;
        for (subject, word) in ["max", "mia", "moe"].iter().zip(votes) {
            room.decide(&id, &person(subject, &["manager"]), word).await.unwrap();
        }
        assert_eq!(room.ask(&question).await.json()["status"], status);
        assert_eq!(code(room.decide(&id, &person("may", &["manager"]), "deny").await), "late_decision");
    }
}

#[tokio::test]
async fn what_approvers_have_to_see_whole_is_refused_when_it_was_cut() {
    let room = Room::open().await;
    let mut question = asking("x1", json!({"preview": "full"}));
    assert_eq!(room.ask(&question).await.status, StatusCode::OK);
    question["exchange"] = "x2".into();
    question["preview"]["truncated"] = true.into();
    let refused = room.ask(&question).await;
    assert_eq!((refused.status, refused.reason().as_str()), (StatusCode::BAD_REQUEST, "malformed"));
}

#[tokio::test]
async fn standing_grants_are_off_until_the_desk_allows_them() {
    let room = Room::open().await;
    let refused = room.ask(&asking("x1", json!({"grant_seconds": 3_600}))).await;
    assert_eq!((refused.status, refused.reason().as_str()), (StatusCode::FORBIDDEN, "standing_grants_off"));
}

#[tokio::test]
async fn a_standing_grant_is_for_operations_and_ends_with_its_hour() {
    let room = with_standing_grants().await;
    let standing = |exchange: &str, byte: &str, graph: &str, thread: &str| {
        let mut question = asking(exchange, json!({"grant_seconds": 3_600}));
        question["digest"] = byte.repeat(64).into();
        question["operations"][0]["graph"] = graph.into();
        question["operations"][0]["thread"] = thread.into();
        question
    };
    let first = room.ask(&standing("x1", "a", "billing", "t-1")).await.json();
    assert_eq!((first["kind"].as_str(), first["status"].as_str()), (Some("standing"), Some("pending")));
    let id = first["id"].as_str().unwrap().to_owned();
    room.decide(&id, &person("max", &["manager"]), "approve").await.unwrap();
    for (exchange, byte, thread) in [("x1", "a", "t-1"), ("x2", "b", "t-2"), ("x3", "c", "t-3")] {
        let answer = room.ask(&standing(exchange, byte, "billing", thread)).await.json();
        assert_eq!((answer["id"].as_str(), answer["status"].as_str()), (Some(id.as_str()), Some("approved")));
    }
    // Another graph, another person and the usual kind are other questions.
    assert_eq!(room.ask(&standing("x4", "a", "payroll", "t-1")).await.json()["status"], "pending");
    let mut other = standing("x5", "a", "billing", "t-1");
    other["requester"]["subject"] = "eve".into();
    assert_eq!(room.ask(&other).await.json()["status"], "pending");
    assert_eq!(room.ask(&ask("x6")).await.json()["kind"], "request");
    assert_eq!(room.ask(&ask("x6")).await.json()["status"], "pending");
    room.clock.advance(3_600_000);
    let late = room.ask(&standing("x7", "d", "billing", "t-1")).await.json();
    assert_eq!(late["status"], "pending");
    assert_ne!(late["id"], id.as_str());
}

#[tokio::test]
async fn a_standing_grant_can_be_taken_back_and_nothing_else_can() {
    use graphwarden::approvals::RemarkKind::Revocation;
    let room = with_standing_grants().await;
    let question = asking("x1", json!({"grant_seconds": 3_600}));
    let granted = id(&room, &question).await;
    let max = person("max", &["manager"]);
    let revoke = async |id: &str, who: &Person| {
        room.desk.remark(id, who, Revocation, None, Some("done")).await.map(|_| ())
    };
    assert_eq!(code(revoke(&granted, &max).await), "late_decision", "nothing is granted yet");
    room.decide(&granted, &max, "approve").await.unwrap();
    assert_eq!(code(revoke(&granted, &person("eve", &["analyst"])).await), "not_an_approver");
    revoke(&granted, &person("mia", &["manager"])).await.unwrap();
    assert_eq!(code(revoke(&granted, &max).await), "late_decision");
    let mut again = question.clone();
    again["exchange"] = "x2".into();
    assert_eq!(room.ask(&again).await.json()["status"], "pending", "a new question");
    let plain = id(&room, &ask("x3")).await;
    room.decide(&plain, &max, "approve").await.unwrap();
    assert_eq!(code(revoke(&plain, &max).await), "nothing_to_revoke");
    let events: Vec<String> = room.events().await.into_iter().map(|(event, _)| event).collect();
    assert_eq!(events.iter().filter(|event| *event == "revocation").count(), 1);
    assert_eq!(events.iter().filter(|event| *event == "revocation_refused").count(), 4);
}

#[tokio::test]
async fn a_way_past_approvers_is_recorded_with_its_reason_and_reviewed_by_another() {
    use graphwarden::approvals::RemarkKind::Review;
    let room = Room::open().await;
    let question = asking("x1", json!({"break_glass": {"reason": "payroll is stuck, ticket 7"}}));
    let answer = room.ask(&question).await.json();
    assert_eq!((answer["status"].as_str(), answer["kind"].as_str()), (Some("approved"), Some("break_glass")));
    assert_eq!(answer["decisions"][0]["decision"], "break_glass");
    assert_eq!(answer["decisions"][0]["approver"]["subject"], "ana");
    assert_eq!(answer["decisions"][0]["comment"], "payroll is stuck, ticket 7");
    assert_eq!(room.ask(&question).await.json(), answer, "the same exchange, the same answer");
    let mut other = question.clone();
    other["exchange"] = "x2".into();
    assert_ne!(room.ask(&other).await.json()["id"], answer["id"], "each time is one of its own");
    let ledger = room.ledger().await;
    let entry: Value = serde_json::from_slice(&ledger[0]).unwrap();
    assert_eq!(
        (entry["event"].as_str(), entry["actor"]["subject"].as_str()),
        (Some("break_glass"), Some("ana"))
    );
    assert_eq!(entry["approval"]["comment"], "payroll is stuck, ticket 7");

    let id = answer["id"].as_str().unwrap();
    let review = async |who: &Person, verdict: &str, comment: Option<&str>| {
        room.desk.remark(id, who, Review, Some(verdict), comment).await.map(|_| ())
    };
    let max = person("max", &["manager"]);
    assert_eq!(code(review(&person("ana", &["manager"]), "accepted", None).await), "own_request");
    assert_eq!(code(review(&person("eve", &[]), "accepted", None).await), "not_an_approver");
    assert_eq!(code(review(&max, "objected", Some(" ")).await), "malformed");
    assert_eq!(code(review(&max, "fine", None).await), "malformed");
    review(&max, "objected", Some("there is no ticket 7")).await.unwrap();
    assert_eq!(code(review(&person("mia", &["manager"]), "accepted", None).await), "reviewed_before");
    assert_eq!(code(room.decide(id, &max, "deny").await), "late_decision");
}

#[tokio::test]
async fn a_second_token_of_the_requester_is_still_the_requester() {
    let raw =
        Raw { same_subjects: vec!["https://partner.example=https://idp.example".into()], ..Raw::default() };
    let room = Room::with(raw, Clock::standing_at(NOON)).await;
    let id = id(&room, &ask("x1")).await;
    let twin = Person {
        issuer: "https://partner.example".into(),
        email: None,
        ..person("ana", &["manager", "admin"])
    };
    assert_eq!(code(room.decide(&id, &twin, "approve").await), "own_request");
    let stranger = Person { issuer: "https://elsewhere.example".into(), ..twin.clone() };
    room.decide(&id, &stranger, "approve").await.unwrap();
}

#[tokio::test]
async fn a_gateway_that_knows_no_id_withdraws_by_its_exchange() {
    let room = Arc::new(Room::open().await);
    let waiting = {
        let room = Arc::clone(&room);
        tokio::spawn(async move { room.ask_waiting(&ask("x1"), "wait=20").await })
    };
    while room.desk.waiting.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let gone = axum::http::Request::delete("/v1/approvals?exchange=x1")
        .header("authorization", format!("Bearer {}", crate::room::TOKEN))
        .body(axum::body::Body::empty())
        .unwrap();
    assert_eq!(room.send(gone).await.status, StatusCode::NO_CONTENT);
    let answer = tokio::time::timeout(std::time::Duration::from_secs(5), waiting).await.unwrap().unwrap();
    assert_eq!(answer.json()["status"], "cancelled");
}
