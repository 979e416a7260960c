//! YAML as a tree in which every value knows where it stands: file, line, column, bytes.
//!
//! What tools about configuration need: places for what they say, and byte ranges for what they mend. It leaves to
//! its readers what the values mean. Bounds: a file of [`LARGEST`] bytes, [`DEEPEST`] levels, and no more copies by
//! alias than configuration has use for, so that a hostile file ends in an error and not in a swap storm.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, Spanned};

/// The largest text that is read, in bytes.
pub const LARGEST: usize = 8 << 20;
/// How deep values may lie in each other. A policy inside Envoy's configuration has some thirty.
pub const DEEPEST: usize = 64;
/// How many values all documents of a text may have together.
const MOST_VALUES: usize = 400_000;

/// The stack of the parser, in bytes.
const STACK: usize = 64 << 20;

/// Why a text is no tree.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Longer than [`LARGEST`].
    #[error("{0} bytes: configuration of more than 8 MiB is not read")]
    TooLarge(usize),
    /// No YAML, or more of it than the bounds allow.
    #[error("{0}")]
    Unreadable(String),
}

/// Where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Which of the files that are read together.
    pub file: usize,
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
    /// First byte.
    pub start: usize,
    /// How many bytes; 0 for what is a block of lines.
    pub len: usize,
    /// Whether it stands here by alias or merge: another place is what would have to be edited.
    pub borrowed: bool,
}

/// A value with its place.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub content: Content,
}

/// What a value is.
#[derive(Debug, Clone)]
pub enum Content {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A finite number.
    Number(Number),
    /// Text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<Member>),
}

/// A member of a mapping.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub place: Place,
    /// Its value.
    pub value: Node,
}

/// Reads every document of a text; `file` goes into all places.
pub fn read(text: &str, file: usize) -> Result<Vec<Node>, ReadError> {
    if text.len() > LARGEST {
        return Err(ReadError::TooLarge(text.len()));
    }
    let parse = || {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_depth: DEEPEST,
                max_nodes: MOST_VALUES,
            },
            with_snippet: false,
        };
        let documents: Vec<Spanned<Loose>> = serde_saphyr::from_multiple_with_options(text, options)
            .map_err(|error| ReadError::Unreadable(error.to_string()))?;
        Ok(documents.into_iter().map(|document| document.into_node(file)).collect())
    };
    if cfg!(target_family = "wasm") {
        return parse();
    }
    // The parser goes down a level of the text with some calls of its own: how much stack the caller has left is not
    // known, and this is enough for the deepest text.
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, parse);
        let reader = reader.map_err(|error| ReadError::Unreadable(error.to_string()))?;
        reader.join().unwrap_or_else(|_| Err(ReadError::Unreadable("the parser gave up".to_owned())))
    })
}

impl Node {
    /// The member of this name. Names in Envoy's configuration may be written `snake_case` or `camelCase`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.member(name).map(|member| &member.value)
    }

    /// The member of this name, with its own place.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members().iter().find(|member| same_name(&member.name, name))
    }

    /// The value at a path of names with dots between.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, name| node.get(name))
    }

    /// Text, where it is some.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a member, `""` where it has none.
    #[must_use]
    pub fn text_of(&self, path: &str) -> &str {
        self.at(path).and_then(Self::text).unwrap_or_default()
    }

    /// Whether it says true.
    #[must_use]
    pub fn is_true(&self) -> bool {
        matches!(&self.content, Content::Bool(true)) || self.text() == Some("true")
    }

    /// Whether a member says true.
    #[must_use]
    pub fn has_true(&self, path: &str) -> bool {
        self.at(path).is_some_and(Self::is_true)
    }

    /// A whole number.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        match &self.content {
            Content::Number(number) => number.as_u64(),
            Content::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The items of a list; none where it is no list.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.content {
            Content::List(items) => items,
            _ => &[],
        }
    }

    /// The items of a member that is a list.
    #[must_use]
    pub fn list(&self, path: &str) -> &[Self] {
        self.at(path).map(Self::items).unwrap_or_default()
    }

    /// The members of a mapping; none where it is no mapping.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        match &self.content {
            Content::Map(members) => members,
            _ => &[],
        }
    }

    /// Calls `look` for this value and all inside, outermost first, for as long as it answers true.
    pub fn walk<'a>(&'a self, look: &mut dyn FnMut(&'a Self) -> bool) {
        if !look(self) {
            return;
        }
        self.items().iter().for_each(|item| item.walk(look));
        self.members().iter().for_each(|member| member.value.walk(look));
    }

    /// The same as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(flag) => Value::Bool(*flag),
            Content::Number(number) => Value::Number(number.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(members) => {
                let members = members.iter().map(|member| (member.name.clone(), member.value.to_json()));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }
}

fn same_name(written: &str, name: &str) -> bool {
    if written == name {
        return true;
    }
    let mut written = written.bytes();
    let mut upper = false;
    for byte in name.bytes() {
        if byte == b'_' {
            upper = true;
            continue;
        }
        let expected = if upper { byte.to_ascii_uppercase() } else { byte };
        upper = false;
        if written.next() != Some(expected) {
            return false;
        }
    }
    written.next().is_none()
}

