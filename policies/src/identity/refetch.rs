//! When to fetch keys again: at once for an unknown `kid`, but never more often than a token bucket allows,
//! because anybody can invent a `kid`; and on a schedule with jitter, because every worker has its own ring.
//!
//! A key that was just rotated in and a `kid` that somebody made up look alike until the keys have been fetched. So
//! what a flood of the latter can cost the former is bounded by the bucket's pace alone: the next fetch is never
//! further away than [`EARN`], and who asks before it is told to wait for it. A `kid` that a fetch did not bring is
//! not asked about again for a while, so that one stale token which keeps coming drives nothing.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use super::ring::IssuerId;

/// How many fetches may follow each other at once, per issuer: a few rotations in a row, and one that began too
/// early to see the last of them.
const BURST: u32 = 5;

/// A further fetch is earned so often, per issuer: the longest that garbage can keep a new key from being seen, and
/// shorter than any caller is kept waiting.
const EARN: Duration = Duration::from_secs(2);

/// How many requests may wait for one fetch, per issuer.
const MOST_WAITING: u32 = 1_024;

/// How many `kid`s that were fetched for in vain are remembered, per issuer.
const MOST_MISSED: usize = 64;

/// For how long such a `kid` is not asked about again the first time, twice as long each time, and at most. Longer
/// than [`EARN`], so that who waited for a fetch does not wait for another.
const FIRST_GAP: Duration = Duration::from_secs(4);
const LONGEST_GAP: Duration = Duration::from_secs(60);

/// A key that a token needs and the ring has not got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Whose key it is.
    pub issuer: IssuerId,
    /// Tells one `kid` from another; `None` where the token names none, or the issuer has no keys at all yet.
    kid: Option<u64>,
}

impl Missing {
    /// Any key of the issuer.
    pub fn any(issuer: IssuerId) -> Self {
        Self { issuer, kid: None }
    }

    /// The key of this `kid`.
    pub fn kid(issuer: IssuerId, kid: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        kid.hash(&mut hasher);
        Self { issuer, kid: Some(hasher.finish()) }
    }
}

/// What to do about keys that may be stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refetch {
    /// Fetch now, and say [`RefetchGate::done`] when it has ended, however it ended.
    Start,
    /// A fetch is under way: wait for it.
    Join,
    /// Fetch in so many milliseconds, saying [`RefetchGate::started`] then; until then, wait.
    Later(u64),
    /// This key was asked for of late and did not come, or too many wait: refuse with the keys as they are.
    Refuse,
}

/// Decides, for each issuer, whether an unknown key is worth a fetch. Time is milliseconds of any
/// clock that does not go back; a clock that does only delays.
///
/// Per issuer at most 5 fetches at once and 1 more every 2 s, one at a time.
#[derive(Debug, Clone)]
pub struct RefetchGate {
    issuers: Vec<Bucket>,
}

#[derive(Debug, Clone, Default)]
struct Bucket {
    fetches: u32,
    /// Since when the next one is being earned.
    since: u64,
    under_way: bool,
    /// When the fetch begins that was granted before it was earned.
    promised: Option<u64>,
    waiting: u32,
    /// The latest last.
    missed: VecDeque<Missed>,
}

#[derive(Debug, Clone, Copy)]
struct Missed {
    kid: Option<u64>,
    /// From when on it may be asked about again.
    until: u64,
    gap: u64,
}

impl RefetchGate {
    /// A gate for the issuers of a policy (see [`super::Authenticator::issuer_count`]).
    pub fn new(issuers: usize) -> Self {
        Self { issuers: vec![Bucket { fetches: BURST, ..Bucket::default() }; issuers] }
    }

    /// Asks for a fetch of the issuer's keys.
    pub fn ask(&mut self, missing: Missing, now_ms: u64) -> Refetch {
        let Some(bucket) = self.issuers.get_mut(missing.issuer.0) else { return Refetch::Refuse };
        if bucket.under_way {
            return bucket.queue(Refetch::Join);
        }
        bucket.earn(now_ms);
        if bucket.promised.is_none() {
            if bucket.misses(missing.kid, now_ms) {
                return Refetch::Refuse;
            }
            if let Some(left) = bucket.fetches.checked_sub(1) {
                bucket.fetches = left;
                bucket.under_way = true;
                bucket.remember(missing.kid, now_ms);
                return Refetch::Start;
            }
            // Spent before it is earned: what comes after it is earned that much later.
            let at = bucket.since.saturating_add(millis(EARN));
            bucket.since = at;
            bucket.promised = Some(at);
        }
        let answer = bucket.queue(Refetch::Later(bucket.promised.unwrap_or(now_ms).saturating_sub(now_ms)));
        if answer != Refetch::Refuse {
            bucket.remember(missing.kid, now_ms);
        }
        answer
    }

