//! One request: who wants what, the masked payload, the decisions so far, and the form to decide.

use askama::Template;
use axum::Router;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::list::Card;
use super::words::{self, Piece};
use super::{Frame, PageError, render};
use crate::app::Desk;
use crate::approvals::{Approval, Approver, Given, Kind, Remark, RemarkKind, Status, Verdict};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::people::{Person, SignedIn};

pub(super) fn router() -> Router<Desk> {
    Router::new()
        .route("/approvals/{id}", get(show))
        .route("/approvals/{id}/decision", post(decide))
        .route("/approvals/{id}/review", post(review))
        .route("/approvals/{id}/revocation", post(revoke))
        .route("/fragments/approvals/{id}", get(standing_fragment))
}

#[derive(Template)]
#[template(path = "request.html")]
struct RequestPage {
    frame: Frame,
    standing: Standing,
    card: Card,
    requester: crate::approvals::Requester,
    operations: Vec<Operation>,
    asked: String,
    /// For how long a standing grant is asked for, in words.
    grant: Option<String>,
    /// Why approvers were passed by.
    reason: Option<String>,
    may_review: bool,
    may_revoke: bool,
    method: String,
    path: String,
    pieces: Vec<Piece>,
    truncated: bool,
    gateway: String,
    policy: String,
    digest: String,
    before: Vec<Card>,
    /// Why the last form was refused.
    refused: Option<String>,
    /// What the person had written.
    comment: String,
}

/// What changes while the page is open; fetched again by the script.
#[derive(Template)]
#[template(path = "standing.html")]
struct Standing {
    id: String,
    status: &'static str,
    sentence: String,
    approved: usize,
    quorum: u32,
    ends: String,
    ends_words: String,
    /// How far each kind of seats is filled.
    seats: Vec<(String, u32, u32)>,
    decisions: Vec<Decided>,
    remarks: Vec<Remarked>,
    /// Why the person may not decide; `None` where they may.
    why_not: Option<String>,
}

struct Decided {
    who: String,
    email: String,
    approve: bool,
    at: String,
    at_words: String,
    comment: String,
}

struct Remarked {
    who: String,
    what: &'static str,
    good: bool,
    at: String,
    at_words: String,
    comment: String,
}

struct Operation {
    words: String,
    name: String,
    class: String,
    facts: Vec<(String, String)>,
}

fn standing(approval: &Approval, person: &Person, now: i64) -> Standing {
    let status = approval.status_at(now);
    let left = |until: i64| words::span(until - now);
    let quorum = approval.asks.quorum;
    let sentence = match status {
        _ if approval.kind() == Kind::BreakGlass => match approval.remarks.first() {
            Some(_) => "Went past approvers, and was reviewed.".to_owned(),
            None if now >= approval.undecided_until => {
                "Went past approvers. The review is overdue.".to_owned()
            }
            None => "Went past approvers at once. It waits for a review.".to_owned(),
        },
        Status::Approved if approval.kind() == Kind::Standing => match approval.claimable_until {
            Some(until) => format!("Granted. It ends in {}.", left(until)),
            None => "Granted.".to_owned(),
        },
        Status::Cancelled if approval.kind() == Kind::Standing && approval.claimable_until.is_some() => {
            "Taken back. No further request goes through.".to_owned()
        }
        Status::Expired if approval.kind() == Kind::Standing && approval.claimable_until.is_some() => {
            "The grant has ended.".to_owned()
        }
        Status::Pending if quorum > 1 => {
            format!("{} of {quorum} people have agreed.", approval.approvals())
        }
        Status::Pending => "Nobody has decided yet.".to_owned(),
        Status::Approved => match (approval.claimed_at, approval.claimable_until) {
            (Some(at), _) => format!("Approved, and carried out at {}.", words::time(at)),
            (None, Some(until)) => {
                format!("Approved. The same request can go through once within the next {}.", left(until))
            }
            (None, None) => "Approved.".to_owned(),
        },
        Status::Denied => "Denied. The request was not carried out.".to_owned(),
        Status::Expired if approval.claimable_until.is_some() => {
            "Approved, but the request did not come back in time. It was not carried out.".to_owned()
        }
        Status::Expired => "Nobody decided in time. The request was not carried out.".to_owned(),
        Status::Cancelled => "Withdrawn: whoever asked has gone. The request was not carried out.".to_owned(),
    };
    Standing {
        id: approval.id.clone(),
        status: status.word(),
        sentence,
        approved: approval.approvals(),
        quorum,
        seats: approval
            .seats()
            .into_iter()
            .filter_map(|seat| Some((Approver::parse(&seat.approver)?.words(), seat.filled, seat.count)))
            .collect(),
        remarks: approval.remarks.iter().map(remarked).collect(),
        ends: rfc3339(approval.undecided_until),
        ends_words: left(approval.undecided_until),
        decisions: approval
            .decisions
            .iter()
            .map(|decision| Decided {
                who: decision.name.clone().unwrap_or_else(|| decision.subject.clone()),
                email: decision.email.clone().unwrap_or_default(),
                approve: decision.verdict == Verdict::Approve,
                at: rfc3339(decision.at),
                at_words: words::time(decision.at),
                comment: decision.comment.clone().unwrap_or_default(),
            })
            .collect(),
        why_not: approval.may_decide(person, now).err().map(|error| match error {
            Error::DecidedBefore => "You have decided. Decisions cannot be changed.".to_owned(),
            Error::Late(_) => match approval.may_ever_decide(person) {
                Ok(()) => "There is nothing left to decide.".to_owned(),
                Err(error) => words::sentence(&error.to_string()),
            },
            error => words::sentence(&error.to_string()),
        }),
    }
}

