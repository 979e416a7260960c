//! Documents as the host hands them over, brought into JSON: the policy, and claims in dynamic metadata.
//!
//! Istio's `pluginConfig` and a `google.protobuf.StringValue` arrive as JSON text. A `google.protobuf.Struct`, which
//! is how a policy is written inline in Envoy's YAML, arrives as the message's own bytes [Envoy 1.40]:
//!
//! ```text
//! Struct    { 1: map entry { 1: name, 2: Value } }
//! Value     { 1: null | 2: number (double) | 3: string | 4: bool | 5: Struct | 6: ListValue }
//! ListValue { 1: Value }
//! Metadata  { 1: map entry { 1: namespace, 2: Struct } }
//! ```

use serde_json::{Map, Number, Value};

use crate::protobuf::{Field, fields};

/// How deep a document may be nested. Envoy's own limit for messages is 100.
const DEEPEST: u32 = 64;

/// The document in JSON. What is neither JSON nor a `Struct` comes back as it is, for the reader to complain about.
pub(crate) fn to_json(document: Vec<u8>) -> Vec<u8> {
    if serde_json::from_slice::<serde::de::IgnoredAny>(&document).is_ok() {
        return document;
    }
    match read_struct(&document, DEEPEST).and_then(|map| serde_json::to_vec(&map).ok()) {
        Some(json) => json,
        None => document,
    }
}

/// What stands under `key` in a namespace of Envoy's dynamic metadata (`envoy.config.core.v3.Metadata`), in JSON.
/// `None` where there is nothing, or the bytes are no such message.
pub(crate) fn metadata_to_json(metadata: &[u8], namespace: &str, key: &str) -> Option<Vec<u8>> {
    let mut found = None;
    for field in fields(metadata) {
        // Field 2 is the metadata of type Any, which jwt_authn does not write.
        let (1, Field::Bytes(entry)) = field? else { continue };
        let (mut name, mut wire) = (&[][..], &[][..]);
        for field in fields(entry) {
            match field? {
                (1, Field::Bytes(text)) => name = text,
                (2, Field::Bytes(bytes)) => wire = bytes,
                _ => return None,
            }
        }
        if name == namespace.as_bytes() {
            found = read_struct(wire, DEEPEST)?.remove(key);
        }
    }
    serde_json::to_vec(&found?).ok()
}

fn read_struct(wire: &[u8], depth: u32) -> Option<Map<String, Value>> {
    let depth = depth.checked_sub(1)?;
    let mut map = Map::new();
    for field in fields(wire) {
        let (1, Field::Bytes(entry)) = field? else { return None };
        let (mut name, mut value) = (String::new(), Value::Null);
        for field in fields(entry) {
            match field? {
                (1, Field::Bytes(text)) => name = text_of(text)?,
                (2, Field::Bytes(wire)) => value = read_value(wire, depth)?,
                _ => return None,
            }
        }
        map.insert(name, value);
    }
    Some(map)
}

fn read_value(wire: &[u8], depth: u32) -> Option<Value> {
    let mut value = Value::Null;
    for field in fields(wire) {
        value = match field? {
            (1, Field::Varint(_)) => Value::Null,
            (2, Field::Fixed64(bits)) => number(f64::from_bits(bits))?,
            (3, Field::Bytes(text)) => Value::String(text_of(text)?),
            (4, Field::Varint(bit)) => Value::Bool(bit != 0),
            (5, Field::Bytes(wire)) => Value::Object(read_struct(wire, depth)?),
            (6, Field::Bytes(wire)) => Value::Array(read_list(wire, depth.checked_sub(1)?)?),
            _ => return None,
        };
    }
    Some(value)
}

fn read_list(wire: &[u8], depth: u32) -> Option<Vec<Value>> {
    fields(wire)
        .map(|field| match field? {
            (1, Field::Bytes(wire)) => read_value(wire, depth),
            _ => None,
        })
        .collect()
}

