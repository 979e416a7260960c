//! One body on its way out: bytes in, masked bytes out.

use std::fmt;
use std::sync::Arc;

use memchr::memchr;

use super::Media;
use super::content::Content;
use super::edits::{Spelling, Tape};
use super::insight::Held;
use super::json::{Json, Stop};
use super::lanes::Lanes;
use super::rules::{Context, Learnt, Rules};
use super::sse::Sse;

/// Rewrites one body.
///
/// Invariant: the output as a whole depends on the input as a whole, never on how it was split; and
/// after every push it holds no byte of a masked value. Calls: [`push`](Self::push) for every chunk,
/// then [`finish`](Self::finish) once. After a [`Cut`] every further call is cut, too.
pub struct Masker {
    rules: Arc<Rules>,
    learnt: Learnt,
    body: Body,
    begun: Beginning,
    cut: Option<Cut>,
}

/// Whether a body has shown that it begins as text does.
#[derive(Debug, Default, Clone, Copy)]
enum Beginning {
    #[default]
    Nothing,
    One(u8),
    Known,
}

enum Body {
    Json {
        json: Box<Json>,
        held: Vec<u8>,
    },
    Ndjson {
        json: Box<Json>,
        held: Vec<u8>,
    },
    Text {
        content: Box<Content>,
        held: Vec<u8>,
    },
    Sse(Box<Sse>),
    /// Nothing is looked for: what comes goes, unread.
    Through,
    Refused(Cut),
}

impl Drop for Masker {
    fn drop(&mut self) {
        self.rules.names.leave(std::mem::take(&mut self.learnt.names));
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker").field("cut", &self.cut).finish_non_exhaustive()
    }
}

/// Masking failed closed: nothing may be emitted after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Why, in words that hold nothing of the body.
    pub why: &'static str,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why)
    }
}

impl std::error::Error for Cut {}

impl Masker {
    pub(super) fn new(rules: Arc<Rules>, media: Media) -> Self {
        let held = Vec::new();
        let body = match media {
            Media::Json | Media::Ndjson | Media::Text | Media::Sse if rules.are_idle() => Body::Through,
            Media::Json => Body::Json { json: Box::new(Json::body()), held },
            Media::Ndjson => Body::Ndjson { json: Box::new(Json::body()), held },
            Media::Text => Body::Text { content: Box::new(Content::text(&[], Spelling::Plain)), held },
            Media::Sse => Body::Sse(Box::default()),
            Media::Bodiless => Body::Refused(Cut { why: "a body where none may be" }),
            Media::Unmaskable(why) => Body::Refused(Cut { why }),
        };
        let learnt = Learnt { names: rules.names.take(), ..Learnt::default() };
        Self { rules, learnt, body, begun: Beginning::default(), cut: None }
    }

    /// Takes the next bytes of the body and appends what may leave now.
    pub fn push(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<(), Cut> {
        self.guard(|masker| {
            masker.look(input)?;
            if input.is_empty() { Ok(()) } else { masker.advance(input, output) }
        })
    }

    /// The body has ended, or will never go on: appends what was still held.
    pub fn finish(&mut self, output: &mut Vec<u8>) -> Result<(), Cut> {
        self.guard(|masker| masker.end(output))
    }

    /// How often each detector or field rule masked something so far.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.learnt.counts.iter(&self.rules)
    }

    /// What is held back now, and why: for whoever looks on.
    pub fn held(&self) -> Vec<Held> {
        let mut held = Vec::new();
        match &self.body {
            Body::Json { json, .. } | Body::Ndjson { json, .. } => json.held(None, &self.rules, &mut held),
            Body::Text { content, .. } => content.held(None, &self.rules, &mut held),
            Body::Sse(sse) => sse.held(&self.rules, &mut held),
            Body::Through | Body::Refused(_) => {}
        }
        held
    }

    /// Bytes of memory that this body takes now: what is held back, and the state.
    pub fn footprint(&self) -> usize {
        size_of::<Self>()
            + self.learnt.names.footprint()
            + match &self.body {
                Body::Json { json, held } | Body::Ndjson { json, held } => json.footprint() + held.capacity(),
                Body::Text { content, held } => content.footprint() + held.capacity(),
                Body::Sse(sse) => sse.footprint(),
                Body::Through | Body::Refused(_) => 0,
            }
    }

