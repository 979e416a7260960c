//! What a record's page shows besides the record: the approval that it met, and the stream that its exchange was sent.

use serde_json::Value;

use super::words::{self, Piece as Part};
use crate::clock::parse_time;

/// At most so many pieces are shown.
const MOST_PIECES: usize = 3_000;

/// A piece of a stream.
pub(super) struct Piece {
    /// Milliseconds since the request.
    pub(super) ms: u64,
    /// The same in words.
    pub(super) after: String,
    pub(super) parts: Vec<Part>,
}

/// The pieces of all segments, in order, and whether some are missing at the end.
pub(super) fn pieces(segments: &[Vec<u8>], outcome: Option<&Value>) -> (Vec<Piece>, bool) {
    let mut all = Vec::new();
    for segment in segments {
        let segment: Value = serde_json::from_slice(segment).unwrap_or_default();
        let pieces = segment.pointer("/segment/pieces").and_then(Value::as_array);
        for piece in pieces.map(Vec::as_slice).unwrap_or_default() {
            let (Some(ms), Some(text)) = (piece[0].as_u64(), piece[1].as_str()) else { continue };
            if all.len() >= MOST_PIECES {
                return (all, true);
            }
            let after = format!("{}.{:03} s", ms / 1_000, ms % 1_000);
            all.push(Piece { ms, after, parts: words::pieces(text) });
        }
    }
    let cut =
        outcome.and_then(|outcome| outcome.pointer("/response/body_truncated")).and_then(Value::as_bool);
    (all, cut.unwrap_or(false))
}

/// The approval that a record names.
pub(super) struct Met {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) held: String,
    pub(super) decisions: Vec<Decided>,
}

/// One decision of it.
pub(super) struct Decided {
    pub(super) who: String,
    pub(super) verdict: String,
    pub(super) at_words: String,
    pub(super) comment: String,
}

/// Reads it from a record.
pub(super) fn approval(record: &Value) -> Option<Met> {
    let approval = record.get("approval").filter(|approval| approval.get("status").is_some())?;
    let text = |value: &Value, pointer: &str| {
        value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let decisions =
        approval.get("decisions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    // Ids are the desk's own; whatever else stands there is not made a link.
    let id = text(approval, "/id");
    let is_id = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    Some(Met {
        id: if is_id { id } else { String::new() },
        status: text(approval, "/status"),
        held: approval
            .get("held_ms")
            .and_then(Value::as_i64)
            .map(|ms| if ms < 1_000 { format!("{ms} ms") } else { words::span(ms) })
            .unwrap_or_default(),
        decisions: decisions
            .iter()
            .map(|decision| Decided {
                who: ["/approver/name", "/approver/email", "/approver/subject"]
                    .iter()
                    .map(|pointer| text(decision, pointer))
                    .find(|name| !name.is_empty())
                    .unwrap_or_default(),
                verdict: text(decision, "/decision"),
                at_words: parse_time(&text(decision, "/at")).map(words::time).unwrap_or_default(),
                comment: text(decision, "/comment"),
            })
            .collect(),
    })
}
