//! A JSON string with escapes that is at hand as a whole: decoded at once, and answered in its own bytes.

use crate::eight;
use crate::masking::content::apply;
use crate::masking::detectors::{Label, Seen};
use crate::masking::edits::{Edits, Spelling};
use crate::masking::rules::{Context, WITHHELD};
use crate::masking::text::at_hand;

use super::string::begins_document;
use super::{Json, Stop};

/// The longest string that is decoded at once, in bytes as spelled: bounds what is copied.
const LONGEST: usize = 16 << 10;

/// What an escape stands for.
struct Unit {
    character: char,
    /// How many bytes spell it.
    spelled: u8,
}

/// The escape at the beginning of `text`: `None` where it is none, or one of a surrogate pair.
fn unit(text: &[u8]) -> Option<Unit> {
    let simple = |character| Some(Unit { character, spelled: 2 });
    match text {
        [b'\\', byte @ (b'"' | b'\\' | b'/'), ..] => simple(char::from(*byte)),
        [b'\\', b'n', ..] => simple('\n'),
        [b'\\', b't', ..] => simple('\t'),
        [b'\\', b'r', ..] => simple('\r'),
        [b'\\', b'b', ..] => simple('\u{8}'),
        [b'\\', b'f', ..] => simple('\u{c}'),
        [b'\\', b'u', a, b, c, d, ..] => {
            let mut number = 0;
            for digit in [a, b, c, d] {
                number = number << 4 | char::from(*digit).to_digit(16)?;
            }
            Some(Unit { character: char::from_u32(number)?, spelled: 6 })
        }
        _ => None,
    }
}

/// A string without its escapes.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    pub(super) text: Vec<u8>,
    /// Where escapes were, in their order.
    escapes: Vec<Escape>,
}

/// A character that was spelled with an escape. As small as it can be: a string may be nothing else.
#[derive(Debug, Clone, Copy)]
struct Escape {
    /// Where it is in the text.
    at: u16,
    /// How many bytes of the text it is.
    length: u8,
    /// How many bytes spell it.
    spelled: u8,
}

impl Decoded {
    /// Decodes the inside of the string that `input` begins with: its length as spelled. `None` where it has to go another
    /// way: it is not at hand as a whole, too long, or has escapes that are not plain.
    pub(super) fn read(&mut self, input: &[u8], strict: bool) -> Option<usize> {
        self.text.clear();
        self.escapes.clear();
        let within = input.get(..=LONGEST).unwrap_or(input);
        let mut at = 0;
        loop {
            let (length, controls) = self.plain(within.get(at..)?);
            if strict && controls {
                return None;
            }
            at += length;
            let rest = within.get(at..)?;
            if *rest.first()? == b'"' {
                return Some(at);
            }
            let Unit { character, spelled } = unit(rest)?;
            let place = u16::try_from(self.text.len()).ok()?;
            match u8::try_from(character) {
                Ok(byte @ 0..0x80) => self.text.push(byte),
                _ => self.text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
            let length = u8::try_from(character.len_utf8()).unwrap_or(0);
            self.escapes.push(Escape { at: place, length, spelled });
            at += usize::from(spelled);
        }
    }

    /// Takes what `input` has before its first quote or backslash: how much that is, and whether control characters are in
    /// it. By eights, what is too much given back: escapes stand close together, so that there is little to take at once.
    fn plain(&mut self, input: &[u8]) -> (usize, bool) {
        let (eights, rest) = input.as_chunks::<8>();
        let mut at = 0;
        let mut controls = 0;
        for bytes in eights {
            self.text.extend_from_slice(bytes);
            let word = u64::from_le_bytes(*bytes);
            let ends = eight::quotes_and_backslashes(word);
            if ends != 0 {
                let end = eight::before_first(ends);
                self.text.truncate(self.text.len() - (8 - end));
                controls |= eight::controls(word) & (ends & ends.wrapping_neg()).wrapping_sub(1);
                return (at + end, controls != 0);
            }
            controls |= eight::controls(word);
            at += 8;
        }
        let ends = |byte: &u8| matches!(byte, b'"' | b'\\');
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        let plain = rest.get(..length).unwrap_or_default();
        self.text.extend_from_slice(plain);
        (at + length, controls != 0 || plain.iter().any(|byte| *byte < b' '))
    }
}

/// Answers about a decoded text in the bytes that spell it.
pub(super) struct AsSpelled<'a> {
    /// Escapes of which no byte has an answer yet.
    escapes: &'a [Escape],
    /// Where the last of the others ends.
    behind: usize,
    /// How many bytes more than they are spell the others.
    more: usize,
    /// Bytes that spell what has an answer.
    spelled: usize,
    /// Bytes that spell all of it.
    length: usize,
    /// Decoded bytes that pass, not yet said outside.
    passing: usize,
    /// Decoded bytes answered so far.
    answered: usize,
    outside: &'a mut dyn Edits,
}