fn text_of(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// A `Struct` knows only doubles; a whole number is written as one, because that is what was written.
fn number(value: f64) -> Option<Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        return Some(Value::from(value as i64));
    }
    Number::from_f64(value).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn put(wire: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
        wire.push(tag);
        crate::protobuf::put_varint(wire, bytes.len() as u64);
        wire.extend_from_slice(bytes);
    }

    fn wire_of(value: &Value) -> Vec<u8> {
        let mut wire = Vec::new();
        match value {
            Value::Null => wire.extend_from_slice(&[0x08, 0]),
            Value::Bool(bit) => wire.extend_from_slice(&[0x20, u8::from(*bit)]),
            Value::Number(number) => {
                wire.push(0x11);
                wire.extend_from_slice(&number.as_f64().unwrap().to_le_bytes());
            }
            Value::String(text) => put(&mut wire, 0x1a, text.as_bytes()),
            Value::Array(elements) => {
                let mut list = Vec::new();
                for element in elements {
                    put(&mut list, 0x0a, &wire_of(element));
                }
                put(&mut wire, 0x32, &list);
            }
            Value::Object(members) => put(&mut wire, 0x2a, &struct_of(members)),
        }
        wire
    }

    fn struct_of(members: &Map<String, Value>) -> Vec<u8> {
        let mut wire = Vec::new();
        for (name, value) in members {
            let mut entry = Vec::new();
            put(&mut entry, 0x0a, name.as_bytes());
            put(&mut entry, 0x12, &wire_of(value));
            put(&mut wire, 0x0a, &entry);
        }
        wire
    }

    #[test]
    fn a_struct_becomes_the_json_that_was_written() {
        let written = json!({
            "gateway": "g\u{e9}", "limits": {"request_body": 4194304, "none": null},
            "list": [1, -2, 1.5, true, false, "x", [], {}], "empty": {},
        });
        let json = to_json(struct_of(written.as_object().unwrap()));
        assert_eq!(serde_json::from_slice::<Value>(&json).unwrap(), written);
    }

    #[test]
    fn claims_are_found_in_their_namespace_alone() {
        let claims = json!({"sub": "zoe", "exp": 1_795_348_800, "roles": ["a"]});
        let mut metadata = Vec::new();
        for (namespace, content) in [
            ("other", json!({"payload": {"sub": "mallory"}})),
            ("envoy.filters.http.jwt_authn", json!({"payload": claims, "header": {"alg": "RS256"}})),
            ("another", json!({"payload": {"sub": "mallory"}})),
        ] {
            let mut entry = Vec::new();
            put(&mut entry, 0x0a, namespace.as_bytes());
            put(&mut entry, 0x12, &struct_of(content.as_object().unwrap()));
            put(&mut metadata, 0x0a, &entry);
        }
        put(&mut metadata, 0x12, b"typed metadata");
        let found = metadata_to_json(&metadata, "envoy.filters.http.jwt_authn", "payload").unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&found).unwrap(), claims);
        for (namespace, key) in [("envoy.filters.http.jwt_authn", "claims"), ("envoy", "payload"), ("", "")] {
            assert_eq!(metadata_to_json(&metadata, namespace, key), None);
        }
        for length in 1..metadata.len() {
            // Cut anywhere, it is either no message or one that does not hold all of it.
            let cut = metadata_to_json(&metadata[..length], "envoy.filters.http.jwt_authn", "payload");
            assert!(cut.is_none_or(|cut| cut == found), "{length}");
        }
    }

    #[test]
    fn json_stays_as_it_is_even_behind_a_line_break() {
        let text = b"\n{\"a\": 1}".to_vec();
        assert_eq!(to_json(text.clone()), text);
    }

    #[test]
    fn what_is_neither_is_left_for_the_reader_to_complain_about() {
        let good = struct_of(json!({"a": {"b": [1, 2]}}).as_object().unwrap());
        for length in 1..good.len() {
            let cut = good[..length].to_vec();
            assert_eq!(to_json(cut.clone()), cut, "{length}");
        }
        let text = b"gateway: yaml".to_vec();
        assert_eq!(to_json(text.clone()), text);
    }

    #[test]
    fn nesting_has_a_bound() {
        let mut value = json!(1);
        for _ in 0..200 {
            value = json!({"a": value});
        }
        let wire = struct_of(value.as_object().unwrap());
        assert_eq!(to_json(wire.clone()), wire);
    }
}
