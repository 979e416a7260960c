//! What an event's payload holds, as far as it tells who a growing text belongs to: arrays, objects, their members that
//! identify a message, and the strings that may grow. Read once, leniently: it stops at the first fault.

use memchr::memchr2;

use crate::masking::token;

use super::{TEXTS, TREES};

/// Deepest nesting that is surveyed; deeper strings do not grow.
const DEEPEST: usize = 24;
/// Most arrays and objects that are surveyed in one event.
const MOST_NODES: usize = 4096;

/// A stretch of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: usize,
    pub(super) to: usize,
}

impl Span {
    /// The bytes that it is.
    pub(super) fn of(self, payload: &[u8]) -> &[u8] {
        payload.get(self.from..self.to).unwrap_or_default()
    }
}

/// Members that identify a message or tell its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    Type,
    Id,
    Index,
    Event,
    Kind,
    MessageId,
    RunId,
    Namespace,
    Position,
    Finish,
    Append,
    LastChunk,
    ArtifactId,
    ItemId,
    Final,
}

/// How many there are.
const FACTS: usize = 15;

impl Fact {
    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"type" => Self::Type,
            b"id" => Self::Id,
            b"index" => Self::Index,
            b"event" => Self::Event,
            b"kind" => Self::Kind,
            b"message_id" => Self::MessageId,
            b"run_id" => Self::RunId,
            b"namespace" | b"langgraph_checkpoint_ns" => Self::Namespace,
            b"chunk_position" => Self::Position,
            b"finish_reason" | b"stop_reason" => Self::Finish,
            b"append" => Self::Append,
            b"lastChunk" => Self::LastChunk,
            b"artifactId" => Self::ArtifactId,
            b"item_id" => Self::ItemId,
            b"final" => Self::Final,
            _ => return None,
        })
    }
}

/// An array or object.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) parent: Option<usize>,
    pub(super) array: bool,
    /// Its member name; none in an array or at the root.
    pub(super) name: Option<Span>,
    /// Its index in an array.
    pub(super) position: usize,
    pub(super) facts: [Option<Span>; FACTS],
}

/// A string that may grow.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) ordinal: usize,
    pub(super) node: usize,
    /// Its member name, or its array's.
    pub(super) name: Span,
    /// Its index in an array.
    pub(super) position: usize,
    pub(super) value: Span,
}

/// Every array, object and string that may grow of a JSON text, up to its first fault.
pub(super) struct Outline<'a> {
    payload: &'a [u8],
    pub(super) nodes: Vec<Node>,
    pub(super) texts: Vec<Text>,
    ordinal: usize,
}

impl<'a> Outline<'a> {
    /// Reads a payload.
    pub(super) fn of(payload: &'a [u8]) -> Self {
        let mut outline = Self { payload, nodes: Vec::new(), texts: Vec::new(), ordinal: 0 };
        outline.read();
        outline
    }

    fn read(&mut self) {
        let mut at = 0;
        let mut current: Option<usize> = None;
        let mut depth = 0_usize;
        let mut name: Option<Span> = None;
        // The number of elements so far, for each open array or object.
        let mut counts: Vec<usize> = Vec::new();
        let mut begins: Vec<usize> = Vec::new();
        let mut naming = false;
        while let Some(&byte) = self.payload.get(at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => at += 1,
                b'"' => {
                    let Some(end) = self.string_end(at + 1) else { return };
                    let span = Span { from: at + 1, to: end };
                    at = end + 1;
                    if naming {
                        name = Some(span);
                        naming = false;
                        continue;
                    }
                    self.ordinal += 1;
                    self.value(current, name, counts.last().copied(), span, true);
                }
                b'{' | b'[' => {
                    depth += 1;
                    if depth > DEEPEST || self.nodes.len() >= MOST_NODES {
                        return;
                    }
                    let array = byte == b'[';
                    let in_array =
                        current.and_then(|node| self.nodes.get(node)).is_some_and(|node| node.array);
                    self.nodes.push(Node {
                        parent: current,
                        array,
                        name: if in_array { None } else { name },
                        position: counts.last().copied().unwrap_or(0),
                        facts: [None; FACTS],
                    });
                    current = Some(self.nodes.len() - 1);
                    begins.push(at);
                    counts.push(0);
                    naming = !array;
                    if !array {
                        name = None;
                    }
                    at += 1;
                }
                b'}' | b']' => {
                    at += 1;
                    depth = depth.saturating_sub(1);
                    counts.pop();
                    let begin = begins.pop();
                    let Some(node) = current.and_then(|node| self.nodes.get(node)) else { return };
                    let (parent, own) = (node.parent, node.name);
                    // A namespace is an array: the whole of it is the fact.
                    if let (Some(parent), Some(own), Some(begin)) = (parent, own, begin)
                        && own.of(self.payload) == b"namespace"
                    {
                        self.note(parent, own, Span { from: begin, to: at });
                    }
                    current = parent;
                    naming = false;
                    name = own;
                }
                b',' => {
                    at += 1;
                    if let Some(count) = counts.last_mut() {
                        *count += 1;
                    }
                    naming = current.and_then(|node| self.nodes.get(node)).is_some_and(|node| !node.array);
                }
                b':' => at += 1,
                _ => {
                    let from = at;
                    while self.payload.get(at).is_some_and(|&byte| token::is_part(byte)) {
                        at += 1;
                    }
                    if at == from {
                        return;
                    }
                    self.value(current, name, None, Span { from, to: at }, false);
                }
            }
        }
    }

    fn string_end(&self, mut at: usize) -> Option<usize> {
        loop {
            let found = memchr2(b'"', b'\\', self.payload.get(at..)?)?;
            at += found;
            if self.payload.get(at) == Some(&b'"') {
                return Some(at);
            }
            at += 2;
        }
    }

    fn note(&mut self, node: usize, name: Span, value: Span) {
        if let Some(fact) = Fact::named(name.of(self.payload))
            && let Some(place) = self.nodes.get_mut(node).and_then(|node| node.facts.get_mut(fact as usize))
        {
            *place = Some(value);
        }
    }

    fn value(
        &mut self,
        node: Option<usize>,
        name: Option<Span>,
        position: Option<usize>,
        value: Span,
        string: bool,
    ) {
        let Some(node) = node else { return };
        let array = self.nodes.get(node).is_some_and(|node| node.array);
        let Some(name) = (if array { self.nodes.get(node).and_then(|node| node.name) } else { name }) else {
            return;
        };
        if !array {
            self.note(node, name, value);
        }
        if string && (TEXTS.contains(&name.of(self.payload)) || self.in_tree(node)) {
            let position = if array { position.unwrap_or(0) } else { 0 };
            self.texts.push(Text { ordinal: self.ordinal, node, name, position, value });
        }
    }

    fn in_tree(&self, node: usize) -> bool {
        let mut at = Some(node);
        while let Some(node) = at.and_then(|node| self.nodes.get(node)) {
            if node.name.is_some_and(|name| TREES.contains(&name.of(self.payload))) {
                return true;
            }
            at = node.parent;
        }
        false
    }
}
