//! One growing text: the content of a JSON string, the payload of an event, a line.
//!
//! Told byte by byte how it was spelled outside, it answers in edits of the level outside. A text
//! that begins like JSON is masked as JSON, so that escapes inside it are seen through and field
//! rules hold in it; any other is handed to the detectors as it is.

use super::edits::{Edits, Runs, Spelled, Spelling};
use super::insight::{self, Held};
use super::json::{Json, Stop};
use super::rules::{Context, Rules, WITHHELD};
use super::text::{Scan, Verdict};

/// Decoded bytes collected before they are looked at, where escapes cut a text into small pieces.
const COLLECT: usize = 1024;

/// The state of one growing text.
#[derive(Debug)]
pub(super) struct Content {
    kind: Kind,
    /// How the bytes without an answer are spelled outside, those in `collected` included.
    runs: Runs,
    /// Decoded, not yet looked at.
    collected: Vec<u8>,
    spelling: Spelling,
}

#[derive(Debug)]
enum Kind {
    /// Nothing but blanks so far; JSON may follow at this depth of embedding.
    Blank { scan: Box<Scan>, label: Box<[u8]>, embedded: usize },
    /// Text without structure.
    Text(Box<Scan>),
    /// JSON inside the text.
    Json(Box<Json>),
    /// Beyond a limit: nothing leaves.
    Mute,
}

impl Content {
    /// A text in a value called `label`, which may hold JSON as the `embedded`th level.
    pub(super) fn new(label: &[u8], embedded: usize, spelling: Spelling) -> Self {
        let scan = Box::new(Scan::labelled(label));
        Self::of(Kind::Blank { scan, label: label.into(), embedded }, spelling)
    }

    /// A text in a value called `label`, or nothing, that is never read as JSON.
    pub(super) fn text(label: &[u8], spelling: Spelling) -> Self {
        Self::of(Kind::Text(Box::new(Scan::labelled(label))), spelling)
    }

    fn of(kind: Kind, spelling: Spelling) -> Self {
        Self { kind, runs: Runs::default(), collected: Vec::new(), spelling }
    }

    /// The payload of an event: JSON whose growing strings are known by their ordinals, or any text.
    pub(super) fn payload() -> Self {
        Self::of(Kind::Json(Box::new(Json::embedded(0, true))), Spelling::Line)
    }

    /// The heap held back for this text, in bytes.
    pub(super) fn footprint(&self) -> usize {
        let inner = match &self.kind {
            Kind::Blank { scan, .. } | Kind::Text(scan) => size_of::<Scan>() + scan.held(),
            Kind::Json(json) => json.footprint(),
            Kind::Mute => 0,
        };
        self.runs.footprint() + self.collected.capacity() + inner
    }

    /// Says what of this text is held back, and why.
    pub(super) fn held(&self, lane: Option<u64>, rules: &Rules, held: &mut Vec<Held>) {
        match &self.kind {
            Kind::Blank { scan, .. } | Kind::Text(scan) => {
                insight::of_scan(scan, self.unanswered(), lane, &rules.detectors, held);
            }
            Kind::Json(json) => json.held(lane, rules, held),
            Kind::Mute => {}
        }
    }

    /// A text of which nothing leaves.
    pub(super) fn muted() -> Self {
        Self::of(Kind::Mute, Spelling::Quoted)
    }

    /// How many bytes of the level outside have no answer yet.
    pub(super) fn unanswered(&self) -> usize {
        self.runs.outer()
    }

    /// The next bytes, spelled as themselves.
    pub(super) fn plain(
        &mut self,
        bytes: &[u8],
        context: &mut Context<'_>,
        outside: &mut dyn Edits,
    ) -> Result<(), Stop> {
        self.runs.plain(bytes.len());
        if self.collected.is_empty() && bytes.len() >= COLLECT {
            return self.look(bytes, context, outside);
        }
        self.collected.extend_from_slice(bytes);
        self.look_if_full(context, outside)
    }

    /// The next bytes, together spelled with `outer` bytes outside.
    pub(super) fn unit(
        &mut self,
        bytes: &[u8],
        outer: usize,
        context: &mut Context<'_>,
        outside: &mut dyn Edits,
    ) -> Result<(), Stop> {
        self.runs.unit(bytes.len(), outer);
        self.collected.extend_from_slice(bytes);
        self.look_if_full(context, outside)
    }

    fn look_if_full(&mut self, context: &mut Context<'_>, outside: &mut dyn Edits) -> Result<(), Stop> {
        if self.collected.len() < COLLECT { Ok(()) } else { self.settle(context, outside) }
    }

