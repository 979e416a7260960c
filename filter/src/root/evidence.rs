//! The queue of evidence: lines are sealed when they are queued, sent in batches, and kept until the ledger says
//! that they are durable.
//!
//! Never more than `capacity` bytes are promised: room for an exchange's lines is set aside before it is judged,
//! so an exchange that is let in can always be recorded, and one that could not be is refused. One delivery is
//! under way at a time, which keeps the chain in order; it is repeated until it succeeds, because the ledger knows
//! a line by its chain and place.

use std::collections::VecDeque;
use std::time::Duration;

use graphwarden_policies::evidence::{Chain, Kind, Line, Record};
use graphwarden_policies::policy::EvidenceService;
use serde::Deserialize;

use super::calls::{Call, Purpose};
use crate::exchange::{CallReply, Ledger, Moment, Wall};

/// What one exchange's lines take without bodies.
const RESERVE: usize = 2 << 10;
/// The most bytes of one delivery, unless a single line is larger. As many are worth one, whoever waits.
const BATCH_BYTES: usize = 256 << 10;
/// The most lines of one delivery.
const BATCH_LINES: usize = 500;

/// How long lines that nobody waits for may gather: a delivery costs as much as a request does.
const GATHER: Duration = Duration::from_millis(25);

/// Whether a request is held until its line is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Nobody waits.
    Gather,
    /// Somebody does.
    Now,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    service: EvidenceService,
    chain: Chain,
    start: Record,
    lines: VecDeque<Line>,
    /// When the oldest line that waits was found waiting.
    oldest: Option<Moment>,
    bytes: usize,
    reserved: usize,
    refused: u64,
    delivery: Delivery,
    failures: u32,
    batch_lines: usize,
    /// When the last delivery was made.
    last: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivery {
    Idle,
    UnderWay,
    NotBefore(Moment),
}

/// What a delivery came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// All lines with a place below this one are durable.
    Below {
        /// The first place that is not.
        place: u64,
        /// How many became so now.
        lines: u64,
    },
    /// None is; it will be tried again. The words are for the log.
    Failed(String),
}

#[derive(Deserialize)]
struct Acknowledgement {
    accepted: u64,
    #[serde(default)]
    duplicates: u64,
}

impl Queue {
    /// An empty queue. `chain` has to be random; `policy` is the policy's digest.
    pub(super) fn new(
        service: EvidenceService,
        chain: String,
        gateway: &str,
        policy: &str,
        wall: Wall,
    ) -> Self {
        let mut start = Record::new(Kind::Start, &chain, gateway, wall.0);
        start.policy = Some(policy.to_owned());
        Self {
            service,
            chain: Chain::new(chain),
            start,
            lines: VecDeque::new(),
            oldest: None,
            bytes: 0,
            reserved: 0,
            refused: 0,
            delivery: Delivery::Idle,
            failures: 0,
            batch_lines: BATCH_LINES,
            last: Moment(0),
        }
    }

    /// The next delivery, where one is due.
    pub(super) fn due(&mut self, urgency: Urgency, now: Moment) -> Option<Call> {
        match self.delivery {
            Delivery::UnderWay => return None,
            Delivery::NotBefore(moment) if now < moment => return None,
            Delivery::Idle | Delivery::NotBefore(_) => {}
        }
        let gathers = urgency == Urgency::Gather && self.bytes < BATCH_BYTES && now.since(self.last) < GATHER;
        if self.lines.is_empty() || gathers {
            return None;
        }
        self.last = now;
        let mut count = 0;
        let mut size: usize = 0;
        for line in self.lines.iter().take(self.batch_lines) {
            if count > 0 && size.saturating_add(line.bytes.len()) >= BATCH_BYTES {
                break;
            }
            size = size.saturating_add(line.bytes.len()).saturating_add(1);
            count += 1;
        }
        let mut body = Vec::with_capacity(size);
        for line in self.lines.iter().take(count) {
            body.extend_from_slice(&line.bytes);
            body.push(b'\n');
        }
        self.delivery = Delivery::UnderWay;
        let service = &self.service.service;
        let call = Call::to(service, Purpose::Evidence { lines: count }, "POST", service.path.clone());
        Some(call.with_body("application/x-ndjson", body))
    }

    /// Takes the answer to the delivery of the first `count` lines.
    pub(super) fn answered(&mut self, count: usize, reply: &CallReply, now: Moment) -> Delivered {
        let sent = u64::try_from(count).unwrap_or(u64::MAX);
        let acknowledged = reply.status == Some(200)
            && serde_json::from_slice::<Acknowledgement>(&reply.body)
                .is_ok_and(|answer| answer.accepted.saturating_add(answer.duplicates) == sent);
        if !acknowledged {
            return self.failed(reply.status, now);
        }
        let mut place = 0;
        for line in self.lines.drain(..count.min(self.lines.len())) {
            self.bytes = self.bytes.saturating_sub(line.bytes.len());
            place = line.seq.saturating_add(1);
        }
        self.delivery = Delivery::Idle;
        self.failures = 0;
        self.batch_lines = BATCH_LINES;
        self.oldest = (!self.lines.is_empty()).then_some(now);
        Delivered::Below { place, lines: sent }
    }

