//! What the root and its streams share, and the one way to drive a stream: hand an event to its exchange, perform
//! what comes back.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use graphwarden_policies::identity::Origin;
use graphwarden_policies::policy::Policy;
use proxy_wasm::types::{LogLevel, MapType, MetricType};

use super::stopwatch::{self, Stopwatch};
use super::wire::{self, HostVerifier};
use crate::exchange::{CallReply, Effect, Event, Exchange, Flow, Metric, Reaction, Reply, WaitOn};
use crate::root::{Call, Core, Gauge, Note, Purpose, Wake, name_of};

/// Between ticks while nothing is urgent.
const SLOW: Duration = Duration::from_millis(50);
/// Between ticks while calls wait to be made and the bell cannot be rung.
const FAST: Duration = Duration::from_millis(1);

/// The root of this VM that was configured last.
static NEWEST: AtomicU32 = AtomicU32::new(0);

/// One configuration's streams and what they share.
pub(super) struct Shared {
    root: u32,
    core: RefCell<Core>,
    streams: RefCell<BTreeMap<u32, Rc<Stream>>>,
    calls: RefCell<HashMap<u32, Purpose>>,
    counters: RefCell<HashMap<Metric, Counter>>,
    named: RefCell<HashMap<&'static str, u32>>,
    /// What this VM has added to each gauge.
    shown: RefCell<BTreeMap<Gauge, u64>>,
    pace: Cell<Option<Duration>>,
    bell: Bell,
}

/// A counter, and what has not been shown to the host yet: a request counts several things, and each would be a call.
#[derive(Default)]
struct Counter {
    /// `None` where the host does not know it.
    id: Option<u32>,
    unshown: u64,
}

/// The root's bell: a shared queue of its own. An item in it calls the root as soon as the callback under way is over,
/// where a tick would come a millisecond later.
struct Bell {
    /// `None` where the host gave none.
    queue: Option<u32>,
    rung: Cell<bool>,
}

/// One stream.
pub(super) struct Stream {
    pub(super) id: u32,
    policy: Rc<Policy>,
    exchange: RefCell<Exchange>,
    /// The request is paused.
    pub(super) held: Cell<bool>,
    /// The request's headers may still be changed.
    pub(super) editable: Cell<bool>,
    /// How much of the request's body has been read out of the host's buffer.
    pub(super) read: Cell<usize>,
    /// How much of it is in the buffer while its callback lasts, else 0.
    pub(super) buffered: Cell<usize>,
    /// How large the piece of response body is while its callback lasts. Outside of it there is none to replace,
    /// and the host does not forgive the attempt.
    pub(super) piece: Cell<Option<usize>>,
    /// The number of the exchange's last question to another service.
    serial: Cell<u32>,
    pub(super) gone: Cell<bool>,
}

impl Shared {
    /// `bell` is a name that no other root has.
    pub(super) fn new(root: u32, core: Core, bell: &str) -> Self {
        NEWEST.store(root, Ordering::Relaxed);
        Self {
            root,
            core: RefCell::new(core),
            streams: RefCell::default(),
            calls: RefCell::default(),
            counters: RefCell::default(),
            named: RefCell::default(),
            shown: RefCell::default(),
            pace: Cell::new(None),
            bell: Bell {
                queue: wire::register_queue(&format!("graphwarden.bell.{bell}")),
                rung: Cell::new(false),
            },
        }
    }

    /// Registers a stream that begins.
    pub(super) fn open(&self, id: u32, exchange: String) -> Option<Rc<Stream>> {
        let policy = Rc::clone(self.core.try_borrow().ok()?.policy());
        let stream = Rc::new(Stream {
            id,
            policy,
            exchange: RefCell::new(Exchange::new(exchange)),
            held: Cell::new(false),
            editable: Cell::new(false),
            read: Cell::new(0),
            buffered: Cell::new(0),
            piece: Cell::new(None),
            serial: Cell::new(0),
            gone: Cell::new(false),
        });
        self.streams.try_borrow_mut().ok()?.insert(id, Rc::clone(&stream));
        Some(stream)
    }

    /// Forgets a stream that is over.
    pub(super) fn close(&self, stream: &Stream) {
        if let Ok(mut streams) = self.streams.try_borrow_mut() {
            streams.remove(&stream.id);
        }
        self.with_core(|core| core.untrace(stream.id));
    }

