//! Generated bodies with planted values: what leaves is known byte for byte, in every split, at every moment.
//!
//! The generator writes a body and what has to become of it side by side. A run's decisions are plain bytes, so that
//! a failure shrinks.

use graphwarden_policies::masking::{Media, Plan};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::split::{in_chunks, plan, random};

/// Values that are masked, and what takes their place.
const PLANTED: [(&str, &str); 8] = [
    ("zoe.obrien@example.com", "[EMAIL]"),
    ("219-09-9999", "[US_SSN]"),
    ("4111 1111 1111 1111", "[PAYMENT_CARD]"),
    ("5500000000000004", "[PAYMENT_CARD]"),
    ("GB82 WEST 1234 5698 7654 32", "[IBAN]"),
    ("192.168.10.20", "[IP_ADDRESS]"),
    ("+14155550132", "[PHONE]"),
    ("AKIAIOSFODNN7EXAMPLE", "[SECRETS]"),
];

/// Text that no detector knows.
const FILLER: [&str; 10] = [
    "lorem",
    "n\u{e9}e",
    "\u{65e5}\u{672c}\u{8a9e}",
    "a\ttab",
    "q\"q",
    "back\\slash",
    "up/down",
    "\u{1f600}",
    "x\ny",
    "(b)",
];

/// The next decision, from bytes that run out into zeros.
struct Choices<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(byte) % bound
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// A body and what has to become of it, in stretches.
#[derive(Debug, Clone, Default)]
struct Script(Vec<(String, String)>);

impl Script {
    fn same(&mut self, text: &str) {
        self.0.push((text.to_owned(), text.to_owned()));
    }

    fn masked(&mut self, text: &str, becomes: &str) {
        self.0.push((text.to_owned(), becomes.to_owned()));
    }

    fn body(&self) -> String {
        self.0.iter().map(|(body, _)| body.as_str()).collect()
    }

    fn expected(&self) -> String {
        self.0.iter().map(|(_, expected)| expected.as_str()).collect()
    }
}

/// Spells the inside of a JSON string, each character in one of its ways.
fn spelled(text: &str, choices: &mut Choices<'_>) -> String {
    let mut out = String::new();
    for character in text.chars() {
        let way = choices.below(8);
        match character {
            '"' | '\\' if way != 1 => out.extend(['\\', character]),
            '\n' if way != 1 => out.push_str("\\n"),
            '\t' if way != 1 => out.push_str("\\t"),
            '/' if way == 2 => out.push_str("\\/"),
            character if way != 1 && !character.is_control() => out.push(character),
            character => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&if way == 1 && choices.below(2) == 1 {
                        format!("\\u{unit:04X}")
                    } else {
                        format!("\\u{unit:04x}")
                    });
                }
            }
        }
    }
    out
}

/// How masking writes a text that it puts into a string.
fn quoted(text: &str) -> String {
    let text = Value::from(text).to_string();
    text[1..text.len() - 1].to_owned()
}

fn blanks(choices: &mut Choices<'_>, script: &mut Script) {
    script.same(choices.of(&["", "", "", " ", "\n  ", "\t", "\r\n"]));
}

fn text(choices: &mut Choices<'_>, script: &mut Script) {
    script.same("so");
    for _ in 0..choices.below(5) {
        script.same(" ");
        if choices.below(3) == 1 {
            let (value, label) = choices.of(&PLANTED);
            script.masked(value, label);
            script.same(" .");
        } else {
            script.same(choices.of(&FILLER));
        }
    }
}

fn string(choices: &mut Choices<'_>, script: &mut Script, depth: usize) {
    let mut inner = Script::default();
    if depth > 0 && choices.below(4) == 1 {
        value(choices, &mut inner, depth - 1, true);
    } else {
        text(choices, &mut inner);
    }
    script.same("\"");
    for (body, expected) in inner.0 {
        if body == expected {
            script.same(&spelled(&body, choices));
        } else {
            script.masked(&spelled(&body, choices), &quoted(&expected));
        }
    }
    script.same("\"");
}

