//! The rules of one plan, and what a transducer asks of them while it works.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::config::Malformed;
use super::detectors::{Action, DetectorId, Detectors, Label, is_moment};
use super::edits::Edits;
use super::json::{Names, Stop};
use super::lanes::{Growth, Lane, LaneKey, Lanes};
use super::path::{LONGEST_NAME, Paths, Places, Step};

/// What takes the place of a text that is masked without being looked at.
pub(super) const WITHHELD: &[u8] = b"[MASKED]";

/// A rule on values by where they stand.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// The path or key as written.
    pub(super) name: Arc<str>,
    /// What takes the value's place.
    pub(super) action: Action,
}

/// What an exemption changes about a field rule.
#[derive(Debug, Clone)]
pub(super) enum Exemption {
    /// Nothing is masked.
    Pass,
    /// Something else takes the value's place.
    Instead(Action),
}

/// Bounds on what a stream may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Nesting of arrays and objects.
    pub(super) depth: usize,
    /// JSON inside strings inside JSON.
    pub(super) embedded: usize,
    /// Raw bytes held back in one stream.
    pub(super) held: usize,
    /// The largest event that is joined with its neighbours.
    pub(super) event: usize,
    /// Texts that grow at the same time.
    pub(super) lanes: usize,
}

/// What all callers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) fields: Vec<Field>,
    pub(super) paths: Paths,
    /// Member names in lower case, each with its rule.
    pub(super) keys: BTreeMap<Vec<u8>, usize>,
    pub(super) malformed: Malformed,
    pub(super) limits: Limits,
    /// Whether built-in detectors alone look: what they can find is known.
    pub(super) built_in_alone: bool,
}

impl Shared {
    /// The rule on a member name.
    fn key(&self, name: &[u8]) -> Option<usize> {
        if self.keys.is_empty() || name.len() > LONGEST_NAME {
            return None;
        }
        if name.iter().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
            self.keys.get(lower_case(name).as_slice()).copied()
        } else {
            self.keys.get(name).copied()
        }
    }
}

/// A member name without its case.
pub(super) fn lower_case(name: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(name).to_lowercase().into_bytes()
}

/// The rules that hold for one caller.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) shared: Arc<Shared>,
    /// Without those that the caller is exempt from.
    pub(super) detectors: Detectors,
    /// What takes the place of a detector's finds for this caller, where it is not the detector's own action.
    pub(super) instead: Vec<(DetectorId, Action)>,
    /// By rule.
    pub(super) exempt_fields: Vec<(usize, Exemption)>,
    /// What the body before knew, for the next to begin with.
    pub(super) names: Spare,
}

/// Names that no body has now: most bodies have the names of the one before. Bodies at the same time have names of their
/// own, of which the most stay here.
#[derive(Debug, Default)]
pub(super) struct Spare(Mutex<Names>);

impl Spare {
    /// Takes what is there, for a body to begin with.
    pub(super) fn take(&self) -> Names {
        // Whoever has it now, or fell with it, keeps it: then the body begins with nothing.
        self.0.try_lock().map(|mut names| std::mem::take(&mut *names)).unwrap_or_default()
    }

    /// Leaves them for the next.
    pub(super) fn leave(&self, names: Names) {
        if let Ok(mut spare) = self.0.try_lock()
            && spare.footprint() <= names.footprint()
        {
            *spare = names;
        }
    }
}

impl Rules {
    /// Whether there is nothing that they could change about a body, and nothing to see to in it.
    pub(super) fn are_idle(&self) -> bool {
        let shared = &self.shared;
        self.detectors.is_empty()
            && shared.fields.is_empty()
            && shared.keys.is_empty()
            && shared.malformed != Malformed::Block
    }

    fn field_exemption(&self, rule: usize) -> Option<&Exemption> {
        self.exempt_fields.iter().find(|(exempt, _)| *exempt == rule).map(|(_, exemption)| exemption)
    }
}

/// How often each detector and rule masked something.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    detectors: Vec<(DetectorId, u64)>,
    fields: Vec<(usize, u64)>,
}

fn count<K: PartialEq>(counts: &mut Vec<(K, u64)>, key: K) {
    match counts.iter_mut().find(|(known, _)| *known == key) {
        Some((_, count)) => *count += 1,
        None => counts.push((key, 1)),
    }
}

impl Counts {
    /// Each name with its count.
    pub(super) fn iter<'a>(&'a self, rules: &'a Rules) -> impl Iterator<Item = (&'a str, u64)> {
        let detectors = self.detectors.iter().map(|(id, count)| (rules.detectors.name(*id), *count));
        let fields = self.fields.iter().filter_map(|(rule, count)| {
            rules.shared.fields.get(*rule).map(|field| (field.name.as_ref(), *count))
        });
        detectors.chain(fields)
    }
}

/// What a body has shown so far that counts for the rest of it.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    /// What has been masked.
    pub(super) counts: Counts,
    /// Names that need no second look.
    pub(super) names: Names,
}

/// The rules, and the parts of a stream's state that all of its texts share.
pub(super) struct Context<'a> {
    rules: &'a Rules,
    pub(super) learnt: &'a mut Learnt,
    lanes: &'a mut Lanes,
    /// Room for what takes the place of a find.
    room: Vec<u8>,
}

impl<'a> Context<'a> {
    pub(super) fn new(rules: &'a Rules, learnt: &'a mut Learnt, lanes: &'a mut Lanes) -> Self {
        Self { rules, learnt, lanes, room: Vec::new() }
    }