    /// Says that a fetch was started without asking, by the schedule: requests may join it.
    pub fn started(&mut self, issuer: IssuerId) {
        if let Some(bucket) = self.issuers.get_mut(issuer.0) {
            bucket.under_way = true;
            bucket.promised = None;
        }
    }

    /// Says that the fetch has ended, with keys or without.
    pub fn done(&mut self, issuer: IssuerId) {
        if let Some(bucket) = self.issuers.get_mut(issuer.0) {
            bucket.under_way = false;
            bucket.waiting = 0;
        }
    }
}

impl Bucket {
    fn earn(&mut self, now_ms: u64) {
        let every = millis(EARN);
        let earned = now_ms.saturating_sub(self.since) / every;
        if self.fetches == BURST {
            self.since = now_ms;
        } else if earned > 0 {
            let room = u64::from(BURST - self.fetches);
            self.fetches += u32::try_from(earned.min(room)).unwrap_or(0);
            // What was earned beyond the bucket is lost; what is half earned stays.
            self.since = if earned >= room { now_ms } else { self.since.saturating_add(earned * every) };
        }
    }

    /// One more waits, if there is room.
    fn queue(&mut self, answer: Refetch) -> Refetch {
        if self.waiting >= MOST_WAITING {
            return Refetch::Refuse;
        }
        self.waiting += 1;
        answer
    }

    /// Whether a fetch for this `kid` was in vain a short while ago.
    fn misses(&self, kid: Option<u64>, now_ms: u64) -> bool {
        self.missed.iter().any(|missed| missed.kid == kid && missed.counts(now_ms))
    }

    /// Notes for whom a fetch is made: should it not bring the key, the next one has to wait.
    fn remember(&mut self, kid: Option<u64>, now_ms: u64) {
        let known = self.missed.iter().position(|missed| missed.kid == kid);
        let gap = match known.and_then(|place| self.missed.get(place)) {
            Some(missed) if missed.counts(now_ms) => return,
            // Tokens without a kid are all alike, so a new key may be behind any of them.
            Some(missed) if kid.is_some() => missed.gap.saturating_mul(2).min(millis(LONGEST_GAP)),
            Some(_) | None => millis(FIRST_GAP),
        };
        if let Some(place) = known {
            self.missed.remove(place);
        } else if self.missed.len() >= MOST_MISSED {
            self.missed.pop_front();
        }
        self.missed.push_back(Missed { kid, until: now_ms.saturating_add(gap), gap });
    }
}