    fn guard(&mut self, act: impl FnOnce(&mut Self) -> Result<(), Stop>) -> Result<(), Cut> {
        if let Some(cut) = self.cut {
            return Err(cut);
        }
        act(self).map_err(|stop| {
            let cut = stop.cut();
            self.cut = Some(cut);
            cut
        })
    }

    /// No detector sees what is compressed, or two bytes a letter, under a text's media type. Its first two bytes show it.
    fn look(&mut self, input: &[u8]) -> Result<(), Stop> {
        let (first, second) = match (self.begun, input) {
            (Beginning::Known, _) | (_, []) => return Ok(()),
            (Beginning::Nothing, [first]) => {
                self.begun = Beginning::One(*first);
                return Ok(());
            }
            (Beginning::Nothing, [first, second, ..]) => (*first, *second),
            (Beginning::One(first), [second, ..]) => (first, *second),
        };
        self.begun = Beginning::Known;
        // gzip and compress, zlib, zstd, UTF-16 with its mark or without.
        match (first, second) {
            (0x1F, _)
            | (b'x', 0x01 | 0x9C | 0xDA)
            | (0x28, 0xB5)
            | (0xFF, 0xFE)
            | (0xFE, 0xFF)
            | (0, _)
            | (_, 0) => Err(Stop::Cut(Cut { why: "a body that is no text" })),
            _ => Ok(()),
        }
    }

    fn advance(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<(), Stop> {
        let mut lanes = Lanes::default();
        let held = match &mut self.body {
            Body::Refused(cut) => return Err(Stop::Cut(*cut)),
            Body::Through => {
                output.extend_from_slice(input);
                return Ok(());
            }
            Body::Sse(sse) => return sse.push(input, &self.rules, &mut self.learnt, output),
            Body::Json { json, held } => {
                let mut tape = Tape::new(held, input, output);
                json.push(input, &mut Context::new(&self.rules, &mut self.learnt, &mut lanes), &mut tape)?;
                tape.end();
                held
            }
            Body::Text { content, held } => {
                let mut context = Context::new(&self.rules, &mut self.learnt, &mut lanes);
                let mut tape = Tape::new(held, input, output);
                content.plain(input, &mut context, &mut tape)?;
                content.settle(&mut context, &mut tape)?;
                tape.end();
                held
            }
            Body::Ndjson { json, held } => {
                let mut context = Context::new(&self.rules, &mut self.learnt, &mut lanes);
                let mut rest = input;
                while let Some(end) = memchr(b'\n', rest) {
                    let (line, tail) = rest.split_at(end);
                    rest = tail.get(1..).unwrap_or_default();
                    let mut tape = Tape::new(held, line, output);
                    json.push(line, &mut context, &mut tape)?;
                    json.finish(&mut context, &mut tape)?;
                    tape.end();
                    output.push(b'\n');
                    **json = Json::body();
                }
                let mut tape = Tape::new(held, rest, output);
                json.push(rest, &mut context, &mut tape)?;
                tape.end();
                held
            }
        };
        // Escapes inside escapes inside escapes spell a short text with many bytes.
        if held.len() > self.rules.shared.limits.held {
            return Err(Stop::Cut(Cut { why: "more has to be held back than the policy allows" }));
        }
        Ok(())
    }

    fn end(&mut self, output: &mut Vec<u8>) -> Result<(), Stop> {
        let mut lanes = Lanes::default();
        let mut context = Context::new(&self.rules, &mut self.learnt, &mut lanes);
        match &mut self.body {
            Body::Through | Body::Refused(_) => Ok(()),
            Body::Sse(sse) => sse.finish(&self.rules, &mut self.learnt, output),
            Body::Json { json, held } | Body::Ndjson { json, held } => {
                let mut tape = Tape::new(held, &[], output);
                json.finish(&mut context, &mut tape)?;
                tape.end();
                Ok(())
            }
            Body::Text { content, held } => {
                let mut tape = Tape::new(held, &[], output);
                content.finish(&mut context, &mut tape)?;
                tape.end();
                Ok(())
            }
        }
    }
}
