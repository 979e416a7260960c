//! The quick way through a document: tokens that are at hand as a whole, in their order, that no rule concerns. Most
//! of most documents goes this way; where anything else comes, the other files of this folder take over. What they
//! would have answered is what is answered here.

use super::escaped::{self, AsSpelled, Decoded};
use super::names::{Known, Place, Said};
use super::string::{begins_document, look};
use super::{Flow, Frame, Json, State, Stop};
use crate::masking::detectors::{Detectors, Label, Seen, Triggers};
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
        let plain = detectors.label(&name).plain;
        let mut way = Way {
            json: self,
            input,
            at: 0,
            told: 0,
            named: Named { before: name, since: None, plain, kept: None },
            decoded: Decoded::default(),
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
    named: Named<'i>,
    /// Room for a string without its escapes.
    decoded: Decoded,
    /// Why the document cannot go on.
    stop: Option<Stop>,
    detectors: &'c Detectors,
    context: &'w mut Context<'c>,
    flow: &'w mut Flow<'f>,
}

/// What the value to come is called.
struct Named<'i> {
    /// Its name, from before.
    before: Vec<u8>,
    /// The one that came since.
    since: Option<&'i [u8]>,
    /// Whether that makes no secret of the value.
    plain: bool,
    /// Where it is kept, if it is.
    kept: Option<Place>,
}

impl Named<'_> {
    fn label(&self) -> Label<'_> {
        Label { name: self.since.unwrap_or(&self.before), plain: self.plain }
    }

    fn forget(&mut self) {
        self.before.clear();
        (self.since, self.plain, self.kept) = (None, true, None);
    }
}

impl<'i> Way<'_, 'i, '_, '_> {
    /// Answers what is decided, and leaves the document as the others expect it.
    fn end(self) -> Result<usize, Stop> {
        self.flow.pass(self.at - self.told);
        self.json.name = self.named.before;
        if let Some(name) = self.named.since {
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
            self.named.forget();
        }
        self.at += length + usize::from(comma);
        self.json.state = if comma { State::Name } else { State::After };
        true
    }

    fn close(&mut self) {
        self.json.leave();
        self.named.forget();
        self.json.state = self.json.behind();
    }

    /// Whether the name of the value to come says nothing about it.
    fn is_silent(&mut self) -> bool {
        let Self { named, detectors, context, .. } = self;
        context.learnt.names.is_silent(named.kept, || detectors.is_silent(named.label()))
    }

    /// The inside of the string that begins here, and all that it has.
    fn inside(&self) -> Option<(&'i [u8], Seen)> {
        let rest = self.input.get(self.at + 1..)?;
        let (end, seen) = self.detectors.table().inside(rest);
        let (body, tail) = rest.split_at_checked(end)?;
        let whole = tail.first() == Some(&b'"')
            && !(seen.triggers.has(Triggers::CONTROL) && self.context.is_strict());
        whole.then_some((body, seen))
    }

    fn member(&mut self) -> Option<()> {
        let places = self.json.stack.last()?.places;
        let known = self.input.get(self.at + 1..).and_then(Known::read);
        if let Some(known) = &known
            && let Some((kept, said)) = self.context.learnt.names.find(known, places)
        {
            (self.json.places, self.json.rule) = (said.to, None);
            let begin = self.at + 1;
            self.at = begin + known.length + 1;
            self.named.before.clear();
            self.named.since = self.input.get(begin..begin + known.length);
            (self.named.plain, self.named.kept) = (said.plain, Some(kept));
            self.json.state = State::Colon;
            return Some(());
        }
        let (name, seen) = self.inside()?;
        (self.json.places, self.json.rule) = self.context.member(places, name);
        self.named.forget();
        let clear = self.answer(name, seen);
        let plain = self.detectors.label(name).plain;
        if let Some(known) = known.filter(|_| clear && self.json.rule.is_none()) {
            let said = Said { to: self.json.places, plain, silent: None };
            self.context.learnt.names.keep(known, places, said);
        }
        (self.named.since, self.named.plain) = (Some(name.get(..=LONGEST_NAME).unwrap_or(name)), plain);
        self.json.state = State::Colon;
        // What a rule masks goes the other way.
        self.json.rule.is_none().then_some(())
    }

    /// Answers the string that begins here, with its quotes, and says whether nothing is found in it.
    fn answer(&mut self, body: &[u8], seen: Seen) -> bool {
        let begin = self.at + 1;
        self.at = begin + body.len() + 1;
        let active = self.detectors.glance(self.named.label(), body, seen);
        if active.is_none() || (self.context.is_id_or_time(body) && self.is_silent()) {
            return true;
        }
        self.flow.pass(begin - self.told);
        self.told = begin + body.len();
        look(self.named.label(), body, active, self.context, self.flow)
    }

    /// Answers a string with escapes or a document in it.
    fn escaped(&mut self) -> Option<()> {
        let begin = self.at + 1;
        let rest = self.input.get(begin..)?;
        let length = self.decoded.read(rest, self.context.is_strict())?;
        let label = self.named.label();
        let text = &self.decoded.text;
        let level = self.json.level + 1;
        let document = begins_document(text);
        if document && level > self.context.limits().embedded {
            return None;
        }
        let active = if document {
            Seen::NONE
        } else {
            self.detectors.glance(label, text, self.detectors.table().look(text))
        };
        if document || !active.is_none() {
            self.flow.pass(begin - self.told);
            self.told = begin + length;
            let mut edits = AsSpelled::new(&self.decoded, length, self.flow);
            let answered = escaped::answer(text, label, level, active, self.context, &mut edits);
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
                let name = self.named.label().name;
                if self.json.growth_of(self.json.ordinal + 1, name, self.context) != Growth::Whole {
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
                self.json.tree = self.json.tree_in(self.named.label().name);
                self.json.stack.push(Frame { array, places, index: 0 });
                self.json.state = if array { State::FirstElement } else { State::FirstName };
                if !array {
                    self.named.forget();
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
        let label = self.named.label();
        if !self.context.is_clear_token(label, token) {
            self.flow.pass(self.at - self.told);
            super::decide_token(label, token, self.context, self.flow);
            self.told = self.at + end;
        }
        self.at += end;
        Some(())
    }
}
