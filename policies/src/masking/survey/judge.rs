//! Decides what grows, from what an event's payload holds.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::masking::lanes::LaneKey;

use super::outline::{Fact, Node, Text};
use super::{End, Growing, Survey};

/// Decides what grows, from what was noted.
pub(super) struct Judge<'a> {
    pub(super) payload: &'a [u8],
    pub(super) nodes: &'a [Node],
    pub(super) event: &'a [u8],
    pub(super) base: &'a [u8],
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

    /// What the event says about growing texts.
    pub(super) fn judge(&self, texts: &[Text]) -> Survey {
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
