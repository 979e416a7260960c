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

use std::hash::{DefaultHasher, Hash, Hasher};

use memchr::{memchr2, memmem, memrchr2};

use super::lanes::LaneKey;

/// Deepest nesting that is surveyed; deeper strings do not grow.
const DEEPEST: usize = 24;
/// Most arrays and objects that are surveyed in one event.
const MOST_NODES: usize = 4096;

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

/// A stretch of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: usize,
    to: usize,
}

impl Span {
    fn of(self, payload: &[u8]) -> &[u8] {
        payload.get(self.from..self.to).unwrap_or_default()
    }
}

/// Members that identify a message or tell its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fact {
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
struct Node {
    parent: Option<usize>,
    array: bool,
    /// Its member name; none in an array or at the root.
    name: Option<Span>,
    /// Its index in an array.
    position: usize,
    facts: [Option<Span>; FACTS],
}

/// A string that may grow.
#[derive(Debug)]
struct Text {
    ordinal: usize,
    node: usize,
    /// Its member name, or its array's.
    name: Span,
    /// Its index in an array.
    position: usize,
    value: Span,
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
    let mut reader = Reader { payload: &payload, nodes: Vec::new(), texts: Vec::new(), ordinal: 0 };
    reader.read();
    Judge { payload: &payload, nodes: &reader.nodes, event: name, base }.judge(&reader.texts)
}

/// Notes every array, object and growing string of a JSON text; stops at the first fault.
struct Reader<'a> {
    payload: &'a [u8],
    nodes: Vec<Node>,
    texts: Vec<Text>,
    ordinal: usize,
}

impl Reader<'_> {
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
                    while self.payload.get(at).is_some_and(|&byte| super::token::is_part(byte)) {
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

/// Decides what grows, from what was noted.
struct Judge<'a> {
    payload: &'a [u8],
    nodes: &'a [Node],
    event: &'a [u8],
    base: &'a [u8],
}