fn value(choices: &mut Choices<'_>, script: &mut Script, depth: usize, container: bool) {
    blanks(choices, script);
    match if container {
        choices.below(2)
    } else if depth == 0 {
        2 + choices.below(4)
    } else {
        choices.below(6)
    } {
        0 => {
            script.same("{");
            blanks(choices, script);
            for index in 0..choices.below(4) {
                if index > 0 {
                    script.same(",");
                }
                blanks(choices, script);
                let secret = choices.below(5) == 1;
                let name = if secret { "secret".to_owned() } else { format!("k{}", choices.below(3)) };
                script.same("\"");
                script.same(&spelled(&name, choices));
                script.same("\"");
                blanks(choices, script);
                script.same(":");
                if secret {
                    let mut hidden = Script::default();
                    value(choices, &mut hidden, depth.saturating_sub(1), false);
                    let hidden = hidden.body();
                    let trimmed = hidden.trim_matches([' ', '\n', '\t', '\r']);
                    let (before, after) = hidden.split_once(trimmed).expect("a value");
                    script.same(before);
                    script.masked(trimmed, "\"[S]\"");
                    script.same(after);
                } else {
                    value(choices, script, depth.saturating_sub(1), false);
                }
            }
            script.same("}");
        }
        1 => {
            script.same("[");
            for index in 0..choices.below(4) {
                if index > 0 {
                    script.same(",");
                }
                value(choices, script, depth.saturating_sub(1), false);
            }
            blanks(choices, script);
            script.same("]");
        }
        2 => string(choices, script, depth),
        3 => script.same(choices.of(&[
            "0",
            "-1.5e+3",
            "120.50",
            "1795348013649",
            "true",
            "false",
            "null",
            "20261122",
        ])),
        4 => script.masked(choices.of(&["4111111111111111", "5500000000000004"]), "\"[PAYMENT_CARD]\""),
        _ => script.same(choices.of(&[
            "\"01a20313-eca6-7508-b110-955be1bdf8d4\"",
            "\"2026-11-22T11:27:48.552578+00:00\"",
            "\"\"",
            "\"1795348013637-0\"",
        ])),
    }
    blanks(choices, script);
}

fn rules() -> Plan {
    plan(json!({"fields": [{"path": "$..secret", "with": "[S]"}], "limits": {"embedded": 8}}))
}

