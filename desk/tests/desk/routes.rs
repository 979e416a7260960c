//! Routes that are nobody's in particular, and what every answer has.

use axum::body::Body;
use axum::http::{Request, StatusCode};

use crate::room::Room;

#[tokio::test]
async fn says_that_it_is_alive_and_ready() {
    let room = Room::open().await;
    assert_eq!(room.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(room.get("/readyz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn is_not_ready_while_stopping() {
    let room = Room::open().await;
    room.desk.stop();
    assert_eq!(room.get("/healthz").await.status, StatusCode::OK);
    let reply = room.get("/readyz").await;
    assert_eq!((reply.status, reply.reason().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "stopping"));
}

#[tokio::test]
async fn is_not_ready_without_its_database() {
    let room = Room::open().await;
    room.desk.store.close().await;
    let reply = room.get("/readyz").await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "storage_unavailable")
    );
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let room = Room::open().await;
    assert_eq!(room.get("/v2/nothing").await.reason(), "not_found");
    let reply = room.send(Request::put("/v1/evidence").body(Body::empty()).unwrap()).await;
    assert_eq!((reply.status, reply.reason().as_str()), (StatusCode::METHOD_NOT_ALLOWED, "method"));
}

#[tokio::test]
async fn every_answer_is_guarded_and_carries_a_request_id() {
    let room = Room::open().await;
    for path in ["/healthz", "/nothing", "/openapi.json"] {
        let reply = room.get(path).await;
        assert!(reply.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
        assert!(reply.headers.contains_key("x-request-id"));
    }
    let request = Request::get("/healthz").header("x-request-id", "mine").body(Body::empty()).unwrap();
    assert_eq!(room.send(request).await.headers["x-request-id"], "mine");
}
