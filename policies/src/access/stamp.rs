//! Puts one key into the `metadata` of a JSON body (or a thread's id into a message), and touches no other byte of it.
//!
//! ```json
//! {"input": 1e400}                       → {"metadata":{"owner":"uma"},"input": 1e400}
//! {"metadata": {"a": 1.10}, "x": [ ]}    → {"metadata": {"owner":"uma","a": 1.10}, "x": [ ]}
//! ```
//! Invariant: the result is the body with text inserted (or one `null` replaced) at as many places as there are
//! things to mark; read as JSON it is the body with that key set and nothing else changed. The body has been parsed
//! before, strictly: no member comes twice.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::operation::{Refused, Stamping};
use crate::reason::Reason;

/// One change to a body.
struct Edit {
    at: usize,
    removes: usize,
    inserts: String,
}

/// The members of an object, each with its bytes as they stand.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// The body with `key` set to `owner` where `stamping` says; `None` where nothing has to change.
///
/// # Errors
/// A body that there has to be and is not, or whose `metadata` is no object.
pub(super) fn stamp(
    stamping: Stamping,
    key: &str,
    owner: &str,
    body: &[u8],
) -> Result<Option<Vec<u8>>, Refused> {
    let mark = Mark { body, key, owner };
    let mut edits = Vec::new();
    match stamping {
        Stamping::None | Stamping::Unreachable => return Ok(None),
        Stamping::Body => mark.object(whole(body)?, &mut edits)?,
        Stamping::Changed => {
            let object = whole(body)?;
            let members: Members<'_> = parse(object)?;
            if members.get("metadata").is_some_and(|metadata| metadata.get() != "null") {
                mark.object(object, &mut edits)?;
            }
        }
        Stamping::Params => {
            let members: Members<'_> = parse(whole(body)?)?;
            match members.get("params") {
                Some(params) => mark.object(params, &mut edits)?,
                None => return Err(malformed("params is missing")),
            }
        }
        Stamping::Items => {
            let items: Vec<&RawValue> = parse(whole(body)?)?;
            for item in items {
                mark.object(item, &mut edits)?;
            }
        }
    }
    Ok((!edits.is_empty()).then(|| applied(body, &edits)))
}

/// The body of a message to an A2A agent with `contextId` set to `thread`.
///
/// # Errors
/// A body that is no message.
pub(super) fn in_context(thread: &str, body: &[u8]) -> Result<Vec<u8>, Refused> {
    let mark = Mark { body, key: "", owner: "" };
    let message: Members<'_> = parse(whole(body)?)?;
    let params: Members<'_> = parse(message.get("params").ok_or_else(|| malformed("params is missing"))?)?;
    let message = params.get("message").ok_or_else(|| malformed("message is missing"))?;
    let members: Members<'_> = parse(message)?;
    let edit = match members.get("contextId") {
        // It is null: anything else names a thread.
        Some(context) => {
            Edit { at: mark.place(context)?, removes: context.get().len(), inserts: quoted(thread) }
        }
        None => mark.first(message, &format!("\"contextId\":{}", quoted(thread)), members.is_empty())?,
    };
    Ok(applied(body, &[edit]))
}

struct Mark<'a> {
    body: &'a [u8],
    key: &'a str,
    owner: &'a str,
}

impl Mark<'_> {
    /// Marks one object that has, or gets, a member `metadata`.
    fn object(&self, object: &RawValue, edits: &mut Vec<Edit>) -> Result<(), Refused> {
        let members: Members<'_> = parse(object)?;
        let mark = format!("{}:{}", quoted(self.key), quoted(self.owner));
        match members.get("metadata") {
            None => {
                let text = format!("\"metadata\":{{{mark}}}");
                edits.push(self.first(object, &text, members.is_empty())?);
            }
            Some(metadata) if metadata.get() == "null" => {
                let inserts = format!("{{{mark}}}");
                edits.push(Edit { at: self.place(metadata)?, removes: metadata.get().len(), inserts });
            }
            Some(metadata) => {
                let own: Members<'_> = parse(metadata).map_err(|_| malformed("metadata is not an object"))?;
                // Where it is there it is the caller's own: others were refused.
                if !own.contains_key(self.key) {
                    edits.push(self.first(metadata, &mark, own.is_empty())?);
                }
            }
        }
        Ok(())
    }

    /// `text` as the first member of an object.
    fn first(&self, object: &RawValue, text: &str, alone: bool) -> Result<Edit, Refused> {
        if !object.get().starts_with('{') {
            return Err(malformed("body is not an object"));
        }
        let at = self.place(object)?.saturating_add(1);
        let inserts = if alone { text.to_owned() } else { format!("{text},") };
        Ok(Edit { at, removes: 0, inserts })
    }

    /// Where a value begins in the body. The parser lends parts of the body; their addresses say which.
    fn place(&self, value: &RawValue) -> Result<usize, Refused> {
        (value.get().as_ptr() as usize)
            .checked_sub(self.body.as_ptr() as usize)
            .filter(|at| at.saturating_add(value.get().len()) <= self.body.len())
            .ok_or_else(|| malformed("body cannot be marked"))
    }
}

fn whole(body: &[u8]) -> Result<&RawValue, Refused> {
    if body.trim_ascii().is_empty() {
        // Envoy cannot give a body to a request that came without one.
        return Err(Refused {
            reason: Reason::FieldRefused,
            detail: "callers keep to what is theirs here, and an empty body cannot say so: send {}"
                .to_owned(),
        });
    }
    serde_json::from_slice(body).map_err(|_| malformed("body is not JSON"))
}

