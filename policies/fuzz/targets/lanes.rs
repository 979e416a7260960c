//! A text in deltas of any cut reads, joined, as the same text in one delta.
//!
//! The input is the text; every byte 0x01 in it ends a delta, every 0x02 puts another event between two.
#![no_main]

use graphwarden_policies::masking::Media;
use graphwarden_policies_fuzz::{masked, rules};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fn delta(content: &str, last: bool) -> String {
    let position = if last { json!("last") } else { Value::Null };
    let message = json!({"content": content, "type": "AIMessageChunk", "id": "m", "chunk_position": position});
    format!("event: messages\r\ndata: {}\r\n\r\n", json!([message, {"langgraph_checkpoint_ns": "n"}]))
}

fn joined(stream: &[u8]) -> Option<String> {
    let output = masked(rules(), Media::Sse, [stream])?;
    let output = String::from_utf8(output).expect("UTF-8");
    Some(
        output
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str::<Value>(data).expect("the payload stays JSON"))
            .filter_map(|data| data.pointer("/0/content").and_then(Value::as_str).map(str::to_owned))
            .collect(),
    )
}

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // A delta beyond the limit of an event stands alone.
    if text.len() > 200 {
        return;
    }
    let mut stream = String::new();
    for (index, part) in text.split(['\u{1}', '\u{2}']).enumerate() {
        if index % 3 == 2 {
            stream.push_str(": heartbeat\r\n\r\nevent: values\r\ndata: [0]\r\n\r\n");
        }
        stream.push_str(&delta(part, false));
    }
    stream.push_str(&delta("", true));
    let at_once = delta(&text.replace(['\u{1}', '\u{2}'], ""), false) + &delta("", true);
    assert_eq!(joined(stream.as_bytes()), joined(at_once.as_bytes()));
});
