//! Which strings of an event grow over several events, and which message each is part of.
//!
//! An event's identity stands anywhere in it, often behind the text that it is about, so a small
//! event is surveyed before it is masked. The survey finds, by the shapes that servers are known to
//! send:
//!
//! | shape | growth | message |
//! |---|---|---|
//! | an object of a `type` that ends in `Chunk` (LangChain's message chunks) | delta | its `id` |
//! | its `tool_calls`, as long as its `tool_call_chunks` are no whole JSON | cumulative | |
//! | event `messages/partial` | cumulative | |
//! | `content-block-delta`, `content_block_delta` (protocol v2, Anthropic) | delta | its `index` |
//! | a member `delta` of an object (OpenAI's `choices[].delta`) | delta | root `id`, `index` |
//! | `type: ….delta` with a string `delta` (OpenAI's responses) | delta | its `item_id` |
//! | A2A `artifact-update` that appends | delta | its `artifactId` |
//! | A2A `status-update` that is not final | cumulative | |
//!
//! It masks nothing, and where it does not understand, nothing grows.

mod judge;
mod outline;

use memchr::{memmem, memrchr2};

use super::lanes::LaneKey;
use judge::Judge;
use outline::Outline;

/// Events whose texts are whole, whatever they look like.
const WHOLE: [&[u8]; 8] = [
    b"values",
    b"updates",
    b"debug",
    b"tasks",
    b"checkpoints",
    b"metadata",
    b"messages/complete",
    b"messages/metadata",
];

/// Members whose strings are text that may grow.
const TEXTS: [&[u8]; 18] = [
    b"content",
    b"text",
    b"args",
    b"arguments",
    b"reasoning",
    b"reasoning_content",
    b"thinking",
    b"input",
    b"partial_json",
    b"delta",
    b"refusal",
    b"output",
    b"summary",
    b"transcript",
    b"code",
    b"data",
    b"value",
    b"citation",
];

/// Members inside of which every string may grow, whatever its own name: half-parsed arguments.
const TREES: [&[u8]; 3] = [b"args", b"input", b"arguments"];

/// A growing string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Growing {
    /// Its number among the strings that are values, from 1.
    pub(super) ordinal: usize,
    /// Whether it continues an earlier text; otherwise it repeats it.
    pub(super) delta: bool,
    /// The message that it is part of.
    pub(super) message: LaneKey,
    /// The texts that may belong to the same message under another id.
    pub(super) scope: LaneKey,
    /// Where in the message it stands.
    pub(super) path: LaneKey,
}

/// What an event completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// A message, which the last delta may name by another id than the ones before.
    Message { message: LaneKey, scope: LaneKey },
    /// Every message of the scope.
    Scope(LaneKey),
}

/// What an event says about growing texts.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) growing: Vec<Growing>,
    /// What is complete after it.
    pub(super) ends: Vec<End>,
    /// Whether everything before it is complete.
    pub(super) ends_all: bool,
}

/// Whether a string under this member name may grow.
pub(super) fn is_text(name: &[u8]) -> bool {
    TEXTS.contains(&name)
}

/// Whether every string inside the member of this name may grow.
pub(super) fn is_tree(name: &[u8]) -> bool {
    TREES.contains(&name)
}

/// Whether the lines of an event that have ended say that nothing in it grows.
pub(super) fn is_whole(block: &[u8]) -> bool {
    let end = memrchr2(b'\r', b'\n', block).unwrap_or(0);
    let mut name: &[u8] = b"";
    for line in block.get(..end).unwrap_or_default().split(|byte| matches!(byte, b'\r' | b'\n')) {
        if let Some(value) = line.strip_prefix(b"event:") {
            name = value.strip_prefix(b" ").unwrap_or(value);
        }
    }
    WHOLE.contains(&base_of(name))
}

/// An event's name without its subgraph.
fn base_of(name: &[u8]) -> &[u8] {
    name.split(|&byte| byte == b'|').next().unwrap_or_default()
}

/// What stands in every event in which something grows: how the values of `type`, `event` and `kind` end, and the
/// name `delta`.
const MARKS: [&[u8]; 3] = [b"Chunk\"", b"delta\"", b"-update\""];
/// One byte less than the longest of them.
const MARK: usize = 7;

/// Looks for signs that something grows in an event that is too large to be surveyed.
#[derive(Debug, Default)]
pub(super) struct Marks {
    found: bool,
    /// The last bytes.
    last: Vec<u8>,
}

impl Marks {
    /// Takes the next bytes of the event.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.last.extend_from_slice(bytes.get(..MARK).unwrap_or(bytes));
        self.found |= MARKS
            .iter()
            .any(|mark| memmem::find(&self.last, mark).is_some() || memmem::find(bytes, mark).is_some());
        if bytes.len() > MARK {
            self.last.clear();
        }
        self.last
            .extend_from_slice(bytes.get(MARK.max(bytes.len().saturating_sub(MARK))..).unwrap_or_default());
        self.last.drain(..self.last.len().saturating_sub(MARK));
    }

    /// Whether there is one.
    pub(super) fn found(&self) -> bool {
        self.found
    }
}

/// Surveys the lines of an event.
pub(super) fn of_event(block: &[u8]) -> Survey {
    let mut name: &[u8] = b"";
    let mut payload: Vec<u8> = Vec::new();
    let mut lines = 0;
    for line in block.split(|byte| matches!(byte, b'\r' | b'\n')) {
        if let Some(value) = line.strip_prefix(b"event:") {
            name = value.strip_prefix(b" ").unwrap_or(value);
        } else if let Some(value) = line.strip_prefix(b"data:") {
            if lines > 0 {
                payload.push(b'\n');
            }
            lines += 1;
            payload.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        }
    }
    let base = base_of(name);
    if matches!(base, b"error" | b"end") {
        return Survey { ends_all: true, ..Survey::default() };
    }
    if lines == 0 || WHOLE.contains(&base) {
        return Survey::default();
    }
    let outline = Outline::of(&payload);
    Judge { payload: &payload, nodes: &outline.nodes, event: name, base }.judge(&outline.texts)
}
