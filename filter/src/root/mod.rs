//! What all exchanges of one configuration share: the policy, the keys, the queue of evidence, callouts and timers.
//!
//! Like the exchange, it does no I/O: [`Core::due`] says which calls to make, [`Core::answered`] takes what came of
//! them, and both say which streams to wake ([`Wake`]). The host lends it to exchanges as their [`Gate`].

mod calls;
mod evidence;
mod keys;
mod metrics;
mod waits;

pub use calls::{Call, Purpose};
pub use metrics::{Gauge, name_of};

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use graphwarden_policies::identity::{IntrospectionRequest, NativeVerifier, TokenCache};
use graphwarden_policies::operation::{Epoch, LookupCache};
use graphwarden_policies::policy::{Environment, Policy, Problems};

use crate::exchange::{BodySight, CallReply, Gate, Inquiry, Ledger, Moment, Room, Trace, Wait, Wall};
use evidence::{Delivered, Queue, Urgency};
use keys::{KeyKeeper, Progress};
use waits::Waits;

/// How many verified tokens are remembered. At about 2 KiB each that is some 20 MiB at the most.
const TOKENS: usize = 10_000;
/// How many answers of LangGraph's are remembered. At up to 1 KiB each that is 10 MiB at the most.
const LOOKUPS: usize = 10_000;
/// By how much the time of day has to have moved against the host's own clock to count as set: a clock that is brought
/// up by and by never does so in one step.
const SET_BY: Duration = Duration::from_secs(1);

/// What the exchanges of one configuration share.
#[derive(Debug)]
pub struct Core {
    policy: Rc<Policy>,
    keys: KeyKeeper,
    tokens: TokenCache,
    /// By how much the time of day was ahead of the host's own clock when it was last looked at, in microseconds.
    ahead: Option<i128>,
    lookups: LookupCache,
    queue: Option<Queue>,
    sight: BodySight,
    room: Room,
    waits: Waits,
    outbox: Vec<Call>,
    /// The traces of streams whose request belongs to one.
    traces: BTreeMap<u32, Trace>,
    /// A stream of numbers that differs from VM to VM, for the ids of spans.
    spans: u64,
}

/// A stream to wake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// Keys came, or did not.
    Keys(u32),
    /// Its admission line is durable.
    Evidence(u32),
    /// Its time has come.
    Timer(u32),
    /// Its question was answered.
    Call {
        /// The host's id of the stream.
        stream: u32,
        /// Which of its questions.
        serial: u32,
        /// The answer.
        reply: CallReply,
    },
}

/// What came of a call, for the log and the metrics. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Keys were fetched: the issuer's place in the policy, and how many of them can be used.
    KeysFetched(usize, usize),
    /// Keys could not be fetched.
    KeysFailed(usize, String),
    /// So many lines became durable.
    EvidenceSent(u64),
    /// A delivery failed.
    EvidenceFailed(String),
}

impl Core {
    /// Reads and compiles the policy. `seed` and `chain` have to be random.
    ///
    /// # Errors
    /// Everything that is wrong with the policy.
    pub fn new(
        document: &[u8],
        environment: Environment<'_>,
        seed: u64,
        chain: String,
        wall: Wall,
    ) -> Result<Self, Problems> {
        let policy = Policy::parse(document, environment)?;
        let queue = policy
            .evidence
            .clone()
            .map(|service| Queue::new(service, chain, &policy.gateway, policy.digest(), wall));
        Ok(Self {
            keys: KeyKeeper::new(&policy.authenticator, seed | 1),
            tokens: TokenCache::new(TOKENS),
            lookups: LookupCache::new(LOOKUPS),
            ahead: None,
            queue,
            sight: BodySight::Unknown,
            room: Room::default(),
            waits: Waits::default(),
            outbox: Vec::new(),
            traces: BTreeMap::new(),
            spans: seed.rotate_left(32) | 1,
            policy: Rc::new(policy),
        })
    }

    /// The policy in force.
    pub fn policy(&self) -> &Rc<Policy> {
        &self.policy
    }

