//! Lanes: texts that grow over several events of a stream.
//!
//! A delta's text is masked as the continuation of what its lane has seen. Its undecided tail is
//! lifted out of its event into a slot; the event, and everything behind it, waits in the queue until
//! the slot has its answer. So events keep their order, and a value that is split over events never
//! leaves in parts. Comments between events do not wait.
//!
//! When full it fails closed: the lane that blocks the queue is muted, its tail masked.
//!
//! Which strings grow, and in which lane, is for [`super::survey`] to say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::content::Content;
use super::edits::{Edits, Spelling};
use super::insight::{Held, Waits};
use super::json::Stop;
use super::masker::Cut;
use super::rules::{Context, Rules};
use super::survey::{End, Growing, Survey};

/// Most lanes that are muted before the stream is cut.
const MOST_MUTED: usize = 4096;

/// Names a lane: a hash over event name, subgraph, message and path.
pub(super) type LaneKey = u64;

/// How a string relates to other events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Growth {
    /// It stands alone.
    Whole,
    /// Later events repeat it and go on: its undecided tail is withheld.
    Cumulative,
    /// It continues the text of this lane.
    Lane(LaneKey),
    /// It may continue something that is not known: nothing of it leaves.
    Unknown,
}

/// What an event that is too large for a survey may do to texts that grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Large {
    /// Nothing: its strings stand alone.
    Whole,
    /// Its texts may go on in later events.
    Open,
    /// And they may continue a text of which something is undecided.
    Continuing,
}

/// A text that grows.
#[derive(Debug)]
pub(super) struct Lane {
    key: LaneKey,
    /// The message that the text is part of.
    message: LaneKey,
    /// The messages that may be the same under another id.
    scope: LaneKey,
    content: Content,
    /// Its undecided bytes in earlier events, in order.
    slots: VecDeque<Slot>,
    /// Slots that are decided, and what leaves at their place.
    decided: Vec<(u64, Vec<u8>)>,
    /// When it last grew, in events.
    used: u64,
}

/// An undecided stretch of an event.
#[derive(Debug)]
struct Slot {
    number: u64,
    /// The bytes without an answer, as spelled.
    raw: VecDeque<u8>,
    /// What leaves at this place, as far as it is known.
    ready: Vec<u8>,
}

/// Edits that go to a lane's slots first and then to the string at hand.
struct Across<'a> {
    slots: &'a mut VecDeque<Slot>,
    decided: &'a mut Vec<(u64, Vec<u8>)>,
    here: &'a mut dyn Edits,
}

impl Across<'_> {
    /// Answers the slots' share of `count` bytes; returns the rest.
    fn answer(&mut self, mut count: usize, passes: bool) -> usize {
        while count > 0 {
            let Some(slot) = self.slots.front_mut() else { break };
            let share = count.min(slot.raw.len());
            if passes {
                slot.ready.extend(slot.raw.drain(..share));
            } else {
                slot.raw.drain(..share);
            }
            count -= share;
            // A slot without undecided bytes stays while a text may still be put at its end.
            if count > 0
                && let Some(slot) = self.slots.pop_front()
            {
                self.decided.push((slot.number, slot.ready));
            }
        }
        count
    }

    /// Slots without undecided bytes are decided.
    fn end(&mut self) {
        while let Some(slot) = self.slots.pop_front_if(|slot| slot.raw.is_empty()) {
            self.decided.push((slot.number, slot.ready));
        }
    }
}

impl Edits for Across<'_> {
    fn pass(&mut self, count: usize) {
        let rest = self.answer(count, true);
        if rest > 0 {
            self.here.pass(rest);
        }
    }

    fn cut(&mut self, count: usize) {
        let rest = self.answer(count, false);
        if rest > 0 {
            self.here.cut(rest);
        }
    }

    fn put(&mut self, text: &[u8]) {
        match self.slots.front_mut() {
            Some(slot) => slot.ready.extend_from_slice(text),
            None => self.here.put(text),
        }
    }

    fn lift(&mut self, count: usize, slot: u64) -> Vec<u8> {
        self.here.lift(count, slot)
    }
}

/// The place of a lane's text when no event is at hand.
struct Nowhere;

impl Edits for Nowhere {
    fn pass(&mut self, _: usize) {}
    fn cut(&mut self, _: usize) {}
    fn put(&mut self, _: &[u8]) {}
    fn lift(&mut self, _: usize, _: u64) -> Vec<u8> {
        Vec::new()
    }
}

impl Lane {
    fn new(key: LaneKey, growing: Option<Growing>, content: Content) -> Self {
        let (message, scope) = growing.map_or((0, 0), |growing| (growing.message, growing.scope));
        Self { key, message, scope, content, slots: VecDeque::new(), decided: Vec::new(), used: 0 }
    }

