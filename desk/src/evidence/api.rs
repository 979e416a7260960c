//! The gateway's side of evidence: newline-delimited JSON in, acknowledged when durable. The contract is
//! `docs/evidence.openapi.json`.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;

use super::NewLine;
use crate::app::Desk;
use crate::body::has_type;
use crate::error::Error;
use crate::gateway::Gateway;

/// The largest batch, in bytes.
const LARGEST_BATCH: usize = 16 * 1024 * 1024;
/// The most lines in a batch.
const MOST_LINES: usize = 10_000;

/// The routes for gateways.
pub fn router() -> Router<Desk> {
    Router::new().route("/v1/evidence", post(append).layer(DefaultBodyLimit::max(LARGEST_BATCH)))
}

#[derive(Debug, Serialize)]
struct Acknowledged {
    accepted: u64,
    duplicates: u64,
}

async fn append(_: Gateway, State(desk): State<Desk>, request: Request) -> Result<Json<Acknowledged>, Error> {
    if !has_type(&request, "application/x-ndjson") {
        return Err(Error::MediaType("application/x-ndjson"));
    }
    let body =
        Bytes::from_request(request, &desk).await.map_err(|rejection| {
            match crate::body::body_error(rejection) {
                Error::TooLarge(_) => Error::TooLarge(LARGEST_BATCH),
                error => error,
            }
        })?;
    let lines = read(&body)?;
    let appended = desk.ledger.append(lines).await?;
    Ok(Json(Acknowledged { accepted: appended.accepted, duplicates: appended.duplicates }))
}

/// Splits a batch into lines. Lines end in a line feed; the last one may lack it.
fn read(body: &[u8]) -> Result<Vec<NewLine>, Error> {
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    if body.is_empty() {
        return Err(Error::Malformed("the batch is empty".to_owned()));
    }
    let mut lines = Vec::new();
    for (index, bytes) in body.split(|byte| *byte == b'\n').enumerate() {
        if index >= MOST_LINES {
            return Err(Error::Malformed(format!("the batch has more than {MOST_LINES} lines")));
        }
        let line = NewLine::of_gateway(bytes)
            .map_err(|what| Error::Malformed(format!("line {} of the batch {what}", index + 1)))?;
        lines.push(line);
    }
    Ok(lines)
}
