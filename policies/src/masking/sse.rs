//! Server-sent events (WHATWG HTML, section 9.2): framing in, framing out, byte for byte.
//!
//! ```text
//! event: messages|child:38ec…\r\n
//! data: [{"content":"078-0","id":"…"},{…}]\r\n
//! id: 7\r\n
//! \r\n
//! : heartbeat\r\n
//! ```
//!
//! Lines end in CR, LF or CRLF. The data lines of an event are one payload, joined with line feeds;
//! `event`, `id` and `retry` stay while they read like names; what else stands there is masked as text, as comments and
//! unknown fields are. An event up to the
//! policy's limit is looked at whole, so that [`super::lanes`] can join it with its neighbours: its
//! reader cannot use it before its end anyway. A larger one streams through; where it may be part of a text that
//! grows, it is large only beyond what may be held back, what could go on behind its texts stays out of it, and the
//! stream ends with it.

use memchr::{memchr, memchr2};

use super::content::Content;
use super::edits::{Edits, Spelling, Tape};
use super::insight::{Held, Waits};
use super::json::Stop;
use super::lanes::Lanes;
use super::rules::{Context, Learnt, Rules};
use super::survey::{self, Marks};

/// Longest field name that means something.
const LONGEST_FIELD: usize = 5;
/// Longest line that is taken for a name or an id, its field included.
const LONGEST_NAME: usize = 512;

/// One stream.
#[derive(Debug, Default)]
pub(super) struct Sse {
    /// Bytes of a byte order mark seen at the start; 3 when past it.
    mark: usize,
    /// The block of lines at hand, where it is small.
    block: Vec<u8>,
    /// The block at hand, where it is large.
    large: Option<Box<Large>>,
    /// Bytes in the line at hand.
    line: usize,
    /// Whether the line at hand is a comment.
    comment: bool,
    /// Whether the block has a line that is no comment.
    fields: bool,
    /// Whether the byte before was a CR.
    after_cr: bool,
    /// Whether the last line that ended went past the queue.
    bypassed: bool,
    lanes: Lanes,
}

/// A block that streams through.
#[derive(Debug, Default)]
struct Large {
    frame: Frame,
    /// Its undecided bytes.
    held: Vec<u8>,
    marks: Marks,
}

const MARK: &[u8] = b"\xEF\xBB\xBF";

