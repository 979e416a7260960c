//! One HTTP exchange as a state machine without I/O: it takes [`Event`]s and returns [`Reaction`]s.
//!
//! Time, keys, policy and the queue of evidence come in with each event, in a [`Gate`]. What the exchange wants
//! done comes back as [`Effect`]s; the host adapter performs them in order and then acts on [`Reaction::flow`].
//!
//! - input: [`Exchange::handle`], once for each thing that happens, in the order it happened;
//! - polls, after each input: [`Exchange::wait`] (what to be woken for, and when) and
//!   [`Exchange::wants_request_body`] (whether body bytes have to be read out of the host);
//! - end: [`Event::Gone`], after which every event is ignored.
//!
//! # States and events
//! What is not in the table is not expected: before forwarding it is answered with 500, after it the response is
//! cut; nothing is ever forwarded for it.
//!
//! | state | event → next |
//! |---|---|
//! | `Opening` | request headers → `Forwarded` (public), `AwaitingKeys`, `AwaitingBody`, `AwaitingApproval`, `AwaitingEvidence`, `Forwarded` or `Refused`; response → stays, passes |
//! | `AwaitingKeys` | body, trailers → stays; keys → as `Opening`, or stays; tick → `Refused` at the end of the wait; response → `Replacing` |
//! | `AwaitingIntrospection` | body, trailers → stays; reply → as `Opening`; tick → `Refused` at the end of the wait; response → `Replacing` |
//! | `AwaitingBody` | body, trailers → stays until whole, then the verdict; tick → `Refused` at the end of the wait; response → `Replacing` |
//! | `AwaitingLookup` | reply → stays, asks again, or the verdict; tick → `Refused` at the end of the wait; response → `Replacing` |
//! | `AwaitingApproval` | reply → `AwaitingEvidence`, `Forwarded`, `Refused` or stays; tick → stays, asks again, or `Refused`; response → `Replacing` |
//! | `AwaitingEvidence` | durable → `Forwarded` or `AwaitingThread`; tick → `Refused` at the end of the wait; response → `Replacing` |
//! | `AwaitingThread` | reply → `Forwarded` or `Refused`; tick → `Refused` at the end of the wait; response → `Replacing` |
//! | `Forwarded` | body, trailers of a request that is not read → stays; response → `Masking`, `Passing`, `Finished`, `Replacing` or `Refused` |
//! | `Masking` | response body → stays, `Finished` or `Cut`; response trailers → `Finished` or `Cut`; tick → stays, writes a segment of a stream |
//! | `Passing`, `Replacing` | response body, trailers → stays or `Finished` |
//! | `Refused` | response → stays, passes |
//! | `Cut` | response body → stays, emptied |
//! | `Finished` | — |
//! | all | gone → `Closed`, with the record of how it ended |

mod approval;
mod context;
mod dossier;
mod event;
mod gate;
mod inbound;
mod published;
mod recording;
mod refusal;
mod room;
mod states;
#[cfg(test)]
mod tests;
mod trace;

pub use approval::open_approval;
pub use event::{
    Author, CallReply, Departure, Edit, Effect, Event, Flow, Inquiry, Metric, Pairs, Reaction, Reply,
};
pub use gate::{BodySight, Gate, Keys, Ledger, Moment, Wall};
pub use room::Room;
pub use trace::Trace;

use context::Cx;
use dossier::Dossier;
use states::{
    AwaitingApproval, AwaitingBody, AwaitingEvidence, AwaitingIntrospection, AwaitingKeys, AwaitingLookup,
    AwaitingThread, Cut, Finished, Forwarded, Masking, Opening, Passing, Refused, Replacing,
};

/// One HTTP request and its response.
#[derive(Debug)]
pub struct Exchange {
    dossier: Dossier,
    state: State,
    body_wait: std::time::Duration,
}

#[derive(Debug)]
enum State {
    Opening(Opening),
    AwaitingKeys(AwaitingKeys),
    AwaitingIntrospection(AwaitingIntrospection),
    AwaitingBody(AwaitingBody),
    AwaitingLookup(AwaitingLookup),
    AwaitingApproval(AwaitingApproval),
    AwaitingEvidence(AwaitingEvidence),
    AwaitingThread(AwaitingThread),
    Forwarded(Forwarded),
    Masking(Masking),
    Passing(Passing),
    Replacing(Replacing),
    Refused(Refused),
    Cut(Cut),
    Finished(Finished),
    Closed,
}

#[cfg(test)]
impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Opening(_) => "Opening",
            Self::AwaitingKeys(_) => "AwaitingKeys",
            Self::AwaitingIntrospection(_) => "AwaitingIntrospection",
            Self::AwaitingBody(_) => "AwaitingBody",
            Self::AwaitingLookup(_) => "AwaitingLookup",
            Self::AwaitingApproval(_) => "AwaitingApproval",
            Self::AwaitingEvidence(_) => "AwaitingEvidence",
            Self::AwaitingThread(_) => "AwaitingThread",
            Self::Forwarded(_) => "Forwarded",
            Self::Masking(_) => "Masking",
            Self::Passing(_) => "Passing",
            Self::Replacing(_) => "Replacing",
            Self::Refused(_) => "Refused",
            Self::Cut(_) => "Cut",
            Self::Finished(_) => "Finished",
            Self::Closed => "Closed",
        }
    }
}

