//! The application: one builder, usable in tests without a socket.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tower_http::trace::TraceLayer;

use crate::approvals::{self, Approval, Given, RemarkKind, Waiting};
use crate::clock::Clock;
use crate::error::Error;
use crate::evidence::{self, Writer};
use crate::gateway::GatewayToken;
use crate::log::{self, LogKey};
use crate::notify::{self, Audience, Screen};
use crate::pages;
use crate::people::{self, Authority, Person};
use crate::settings::Settings;
use crate::store::{Change, Event, Store, Subject};

/// Everything that handlers share.
#[derive(Clone)]
pub struct Desk {
    /// Storage.
    pub store: Store,
    /// The ledger's one writer.
    pub ledger: Writer,
    /// The long polls that wait.
    pub waiting: Waiting,
    /// The time.
    pub clock: Clock,
    /// What gateways present.
    pub gateway_token: GatewayToken,
    /// What signs checkpoints.
    pub log_key: LogKey,
    /// The provider of the people who decide, where one is configured.
    authority: Option<Arc<Authority>>,
    /// Settings.
    pub settings: Arc<Settings>,
    stopping: watch::Sender<bool>,
}

impl Desk {
    /// Puts a desk together over an open store. Has to run inside the async runtime.
    pub fn new(settings: Settings, store: Store, clock: Clock) -> anyhow::Result<Self> {
        let audience =
            Audience { destinations: settings.notify.destinations.clone(), screen: Screen::new()? };
        let store = store.knowing(settings.kin.clone()).telling(audience).opening(settings.open_per_person);
        let waiting = Waiting::default();
        if let Some(mut changes) = store.changes() {
            let waiting = waiting.clone();
            tokio::spawn(async move {
                while let Some(change) = changes.recv().await {
                    match change {
                        Change::Of(approval) => waiting.tell(&approval),
                        Change::Unknown => waiting.tell_all(),
                    }
                }
            });
        }
        Ok(Self {
            ledger: Writer::start(store.clone(), clock.clone()),
            store,
            waiting,
            clock,
            gateway_token: GatewayToken::new(&settings.gateway_token),
            log_key: settings.log_key.clone(),
            authority: settings.provider.clone().map(Authority::new).transpose()?.map(Arc::new),
            settings: Arc::new(settings),
            stopping: watch::channel(false).0,
        })
    }

    /// The provider of the people who decide.
    pub fn authority(&self) -> Result<&Authority, Error> {
        self.authority.as_deref().ok_or(Error::NoProvider)
    }

    /// Tells every open long poll to answer now; new ones do not wait any more.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Resolves when the desk is told to stop.
    pub async fn stopped(&self) {
        // The sender lives as long as `self`, so this ends only when the value is true.
        self.stopping.subscribe().wait_for(|stopping| *stopping).await.ok();
    }

    /// Takes a person's decision and wakes whoever waits for it. Refusals are written into the desk's chain too.
    pub async fn decide(&self, id: &str, person: &Person, given: &Given) -> Result<Approval, Error> {
        let now = self.clock.now();
        let result = self.store.decide(id, person, given, now).await;
        self.concluded(id, person, Some(given.decision), "decision_refused", &result).await?;
        result
    }

    /// Takes a review or a revocation, and wakes whoever waits. Refusals are written into the desk's chain too.
    pub async fn remark(
        &self,
        id: &str,
        person: &Person,
        what: RemarkKind,
        verdict: Option<&str>,
        comment: Option<&str>,
    ) -> Result<Approval, Error> {
        let given =
            Given { decision: crate::approvals::Verdict::Approve, comment: comment.map(str::to_owned) };
        let comment = given.comment()?;
        match (what, verdict) {
            (RemarkKind::Review, Some("accepted")) | (RemarkKind::Revocation, None) => {}
            (RemarkKind::Review, Some("objected")) if comment.is_some() => {}
            (RemarkKind::Review, Some("objected")) => {
                return Err(Error::Malformed("say why you object".to_owned()));
            }
            _ => return Err(Error::Malformed("`verdict` has to be accepted or objected".to_owned())),
        }
        let now = self.clock.now();
        let result = self.store.remark(id, person, what, verdict, comment.as_deref(), now).await;
        let refused = match what {
            RemarkKind::Review => "review_refused",
            RemarkKind::Revocation => "revocation_refused",
        };
        self.concluded(id, person, None, refused, &result).await?;
        result
    }

    /// Wakes whoever waits for what was done, or writes down that it was refused.
    async fn concluded(
        &self,
        id: &str,
        person: &Person,
        decision: Option<crate::approvals::Verdict>,
        refused: &str,
        result: &Result<Approval, Error>,
    ) -> Result<(), Error> {
        match result {
            Ok(_) => self.waiting.tell(id),
            Err(refusal) if refusal.status().is_client_error() => {
                self.refused(id, person, decision, refused, refusal.code()).await?;
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Writes down that a person tried what they may not.
    pub async fn refused(
        &self,
        id: &str,
        person: &Person,
        decision: Option<crate::approvals::Verdict>,
        event: &str,
        reason: &str,
    ) -> Result<(), Error> {
        let id: String = id.chars().take(64).collect();
        let event = Event {
            person: Some(person),
            approval: Some(Subject { id: &id, status: None, decision, comment: None }),
            reason: Some(reason),
            ..Event::new(event)
        };
        self.store.record(&event, self.clock.now()).await
    }

    /// The page of an approval.
    pub fn approval_url(&self, id: &str) -> String {
        format!("{}/approvals/{id}", self.settings.public_url.as_str().trim_end_matches('/'))
    }
}

impl FromRef<Desk> for GatewayToken {
    fn from_ref(desk: &Desk) -> Self {
        desk.gateway_token.clone()
    }
}

/// The whole application.
pub fn app(desk: Desk) -> Router {
    let request_id = HeaderName::from_static("x-request-id");
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .merge(approvals::gateway_router())
        .merge(approvals::people_router())
        .merge(notify::router())
        .merge(people::router())
        .merge(pages::router())
        .merge(evidence::router())
        .merge(log::router())
        .merge(crate::contracts::router())
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::Method)
        .with_state(desk)
        .layer(DefaultBodyLimit::max(crate::body::LARGEST))
        .layer(from_fn(security_headers))
        .layer(CatchPanicLayer::custom(|_| {
            Error::Internal(anyhow::anyhow!("a handler panicked")).into_response()
        }))
        .layer(TraceLayer::new_for_http().make_span_with(span).on_response(on_response).on_failure(()))
        .layer(PropagateRequestIdLayer::new(request_id.clone()))
        .layer(SetRequestIdLayer::new(request_id, MakeRequestUuid))
}

async fn readyz(State(desk): State<Desk>) -> Result<&'static str, Error> {
    if *desk.stopping.borrow() {
        return Err(Error::Stopping);
    }
    desk.store.is_ready(desk.clock.now()).await?;
    Ok("ready\n")
}

/// Only the path goes into the log: a query could hold a code or a search for a person.
fn span(request: &Request) -> tracing::Span {
    let id = request
        .extensions()
        .get::<RequestId>()
        .and_then(|id| id.header_value().to_str().ok())
        .unwrap_or_default();
    tracing::info_span!("request", id, method = %request.method(), path = request.uri().path())
}

fn on_response(response: &Response, latency: Duration, _: &tracing::Span) {
    let status = response.status().as_u16();
    let ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(status, ms, "answered");
}

/// Nothing of the desk is framed, cached, sniffed or run from elsewhere. Handlers may set their own.
async fn security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
