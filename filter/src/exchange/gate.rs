//! What an exchange may look at and write to while it handles an event. The root lends it; nothing here is a host.

use std::time::Duration;

use graphwarden_policies::evidence::Record;
use graphwarden_policies::identity::{KeyRing, Missing, NativeVerifier, TokenCache};
use graphwarden_policies::operation::LookupCache;
use graphwarden_policies::policy::Policy;

use super::room::Room;

/// A moment of a clock that nobody sets, in microseconds since some moment of the host's. Everything that has to come
/// after a while is measured by it: a hold ends when it should, whatever becomes of the time of day meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

/// The time of day, in microseconds since the Unix epoch. It jumps when somebody sets it. Tokens are judged by it and
/// records say it; nothing waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall(pub u64);

impl Wall {
    /// Whole seconds since the Unix epoch.
    pub fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The time of day `span` later.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Moment {
    /// The moment `span` later.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this, zero where it is no earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// The issuers' keys, and asking for fresh ones.
pub trait Keys {
    /// The keys as they are.
    fn ring(&self) -> &KeyRing;
    /// Asks for the issuer's keys to be fetched for the sake of `missing`. True where a fetch is under way or about to
    /// be, so that waiting for [`super::Event::KeysChanged`] makes sense; false where one was in vain of late.
    fn want(&mut self, missing: Missing, now: Moment) -> bool;
}

/// The queue of evidence.
pub trait Ledger {
    /// Sets room aside for all lines of one exchange. False where there is none.
    fn reserve(&mut self) -> bool;
    /// Gives the room back that was set aside.
    fn release(&mut self);
    /// Seals and queues a line of about `bytes` where there is room for it beyond all that was set aside.
    fn append_spare(&mut self, record: &Record, bytes: usize) -> bool;
    /// Seals and queues a line, inside the room set aside; its place in the chain, or `None` where that failed.
    fn append(&mut self, record: &Record) -> Option<u64>;
}

/// Whether this VM has ever been shown a request body behind held headers, that is, whether Envoy's
/// `allow_on_headers_stop_iteration` is set. The host does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BodySight {
    /// Not yet.
    #[default]
    Unknown,
    /// It has.
    Proven,
}

/// Everything that an exchange may look at while it handles one event.
pub struct Gate<'a> {
    /// The policy in force when the exchange began.
    pub policy: &'a Policy,
    /// The issuers' keys.
    pub keys: &'a mut dyn Keys,
    /// Tokens verified before.
    pub tokens: &'a mut TokenCache,
    /// What LangGraph was asked a short while ago.
    pub lookups: &'a mut LookupCache,
    /// The host's signature check.
    pub native: &'a dyn NativeVerifier,
    /// The queue of evidence; `None` where the policy turns evidence off.
    pub ledger: Option<&'a mut dyn Ledger>,
    /// What requests that wait take.
    pub room: &'a mut Room,
    /// What is known about Envoy's setting.
    pub sight: &'a mut BodySight,
    /// When the event comes.
    pub now: Moment,
    /// What time of day it is then.
    pub wall: Wall,
}