    /// Room to render into, empty.
    pub(super) fn take_room(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.room)
    }

    /// Gives the room back.
    pub(super) fn return_room(&mut self, mut room: Vec<u8>) {
        room.clear();
        self.room = room;
    }

    pub(super) fn detectors(&self) -> &'a Detectors {
        &self.rules.detectors
    }

    /// Whether this string stays where its name says nothing about it: it is a UUID (RFC 9562 section 4), as LangChain writes
    /// it for a run or by itself, or a time, and nothing else.
    #[inline]
    pub(super) fn is_id_or_time(&self, text: &[u8]) -> bool {
        // What is shorter or longer is neither.
        matches!(text.len(), 19..=44)
            && self.rules.shared.built_in_alone
            && (is_uuid(text) || is_moment(text))
    }

    /// Whether no detector can find anything in this number or literal of a value called `label`, told at a glance: none
    /// finds fewer than four digits, and fewer than seven only behind a word.
    pub(super) fn is_clear_token(&self, label: Label<'_>, token: &[u8]) -> bool {
        let detectors = &self.rules.detectors;
        token.first().is_some_and(u8::is_ascii_alphabetic)
            || detectors.is_empty()
            || (self.rules.shared.built_in_alone
                && (token.len() < 4 || (token.len() < 7 && detectors.is_plain_number(label))))
    }

    pub(super) fn limits(&self) -> Limits {
        self.rules.shared.limits
    }

    /// Whether malformed JSON cuts the stream.
    pub(super) fn is_strict(&self) -> bool {
        self.rules.shared.malformed == Malformed::Block
    }

    /// Writes what takes the place of a find, and counts it. `None`: a value not at hand as a whole.
    pub(super) fn render(&mut self, detector: DetectorId, text: Option<&[u8]>, out: &mut Vec<u8>) {
        count(&mut self.learnt.counts.detectors, detector);
        let instead =
            self.rules.instead.iter().find(|(exempt, _)| *exempt == detector).map(|(_, action)| action);
        match (instead, text) {
            (Some(action), Some(text)) => action.render(text, out),
            (Some(action), None) => action.render_open(out),
            (None, Some(text)) => self.rules.detectors.render(detector, text, out),
            (None, None) => self.rules.detectors.render_open(detector, out),
        }
    }

    /// Writes what takes the place of a value that a rule masks, and counts it.
    pub(super) fn render_field(&mut self, rule: usize, value: Option<&[u8]>, out: &mut Vec<u8>) {
        count(&mut self.learnt.counts.fields, rule);
        let own = self.rules.shared.fields.get(rule).map(|field| &field.action);
        let action = match self.rules.field_exemption(rule) {
            Some(Exemption::Instead(action)) => Some(action),
            _ => own,
        };
        match (action, value) {
            (Some(action), Some(value)) => action.render(value, out),
            (Some(action), None) => action.render_open(out),
            (None, _) => out.extend_from_slice(WITHHELD),
        }
    }

    fn holds(&self, rule: Option<usize>) -> Option<usize> {
        rule.filter(|rule| !matches!(self.rules.field_exemption(*rule), Some(Exemption::Pass)))
    }

    /// Where the paths stand at a document, and the rule that holds for it as a whole.
    pub(super) fn root(&self) -> (Places, Option<usize>) {
        let (places, rule) = self.rules.shared.paths.root();
        (places, self.holds(rule))
    }

    /// One step down from a value.
    pub(super) fn step(&self, from: Places, step: Step<'_>) -> (Places, Option<usize>) {
        if from == 0 {
            return (0, None);
        }
        let (places, rule) = self.rules.shared.paths.step(from, step);
        (places, self.holds(rule))
    }

    /// One step down to a member: its name counts by itself, too.
    pub(super) fn member(&self, from: Places, name: &[u8]) -> (Places, Option<usize>) {
        let (places, rule) = self.step(from, Step::Name(name));
        (places, rule.or_else(|| self.holds(self.rules.shared.key(name))))
    }

    /// How the string of this ordinal relates to other events; `text` tells whether it stands where texts grow.
    pub(super) fn growth(&self, ordinal: usize, text: impl Fn() -> bool) -> Growth {
        self.lanes.growth(ordinal, text)
    }

    /// Takes the lane that the string of this ordinal continues.
    pub(super) fn take_lane(
        &mut self,
        ordinal: usize,
        key: LaneKey,
        label: &[u8],
        level: usize,
    ) -> Box<Lane> {
        self.lanes.take(ordinal, key, label, level)
    }

    /// Gives a lane back at the end of its string.
    pub(super) fn return_lane(&mut self, mut lane: Box<Lane>, here: &mut dyn Edits) -> Result<(), Stop> {
        lane.with_content(self, here, |content, context, edits| content.settle(context, edits))?;
        self.lanes.put_back(lane, here);
        Ok(())
    }
}

/// What stands before the UUID in the id of a message that a model's run wrote.
const OF_RUN: [&[u8]; 3] = [b"lc_run--", b"run--", b"run-"];

/// Whether `text` is a UUID as RFC 9562 section 4 writes it, of a run or by itself.
fn is_uuid(text: &[u8]) -> bool {
    let text = match text.len() {
        37..=44 => OF_RUN.iter().find_map(|prefix| text.strip_prefix(*prefix)).unwrap_or(text),
        _ => text,
    };
    let Ok(text) = <&[u8; 36]>::try_from(text) else { return false };
    // Without a way out at each byte: many are looked at in one step.
    text.iter().zip(UUID).fold(true, |fits, (byte, form)| {
        fits & if *form == b'-' { *byte == b'-' } else { byte.is_ascii_hexdigit() }
    })
}

/// The form of a UUID: hyphens, and hexadecimal digits.
const UUID: &[u8; 36] = b"00000000-0000-0000-0000-000000000000";