    fn failed(&mut self, status: Option<u16>, now: Moment) -> Delivered {
        self.failures = self.failures.saturating_add(1);
        if status == Some(413) {
            self.batch_lines = (self.batch_lines / 2).max(1);
        }
        // 50 ms, doubling to 3.2 s: a ledger that restarts is met soon, and one that is down is not hammered.
        let pause = Duration::from_millis(50u64.saturating_mul(1 << self.failures.saturating_sub(1).min(6)));
        self.delivery = Delivery::NotBefore(now.after(pause));
        Delivered::Failed(match status {
            Some(200) => "the evidence service's answer does not acknowledge the lines sent".to_owned(),
            Some(status) => format!("the evidence service answered {status}"),
            None => "the evidence service could not be reached".to_owned(),
        })
    }

    /// Whether everything queued has been acknowledged.
    pub(super) fn is_flushed(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether a delivery should not wait for the next slow tick.
    pub(super) fn is_busy(&self, urgency: Urgency) -> bool {
        self.delivery == Delivery::Idle
            && (self.bytes >= BATCH_BYTES || (urgency == Urgency::Now && !self.lines.is_empty()))
    }

    /// How many lines wait.
    pub(super) fn depth(&self) -> usize {
        self.lines.len()
    }

    /// How long the oldest line has waited.
    pub(super) fn lag(&mut self, now: Moment) -> Duration {
        match (self.lines.is_empty(), self.oldest) {
            (true, _) => {
                self.oldest = None;
                Duration::ZERO
            }
            (false, Some(oldest)) => now.since(oldest),
            (false, None) => {
                self.oldest = Some(now);
                Duration::ZERO
            }
        }
    }

    /// How many exchanges found no room since this was last asked.
    pub(super) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    fn push(&mut self, record: &Record) -> Option<u64> {
        // What somebody sent may be so long that no ledger would take the line, now or ever.
        let line = self.chain.seal(record).or_else(|_| self.chain.seal(&record.shortened())).ok()?;
        let seq = line.seq;
        self.bytes = self.bytes.saturating_add(line.bytes.len());
        self.lines.push_back(line);
        Some(seq)
    }
}

impl Ledger for Queue {
    fn reserve(&mut self) -> bool {
        let promised = self.bytes.saturating_add(self.reserved).saturating_add(RESERVE);
        if promised > self.service.queue {
            self.refused = self.refused.saturating_add(1);
            return false;
        }
        self.reserved = self.reserved.saturating_add(RESERVE);
        true
    }

    fn release(&mut self) {
        self.reserved = self.reserved.saturating_sub(RESERVE);
    }

    fn append_spare(&mut self, record: &Record, bytes: usize) -> bool {
        // Escaping makes text longer, by a tenth as a rule: line breaks and quotation marks take two bytes each.
        let line = bytes.saturating_add(bytes / 4).saturating_add(RESERVE / 4);
        let promised = self.bytes.saturating_add(self.reserved).saturating_add(line);
        promised <= self.service.queue && self.append(record).is_some()
    }