    /// Hands `event` to the stream's exchange and performs what it asks for. The host must be acting as the
    /// stream. What cannot be done ends in a refusal: the flow is then paused and a reply under way.
    pub(super) fn drive(&self, stream: &Stream, event: Event) -> Flow {
        let step = {
            let judging = matches!(event, Event::RequestHeaders { .. });
            let _watch = judging.then(|| Stopwatch::start(stopwatch::Part::Judging));
            self.step(stream, event)
        };
        let Some(Reaction { flow, effects }) = step else {
            return fail("an exchange was asked twice at once");
        };
        for effect in effects {
            if !self.perform(stream, effect) {
                return fail("a change that the exchange asked for could not be made");
            }
        }
        self.hurry();
        flow
    }

    fn step(&self, stream: &Stream, event: Event) -> Option<Reaction> {
        let mut exchange = stream.exchange.try_borrow_mut().ok()?;
        let mut core = self.core.try_borrow_mut().ok()?;
        // Another worker may have let a change through.
        if core.looks_up()
            && let Some(epoch) = wire::lookup_epoch()
        {
            core.forget_lookups(epoch);
        }
        let now = wire::now();
        let begins = matches!(event, Event::RequestHeaders { .. });
        let reaction =
            exchange.handle(event, &mut core.gate(&stream.policy, &HostVerifier, now, wire::wall_at(now)));
        core.set_wait(stream.id, exchange.wait());
        if begins && let Some(trace) = exchange.trace() {
            core.trace(stream.id, trace.clone());
        }
        Some(reaction)
    }

    fn perform(&self, stream: &Stream, effect: Effect) -> bool {
        match effect {
            Effect::Reply(reply) => {
                stream.editable.set(false);
                // A refused body must not grow in the host's buffer: at its limit Envoy would answer in our place.
                wire::drop_request_body(stream.buffered.get());
                wire::reply(&reply)
            }
            Effect::EditRequest(edits) => {
                let _watch = Stopwatch::start(stopwatch::Part::Editing);
                stream.editable.get() && wire::edit(MapType::HttpRequestHeaders, &edits)
            }
            Effect::EditResponse(edits) => wire::edit(MapType::HttpResponseHeaders, &edits),
            Effect::ReplaceBody(bytes) => match stream.piece.get() {
                Some(size) => wire::replace_piece(size, &bytes),
                None => bytes.is_empty(),
            },
            Effect::AskApproval { question, wait } => {
                let serial = stream.next_serial();
                self.with_core(|core| {
                    let exchange = stream.exchange.try_borrow().map(|exchange| exchange.id().to_owned());
                    core.ask_approval(stream.id, serial, &exchange.unwrap_or_default(), &question, wait);
                })
            }
            Effect::Introspect(request) => {
                let serial = stream.next_serial();
                self.with_core(|core| core.introspect(stream.id, serial, request))
            }
            Effect::LookUp(inquiry) => {
                let serial = stream.next_serial();
                self.with_core(|core| core.look_up(stream.id, serial, inquiry))
            }
            // All that has come of the body is in the buffer: it was held.
            Effect::ReplaceRequestBody(bytes) => wire::replace_request_body(stream.read.get(), &bytes),
            Effect::ForgetLookups => self.with_core(|core| {
                if core.looks_up() {
                    let next = wire::next_lookup_epoch(core.lookup_epoch());
                    core.forget_lookups(next);
                }
            }),
            Effect::WithdrawApproval { id } => self.with_core(|core| {
                let exchange = stream.exchange.try_borrow().map(|exchange| exchange.id().to_owned());
                core.withdraw(stream.id, &exchange.unwrap_or_default(), id.as_deref());
            }),
            Effect::Publish(fields) => {
                for (name, value) in fields {
                    wire::set_filter_state(name, &value);
                }
                true
            }
            Effect::Count(metric, by) => {
                self.count(metric, by);
                true
            }
        }
    }

    fn with_core(&self, with: impl FnOnce(&mut Core)) -> bool {
        self.core.try_borrow_mut().map(|mut core| with(&mut core)).is_ok()
    }

    /// Makes the calls that are due, and deals with those that could not be made. The host must be acting as
    /// the root.
    pub(super) fn pump(&self) {
        // A call that fails at once may ask for another; what is left over comes at the next tick.
        for _ in 0..4 {
            let calls = match self.core.try_borrow_mut() {
                Ok(mut core) => core.due(wire::now()),
                Err(_) => return,
            };
            if calls.is_empty() {
                break;
            }
            for call in calls {
                self.make(call);
            }
        }
        self.hurry();
    }

    fn make(&self, call: Call) {
        let token = wire::call(&call);
        match (token, self.calls.try_borrow_mut()) {
            (Some(token), Ok(mut calls)) => {
                calls.insert(token, call.purpose);
            }
            (Some(_), Err(_)) => {}
            (None, calls) => {
                drop(calls);
                wire::log(LogLevel::Warn, &format!("the cluster `{}` cannot be called", call.cluster));
                self.answered(call.purpose, CallReply { status: None, body: Vec::new() });
            }
        }
    }