    /// Answers all that can be answered now: the end of a chunk.
    pub(super) fn settle(&mut self, context: &mut Context<'_>, outside: &mut dyn Edits) -> Result<(), Stop> {
        if self.collected.is_empty() {
            return Ok(());
        }
        let mut collected = std::mem::take(&mut self.collected);
        let result = self.look(&collected, context, outside);
        collected.clear();
        // Small buffers are worth keeping, many at once are not worth holding.
        self.collected = collected;
        result
    }

    /// The text has ended: everything is answered.
    pub(super) fn finish(&mut self, context: &mut Context<'_>, outside: &mut dyn Edits) -> Result<(), Stop> {
        self.settle(context, outside)?;
        let mut edits = Spelled { runs: &mut self.runs, spelling: self.spelling, outside };
        match &mut self.kind {
            Kind::Blank { scan, .. } | Kind::Text(scan) => {
                let detectors = context.detectors();
                scan.finish(detectors, |verdict| {
                    apply(verdict, context, Spelling::Plain, &mut edits);
                });
            }
            Kind::Json(json) => json.finish(context, &mut edits)?,
            Kind::Mute => {}
        }
        Ok(())
    }

    /// The text goes on elsewhere, or never: what has no answer does not leave.
    pub(super) fn withhold(
        &mut self,
        context: &mut Context<'_>,
        outside: &mut dyn Edits,
    ) -> Result<(), Stop> {
        self.settle(context, outside)?;
        let open = self.runs.inner();
        Spelled { runs: &mut self.runs, spelling: self.spelling, outside }.cut(open);
        self.kind = Kind::Mute;
        Ok(())
    }

    /// What has no answer is masked, and so is all that follows.
    pub(super) fn mute(&mut self, outside: &mut dyn Edits) {
        let open = self.runs.inner();
        let mut edits = Spelled { runs: &mut self.runs, spelling: self.spelling, outside };
        edits.cut(open);
        edits.put(WITHHELD);
        self.collected = Vec::new();
        self.kind = Kind::Mute;
    }

    fn look(&mut self, bytes: &[u8], context: &mut Context<'_>, outside: &mut dyn Edits) -> Result<(), Stop> {
        if let Kind::Blank { scan, label, embedded } = &mut self.kind {
            let Some(first) = bytes.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) else {
                let mut edits = Spelled { runs: &mut self.runs, spelling: self.spelling, outside };
                let detectors = context.detectors();
                scan.push(detectors, bytes, |verdict| {
                    apply(verdict, context, Spelling::Plain, &mut edits);
                });
                return Ok(());
            };
            let embedded = *embedded;
            let begins_json = matches!(first, b'{' | b'[' | b'"');
            self.kind = if begins_json && embedded > context.limits().embedded {
                self.mute(outside);
                return Ok(());
            } else if begins_json {
                // Blanks that waited for what the label makes of the text are the document's.
                let mut edits = Spelled { runs: &mut self.runs, spelling: self.spelling, outside };
                edits.pass(scan.held());
                Kind::Json(Box::new(Json::embedded(embedded, false).called(label)))
            } else {
                Kind::Text(std::mem::take(scan))
            };
        }
        let mut edits = Spelled { runs: &mut self.runs, spelling: self.spelling, outside };
        match &mut self.kind {
            Kind::Blank { scan, .. } | Kind::Text(scan) => {
                let detectors = context.detectors();
                scan.push(detectors, bytes, |verdict| {
                    apply(verdict, context, Spelling::Plain, &mut edits);
                });
            }
            Kind::Json(json) => match json.push(bytes, context, &mut edits) {
                // Too deep for a document of its own: the text around it goes on, without it.
                Err(Stop::Deep) if json.is_embedded() => self.mute(outside),
                other => other?,
            },
            Kind::Mute => edits.cut(bytes.len()),
        }
        Ok(())
    }
}

/// Turns what a scan says into edits; a text that is put in is written as `spelling` says.
pub(super) fn apply(
    verdict: Verdict<'_>,
    context: &mut Context<'_>,
    spelling: Spelling,
    edits: &mut dyn Edits,
) {
    let (detector, text, len) = match verdict {
        Verdict::Clear { len } => return edits.pass(len),
        Verdict::Rest { len } => return edits.cut(len),
        Verdict::Match { detector, text } => (detector, Some(text), text.len()),
        Verdict::Open { detector, len } => (detector, None, len),
    };
    edits.cut(len);
    let mut rendered = context.take_room();
    context.render(detector, text, &mut rendered);
    spelling.put(&rendered, edits);
    context.return_room(rendered);
}