impl Sse {
    /// Takes the next bytes of the stream.
    pub(super) fn push(
        &mut self,
        mut input: &[u8],
        rules: &Rules,
        learnt: &mut Learnt,
        output: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        while self.mark < MARK.len() {
            let Some(&byte) = input.first() else { return Ok(()) };
            if MARK.get(self.mark) != Some(&byte) {
                // Whatever came of a mark is the beginning of a line.
                let begun = MARK.get(..self.mark).unwrap_or_default();
                self.mark = MARK.len();
                self.segment(begun, rules, learnt, output)?;
                break;
            }
            self.mark += 1;
            input = input.get(1..).unwrap_or_default();
            if self.mark == MARK.len() {
                output.extend_from_slice(MARK);
            }
        }
        while let Some(&first) = input.first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                self.line_feed(rules, learnt, output)?;
                input = input.get(1..).unwrap_or_default();
                continue;
            }
            let end = memchr2(b'\r', b'\n', input).unwrap_or(input.len());
            let (segment, tail) = input.split_at(end);
            self.segment(segment, rules, learnt, output)?;
            if let Some(&terminator) = tail.first() {
                self.end_line(terminator, rules, learnt, output)?;
            }
            input = tail.get(1..).unwrap_or_default();
        }
        self.lanes.keep_within(rules.shared.limits.lanes, rules.shared.limits.held, output)
    }

    /// The stream has ended: everything is decided.
    pub(super) fn finish(
        &mut self,
        rules: &Rules,
        learnt: &mut Learnt,
        output: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        if self.mark < MARK.len() {
            let begun = MARK.get(..self.mark).unwrap_or_default();
            self.segment(begun, rules, learnt, output)?;
        }
        self.end_block(rules, learnt, output)?;
        self.with_lanes(rules, learnt, output, Lanes::end_all)
    }

    /// Bytes held back, states included.
    pub(super) fn footprint(&self) -> usize {
        let large = self.large.as_ref().map_or(0, |large| large.frame.footprint() + large.held.capacity());
        self.block.capacity() + large + self.lanes.footprint()
    }

    /// Says what is held back, and why.
    pub(super) fn held(&self, rules: &Rules, held: &mut Vec<Held>) {
        self.lanes.held(rules, held);
        if let Some(payload) = self.large.as_ref().and_then(|large| large.frame.payload.as_ref()) {
            payload.held(None, rules, held);
        }
        if !self.block.is_empty() {
            let (bytes, text) = (self.block.len(), self.block.clone());
            held.push(Held { bytes, text, lane: None, waits: Waits::Event });
        }
    }

    /// Decides texts between events, where no event is at hand.
    fn with_lanes(
        &mut self,
        rules: &Rules,
        learnt: &mut Learnt,
        output: &mut Vec<u8>,
        act: impl FnOnce(&mut Lanes, &mut Context<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut none = Lanes::default();
        act(&mut self.lanes, &mut Context::new(rules, learnt, &mut none))?;
        self.lanes.advance(output);
        Ok(())
    }

    /// Bytes inside a line.
    fn segment(
        &mut self,
        bytes: &[u8],
        rules: &Rules,
        learnt: &mut Learnt,
        output: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let Some(&first) = bytes.first() else { return Ok(()) };
        if self.line == 0 {
            self.comment = first == b':';
        }
        self.line += bytes.len();
        let limits = rules.shared.limits;
        let length = self.block.len() + bytes.len();
        if self.large.is_none() && length > limits.event {
            let whole = survey::is_whole(&self.block);
            if !whole && length <= limits.held {
                self.block.extend_from_slice(bytes);
                return Ok(());
            }
            // What was collected goes first.
            self.lanes.begin_large_event(whole);
            self.large = Some(Box::default());
            let block = std::mem::take(&mut self.block);
            self.stream_lines(&block, rules, learnt, output)?;
        }
        if self.large.is_some() {
            self.stream(
                bytes,
                |frame, context, tape| frame.segment(bytes, context, tape),
                rules,
                learnt,
                output,
            )
        } else {
            self.block.extend_from_slice(bytes);
            Ok(())
        }
    }

    /// The line's end, LF or CR; the LF of a CRLF comes on its own.
    fn end_line(
        &mut self,
        terminator: u8,
        rules: &Rules,
        learnt: &mut Learnt,
        output: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        self.after_cr = terminator == b'\r';
        let blank = std::mem::take(&mut self.line) == 0;
        if self.large.is_some() {
            let end = [terminator];
            self.stream(
                &end,
                |frame, context, tape| frame.end_line(&end, context, tape),
                rules,
                learnt,
                output,
            )?;
        } else {
            self.block.push(terminator);
        }
        if blank {
            self.bypassed = !self.fields && self.large.is_none();
            self.end_block(rules, learnt, output)
        } else if self.comment && !self.fields {
            // A comment between events does not wait: it keeps connections alive.
            self.bypassed = true;
            self.end_block(rules, learnt, output)
        } else {
            self.fields = true;
            Ok(())
        }
    }

    /// The LF of a CRLF.
    fn line_feed(&mut self, rules: &Rules, learnt: &mut Learnt, output: &mut Vec<u8>) -> Result<(), Stop> {
        if self.large.is_some() {
            return self.stream(b"\n", |frame, _, tape| frame.quiet(1, tape), rules, learnt, output);
        }
        if !self.block.is_empty() {
            self.block.push(b'\n');
        } else if self.bypassed {
            output.push(b'\n');
        } else {
            self.lanes.hand_over(b"\n", Vec::new(), output);
        }
        Ok(())
    }

    /// The block is complete: an event, or comments and blank lines between events.
    fn end_block(&mut self, rules: &Rules, learnt: &mut Learnt, output: &mut Vec<u8>) -> Result<(), Stop> {
        let fields = std::mem::take(&mut self.fields) || (self.line > 0 && !self.comment);
        self.line = 0;
        if self.large.is_some() {
            self.stream(b"", |frame, context, tape| frame.end(context, tape), rules, learnt, output)?;
            let marked = self.large.take().is_some_and(|large| large.marks.found());
            return self.lanes.end_large_event(marked);
        }
        if self.block.is_empty() {
            return Ok(());
        }
        let mut block = std::mem::take(&mut self.block);
        let survey = if fields { survey::of_event(&block) } else { survey::Survey::default() };
        if survey.ends_all {
            self.with_lanes(rules, learnt, output, Lanes::end_all)?;
        }
        let ends = self.lanes.begin_event(survey);
        let mut ready = Vec::with_capacity(block.len() + 64);
        let mut held = Vec::new();
        let mut tape = Tape::new(&mut held, &block, &mut ready);
        let mut context = Context::new(rules, learnt, &mut self.lanes);
        let mut frame = Frame::default();
        frame.lines(&block, &mut context, &mut tape)?;
        frame.end(&mut context, &mut tape)?;
        let gaps = tape.end();
        if fields {
            self.lanes.hand_over(&ready, gaps, output);
        } else {
            output.extend_from_slice(&ready);
        }
        self.with_lanes(rules, learnt, output, |lanes, context| lanes.end(&ends, context))?;
        block.clear();
        self.block = block;
        Ok(())
    }

    /// Streams lines that were collected.
    fn stream_lines(
        &mut self,
        lines: &[u8],
        rules: &Rules,
        learnt: &mut Learnt,
        output: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        self.stream(lines, |frame, context, tape| frame.lines(lines, context, tape), rules, learnt, output)
    }

    /// Does something with the bytes of a large event, and lets out what is decided.
    fn stream(
        &mut self,
        bytes: &[u8],
        act: impl FnOnce(&mut Frame, &mut Context<'_>, &mut Tape<'_>) -> Result<(), Stop>,
        rules: &Rules,
        learnt: &mut Learnt,
        output: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let Some(large) = &mut self.large else { return Ok(()) };
        large.marks.push(bytes);
        let mut ready = Vec::with_capacity(bytes.len());
        let mut tape = Tape::new(&mut large.held, bytes, &mut ready);
        act(&mut large.frame, &mut Context::new(rules, learnt, &mut self.lanes), &mut tape)?;
        tape.end();
        self.lanes.hand_over(&ready, Vec::new(), output);
        self.lanes.keep_within(rules.shared.limits.lanes, rules.shared.limits.held, output)
    }
}

