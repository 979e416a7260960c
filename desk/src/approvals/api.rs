//! The gateway's side of approvals: ask and wait, or withdraw. The contract is `docs/approvals.openapi.json`.

use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use super::{Approval, Ask, Kind, Status};
use crate::app::Desk;
use crate::body::JsonBody;
use crate::error::Error;
use crate::gateway::Gateway;
use crate::prefer;

/// The routes for gateways.
pub fn router() -> Router<Desk> {
    Router::new()
        .route("/v1/approvals", post(ask).delete(withdraw_exchange))
        .route("/v1/approvals/{id}", delete(withdraw))
}

async fn ask(
    _: Gateway,
    State(desk): State<Desk>,
    headers: HeaderMap,
    JsonBody(ask): JsonBody<Ask>,
) -> Result<Response, Error> {
    ask.check()?;
    if ask.asks.kind() == Kind::Standing && !desk.settings.standing_grants {
        return Err(Error::StandingOff);
    }
    let wait = prefer::wait(&headers);
    let (approval, status) = wait_for(&desk, &ask, Duration::from_secs(wait.unwrap_or(0))).await?;
    let url = desk.approval_url(&approval.id);
    let mut response = Json(approval.answer(status, url)).into_response();
    if let Some(seconds) = wait
        && let Ok(applied) = HeaderValue::from_str(&format!("wait={seconds}"))
    {
        response.headers_mut().insert("preference-applied", applied);
    }
    Ok(response)
}

/// Asks, and waits while the answer is `pending`. Woken by decisions, by the approval's own end, by the end of
/// the wait and by the desk's.
async fn wait_for(desk: &Desk, ask: &Ask, wait: Duration) -> Result<(Approval, Status), Error> {
    let deadline = Instant::now() + wait;
    // Who polls again for the same pending approval writes nothing.
    let mut approval = match desk.store.still_pending(ask, desk.clock.now()).await? {
        Some(approval) => approval,
        None => {
            let asked = desk.store.ask(ask, desk.clock.now()).await?;
            if asked.status != Status::Pending {
                desk.waiting.tell(&asked.approval.id);
                return Ok((asked.approval, asked.status));
            }
            asked.approval
        }
    };
    let mut ear = desk.waiting.listen(&approval.id);
    loop {
        // Listening began after the look above, so look again before waiting.
        match desk.store.still_pending(ask, desk.clock.now()).await? {
            Some(pending) if pending.id == ear.approval() => approval = pending,
            _ => {
                let asked = desk.store.ask(ask, desk.clock.now()).await?;
                if asked.status != Status::Pending {
                    desk.waiting.tell(&asked.approval.id);
                    return Ok((asked.approval, asked.status));
                }
                if asked.approval.id != ear.approval() {
                    ear = desk.waiting.listen(&asked.approval.id);
                    continue;
                }
                approval = asked.approval;
            }
        }
        if Instant::now() >= deadline {
            return Ok((approval, Status::Pending));
        }
        let left = u64::try_from(approval.undecided_until.saturating_sub(desk.clock.now())).unwrap_or(0);
        let end = deadline.min(Instant::now() + Duration::from_millis(left.saturating_add(1)));
        tokio::select! {
            () = ear.hear() => {}
            () = sleep_until(end) => {}
            () = desk.stopped() => return Ok((approval, Status::Pending)),
        }
    }
}

#[derive(Deserialize)]
struct Withdrawal {
    exchange: Option<String>,
}

async fn withdraw(
    _: Gateway,
    State(desk): State<Desk>,
    Path(id): Path<String>,
    Query(withdrawal): Query<Withdrawal>,
) -> Result<StatusCode, Error> {
    gone(&desk, Some(&id), withdrawal).await
}

/// For a gateway that has had no answer yet, and so knows no id.
async fn withdraw_exchange(
    _: Gateway,
    State(desk): State<Desk>,
    Query(withdrawal): Query<Withdrawal>,
) -> Result<StatusCode, Error> {
    gone(&desk, None, withdrawal).await
}

async fn gone(desk: &Desk, id: Option<&str>, withdrawal: Withdrawal) -> Result<StatusCode, Error> {
    let exchange = withdrawal
        .exchange
        .ok_or_else(|| Error::Malformed("the parameter `exchange` is missing".to_owned()))?;
    if let Some(cancelled) = desk.store.withdraw(id, &exchange, desk.clock.now()).await? {
        desk.waiting.tell(&cancelled);
    }
    Ok(StatusCode::NO_CONTENT)
}