impl Missed {
    fn counts(&self, now_ms: u64) -> bool {
        // A clock that went back must not make it last longer.
        self.until.checked_sub(now_ms).is_some_and(|left| (1..=self.gap).contains(&left))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// When to fetch an issuer's keys next: after `refresh` less up to a tenth where the last fetch went
/// well; after `failures` bad ones in a row in 1, 2, 4, … s, at most `refresh` and at most 60 s, less up
/// to half. `random` is any number that differs from worker to worker.
pub fn next_fetch(refresh: Duration, failures: u32, random: u64) -> Duration {
    let part = |of: Duration| of.mul_f64((random % 1_000) as f64 / 1_000.0);
    if failures == 0 {
        return refresh - part(refresh / 10);
    }
    let backoff =
        Duration::from_secs(1_u64.checked_shl(failures - 1).unwrap_or(60).clamp(1, 60)).min(refresh);
    backoff - part(backoff / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IDP: IssuerId = IssuerId(0);

    fn kid(number: u64) -> Missing {
        Missing::kid(IDP, &number.to_string())
    }

    /// A fetch that brings nothing, if one is made at once.
    fn fetch(gate: &mut RefetchGate, missing: Missing, now_ms: u64) -> Refetch {
        let answer = gate.ask(missing, now_ms);
        if answer == Refetch::Start {
            gate.done(IDP);
        }
        answer
    }

    /// A gate that has used up what may follow at once, at 1 s.
    fn drained() -> RefetchGate {
        let mut gate = RefetchGate::new(1);
        for number in 0..u64::from(BURST) {
            assert_eq!(fetch(&mut gate, kid(number), 1_000), Refetch::Start);
        }
        gate
    }

    #[test]
    fn starts_at_once_and_lets_others_wait_for_the_same_fetch() {
        let mut gate = RefetchGate::new(1);
        assert_eq!(gate.ask(kid(1), 5), Refetch::Start);
        assert_eq!(gate.ask(kid(2), 6), Refetch::Join);
        gate.done(IDP);
        assert_eq!(gate.ask(kid(2), 7), Refetch::Start, "the other may have begun too early for it");
    }

    #[test]
    fn after_a_burst_the_next_fetch_is_never_further_away_than_two_seconds() {
        let mut gate = drained();
        assert_eq!(gate.ask(kid(10), 1_500), Refetch::Later(1_500));
        assert_eq!(gate.ask(kid(11), 2_900), Refetch::Later(100), "the same fetch");
        gate.started(IDP);
        gate.done(IDP);
        assert_eq!(gate.ask(kid(12), 3_010), Refetch::Later(1_990), "the next is earned from there on");
        gate.started(IDP);
        gate.done(IDP);
        assert_eq!(gate.ask(kid(13), 1_000_000), Refetch::Start);
    }

    #[test]
    fn a_kid_that_did_not_come_is_not_asked_about_again_for_longer_and_longer() {
        let mut gate = RefetchGate::new(1);
        let (mut now, mut gaps) = (0, Vec::new());
        while gaps.len() < 7 {
            let since = now;
            while fetch(&mut gate, kid(1), now) != Refetch::Start {
                now += 100;
            }
            gaps.push((now - since) / 1_000);
        }
        assert_eq!(gaps, [0, 4, 8, 16, 32, 60, 60]);
        assert_eq!(fetch(&mut gate, kid(2), now), Refetch::Start, "another kid is none of this");
    }

    #[test]
    fn tokens_without_a_kid_are_never_put_off_for_longer() {
        let mut gate = RefetchGate::new(1);
        for round in 0..10 {
            assert_eq!(fetch(&mut gate, Missing::any(IDP), round * 4_000), Refetch::Start);
            assert_eq!(fetch(&mut gate, Missing::any(IDP), round * 4_000 + 3_999), Refetch::Refuse);
        }
    }

    #[test]
    fn who_waited_for_a_fetch_does_not_wait_for_another() {
        let mut gate = drained();
        assert_eq!(gate.ask(kid(10), 1_000), Refetch::Later(2_000));
        assert_eq!(gate.ask(kid(10), 1_500), Refetch::Later(1_500), "woken for another issuer's keys");
        gate.started(IDP);
        assert_eq!(gate.ask(kid(10), 3_000), Refetch::Join);
        gate.done(IDP);
        assert_eq!(gate.ask(kid(10), 3_100), Refetch::Refuse);
    }

    #[test]
    fn only_so_many_wait_for_one_fetch() {
        let mut gate = RefetchGate::new(1);
        assert_eq!(gate.ask(kid(0), 0), Refetch::Start);
        for number in 0..u64::from(MOST_WAITING) {
            assert_eq!(gate.ask(kid(number), 0), Refetch::Join);
        }
        assert_eq!(gate.ask(kid(1), 0), Refetch::Refuse);
        gate.done(IDP);
        assert_eq!(gate.ask(kid(5_000), 0), Refetch::Start);
        assert_eq!(gate.ask(kid(1), 0), Refetch::Join);
    }

    #[test]
    fn a_clock_that_goes_back_does_not_put_a_kid_off_for_longer() {
        let mut gate = RefetchGate::new(1);
        assert_eq!(fetch(&mut gate, kid(1), 10_000_000), Refetch::Start);
        assert_eq!(fetch(&mut gate, kid(1), 10_000_001), Refetch::Refuse);
        assert_eq!(fetch(&mut gate, kid(1), 5_000), Refetch::Start);
    }

    #[test]
    fn knows_no_other_issuers() {
        assert_eq!(RefetchGate::new(1).ask(Missing::any(IssuerId(1)), 0), Refetch::Refuse);
    }

    #[test]
    fn fetches_sooner_after_failures_and_never_at_once() {
        let refresh = Duration::from_secs(300);
        for random in [0, 500, 999] {
            assert!((270..=300).contains(&next_fetch(refresh, 0, random).as_secs()));
            for failures in [1, 5, 6, 64, u32::MAX] {
                let next = next_fetch(refresh, failures, random);
                assert!((Duration::from_millis(500)..=Duration::from_secs(60)).contains(&next), "{next:?}");
            }
            assert!(next_fetch(Duration::from_secs(10), 9, random) <= Duration::from_secs(10));
        }
        assert_ne!(next_fetch(refresh, 0, 1), next_fetch(refresh, 0, 2));
    }

    proptest! {
        /// However often it is asked and for whatever kid, an issuer sees at most 5 fetches and 1 for every 2 s
        /// gone by, and what is remembered stays bounded.
        #[test]
        fn never_fetches_more_than_is_earned(asks in prop::collection::vec((0_u64..3_000, 0_u64..200), 1..600)) {
            let mut gate = RefetchGate::new(1);
            let (mut now, mut started, mut promised) = (0, 0, None);
            for (gap, number) in asks {
                now += gap;
                if promised.take_if(|at| *at <= now).is_some() {
                    gate.started(IDP);
                    gate.done(IDP);
                    started += 1;
                }
                match fetch(&mut gate, kid(number), now) {
                    Refetch::Start => started += 1,
                    Refetch::Later(wait) => {
                        prop_assert!(wait <= 2_000);
                        promised = Some(now + wait);
                    }
                    Refetch::Join | Refetch::Refuse => {}
                }
                prop_assert!(started <= u64::from(BURST) + now / 2_000);
                prop_assert!(gate.issuers[0].missed.len() <= MOST_MISSED);
            }
        }
    }
}