async fn page(
    desk: &Desk,
    signed_in: &SignedIn,
    id: &str,
    refused: Option<String>,
    comment: String,
) -> Result<RequestPage, Error> {
    let now = desk.clock.now();
    let approval = desk.store.approval(id, now).await?.ok_or(Error::UnknownApproval)?;
    let person = &signed_in.session.person;
    let before = desk.store.asked_before(&approval, 5, now).await?;
    let card = Card::new(&approval, person, now);
    Ok(RequestPage {
        frame: Frame::new(desk, &signed_in.session, card.title.clone(), ""),
        standing: standing(&approval, person, now),
        asked: approval.asks.words(),
        grant: approval
            .asks
            .grant_seconds
            .map(|seconds| words::span(i64::try_from(seconds).unwrap_or(0).saturating_mul(1_000))),
        reason: approval.asks.break_glass.as_ref().map(|past| past.reason.clone()),
        may_review: approval.may_review(person).is_ok(),
        may_revoke: approval.may_revoke(person, now).is_ok(),
        operations: approval.operations.iter().map(operation).collect(),
        pieces: words::pieces(&words::pretty(&approval.preview.body)),
        truncated: approval.preview.truncated,
        method: approval.preview.method.clone(),
        path: approval.preview.path.clone(),
        gateway: approval.gateway.clone(),
        policy: approval.policy.chars().take(16).collect(),
        digest: approval.digest.chars().take(16).collect(),
        before: before.iter().map(|other| Card::new(other, person, now)).collect(),
        requester: approval.requester,
        card,
        refused,
        comment,
    })
}

fn operation(view: &crate::approvals::OperationView) -> Operation {
    let facts = view
        .more
        .iter()
        .filter_map(|(name, value)| {
            let text = match value {
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Array(parts) => {
                    parts.iter().filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join(" / ")
                }
                serde_json::Value::Bool(_) | serde_json::Value::Number(_) => value.to_string(),
                serde_json::Value::Null | serde_json::Value::Object(_) => String::new(),
            };
            (!text.is_empty()).then(|| (name.replace('_', " "), text))
        })
        .collect();
    Operation {
        words: words::operation(view),
        name: view.operation.clone(),
        class: view.class.clone(),
        facts,
    }
}

