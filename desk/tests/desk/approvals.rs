//! Approvals as a gateway meets them.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::room::{Room, TOKEN, ask, person};

async fn status_of(room: &Room, request: &Value) -> String {
    let reply = room.ask(request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    reply.json()["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_new_request_is_pending_with_an_id_and_a_url() {
    let room = Room::open().await;
    let reply = room.ask(&ask("x1")).await;
    let answer = reply.json();
    assert_eq!(answer["status"], "pending");
    let id = answer["id"].as_str().unwrap();
    assert_eq!(answer["url"], format!("http://127.0.0.1:8400/approvals/{id}"));
    assert_eq!(answer["decisions"], json!([]));
    assert_eq!(reply.headers["preference-applied"], "wait=0");
}

#[tokio::test]
async fn the_same_exchange_gets_the_same_answer() {
    let room = Room::open().await;
    let first = room.ask(&ask("x1")).await.json();
    assert_eq!(room.ask(&ask("x1")).await.json(), first);
    let id = first["id"].as_str().unwrap();
    room.decide(id, &person("max", &["manager"]), "approve").await.unwrap();
    let approved = room.ask(&ask("x1")).await.json();
    assert_eq!(approved["status"], "approved");
    assert_eq!(approved["decisions"][0]["approver"]["subject"], "max");
    room.clock.advance(3_600_000);
    assert_eq!(
        room.ask(&ask("x1")).await.json(),
        approved,
        "a claim is final, however late it is asked about"
    );
}

#[tokio::test]
async fn the_same_bytes_as_a_new_exchange_meet_the_open_approval() {
    let room = Room::open().await;
    let first = room.ask(&ask("x1")).await.json();
    assert_eq!(room.ask(&ask("x2")).await.json()["id"], first["id"]);
}

#[tokio::test]
async fn other_bytes_person_policy_rule_operation_or_demand_are_another_approval() {
    let room = Room::open().await;
    let mut ids = vec![room.ask(&ask("x0")).await.json()["id"].clone()];
    let changes = [
        ("/digest", json!("ef".repeat(32))),
        ("/policy", json!("other")),
        ("/rule", json!("other")),
        ("/requester/subject", json!("bob")),
        ("/requester/issuer", json!("https://other.example")),
        ("/operations/0/graph", json!("support")),
        ("/asks/quorum", json!(2)),
        ("/asks/approvers", json!(["role:manager", "role:analyst"])),
    ];
    for (index, (place, value)) in changes.into_iter().enumerate() {
        let mut request = ask(&format!("y{index}"));
        *request.pointer_mut(place).unwrap() = value;
        let id = room.ask(&request).await.json()["id"].clone();
        assert!(!ids.contains(&id), "{place} is not bound");
        ids.push(id);
    }
}

#[tokio::test]
async fn an_exchange_id_cannot_be_used_for_another_request() {
    let room = Room::open().await;
    room.ask(&ask("x1")).await;
    let mut other = ask("x1");
    other["digest"] = json!("ef".repeat(32));
    let reply = room.ask(&other).await;
    assert_eq!((reply.status, reply.reason().as_str()), (StatusCode::CONFLICT, "exchange_reused"));
}

#[tokio::test]
async fn one_grant_is_claimed_by_one_exchange() {
    let room = Room::open().await;
    let id = room.ask(&ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    room.ask(&ask("x2")).await;
    room.decide(&id, &person("max", &["manager"]), "approve").await.unwrap();
    assert_eq!(status_of(&room, &ask("x2")).await, "approved");
    let other = room.ask(&ask("x1")).await.json();
    assert_eq!(other["status"], "pending");
    assert_ne!(other["id"], id, "the other exchange needs a decision of its own");
    assert_eq!(room.ask(&ask("x1")).await.json(), other);
}

#[tokio::test]
async fn a_grant_waits_for_the_same_bytes_to_come_back() {
    let room = Room::open().await;
    let id = room.ask(&ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    room.decide(&id, &person("max", &["manager"]), "approve").await.unwrap();
    room.clock.advance(599_999);
    let claimed = room.ask(&ask("x2")).await.json();
    assert_eq!((&claimed["status"], &claimed["id"]), (&json!("approved"), &json!(id)));
}

#[tokio::test]
async fn a_grant_that_nobody_used_in_time_is_worth_nothing() {
    let room = Room::open().await;
    let id = room.ask(&ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    room.decide(&id, &person("max", &["manager"]), "approve").await.unwrap();
    room.clock.advance(600_000);
    assert_eq!(status_of(&room, &ask("x1")).await, "expired");
    let fresh = room.ask(&ask("x2")).await.json();
    assert_eq!(fresh["status"], "pending");
    assert_ne!(fresh["id"], id);
}

#[tokio::test]
async fn repeating_never_extends_the_window() {
    let room = Room::open().await;
    let id = room.ask(&ask("x1")).await.json()["id"].clone();
    for minute in 1..60 {
        room.clock.advance(60_000);
        assert_eq!(room.ask(&ask(&format!("r{minute}"))).await.json()["id"], id);
    }
    room.clock.advance(60_000);
    assert_eq!(status_of(&room, &ask("x1")).await, "expired");
    let late = room.decide(id.as_str().unwrap(), &person("max", &["manager"]), "approve").await.unwrap_err();
    assert_eq!(late.code(), "late_decision");
}

#[tokio::test]
async fn one_denial_ends_it_whatever_others_said() {
    let room = Room::open().await;
    let mut request = ask("x1");
    request["asks"]["quorum"] = json!(2);
    let id = room.ask(&request).await.json()["id"].as_str().unwrap().to_owned();
    room.decide(&id, &person("max", &["manager"]), "approve").await.unwrap();
    room.decide(&id, &person("mia", &["manager"]), "deny").await.unwrap();
    let answer = room.ask(&request).await.json();
    assert_eq!(answer["status"], "denied");
    assert_eq!(answer["decisions"].as_array().unwrap().len(), 2);
    let late = room.decide(&id, &person("moe", &["manager"]), "approve").await.unwrap_err();
    assert_eq!(late.code(), "late_decision");
}

#[tokio::test]
async fn a_quorum_counts_people_not_roles_tokens_or_mailboxes() {
    let room = Room::open().await;
    let mut request = ask("x1");
    request["asks"] = json!({"approvers": ["role:manager", "role:security", "subject:max"], "quorum": 2,
                             "valid_seconds": 600, "expires_seconds": 3600});
    let id = room.ask(&request).await.json()["id"].as_str().unwrap().to_owned();
    let max = person("max", &["manager", "security"]);
    room.decide(&id, &max, "approve").await.unwrap();
    assert_eq!(status_of(&room, &request).await, "pending");
    assert_eq!(room.decide(&id, &max, "approve").await.unwrap_err().code(), "decided_before");
    let mut elsewhere = max.clone();
    elsewhere.issuer = "https://other.example".into();
    elsewhere.subject = "4711".into();
    elsewhere.email = Some("MAX@example.com".into());
    assert_eq!(room.decide(&id, &elsewhere, "approve").await.unwrap_err().code(), "decided_before");
    room.decide(&id, &person("mia", &["security"]), "approve").await.unwrap();
    assert_eq!(status_of(&room, &request).await, "approved");
}

#[tokio::test]
async fn nobody_decides_about_their_own_request() {
    let room = Room::open().await;
    let id = room.ask(&ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    let ana = person("ana", &["manager", "admin"]);
    for word in ["approve", "deny"] {
        assert_eq!(room.decide(&id, &ana, word).await.unwrap_err().code(), "own_request");
    }
    let mut alias = person("someone", &["manager"]);
    alias.issuer = "https://other.example".into();
    alias.email = Some("Ana@Example.com".into());
    assert_eq!(room.decide(&id, &alias, "approve").await.unwrap_err().code(), "own_request");
    assert_eq!(status_of(&room, &ask("x1")).await, "pending");
}

#[tokio::test]
async fn who_is_not_asked_is_told_who_is() {
    let room = Room::open().await;
    let id = room.ask(&ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    let error = room.decide(&id, &person("eve", &["analyst", "intern"]), "approve").await.unwrap_err();
    assert_eq!(error.code(), "not_an_approver");
    let text = error.to_string();
    assert!(text.contains("the role manager") && text.contains("analyst, intern"), "{text}");
}

#[tokio::test]
async fn a_poll_is_woken_by_the_decision() {
    let room = Room::open().await;
    let id = room.ask(&ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    let request = ask("x1");
    let (answer, ()) = tokio::join!(room.ask_waiting(&request, "wait=20"), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        room.decide(&id, &person("max", &["manager"]), "approve").await.unwrap();
    });
    assert_eq!(answer.json()["status"], "approved");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(room.desk.waiting.is_empty());
}

#[tokio::test]
async fn of_many_polls_one_gets_the_grant() {
    let room = Room::open().await;
    let id = room.ask(&ask("x0")).await.json()["id"].as_str().unwrap().to_owned();
    let asks: Vec<Value> = (0..8).map(|index| ask(&format!("x{index}"))).collect();
    let polls = futures::future::join_all(asks.iter().map(|request| room.ask_waiting(request, "wait=2")));
    let (answers, ()) = tokio::join!(polls, async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        room.decide(&id, &person("max", &["manager"]), "approve").await.unwrap();
    });
    let approved = answers.iter().filter(|answer| answer.json()["status"] == "approved").count();
    assert_eq!(approved, 1);
}

#[tokio::test]
async fn a_poll_ends_with_pending_when_its_time_is_up() {
    let room = Room::open().await;
    let begun = Instant::now();
    let answer = room.ask_waiting(&ask("x1"), "wait=1").await;
    assert_eq!(answer.json()["status"], "pending");
    assert!(begun.elapsed() >= Duration::from_millis(950), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_stopping_desk_answers_its_polls() {
    let room = Room::open().await;
    let begun = Instant::now();
    let request = ask("x1");
    let (answer, ()) = tokio::join!(room.ask_waiting(&request, "wait=20"), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        room.desk.stop();
    });
    assert_eq!(answer.json()["status"], "pending");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn withdrawing_cancels_only_when_nobody_else_waits() {
    let room = Room::open().await;
    let id = room.ask(&ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    room.ask(&ask("x2")).await;
    assert_eq!(room.withdraw(&id, "x1").await.status, StatusCode::NO_CONTENT);
    assert_eq!(status_of(&room, &ask("x1")).await, "cancelled");
    assert_eq!(status_of(&room, &ask("x2")).await, "pending");
    assert_eq!(room.withdraw(&id, "x2").await.status, StatusCode::NO_CONTENT);
    assert_eq!(status_of(&room, &ask("x2")).await, "cancelled");
    let late = room.decide(&id, &person("max", &["manager"]), "approve").await.unwrap_err();
    assert_eq!(late.code(), "late_decision");
    assert_eq!(
        room.withdraw(&id, "x2").await.status,
        StatusCode::NO_CONTENT,
        "withdrawing twice is no error"
    );
}

#[tokio::test]
async fn a_grant_survives_the_withdrawal_of_the_exchange_that_waited_for_it() {
    let room = Room::open().await;
    let id = room.ask(&ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    room.decide(&id, &person("max", &["manager"]), "approve").await.unwrap();
    room.withdraw(&id, "x1").await;
    assert_eq!(status_of(&room, &ask("x1")).await, "cancelled");
    assert_eq!(room.ask(&ask("x2")).await.json()["status"], "approved");
}

/// Found by `interleavings`: the answer changed from `approved` or `denied` to `cancelled`.
#[tokio::test]
async fn withdrawing_after_the_final_answer_changes_nothing() {
    let room = Room::open().await;
    for (word, status) in [("approve", "approved"), ("deny", "denied")] {
        let request = ask(word);
        let id = room.ask(&request).await.json()["id"].as_str().unwrap().to_owned();
        room.decide(&id, &person("max", &["manager"]), word).await.unwrap();
        assert_eq!(status_of(&room, &request).await, status);
        assert_eq!(room.withdraw(&id, word).await.status, StatusCode::NO_CONTENT);
        assert_eq!(status_of(&room, &request).await, status);
    }
}

#[tokio::test]
async fn withdrawing_what_is_not_there_is_a_problem() {
    let room = Room::open().await;
    let id = room.ask(&ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(room.withdraw("nothing", "x1").await.reason(), "unknown_approval");
    assert_eq!(room.withdraw(&id, "stranger").await.reason(), "unknown_approval");
}

#[tokio::test]
async fn asks_that_break_the_contract_are_refused_and_leave_nothing() {
    let room = Room::open().await;
    let cases: [(&str, Value); 12] = [
        ("/exchange", json!("")),
        ("/requester/subject", json!("")),
        ("/operations", json!([])),
        ("/rule", json!("")),
        ("/policy", json!("")),
        ("/digest", json!("short")),
        ("/asks/quorum", json!(0)),
        ("/asks/quorum", json!(-1)),
        ("/asks/approvers", json!([])),
        ("/asks/approvers", json!(["everyone"])),
        ("/asks/valid_seconds", json!(0)),
        ("/asks/expires_seconds", json!(99_999_999)),
    ];
    for (place, value) in cases {
        let mut request = ask("x1");
        *request.pointer_mut(place).unwrap() = value.clone();
        let reply = room.ask(&request).await;
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (StatusCode::BAD_REQUEST, "malformed"),
            "{place} {value}"
        );
    }
    let mut request = ask("x1");
    request.as_object_mut().unwrap().remove("digest");
    assert!(
        room.ask(&request).await.json()["detail"].as_str().unwrap().contains("missing field`digest`")
            || room.ask(&request).await.json()["detail"].as_str().unwrap().contains("`digest`")
    );
    let all =
        room.desk.store.approvals(&graphwarden::store::Filter { limit: 9, ..Default::default() }, 0).await;
    assert!(all.unwrap().approvals.is_empty());
}

#[tokio::test]
async fn a_wrong_token_type_or_size_is_refused() {
    let room = Room::open().await;
    let post = || Request::post("/v1/approvals").header("content-type", "application/json");
    let none = room.send(post().body(Body::from(ask("x").to_string())).unwrap()).await;
    assert_eq!((none.status, none.reason().as_str()), (StatusCode::UNAUTHORIZED, "gateway_token"));
    assert_eq!(none.headers["www-authenticate"], "Bearer");
    for wrong in ["Bearer wrong", "Basic Zm9v", "Bearer ", &format!("Bearer {TOKEN}x")] {
        let reply = room.send(post().header("authorization", wrong).body(Body::from("{}")).unwrap()).await;
        assert_eq!(reply.reason(), "gateway_token", "{wrong}");
    }
    let twice = post().header("authorization", format!("Bearer {TOKEN}")).header("authorization", "Bearer x");
    assert_eq!(room.send(twice.body(Body::from("{}")).unwrap()).await.reason(), "gateway_token");
    let bearer = format!("Bearer {TOKEN}");
    let text =
        Request::post("/v1/approvals").header("authorization", &bearer).header("content-type", "text/plain");
    let reply = room.send(text.body(Body::from("{}")).unwrap()).await;
    assert_eq!((reply.status, reply.reason().as_str()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type"));
    let large = post().header("authorization", &bearer).body(Body::from(vec![b' '; 3 << 20])).unwrap();
    let reply = room.send(large).await;
    assert_eq!((reply.status, reply.reason().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "too_large"));
    let garbage =
        post().header("authorization", &bearer).body(Body::from("{\"exchange\": \"secret-value")).unwrap();
    let reply = room.send(garbage).await;
    assert_eq!(reply.reason(), "malformed");
    assert!(!reply.text.contains("secret-value"));
}

#[tokio::test]
async fn without_its_database_it_grants_nothing() {
    let room = Room::open().await;
    room.desk.store.close().await;
    let reply = room.ask(&ask("x1")).await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "storage_unavailable")
    );
    assert_eq!(reply.headers["retry-after"], "1");
}

#[tokio::test]
async fn one_person_may_have_only_so_many_open_and_others_are_not_touched() {
    let raw = graphwarden::settings::Raw { open_per_person: Some(3), ..Default::default() };
    let room = Room::with(raw, graphwarden::clock::Clock::standing_at(crate::room::NOON)).await;
    let of = |exchange: usize, subject: &str| {
        let mut question = ask(&format!("{subject}-{exchange}"));
        question["digest"] = json!(format!("{exchange:064x}"));
        question["requester"]["subject"] = json!(subject);
        question
    };
    let mut ids = Vec::new();
    for exchange in 0..3 {
        ids.push(room.ask(&of(exchange, "ana")).await.json()["id"].as_str().unwrap().to_owned());
    }
    let refused = room.ask(&of(3, "ana")).await;
    assert_eq!(
        (refused.status, refused.reason().as_str()),
        (StatusCode::TOO_MANY_REQUESTS, "approval_limit")
    );
    // The same bytes meet what is open, another person is not held up, and going past approvers is not waiting.
    assert_eq!(status_of(&room, &of(0, "ana")).await, "pending");
    assert_eq!(status_of(&room, &of(3, "bob")).await, "pending");
    let mut past = of(3, "ana");
    past["asks"]["break_glass"] = json!({"reason": "the customer is locked out"});
    assert_eq!(status_of(&room, &past).await, "approved");
    // What is decided makes room, and so does what ends by itself.
    room.decide(&ids[0], &person("max", &["manager"]), "deny").await.unwrap();
    assert_eq!(status_of(&room, &of(4, "ana")).await, "pending");
    assert_eq!(room.ask(&of(5, "ana")).await.status, StatusCode::TOO_MANY_REQUESTS);
    room.clock.advance(3_600_001);
    assert_eq!(status_of(&room, &of(5, "ana")).await, "pending");
}
