//! The state of one growing text, and the loop that hands it to the detectors piece by piece.

use super::fold;
use crate::masking::detectors::{DetectorId, Detectors, Finding, Label, Next, Region, Seen, Triggers, View};

/// Bytes before undecided text that detectors may read for context, such as `SSN:`.
const CONTEXT: usize = 96;

/// Bytes given to the detectors at once: bounds what folding copies.
const BLOCK: usize = 4096;

/// Bytes of input joined to what is held, at first.
const STEP: usize = 64;

/// What is known about the next bytes of the text. In order, disjoint, covering the input exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// They hold no value.
    Clear {
        /// How many bytes.
        len: usize,
    },
    /// They are a value, whole: emit [`Detectors::render`].
    Match {
        /// Who found it.
        detector: DetectorId,
        /// The value as it stands in the text.
        text: &'a [u8],
    },
    /// They begin a value without a bound, or one longer than what may be held: emit
    /// [`Detectors::render_open`]. [`Verdict::Rest`] follows as the text comes.
    Open {
        /// Who found it.
        detector: DetectorId,
        /// How many bytes.
        len: usize,
    },
    /// They belong to the value before: emit nothing.
    Rest {
        /// How many bytes.
        len: usize,
    },
}

impl Verdict<'_> {
    /// How many bytes of the text this is about.
    pub fn covers(&self) -> usize {
        match self {
            Self::Clear { len } | Self::Open { len, .. } | Self::Rest { len } => *len,
            Self::Match { text, .. } => text.len(),
        }
    }
}

/// The state of one growing text: a few hundred bytes, and what is held.
///
/// Calls: [`new`](Self::new) or [`after`](Self::after), [`push`](Self::push) as the text comes, and
/// [`finish`](Self::finish) once. [`whole`](Self::whole) is all three for a text that is at hand.
/// `Clone` is a checkpoint: a copy goes on independently.
#[derive(Clone)]
pub struct Scan {
    /// The last decided bytes, folded; `before_length` of them count.
    before: [u8; CONTEXT],
    before_length: u8,
    /// Zero-width characters right before `held`.
    zero_widths: u8,
    /// How many decided bytes are behind the last match, if it is near.
    since_match: Option<u8>,
    /// Whether nothing is decided yet of a text that has a label.
    labelled: bool,
    /// The value without bound that the text is in.
    region: Option<Region>,
    /// Bytes without a verdict.
    held: Vec<u8>,
}

impl std::fmt::Debug for Scan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl Default for Scan {
    fn default() -> Self {
        Self::new()
    }
}

impl Scan {
    /// At the beginning of a text.
    pub fn new() -> Self {
        Self {
            before: [0; CONTEXT],
            before_length: 0,
            zero_widths: 0,
            since_match: None,
            labelled: false,
            region: None,
            held: Vec::new(),
        }
    }

    /// At the beginning of a text that `label` names, such as the name of the JSON member whose value it is.
    /// The text is read as if `label: ` stood before it, so that words of context in the name count.
    pub fn after(label: &[u8]) -> Self {
        let mut scan = Self::new();
        scan.before_length = u8::try_from(name(label, &mut scan.before)).unwrap_or(0);
        scan.labelled = true;
        scan
    }

    /// At the beginning of a text that `label` names, or nothing does.
    pub(crate) fn labelled(label: &[u8]) -> Self {
        if label.is_empty() { Self::new() } else { Self::after(label) }
    }

    /// How many bytes of the input so far have no verdict yet.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// The input so far that has no verdict yet.
    pub(crate) fn undecided(&self) -> &[u8] {
        &self.held
    }

    /// A copy that has not seen what is undecided.
    pub(crate) fn rewound(&self) -> Self {
        Self { held: Vec::new(), ..self.clone() }
    }