impl<'a> Judge<'a> {
    fn node(&self, node: usize) -> Option<&'a Node> {
        self.nodes.get(node)
    }

    fn fact(&self, node: usize, fact: Fact) -> Option<&'a [u8]> {
        let span = (*self.node(node)?.facts.get(fact as usize)?)?;
        Some(span.of(self.payload))
    }

    fn name(&self, node: usize) -> &'a [u8] {
        self.node(node).and_then(|node| node.name).map_or(b"", |name| name.of(self.payload))
    }

    /// The node and the nodes around it, from the inside out.
    fn outward(&self, node: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(node), |node| self.node(*node).and_then(|node| node.parent))
    }

    fn judge(&self, texts: &[Text]) -> Survey {
        let mut survey = Survey::default();
        for text in texts {
            if let Some(growing) = self.growing(text, texts) {
                survey.growing.push(growing);
            }
        }
        for node in 0..self.nodes.len() {
            survey.ends.extend(self.end(node));
        }
        survey
    }

    /// What texts of one message have in common whatever id it goes by.
    fn scope(&self) -> LaneKey {
        let mut hasher = DefaultHasher::new();
        self.event.hash(&mut hasher);
        self.fact(0, Fact::RunId).hash(&mut hasher);
        for node in 0..self.nodes.len() {
            // Of the root, its members and theirs: a tuple's metadata, a protocol event's parameters.
            if self.outward(node).count() <= 3
                && let Some(namespace) = self.fact(node, Fact::Namespace)
            {
                namespace.hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    fn message(&self, parts: &[Option<&[u8]>]) -> LaneKey {
        let mut hasher = DefaultHasher::new();
        self.scope().hash(&mut hasher);
        parts.hash(&mut hasher);
        hasher.finish()
    }

    /// The message of a delta's outermost object.
    fn message_of(&self, delta: usize) -> Option<LaneKey> {
        if self.is_chunk(delta) {
            return Some(self.message(&[self.fact(delta, Fact::Id)]));
        }
        if self.is_block_delta(delta) {
            return Some(self.block(delta));
        }
        if let Some(kind) = self.fact(delta, Fact::Type)
            && kind.ends_with(b".delta")
        {
            return Some(self.message(&[self.fact(delta, Fact::ItemId), self.fact(delta, Fact::Index)]));
        }
        if self.name(delta) == b"delta"
            && let Some(parent) = self.node(delta).and_then(|node| node.parent)
        {
            return Some(self.message(&[self.fact(0, Fact::Id), self.fact(parent, Fact::Index)]));
        }
        if self.fact(delta, Fact::Kind) == Some(b"artifact-update") {
            let grows = self.fact(delta, Fact::Append) == Some(b"true")
                || self.fact(delta, Fact::LastChunk) == Some(b"false");
            return grows.then(|| self.artifact(delta));
        }
        None
    }

    fn block(&self, node: usize) -> LaneKey {
        self.message(&[self.fact(node, Fact::MessageId), self.fact(node, Fact::Index)])
    }

    fn artifact(&self, update: usize) -> LaneKey {
        let artifact = (0..self.nodes.len()).find_map(|node| self.fact(node, Fact::ArtifactId));
        self.message(&[artifact, self.fact(update, Fact::Id)])
    }

    fn is_chunk(&self, node: usize) -> bool {
        // The end of a model call repeats its message as a chunk.
        self.fact(node, Fact::Type).is_some_and(|kind| kind.ends_with(b"Chunk"))
            && !(self.base == b"events"
                && self.fact(0, Fact::Event).is_some_and(|event| event.ends_with(b"_end")))
    }

    fn is_block_delta(&self, node: usize) -> bool {
        [Fact::Event, Fact::Type].into_iter().any(|fact| {
            matches!(self.fact(node, fact), Some(b"content-block-delta" | b"content_block_delta"))
        })
    }

    fn growing(&self, text: &Text, texts: &[Text]) -> Option<Growing> {
        let cumulative = Growing { ordinal: text.ordinal, delta: false, message: 0, scope: 0, path: 0 };
        if self.base == b"messages/partial" {
            return Some(cumulative);
        }
        let mut delta = None;
        for node in self.outward(text.node) {
            if let Some(message) = self.message_of(node) {
                delta = Some((node, message));
                if self.is_chunk(node) || self.is_block_delta(node) {
                    break;
                }
            }
            if self.fact(node, Fact::Kind) == Some(b"status-update")
                && self.fact(node, Fact::Final) != Some(b"true")
                && text.name.of(self.payload) == b"text"
            {
                return Some(cumulative);
            }
        }
        let (outermost, message) = delta?;
        if self
            .outward(text.node)
            .take_while(|node| *node != outermost)
            .any(|node| self.name(node) == b"tool_calls")
        {
            return self.has_fragments(outermost, texts).then_some(cumulative);
        }
        Some(Growing {
            ordinal: text.ordinal,
            delta: true,
            message,
            scope: self.scope(),
            path: self.path(text, outermost, texts),
        })
    }

    /// Whether a chunk's tool call chunks are parts, so that its `tool_calls` are guesses.
    fn has_fragments(&self, chunk: usize, texts: &[Text]) -> bool {
        texts.iter().any(|text| {
            self.is_argument_of(text, chunk, b"tool_call_chunks") && {
                let quoted = self.payload.get(text.value.from.saturating_sub(1)..text.value.to + 1);
                let decoded: Option<String> = quoted.and_then(|quoted| serde_json::from_slice(quoted).ok());
                decoded.is_none_or(|decoded| serde_json::from_str::<serde::de::IgnoredAny>(&decoded).is_err())
            }
        })
    }

    /// Whether a text is the `args` of an element of this member of a chunk.
    fn is_argument_of(&self, text: &Text, chunk: usize, member: &[u8]) -> bool {
        let list = self.node(text.node).and_then(|node| node.parent);
        text.name.of(self.payload) == b"args"
            && list.is_some_and(|list| {
                self.name(list) == member && self.node(list).and_then(|list| list.parent) == Some(chunk)
            })
    }

    /// Where a text stands in its message: names, and in arrays `index`, which outlives positions.
    fn path(&self, text: &Text, outermost: usize, texts: &[Text]) -> LaneKey {
        let mut hasher = DefaultHasher::new();
        text.name.of(self.payload).hash(&mut hasher);
        text.position.hash(&mut hasher);
        // An invalid call's fragment has no index of its own: the same fragment among the chunks has.
        let twin = self.is_argument_of(text, outermost, b"invalid_tool_calls").then(|| {
            texts.iter().find(|other| {
                self.is_argument_of(other, outermost, b"tool_call_chunks")
                    && other.value.of(self.payload) == text.value.of(self.payload)
            })
        });
        if let Some(index) = twin.flatten().and_then(|twin| self.fact(twin.node, Fact::Index)) {
            (b"invalid_tool_calls".as_slice(), index).hash(&mut hasher);
            return hasher.finish();
        }
        for node in self.outward(text.node).take_while(|node| *node != outermost) {
            self.name(node).hash(&mut hasher);
            match self.fact(node, Fact::Index) {
                Some(index) => index.hash(&mut hasher),
                None => self.node(node).map(|node| node.position).hash(&mut hasher),
            }
        }
        hasher.finish()
    }

    /// What a node says is complete.
    fn end(&self, node: usize) -> Option<End> {
        let is_set = |value: Option<&[u8]>| value.is_some_and(|value| value != b"null" && !value.is_empty());
        let of_message = |message| Some(End::Message { message, scope: self.scope() });
        if self.is_chunk(node) && self.fact(node, Fact::Position) == Some(b"last") {
            return of_message(self.message_of(node)?);
        }
        if is_set(self.fact(node, Fact::Finish)) {
            let chunk = self.outward(node).find(|node| self.is_chunk(*node));
            return of_message(match chunk {
                Some(chunk) => self.message_of(chunk)?,
                None => self.message(&[self.fact(0, Fact::Id), self.fact(node, Fact::Index)]),
            });
        }
        for fact in [Fact::Event, Fact::Type] {
            let Some(kind) = self.fact(node, fact) else { continue };
            match kind {
                b"content-block-finish" | b"content_block_stop" => return of_message(self.block(node)),
                b"message-finish" | b"message_stop" => return Some(End::Scope(self.scope())),
                kind if fact == Fact::Type && kind.ends_with(b".done") => {
                    return of_message(
                        self.message(&[self.fact(node, Fact::ItemId), self.fact(node, Fact::Index)]),
                    );
                }
                event if fact == Fact::Event && node == 0 && event.ends_with(b"_end") => {
                    return Some(End::Scope(self.scope()));
                }
                _ => {}
            }
        }
        if self.fact(node, Fact::Kind) == Some(b"artifact-update")
            && self.fact(node, Fact::LastChunk) == Some(b"true")
        {
            return of_message(self.artifact(node));
        }
        None
    }
}
