//! The inside of a JSON string: most go by at hand, whole; the others grow piece by piece, through their escapes.

use memchr::{memchr, memchr2};

use super::{Flow, Json, State, Stop};
use crate::masking::content::{Content, apply};
use crate::masking::detectors::{Label, Seen};
use crate::masking::edits::{Edits, Spelling};
use crate::masking::escape::Escaped;
use crate::masking::lanes::Growth;
use crate::masking::path::LONGEST_NAME;
use crate::masking::rules::{Context, WITHHELD};
use crate::masking::survey;
use crate::masking::text::{Verdict, at_hand};

impl Json {
    /// The inside of a string, up to and with its closing quote where that is at hand.
    pub(super) fn string(
        &mut self,
        rest: &[u8],
        context: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Result<usize, Stop> {
        if self.escape.is_open() {
            return self.escaped(rest, context, flow);
        }
        let end = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
        let (body, tail) = rest.split_at(end);
        if self.body && context.is_strict() && body.iter().any(|byte| *byte < 0x20) {
            return self.fault(context, flow).map(|()| 0);
        }
        match tail.first() {
            Some(b'"') if self.fresh && self.whole(body, context, flow) => {
                self.fresh = false;
                self.close(context, flow);
                return Ok(end + 1);
            }
            None if body.is_empty() => return Ok(0),
            _ => {}
        }
        self.open_content(context);
        self.plain(body, context, flow)?;
        match tail.first() {
            None => Ok(end),
            Some(b'"') => {
                if self.muted.is_none() {
                    self.close_content(context, flow)?;
                }
                self.close(context, flow);
                Ok(end + 1)
            }
            Some(_) => {
                self.escape.begin();
                Ok(end + 1)
            }
        }
    }

    /// A string that is at hand as a whole, without escapes: the way that most strings go. `false`
    /// where it has to go the long way.
    fn whole(&mut self, body: &[u8], context: &mut Context<'_>, flow: &mut Flow<'_>) -> bool {
        if self.muted.is_some() {
            flow.cut(body.len());
            if self.state == State::Text {
                self.collect(body, context, flow);
            }
            return true;
        }
        let name = self.state == State::NameText;
        if name {
            self.remember_name(body);
        } else if self.growth_of(self.ordinal, &self.name, context) != Growth::Whole || begins_document(body)
        {
            return false;
        }
        let detectors = context.detectors();
        let label = detectors.label(if name { &[] } else { &self.name });
        let active = detectors.glance(label, body, detectors.table().look(body));
        if active.is_none() || (context.is_id_or_time(body) && detectors.is_silent(label)) {
            flow.pass(body.len());
        } else {
            look(label, body, active, context, flow);
        }
        true
    }

    /// The closing quote: what the string was decides what comes next.
    fn close(&mut self, context: &mut Context<'_>, flow: &mut Flow<'_>) {
        flow.pass(1);
        if self.state == State::NameText {
            if let Some(frame) = self.stack.last() {
                (self.places, self.rule) = context.member(frame.places, &self.name);
            }
            self.state = State::Colon;
        } else {
            self.end_value(context, flow);
        }
    }

    fn remember_name(&mut self, bytes: &[u8]) {
        // One byte more than a rule can name, so that a longer name meets no rule.
        let room = (LONGEST_NAME + 1).saturating_sub(self.name.len());
        self.name.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// The long way begins: a text that grows.
    pub(super) fn open_content(&mut self, context: &mut Context<'_>) {
        if !std::mem::take(&mut self.fresh) || self.muted.is_some() {
            return;
        }
        self.growth = Growth::Whole;
        self.content = match self.state {
            State::NameText => Content::text(&[], Spelling::Quoted),
            _ => {
                self.growth = self.growth_of(self.ordinal, &self.name, context);
                if let Growth::Lane(lane) = self.growth {
                    self.lane = Some(context.take_lane(self.ordinal, lane, &self.name, self.level + 1));
                }
                match self.growth {
                    Growth::Unknown => Content::muted(),
                    _ => Content::new(&self.name, self.level + 1, Spelling::Quoted),
                }
            }
        };
    }

    /// How the string of this ordinal, in a value called `name`, relates to other events.
    pub(super) fn growth_of(&self, ordinal: usize, name: &[u8], context: &Context<'_>) -> Growth {
        if self.tracked {
            context.growth(ordinal, || self.tree > 0 || survey::is_text(name))
        } else {
            Growth::Whole
        }
    }

    /// Does something with the growing text, wherever it lives.
    pub(super) fn with_content(
        &mut self,
        context: &mut Context<'_>,
        flow: &mut Flow<'_>,
        act: impl FnOnce(&mut Content, &mut Context<'_>, &mut dyn Edits) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        match &mut self.lane {
            Some(lane) => lane.with_content(context, flow, act),
            None => act(&mut self.content, context, flow),
        }
    }

    /// The growing text ends here, or goes on in another event.
    pub(super) fn close_content(
        &mut self,
        context: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Result<(), Stop> {
        if let Some(lane) = self.lane.take() {
            return context.return_lane(lane, flow);
        }
        match self.growth {
            Growth::Cumulative => self.content.withhold(context, flow),
            Growth::Unknown => {
                self.content.finish(context, flow)?;
                flow.put(WITHHELD);
                Ok(())
            }
            Growth::Whole | Growth::Lane(_) => self.content.finish(context, flow),
        }
    }

    pub(super) fn plain(
        &mut self,
        bytes: &[u8],
        context: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Result<(), Stop> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.state == State::NameText {
            self.remember_name(bytes);
        }
        if self.muted.is_some() {
            flow.cut(bytes.len());
            if self.state == State::Text {
                self.collect(bytes, context, flow);
            }
            return Ok(());
        }
        self.with_content(context, flow, |content, context, edits| content.plain(bytes, context, edits))
    }

    fn character(
        &mut self,
        character: char,
        spelled: usize,
        context: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Result<(), Stop> {
        let mut buffer = [0; 4];
        let bytes = character.encode_utf8(&mut buffer).as_bytes();
        if self.state == State::NameText {
            self.remember_name(bytes);
        }
        if self.muted.is_some() {
            flow.cut(spelled);
            if self.state == State::Text {
                self.collect(bytes, context, flow);
            }
            return Ok(());
        }
        self.with_content(context, flow, |content, context, edits| {
            content.unit(bytes, spelled, context, edits)
        })
    }

    /// Bytes inside an escape. Answers how many it took; none where the byte has to be read again.
    fn escaped(
        &mut self,
        rest: &[u8],
        context: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Result<usize, Stop> {
        let mut taken = 0;
        for &byte in rest {
            match self.escape.take(byte) {
                Escaped::More => taken += 1,
                Escaped::Character { character, spelled } => {
                    taken += 1;
                    self.character(character, spelled, context, flow)?;
                    // The escape goes on only where a second first half of a pair waits for its other half.
                    if !self.escape.is_open() {
                        return Ok(taken);
                    }
                }
                Escaped::Alone { then } => {
                    self.character(char::REPLACEMENT_CHARACTER, 6, context, flow)?;
                    self.character(then, 6, context, flow)?;
                    return Ok(taken + 1);
                }
                Escaped::Before { character, spelled } => {
                    self.character(character, spelled, context, flow)?;
                    if !self.escape.is_open() {
                        return Ok(taken);
                    }
                    // Its backslash is there already: the same byte, once more.
                    return self
                        .escaped(rest.get(taken..).unwrap_or_default(), context, flow)
                        .map(|more| taken + more);
                }
                Escaped::Literal => {
                    if self.body && context.is_strict() {
                        return self.fault(context, flow).map(|()| taken);
                    }
                    let (raw, length) = self.escape.abandon();
                    self.plain(raw.get(..length).unwrap_or_default(), context, flow)?;
                    return Ok(taken);
                }
            }
        }
        Ok(taken)
    }

    /// After a fault: text, in which escapes are seen through.
    pub(super) fn loose(
        &mut self,
        rest: &[u8],
        context: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Result<usize, Stop> {
        if self.escape.is_open() {
            return self.escaped(rest, context, flow);
        }
        let end = memchr(b'\\', rest).unwrap_or(rest.len());
        let (body, tail) = rest.split_at(end);
        self.plain(body, context, flow)?;
        if tail.is_empty() {
            return Ok(end);
        }
        self.escape.begin();
        Ok(end + 1)
    }
}

/// Hands a string at hand, in a value called `label`, to the detectors, and says whether they find nothing; `active` is
/// what a glance told of it.
pub(super) fn look(
    label: Label<'_>,
    body: &[u8],
    active: Seen,
    context: &mut Context<'_>,
    flow: &mut Flow<'_>,
) -> bool {
    let mut clear = true;
    let detectors = context.detectors();
    at_hand(detectors, label, body, active, |verdict| {
        clear &= matches!(verdict, Verdict::Clear { .. });
        apply(verdict, context, Spelling::Quoted, flow);
    });
    clear
}

/// Whether a text may be a document of its own.
pub(super) fn begins_document(text: &[u8]) -> bool {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    matches!(text.iter().find(|byte| !blank(byte)), Some(b'{' | b'[' | b'"'))
}