/// Every split of the body leads to what is expected, and so does every prefix at every moment.
fn holds(media: Media, script: &Script) -> Result<(), TestCaseError> {
    let plan = rules();
    let (body, expected) = (script.body(), script.expected());
    let checked = |chunks: Vec<&[u8]>, how: &str| {
        let mut early = None;
        let output = in_chunks(&plan, media, chunks, |output| {
            if !expected.as_bytes().starts_with(output) && early.is_none() {
                early = Some(String::from_utf8_lossy(output).into_owned());
            }
        });
        prop_assert_eq!(early, None, "{}", how);
        prop_assert_eq!(
            output.map(|output| String::from_utf8_lossy(&output).into_owned()),
            Ok(expected.clone()),
            "{}",
            how
        );
        Ok(())
    };
    checked(vec![body.as_bytes()], "whole")?;
    checked(body.as_bytes().chunks(1).collect(), "byte by byte")?;
    let step = 1 + body.len() / 40;
    for at in (1..body.len()).step_by(step) {
        let (left, right) = body.as_bytes().split_at(at);
        checked(vec![left, right], &format!("split at {at}"))?;
    }
    let mut seed = body.len() as u64 + 1;
    for round in 0..4 {
        let mut chunks = Vec::new();
        let mut rest = body.as_bytes();
        while !rest.is_empty() {
            let size = usize::try_from(random(&mut seed) % 24).expect("small").min(rest.len());
            let (chunk, tail) = rest.split_at(size);
            chunks.push(chunk);
            rest = tail;
        }
        checked(chunks, &format!("random split {round}"))?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_leaves_as_expected_in_every_split(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut script = Script::default();
        value(&mut Choices { bytes: &bytes, at: 0 }, &mut script, 4, false);
        holds(Media::Json, &script)?;
    }

    #[test]
    fn ndjson_leaves_as_expected_in_every_split(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let choices = &mut Choices { bytes: &bytes, at: 0 };
        let mut script = Script::default();
        for _ in 0..1 + choices.below(3) {
            let mut line = Script::default();
            value(choices, &mut line, 2, false);
            for (body, expected) in line.0 {
                script.masked(&body.replace(['\n', '\r'], " "), &expected.replace(['\n', '\r'], " "));
            }
            script.same(choices.of(&["\n", "\r\n", "\n\n"]));
        }
        holds(Media::Ndjson, &script)?;
    }

    #[test]
    fn text_leaves_as_expected_in_every_split(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let choices = &mut Choices { bytes: &bytes, at: 0 };
        let mut script = Script::default();
        for _ in 0..1 + choices.below(4) {
            text(choices, &mut script);
            script.same(choices.of(&["\n", "\r\n", " - "]));
        }
        holds(Media::Text, &script)?;
    }

    #[test]
    fn events_leave_as_expected_in_every_split(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let choices = &mut Choices { bytes: &bytes, at: 0 };
        let mut script = Script::default();
        for _ in 0..1 + choices.below(4) {
            let end = choices.of(&["\r\n", "\n", "\r"]);
            if choices.below(3) == 1 {
                script.same(": heartbeat");
                script.same(end);
                script.same(end);
            }
            script.same("event: ");
            script.same(choices.of(&["values", "updates|child:38ec7254-e62c-b63f-1fbb-535bbcd895fe", "debug"]));
            script.same(end);
            let mut payload = Script::default();
            value(choices, &mut payload, 3, false);
            script.same("data: ");
            for (body, expected) in payload.0 {
                // A line end between tokens begins another data line.
                let lines = |text: String| text.replace("\r\n", "\n").replace('\n', &format!("{end}data: "));
                script.masked(&lines(body), &lines(expected));
            }
            script.same(end);
            if choices.below(2) == 1 {
                script.same("id: 4111111111111111");
                script.same(end);
            }
            script.same(end);
        }
        holds(Media::Sse, &script)?;
    }

    #[test]
    fn a_text_in_deltas_reads_as_the_masked_text(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let choices = &mut Choices { bytes: &bytes, at: 0 };
        let mut scripts = [Script::default(), Script::default()];
        for script in &mut scripts {
            for _ in 0..1 + choices.below(2) {
                text(choices, script);
                script.same(" ");
            }
        }
        let bodies: Vec<Vec<char>> = scripts.iter().map(|script| script.body().chars().collect()).collect();
        let mut at = [0, 0];
        let mut events = Vec::new();
        while at[0] < bodies[0].len() || at[1] < bodies[1].len() {
            let lane = choices.below(2);
            let lane = if at[lane] < bodies[lane].len() { lane } else { 1 - lane };
            let to = (at[lane] + choices.below(7)).min(bodies[lane].len());
            // Without decisions left, the rest comes at once.
            let to = if choices.at >= bytes.len() { bodies[lane].len() } else { to };
            let part: String = bodies[lane][at[lane]..to].iter().collect();
            at[lane] = to;
            events.push(delta(lane, &part, false));
            match choices.below(6) {
                1 => events.push("event: values\r\ndata: {\"n\": 1}\r\n\r\n".to_owned()),
                2 => events.push(": heartbeat\r\n\r\n".to_owned()),
                _ => {}
            }
        }
        events.push(delta(0, "", true));
        events.push(delta(1, "", true));
        let stream = events.concat();
        let plan = rules();
        let expected = scripts.map(|script| script.expected());
        let mut wrong = None;
        let output = in_chunks(&plan, Media::Sse, stream.as_bytes().chunks(61), |output| {
            for (lane, expected) in expected.iter().enumerate() {
                if !expected.starts_with(&joined(output, lane)) && wrong.is_none() {
                    wrong = Some(String::from_utf8_lossy(output).into_owned());
                }
            }
        }).expect("no cut");
        prop_assert_eq!(wrong, None);
        prop_assert_eq!(&joined(&output, 0), &expected[0]);
        prop_assert_eq!(&joined(&output, 1), &expected[1]);
        let count = |text: &[u8], what: &str| String::from_utf8_lossy(text).matches(what).count();
        prop_assert_eq!(count(&output, "\r\n\r\n"), events.len());
        let single = in_chunks(&plan, Media::Sse, stream.as_bytes().chunks(1), |_| ()).expect("no cut");
        prop_assert_eq!(single, output);
    }

    #[test]
    fn any_bytes_mask_alike_in_every_split(
        bytes in proptest::collection::vec(prop_oneof![
            proptest::sample::select(br#"{}[]",:\u00e@.19-+ data:event"#.to_vec()), proptest::sample::select(b"\r\n".to_vec()), any::<u8>()
        ], 0..160),
        sizes in proptest::collection::vec(1usize..20, 1..8),
    ) {
        let plan = rules();
        for media in [Media::Json, Media::Sse, Media::Ndjson, Media::Text] {
            // What is no text at all is cut, in every split.
            let whole = in_chunks(&plan, media, [bytes.as_slice()], |_| ());
            let single = in_chunks(&plan, media, bytes.chunks(1), |_| ());
            prop_assert_eq!(&single, &whole, "{:?} byte by byte", media);
            let mut chunks = Vec::new();
            let mut rest = bytes.as_slice();
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, tail) = rest.split_at((*size).min(rest.len()));
                chunks.push(chunk);
                rest = tail;
            }
            let split = in_chunks(&plan, media, chunks, |_| ());
            prop_assert_eq!(&split, &whole, "{:?} in chunks", media);
        }
    }
}

fn delta(lane: usize, content: &str, last: bool) -> String {
    let position = if last { json!("last") } else { Value::Null };
    let message = json!({"content": content, "type": "AIMessageChunk", "id": format!("m{lane}"), "tool_call_chunks": [], "chunk_position": position});
    format!("event: messages\r\ndata: {}\r\n\r\n", json!([message, {"langgraph_checkpoint_ns": "respond:1"}]))
}

fn joined(stream: &[u8], lane: usize) -> String {
    String::from_utf8_lossy(stream)
        .lines()
        .filter_map(|line| line.strip_prefix("data: ").map(str::to_owned))
        .filter_map(|data| serde_json::from_str::<Value>(&data).ok())
        .filter(|data| data.pointer("/0/id") == Some(&json!(format!("m{lane}"))))
        .filter_map(|data| data.pointer("/0/content").and_then(Value::as_str).map(str::to_owned))
        .collect()
}
