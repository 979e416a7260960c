//! What was told and what was not, for programs: list, and send a dead letter again.

use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::app::Desk;
use crate::clock::rfc3339;
use crate::error::Error;
use crate::people::Caller;
use crate::store::{Delivery, DeliveryState};

/// The most that is listed.
const MOST: u32 = 200;

/// The routes.
pub fn router() -> Router<Desk> {
    Router::new().route("/v1/notifications", get(list)).route("/v1/notifications/{id}/retry", post(retry))
}

#[derive(Deserialize)]
struct Wanted {
    state: Option<String>,
}

#[derive(Serialize)]
struct List {
    notifications: Vec<View>,
}

/// A message to one destination.
#[derive(Serialize)]
struct View {
    id: String,
    destination: String,
    approval: String,
    event: String,
    state: DeliveryState,
    attempts: u32,
    made_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<Delivery> for View {
    fn from(delivery: Delivery) -> Self {
        Self {
            next_at: (delivery.state == DeliveryState::Waiting).then(|| rfc3339(delivery.next_at)),
            id: delivery.id,
            destination: delivery.destination,
            approval: delivery.approval,
            event: delivery.event,
            state: delivery.state,
            attempts: delivery.attempts,
            made_at: rfc3339(delivery.at),
            error: delivery.error,
        }
    }
}

async fn list(
    Caller(_): Caller,
    State(desk): State<Desk>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<List>, Error> {
    let state = match wanted.state.as_deref() {
        None | Some("") => None,
        Some(word) => Some(
            DeliveryState::parse(word)
                .ok_or_else(|| Error::Malformed("`state` has to be waiting, delivered or dead".to_owned()))?,
        ),
    };
    let found = desk.store.deliveries(state, MOST).await?;
    Ok(Json(List { notifications: found.into_iter().map(View::from).collect() }))
}

async fn retry(
    Caller(person): Caller,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<View>, Error> {
    Ok(Json(desk.store.retry_delivery(&id, &person, desk.clock.now()).await?.into()))
}
