//! What people were told and what they were not: dead letters first, each of which can be sent again.

use askama::Template;
use axum::Router;
use axum::extract::{Form, Path, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::{Frame, PageError, render, words};
use crate::app::Desk;
use crate::clock::rfc3339;
use crate::people::SignedIn;
use crate::store::{Delivery, DeliveryState};

/// The most that the page lists of each.
const MOST: u32 = 100;

pub(super) fn router() -> Router<Desk> {
    Router::new().route("/notifications", get(page)).route("/notifications/{id}/retry", post(retry))
}

#[derive(Template)]
#[template(path = "notifications.html")]
struct NotificationsPage {
    frame: Frame,
    /// Who is told, as `webhook tickets: asked, denied`.
    destinations: Vec<String>,
    dead: Vec<Row>,
    waiting: Vec<Row>,
    delivered: Vec<Row>,
}

struct Row {
    id: String,
    destination: String,
    approval: String,
    event: String,
    made: String,
    made_words: String,
    attempts: u32,
    error: String,
    next: String,
    next_words: String,
}

fn row(delivery: Delivery) -> Row {
    Row {
        id: delivery.id,
        destination: delivery.destination,
        approval: delivery.approval,
        event: delivery.event.replace('_', " "),
        made: rfc3339(delivery.at),
        made_words: words::time(delivery.at),
        attempts: delivery.attempts,
        error: delivery.error.unwrap_or_default(),
        next: rfc3339(delivery.next_at),
        next_words: words::time(delivery.next_at),
    }
}

async fn page(State(desk): State<Desk>, signed_in: SignedIn) -> Result<Html<String>, PageError> {
    let rows = async |state, most| -> Result<Vec<Row>, crate::error::Error> {
        Ok(desk.store.deliveries(Some(state), most).await?.into_iter().map(row).collect())
    };
    let page = NotificationsPage {
        destinations: desk
            .settings
            .notify
            .destinations
            .iter()
            .map(|to| {
                let events: Vec<String> =
                    to.events.iter().map(|event| event.word().replace('_', " ")).collect();
                format!("{} {}: {}", to.kind(), to.name, events.join(", "))
            })
            .collect(),
        dead: rows(DeliveryState::Dead, MOST).await?,
        waiting: rows(DeliveryState::Waiting, MOST).await?,
        delivered: rows(DeliveryState::Delivered, 20).await?,
        frame: Frame::new(&desk, &signed_in.session, "Notifications", "notifications"),
    };
    Ok(render(&page)?)
}

#[derive(Deserialize)]
struct RetryForm {
    #[serde(default)]
    csrf: String,
}

async fn retry(
    State(desk): State<Desk>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form<RetryForm>,
) -> Result<Response, PageError> {
    signed_in.check(&form.csrf)?;
    desk.store.retry_delivery(&id, &signed_in.session.person, desk.clock.now()).await?;
    Ok(Redirect::to("/notifications").into_response())
}
