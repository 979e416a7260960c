//! JSON (RFC 8259), resumable after every byte and preserving every byte that is not masked.
//!
//! Invariant: the answers cover the input exactly and in order, and are the same for every split of
//! it. Blanks, the spelling of numbers and escapes, the order of members and duplicate names stay.
//! Field rules replace whole values; detectors look at member names, strings and numbers. What is
//! undecided is at most one string's undecided tail and one number or literal of [`LONGEST_TOKEN`]
//! bytes with the blanks behind it.
//!
//! From a fault on, the rest is masked as text in which escapes are seen through, or the stream is
//! cut, as the policy says. Nesting beyond the policy's limit is never let through.

mod escaped;
mod held;
mod names;
mod quick;
mod string;

use crate::masking::content::Content;
use crate::masking::detectors::{Label, Seen};
use crate::masking::edits::{Edits, Spelling};
use crate::masking::escape::Escape;
use crate::masking::lanes::{Growth, Lane};
use crate::masking::masker::Cut;
use crate::masking::path::{Places, Step};
use crate::masking::rules::Context;
use crate::masking::survey;
use crate::masking::text::{Verdict, at_hand};
use crate::masking::token;

pub(super) use names::Names;

/// Longest number or literal, blanks behind it included.
const LONGEST_TOKEN: usize = 1024;
/// Longest value that an action gets to see; a longer one is masked without being seen.
const LONGEST_VALUE: usize = 4096;

/// Why a document cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The body as a whole is cut.
    Cut(Cut),
    /// It is nested deeper than the policy allows.
    Deep,
}

impl Stop {
    /// What that means for the body as a whole.
    pub(super) fn cut(self) -> Cut {
        match self {
            Self::Cut(cut) => cut,
            Self::Deep => Cut { why: "JSON nested deeper than the policy allows" },
        }
    }
}

/// One document.
#[derive(Debug)]
pub(super) struct Json {
    state: State,
    stack: Vec<Frame>,
    /// How many strings this document is inside of.
    level: usize,
    /// Whether it is the body, which has to be JSON, or a text that looked like it.
    body: bool,
    /// Whether its growing strings are known, by their ordinals among the strings that are values.
    tracked: bool,
    /// How many strings that are values have begun.
    ordinal: usize,
    /// The depth of the stack inside of which every string may grow; 0 outside of that.
    tree: usize,
    /// Where the paths stand at the value to come.
    places: Places,
    /// The rule that holds for the value to come.
    rule: Option<usize>,
    muted: Option<Muted>,
    /// The name that the value to come stands under, decoded; its beginning, where it is long.
    name: Vec<u8>,
    /// Whether the string has no content yet.
    fresh: bool,
    content: Content,
    growth: Growth,
    lane: Option<Box<Lane>>,
    escape: Escape,
    /// A number or literal that is undecided, and the blanks behind it.
    token: Vec<u8>,
    /// Where the blanks begin.
    token_end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A value has to come.
    Value,
    /// A value or the end of the array has to come.
    FirstElement,
    /// A member name or the end of the object has to come.
    FirstName,
    /// A member name has to come.
    Name,
    /// A colon has to come.
    Colon,
    /// A comma or the end of the array or object has to come.
    After,
    /// Inside a number or literal.
    Token,
    /// Inside a string that is a value.
    Text,
    /// Inside a string that is a member name.
    NameText,
    /// The document is complete: blanks may come.
    Done,
    /// After a fault.
    Loose,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    array: bool,
    places: Places,
    /// The index of the element to come.
    index: usize,
}

/// A value that a field rule masks, from its first byte to its last.
#[derive(Debug)]
struct Muted {
    rule: usize,
    /// The depth of the stack at which it ends.
    depth: usize,
    /// The value so far; `None` where its replacement is out already.
    value: Option<Vec<u8>>,
    string: bool,
}

/// Joins passes, so that the level outside hears of stretches and not of tokens.
struct Flow<'a> {
    outside: &'a mut dyn Edits,
    passing: usize,
    muted: bool,
}

impl Flow<'_> {
    fn flush(&mut self) {
        if self.passing > 0 {
            self.outside.pass(self.passing);
            self.passing = 0;
        }
    }
}

impl Edits for Flow<'_> {
    fn pass(&mut self, count: usize) {
        if self.muted { self.outside.cut(count) } else { self.passing += count }
    }

    fn cut(&mut self, count: usize) {
        self.flush();
        self.outside.cut(count);
    }

    fn put(&mut self, text: &[u8]) {
        if !self.muted {
            self.flush();
            self.outside.put(text);
        }
    }

    fn lift(&mut self, count: usize, slot: u64) -> Vec<u8> {
        self.flush();
        self.outside.lift(count, slot)
    }
}

