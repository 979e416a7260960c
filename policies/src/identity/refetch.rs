//! When to fetch keys again: at once for an unknown `kid`, but never more often than a token bucket allows,
//! because anybody can invent a `kid`; and on a schedule with jitter, because every worker has its own ring.

use std::time::Duration;

use super::ring::IssuerId;

/// How many fetches may follow each other at once, per issuer: a few rotations in a row, and one that began too
/// early to see the last of them.
const BURST: u32 = 5;

/// A further fetch is earned so often, per issuer.
const EARN: Duration = Duration::from_secs(10);

/// What to do about keys that may be stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refetch {
    /// Fetch now, and say [`RefetchGate::done`] when it has ended, however it ended.
    Start,
    /// A fetch is under way: wait for it.
    Join,
    /// Too many of late: refuse the request with the keys as they are.
    Refuse,
}

/// Decides, for each issuer, whether an unknown key is worth a fetch. Time is milliseconds of any
/// clock that does not go back; a clock that does only delays.
///
/// Per issuer at most 5 fetches at once and 1 more every 10 s, one at a time.
#[derive(Debug, Clone)]
pub struct RefetchGate {
    issuers: Vec<Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    fetches: u32,
    /// Since when the next one is being earned.
    since: u64,
    under_way: bool,
}

impl RefetchGate {
    /// A gate for the issuers of a policy (see [`super::Authenticator::issuer_count`]).
    pub fn new(issuers: usize) -> Self {
        Self { issuers: vec![Bucket { fetches: BURST, since: 0, under_way: false }; issuers] }
    }

    /// Asks for a fetch of the issuer's keys.
    pub fn ask(&mut self, issuer: IssuerId, now_ms: u64) -> Refetch {
        let Some(bucket) = self.issuers.get_mut(issuer.0) else { return Refetch::Refuse };
        if bucket.under_way {
            return Refetch::Join;
        }
        bucket.earn(now_ms);
        match bucket.fetches.checked_sub(1) {
            Some(left) => {
                bucket.fetches = left;
                bucket.under_way = true;
                Refetch::Start
            }
            None => Refetch::Refuse,
        }
    }

    /// Says that a fetch was started without asking, by the schedule: requests may join it.
    pub fn started(&mut self, issuer: IssuerId) {
        if let Some(bucket) = self.issuers.get_mut(issuer.0) {
            bucket.under_way = true;
        }
    }

    /// Says that the fetch has ended, with keys or without.
    pub fn done(&mut self, issuer: IssuerId) {
        if let Some(bucket) = self.issuers.get_mut(issuer.0) {
            bucket.under_way = false;
        }
    }
}

impl Bucket {
    fn earn(&mut self, now_ms: u64) {
        let every = u64::try_from(EARN.as_millis()).unwrap_or(u64::MAX);
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

    fn fetch(gate: &mut RefetchGate, now_ms: u64) -> Refetch {
        let answer = gate.ask(IDP, now_ms);
        if answer == Refetch::Start {
            gate.done(IDP);
        }
        answer
    }

    #[test]
    fn starts_at_once_and_lets_others_wait_for_the_same_fetch() {
        let mut gate = RefetchGate::new(1);
        assert_eq!(gate.ask(IDP, 5), Refetch::Start);
        assert_eq!(gate.ask(IDP, 6), Refetch::Join);
        gate.done(IDP);
        assert_eq!(gate.ask(IDP, 7), Refetch::Start);
    }

    #[test]
    fn refuses_after_a_burst_until_the_next_one_is_earned() {
        let mut gate = RefetchGate::new(1);
        for _ in 0..BURST {
            assert_eq!(fetch(&mut gate, 1_000), Refetch::Start);
        }
        assert_eq!(fetch(&mut gate, 10_999), Refetch::Refuse);
        assert_eq!(fetch(&mut gate, 11_000), Refetch::Start);
        assert_eq!(fetch(&mut gate, 11_001), Refetch::Refuse);
        assert_eq!(fetch(&mut gate, 1_000_000), Refetch::Start);
    }

    #[test]
    fn knows_no_other_issuers() {
        assert_eq!(RefetchGate::new(1).ask(IssuerId(1), 0), Refetch::Refuse);
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
        /// However often it is asked, an issuer sees at most 5 fetches and 1 for every 10 s gone by.
        #[test]
        fn never_fetches_more_than_is_earned(gaps in prop::collection::vec(0_u64..30_000, 1..300)) {
            let mut gate = RefetchGate::new(1);
            let (mut now, mut started) = (0, 0);
            for gap in gaps {
                now += gap;
                started += u64::from(fetch(&mut gate, now) == Refetch::Start);
                prop_assert!(started <= u64::from(BURST) + now / 10_000);
            }
        }
    }
}
