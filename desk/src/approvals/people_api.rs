//! The people's side of approvals, for programs: list, show, decide. The pages do the same for browsers.

use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::model::Answer;
use super::{Approval, Asks, Given, Kind, OperationView, Preview, RemarkKind, Requester, Status};
use crate::app::Desk;
use crate::body::JsonBody;
use crate::clock::rfc3339;
use crate::error::Error;
use crate::people::{Caller, Person};
use crate::store::Filter;

/// The routes for people.
pub fn router() -> Router<Desk> {
    Router::new()
        .route("/v1/approvals", get(list))
        .route("/v1/approvals/{id}", get(show))
        .route("/v1/approvals/{id}/decisions", post(decide))
        .route("/v1/approvals/{id}/review", post(review))
        .route("/v1/approvals/{id}/revocation", post(revoke))
}

/// An approval as a person sees it.
#[derive(Debug, Serialize)]
struct View {
    #[serde(flatten)]
    answer: Answer,
    requester: Requester,
    operations: Vec<OperationView>,
    rule: String,
    approvers: Vec<String>,
    quorum: u32,
    asks: Asks,
    approved: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    seats: Vec<Seat>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remarks: Vec<RemarkView>,
    preview: Preview,
    gateway: String,
    policy: String,
    digest: String,
    created_at: String,
    undecided_until: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimable_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_at: Option<String>,
    you: You,
}

/// How far a kind of seats is filled.
#[derive(Debug, Serialize)]
struct Seat {
    approver: String,
    filled: u32,
    count: u32,
}

/// A review or a revocation.
#[derive(Debug, Serialize)]
struct RemarkView {
    kind: RemarkKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<String>,
    by: Requester,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

/// Whether whoever asks may decide.
#[derive(Debug, Serialize)]
struct You {
    may_decide: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

fn view(desk: &Desk, approval: Approval, person: &Person, now: i64) -> View {
    let you = match approval.may_decide(person, now) {
        Ok(()) => You { may_decide: true, reason: None, detail: None },
        Err(why) => You { may_decide: false, reason: Some(why.code()), detail: Some(why.to_string()) },
    };
    View {
        answer: approval.answer(approval.status_at(now), desk.approval_url(&approval.id)),
        approved: approval.approvals(),
        seats: approval
            .seats()
            .into_iter()
            .map(|seat| Seat { approver: seat.approver, filled: seat.filled, count: seat.count })
            .collect(),
        remarks: approval
            .remarks
            .iter()
            .map(|remark| RemarkView {
                kind: remark.kind,
                verdict: remark.verdict.clone(),
                by: Requester {
                    issuer: remark.issuer.clone(),
                    subject: remark.subject.clone(),
                    name: remark.name.clone(),
                    email: None,
                    roles: Vec::new(),
                },
                at: rfc3339(remark.at),
                comment: remark.comment.clone(),
            })
            .collect(),
        requester: approval.requester,
        operations: approval.operations,
        rule: approval.rule,
        approvers: approval.asks.approvers.clone(),
        quorum: approval.asks.quorum,
        asks: approval.asks,
        preview: approval.preview,
        gateway: approval.gateway,
        policy: approval.policy,
        digest: approval.digest,
        created_at: rfc3339(approval.created_at),
        undecided_until: rfc3339(approval.undecided_until),
        claimable_until: approval.claimable_until.map(rfc3339),
        claimed_at: approval.claimed_at.map(rfc3339),
        you,
    }
}

#[derive(Deserialize)]
struct Wanted {
    status: Option<String>,
    text: Option<String>,
    limit: Option<String>,
    kind: Option<String>,
    unreviewed: Option<String>,
    before: Option<String>,
}

#[derive(Serialize)]
struct List {
    approvals: Vec<View>,
    more: bool,
}

async fn list(
    Caller(person): Caller,
    State(desk): State<Desk>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<List>, Error> {
    let status = match wanted.status.as_deref() {
        None | Some("") => None,
        Some(word) => Some(Status::parse(word).ok_or_else(|| {
            Error::Malformed("`status` has to be pending, approved, denied, expired or cancelled".to_owned())
        })?),
    };
    let limit = match wanted.limit.as_deref() {
        None => 50,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=200).contains(limit))
            .ok_or_else(|| Error::Malformed("`limit` has to be 1 to 200".to_owned()))?,
    };
    let now = desk.clock.now();
    let kind = match wanted.kind.as_deref() {
        None | Some("") => None,
        Some(word) => Some(Kind::parse(word).ok_or_else(|| {
            Error::Malformed("`kind` has to be request, standing or break_glass".to_owned())
        })?),
    };
    let filter = Filter {
        status,
        kind,
        unreviewed: wanted.unreviewed.as_deref() == Some("true"),
        before: wanted.before.filter(|before| !before.is_empty()),
        text: wanted.text.filter(|text| !text.is_empty()),
        limit,
        ..Filter::default()
    };
    let found = desk.store.approvals(&filter, now).await?;
    let approvals = found.approvals.into_iter().map(|approval| view(&desk, approval, &person, now)).collect();
    Ok(Json(List { approvals, more: found.more }))
}

async fn show(
    Caller(person): Caller,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<View>, Error> {
    let now = desk.clock.now();
    let approval = desk.store.approval(&id, now).await?.ok_or(Error::UnknownApproval)?;
    Ok(Json(view(&desk, approval, &person, now)))
}

/// The body, or an entry in the record that somebody sent one that is none.
async fn whole<T>(
    desk: &Desk,
    id: &str,
    person: &Person,
    event: &str,
    body: Result<JsonBody<T>, Error>,
) -> Result<T, Error> {
    match body {
        Ok(JsonBody(body)) => Ok(body),
        Err(error) => {
            desk.refused(id, person, None, event, error.code()).await?;
            Err(error)
        }
    }
}

async fn decide(
    Caller(person): Caller,
    State(desk): State<Desk>,
    Path(id): Path<String>,
    given: Result<JsonBody<Given>, Error>,
) -> Result<Json<View>, Error> {
    let given = whole(&desk, &id, &person, "decision_refused", given).await?;
    let approval = desk.decide(&id, &person, &given).await?;
    Ok(Json(view(&desk, approval, &person, desk.clock.now())))
}

/// `{"verdict": "accepted", "comment": "…"}`; an objection has to say why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reviewed {
    verdict: String,
    #[serde(default)]
    comment: Option<String>,
}

async fn review(
    Caller(person): Caller,
    State(desk): State<Desk>,
    Path(id): Path<String>,
    reviewed: Result<JsonBody<Reviewed>, Error>,
) -> Result<Json<View>, Error> {
    let reviewed = whole(&desk, &id, &person, "review_refused", reviewed).await?;
    let comment = reviewed.comment.as_deref();
    let approval = desk.remark(&id, &person, RemarkKind::Review, Some(&reviewed.verdict), comment).await?;
    Ok(Json(view(&desk, approval, &person, desk.clock.now())))
}

/// `{"comment": "…"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoked {
    #[serde(default)]
    comment: Option<String>,
}

async fn revoke(
    Caller(person): Caller,
    State(desk): State<Desk>,
    Path(id): Path<String>,
    revoked: Result<JsonBody<Revoked>, Error>,
) -> Result<Json<View>, Error> {
    let revoked = whole(&desk, &id, &person, "revocation_refused", revoked).await?;
    let comment = revoked.comment.as_deref();
    let approval = desk.remark(&id, &person, RemarkKind::Revocation, None, comment).await?;
    Ok(Json(view(&desk, approval, &person, desk.clock.now())))
}