impl Json {
    /// The body itself.
    pub(super) fn body() -> Self {
        Self { body: true, ..Self::embedded(0, false) }
    }

    /// A document inside `level` strings; `tracked` where it is an event's payload.
    pub(super) fn embedded(level: usize, tracked: bool) -> Self {
        Self {
            state: State::Value,
            stack: Vec::new(),
            level,
            body: false,
            tracked,
            ordinal: 0,
            tree: 0,
            places: 0,
            rule: None,
            muted: None,
            name: Vec::new(),
            fresh: true,
            content: Content::muted(),
            growth: Growth::Whole,
            lane: None,
            escape: Escape::default(),
            token: Vec::new(),
            token_end: 0,
        }
    }

    /// The same in a value called `label`, which says as much of a string or number that is all of the document.
    pub(super) fn called(self, label: &[u8]) -> Self {
        Self { name: label.into(), ..self }
    }

    /// Whether it is a text that looked like JSON, and not the body.
    pub(super) fn is_embedded(&self) -> bool {
        !self.body
    }

    /// The heap it takes, in bytes.
    pub(super) fn footprint(&self) -> usize {
        self.stack.capacity() * size_of::<Frame>()
            + self.name.capacity()
            + self.token.capacity()
            + self.content.footprint()
            + size_of::<Self>()
    }

    /// Takes the next bytes of the document.
    pub(super) fn push(
        &mut self,
        input: &[u8],
        context: &mut Context<'_>,
        outside: &mut dyn Edits,
    ) -> Result<(), Stop> {
        let mut flow = Flow { outside, passing: 0, muted: self.muted.is_some() };
        let result = self.run(input, context, &mut flow);
        flow.flush();
        result
    }

