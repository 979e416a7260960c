//! The quick way through a document: tokens that are at hand as a whole, in their order, that no rule concerns. Most
//! of most documents goes this way; where anything else comes, the other files of this folder take over. What they
//! would have answered is what is answered here.

use super::escaped::{self, AsSpelled};
use super::names::Known;
use super::string::{begins_document, look};
use super::{Flow, Frame, Json, State, Stop};
use crate::masking::detectors::{Detectors, Triggers};
use crate::masking::edits::Edits;
use crate::masking::lanes::Growth;
use crate::masking::path::{LONGEST_NAME, Step};
use crate::masking::rules::Context;
use crate::masking::token;

impl Json {
    /// Goes on as far as the quick way leads, and says how far that is: `input` up to there is answered.
    pub(super) fn quick(
        &mut self,
        input: &[u8],
        context: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Result<usize, Stop> {
        let between = matches!(
            self.state,
            State::Value | State::FirstElement | State::FirstName | State::Name | State::Colon | State::After
        );
        if !between || self.muted.is_some() || self.rule.is_some() || !self.token.is_empty() {
            return Ok(0);
        }
        let name = std::mem::take(&mut self.name);
        let detectors = context.detectors();
        let mut way = Way {
            json: self,
            input,
            at: 0,
            told: 0,
            name,
            new_name: None,
            decoded: Vec::new(),
            stop: None,
            detectors,
            context,
            flow,
        };
        while way.token().is_some() {}
        way.end()
    }
}

/// Where the quick way has come to.
struct Way<'w, 'i, 'c, 'f> {
    json: &'w mut Json,
    input: &'i [u8],
    /// Up to here all is decided.
    at: usize,
    /// Up to here it is answered.
    told: usize,
    /// The name that the value to come stands under, from before.
    name: Vec<u8>,
    /// The one that came since.
    new_name: Option<&'i [u8]>,
    /// Room for a string without its escapes.
    decoded: Vec<u8>,
    /// Why the document cannot go on.
    stop: Option<Stop>,
    detectors: &'c Detectors,
    context: &'w mut Context<'c>,
    flow: &'w mut Flow<'f>,
}

impl<'i> Way<'_, 'i, '_, '_> {
    /// Answers what is decided, and leaves the document as the others expect it.
    fn end(self) -> Result<usize, Stop> {
        self.flow.pass(self.at - self.told);
        self.json.name = self.name;
        if let Some(name) = self.new_name {
            self.json.name.clear();
            self.json.name.extend_from_slice(name);
        }
        self.stop.map_or(Ok(self.at), Err)
    }