/// What an exchange has to be woken for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wait {
    /// The thing that it waits for.
    pub on: WaitOn,
    /// When it wants an [`Event::Tick`], whatever comes before.
    pub until: Option<Moment>,
}

/// The thing that an exchange waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitOn {
    /// Nothing but the stream itself.
    #[default]
    Stream,
    /// [`Event::KeysChanged`].
    Keys,
    /// [`Event::CallReply`].
    Call,
    /// [`Event::EvidenceDurable`] for the line with this place.
    Evidence(u64),
}

impl Exchange {
    /// A fresh exchange. `id` has to be random: nobody may be able to guess or choose it.
    pub fn new(id: String) -> Self {
        Self {
            dossier: Dossier::new(id),
            state: State::Opening(Opening),
            body_wait: std::time::Duration::ZERO,
        }
    }

    /// The exchange's id.
    pub fn id(&self) -> &str {
        &self.dossier.exchange
    }

    /// The trace that its request belongs to, once the headers are known.
    pub fn trace(&self) -> Option<&Trace> {
        self.dossier.trace.as_ref()
    }

    /// Takes one event to the next state.
    pub fn handle(&mut self, event: Event, gate: &mut Gate<'_>) -> Reaction {
        self.body_wait = gate.policy.limits.body_wait;
        let mut cx = Cx { dossier: &mut self.dossier, gate, flow: Flow::Pause, effects: Vec::new() };
        // Were `handle` to be left early, the exchange would be closed: held for ever, forwarded never.
        let state = std::mem::replace(&mut self.state, State::Closed);
        self.state = match state {
            State::Opening(state) => state.handle(event, &mut cx),
            State::AwaitingKeys(state) => state.handle(event, &mut cx),
            State::AwaitingIntrospection(state) => state.handle(event, &mut cx),
            State::AwaitingBody(state) => state.handle(event, &mut cx),
            State::AwaitingLookup(state) => state.handle(event, &mut cx),
            State::AwaitingApproval(state) => state.handle(event, &mut cx),
            State::AwaitingEvidence(state) => state.handle(event, &mut cx),
            State::AwaitingThread(state) => state.handle(event, &mut cx),
            State::Forwarded(state) => state.handle(event, &mut cx),
            State::Masking(state) => state.handle(event, &mut cx),
            State::Passing(state) => state.handle(event, &mut cx),
            State::Replacing(state) => state.handle(event, &mut cx),
            State::Refused(state) => state.handle(event, &mut cx),
            State::Cut(state) => state.handle(event, &mut cx),
            State::Finished(state) => state.handle(event, &mut cx),
            State::Closed => State::Closed,
        };
        Reaction { flow: cx.flow, effects: cx.effects }
    }

    /// What to wake it for.
    pub fn wait(&self) -> Wait {
        match &self.state {
            State::AwaitingKeys(state) => Wait { on: WaitOn::Keys, until: Some(state.until) },
            State::AwaitingIntrospection(state) => Wait { on: WaitOn::Call, until: Some(state.until) },
            State::AwaitingBody(state) => Wait { on: WaitOn::Stream, until: state.deadline(self.body_wait) },
            State::AwaitingLookup(state) => Wait { on: WaitOn::Call, until: Some(state.until) },
            State::AwaitingApproval(state) => Wait { on: WaitOn::Call, until: Some(state.deadline()) },
            State::AwaitingEvidence(state) => {
                Wait { on: WaitOn::Evidence(state.seq), until: Some(state.until) }
            }
            State::AwaitingThread(state) => Wait { on: WaitOn::Call, until: Some(state.until) },
            State::Masking(_) => Wait { on: WaitOn::Stream, until: self.dossier.segment_due() },
            State::Opening(_)
            | State::Forwarded(_)
            | State::Passing(_)
            | State::Replacing(_)
            | State::Refused(_)
            | State::Cut(_)
            | State::Finished(_)
            | State::Closed => Wait::default(),
        }
    }

    /// Whether [`Event::RequestBody`] has to carry the bytes.
    pub fn wants_request_body(&self) -> bool {
        matches!(
            self.state,
            State::AwaitingKeys(_) | State::AwaitingIntrospection(_) | State::AwaitingBody(_)
        )
    }

    /// Whether it has come to its end by itself, so that [`Event::Gone`] tells nothing more.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Refused(_) | State::Cut(_) | State::Finished(_) | State::Closed)
    }

    /// Whether [`Event::ResponseBody`] has to carry the bytes.
    pub fn wants_response_body(&self) -> bool {
        matches!(self.state, State::Masking(_))
    }
}
