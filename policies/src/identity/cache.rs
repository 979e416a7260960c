//! Verified tokens, so that the second request with a token costs one pass over its bytes and a look-up.
//!
//! Invariant: an answer is given only under the policy and the keys it was found with, a good one never
//! at or after its token's `exp`. Good and bad answers have places of their own: only a token that
//! verifies can push out a good one, so garbage cannot, however much comes.
//!
//! A token is known by its [`Mark`], SipHash-2-4 with 128 bits under a key that each cache draws for itself: a keyed
//! pseudo-random function. Who cannot see the key can neither find two tokens with one mark nor a token with the
//! mark of another's, and each guess at one costs a request, so it is as safe here as SHA-256, for a tenth of
//! its cost in wasm. It never leaves the cache; where a token is named outside, that is by its SHA-256.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState};
use std::sync::Arc;

use siphasher::sip128::SipHasher24;

use super::Identity;
use super::refusal::Refused;
use super::version::Version;

/// How long a refusal is believed, in seconds.
const REFUSAL_SECONDS: u64 = 10;

/// Headers for the upstream.
pub(super) type Told = Arc<[(String, Vec<u8>)]>;

/// What a token is known by inside one cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mark(u128);

/// A bounded cache of verified and refused tokens.
pub struct TokenCache {
    marks: SipHasher24,
    good: Bounded<Arc<Identity>>,
    bad: Bounded<Refused>,
    /// What an issuer's introspection said, kept beside the identity that it is about.
    active: Bounded<bool>,
    /// What the upstream is told about the caller, so that it is put into words, or signed, once.
    told: Bounded<Told>,
    found_with: Option<(Version, Version)>,
}

