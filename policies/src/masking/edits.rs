//! Edits: what a transducer decides about its input, told in counts of its own input bytes.
//!
//! A transducer never sees how its input was spelled one level further out: a string's content
//! arrives without its escapes, an event's payload without its `data:`. It answers in order and
//! completely: so many bytes pass, so many are cut, this text is put in. The level outside translates
//! the counts into its own bytes with [`Runs`], up to [`Tape`], which holds the raw bytes. So what
//! passes is emitted exactly as it was spelled.

use std::collections::VecDeque;

/// Receives a transducer's decisions about its input, in the order of the input.
pub(super) trait Edits {
    /// The next `count` bytes leave as they are.
    fn pass(&mut self, count: usize);
    /// The next `count` bytes do not leave.
    fn cut(&mut self, count: usize);
    /// `text` leaves at this place.
    fn put(&mut self, text: &[u8]);
    /// The next `count` bytes leave at this place, but later: the answer about them comes through
    /// the slot of this number. Answers how they are spelled outermost.
    fn lift(&mut self, count: usize, slot: u64) -> Vec<u8>;
}

/// How the undecided bytes of one level are spelled in the level outside.
///
/// Holds one entry for each stretch spelled as itself and for each escape: at most as many entries
/// as there are undecided bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Runs {
    runs: VecDeque<Run>,
}

/// `inner` bytes spelled with `outer` bytes: each as itself where the two are equal, otherwise as one.
#[derive(Debug, Clone, Copy)]
struct Run {
    inner: usize,
    outer: usize,
}

impl Runs {
    /// `count` more bytes, each spelled as itself.
    pub(super) fn plain(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        match self.runs.back_mut() {
            Some(run) if run.inner == run.outer => {
                run.inner += count;
                run.outer += count;
            }
            _ => self.runs.push_back(Run { inner: count, outer: count }),
        }
    }

    /// `inner` more bytes, together spelled with `outer` bytes: an escape.
    pub(super) fn unit(&mut self, inner: usize, outer: usize) {
        self.runs.push_back(Run { inner, outer });
    }

    /// Takes the next `count` bytes and answers how many bytes of the level outside spell them. An
    /// escape goes whole with the first of its bytes.
    pub(super) fn take(&mut self, mut count: usize) -> usize {
        let mut outer = 0;
        while count > 0 {
            let Some(run) = self.runs.front_mut() else { break };
            if run.inner <= count {
                count -= run.inner;
                outer += run.outer;
                self.runs.pop_front();
            } else if run.inner == run.outer {
                run.inner -= count;
                run.outer -= count;
                outer += count;
                count = 0;
            } else {
                run.inner -= count;
                outer += run.outer;
                run.outer = 0;
                count = 0;
            }
        }
        outer
    }

    /// The bytes not taken yet.
    pub(super) fn inner(&self) -> usize {
        self.runs.iter().map(|run| run.inner).sum()
    }

    /// The bytes of the level outside that spell those.
    pub(super) fn outer(&self) -> usize {
        self.runs.iter().map(|run| run.outer).sum()
    }

    /// The heap that the entries take, in bytes.
    pub(super) fn footprint(&self) -> usize {
        self.runs.capacity() * size_of::<Run>()
    }
}

/// How a text that is put in is written at a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// As it is.
    Plain,
    /// As it is, without line ends: inside one line of a stream of lines.
    Line,
    /// As the inside of a JSON string (RFC 8259 section 7).
    Quoted,
}

impl Spelling {
    /// Puts `text` as this level writes it.
    pub(super) fn put(self, text: &[u8], outside: &mut dyn Edits) {
        let is_plain = match self {
            Self::Plain => true,
            Self::Line => !text.iter().any(|byte| matches!(byte, b'\r' | b'\n')),
            Self::Quoted => !text.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0x00..=0x1F)),
        };
        if is_plain {
            outside.put(text);
        } else {
            let mut spelled = Vec::with_capacity(text.len() + 8);
            self.write(text, &mut spelled);
            outside.put(&spelled);
        }
    }

    /// Appends `text` as this level writes it.
    pub(super) fn write(self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Plain => out.extend_from_slice(text),
            Self::Line => {
                out.extend(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
            }
            Self::Quoted => {
                for &byte in text {
                    match byte {
                        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                        b'\n' => out.extend_from_slice(b"\\n"),
                        b'\r' => out.extend_from_slice(b"\\r"),
                        b'\t' => out.extend_from_slice(b"\\t"),
                        0x00..=0x1F => {
                            let digit =
                                |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
                            out.extend_from_slice(b"\\u00");
                            out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
                        }
                        _ => out.push(byte),
                    }
                }
            }
        }
    }
}

/// Translates edits of one level into edits of the level outside.
pub(super) struct Spelled<'a> {
    /// How the level's undecided bytes are spelled outside.
    pub(super) runs: &'a mut Runs,
    /// How a text is put in.
    pub(super) spelling: Spelling,
    /// The level outside.
    pub(super) outside: &'a mut dyn Edits,
}