    fn append(&mut self, record: &Record) -> Option<u64> {
        if self.chain.is_empty() {
            let start = self.start.clone();
            self.push(&start)?;
        }
        self.push(record)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use graphwarden_policies::evidence::Succession;
    use graphwarden_policies::policy::Service;

    use super::*;

    const NOW: Moment = Moment(1_000_000_000);

    fn queue(bytes: usize) -> Queue {
        let service = Service {
            cluster: "desk".to_owned(),
            path: "/v1/evidence".to_owned(),
            authority: "desk".to_owned(),
            token: Some("secret".to_owned()),
            timeout: Duration::from_secs(5),
        };
        let service = EvidenceService {
            service,
            before: BTreeSet::new(),
            body_limit: 0,
            stream_limit: 0,
            filter_state: false,
            queue: bytes,
        };
        Queue::new(service, "c1".to_owned(), "gate", "policy", Wall(NOW.0))
    }

    fn record(exchange: &str) -> Record {
        Record::new(Kind::Outcome, exchange, "gate", NOW.0)
    }

    fn answer(queue: &mut Queue, call: &Call, status: u16, body: &str) -> Delivered {
        let Purpose::Evidence { lines } = call.purpose else { panic!("{call:?}") };
        queue.answered(lines, &CallReply { status: Some(status), body: body.as_bytes().to_vec() }, NOW)
    }

    fn lines(call: &Call) -> Vec<Vec<u8>> {
        call.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn one_delivery_at_a_time_carries_the_chain_from_its_start() {
        let mut queue = queue(1 << 20);
        assert!(queue.due(Urgency::Now, NOW).is_none());
        assert_eq!(queue.append(&record("a")), Some(1));
        assert_eq!(queue.append(&record("b")), Some(2));
        let call = queue.due(Urgency::Now, NOW).unwrap();
        assert!(queue.due(Urgency::Now, NOW).is_none(), "one is under way");
        let mut succession = Succession::from_start("c1");
        for line in lines(&call) {
            succession.accept(&line).unwrap();
        }
        queue.append(&record("c"));
        let delivered = answer(&mut queue, &call, 200, r#"{"accepted":3,"duplicates":0}"#);
        assert_eq!(delivered, Delivered::Below { place: 3, lines: 3 });
        let next = queue.due(Urgency::Now, NOW).unwrap();
        assert_eq!(lines(&next).len(), 1);
        succession.accept(&lines(&next)[0]).unwrap();
    }

    #[test]
    fn lines_that_nobody_waits_for_gather() {
        let mut queue = queue(1 << 20);
        queue.append(&record("a"));
        let call = queue.due(Urgency::Gather, NOW).unwrap();
        answer(&mut queue, &call, 200, r#"{"accepted":2}"#);
        queue.append(&record("b"));
        assert!(!queue.is_busy(Urgency::Gather) && queue.is_busy(Urgency::Now));
        assert!(queue.due(Urgency::Gather, NOW.after(Duration::from_millis(24))).is_none());
        assert!(queue.due(Urgency::Gather, NOW.after(GATHER)).is_some());
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_unchanged() {
        let mut queue = queue(1 << 20);
        queue.append(&record("a"));
        let first = queue.due(Urgency::Now, NOW).unwrap();
        for (status, body) in [
            (500, ""),
            (200, ""),
            (200, r#"{"accepted":1,"duplicates":0}"#),
            (200, r#"{"accepted":3,"duplicates":0}"#),
            (202, r#"{"accepted":2,"duplicates":0}"#),
            (401, "{}"),
        ] {
            assert!(
                matches!(answer(&mut queue, &first, status, body), Delivered::Failed(_)),
                "{status} {body}"
            );
            assert!(!queue.is_flushed());
            assert!(queue.due(Urgency::Now, NOW).is_none(), "the ledger is not hammered");
            let again = queue.due(Urgency::Now, NOW.after(Duration::from_secs(4))).unwrap();
            assert_eq!(again.body, first.body);
        }
        answer(&mut queue, &first, 200, r#"{"accepted":1,"duplicates":1}"#);
        assert!(queue.is_flushed());
    }

    #[test]
    fn too_large_a_delivery_is_halved() {
        let mut queue = queue(1 << 20);
        for _ in 0..99 {
            queue.append(&record("a"));
        }
        queue.batch_lines = 100;
        let mut now = NOW;
        for expected in [100, 50, 25] {
            let call = queue.due(Urgency::Now, now).unwrap();
            assert_eq!(lines(&call).len(), expected);
            answer(&mut queue, &call, 413, "");
            now = now.after(Duration::from_secs(10));
        }
    }

    #[test]
    fn a_line_that_no_ledger_would_take_is_shortened_instead_of_being_sent_for_ever() {
        let mut queue = queue(64 << 20);
        let mut large = record("a");
        large.request_id = Some("x".repeat(2 << 20));
        assert_eq!(queue.append(&large), Some(1));
        let call = queue.due(Urgency::Now, NOW).unwrap();
        assert!(call.body.len() < 2_000, "{} bytes", call.body.len());
        assert_eq!(lines(&call).len(), 2);
    }

    #[test]
    fn a_delivery_has_a_bound_and_a_line_over_it_goes_alone() {
        let mut queue = queue(64 << 20);
        for _ in 0..3 {
            let mut large = record("a");
            large.request_id = Some("x".repeat(BATCH_BYTES));
            queue.append(&large);
        }
        let mut sizes = Vec::new();
        while let Some(call) = queue.due(Urgency::Now, NOW) {
            let count = lines(&call).len();
            sizes.push(count);
            answer(&mut queue, &call, 200, &format!("{{\"accepted\":{count}}}"));
        }
        assert_eq!(sizes, [1, 1, 1, 1]);
    }

    #[test]
    fn room_is_promised_up_to_the_bound_and_given_back() {
        let mut queue = queue(3 * RESERVE);
        assert!(queue.reserve() && queue.reserve() && queue.reserve());
        assert!(!queue.reserve());
        assert_eq!(queue.take_refused(), 1);
        queue.release();
        assert!(queue.reserve());
        queue.release();
        queue.append(&record("a"));
        assert!(!queue.reserve(), "lines that wait take room too");
    }

    #[test]
    fn what_may_be_left_out_never_takes_the_room_that_was_promised() {
        let mut queue = queue(4 * RESERVE);
        assert!(queue.reserve() && queue.reserve());
        assert!(queue.append_spare(&record("a"), 100));
        assert!(!queue.append_spare(&record("a"), 2 * RESERVE), "more than is left");
        assert_eq!(queue.depth(), 2, "the chain's start and one");
        assert_eq!(queue.take_refused(), 0, "nobody was refused for it");
    }

    #[test]
    fn lag_is_the_age_of_what_waits() {
        let mut queue = queue(1 << 20);
        assert_eq!(queue.lag(NOW), Duration::ZERO);
        queue.append(&record("a"));
        assert_eq!(queue.lag(NOW), Duration::ZERO);
        assert_eq!(queue.lag(NOW.after(Duration::from_secs(2))), Duration::from_secs(2));
    }
}
