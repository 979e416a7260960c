//! JSON as the server parses it, minus what two parsers could take differently.
//!
//! LangGraph parses with orjson, whatever `Content-Type` says: the last of duplicate members wins there.
//! Here a duplicate, at any depth, refuses the body, and so do a byte order mark, broken UTF-8, lone
//! surrogates, and nesting from 128 levels on. A body that would take many times its length as values is refused, too.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Refused;
use crate::reason::Reason;

/// What values take in memory, roughly and from above, whatever they hold: a member of an object or an array, a string's
/// or an array's own allocation, and the first node of an object's tree.
const VALUE: usize = 32;
const STRING: usize = 16;
const ARRAY: usize = 128;
const OBJECT: usize = 512;

/// How much memory a body may take as it is read, besides twice its length. A body of nothing but `{"a":1}` would take
/// seventy times its length.
const MOST: usize = 128 << 20;

/// Parses a whole body; about how many bytes of memory the value takes.
pub(super) fn parse(body: &[u8]) -> Result<(Value, usize), Refused> {
    if body.starts_with(b"\xEF\xBB\xBF") {
        return Err(Refused::new(Reason::BodyMalformed, "body starts with a byte order mark"));
    }
    let most = MOST.saturating_add(body.len().saturating_mul(2));
    let watch = Watch { duplicate: Cell::new(false), left: Cell::new(Some(most)) };
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let parsed = Strict { watch: &watch }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match (parsed, watch.left.get()) {
        (Ok(value), left) => Ok((value, most.saturating_sub(left.unwrap_or(0)))),
        // serde_json's text is not passed on: it can quote the body.
        (Err(_), _) if watch.duplicate.get() => {
            Err(Refused::new(Reason::BodyMalformed, "body has a duplicate member"))
        }
        (Err(_), None) => {
            Err(Refused::new(Reason::BodyTooLarge, "body holds more values than the gate reads"))
        }
        (Err(error), _) if error.to_string().starts_with("recursion limit exceeded") => {
            Err(Refused::new(Reason::BodyTooLarge, "body is nested deeper than 127 levels"))
        }
        (Err(_), _) => Err(Refused::new(Reason::BodyMalformed, "body is not JSON")),
    }
}

/// What is noticed while a body is read.
struct Watch {
    duplicate: Cell<bool>,
    /// How much memory it may still take; `None` once that was too little.
    left: Cell<Option<usize>>,
}

impl Watch {
    fn spend<E: de::Error>(&self, bytes: usize) -> Result<(), E> {
        self.left.set(self.left.get().and_then(|left| left.checked_sub(bytes)));
        match self.left.get() {
            Some(_) => Ok(()),
            None => Err(E::custom("too many values")),
        }
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    watch: &'a Watch,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not finite"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.watch.spend(STRING.saturating_add(value.len()))?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        self.watch.spend(STRING.saturating_add(value.len()))?;
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        self.watch.spend(ARRAY)?;
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element_seed(self)? {
            self.watch.spend(VALUE)?;
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        self.watch.spend(OBJECT)?;
        let mut map = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            self.watch.spend(STRING.saturating_add(VALUE).saturating_add(key.len()))?;
            let value = members.next_value_seed(self)?;
            if map.insert(key, value).is_some() {
                self.watch.duplicate.set(true);
                return Err(de::Error::custom("duplicate member"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(body: &[u8]) -> Option<Reason> {
        parse(body).err().map(|refused| refused.reason)
    }

    #[test]
    fn reads_what_serde_json_reads() {
        for body in [
            "null",
            "true",
            "-1",
            "1.5",
            "18446744073709551615",
            "\"\\u00e9\"",
            "[1,[2],{}]",
            "{\"a\":{\"b\":[]}}",
        ] {
            let read = parse(body.as_bytes()).ok().map(|(value, _)| value);
            assert_eq!(read, serde_json::from_str(body).ok(), "{body}");
        }
    }

    #[test]
    fn refuses_duplicates_at_every_depth() {
        for body in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"b":2,"a":3}}"#,
            r#"[[{"a":1,"a":1}]]"#,
            r#"{"a":{},"a":{}}"#,
        ] {
            assert_eq!(
                parse(body.as_bytes()).err().map(|e| e.detail).as_deref(),
                Some("body has a duplicate member")
            );
        }
        assert!(parse(br#"[{"a":1},{"a":2}]"#).is_ok(), "siblings are no duplicates");
    }

    #[test]
    fn refuses_what_other_parsers_could_read_otherwise() {
        for body in [
            &b"\xEF\xBB\xBF{}"[..],
            b"",
            b"{} {}",
            b"{}x",
            b"{'a':1}",
            b"{\"a\":1,}",
            b"[1] // comment",
            b"NaN",
            b"Infinity",
            b"1e999",
            b"\"\\ud800\"",
            b"\"\xff\"",
            b"\"\n\"",
            b"\xFE\xFF\0{\0}",
        ] {
            assert_eq!(reason(body), Some(Reason::BodyMalformed), "{body:?}");
        }
    }

    #[test]
    fn nesting_ends_before_128_levels() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(reason(nested(127).as_bytes()), None);
        assert_eq!(reason(nested(128).as_bytes()), Some(Reason::BodyTooLarge));
        assert_eq!(reason(nested(100_000).as_bytes()), Some(Reason::BodyTooLarge));
        let objects = "{\"a\":".repeat(128) + "1" + &"}".repeat(128);
        assert_eq!(reason(objects.as_bytes()), Some(Reason::BodyTooLarge));
    }

    #[test]
    fn a_body_of_nothing_but_structure_is_refused_before_it_takes_many_times_its_length() {
        let of = |item: &str| format!("[{}{item}]", format!("{item},").repeat((4 << 20) / (item.len() + 1)));
        for item in [r#"{"a":1}"#, "[]", "{}", r#"{"":[]}"#] {
            let refused = parse(of(item).as_bytes()).expect_err(item);
            assert_eq!(
                (refused.reason, &*refused.detail),
                (Reason::BodyTooLarge, "body holds more values than the gate reads")
            );
        }
        for item in ["0", "0.125", r#""words""#, r#"{"role":"user","content":"of a few words each"}"#] {
            let (_, weight) = parse(of(item).as_bytes()).expect(item);
            assert!(weight > 4 << 20 && weight <= MOST + (9 << 20), "{item}: {weight}");
        }
    }

    #[test]
    fn a_refusal_quotes_nothing_of_the_body() {
        for body in [r#"{"hunter2":1,"hunter2":2}"#, r#"{"hunter2":hunter2}"#, r#"hunter2"#] {
            let refused = parse(body.as_bytes()).unwrap_err();
            assert!(!format!("{refused:?}").contains("hunter2"));
        }
    }
}