    /// Takes the next bytes of the text; `on` hears what is decided.
    pub fn push(&mut self, detectors: &Detectors, input: &[u8], mut on: impl FnMut(Verdict<'_>)) {
        self.advance(detectors, input, false, &mut on);
    }

    /// Ends the text: what is held is decided. The scan is at the beginning of a text again.
    pub fn finish(&mut self, detectors: &Detectors, mut on: impl FnMut(Verdict<'_>)) {
        let held = std::mem::take(&mut self.held);
        self.advance(detectors, &held, true, &mut on);
        *self = Self::new();
    }

    /// Pushes `input` and finishes, without holding anything in between: the quick way for a text at hand.
    pub fn whole(&mut self, detectors: &Detectors, input: &[u8], mut on: impl FnMut(Verdict<'_>)) {
        if self.held.is_empty() && input.len() <= BLOCK {
            self.advance(detectors, input, true, &mut on);
            *self = Self::new();
        } else {
            self.push(detectors, input, &mut on);
            self.finish(detectors, on);
        }
    }

    /// Decides what can be decided of `held` and `input`, and holds the rest.
    fn advance(
        &mut self,
        detectors: &Detectors,
        mut input: &[u8],
        ended: bool,
        on: &mut impl FnMut(Verdict<'_>),
    ) {
        let mut step = STEP;
        while !input.is_empty() {
            let old = self.held.len();
            if old == 0 {
                // Nothing is held: look at the input where it is.
                let block = input.get(..BLOCK).unwrap_or(input);
                let last = block.len() == input.len();
                let decided = self.decide(detectors, block, ended && last, on);
                if last || decided == 0 {
                    self.held.extend_from_slice(block.get(decided..).unwrap_or_default());
                    input = input.get(block.len()..).unwrap_or_default();
                } else {
                    input = input.get(decided..).unwrap_or_default();
                }
                continue;
            }
            // Join a little of the input to what is held, more each time, until nothing that was held is left.
            let taken = input.get(..step).unwrap_or(input);
            step = step.saturating_mul(2).min(BLOCK);
            let last = taken.len() == input.len();
            let mut joined = std::mem::take(&mut self.held);
            joined.extend_from_slice(taken);
            let decided = self.decide(detectors, &joined, ended && last, on);
            if decided >= old && !last {
                input = input.get(decided - old..).unwrap_or_default();
                step = STEP;
            } else {
                joined.drain(..decided.min(joined.len()));
                input = input.get(taken.len()..).unwrap_or_default();
                self.held = joined;
            }
        }
        if self.held.is_empty() {
            // Gives the room back: thousands of texts may be open at once.
            self.held = Vec::new();
        }
    }

    /// Hands `text` to the region or the detectors in turn, and says how many bytes are decided.
    fn decide(
        &mut self,
        detectors: &Detectors,
        text: &[u8],
        ended: bool,
        on: &mut impl FnMut(Verdict<'_>),
    ) -> usize {
        let mut decided = 0;
        loop {
            let rest = text.get(decided..).unwrap_or_default();
            if let Some(region) = self.region.take() {
                decided += self.go_on(detectors, region, rest, on);
                if self.region.is_some() {
                    return decided;
                }
            } else {
                decided += self.search(detectors, rest, ended, on);
                if self.region.is_none() {
                    return decided;
                }
            }
        }
    }

    /// Covers the part of `text` that is in `region`.
    fn go_on(
        &mut self,
        detectors: &Detectors,
        mut region: Region,
        text: &[u8],
        on: &mut impl FnMut(Verdict<'_>),
    ) -> usize {
        let (length, over) = detectors.go_on(&mut region, text);
        if length > 0 {
            on(Verdict::Rest { len: length });
            self.remember(text.get(..length).unwrap_or_default());
        }
        if over {
            self.since_match = Some(0);
        } else {
            self.region = Some(region);
        }
        length
    }

    /// Searches `text`, until a region begins in it.
    fn search(
        &mut self,
        detectors: &Detectors,
        text: &[u8],
        ended: bool,
        on: &mut impl FnMut(Verdict<'_>),
    ) -> usize {
        let folded =
            fold::is_needed(text, self.zero_widths).then(|| fold::fold(text, self.zero_widths, ended));
        let seen = folded.as_ref().map_or(text, |folded| folded.text.as_slice());
        let begin = |index: usize| folded.as_ref().map_or(index, |folded| folded.begin(index));
        let end = |index: usize| folded.as_ref().map_or(index, |folded| folded.end(index));
        let length = self.before_length;
        let before = self.before;
        let whole = folded.as_ref().is_none_or(|folded| folded.length == text.len());
        let mut view = View {
            before: before.get(..usize::from(length)).unwrap_or_default(),
            text: seen,
            floor: 0,
            wall: self.since_match.map_or(isize::MIN, |bytes| -isize::from(bytes)),
            labelled: self.labelled,
            ended: ended && whole,
        };
        let mut reported = 0;
        loop {
            match detectors.next(&view, Seen::ALL) {
                Next::Found(Finding { start, end: value_end, cover, detector, region }) => {
                    let (from, to, cover_to) = (begin(start), end(value_end), end(cover));
                    if from > reported {
                        on(Verdict::Clear { len: from - reported });
                    }
                    let value = text.get(from..to).unwrap_or_default();
                    if region.is_some() {
                        on(Verdict::Open { detector, len: value.len() });
                    } else {
                        on(Verdict::Match { detector, text: value });
                    }
                    if cover_to > to {
                        on(Verdict::Rest { len: cover_to - to });
                    }
                    reported = cover_to;
                    view.floor = cover;
                    view.wall = isize::try_from(cover).unwrap_or(isize::MAX);
                    view.labelled = false;
                    if region.is_some() {
                        self.region = region;
                        self.settle(seen, cover, view.wall, 0);
                        return reported;
                    }
                }
                Next::Hold(hold) => {
                    let nothing = hold >= seen.len();
                    // Zero-width characters behind the last decided byte go with it.
                    let to = begin(hold);
                    if to > reported {
                        on(Verdict::Clear { len: to - reported });
                    }
                    let zero_widths = folded.as_ref().map_or(0, |folded| folded.zero_widths);
                    self.settle(seen, hold, view.wall, if nothing { zero_widths } else { 0 });
                    return to;
                }
            }
        }
    }

    /// Notes that `seen` is decided up to `end`, and that the last match ended at `wall`.
    fn settle(&mut self, seen: &[u8], end: usize, wall: isize, zero_widths: u8) {
        self.remember(seen.get(..end).unwrap_or(seen));
        let since = isize::try_from(end).unwrap_or(isize::MAX).saturating_sub(wall);
        self.since_match = u8::try_from(since).ok();
        self.labelled = self.labelled && end == 0;
        self.zero_widths = zero_widths;
    }

    /// Keeps the last bytes of what was decided as context.
    fn remember(&mut self, decided: &[u8]) {
        let tail = decided.get(decided.len().saturating_sub(CONTEXT)..).unwrap_or_default();
        let old = usize::from(self.before_length);
        let kept = old.min(CONTEXT - tail.len());
        self.before.copy_within(old - kept..old, 0);
        if let Some(place) = self.before.get_mut(kept..kept + tail.len()) {
            place.copy_from_slice(tail);
        }
        self.before_length = u8::try_from(kept + tail.len()).unwrap_or(0);
    }
}

/// Says all about a text that is at hand, in a value called `label`: what [`Scan::after`] and [`Scan::whole`] would.
///
/// `active`: what [`Detectors::glance`] told of it.
pub(crate) fn at_hand(
    detectors: &Detectors,
    label: Label<'_>,
    text: &[u8],
    active: Seen,
    mut on: impl FnMut(Verdict<'_>),
) {
    if active.triggers.has(Triggers::FOLD) && fold::is_needed(text, 0) {
        return Scan::labelled(label.name).whole(detectors, text, on);
    }
    let active = active.only(active.triggers.without(Triggers::FOLD));
    let mut before = [0; CONTEXT];
    let length = if label.name.is_empty() { 0 } else { name(label.name, &mut before) };
    let mut view = View {
        before: before.get(..length).unwrap_or_default(),
        text,
        floor: 0,
        wall: isize::MIN,
        labelled: length > 0 && !label.plain,
        ended: true,
    };
    let mut reported = 0;
    while reported < text.len()
        && let Next::Found(Finding { start, end, cover, detector, region }) = detectors.next(&view, active)
    {
        if start > reported {
            on(Verdict::Clear { len: start - reported });
        }
        let value = text.get(start..end).unwrap_or_default();
        if region.is_some() {
            on(Verdict::Open { detector, len: value.len() });
        } else {
            on(Verdict::Match { detector, text: value });
        }
        let (more, _) = region.map_or((0, true), |mut region| {
            detectors.go_on(&mut region, text.get(cover..).unwrap_or_default())
        });
        // What overlaps the value, and what covers the text behind it, are heard of apart, as they come.
        for rest in [cover - end, more] {
            if rest > 0 {
                on(Verdict::Rest { len: rest });
            }
        }
        reported = cover + more;
        view.floor = reported;
        view.wall = isize::try_from(reported).unwrap_or(isize::MAX);
        view.labelled = false;
    }
    if reported < text.len() {
        on(Verdict::Clear { len: text.len() - reported });
    }
}

/// Writes what stands before a text called `label`, and says how long it is.
fn name(label: &[u8], before: &mut [u8; CONTEXT]) -> usize {
    const SEPARATOR: &[u8] = b": ";
    let kept = label.get(label.len().saturating_sub(CONTEXT - SEPARATOR.len())..).unwrap_or_default();
    let length = kept.len() + SEPARATOR.len();
    for (place, part) in [(0..kept.len(), kept), (kept.len()..length, SEPARATOR)] {
        if let Some(place) = before.get_mut(place) {
            place.copy_from_slice(part);
        }
    }
    length
}
