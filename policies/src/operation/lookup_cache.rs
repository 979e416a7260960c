//! Answers of the server, kept for a short while, so that a conversation does not ask for its thread at every turn.
//!
//! Invariant: an answer is given only before its end, and never one that was asked for before the last change that
//! went through. Bounded: when full, the answers that end first make room.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Found, Subject};

/// Which changes an answer knows of. Larger is later.
pub type Epoch = u64;

/// A bounded cache of answers.
#[derive(Debug)]
pub struct LookupCache {
    capacity: usize,
    epoch: Epoch,
    entries: HashMap<Subject, Entry>,
    /// By end, for making room.
    ends: BTreeSet<(u64, Subject)>,
}

#[derive(Debug)]
struct Entry {
    found: Arc<Found>,
    /// The first moment at which it no longer counts.
    until: u64,
}

impl LookupCache {
    /// A cache for so many answers. With 0 nothing is kept.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, epoch: 0, entries: HashMap::new(), ends: BTreeSet::new() }
    }

    /// The epoch in which a question is asked; its answer is kept only if it is still the same.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Something has changed: whatever was known before `epoch` is forgotten. An epoch that is not another changes
    /// nothing.
    pub fn advance(&mut self, epoch: Epoch) {
        if epoch != self.epoch {
            self.epoch = epoch;
            self.entries.clear();
            self.ends.clear();
        }
    }

    /// The answer, where one counts at `now`. Moments are in whatever unit the caller keeps to.
    pub fn find(&self, subject: &Subject, now: u64) -> Option<Arc<Found>> {
        self.entries.get(subject).filter(|entry| now < entry.until).map(|entry| Arc::clone(&entry.found))
    }

    /// Keeps an answer that was asked for in `asked`, until `until`.
    pub fn keep(&mut self, subject: Subject, found: Arc<Found>, asked: Epoch, until: u64, now: u64) {
        if asked != self.epoch || self.capacity == 0 || until <= now {
            return;
        }
        if let Some(old) = self.entries.remove(&subject) {
            self.ends.remove(&(old.until, subject.clone()));
        }
        while self.entries.len() >= self.capacity {
            let Some((_, first)) = self.ends.pop_first() else { break };
            self.entries.remove(&first);
        }
        self.ends.insert((until, subject.clone()));
        self.entries.insert(subject, Entry { found, until });
    }

    /// How many answers are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(id: u32) -> Subject {
        Subject::Thread(id.to_string())
    }

    fn nothing() -> Arc<Found> {
        Arc::new(Found::Nothing)
    }

    #[test]
    fn an_answer_counts_until_its_end_and_no_longer() {
        let mut cache = LookupCache::new(2);
        cache.keep(thread(1), nothing(), 0, 10, 5);
        assert!(cache.find(&thread(1), 9).is_some());
        assert!(cache.find(&thread(1), 10).is_none());
        assert!(cache.find(&thread(2), 9).is_none());
    }

    #[test]
    fn a_change_makes_everything_forgotten_and_late_answers_worthless() {
        let mut cache = LookupCache::new(2);
        cache.keep(thread(1), nothing(), 0, 10, 5);
        let asked = cache.epoch();
        cache.advance(7);
        assert!(cache.find(&thread(1), 6).is_none());
        cache.keep(thread(1), nothing(), asked, 10, 5);
        assert!(cache.is_empty(), "the answer is older than the change");
        cache.keep(thread(1), nothing(), 7, 10, 5);
        cache.advance(7);
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn room_is_made_by_what_ends_first() {
        let mut cache = LookupCache::new(2);
        cache.keep(thread(1), nothing(), 0, 30, 0);
        cache.keep(thread(2), nothing(), 0, 20, 0);
        cache.keep(thread(2), nothing(), 0, 40, 0);
        cache.keep(thread(3), nothing(), 0, 35, 0);
        assert_eq!(cache.len(), 2);
        assert_eq!(cache.ends.len(), 2);
        assert!(cache.find(&thread(1), 1).is_none());
        assert!(cache.find(&thread(2), 1).is_some() && cache.find(&thread(3), 1).is_some());
        let mut none = LookupCache::new(0);
        none.keep(thread(1), nothing(), 0, 30, 0);
        assert!(none.is_empty());
    }
}