/// A value as the parser hands it over; the places of what is inside are the parser's.
#[derive(Debug)]
enum Loose {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Loose>>),
    Map(Vec<(Spanned<String>, Spanned<Loose>)>),
}

trait IntoNode {
    fn into_node(self, file: usize) -> Node;
}

impl IntoNode for Spanned<Loose> {
    fn into_node(self, file: usize) -> Node {
        let place = place(file, &self.referenced, &self.defined);
        let content = match self.value {
            Loose::Null => Content::Null,
            Loose::Bool(flag) => Content::Bool(flag),
            Loose::Number(number) => Content::Number(number),
            Loose::Text(text) => Content::Text(text),
            Loose::List(items) => Content::List(items.into_iter().map(|item| item.into_node(file)).collect()),
            Loose::Map(members) => Content::Map(
                members
                    .into_iter()
                    .map(|(name, value)| Member {
                        place: self::place(file, &name.referenced, &name.defined),
                        name: name.value,
                        value: value.into_node(file),
                    })
                    .collect(),
            ),
        };
        Node { place, content }
    }
}

fn place(file: usize, referenced: &Location, defined: &Location) -> Place {
    let span = referenced.span();
    let bytes = |count: Option<u64>| count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    Place {
        file,
        line: referenced.line(),
        column: referenced.column(),
        start: bytes(span.byte_offset()),
        len: bytes(span.byte_len()),
        borrowed: referenced != defined,
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LooseVisitor;

        impl<'de> Visitor<'de> for LooseVisitor {
            type Value = Loose;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Loose, E> {
                Ok(Loose::Null)
            }

            fn visit_none<E>(self) -> Result<Loose, E> {
                Ok(Loose::Null)
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Loose, E> {
                Ok(Loose::Bool(flag))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Loose, E> {
                Ok(Loose::Number(number.into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Loose, E> {
                Ok(Loose::Number(number.into()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Loose, E> {
                Number::from_f64(number)
                    .map(Loose::Number)
                    .ok_or_else(|| E::custom("a number has to be finite"))
            }

            fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
                Ok(Loose::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Loose, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Loose::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Loose, A::Error> {
                let mut map = Vec::new();
                while let Some(member) = members.next_entry()? {
                    map.push(member);
                }
                Ok(Loose::Map(map))
            }
        }

        deserializer.deserialize_any(LooseVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_and_name_knows_its_bytes() {
        let text = "# ü\na: {b: \"c\", d: 1}\n---\n- e: [true]\n";
        let documents = read(text, 3).unwrap();
        let b = documents[0].get("a").unwrap().member("b").unwrap();
        assert_eq!(&text[b.place.start..][..b.place.len], "b");
        assert_eq!(&text[b.value.place.start..][..b.value.place.len], "\"c\"");
        assert_eq!((b.place.file, b.place.line, b.place.column), (3, 2, 5));
        let e = documents[1].items()[0].list("e");
        assert!(e[0].is_true());
        assert_eq!((e[0].place.line, e[0].place.column), (4, 7));
    }

    #[test]
    fn what_stands_somewhere_by_alias_or_merge_is_borrowed() {
        let documents = read("x: &x {a: b}\ny: *x\nz:\n  <<: *x\n  c: d\n", 0).unwrap();
        assert!(!documents[0].at("x").unwrap().place.borrowed);
        assert!(documents[0].at("y").unwrap().place.borrowed);
        assert!(documents[0].at("z.a").unwrap().place.borrowed);
        assert!(!documents[0].at("z.c").unwrap().place.borrowed);
    }

    #[test]
    fn names_are_found_in_either_spelling_of_envoys() {
        let documents = read("perConnectionBufferLimitBytes: 1\nroute_config: 2\n", 0).unwrap();
        assert_eq!(documents[0].get("per_connection_buffer_limit_bytes").unwrap().number(), Some(1));
        assert_eq!(documents[0].get("route_config").unwrap().number(), Some(2));
        assert!(documents[0].get("route_configs").is_none());
        assert!(documents[0].get("route").is_none());
    }

    #[test]
    fn hostile_texts_end_in_an_error() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let row = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{row}]\n"));
        }
        for (text, what) in [
            (bomb, "aliases"),
            ("[".repeat(100_000), "flow levels"),
            ("- ".repeat(5_000), "block levels"),
            ("{a: ".repeat(5_000), "flow maps"),
            ("- x\n".repeat(600_000), "values"),
            ("x".repeat(10 << 20), "bytes"),
            ("a: b: c".to_owned(), "no YAML"),
            ("a: \"".to_owned() + &"\\".repeat(1 << 20), "an open text"),
        ] {
            let error = read(&text, 0).expect_err(what).to_string();
            assert!(!error.is_empty() && error.len() < 500, "{what}: {error}");
        }
    }
}
