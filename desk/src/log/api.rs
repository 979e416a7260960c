//! The log's public face: its newest checkpoint and its key. Neither holds anything of a record.

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::app::Desk;
use crate::error::Error;

/// The routes that witnesses and auditors use.
pub fn router() -> Router<Desk> {
    Router::new().route("/v1/ledger/checkpoint", get(checkpoint)).route("/v1/ledger/key", get(key))
}

async fn checkpoint(State(desk): State<Desk>) -> Result<impl IntoResponse, Error> {
    let checkpoint = desk.store.checkpoint(&desk.log_key, desk.clock.now()).await?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], checkpoint.note))
}

async fn key(State(desk): State<Desk>) -> impl IntoResponse {
    format!("{}\n", desk.log_key.public())
}
