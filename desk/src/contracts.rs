//! The contracts as OpenAPI documents, so that anyone can put their own service in the desk's place.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::app::Desk;

/// The approval contract.
pub const APPROVALS: &str = include_str!("../../docs/approvals.openapi.json");
/// The evidence contract.
pub const EVIDENCE: &str = include_str!("../../docs/evidence.openapi.json");

/// The routes that serve the documents. `/openapi.json` holds the paths and schemas of both.
pub fn router() -> Router<Desk> {
    Router::new()
        .route("/openapi.json", get(async || json(merged())))
        .route("/docs/approvals.openapi.json", get(async || json(APPROVALS.to_owned())))
        .route("/docs/evidence.openapi.json", get(async || json(EVIDENCE.to_owned())))
}

fn json(text: String) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], text)
}

/// Both documents in one: the evidence contract's paths and components are added to the approval contract's.
fn merged() -> String {
    let (Ok(mut all), Ok(more)) = (
        serde_json::from_str::<serde_json::Value>(APPROVALS),
        serde_json::from_str::<serde_json::Value>(EVIDENCE),
    ) else {
        return APPROVALS.to_owned();
    };
    all["info"]["title"] = "Graphwarden desk".into();
    for (place, from) in
        [("/paths", more.pointer("/paths")), ("/components/schemas", more.pointer("/components/schemas"))]
    {
        if let (Some(serde_json::Value::Object(into)), Some(serde_json::Value::Object(from))) =
            (all.pointer_mut(place), from)
        {
            for (name, value) in from {
                into.insert(name.clone(), value.clone());
            }
        }
    }
    all.to_string()
}