    /// Takes the next token, or leaves it to the others.
    fn token(&mut self) -> Option<()> {
        let byte = loop {
            match *self.input.get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => break byte,
            }
        };
        match (self.json.state, byte) {
            (State::Name | State::FirstName, b'"') => {
                self.member()?;
                // Most values follow right behind, and many are nothing to look at.
                if self.blank() {
                    return Some(());
                }
                let [b':', first @ 0x21..=0xFF, ..] = *self.input.get(self.at..)? else { return Some(()) };
                self.json.state = State::Value;
                self.at += 1;
                return self.value(first);
            }
            (State::Colon, b':') => self.json.state = State::Value,
            (State::Value, _) => return self.value(byte),
            (State::FirstElement, _) if byte != b']' => return self.value(byte),
            (State::After, b',') => {
                self.json.state = if self.json.stack.last()?.array { State::Value } else { State::Name };
            }
            (State::After, b']') if self.json.stack.last()?.array => self.close(),
            (State::After, b'}') if !self.json.stack.last()?.array => self.close(),
            (State::FirstName, b'}') | (State::FirstElement, b']') => self.close(),
            _ => return None,
        }
        self.at += 1;
        Some(())
    }

    /// Goes past an empty array or object or a literal right behind a member's name, and past the comma behind it.
    fn blank(&mut self) -> bool {
        let Some(rest) = self.input.get(self.at..) else { return false };
        let (length, container) = match *rest {
            [b':', b'[', b']', ..] | [b':', b'{', b'}', ..] => (3, true),
            [b':', b'n', b'u', b'l', b'l', ..] | [b':', b't', b'r', b'u', b'e', ..] => (5, false),
            [b':', b'f', b'a', b'l', b's', b'e', ..] => (6, false),
            _ => return false,
        };
        // Anything else behind a literal would make it another token.
        let comma = match rest.get(length) {
            Some(b',') => true,
            Some(b'}') => false,
            _ => return false,
        };
        if container && self.json.stack.len() >= self.context.limits().depth {
            return false;
        }
        if container {
            self.forget_name();
        }
        self.at += length + usize::from(comma);
        self.json.state = if comma { State::Name } else { State::After };
        true
    }

    fn close(&mut self) {
        self.json.leave();
        self.forget_name();
        self.json.state = self.json.behind();
    }

    fn forget_name(&mut self) {
        self.name.clear();
        self.new_name = None;
    }

    /// The inside of the string that begins here, and all that it has.
    fn inside(&self) -> Option<(&'i [u8], Triggers)> {
        let rest = self.input.get(self.at + 1..)?;
        let (end, seen) = self.detectors.table().inside(rest);
        let (body, tail) = rest.split_at_checked(end)?;
        let whole = tail.first() == Some(&b'"') && !(seen.has(Triggers::CONTROL) && self.context.is_strict());
        whole.then_some((body, seen))
    }

    fn member(&mut self) -> Option<()> {
        let places = self.json.stack.last()?.places;
        let known = self.input.get(self.at + 1..).and_then(Known::read);
        if let Some(known) = &known
            && let Some(to) = self.context.names.find(known, places)
        {
            (self.json.places, self.json.rule) = (to, None);
            let begin = self.at + 1;
            self.at = begin + known.length + 1;
            self.name.clear();
            self.new_name = self.input.get(begin..begin + known.length);
            self.json.state = State::Colon;
            return Some(());
        }
        let (name, seen) = self.inside()?;
        (self.json.places, self.json.rule) = self.context.member(places, name);
        self.forget_name();
        let clear = self.answer(name, seen);
        if let Some(known) = known.filter(|_| clear && self.json.rule.is_none()) {
            self.context.names.keep(known, places, self.json.places);
        }
        self.new_name = Some(name.get(..=LONGEST_NAME).unwrap_or(name));
        self.json.state = State::Colon;
        // What a rule masks goes the other way.
        self.json.rule.is_none().then_some(())
    }

    /// Answers the string that begins here, with its quotes, and says whether nothing is found in it.
    fn answer(&mut self, body: &[u8], seen: Triggers) -> bool {
        let begin = self.at + 1;
        self.at = begin + body.len() + 1;
        let label = self.new_name.unwrap_or(&self.name);
        let active = self.detectors.glance(label, seen, body.len());
        if active.is_none() || self.context.is_id(label, body) {
            return true;
        }
        self.flow.pass(begin - self.told);
        self.told = begin + body.len();
        look(label, body, active, self.context, self.flow)
    }

    /// Answers a string with escapes or a document in it.
    fn escaped(&mut self) -> Option<()> {
        let begin = self.at + 1;
        let rest = self.input.get(begin..)?;
        self.decoded.clear();
        let (length, seen) =
            escaped::decode(self.detectors.table(), rest, self.context.is_strict(), &mut self.decoded)?;
        let label = self.new_name.unwrap_or(&self.name);
        let active = self.detectors.glance(label, seen, self.decoded.len());
        let level = self.json.level + 1;
        let document = begins_document(&self.decoded);
        if document && level > self.context.limits().embedded {
            return None;
        }
        if document || !active.is_none() {
            self.flow.pass(begin - self.told);
            self.told = begin + length;
            let mut edits = AsSpelled::new(rest.get(..length)?, self.flow);
            let answered = escaped::answer(&self.decoded, label, level, active, self.context, &mut edits);
            edits.end();
            self.stop = answered.err();
        }
        self.at = begin + length + 1;
        self.stop.is_none().then_some(())
    }

    fn value(&mut self, byte: u8) -> Option<()> {
        let element = match self.json.stack.last() {
            None => Some(self.context.root()),
            Some(frame) if frame.array => Some(self.context.step(frame.places, Step::Index(frame.index))),
            // Decided when the name ended.
            Some(_) => None,
        };
        if let Some((_, Some(_))) = element {
            return None;
        }
        let places = element.map_or(self.json.places, |(places, _)| places);
        match byte {
            b'"' => {
                let label = self.new_name.unwrap_or(&self.name);
                if self.json.growth_of(self.json.ordinal + 1, label, self.context) != Growth::Whole {
                    return None;
                }
                match self.inside() {
                    Some((body, seen)) if !begins_document(body) => {
                        self.answer(body, seen);
                    }
                    _ => self.escaped()?,
                }
                self.json.ordinal += 1;
            }
            b'{' | b'[' => {
                if self.json.stack.len() >= self.context.limits().depth {
                    return None;
                }
                self.count_element();
                let array = byte == b'[';
                let label = self.new_name.unwrap_or(&self.name);
                self.json.tree = self.json.tree_in(label);
                self.json.stack.push(Frame { array, places, index: 0 });
                self.json.state = if array { State::FirstElement } else { State::FirstName };
                if !array {
                    self.forget_name();
                }
                self.at += 1;
                return Some(());
            }
            _ => self.number()?,
        }
        self.count_element();
        self.json.state = self.json.behind();
        if self.json.state == State::After && self.input.get(self.at) == Some(&b',') {
            self.at += 1;
            self.json.state = if self.json.stack.last()?.array { State::Value } else { State::Name };
        }
        Some(())
    }

    fn count_element(&mut self) {
        if let Some(frame) = self.json.stack.last_mut().filter(|frame| frame.array) {
            frame.index += 1;
        }
    }

    /// A number or a literal.
    fn number(&mut self) -> Option<()> {
        let rest = self.input.get(self.at..)?;
        let end = rest.iter().position(|&byte| !token::is_part(byte))?;
        let (token, tail) = rest.split_at_checked(end)?;
        if !tail.first().is_some_and(|byte| self.json.may_follow(*byte)) || !token::is_valid(token) {
            return None;
        }
        let label = self.new_name.unwrap_or(&self.name);
        if !self.context.is_clear_token(label, token) {
            self.flow.pass(self.at - self.told);
            super::decide_token(label, token, self.context, self.flow);
            self.told = self.at + end;
        }
        self.at += end;
        Some(())
    }
}
