//! Which streams have to be woken, for what and when.

use std::collections::{BTreeMap, BTreeSet};

use crate::exchange::{Moment, Wait, WaitOn};

/// The host's ids of streams, by what they wait for. A stream that waits for nothing costs nothing.
#[derive(Debug, Default)]
pub(super) struct Waits {
    all: BTreeMap<u32, Wait>,
    keys: BTreeSet<u32>,
    evidence: BTreeSet<(u64, u32)>,
    timers: BTreeSet<(Moment, u32)>,
}

impl Waits {
    /// Replaces what a stream waits for.
    pub(super) fn set(&mut self, stream: u32, wait: Wait) {
        let old =
            if wait == Wait::default() { self.all.remove(&stream) } else { self.all.insert(stream, wait) };
        if old == Some(wait) {
            return;
        }
        if let Some(old) = old {
            match old.on {
                WaitOn::Keys => {
                    self.keys.remove(&stream);
                }
                WaitOn::Evidence(seq) => {
                    self.evidence.remove(&(seq, stream));
                }
                WaitOn::Stream | WaitOn::Call => {}
            }
            if let Some(until) = old.until {
                self.timers.remove(&(until, stream));
            }
        }
        match wait.on {
            WaitOn::Keys => {
                self.keys.insert(stream);
            }
            WaitOn::Evidence(seq) => {
                self.evidence.insert((seq, stream));
            }
            WaitOn::Stream | WaitOn::Call => {}
        }
        if let Some(until) = wait.until {
            self.timers.insert((until, stream));
        }
    }

    /// The streams whose time has come, earliest first.
    pub(super) fn due(&self, now: Moment) -> Vec<u32> {
        self.timers.iter().take_while(|(until, _)| *until <= now).map(|(_, stream)| *stream).collect()
    }

    /// The streams that wait for keys.
    pub(super) fn for_keys(&self) -> Vec<u32> {
        self.keys.iter().copied().collect()
    }

    /// The streams that wait for a line below `place`.
    pub(super) fn for_evidence_below(&self, place: u64) -> Vec<u32> {
        self.evidence.iter().take_while(|(seq, _)| *seq < place).map(|(_, stream)| *stream).collect()
    }

    /// Whether any stream waits for a line to be durable.
    pub(super) fn is_evidence_awaited(&self) -> bool {
        !self.evidence.is_empty()
    }

    /// How many streams wait for something.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(on: WaitOn, until: u64) -> Wait {
        Wait { on, until: Some(Moment(until)) }
    }

    #[test]
    fn wakes_each_stream_for_what_it_waits_for() {
        let mut waits = Waits::default();
        waits.set(1, wait(WaitOn::Keys, 10));
        waits.set(2, wait(WaitOn::Evidence(7), 5));
        waits.set(3, wait(WaitOn::Evidence(8), 20));
        assert_eq!(waits.for_keys(), [1]);
        assert_eq!(waits.for_evidence_below(8), [2]);
        assert_eq!(waits.due(Moment(10)), [2, 1]);
    }

    #[test]
    fn forgets_what_a_stream_no_longer_waits_for() {
        let mut waits = Waits::default();
        waits.set(1, wait(WaitOn::Keys, 10));
        waits.set(1, wait(WaitOn::Evidence(3), 12));
        assert!(waits.for_keys().is_empty());
        assert!(waits.due(Moment(11)).is_empty());
        waits.set(1, Wait::default());
        assert!(waits.for_evidence_below(9).is_empty());
        assert!(waits.due(Moment(99)).is_empty());
        assert_eq!(waits.len(), 0);
    }
}
