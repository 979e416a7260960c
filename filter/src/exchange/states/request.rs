//! The states before the verdict: headers, the issuers' keys, the body.

use std::sync::Arc;
use std::time::Duration;

use graphwarden_policies::identity::Identity;
use graphwarden_policies::operation;
use graphwarden_policies::reason::Reason;

use super::super::State;
use super::super::context::Cx;
use super::super::event::{Departure, Event, Pairs};
use super::super::gate::{BodySight, Moment};
use super::super::inbound::{Body, Inbound, Seen, first, request_id};
use super::super::refusal::Refusal;
use super::super::trace::Trace;
use super::judge;
use super::response::Replacing;

/// How long a body that has begun may pause. A stalled upload is a held buffer.
pub(in super::super) const BODY_STALL: Duration = Duration::from_secs(30);

/// What a request's head came to: what kind of request it is, or that it is none the gate knows.
pub(in super::super) type ReadHead = Result<operation::Head, operation::Refused>;

/// Nothing has come yet.
#[derive(Debug)]
pub(in super::super) struct Opening;

impl Opening {
    pub(in super::super) fn handle(self, event: Event, cx: &mut Cx<'_, '_>) -> State {
        match event {
            Event::RequestHeaders { pairs, end_of_stream, source, verified } => {
                Self::open(pairs, end_of_stream, source, verified, cx)
            }
            // The proxy answered before this filter saw anything: nothing of ours to judge, nothing to mask.
            Event::ResponseHeaders { .. } | Event::ResponseBody { .. } | Event::ResponseTrailers => {
                cx.go_on();
                State::Opening(self)
            }
            Event::Tick | Event::KeysChanged | Event::EvidenceDurable | Event::CallReply(_) => {
                State::Opening(self)
            }
            Event::Gone(_) => State::Closed,
            Event::RequestBody { .. } | Event::RequestTrailers => cx.refuse_unexpected(),
        }
    }

    fn open(
        pairs: Pairs,
        end_of_stream: bool,
        source: Option<String>,
        verified: Option<Vec<u8>>,
        cx: &mut Cx<'_, '_>,
    ) -> State {
        let now = cx.gate.now;
        cx.dossier.began = now;
        if let Some(id) = request_id(&pairs) {
            cx.dossier.request_id = id;
        }
        cx.dossier.trace = Trace::of(&pairs);
        cx.dossier.came_from(source, first(&pairs, b"user-agent"));
        cx.dossier.asked(
            first(&pairs, b":method").unwrap_or_default(),
            first(&pairs, b":path").unwrap_or_default(),
        );
        if let Some(cors) = &cx.gate.policy.cors {
            cx.dossier.cors = cors.headers(first(&pairs, b"origin"));
        }
        if !cx.reserve() {
            return cx.refuse(&Refusal::new(Reason::EvidenceUnavailable));
        }
        match Inbound::new(pairs, end_of_stream, cx.gate.policy.limits.request_body, now) {
            Err(refusal) => cx.refuse(&refusal),
            Ok(inbound) => judge::head(Inbound { verified, share: cx.gate.room.share(), ..inbound }, cx),
        }
    }
}

/// The token's issuer has no fitting key yet, and a fetch is under way.
#[derive(Debug)]
pub(in super::super) struct AwaitingKeys {
    pub(in super::super) inbound: Inbound,
    pub(in super::super) head: ReadHead,
    pub(in super::super) until: Moment,
    /// Why the token would be refused if no better keys came.
    pub(in super::super) otherwise: Reason,
}

impl AwaitingKeys {
    pub(in super::super) fn handle(self, event: Event, cx: &mut Cx<'_, '_>) -> State {
        match event {
            Event::RequestBody { fresh, end_of_stream } => {
                self.inbound.grow(Growth::Piece { fresh, end_of_stream }, cx, |inbound, cx| {
                    cx.pause();
                    State::AwaitingKeys(Self { inbound, ..self })
                })
            }
            Event::RequestTrailers => self.inbound.grow(Growth::End, cx, |inbound, cx| {
                cx.pause();
                State::AwaitingKeys(Self { inbound, ..self })
            }),
            Event::KeysChanged => judge::caller(self.inbound, self.head, Some(self.until), cx),
            Event::Tick if cx.gate.now < self.until => {
                cx.pause();
                State::AwaitingKeys(self)
            }
            Event::Tick => judge::caller_refused(self.inbound, self.head, Refusal::new(self.otherwise), cx),
            other => interrupted(other, cx),
        }
    }
}

/// The issuer is asked whether the token still counts.
#[derive(Debug)]
pub(in super::super) struct AwaitingIntrospection {
    pub(in super::super) inbound: Inbound,
    pub(in super::super) head: ReadHead,
    pub(in super::super) identity: Arc<Identity>,
    pub(in super::super) until: Moment,
}