    /// Does something with the text; what it decides goes to the slots first and then `here`.
    pub(super) fn with_content(
        &mut self,
        context: &mut Context<'_>,
        here: &mut dyn Edits,
        act: impl FnOnce(&mut Content, &mut Context<'_>, &mut dyn Edits) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut across = Across { slots: &mut self.slots, decided: &mut self.decided, here };
        let result = act(&mut self.content, context, &mut across);
        across.end();
        result
    }

    fn footprint(&self) -> usize {
        self.content.footprint()
            + self.slots.iter().map(|slot| slot.raw.len() + slot.ready.len()).sum::<usize>()
    }
}

/// An event that waits, whole, so that a comment may overtake it.
#[derive(Debug)]
struct Waiting {
    bytes: Vec<u8>,
    /// Where in the bytes something is missing, and the slot that it comes through.
    gaps: Vec<(usize, u64)>,
}

/// All lanes of a stream, and the events that wait for them.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    open: BTreeMap<LaneKey, Box<Lane>>,
    queue: VecDeque<Waiting>,
    /// Bytes in the queue and of slots that are decided.
    waiting: usize,
    decided: BTreeMap<u64, Vec<u8>>,
    /// Lanes that were muted because they blocked; nothing of them leaves any more.
    muted: BTreeSet<LaneKey>,
    next_slot: u64,
    events: u64,
    /// The growing strings of the event at hand, by ordinal.
    growing: Vec<Growing>,
    /// What the event at hand may be, where it is too large to know.
    large: Option<Large>,
}

impl Lanes {
    /// An event begins that is too large for a survey; `whole` where its name says that nothing in it grows.
    pub(super) fn begin_large_event(&mut self, whole: bool) {
        self.events += 1;
        self.growing.clear();
        self.large = Some(match whole {
            true => Large::Whole,
            false if self.open.values().any(|lane| !lane.slots.is_empty()) => Large::Continuing,
            false => Large::Open,
        });
    }

    /// It has ended. `marked` where something in it may have grown: what follows cannot be joined to it.
    pub(super) fn end_large_event(&mut self, marked: bool) -> Result<(), Stop> {
        match self.large.take() {
            Some(Large::Open | Large::Continuing) if marked => {
                Err(Stop::Cut(Cut { why: "an event of a growing text is larger than the policy allows" }))
            }
            _ => Ok(()),
        }
    }

    /// An event begins; answers what is complete after it.
    pub(super) fn begin_event(&mut self, survey: Survey) -> Vec<End> {
        let Survey { mut growing, mut ends, .. } = survey;
        self.events += 1;
        // The last delta of a message may have another id than the ones before it. Where one message
        // alone is open, it is that one; where several are, none may be taken for complete.
        for end in &mut ends {
            let End::Message { message, scope } = end else { continue };
            if self.open.values().any(|lane| lane.message == *message) {
                continue;
            }
            let mut others = self.open.values().filter(|lane| lane.scope == *scope).map(|lane| lane.message);
            if let Some(other) = others.next()
                && others.all(|another| another == other)
            {
                for text in growing.iter_mut().filter(|text| text.delta && text.message == *message) {
                    text.message = other;
                }
                *message = other;
            }
        }
        self.growing = growing;
        ends
    }

    /// How the string of this ordinal relates to other events; `text` tells whether it stands where texts grow.
    pub(super) fn growth(&self, ordinal: usize, text: impl Fn() -> bool) -> Growth {
        match self.large {
            Some(Large::Open) if text() => return Growth::Cumulative,
            Some(Large::Continuing) if text() => return Growth::Unknown,
            Some(_) => return Growth::Whole,
            None => {}
        }
        match self.find(ordinal) {
            None => Growth::Whole,
            Some(growing) if growing.delta => Growth::Lane(growing.message.rotate_left(1) ^ growing.path),
            Some(_) => Growth::Cumulative,
        }
    }

    fn find(&self, ordinal: usize) -> Option<Growing> {
        let index = self.growing.binary_search_by_key(&ordinal, |growing| growing.ordinal).ok()?;
        self.growing.get(index).copied()
    }

    /// Takes a lane out, or opens it.
    pub(super) fn take(&mut self, ordinal: usize, key: LaneKey, label: &[u8], level: usize) -> Box<Lane> {
        self.open.remove(&key).unwrap_or_else(|| {
            let content = if self.muted.contains(&key) {
                Content::muted()
            } else {
                Content::new(label, level, Spelling::Quoted)
            };
            Box::new(Lane::new(key, self.find(ordinal), content))
        })
    }

    /// Puts a lane back at the end of its string: what is undecided of it becomes a slot.
    pub(super) fn put_back(&mut self, mut lane: Box<Lane>, here: &mut dyn Edits) {
        let earlier: usize = lane.slots.iter().map(|slot| slot.raw.len()).sum();
        let tail = lane.content.unanswered().saturating_sub(earlier);
        if tail > 0 {
            let number = self.next_slot;
            self.next_slot += 1;
            let raw = here.lift(tail, number);
            lane.slots.push_back(Slot { number, raw: raw.into(), ready: Vec::new() });
        }
        lane.used = self.events;
        self.collect(&mut lane);
        self.open.insert(lane.key, lane);
    }

    fn collect(&mut self, lane: &mut Lane) {
        for (number, ready) in lane.decided.drain(..) {
            self.waiting += ready.len();
            self.decided.insert(number, ready);
        }
    }