    /// What an exchange may look at.
    pub fn gate<'a>(
        &'a mut self,
        policy: &'a Policy,
        native: &'a dyn NativeVerifier,
        now: Moment,
        wall: Wall,
    ) -> Gate<'a> {
        self.look_at(now, wall);
        Gate {
            policy,
            keys: &mut self.keys,
            tokens: &mut self.tokens,
            lookups: &mut self.lookups,
            native,
            ledger: self.queue.as_mut().map(|queue| queue as &mut dyn Ledger),
            room: &mut self.room,
            sight: &mut self.sight,
            now,
            wall,
        }
    }

    /// Where the time of day was set, what tokens were found to be at another time says nothing any more: an entry
    /// that was to be believed for seconds would be for as long as the clock went back.
    fn look_at(&mut self, now: Moment, wall: Wall) {
        let ahead = i128::from(wall.0) - i128::from(now.0);
        let before = *self.ahead.get_or_insert(ahead);
        if (ahead - before).unsigned_abs() >= SET_BY.as_micros() {
            self.ahead = Some(ahead);
            self.tokens.clear();
        }
    }

    /// Notes what a stream waits for.
    pub fn set_wait(&mut self, stream: u32, wait: Wait) {
        self.waits.set(stream, wait);
    }

    /// Notes the trace that a stream's request belongs to. It is forgotten by [`Core::untrace`].
    pub fn trace(&mut self, stream: u32, trace: Trace) {
        self.traces.insert(stream, trace);
    }

    /// Forgets the trace of a stream that is over.
    pub fn untrace(&mut self, stream: u32) {
        self.traces.remove(&stream);
    }

    /// Queues a question to the approval service.
    pub fn ask_approval(
        &mut self,
        stream: u32,
        serial: u32,
        exchange: &str,
        question: &[u8],
        wait: Duration,
    ) {
        if let Some(service) = &self.policy.approvals {
            let purpose = Purpose::Approval { stream, serial, exchange: exchange.to_owned() };
            let call = Call::to(service, purpose, "POST", service.path.clone());
            self.outbox.push(call.waiting(wait).with_body("application/json", question.to_vec()));
        }
    }

    /// Queues a question to a token's issuer.
    pub fn introspect(&mut self, stream: u32, serial: u32, request: IntrospectionRequest) {
        self.outbox.push(Call {
            purpose: Purpose::Introspection { stream, serial },
            cluster: request.cluster,
            headers: request.headers,
            body: request.body,
            timeout: request.timeout,
        });
    }

    /// Queues a question to LangGraph.
    pub fn look_up(&mut self, stream: u32, serial: u32, inquiry: Inquiry) {
        self.outbox.push(Call {
            purpose: Purpose::Lookup { stream, serial },
            cluster: inquiry.cluster,
            headers: inquiry.headers,
            body: inquiry.body,
            timeout: inquiry.timeout,
        });
    }

    /// Whether LangGraph is ever asked.
    pub fn looks_up(&self) -> bool {
        self.policy.operations.lookups().is_some()
    }

    /// In which epoch the answers that are remembered were given.
    pub fn lookup_epoch(&self) -> Epoch {
        self.lookups.epoch()
    }

    /// Forgets LangGraph's answers, unless they were given in this epoch.
    pub fn forget_lookups(&mut self, epoch: Epoch) {
        self.lookups.advance(epoch);
    }

    /// Queues the withdrawal of an approval. `id` is one that the approval service gave, safe in a path; where
    /// it has not answered yet, it knows the exchange. `stream` is whose approval it was.
    pub fn withdraw(&mut self, stream: u32, exchange: &str, id: Option<&str>) {
        if let Some(service) = &self.policy.approvals {
            let path = match id {
                Some(id) => format!("{}/{id}?exchange={exchange}", service.path),
                None => format!("{}?exchange={exchange}", service.path),
            };
            let mut call = Call::to(service, Purpose::Withdrawal, "DELETE", path);
            // The stream is over before the call is made.
            self.join(&mut call, Some(stream));
            self.outbox.push(call);
        }
    }

    /// The calls to make now.
    pub fn due(&mut self, now: Moment) -> Vec<Call> {
        let mut calls = std::mem::take(&mut self.outbox);
        calls.extend(self.keys.due(now));
        let urgency = self.urgency();
        calls.extend(self.queue.as_mut().and_then(|queue| queue.due(urgency, now)));
        if !self.traces.is_empty() {
            for call in &mut calls {
                self.join(call, self.cause(&call.purpose));
            }
        }
        calls
    }

    /// The stream that a call is made for. What several wait for is made for the first of them.
    fn cause(&self, purpose: &Purpose) -> Option<u32> {
        let traced = |stream: &u32| self.traces.contains_key(stream);
        match purpose {
            Purpose::Approval { stream, .. }
            | Purpose::Introspection { stream, .. }
            | Purpose::Lookup { stream, .. } => Some(*stream),
            Purpose::Keys { .. } => self.waits.for_keys().into_iter().find(traced),
            Purpose::Evidence { .. } => self.waits.for_evidence_below(u64::MAX).into_iter().find(traced),
            Purpose::Withdrawal => None,
        }
    }

    /// Makes a call part of the trace of a stream's request.
    fn join(&mut self, call: &mut Call, stream: Option<u32>) {
        let Some(trace) = stream.and_then(|stream| self.traces.get(&stream)) else { return };
        // xorshift64: never 0, and ids of spans need be unique, not secret.
        self.spans ^= self.spans << 13;
        self.spans ^= self.spans >> 7;
        self.spans ^= self.spans << 17;
        call.headers.extend(trace.headers(self.spans));
    }

    /// The streams whose time has come.
    pub fn timers(&self, now: Moment) -> Vec<Wake> {
        self.waits.due(now).into_iter().map(Wake::Timer).collect()
    }

    /// Takes what came of a call.
    pub fn answered(&mut self, purpose: Purpose, reply: CallReply, now: Moment) -> (Vec<Wake>, Option<Note>) {
        match purpose {
            Purpose::Keys { issuer, discovering } => {
                match self.keys.answered(issuer, discovering, &reply, &self.policy.authenticator, now) {
                    Progress::Follow(call) => {
                        self.outbox.push(call);
                        (Vec::new(), None)
                    }
                    Progress::Ended(result) => {
                        let note = match result {
                            Ok(count) => Note::KeysFetched(issuer.index(), count),
                            Err(what) => Note::KeysFailed(issuer.index(), what),
                        };
                        (self.waits.for_keys().into_iter().map(Wake::Keys).collect(), Some(note))
                    }
                }
            }
            Purpose::Evidence { lines } => {
                let Some(queue) = &mut self.queue else { return (Vec::new(), None) };
                match queue.answered(lines, &reply, now) {
                    Delivered::Below { place, lines } => (
                        self.waits.for_evidence_below(place).into_iter().map(Wake::Evidence).collect(),
                        Some(Note::EvidenceSent(lines)),
                    ),
                    Delivered::Failed(what) => (Vec::new(), Some(Note::EvidenceFailed(what))),
                }
            }
            Purpose::Approval { stream, serial, .. }
            | Purpose::Introspection { stream, serial }
            | Purpose::Lookup { stream, serial } => (vec![Wake::Call { stream, serial, reply }], None),
            Purpose::Withdrawal => (Vec::new(), None),
        }
    }

    /// An approval was asked for by an exchange that is gone: withdraws it, if the answer says which it is.
    pub fn answered_too_late(&mut self, stream: u32, exchange: &str, reply: &CallReply) {
        if let Some(id) = crate::exchange::open_approval(reply) {
            self.withdraw(stream, exchange, Some(&id));
        }
    }

    /// Whether something can be done before the next slow tick.
    pub fn is_hurried(&self) -> bool {
        let urgency = self.urgency();
        !self.outbox.is_empty() || self.queue.as_ref().is_some_and(|queue| queue.is_busy(urgency))
    }

    fn urgency(&self) -> Urgency {
        if self.waits.is_evidence_awaited() { Urgency::Now } else { Urgency::Gather }
    }

    /// Whether nothing would be lost if this ended now.
    pub fn is_flushed(&self) -> bool {
        self.queue.as_ref().is_none_or(Queue::is_flushed)
            && !self.outbox.iter().any(|call| call.purpose == Purpose::Withdrawal)
    }

    /// The figures that go up and down, and what was refused since this was last asked.
    pub fn gauges(&mut self, now: Moment) -> Gauges {
        let waiting = self.waits.len();
        match &mut self.queue {
            None => Gauges { waiting, ..Gauges::default() },
            Some(queue) => {
                Gauges { waiting, depth: queue.depth(), lag: queue.lag(now), refused: queue.take_refused() }
            }
        }
    }
}

/// Figures that go up and down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Streams that wait for something.
    pub waiting: usize,
    /// Lines of evidence that wait.
    pub depth: usize,
    /// How long the oldest of them has waited.
    pub lag: Duration,
    /// Exchanges that were refused for want of room.
    pub refused: u64,
}