impl AwaitingIntrospection {
    pub(in super::super) fn handle(self, event: Event, cx: &mut Cx<'_, '_>) -> State {
        match event {
            Event::CallReply(reply) => {
                let gate = &mut *cx.gate;
                let verdict = gate.policy.authenticator.introspected(
                    &self.identity,
                    reply.status.unwrap_or(0),
                    &reply.body,
                    gate.tokens,
                    gate.wall.seconds(),
                );
                match verdict {
                    Ok(()) => judge::known(self.inbound, self.head, self.identity, cx),
                    Err(refused) => {
                        cx.dossier.identity = Some(self.identity);
                        let refusal = Refusal::with_detail(refused.reason, refused.detail);
                        judge::caller_refused(self.inbound, self.head, refusal, cx)
                    }
                }
            }
            Event::RequestBody { fresh, end_of_stream } => {
                self.inbound.grow(Growth::Piece { fresh, end_of_stream }, cx, |inbound, cx| {
                    cx.pause();
                    State::AwaitingIntrospection(Self { inbound, ..self })
                })
            }
            Event::RequestTrailers => self.inbound.grow(Growth::End, cx, |inbound, cx| {
                cx.pause();
                State::AwaitingIntrospection(Self { inbound, ..self })
            }),
            Event::KeysChanged => {
                cx.pause();
                State::AwaitingIntrospection(self)
            }
            Event::Tick if cx.gate.now < self.until => {
                cx.pause();
                State::AwaitingIntrospection(self)
            }
            Event::Tick => {
                let refusal = Refusal::new(Reason::IntrospectionUnavailable);
                judge::caller_refused(self.inbound, self.head, refusal, cx)
            }
            other => interrupted(other, cx),
        }
    }
}

/// The head is judged and the caller known; the rest of the body has to come before anything is decided.
#[derive(Debug)]
pub(in super::super) struct AwaitingBody {
    pub(in super::super) inbound: Inbound,
    pub(in super::super) head: operation::Head,
    pub(in super::super) identity: Arc<Identity>,
}

impl AwaitingBody {
    pub(in super::super) fn handle(self, event: Event, cx: &mut Cx<'_, '_>) -> State {
        match event {
            Event::RequestBody { fresh, end_of_stream } => {
                self.inbound.grow(Growth::Piece { fresh, end_of_stream }, cx, |inbound, cx| {
                    judge::whole(inbound, self.head, self.identity, cx)
                })
            }
            Event::RequestTrailers => self
                .inbound
                .grow(Growth::End, cx, |inbound, cx| judge::whole(inbound, self.head, self.identity, cx)),
            Event::Tick
                if self.deadline(cx.gate.policy.limits.body_wait).is_some_and(|due| cx.gate.now < due) =>
            {
                cx.pause();
                State::AwaitingBody(self)
            }
            Event::Tick => {
                let refusal = match (self.inbound.seen(), *cx.gate.sight) {
                    // This VM has seen a body behind held headers before, or sees this one: the setting is
                    // there, and it is the client that stalls.
                    (Seen::Some, _) | (_, BodySight::Proven) => Refusal::stalled(),
                    (Seen::NotYet, BodySight::Unknown) => Refusal::new(Reason::BodyNotSeen),
                };
                cx.refuse(&refusal)
            }
            Event::KeysChanged => {
                cx.pause();
                State::AwaitingBody(self)
            }
            other => interrupted(other, cx),
        }
    }

    /// When the wait for the body ends. `begin` is how long it may take to begin.
    pub(in super::super) fn deadline(&self, begin: Duration) -> Option<Moment> {
        match &self.inbound.body {
            Body::Whole(_) => None,
            Body::Coming { last, seen: Seen::NotYet, .. } => Some(last.after(begin)),
            Body::Coming { last, seen: Seen::Some, .. } => Some(last.after(BODY_STALL)),
        }
    }
}

/// What an event brings of a body that is being held.
enum Growth {
    Piece {
        fresh: Vec<u8>,
        end_of_stream: bool,
    },
    /// Trailers.
    End,
}

impl Inbound {
    /// Takes what came, and goes on as `then` says; a body that may not grow like that is refused.
    fn grow(
        mut self,
        growth: Growth,
        cx: &mut Cx<'_, '_>,
        then: impl FnOnce(Self, &mut Cx<'_, '_>) -> State,
    ) -> State {
        let body = match growth {
            Growth::Piece { fresh, end_of_stream } => {
                *cx.gate.sight = BodySight::Proven;
                if !self.share.take(fresh.len(), cx.gate.policy.limits.bodies) {
                    return cx.refuse(&Refusal::new(Reason::GateFull));
                }
                self.body.grow(&fresh, end_of_stream, cx.gate.policy.limits.request_body, cx.gate.now)
            }
            Growth::End => self.body.end(),
        };
        match body {
            Ok(body) => then(Self { body, ..self }, cx),
            Err(refusal) => cx.refuse(&refusal),
        }
    }

    fn seen(&self) -> Seen {
        match &self.body {
            Body::Whole(_) => Seen::Some,
            Body::Coming { seen, .. } => *seen,
        }
    }
}

/// What a request that is held makes of an event that it does not wait for: a response that the proxy made itself, the
/// end of the stream, or something that cannot come now, which it does not survive.
pub(super) fn interrupted(event: Event, cx: &mut Cx<'_, '_>) -> State {
    match event {
        Event::ResponseHeaders { pairs, end_of_stream, .. } => Replacing::early(&pairs, end_of_stream, cx),
        Event::Gone(departure) => gone(departure, cx),
        Event::RequestHeaders { .. }
        | Event::RequestBody { .. }
        | Event::RequestTrailers
        | Event::KeysChanged
        | Event::CallReply(_)
        | Event::EvidenceDurable
        | Event::ResponseBody { .. }
        | Event::ResponseTrailers
        | Event::Tick => cx.refuse_unexpected(),
    }
}

/// The stream ended before a verdict.
pub(in super::super) fn gone(departure: Departure, cx: &mut Cx<'_, '_>) -> State {
    super::response::record(departure.into(), cx);
    State::Closed
}