    /// What the call was for whose answer has come.
    pub(super) fn take_call(&self, token: u32) -> Option<Purpose> {
        self.calls.try_borrow_mut().ok()?.remove(&token)
    }

    /// Takes the answer to a call and wakes the streams that waited for it. The host must be acting as the root.
    pub(super) fn answered(&self, purpose: Purpose, reply: CallReply) {
        if let Purpose::Approval { stream, exchange, .. } = &purpose
            && !self.is_open(*stream)
        {
            self.with_core(|core| core.answered_too_late(*stream, exchange, &reply));
            return;
        }
        let (wakes, note) = match self.core.try_borrow_mut() {
            Ok(mut core) => core.answered(purpose, reply, wire::now()),
            Err(_) => return,
        };
        if let Some(note) = note {
            self.tell(&note);
        }
        self.wake_all(wakes);
    }

    /// Wakes the streams whose time has come, and shows counters and gauges. The host must be acting as the root.
    pub(super) fn tick(&self) {
        // Were a call by the bell ever lost, it would be missed for no longer than this.
        self.bell.rung.set(false);
        let now = wire::now();
        let (wakes, gauges) = match self.core.try_borrow_mut() {
            Ok(mut core) => (core.timers(now), core.gauges(now)),
            Err(_) => return,
        };
        self.wake_all(wakes);
        self.show_counters();
        self.gauge(Gauge::Queued, gauges.depth as u64);
        self.gauge(Gauge::Lag, u64::try_from(gauges.lag.as_millis()).unwrap_or(u64::MAX));
        self.gauge(Gauge::Waiting, gauges.waiting as u64);
        // One VM may have a second root for a while, when the policy changes: the newer shows what both use.
        let newest = NEWEST.load(Ordering::Relaxed) == self.root;
        self.gauge(Gauge::Memory, if newest { wire::memory() } else { 0 });
        self.count_named("graphwarden.evidence.refused", gauges.refused);
    }

    fn wake_all(&self, wakes: Vec<Wake>) {
        for wake in wakes {
            let (id, event) = match wake {
                Wake::Keys(id) => (id, Event::KeysChanged),
                Wake::Evidence(id) => (id, Event::EvidenceDurable),
                Wake::Timer(id) => (id, Event::Tick),
                Wake::Call { stream, serial, reply } => {
                    if !self.is_current(stream, serial) {
                        continue;
                    }
                    (stream, Event::CallReply(reply))
                }
            };
            let stream = self.streams.try_borrow().ok().and_then(|streams| streams.get(&id).cloned());
            if let Some(stream) = stream {
                self.wake(&stream, event);
            }
        }
    }

    fn wake(&self, stream: &Stream, event: Event) {
        if !wire::act_as(stream.id) {
            self.close(stream);
            return;
        }
        let flow = self.drive(stream, event);
        // Resuming comes last: after it the request's headers are out of reach.
        if flow == Flow::Continue && stream.held.replace(false) {
            stream.editable.set(false);
            wire::resume_request();
        }
        wire::act_as(self.root);
    }

    fn is_open(&self, stream: u32) -> bool {
        self.streams.try_borrow().is_ok_and(|streams| streams.contains_key(&stream))
    }

    /// Whether the stream still waits for the answer to this question.
    fn is_current(&self, stream: u32, serial: u32) -> bool {
        self.streams.try_borrow().ok().and_then(|streams| streams.get(&stream).cloned()).is_some_and(
            |stream| {
                stream.serial.get() == serial
                    && stream.exchange.try_borrow().is_ok_and(|exchange| exchange.wait().on == WaitOn::Call)
            },
        )
    }

    /// Shows what was counted last, and takes back what this root has added to the gauges: it is over, and they are not.
    pub(super) fn leave(&self) {
        self.show_counters();
        for gauge in Gauge::ALL {
            self.gauge(gauge, 0);
        }
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.core.try_borrow().is_ok_and(|core| core.is_flushed())
    }

    /// Sees to it that the root is called when there is something to do.
    pub(super) fn hurry(&self) {
        let hurried = self.core.try_borrow().is_ok_and(|core| core.is_hurried());
        let pace = if hurried && !self.bell.ring() { FAST } else { SLOW };
        // Setting the period starts it anew: done for every request it would put the tick off for ever.
        if self.pace.replace(Some(pace)) != Some(pace) {
            wire::tick_every(pace);
        }
    }