    /// Hands an event over: its bytes, and where in them a slot's answer is missing.
    pub(super) fn hand_over(&mut self, bytes: &[u8], gaps: Vec<(usize, u64)>, output: &mut Vec<u8>) {
        self.advance(output);
        if self.queue.is_empty() && gaps.is_empty() {
            output.extend_from_slice(bytes);
        } else {
            self.waiting += bytes.len();
            self.queue.push_back(Waiting { bytes: bytes.to_vec(), gaps });
        }
    }

    /// Lets out what waits for nothing any more.
    pub(super) fn advance(&mut self, output: &mut Vec<u8>) {
        while let Some(event) = self.queue.front() {
            if !event.gaps.iter().all(|(_, slot)| self.decided.contains_key(slot)) {
                break;
            }
            let Some(event) = self.queue.pop_front() else { break };
            self.waiting = self.waiting.saturating_sub(event.bytes.len());
            let mut from = 0;
            for (at, slot) in event.gaps {
                output.extend_from_slice(event.bytes.get(from..at).unwrap_or_default());
                from = at;
                let ready = self.decided.remove(&slot).unwrap_or_default();
                self.waiting = self.waiting.saturating_sub(ready.len());
                output.extend_from_slice(&ready);
            }
            output.extend_from_slice(event.bytes.get(from..).unwrap_or_default());
        }
    }

    /// Bytes held back, states included.
    pub(super) fn footprint(&self) -> usize {
        self.waiting + self.open.values().map(|lane| lane.footprint()).sum::<usize>()
    }

    /// Says what is held back, and why: each text that is undecided, and what waits behind it.
    pub(super) fn held(&self, rules: &Rules, held: &mut Vec<Held>) {
        for lane in self.open.values().filter(|lane| !lane.slots.is_empty()) {
            lane.content.held(Some(lane.key), rules, held);
        }
        if !self.queue.is_empty() {
            let text = self.queue.iter().flat_map(|event| event.bytes.iter().copied()).collect();
            held.push(Held { bytes: self.waiting, text, lane: None, waits: Waits::Order });
        }
    }

    fn end_lane(&mut self, mut lane: Box<Lane>, context: &mut Context<'_>) -> Result<(), Stop> {
        lane.with_content(context, &mut Nowhere, |content, context, edits| content.finish(context, edits))?;
        self.collect(&mut lane);
        Ok(())
    }

    fn mute_lane(&mut self, lane: &mut Lane) {
        let mut across = Across { slots: &mut lane.slots, decided: &mut lane.decided, here: &mut Nowhere };
        lane.content.mute(&mut across);
        across.end();
        self.muted.insert(lane.key);
        self.collect(lane);
    }

    /// These messages are complete: their texts are decided.
    pub(super) fn end(&mut self, ends: &[End], context: &mut Context<'_>) -> Result<(), Stop> {
        if ends.is_empty() {
            return Ok(());
        }
        self.end_where(
            |lane| {
                ends.iter().any(|end| match end {
                    End::Message { message, .. } => lane.message == *message,
                    End::Scope(scope) => lane.scope == *scope,
                })
            },
            context,
        )
    }

    /// All texts are complete: the stream has ended, or an error ends the run.
    pub(super) fn end_all(&mut self, context: &mut Context<'_>) -> Result<(), Stop> {
        self.end_where(|_| true, context)
    }

    fn end_where(
        &mut self,
        mut ends: impl FnMut(&Lane) -> bool,
        context: &mut Context<'_>,
    ) -> Result<(), Stop> {
        let keys: Vec<LaneKey> = self.open.values().filter(|lane| ends(lane)).map(|lane| lane.key).collect();
        for key in keys {
            if let Some(lane) = self.open.remove(&key) {
                self.end_lane(lane, context)?;
            }
        }
        Ok(())
    }

    /// Keeps within the bounds, by masking what blocks; cuts a stream that does so again and again.
    pub(super) fn keep_within(
        &mut self,
        lanes: usize,
        held: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        while self.open.len() > lanes {
            let Some(key) = self.open.values().min_by_key(|lane| (lane.used, lane.key)).map(|lane| lane.key)
            else {
                break;
            };
            if let Some(mut lane) = self.open.remove(&key)
                && !lane.slots.is_empty()
            {
                self.mute_lane(&mut lane);
            }
        }
        self.advance(output);
        while self.footprint() > held {
            let missing = self.queue.front().and_then(|event| {
                event.gaps.iter().map(|(_, slot)| *slot).find(|slot| !self.decided.contains_key(slot))
            });
            let Some(number) = missing else { break };
            let blocking = self
                .open
                .values()
                .find(|lane| lane.slots.iter().any(|slot| slot.number == number))
                .map(|lane| lane.key);
            let Some(mut lane) = blocking.and_then(|key| self.open.remove(&key)) else { break };
            self.mute_lane(&mut lane);
            self.open.insert(lane.key, lane);
            self.advance(output);
        }
        if self.muted.len() > MOST_MUTED {
            return Err(Stop::Cut(Cut { why: "too many growing texts at once" }));
        }
        Ok(())
    }
}