/// The lines of one block.
#[derive(Debug, Default)]
struct Frame {
    line: Line,
    /// The field name as far as it is there.
    name: Vec<u8>,
    payload: Option<Content>,
    /// Bytes since the last byte of the payload: decided once the next data line, or none, follows.
    between: usize,
}

#[derive(Debug, Default)]
enum Line {
    /// Inside the field name.
    #[default]
    Name,
    /// Right behind the colon of a data line.
    BeforeData,
    /// Inside a data line's value.
    Data,
    /// A field that stays if it is a name or an id, which is decided at its end. `Frame::name` holds all of it.
    Named,
    /// A comment or an unknown field.
    Masked(Box<Content>),
}

impl Frame {
    fn footprint(&self) -> usize {
        self.payload.as_ref().map_or(0, Content::footprint)
    }

    /// Whole lines, or the beginning of one.
    fn lines(
        &mut self,
        mut bytes: &[u8],
        context: &mut Context<'_>,
        tape: &mut Tape<'_>,
    ) -> Result<(), Stop> {
        while !bytes.is_empty() {
            let end = memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
            let (segment, tail) = bytes.split_at(end);
            self.segment(segment, context, tape)?;
            let terminator = match tail {
                [b'\r', b'\n', ..] => 2,
                [] => 0,
                _ => 1,
            };
            let (terminator, rest) = tail.split_at(terminator);
            if !terminator.is_empty() {
                self.end_line(terminator, context, tape)?;
            }
            bytes = rest;
        }
        Ok(())
    }