    fn run(&mut self, input: &[u8], context: &mut Context<'_>, flow: &mut Flow<'_>) -> Result<(), Stop> {
        let mut rest = input;
        loop {
            let quick = self.quick(rest, context, flow)?;
            rest = rest.get(quick..).unwrap_or_default();
            let Some(&byte) = rest.first() else { break };
            let taken = match self.state {
                State::Text | State::NameText => self.string(rest, context, flow)?,
                State::Token => self.token(rest, context, flow)?,
                State::Loose => self.loose(rest, context, flow)?,
                State::Value
                | State::FirstElement
                | State::FirstName
                | State::Name
                | State::Colon
                | State::After
                | State::Done => self.structure(byte, context, flow)?,
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        match self.state {
            State::Text | State::NameText | State::Loose if self.muted.is_none() && !self.fresh => {
                self.with_content(context, flow, |content, context, edits| content.settle(context, edits))
            }
            _ => Ok(()),
        }
    }

    /// The input has ended: everything is answered.
    pub(super) fn finish(&mut self, context: &mut Context<'_>, outside: &mut dyn Edits) -> Result<(), Stop> {
        let mut flow = Flow { outside, passing: 0, muted: self.muted.is_some() };
        let result = self.end(context, &mut flow);
        flow.flush();
        result
    }

    fn end(&mut self, context: &mut Context<'_>, flow: &mut Flow<'_>) -> Result<(), Stop> {
        if self.state == State::Token {
            self.token_end = self.token.len();
            if token::is_valid(&self.token) {
                self.state = self.behind();
            } else {
                self.fault(context, flow)?;
            }
        }
        if !self.token.is_empty() {
            self.settle_token(context, flow);
        }
        if self.escape.is_open() {
            self.open_content(context);
            let (raw, length) = self.escape.abandon();
            self.plain(raw.get(..length).unwrap_or_default(), context, flow)?;
        }
        if self.state == State::Loose && self.muted.is_none() {
            self.with_content(context, flow, |content, context, edits| content.finish(context, edits))?;
        }
        if matches!(self.state, State::Text | State::NameText) && self.muted.is_none() && !self.fresh {
            self.close_content(context, flow)?;
        }
        Ok(())
    }

    /// One byte between the tokens.
    fn structure(&mut self, byte: u8, context: &mut Context<'_>, flow: &mut Flow<'_>) -> Result<usize, Stop> {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            if self.token.is_empty() {
                flow.pass(1);
            } else {
                // A fault right behind would make the token and the blanks part of a text.
                self.token.push(byte);
                if self.token.len() >= LONGEST_TOKEN {
                    self.settle_token(context, flow);
                }
            }
            return Ok(1);
        }
        if !self.token.is_empty() {
            if !self.may_follow(byte) {
                return self.fault(context, flow).map(|()| 0);
            }
            self.settle_token(context, flow);
        }
        match (self.state, byte) {
            (State::Value | State::FirstElement, b'"') => {
                self.begin(Shape::String, context, flow);
                self.fresh = true;
                self.ordinal += 1;
                self.state = State::Text;
            }
            (State::Value | State::FirstElement, b'{' | b'[') => {
                self.begin(Shape::Container, context, flow);
                if self.stack.len() >= context.limits().depth {
                    return Err(Stop::Deep);
                }
                let array = byte == b'[';
                self.tree = self.tree_in(&self.name);
                self.stack.push(Frame { array, places: self.places, index: 0 });
                self.state = if array { State::FirstElement } else { State::FirstName };
                if !array {
                    self.name.clear();
                }
            }
            (State::Value | State::FirstElement, _) if token::is_part(byte) => {
                self.begin(Shape::Token, context, flow);
                self.state = State::Token;
                return Ok(0);
            }
            (State::FirstName | State::Name, b'"') => {
                self.name.clear();
                self.fresh = true;
                self.state = State::NameText;
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::After, b',') => {
                self.state = match self.stack.last() {
                    Some(frame) if frame.array => State::Value,
                    _ => State::Name,
                };
            }
            (State::FirstElement | State::After, b']')
                if self.stack.last().is_some_and(|frame| frame.array) =>
            {
                return Ok(self.close_container(flow, context));
            }
            (State::FirstName | State::After, b'}')
                if self.stack.last().is_some_and(|frame| !frame.array) =>
            {
                return Ok(self.close_container(flow, context));
            }
            // A byte order mark before the document (RFC 8259 section 8.1 lets parsers ignore it).
            (State::Value, 0xEF | 0xBB | 0xBF) if self.stack.is_empty() => {}
            _ => return self.fault(context, flow).map(|()| 0),
        }
        flow.pass(1);
        Ok(1)
    }

    fn close_container(&mut self, flow: &mut Flow<'_>, context: &mut Context<'_>) -> usize {
        flow.pass(1);
        self.leave();
        self.name.clear();
        self.end_value(context, flow);
        1
    }

    /// What `tree` is inside the container that begins now, in a value called `name`.
    fn tree_in(&self, name: &[u8]) -> usize {
        if self.tracked && self.tree == 0 && survey::is_tree(name) { self.stack.len() + 1 } else { self.tree }
    }

    /// The innermost container ends.
    fn leave(&mut self) {
        self.stack.pop();
        if self.stack.len() < self.tree {
            self.tree = 0;
        }
    }

    /// Whether `byte` may come right behind a value where this one stands.
    fn may_follow(&self, byte: u8) -> bool {
        match (byte, self.stack.last()) {
            (b',', Some(_)) => true,
            (b']', Some(frame)) => frame.array,
            (b'}', Some(frame)) => !frame.array,
            _ => false,
        }
    }

    /// The state behind a value.
    fn behind(&self) -> State {
        if self.stack.is_empty() { State::Done } else { State::After }
    }

    /// A value begins: which rule holds for it?
    fn begin(&mut self, shape: Shape, context: &mut Context<'_>, flow: &mut Flow<'_>) {
        match self.stack.last_mut() {
            None => (self.places, self.rule) = context.root(),
            Some(frame) if frame.array => {
                (self.places, self.rule) = context.step(frame.places, Step::Index(frame.index));
                frame.index += 1;
            }
            // Decided when the name ended.
            Some(_) => {}
        }
        let Some(rule) = self.rule.filter(|_| self.muted.is_none()) else { return };
        let value = match shape {
            Shape::Container => {
                put_value(None, rule, false, context, flow);
                None
            }
            Shape::String | Shape::Token => Some(Vec::new()),
        };
        self.muted = Some(Muted { rule, depth: self.stack.len(), value, string: shape == Shape::String });
        flow.flush();
        flow.muted = true;
    }

    /// A value has ended.
    fn end_value(&mut self, context: &mut Context<'_>, flow: &mut Flow<'_>) {
        self.state = self.behind();
        self.rule = None;
        if self.muted.as_ref().is_some_and(|muted| muted.depth == self.stack.len())
            && let Some(muted) = self.muted.take()
        {
            flow.muted = false;
            if let Some(value) = muted.value {
                put_value(Some(&value), muted.rule, muted.string, context, flow);
            }
        }
    }

    /// Bytes of a value that a rule masks.
    fn collect(&mut self, bytes: &[u8], context: &mut Context<'_>, flow: &mut Flow<'_>) {
        let Some(muted) = &mut self.muted else { return };
        if muted.depth != self.stack.len() {
            return;
        }
        let Some(value) = &mut muted.value else { return };
        if value.len() + bytes.len() <= LONGEST_VALUE {
            value.extend_from_slice(bytes);
        } else {
            muted.value = None;
            flow.muted = false;
            put_value(None, muted.rule, muted.string, context, flow);
            flow.muted = true;
        }
    }

    /// The document is no JSON from here on.
    fn fault(&mut self, context: &mut Context<'_>, flow: &mut Flow<'_>) -> Result<(), Stop> {
        if self.body && context.is_strict() {
            return Err(Stop::Cut(Cut { why: "malformed JSON" }));
        }
        if let Some(muted) = &mut self.muted {
            // Where the masked value ends cannot be known any more: nothing leaves from here on.
            if muted.value.take().is_some() {
                flow.muted = false;
                put_value(None, muted.rule, muted.string, context, flow);
                flow.muted = true;
            }
        }
        // What was to be a value keeps the name that it stands under: that may be all that tells what it is.
        let pending = !self.token.is_empty() || matches!(self.state, State::Value | State::Token);
        let label = if pending { self.name.as_slice() } else { &[] };
        self.content = Content::text(label, Spelling::Line);
        self.state = State::Loose;
        self.fresh = false;
        self.lane = None;
        let token = std::mem::take(&mut self.token);
        self.plain(&token, context, flow)
    }

    /// A number or a literal.
    fn token(&mut self, rest: &[u8], context: &mut Context<'_>, flow: &mut Flow<'_>) -> Result<usize, Stop> {
        let end = rest.iter().position(|&byte| !token::is_part(byte)).unwrap_or(rest.len());
        let (body, tail) = rest.split_at(end);
        if self.token.is_empty()
            && tail.first().is_some_and(|byte| self.may_follow(*byte))
            && token::is_valid(body)
        {
            self.decide_token(body, context, flow);
            return Ok(end);
        }
        self.token.extend_from_slice(body);
        if self.token.len() > LONGEST_TOKEN {
            self.fault(context, flow)?;
        } else if !tail.is_empty() {
            self.token_end = self.token.len();
            if token::is_valid(&self.token) {
                self.state = self.behind();
            } else {
                self.fault(context, flow)?;
            }
        }
        Ok(end)
    }

    /// Decides about the token that waited, and lets the blanks behind it pass.
    fn settle_token(&mut self, context: &mut Context<'_>, flow: &mut Flow<'_>) {
        let mut token = std::mem::take(&mut self.token);
        let blanks = token.len() - self.token_end.min(token.len());
        self.decide_token(token.get(..self.token_end).unwrap_or_default(), context, flow);
        flow.pass(blanks);
        token.clear();
        self.token = token;
    }

    fn decide_token(&mut self, token: &[u8], context: &mut Context<'_>, flow: &mut Flow<'_>) {
        if self.muted.is_some() {
            flow.cut(token.len());
            self.collect(token, context, flow);
        } else {
            decide_token(context.detectors().label(&self.name), token, context, flow);
        }
        self.end_value(context, flow);
    }
}

/// Hands a number in a value called `label` to the detectors.
fn decide_token(label: Label<'_>, token: &[u8], context: &mut Context<'_>, flow: &mut Flow<'_>) {
    if context.is_clear_token(label, token) {
        return flow.pass(token.len());
    }
    let mut masked = None;
    at_hand(context.detectors(), label, token, Seen::ALL, |verdict| match verdict {
        Verdict::Match { detector, text } if masked.is_none() => {
            masked = Some((detector, Some(text.to_vec())))
        }
        Verdict::Open { detector, .. } if masked.is_none() => masked = Some((detector, None)),
        _ => {}
    });
    match masked {
        None => flow.pass(token.len()),
        Some((detector, text)) => {
            // A part of a number is no number: all of it gives way to a string.
            flow.cut(token.len());
            let mut rendered = Vec::new();
            context.render(detector, text.as_deref(), &mut rendered);
            flow.put(&quoted(&rendered));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    String,
    Container,
    Token,
}

/// Puts what takes the place of a value that a rule masks.
fn put_value(
    value: Option<&[u8]>,
    rule: usize,
    string: bool,
    context: &mut Context<'_>,
    flow: &mut Flow<'_>,
) {
    let mut rendered = Vec::new();
    context.render_field(rule, value, &mut rendered);
    if rendered.is_empty() && !string {
        flow.put(b"null");
    } else {
        flow.put(&quoted(&rendered));
    }
}

fn quoted(text: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(text.len() + 2);
    quoted.push(b'"');
    Spelling::Quoted.write(text, &mut quoted);
    quoted.push(b'"');
    quoted
}
