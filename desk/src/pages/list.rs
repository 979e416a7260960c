//! What waits for a decision, updating itself, and the history with filter and search.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use super::{Frame, PageError, render, words};
use crate::app::Desk;
use crate::approvals::{Approval, Kind, Status};
use crate::clock::rfc3339;
use crate::people::{Person, SignedIn};
use crate::store::Filter;

/// The most that a page lists.
const MOST: u32 = 100;

pub(super) fn router() -> Router<Desk> {
    Router::new()
        .route("/", get(home))
        .route("/fragments/waiting", get(waiting_fragment))
        .route("/history", get(history))
        .route("/reviews", get(reviews))
}

/// One approval in a list.
pub(super) struct Card {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) requester: String,
    pub(super) roles: String,
    pub(super) rule: String,
    pub(super) status: &'static str,
    pub(super) created: String,
    pub(super) created_words: String,
    pub(super) ends: String,
    pub(super) ends_words: String,
    pub(super) approved: usize,
    pub(super) quorum: u32,
    /// `yours`, `decide`, `decided` or `others`.
    pub(super) you: &'static str,
    /// What kind it is, in words; empty for the usual one.
    pub(super) kind: &'static str,
    /// What to style the kind by.
    pub(super) kind_word: &'static str,
}

impl Card {
    pub(super) fn new(approval: &Approval, person: &Person, now: i64) -> Self {
        let you = match approval.may_decide(person, now) {
            Ok(()) => "decide",
            Err(crate::error::Error::OwnRequest) => "yours",
            Err(crate::error::Error::DecidedBefore) => "decided",
            Err(_) => "others",
        };
        Self {
            id: approval.id.clone(),
            title: words::operations(&approval.operations),
            requester: approval
                .requester
                .name
                .clone()
                .or_else(|| approval.requester.email.clone())
                .unwrap_or_else(|| approval.requester.subject.clone()),
            roles: approval.requester.roles.join(", "),
            rule: approval.rule.clone(),
            status: approval.status_at(now).word(),
            created: rfc3339(approval.created_at),
            created_words: words::time(approval.created_at),
            ends: rfc3339(approval.undecided_until),
            ends_words: words::span(approval.undecided_until - now),
            approved: approval.approvals(),
            quorum: approval.asks.quorum,
            you,
            kind: words::kind(approval.kind()),
            kind_word: approval.kind().word(),
        }
    }
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct Welcome {
    frame: Frame,
}

#[derive(Template)]
#[template(path = "waiting.html")]
struct WaitingPage {
    frame: Frame,
    list: WaitingList,
}

#[derive(Template)]
#[template(path = "waiting_list.html")]
struct WaitingList {
    /// What this person may decide.
    mine: Vec<Card>,
    /// What others have to decide.
    others: Vec<Card>,
    more: bool,
}

async fn home(
    State(desk): State<Desk>,
    signed_in: Result<SignedIn, PageError>,
) -> Result<Response, PageError> {
    let signed_in = match signed_in {
        Ok(signed_in) => signed_in,
        Err(PageError::SignIn(_)) => {
            return Ok(render(&Welcome { frame: Frame::open("Sign in") })?.into_response());
        }
        Err(error) => return Err(error),
    };
    let list = waiting(&desk, &signed_in.session.person).await?;
    let page = WaitingPage { frame: Frame::new(&desk, &signed_in.session, "Waiting", "waiting"), list };
    Ok(render(&page)?.into_response())
}

async fn waiting_fragment(State(desk): State<Desk>, signed_in: SignedIn) -> Result<Html<String>, PageError> {
    Ok(render(&waiting(&desk, &signed_in.session.person).await?)?)
}

async fn waiting(desk: &Desk, person: &Person) -> Result<WaitingList, crate::error::Error> {
    let now = desk.clock.now();
    let filter = Filter { status: Some(Status::Pending), limit: MOST, ..Filter::default() };
    let found = desk.store.approvals(&filter, now).await?;
    let (mine, others) = found
        .approvals
        .iter()
        .map(|approval| Card::new(approval, person, now))
        .partition(|card| card.you == "decide");
    Ok(WaitingList { mine, others, more: found.more })
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    status: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    before: String,
}

/// A day as the browser's date field writes it, in UTC; nonsense filters nothing.
fn day(text: &str) -> Option<i64> {
    crate::clock::parse_time(text.trim())
}

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    frame: Frame,
    cards: Vec<Card>,
    status: String,
    text: String,
    kind: String,
    from: String,
    to: String,
    /// The query of the next page; empty on the last.
    older: String,
    statuses: [&'static str; 5],
    kinds: [(&'static str, &'static str); 3],
}

#[derive(Template)]
#[template(path = "reviews.html")]
struct ReviewsPage {
    frame: Frame,
    /// What nobody has reviewed.
    open: Vec<Card>,
    /// What was reviewed, newest first.
    done: Vec<Card>,
}

async fn history(
    State(desk): State<Desk>,
    signed_in: SignedIn,
    Query(wanted): Query<Wanted>,
) -> Result<Html<String>, PageError> {
    let now = desk.clock.now();
    let text = wanted.text.trim().to_owned();
    let filter = Filter {
        status: Status::parse(&wanted.status),
        text: (!text.is_empty()).then(|| text.clone()),
        kind: Kind::parse(&wanted.kind),
        from: day(&wanted.from),
        // The day itself is meant to be in.
        to: day(&wanted.to).map(|to| to + 86_400_000),
        before: (!wanted.before.is_empty()).then(|| wanted.before.clone()),
        unreviewed: false,
        limit: MOST,
    };
    let found = desk.store.approvals(&filter, now).await?;
    let person = &signed_in.session.person;
    let older = found.approvals.last().filter(|_| found.more).map(|last| {
        url::form_urlencoded::Serializer::new(String::new())
            .append_pair("status", &wanted.status)
            .append_pair("text", &text)
            .append_pair("kind", &wanted.kind)
            .append_pair("from", &wanted.from)
            .append_pair("to", &wanted.to)
            .append_pair("before", &last.id)
            .finish()
    });
    let page = HistoryPage {
        older: older.unwrap_or_default(),
        kind: filter.kind.map_or("", Kind::word).to_owned(),
        from: if filter.from.is_some() { wanted.from } else { String::new() },
        to: if filter.to.is_some() { wanted.to } else { String::new() },
        kinds: [Kind::Request, Kind::Standing, Kind::BreakGlass]
            .map(|kind| (kind.word(), words::kind_named(kind))),
        cards: found.approvals.iter().map(|approval| Card::new(approval, person, now)).collect(),
        status: filter.status.map_or("", Status::word).to_owned(),
        text,
        statuses: ["pending", "approved", "denied", "expired", "cancelled"],
        frame: Frame::new(&desk, &signed_in.session, "History", "history"),
    };
    Ok(render(&page)?)
}

/// How approvers were passed by: what nobody has looked at first.
async fn reviews(State(desk): State<Desk>, signed_in: SignedIn) -> Result<Html<String>, PageError> {
    let now = desk.clock.now();
    let person = &signed_in.session.person;
    let filter = Filter { kind: Some(Kind::BreakGlass), limit: MOST, ..Filter::default() };
    let open = desk.store.approvals(&Filter { unreviewed: true, ..filter.clone() }, now).await?;
    let all = desk.store.approvals(&filter, now).await?;
    let card = |approval: &Approval| Card::new(approval, person, now);
    let page = ReviewsPage {
        open: open.approvals.iter().map(card).collect(),
        done: all.approvals.iter().filter(|approval| !approval.remarks.is_empty()).map(card).collect(),
        frame: Frame::new(&desk, &signed_in.session, "Reviews", "reviews"),
    };
    Ok(render(&page)?)
}