    fn segment(&mut self, bytes: &[u8], context: &mut Context<'_>, tape: &mut Tape<'_>) -> Result<(), Stop> {
        if bytes.is_empty() {
            return Ok(());
        }
        match &mut self.line {
            Line::Name => {
                let colon = memchr(b':', bytes);
                let (name, rest) = bytes.split_at(colon.unwrap_or(bytes.len()));
                self.name.extend_from_slice(name);
                if colon.is_none() && self.name.len() <= LONGEST_FIELD {
                    return Ok(());
                }
                let begun = self.name.len();
                match self.name.as_slice() {
                    b"data" if colon.is_some() => {
                        self.between += begun + 1;
                        self.line = Line::BeforeData;
                        self.segment(rest.get(1..).unwrap_or_default(), context, tape)
                    }
                    b"event" | b"id" | b"retry" if colon.is_some() => {
                        self.line = Line::Named;
                        self.segment(rest, context, tape)
                    }
                    _ => {
                        self.begin_masked(context, tape)?;
                        self.segment(rest, context, tape)
                    }
                }
            }
            Line::BeforeData => {
                let value = match bytes.strip_prefix(b" ") {
                    Some(value) => {
                        self.between += 1;
                        value
                    }
                    None => bytes,
                };
                self.begin_data(context, tape)?;
                self.segment(value, context, tape)
            }
            Line::Data => match &mut self.payload {
                Some(payload) => {
                    payload.plain(bytes, context, tape).and_then(|()| payload.settle(context, tape))
                }
                None => Ok(()),
            },
            Line::Named => {
                let mut reads_like_a_name = self.name.len() + bytes.len() <= LONGEST_NAME;
                let mut before = self.name.last().copied();
                for &byte in bytes.iter().take(LONGEST_NAME) {
                    reads_like_a_name &= is_of_a_name(byte) || (byte == b' ' && before == Some(b':'));
                    before = Some(byte);
                }
                if reads_like_a_name {
                    self.name.extend_from_slice(bytes);
                    return Ok(());
                }
                self.begin_masked(context, tape)?;
                self.segment(bytes, context, tape)
            }
            Line::Masked(content) => {
                content.plain(bytes, context, tape).and_then(|()| content.settle(context, tape))
            }
        }
    }

    /// A data line's value begins: the first, or joined to the one before with a line feed.
    fn begin_data(&mut self, context: &mut Context<'_>, tape: &mut Tape<'_>) -> Result<(), Stop> {
        self.line = Line::Data;
        let between = std::mem::take(&mut self.between);
        match &mut self.payload {
            Some(payload) => payload.unit(b"\n", between, context, tape),
            None => {
                tape.pass(between);
                self.payload = Some(Content::payload());
                Ok(())
            }
        }
    }

    /// A line begins that is masked as a text of its own; the field name is its beginning.
    fn begin_masked(&mut self, context: &mut Context<'_>, tape: &mut Tape<'_>) -> Result<(), Stop> {
        if let Some(payload) = &mut self.payload {
            // The payload is decided here, so that the line can be: more data may follow all the same.
            payload.finish(context, tape)?;
            tape.pass(std::mem::take(&mut self.between));
        }
        let mut content = Box::new(Content::text(&[], Spelling::Line));
        content.plain(&std::mem::take(&mut self.name), context, tape)?;
        self.line = Line::Masked(content);
        Ok(())
    }

    /// Bytes that stay.
    fn quiet(&mut self, count: usize, tape: &mut Tape<'_>) -> Result<(), Stop> {
        if self.payload.is_some() {
            self.between += count;
        } else {
            tape.pass(count);
        }
        Ok(())
    }

    fn end_line(&mut self, end: &[u8], context: &mut Context<'_>, tape: &mut Tape<'_>) -> Result<(), Stop> {
        match &mut self.line {
            Line::Name if self.name == b"data" => {
                // A data line without a colon is an empty one.
                self.between += self.name.len();
                self.begin_data(context, tape)?;
            }
            Line::Name if !self.name.is_empty() => {
                self.begin_masked(context, tape)?;
                return self.end_line(end, context, tape);
            }
            Line::BeforeData => self.begin_data(context, tape)?,
            Line::Masked(content) => content.finish(context, tape)?,
            Line::Named => self.quiet(self.name.len(), tape)?,
            Line::Name | Line::Data => {}
        }
        self.line = Line::Name;
        self.name.clear();
        self.quiet(end.len(), tape)
    }

    /// The block is complete.
    fn end(&mut self, context: &mut Context<'_>, tape: &mut Tape<'_>) -> Result<(), Stop> {
        match &mut self.line {
            Line::Name if !self.name.is_empty() => {
                self.begin_masked(context, tape)?;
                return self.end(context, tape);
            }
            Line::Masked(content) => content.finish(context, tape)?,
            Line::Named => {
                let count = std::mem::take(&mut self.name).len();
                self.quiet(count, tape)?;
            }
            Line::Name | Line::BeforeData | Line::Data => {}
        }
        if let Some(payload) = &mut self.payload {
            payload.finish(context, tape)?;
        }
        tape.pass(std::mem::take(&mut self.between));
        Ok(())
    }
}

/// Whether this is of what names of events and ids consist of: `messages|child:38ec-…`, `1763806530123-0`.
fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_|:.-/+=~,".contains(&byte)
}