fn parse<'a, T: serde::Deserialize<'a>>(value: &'a RawValue) -> Result<T, Refused> {
    serde_json::from_str(value.get())
        .map_err(|_| malformed("body is not of the shape that this operation takes"))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn malformed(detail: &str) -> Refused {
    Refused { reason: Reason::BodyMalformed, detail: detail.to_owned() }
}

/// Makes the edits, which are in the order of their places.
fn applied(body: &[u8], edits: &[Edit]) -> Vec<u8> {
    let added: usize = edits.iter().map(|edit| edit.inserts.len()).sum();
    let mut out = Vec::with_capacity(body.len().saturating_add(added));
    let mut done = 0;
    for edit in edits {
        out.extend_from_slice(body.get(done..edit.at).unwrap_or_default());
        out.extend_from_slice(edit.inserts.as_bytes());
        done = edit.at.saturating_add(edit.removes);
    }
    out.extend_from_slice(body.get(done..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn marked(stamping: Stamping, body: &str) -> Result<Option<String>, String> {
        stamp(stamping, "owner", "u\"m\u{e4}", body.as_bytes())
            .map(|body| body.map(|body| String::from_utf8(body).unwrap()))
            .map_err(|refused| refused.detail)
    }

    #[test]
    fn only_the_mark_is_added() {
        for (body, expected) in [
            (r#"{}"#, r#"{"metadata":{"owner":"u\"mä"}}"#),
            (r#" { } "#, r#" {"metadata":{"owner":"u\"mä"} } "#),
            (r#"{"n": 1e400 , "z":0.10}"#, r#"{"metadata":{"owner":"u\"mä"},"n": 1e400 , "z":0.10}"#),
            (r#"{"metadata": null,"a":1}"#, r#"{"metadata": {"owner":"u\"mä"},"a":1}"#),
            (r#"{"metadata":{ }}"#, r#"{"metadata":{"owner":"u\"mä" }}"#),
            (
                r#"{"a":"\ud83d\ude00","metadata": {"b":18446744073709551616}}"#,
                r#"{"a":"\ud83d\ude00","metadata": {"owner":"u\"mä","b":18446744073709551616}}"#,
            ),
            (r#"{"m\u0065tadata":{"b":1}}"#, r#"{"m\u0065tadata":{"owner":"u\"mä","b":1}}"#),
        ] {
            assert_eq!(
                marked(Stamping::Body, body).as_ref().map(Option::as_deref),
                Ok(Some(expected)),
                "{body}"
            );
        }
        assert_eq!(marked(Stamping::Body, r#"{"metadata":{"o\u0077ner":"u\"mä"}}"#), Ok(None));
    }

    #[test]
    fn every_run_of_a_batch_and_the_parameters_of_a_command_are_marked() {
        assert_eq!(
            marked(Stamping::Items, r#"[{"a":1}, {"metadata":{}}]"#).unwrap().unwrap(),
            r#"[{"metadata":{"owner":"u\"mä"},"a":1}, {"metadata":{"owner":"u\"mä"}}]"#
        );
        assert_eq!(
            marked(Stamping::Params, r#"{"params":{"input":{"metadata":{}}}}"#).unwrap().unwrap(),
            r#"{"params":{"metadata":{"owner":"u\"mä"},"input":{"metadata":{}}}}"#
        );
    }

    #[test]
    fn what_is_changed_is_marked_only_where_its_metadata_changes() {
        assert_eq!(marked(Stamping::Changed, r#"{"name":"x"}"#), Ok(None));
        assert_eq!(marked(Stamping::Changed, r#"{"metadata":null}"#), Ok(None));
        assert!(marked(Stamping::Changed, r#"{"metadata":{}}"#).is_ok_and(|body| body.is_some()));
    }

    #[test]
    fn what_cannot_be_marked_is_refused() {
        for body in ["", "  ", "[]", "1", "null", r#"{"metadata":[]}"#, r#"{"metadata":"x"}"#] {
            assert!(marked(Stamping::Body, body).is_err(), "{body}");
        }
        assert!(marked(Stamping::Items, r#"[1]"#).is_err());
        assert!(marked(Stamping::Params, r#"{}"#).is_err());
        assert_eq!(marked(Stamping::None, ""), Ok(None));
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("(metadata|params|owner|[a-z\"\\\\]{0,3})", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Invariant: read as JSON, the result is the body with that key set and nothing else changed.
        #[test]
        fn the_result_is_the_body_with_the_mark_and_nothing_else(
            members in prop::collection::btree_map("(metadata|[a-z]{0,3})", tree(), 0..4),
            pretty in any::<bool>(),
        ) {
            let value = Value::Object(members.into_iter().collect());
            let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            let foreign = value.pointer("/metadata/owner").is_some();
            prop_assume!(!foreign);
            let Ok(Some(out)) = stamp(Stamping::Body, "owner", "uma", text.as_bytes()) else {
                prop_assert!(!matches!(value.get("metadata"), None | Some(Value::Null | Value::Object(_))));
                return Ok(());
            };
            let mut expected = value.clone();
            if expected["metadata"].is_null() { expected["metadata"] = json!({}); }
            expected["metadata"]["owner"] = json!("uma");
            prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
        }
    }
}