async fn show(
    State(desk): State<Desk>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Html<String>, PageError> {
    Ok(render(&page(&desk, &signed_in, &id, None, String::new()).await?)?)
}

async fn standing_fragment(
    State(desk): State<Desk>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Html<String>, PageError> {
    let now = desk.clock.now();
    let approval = desk.store.approval(&id, now).await?.ok_or(Error::UnknownApproval)?;
    Ok(render(&standing(&approval, &signed_in.session.person, now))?)
}

#[derive(Deserialize)]
struct DecisionForm {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    decision: String,
    #[serde(default)]
    comment: String,
}

async fn decide(
    State(desk): State<Desk>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form<DecisionForm>,
) -> Result<Response, PageError> {
    let person = &signed_in.session.person;
    genuine(&desk, &signed_in, &id, &form.csrf, "decision_refused").await?;
    let verdict = match form.decision.as_str() {
        "approve" => Verdict::Approve,
        "deny" => Verdict::Deny,
        _ => {
            desk.refused(&id, person, None, "decision_refused", "malformed").await?;
            return Err(Error::Malformed("choose approve or deny".to_owned()).into());
        }
    };
    let given = Given { decision: verdict, comment: Some(form.comment.clone()) };
    match desk.decide(&id, person, &given).await {
        Ok(_) => Ok(back(&id)),
        Err(error) => explained(&desk, &signed_in, &id, error, form.comment).await,
    }
}

fn back(id: &str) -> Response {
    Redirect::to(&format!("/approvals/{id}")).into_response()
}

/// Refuses a form that is not the desk's own, and writes it down.
async fn genuine(desk: &Desk, signed_in: &SignedIn, id: &str, csrf: &str, event: &str) -> Result<(), Error> {
    if let Err(forged) = signed_in.check(csrf) {
        desk.refused(id, &signed_in.session.person, None, event, forged.code()).await?;
        return Err(forged);
    }
    Ok(())
}

/// What the person can read on the request's own page is shown there, with what they wrote.
async fn explained(
    desk: &Desk,
    signed_in: &SignedIn,
    id: &str,
    error: Error,
    comment: String,
) -> Result<Response, PageError> {
    let status = error.status();
    if status == StatusCode::NOT_FOUND || !status.is_client_error() {
        return Err(error.into());
    }
    let refused = Some(words::sentence(&error.to_string()));
    Ok((status, render(&page(desk, signed_in, id, refused, comment).await?)?).into_response())
}

#[derive(Deserialize)]
struct RemarkForm {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    verdict: String,
    #[serde(default)]
    comment: String,
}

async fn review(
    State(desk): State<Desk>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form<RemarkForm>,
) -> Result<Response, PageError> {
    genuine(&desk, &signed_in, &id, &form.csrf, "review_refused").await?;
    let person = &signed_in.session.person;
    match desk.remark(&id, person, RemarkKind::Review, Some(&form.verdict), Some(&form.comment)).await {
        Ok(_) => Ok(back(&id)),
        Err(error) => explained(&desk, &signed_in, &id, error, form.comment).await,
    }
}

async fn revoke(
    State(desk): State<Desk>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form<RemarkForm>,
) -> Result<Response, PageError> {
    genuine(&desk, &signed_in, &id, &form.csrf, "revocation_refused").await?;
    let person = &signed_in.session.person;
    match desk.remark(&id, person, RemarkKind::Revocation, None, Some(&form.comment)).await {
        Ok(_) => Ok(back(&id)),
        Err(error) => explained(&desk, &signed_in, &id, error, form.comment).await,
    }
}

fn remarked(remark: &Remark) -> Remarked {
    let (what, good) = match (remark.kind, remark.verdict.as_deref()) {
        (RemarkKind::Review, Some("accepted")) => ("reviewed and accepted this", true),
        (RemarkKind::Review, _) => ("reviewed this and objected", false),
        (RemarkKind::Revocation, _) => ("took the grant back", false),
    };
    Remarked {
        who: remark.name.clone().unwrap_or_else(|| remark.subject.clone()),
        what,
        good,
        at: rfc3339(remark.at),
        at_words: words::time(remark.at),
        comment: remark.comment.clone().unwrap_or_default(),
    }
}