impl<'a> AsSpelled<'a> {
    /// About a text that `length` bytes spell.
    pub(super) fn new(decoded: &'a Decoded, length: usize, outside: &'a mut dyn Edits) -> Self {
        let escapes = decoded.escapes.as_slice();
        Self { escapes, behind: 0, more: 0, spelled: 0, length, passing: 0, answered: 0, outside }
    }

    /// How many bytes spell the next `count`. An escape goes whole with the first of its bytes.
    fn spelled(&mut self, count: usize) -> usize {
        self.answered += count;
        while let [escape, rest @ ..] = self.escapes
            && usize::from(escape.at) < self.answered
        {
            self.behind = usize::from(escape.at) + usize::from(escape.length);
            self.more += usize::from(escape.spelled - escape.length);
            self.escapes = rest;
        }
        let spelled = self.answered.max(self.behind) + self.more;
        spelled - std::mem::replace(&mut self.spelled, spelled)
    }

    fn flush(&mut self) {
        if self.passing > 0 {
            let count = std::mem::take(&mut self.passing);
            let spelled = self.spelled(count);
            self.outside.pass(spelled);
        }
    }

    /// Nothing more comes: what has no answer passes.
    pub(super) fn end(self) {
        self.outside.pass(self.length - self.spelled);
    }
}

impl Edits for AsSpelled<'_> {
    fn pass(&mut self, count: usize) {
        self.passing += count;
    }

    fn cut(&mut self, count: usize) {
        self.flush();
        let spelled = self.spelled(count);
        self.outside.cut(spelled);
    }

    fn put(&mut self, text: &[u8]) {
        self.flush();
        Spelling::Quoted.put(text, self.outside);
    }

    fn lift(&mut self, count: usize, slot: u64) -> Vec<u8> {
        self.flush();
        let spelled = self.spelled(count);
        self.outside.lift(spelled, slot)
    }
}

/// Answers a string at hand that reads `text`, in a value called `label`; `level` counts the strings around a document
/// in it.
pub(super) fn answer(
    text: &[u8],
    label: Label<'_>,
    level: usize,
    active: Seen,
    context: &mut Context<'_>,
    edits: &mut AsSpelled<'_>,
) -> Result<(), Stop> {
    if !begins_document(text) {
        let detectors = context.detectors();
        at_hand(detectors, label, text, active, |verdict| apply(verdict, context, Spelling::Plain, edits));
        return Ok(());
    }
    let mut json = Json::embedded(level, false).called(label.name);
    match json.push(text, context, edits).and_then(|()| json.finish(context, edits)) {
        // Too deep for a document of its own: the text around it goes on, without it.
        Err(Stop::Deep) => {
            edits.flush();
            let open = text.len() - edits.answered.min(text.len());
            edits.cut(open);
            edits.put(WITHHELD);
            Ok(())
        }
        other => other,
    }
}
