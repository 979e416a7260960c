//! A JSON string with escapes that is at hand as a whole: decoded at once, and answered in its own bytes.

use memchr::memchr;

use crate::masking::content::apply;
use crate::masking::detectors::{Table, Triggers};
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
    spelled: usize,
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

/// Decodes the inside of the string that `text` begins with into `decoded`: its length as spelled, and all that it has.
/// `None` where it has to go another way: it is not at hand as a whole, too long, or has escapes that are not plain.
pub(super) fn decode(
    table: &Table,
    text: &[u8],
    strict: bool,
    decoded: &mut Vec<u8>,
) -> Option<(usize, Triggers)> {
    let within = text.get(..=LONGEST).unwrap_or(text);
    let mut at = 0;
    let mut all = Triggers::NONE;
    loop {
        let rest = within.get(at..)?;
        let (length, seen) = table.inside(rest);
        if strict && seen.has(Triggers::CONTROL) {
            return None;
        }
        let (plain, rest) = rest.split_at_checked(length)?;
        decoded.extend_from_slice(plain);
        all = all.and(seen);
        at += length;
        if *rest.first()? == b'"' {
            return Some((at, all));
        }
        let Unit { character, spelled } = unit(rest)?;
        if character.is_ascii() {
            let byte = u8::try_from(character).unwrap_or(0);
            all = all.and(table.at(byte).without(Triggers::END));
            decoded.push(byte);
        } else {
            let mut buffer = [0; 4];
            let bytes = character.encode_utf8(&mut buffer).as_bytes();
            all = all.and(table.seen(bytes));
            decoded.extend_from_slice(bytes);
        }
        at += spelled;
    }
}

/// Answers about a decoded text in the bytes that spell it.
pub(super) struct AsSpelled<'a> {
    /// The bytes that spell what has no answer yet.
    raw: &'a [u8],
    /// Decoded bytes that pass, not yet said outside.
    passing: usize,
    /// Decoded bytes of a character that went with its first byte.
    gone: usize,
    /// Decoded bytes answered so far.
    answered: usize,
    outside: &'a mut dyn Edits,
}

impl<'a> AsSpelled<'a> {
    pub(super) fn new(raw: &'a [u8], outside: &'a mut dyn Edits) -> Self {
        Self { raw, passing: 0, gone: 0, answered: 0, outside }
    }

    /// How many bytes spell the next `count`. An escape goes whole with the first of its bytes.
    fn spelled(&mut self, count: usize) -> usize {
        self.answered += count;
        let known = count.min(self.gone);
        self.gone -= known;
        let mut left = count - known;
        let mut at = 0;
        while left > 0 {
            let rest = self.raw.get(at..).unwrap_or_default();
            let near = rest.get(..left).unwrap_or(rest);
            let plain = memchr(b'\\', near).unwrap_or(near.len());
            at += plain;
            left -= plain;
            if left == 0 {
                break;
            }
            let Some(unit) = unit(self.raw.get(at..).unwrap_or_default()) else { break };
            at += unit.spelled;
            let length = unit.character.len_utf8();
            self.gone = length.saturating_sub(left);
            left = left.saturating_sub(length);
        }
        self.raw = self.raw.get(at..).unwrap_or_default();
        at
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
        self.outside.pass(self.raw.len());
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
    label: &[u8],
    level: usize,
    active: Triggers,
    context: &mut Context<'_>,
    edits: &mut AsSpelled<'_>,
) -> Result<(), Stop> {
    if !begins_document(text) {
        let detectors = context.detectors();
        at_hand(detectors, label, text, active, |verdict| apply(verdict, context, Spelling::Plain, edits));
        return Ok(());
    }
    let mut json = Json::embedded(level, false).called(label);
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
