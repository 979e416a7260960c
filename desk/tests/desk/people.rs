//! The API for people: a real issuer, real tokens, every way in which one can be refused.

use axum::http::StatusCode;
use graphwarden_stand::{Issuer, Person, claims_for};
use serde_json::json;

use crate::room::{Room, ask};

async fn open() -> (Issuer, Room, String) {
    let issuer = Issuer::start().await.unwrap();
    let room = Room::with_people(&issuer).await;
    let id = room.ask(&ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    (issuer, room, id)
}

#[tokio::test]
async fn a_manager_lists_shows_and_approves() {
    let (issuer, room, id) = open().await;
    let token = issuer.token(Person::Manager);
    let list = room.call(&token, "GET", "/v1/approvals?status=pending", None).await.json();
    assert_eq!(list["approvals"][0]["id"], id);
    assert_eq!(list["approvals"][0]["you"], json!({"may_decide": true}));
    let shown = room.call(&token, "GET", &format!("/v1/approvals/{id}"), None).await.json();
    assert_eq!(shown, list["approvals"][0]);
    let path = format!("/v1/approvals/{id}/decisions");
    let reply =
        room.call(&token, "POST", &path, Some(json!({"decision": "approve", "comment": " fine "}))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    assert_eq!(reply.json()["status"], "approved");
    let answer = room.ask(&ask("x1")).await.json();
    assert_eq!(answer["status"], "approved");
    assert_eq!(answer["decisions"][0]["comment"], "fine");
    let twice = room.call(&token, "POST", &path, Some(json!({"decision": "approve"}))).await;
    assert_eq!((twice.status, twice.reason().as_str()), (StatusCode::CONFLICT, "decided_before"));
}

#[tokio::test]
async fn who_is_not_asked_may_look_but_not_decide() {
    let (issuer, room, id) = open().await;
    let token = issuer.token(Person::Engineer);
    let shown = room.call(&token, "GET", &format!("/v1/approvals/{id}"), None).await.json();
    assert_eq!(shown["you"]["reason"], "not_an_approver");
    let path = format!("/v1/approvals/{id}/decisions");
    let reply = room.call(&token, "POST", &path, Some(json!({"decision": "deny"}))).await;
    assert_eq!((reply.status, reply.reason().as_str()), (StatusCode::FORBIDDEN, "not_an_approver"));
    assert_eq!(room.events().await, [("decision_refused".into(), Some("not_an_approver".into()))]);
}

#[tokio::test]
async fn the_requester_is_refused_even_with_the_role_that_is_asked() {
    let (issuer, room, _) = open().await;
    let claims = claims_for(Person::Manager, issuer.url(), issuer.audience());
    let mut own = ask("own");
    own["requester"]["issuer"] = claims["iss"].clone();
    own["requester"]["subject"] = claims["sub"].clone();
    own["requester"]["email"] = json!(null);
    let id = room.ask(&own).await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/approvals/{id}/decisions");
    let reply =
        room.call(&issuer.token(Person::Manager), "POST", &path, Some(json!({"decision": "approve"}))).await;
    assert_eq!((reply.status, reply.reason().as_str()), (StatusCode::FORBIDDEN, "own_request"));
    assert_eq!(room.ask(&own).await.json()["status"], "pending");
}

#[tokio::test]
async fn unsound_tokens_are_refused_with_their_reason() {
    let (issuer, room, _) = open().await;
    let claims = claims_for(Person::Manager, issuer.url(), issuer.audience());
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        issuer.sign(&claims)
    };
    let cases = [
        (issuer.unsigned(&claims), "token_algorithm"),
        (issuer.forged(&claims), "token_signature"),
        (issuer.confused(&claims).unwrap(), "token_algorithm"),
        (with("aud", json!("another")), "token_audience"),
        (with("iss", json!("https://elsewhere.example")), "token_issuer"),
        (with("exp", json!(1)), "token_expired"),
        ("garbage".to_owned(), "token_malformed"),
    ];
    for (token, reason) in cases {
        let reply = room.call(&token, "GET", "/v1/approvals", None).await;
        assert_eq!((reply.status, reply.reason().as_str()), (StatusCode::UNAUTHORIZED, reason));
        assert!(reply.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        assert!(!reply.text.contains(&token));
    }
    assert_eq!(room.get("/v1/approvals").await.reason(), "sign_in");
    assert_eq!(room.call(crate::room::TOKEN, "GET", "/v1/approvals", None).await.reason(), "token_malformed");
}

#[tokio::test]
async fn a_machine_is_no_approver() {
    let (issuer, room, _) = open().await;
    let mut claims = claims_for(Person::Manager, issuer.url(), issuer.audience());
    claims["client_id"] = claims["sub"].clone();
    claims["azp"] = claims["sub"].clone();
    let reply = room.call(&issuer.sign(&claims), "GET", "/v1/approvals", None).await;
    assert_eq!((reply.status, reply.reason().as_str()), (StatusCode::FORBIDDEN, "machine"));
}

#[tokio::test]
async fn new_keys_of_the_issuer_are_found() {
    let (issuer, room, _) = open().await;
    assert_eq!(
        room.call(&issuer.token(Person::Manager), "GET", "/v1/approvals", None).await.status,
        StatusCode::OK
    );
    issuer.rotate();
    // Unknown keys are looked for at most every five seconds, so that garbage tokens cannot flood the issuer.
    tokio::time::sleep(std::time::Duration::from_millis(5_100)).await;
    let reply = room.call(&issuer.token(Person::Manager), "GET", "/v1/approvals", None).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_said_so_and_old_keys_still_do() {
    let issuer = Issuer::start().await.unwrap();
    let room = Room::with_people(&issuer).await;
    issuer.set_down(true);
    let token = issuer.token(Person::Manager);
    let reply = room.call(&token, "GET", "/v1/approvals", None).await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable")
    );
    issuer.set_down(false);
    assert_eq!(room.call(&token, "GET", "/v1/approvals", None).await.status, StatusCode::OK);
    issuer.set_down(true);
    assert_eq!(room.call(&token, "GET", "/v1/approvals", None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn wrong_parameters_and_bodies_are_refused() {
    let (issuer, room, id) = open().await;
    let token = issuer.token(Person::Manager);
    for path in ["/v1/approvals?status=open", "/v1/approvals?limit=0", "/v1/approvals?limit=many"] {
        assert_eq!(room.call(&token, "GET", path, None).await.reason(), "malformed", "{path}");
    }
    let path = format!("/v1/approvals/{id}/decisions");
    let long = "x".repeat(4_001);
    for body in [
        json!({}),
        json!({"decision": "maybe"}),
        json!({"decision": "approve", "force": true}),
        json!({"decision": "approve", "comment": long}),
    ] {
        assert_eq!(room.call(&token, "POST", &path, Some(body)).await.reason(), "malformed");
    }
    assert_eq!(room.call(&token, "GET", "/v1/approvals/none", None).await.reason(), "unknown_approval");
    let unknown =
        room.call(&token, "POST", "/v1/approvals/none/decisions", Some(json!({"decision": "deny"}))).await;
    assert_eq!((unknown.status, unknown.reason().as_str()), (StatusCode::NOT_FOUND, "unknown_approval"));
    assert_eq!(room.ask(&ask("x1")).await.json()["status"], "pending");
}

#[tokio::test]
async fn every_wrong_decision_is_an_entry_and_changes_nothing() {
    let (issuer, room, id) = open().await;
    let path = format!("/v1/approvals/{id}/decisions");
    let approve = json!({"decision": "approve"});
    let (manager, analyst) = (issuer.token(Person::Manager), issuer.token(Person::Analyst));
    let mut expected = Vec::new();
    let mut refused = async |token: &str, path: &str, body: &serde_json::Value, reason: &str| {
        let before = room.call(&manager, "GET", &format!("/v1/approvals/{id}"), None).await.json();
        assert_eq!(room.call(token, "POST", path, Some(body.clone())).await.reason(), reason);
        let after = room.call(&manager, "GET", &format!("/v1/approvals/{id}"), None).await.json();
        assert_eq!(
            (&before["status"], &before["decisions"]),
            (&after["status"], &after["decisions"]),
            "{reason}"
        );
        expected.push(("decision_refused".to_owned(), Some(reason.to_owned())));
    };
    refused(&analyst, &path, &approve, "not_an_approver").await;
    refused(&manager, &path, &json!({"decision": "maybe"}), "malformed").await;
    refused(&manager, &path, &json!({"decision": "approve", "force": true}), "malformed").await;
    refused(&manager, "/v1/approvals/none/decisions", &approve, "unknown_approval").await;
    room.clock.advance(3_600_000);
    // The tokens are good for an hour as well.
    let manager = issuer.sign(&{
        let mut claims = graphwarden_stand::claims_for(Person::Manager, issuer.url(), issuer.audience());
        claims["exp"] = json!(graphwarden_stand::unix_now() + 7_200);
        claims
    });
    assert_eq!(room.call(&manager, "POST", &path, Some(approve)).await.reason(), "late_decision");
    expected.push(("decision_refused".to_owned(), Some("late_decision".to_owned())));
    assert_eq!(room.events().await, expected);
}

#[tokio::test]
async fn without_an_issuer_nobody_can_decide() {
    let room = Room::open().await;
    let reply = room.call("any", "GET", "/v1/approvals", None).await;
    assert_eq!((reply.status, reply.reason().as_str()), (StatusCode::NOT_FOUND, "no_provider"));
}