impl Edits for Spelled<'_> {
    fn pass(&mut self, count: usize) {
        let outer = self.runs.take(count);
        self.outside.pass(outer);
    }

    fn cut(&mut self, count: usize) {
        let outer = self.runs.take(count);
        self.outside.cut(outer);
    }

    fn put(&mut self, text: &[u8]) {
        self.spelling.put(text, self.outside);
    }

    fn lift(&mut self, count: usize, slot: u64) -> Vec<u8> {
        let outer = self.runs.take(count);
        self.outside.lift(outer, slot)
    }
}

/// The outermost level: the raw bytes, those held back and those of the chunk at hand.
pub(super) struct Tape<'a> {
    held: &'a mut Vec<u8>,
    chunk: &'a [u8],
    /// Bytes of `held` and `chunk` together that are decided and written.
    written: usize,
    /// Bytes after those that pass, not yet written.
    passing: usize,
    out: &'a mut Vec<u8>,
    /// Where in `out` something is missing that comes later, and its slot.
    gaps: Vec<(usize, u64)>,
}

impl<'a> Tape<'a> {
    /// A tape over what was held back and the chunk that follows it.
    pub(super) fn new(held: &'a mut Vec<u8>, chunk: &'a [u8], out: &'a mut Vec<u8>) -> Self {
        Self { held, chunk, written: 0, passing: 0, out, gaps: Vec::new() }
    }

    fn flush(&mut self) {
        let from = self.written;
        let to = from + self.passing;
        let held = self.held.len();
        if let Some(bytes) = self.held.get(from.min(held)..to.min(held)) {
            self.out.extend_from_slice(bytes);
        }
        if let Some(bytes) = self.chunk.get(from.saturating_sub(held)..to.saturating_sub(held)) {
            self.out.extend_from_slice(bytes);
        }
        self.written = to;
        self.passing = 0;
    }

    /// Keeps what is undecided for the next chunk; answers where in the output something is missing.
    pub(super) fn end(mut self) -> Vec<(usize, u64)> {
        self.flush();
        let held = self.held.len();
        if self.written >= held {
            self.held.clear();
            self.held.extend_from_slice(self.chunk.get(self.written - held..).unwrap_or_default());
        } else {
            self.held.drain(..self.written);
            self.held.extend_from_slice(self.chunk);
        }
        self.gaps
    }
}

impl Edits for Tape<'_> {
    fn pass(&mut self, count: usize) {
        self.passing += count;
    }

    fn cut(&mut self, count: usize) {
        self.flush();
        self.written += count;
    }

    fn put(&mut self, text: &[u8]) {
        self.flush();
        self.out.extend_from_slice(text);
    }

    fn lift(&mut self, count: usize, slot: u64) -> Vec<u8> {
        self.flush();
        self.gaps.push((self.out.len(), slot));
        let held = self.held.len();
        let (from, to) = (self.written, self.written + count);
        let mut lifted = Vec::with_capacity(count);
        lifted.extend_from_slice(self.held.get(from.min(held)..to.min(held)).unwrap_or_default());
        let in_chunk = from.saturating_sub(held)..to.saturating_sub(held);
        lifted.extend_from_slice(self.chunk.get(in_chunk).unwrap_or_default());
        self.written = to;
        lifted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_goes_whole_with_its_first_byte() {
        let mut runs = Runs::default();
        runs.plain(3);
        runs.unit(2, 6);
        runs.plain(1);
        runs.plain(1);
        assert_eq!(runs.inner(), 7);
        assert_eq!(runs.take(4), 3 + 6);
        assert_eq!(runs.take(1), 0);
        assert_eq!(runs.take(9), 2);
        assert_eq!(runs.inner(), 0);
    }

    #[test]
    fn a_tape_keeps_what_is_undecided_and_writes_the_rest_as_spelled() {
        let mut held = b"ab".to_vec();
        let mut out = Vec::new();
        let mut tape = Tape::new(&mut held, b"cdefgh", &mut out);
        tape.pass(1);
        tape.cut(2);
        tape.put(b"X");
        tape.pass(2);
        tape.end();
        assert_eq!(out, b"aXde");
        assert_eq!(held, b"fgh");
    }

    #[test]
    fn a_lifted_stretch_leaves_the_tape_at_its_place() {
        let mut held = b"ab".to_vec();
        let mut out = Vec::new();
        let mut tape = Tape::new(&mut held, b"cdef", &mut out);
        tape.pass(1);
        assert_eq!(tape.lift(3, 7), b"bcd");
        tape.put(b"-");
        tape.pass(2);
        assert_eq!(tape.end(), [(1, 7)]);
        assert_eq!(out, b"a-ef");
        assert!(held.is_empty());
    }

    #[test]
    fn a_quoted_text_stays_inside_its_string() {
        let mut out = Vec::new();
        Spelling::Quoted.write(b"a\"\\\n\x01", &mut out);
        assert_eq!(out, br#"a\"\\\n\u0001"#);
    }
}
