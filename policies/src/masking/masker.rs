//! One body on its way out: bytes in, masked bytes out.

use std::sync::Arc;

use super::Media;
use super::plan::Rules;

/// Rewrites one body. What comes out depends on the bytes alone, never on how they were split.
#[derive(Debug)]
pub struct Masker {
    _rules: Arc<Rules>,
    media: Media,
    counts: Vec<(Arc<str>, u64)>,
}

/// Masking failed closed: nothing may be emitted after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Why, in words that hold nothing of the body.
    pub why: &'static str,
}

impl Masker {
    pub(super) fn new(rules: Arc<Rules>, media: Media) -> Self {
        Self { _rules: rules, media, counts: Vec::new() }
    }

    /// Takes the next bytes of the body and appends what may leave now.
    pub fn push(&mut self, input: &[u8], _output: &mut Vec<u8>) -> Result<(), Cut> {
        match self.media {
            _ if input.is_empty() => Ok(()),
            Media::Unmaskable(why) => Err(Cut { why }),
            Media::Bodiless => Err(Cut { why: "a body where none may be" }),
            Media::Json | Media::Sse | Media::Ndjson | Media::Text => {
                Err(Cut { why: "no masker for this media type" })
            }
        }
    }

    /// The body has ended, or will never go on: appends what was still held.
    pub fn finish(&mut self, _output: &mut Vec<u8>) -> Result<(), Cut> {
        Ok(())
    }

    /// How often each detector or field rule masked something so far.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(name, count)| (name.as_ref(), *count))
    }
}
