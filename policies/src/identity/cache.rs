//! Verified tokens, so that the second request with a token costs a hash and a look-up.
//!
//! Invariant: an answer is given only under the policy and the keys it was found with, a good one never
//! at or after its token's `exp`. Good and bad answers have places of their own: only a token that
//! verifies can push out a good one, so garbage cannot, however much comes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Identity;
use super::refusal::Refused;
use super::version::Version;

/// How long a refusal is believed, in seconds.
const REFUSAL_SECONDS: u64 = 10;

/// SHA-256 of a token.
pub(super) type TokenHash = [u8; 32];

/// A bounded cache of verified and refused tokens.
#[derive(Debug)]
pub struct TokenCache {
    good: Bounded<Arc<Identity>>,
    bad: Bounded<Refused>,
    /// What an issuer's introspection said, kept beside the identity that it is about.
    active: Bounded<bool>,
    found_with: Option<(Version, Version)>,
}

impl TokenCache {
    /// A cache for so many verified tokens, and as many refused ones. With 0 nothing is kept.
    pub fn new(capacity: usize) -> Self {
        Self {
            good: Bounded::new(capacity),
            bad: Bounded::new(capacity),
            active: Bounded::new(capacity),
            found_with: None,
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.good.clear();
        self.bad.clear();
        self.active.clear();
    }

    /// How many verified tokens are kept.
    pub fn len(&self) -> usize {
        self.good.entries.len()
    }

    /// Whether no verified token is kept.
    pub fn is_empty(&self) -> bool {
        self.good.entries.is_empty()
    }

    /// Forgets everything that was found under another policy or other keys.
    pub(super) fn keep_only(&mut self, policy: &Version, keys: &Version) {
        let current = self.found_with.as_ref().is_some_and(|(p, k)| p == policy && k == keys);
        if !current {
            self.clear();
            self.found_with = Some((policy.clone(), keys.clone()));
        }
    }

    pub(super) fn find(&mut self, token: &TokenHash, now: u64) -> Option<Result<Arc<Identity>, Refused>> {
        match self.good.find(token, now) {
            Some(identity) => Some(Ok(identity)),
            None => self.bad.find(token, now).map(Err),
        }
    }

    pub(super) fn keep_good(&mut self, token: TokenHash, identity: Arc<Identity>, exp: i64, now: u64) {
        self.good.keep(token, identity, u64::try_from(exp).unwrap_or(0), now);
    }

    pub(super) fn keep_bad(&mut self, token: TokenHash, refused: Refused, now: u64) {
        self.bad.keep(token, refused, now.saturating_add(REFUSAL_SECONDS), now);
    }

    pub(super) fn find_active(&mut self, token: &TokenHash, now: u64) -> Option<bool> {
        self.active.find(token, now)
    }

    pub(super) fn keep_active(&mut self, token: TokenHash, active: bool, until: u64, now: u64) {
        self.active.keep(token, active, until, now);
    }
}

/// A map with room for `capacity` entries, each with an end. When full, the entry longest unused
/// (nearly: one second chance for those used since the hand last passed) makes room.
#[derive(Debug)]
struct Bounded<T> {
    capacity: usize,
    entries: HashMap<TokenHash, Entry<T>>,
    order: VecDeque<TokenHash>,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    /// The first second at which it no longer counts.
    until: u64,
    used: bool,
}

impl<T: Clone> Bounded<T> {
    fn new(capacity: usize) -> Self {
        Self { capacity, entries: HashMap::new(), order: VecDeque::new() }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }

    fn find(&mut self, token: &TokenHash, now: u64) -> Option<T> {
        let entry = self.entries.get_mut(token)?;
        if now >= entry.until {
            return None;
        }
        entry.used = true;
        Some(entry.value.clone())
    }

    fn keep(&mut self, token: TokenHash, value: T, until: u64, now: u64) {
        if self.capacity == 0 || now >= until {
            return;
        }
        let entry = Entry { value, until, used: false };
        if let Some(old) = self.entries.get_mut(&token) {
            *old = entry;
            return;
        }
        while self.entries.len() >= self.capacity {
            self.evict_one(now);
        }
        self.order.push_back(token);
        self.entries.insert(token, entry);
    }

    /// Each pass of the hand clears `used`, so it ends within two rounds.
    fn evict_one(&mut self, now: u64) {
        while let Some(token) = self.order.pop_front() {
            match self.entries.get_mut(&token) {
                Some(entry) if entry.used && now < entry.until => {
                    entry.used = false;
                    self.order.push_back(token);
                }
                _ => {
                    self.entries.remove(&token);
                    return;
                }
            }
        }
        // The queue names every entry; were it ever empty before the map, the map must not stay full.
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hash(number: u8) -> TokenHash {
        [number; 32]
    }

    #[test]
    fn forgets_at_the_end_and_not_before() {
        let mut kept = Bounded::new(2);
        kept.keep(hash(1), "a", 100, 50);
        assert_eq!(kept.find(&hash(1), 99), Some("a"));
        assert_eq!(kept.find(&hash(1), 100), None);
        kept.keep(hash(2), "b", 100, 100);
        assert_eq!(kept.find(&hash(2), 99), None, "what has ended is not kept at all");
    }

    #[test]
    fn gives_room_to_the_new_and_keeps_what_is_used() {
        let mut kept = Bounded::new(2);
        kept.keep(hash(1), 1, 100, 0);
        kept.keep(hash(2), 2, 100, 0);
        assert_eq!(kept.find(&hash(1), 0), Some(1));
        kept.keep(hash(3), 3, 100, 0);
        assert_eq!(kept.find(&hash(2), 0), None);
        assert_eq!(kept.find(&hash(1), 0), Some(1));
        assert_eq!(kept.find(&hash(3), 0), Some(3));
    }

    #[test]
    fn without_capacity_keeps_nothing() {
        let mut kept = Bounded::new(0);
        kept.keep(hash(1), 1, 100, 0);
        assert_eq!(kept.find(&hash(1), 0), None);
    }

    proptest! {
        /// Never more than `capacity` entries, and the queue names exactly the entries of the map.
        #[test]
        fn stays_bounded(capacity in 0_usize..6, steps in prop::collection::vec((0_u8..12, 0_u64..20, any::<bool>()), 0..200)) {
            let mut kept = Bounded::new(capacity);
            for (now, (number, span, look)) in (0_u64..).zip(steps) {
                if look {
                    kept.find(&hash(number), now);
                } else {
                    kept.keep(hash(number), number, now + span, now);
                }
                prop_assert!(kept.entries.len() <= capacity);
                prop_assert_eq!(kept.order.len(), kept.entries.len());
                prop_assert!(kept.order.iter().all(|token| kept.entries.contains_key(token)));
            }
        }
    }
}