    /// The root was called through its bell. The host must be acting as the root.
    pub(super) fn answer_bell(&self, queue: u32) {
        wire::dequeue(queue);
        self.bell.rung.set(false);
        self.pump();
    }

    fn tell(&self, note: &Note) {
        match note {
            Note::KeysFetched(issuer, keys) => {
                self.count_named("graphwarden.keys.fetched", 1);
                wire::log(LogLevel::Debug, &format!("issuer {issuer}: {keys} keys"));
            }
            Note::KeysFailed(issuer, what) => {
                self.count_named("graphwarden.keys.failed", 1);
                wire::log(LogLevel::Warn, &format!("keys of identity.issuers[{issuer}]: {what}"));
            }
            Note::EvidenceSent(lines) => self.count_named("graphwarden.evidence.sent", *lines),
            Note::EvidenceFailed(what) => {
                self.count_named("graphwarden.evidence.failed", 1);
                wire::log(LogLevel::Warn, &format!("evidence: {what}"));
            }
        }
    }

    fn count(&self, metric: Metric, by: u64) {
        let Ok(mut counters) = self.counters.try_borrow_mut() else { return };
        let counter = counters.entry(metric).or_default();
        counter.unshown = counter.unshown.saturating_add(by);
    }

    /// Shows the host what was counted.
    fn show_counters(&self) {
        #[cfg(feature = "stopwatch")]
        stopwatch::take().for_each(|(name, nanoseconds)| self.count_named(name, nanoseconds));
        let Ok(mut counters) = self.counters.try_borrow_mut() else { return };
        for (metric, counter) in counters.iter_mut().filter(|(_, counter)| counter.unshown > 0) {
            counter.id = counter.id.or_else(|| wire::define(MetricType::Counter, &name_of(metric)));
            if let Some(id) = counter.id {
                wire::increment(id, std::mem::take(&mut counter.unshown));
            }
        }
    }

    fn count_named(&self, name: &'static str, by: u64) {
        if let Some(id) = (by > 0).then(|| self.named_id(MetricType::Counter, name)).flatten() {
            wire::increment(id, by);
        }
    }

    /// Envoy has one gauge for all VMs: each adds what its own part has changed by.
    fn gauge(&self, gauge: Gauge, value: u64) {
        let Some(id) = self.named_id(MetricType::Gauge, gauge.name()) else { return };
        let Ok(mut shown) = self.shown.try_borrow_mut() else { return };
        let before = shown.insert(gauge, value).unwrap_or(0);
        if value != before {
            wire::shift_gauge(id, i64::try_from(i128::from(value) - i128::from(before)).unwrap_or(0));
        }
    }

    fn named_id(&self, kind: MetricType, name: &'static str) -> Option<u32> {
        let mut named = self.named.try_borrow_mut().ok()?;
        if let Some(id) = named.get(name) {
            return Some(*id);
        }
        let id = wire::define(kind, name)?;
        named.insert(name, id);
        Some(id)
    }
}

impl Bell {
    /// Calls the root, unless it is called already. False where that cannot be done.
    fn ring(&self) -> bool {
        if !self.rung.get() {
            self.rung.set(self.queue.is_some_and(wire::enqueue));
        }
        self.rung.get()
    }
}

impl Stream {
    fn next_serial(&self) -> u32 {
        let serial = self.serial.get().wrapping_add(1);
        self.serial.set(serial);
        serial
    }

    /// The claims that Envoy's jwt_authn verified, where the policy takes identities from there.
    pub(super) fn verified_claims(&self) -> Option<Vec<u8>> {
        match self.policy.authenticator.origin() {
            Origin::Token => None,
            Origin::JwtAuthn { namespace, key } => wire::dynamic_metadata(namespace, key),
        }
    }

    pub(super) fn wants_request_body(&self) -> bool {
        self.exchange.try_borrow().is_ok_and(|exchange| exchange.wants_request_body())
    }

    pub(super) fn wants_response_body(&self) -> bool {
        self.exchange.try_borrow().is_ok_and(|exchange| exchange.wants_response_body())
    }

    pub(super) fn has_ended(&self) -> bool {
        self.exchange.try_borrow().is_ok_and(|exchange| exchange.has_ended())
    }
}

/// The answer where even the exchange cannot answer. The flow it returns holds the stream.
pub(super) fn fail(why: &str) -> Flow {
    wire::log(LogLevel::Error, why);
    wire::reply(&Reply {
        status: 500,
        headers: vec![("content-type", "application/json".to_owned())],
        body: br#"{"detail":"internal error","reason":"internal"}"#.to_vec(),
    });
    Flow::Pause
}