/// Written by hand: the key of the marks is nobody's business.
impl std::fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCache").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl TokenCache {
    /// A cache for so many verified tokens, and as many refused ones. With 0 nothing is kept.
    ///
    /// The key of its marks comes from where the keys of the standard library's maps come from: the system's
    /// randomness, in Envoy that of BoringSSL.
    pub fn new(capacity: usize) -> Self {
        let mut key = [0; 16];
        for half in key.chunks_exact_mut(8) {
            half.copy_from_slice(&RandomState::new().hash_one(0).to_ne_bytes());
        }
        Self {
            marks: SipHasher24::new_with_key(&key),
            good: Bounded::new(capacity),
            bad: Bounded::new(capacity),
            active: Bounded::new(capacity),
            told: Bounded::new(capacity),
            found_with: None,
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.good.clear();
        self.bad.clear();
        self.active.clear();
        self.told.clear();
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

    /// What these bytes are known by here. The same bytes have the same mark for as long as the cache lives.
    pub(super) fn mark(&self, bytes: &[u8]) -> Mark {
        Mark(self.marks.hash(bytes).as_u128())
    }

    pub(super) fn find(&mut self, mark: Mark, now: u64) -> Option<Result<Arc<Identity>, Refused>> {
        match self.good.find(mark, now) {
            Some(identity) => Some(Ok(identity)),
            None => self.bad.find(mark, now).map(Err),
        }
    }

    pub(super) fn keep_good(&mut self, mark: Mark, identity: Arc<Identity>, exp: i64, now: u64) {
        self.good.keep(mark, identity, u64::try_from(exp).unwrap_or(0), now);
    }

    pub(super) fn keep_bad(&mut self, mark: Mark, refused: Refused, now: u64) {
        self.bad.keep(mark, refused, now.saturating_add(REFUSAL_SECONDS), now);
    }

    pub(super) fn find_active(&mut self, mark: Mark, now: u64) -> Option<bool> {
        self.active.find(mark, now)
    }

    pub(super) fn keep_active(&mut self, mark: Mark, active: bool, until: u64, now: u64) {
        self.active.keep(mark, active, until, now);
    }

    pub(super) fn find_told(&mut self, mark: Mark, now: u64) -> Option<Told> {
        self.told.find(mark, now)
    }

    pub(super) fn keep_told(&mut self, mark: Mark, told: Told, until: u64, now: u64) {
        self.told.keep(mark, told, until, now);
    }
}

/// Half of a mark is hash enough: every bit of it is as good as random to whoever has not got the key.
#[derive(Debug, Default)]
struct HalfMark(u64);

impl Hasher for HalfMark {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, mark: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "half of it is wanted")]
        {
            self.0 = mark as u64;
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A map with room for `capacity` entries, each with an end. When full, the entry longest unused
/// (nearly: one second chance for those used since the hand last passed) makes room.
#[derive(Debug)]
struct Bounded<T> {
    capacity: usize,
    entries: HashMap<Mark, Entry<T>, BuildHasherDefault<HalfMark>>,
    order: VecDeque<Mark>,
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
        Self { capacity, entries: HashMap::default(), order: VecDeque::new() }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }

    fn find(&mut self, mark: Mark, now: u64) -> Option<T> {
        let entry = self.entries.get_mut(&mark)?;
        if now >= entry.until {
            return None;
        }
        entry.used = true;
        Some(entry.value.clone())
    }

    fn keep(&mut self, mark: Mark, value: T, until: u64, now: u64) {
        if self.capacity == 0 || now >= until {
            return;
        }
        let entry = Entry { value, until, used: false };
        if let Some(old) = self.entries.get_mut(&mark) {
            *old = entry;
            return;
        }
        while self.entries.len() >= self.capacity {
            self.evict_one(now);
        }
        self.order.push_back(mark);
        self.entries.insert(mark, entry);
    }

    /// Each pass of the hand clears `used`, so it ends within two rounds.
    fn evict_one(&mut self, now: u64) {
        while let Some(mark) = self.order.pop_front() {
            match self.entries.get_mut(&mark) {
                Some(entry) if entry.used && now < entry.until => {
                    entry.used = false;
                    self.order.push_back(mark);
                }
                _ => {
                    self.entries.remove(&mark);
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

    fn mark(number: u8) -> Mark {
        Mark(u128::from_ne_bytes([number; 16]))
    }

    #[test]
    fn forgets_at_the_end_and_not_before() {
        let mut kept = Bounded::new(2);
        kept.keep(mark(1), "a", 100, 50);
        assert_eq!(kept.find(mark(1), 99), Some("a"));
        assert_eq!(kept.find(mark(1), 100), None);
        kept.keep(mark(2), "b", 100, 100);
        assert_eq!(kept.find(mark(2), 99), None, "what has ended is not kept at all");
    }

    #[test]
    fn gives_room_to_the_new_and_keeps_what_is_used() {
        let mut kept = Bounded::new(2);
        kept.keep(mark(1), 1, 100, 0);
        kept.keep(mark(2), 2, 100, 0);
        assert_eq!(kept.find(mark(1), 0), Some(1));
        kept.keep(mark(3), 3, 100, 0);
        assert_eq!(kept.find(mark(2), 0), None);
        assert_eq!(kept.find(mark(1), 0), Some(1));
        assert_eq!(kept.find(mark(3), 0), Some(3));
    }

    #[test]
    fn without_capacity_keeps_nothing() {
        let mut kept = Bounded::new(0);
        kept.keep(mark(1), 1, 100, 0);
        assert_eq!(kept.find(mark(1), 0), None);
    }

    #[test]
    fn two_caches_mark_the_same_token_differently_and_show_no_key() {
        let (one, other) = (TokenCache::new(1), TokenCache::new(1));
        assert_eq!(one.mark(b"a.b.c"), one.mark(b"a.b.c"));
        assert_ne!(one.mark(b"a.b.c"), one.mark(b"a.b.d"));
        assert_ne!(one.mark(b"a.b.c"), other.mark(b"a.b.c"));
        assert_eq!(format!("{one:?}"), "TokenCache { len: 0, .. }");
    }

    proptest! {
        /// Never more than `capacity` entries, and the queue names exactly the entries of the map.
        #[test]
        fn stays_bounded(capacity in 0_usize..6, steps in prop::collection::vec((0_u8..12, 0_u64..20, any::<bool>()), 0..200)) {
            let mut kept = Bounded::new(capacity);
            for (now, (number, span, look)) in (0_u64..).zip(steps) {
                if look {
                    kept.find(mark(number), now);
                } else {
                    kept.keep(mark(number), number, now + span, now);
                }
                prop_assert!(kept.entries.len() <= capacity);
                prop_assert_eq!(kept.order.len(), kept.entries.len());
                prop_assert!(kept.order.iter().all(|mark| kept.entries.contains_key(mark)));
            }
        }
    }
}
