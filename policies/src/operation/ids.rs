//! Ids as the server reads them: every spelling of a UUID that Python's `uuid.UUID()` takes, made one.
//!
//! Python removes `urn:` and `uuid:` anywhere, strips `{` and `}` at the ends, removes every `-`, and reads
//! 32 characters with `int(…, 16)`, which also takes `_` between digits, a `0x`, a sign and spaces. The plain
//! spellings are canonicalised; the exotic ones are refused.
//!
//! LangGraph makes one assistant of each graph; its id is the UUID of version 5 (RFC 9562 section 5.5) of the
//! graph's name in a namespace of LangGraph's own, so that it is known without asking.

use sha1::{Digest as _, Sha1};

/// LangGraph's namespace for the assistants that it makes of graphs: 6ba7b821-9dad-11d1-80b4-00c04fd430c8.
const GRAPHS: [u8; 16] =
    [0x6b, 0xa7, 0xb8, 0x21, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8];

/// The id of the assistant that LangGraph makes of a graph.
pub(super) fn of_graph(graph: &str) -> String {
    let hash = Sha1::new().chain_update(GRAPHS).chain_update(graph.as_bytes()).finalize();
    let mut id = String::with_capacity(36);
    for (index, byte) in hash.iter().take(16).enumerate() {
        let byte = match index {
            6 => byte & 0x0f | 0x50,
            8 => byte & 0x3f | 0x80,
            _ => *byte,
        };
        if matches!(index, 4 | 6 | 8 | 10) {
            id.push('-');
        }
        for digit in [byte >> 4, byte & 0x0f] {
            id.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    id
}

/// The canonical spelling of a UUID: lower case, 8-4-4-4-12. `None` where it is none.
pub(super) fn uuid(spelling: &str) -> Option<String> {
    let digits = bare(spelling);
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut canonical = String::with_capacity(36);
    for (index, digit) in digits.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            canonical.push('-');
        }
        canonical.push(digit.to_ascii_lowercase());
    }
    Some(canonical)
}

/// What names an assistant: its id, or the name of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Assistant {
    /// A canonical UUID.
    Id(String),
    /// A graph's name, which LangGraph takes for the assistant that it made of that graph.
    Graph(String),
}

/// Reads `assistant_id`. `None` for what is neither a UUID nor a plain name: letters, digits, `_`, `-`, `.`,
/// `/`-free, at most 128 bytes, and no length and alphabet that `int(…, 16)` could still take for a UUID.
pub(super) fn assistant(spelling: &str) -> Option<Assistant> {
    if let Some(id) = uuid(spelling) {
        return Some(Assistant::Id(id));
    }
    let plain = !spelling.is_empty()
        && spelling.len() <= 128
        && spelling.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    let digits = bare(spelling);
    let exotic = digits.len() == 32
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'_' | b'x' | b'X'));
    (plain && !exotic).then(|| Assistant::Graph(spelling.to_owned()))
}

/// Python's reduction of a UUID's spelling to its digits.
fn bare(spelling: &str) -> String {
    spelling.replace("urn:", "").replace("uuid:", "").trim_matches(['{', '}']).replace('-', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab";

    #[test]
    fn every_spelling_of_a_uuid_is_the_same_uuid() {
        for spelling in [
            ID.to_owned(),
            ID.to_uppercase(),
            ID.replace('-', ""),
            format!("{{{ID}}}"),
            format!("urn:uuid:{ID}"),
            format!("{{urn:uuid:{}}}", ID.to_uppercase()),
            ID.replace('-', "--"),
        ] {
            assert_eq!(uuid(&spelling).as_deref(), Some(ID), "{spelling}");
            assert_eq!(assistant(&spelling), Some(Assistant::Id(ID.to_owned())), "{spelling}");
        }
    }

    #[test]
    fn the_assistant_of_a_graph_has_the_id_that_langgraph_derives() {
        // Python: uuid.uuid5(uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), "support_agent")
        assert_eq!(of_graph("support_agent"), "00cc8c2c-8c2d-5379-b231-82362dc9e54e");
    }

    #[test]
    fn other_spellings_are_no_uuid_and_no_graph() {
        for spelling in [
            "",
            "0x6e0f1a9a1b4c2d8e3f0123456789ab",
            "0x6e0f1a9a1b4c2d8e3f01234567890123",
            "0_6e0f1a9a1b4c2d8e3f0123456789abcd",
            " c6e0f1a9a1b4c2d8e3f0123456789ab ",
            "0c6e0f1a9a1b4c2d8e3f0123456789a\u{0661}",
        ] {
            assert_eq!(uuid(spelling), None, "{spelling}");
        }
        for spelling in ["", "0_6e0f1a9a1b4c2d8e3f0123456789ab", "a b", "a/b", "graph\u{e9}", "urn:graph"] {
            assert_eq!(assistant(spelling), None, "{spelling}");
        }
        assert_eq!(assistant("support_agent"), Some(Assistant::Graph("support_agent".to_owned())));
    }
}
