//! The log's public face, as C2SP tlog-tiles lays it out: its newest checkpoint, its tiles, its key. None holds
//! anything of a record but its hash.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;

use super::tiles::tile_at;
use crate::app::Desk;
use crate::error::Error;

/// The routes that witnesses and auditors use.
pub fn router() -> Router<Desk> {
    Router::new()
        .route("/v1/ledger/checkpoint", get(checkpoint))
        .route("/v1/ledger/tile/{*path}", get(tile))
        .route("/v1/ledger/key", get(key))
}

async fn checkpoint(State(desk): State<Desk>) -> Result<impl IntoResponse, Error> {
    let checkpoint = desk.store.checkpoint(&desk.log_key, desk.clock.now()).await?;
    let note = desk.store.cosigned(&checkpoint).await?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], note))
}

async fn tile(State(desk): State<Desk>, Path(path): Path<String>) -> Result<impl IntoResponse, Error> {
    let size = desk.store.tree_size().await?;
    let tile = tile_at(&path, size).ok_or(Error::NotFound)?;
    let bytes = desk.store.tile(&tile).await?;
    // A full tile never changes.
    let keep = if tile.width() == 256 { "public, max-age=31536000, immutable" } else { "public, max-age=60" };
    Ok(([(CONTENT_TYPE, "application/octet-stream"), (CACHE_CONTROL, keep)], bytes))
}

async fn key(State(desk): State<Desk>) -> impl IntoResponse {
    format!("{}\n", desk.log_key.public())
}
