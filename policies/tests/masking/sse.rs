//! Server-sent events: framing stays, payloads are masked.

use graphwarden_policies::masking::Media;
use serde_json::json;

use crate::split::{every_way, in_chunks, plan, whole};

fn masked(body: &str) -> String {
    every_way(&plan(json!({"limits": {"event": "1KiB"}})), Media::Sse, body.as_bytes())
}

#[test]
fn framing_stays_byte_for_byte() {
    for body in [
        "",
        "\r\n\r\n",
        ": heartbeat\r\n\r\n",
        "event: metadata\r\ndata: {\"run_id\":\"01a20313-eca6-7508-b110-955be1bdf8d4\",\"attempt\":1}\r\n\r\n",
        "data:{\"a\":1}\n\ndata: {\"a\":2}\r\rdata:  {\"a\":3}\r\n\r\n",
        "\u{feff}data: {\"a\":1}\nid: 4111111111111111\nretry: 4111111111111111\n\n",
        "data\n\ndata:\n\ndata\r\rdata: \r\n\r\n",
        ":\n:x\nevent: y\n: z\ndata: 1\n: w\ndata: 2\n\n",
        "data: [DONE]\n\n",
        "data: {\"a\":\ndata: 1,\ndata:  \"b\": 2}\n\n",
        "unknown: x\nnocolon\ndata: 1",
        "\u{feff}",
        "event: values",
        "id: 1795348013637-0\r\ndata: {}\r\n\r\n",
    ] {
        assert_eq!(masked(body), body, "{body:?}");
    }
}

#[test]
fn payloads_are_masked_as_json() {
    assert_eq!(
        masked(
            "event: custom\r\ndata: {\"mail\":\"zoe\\u0040example.com\",\"card\":4111111111111111}\r\nid: 1\r\n\r\n"
        ),
        "event: custom\r\ndata: {\"mail\":\"[EMAIL]\",\"card\":\"[PAYMENT_CARD]\"}\r\nid: 1\r\n\r\n"
    );
}

#[test]
fn data_lines_are_one_payload() {
    assert_eq!(
        masked("data: {\"mail\":\ndata:\"zoe@example.com\",\r\ndata: \"x\": 4111111111111111\rdata: }\n\n"),
        "data: {\"mail\":\ndata:\"[EMAIL]\",\r\ndata: \"x\": \"[PAYMENT_CARD]\"\rdata: }\n\n"
    );
}

#[test]
fn payloads_that_are_no_json_are_text() {
    assert_eq!(masked("data: call zoe@example.com\ndata: now\n\n"), "data: call [EMAIL]\ndata: now\n\n");
    assert_eq!(
        masked("event: error\ndata: zoe@example.com failed\n\n"),
        "event: error\ndata: [EMAIL] failed\n\n"
    );
}

#[test]
fn comments_and_unknown_fields_are_text() {
    assert_eq!(
        masked(
            ": zoe@example.com\nwho: tom@example.com\nzoe@example.com\ndata: 1\n: zoe@example.com\ndata: 2\n\n"
        ),
        ": [EMAIL]\nwho: [EMAIL]\n[EMAIL]\ndata: 1\n: [EMAIL]\ndata: 2\n\n"
    );
}

#[test]
fn names_and_ids_stay_and_what_is_neither_is_text() {
    for body in [
        "event: messages|child:38ec-01\r\nid: 1795348013637-0\nretry: 500\ndata: {}\n\n",
        "data: 1\nevent:updates|call_model:1f\nid\n\n",
        "event: call model: again\ndata: {}\n\n",
    ] {
        assert_eq!(masked(body), body, "{body:?}");
    }
    assert_eq!(
        masked(
            "event: zoe@example.com\r\nid: 1 zoe@example.com\nretry:zoe@example.com\ndata: 1\nid: call 4111 1111 1111 1111\n\nid: zoe@example.com"
        ),
        "event: [EMAIL]\r\nid: 1 [EMAIL]\nretry:[EMAIL]\ndata: 1\nid: call [PAYMENT_CARD]\n\nid: [EMAIL]"
    );
    // Too long for a name: it streams as text.
    let long = format!("event: {}zoe@example.com\ndata: {{}}\n\n", "x".repeat(2_000) + " ");
    assert_eq!(masked(&long), long.replace("zoe@example.com", "[EMAIL]"));
}

#[test]
fn a_large_event_streams_through() {
    let body = format!(
        "event: values\r\ndata: {{\"pad\":\"{}\",\"mail\":\"zoe@example.com\",\"more\":\"{}\"}}\r\nid: 9\r\n\r\n: heartbeat\r\n\r\n",
        "lorem ipsum ".repeat(100),
        "dolor sit ".repeat(100)
    );
    let plan = plan(json!({"limits": {"event": "1KiB"}}));
    assert_eq!(every_way(&plan, Media::Sse, body.as_bytes()), body.replace("zoe@example.com", "[EMAIL]"));
    // Half of it is out before the other half is in.
    let (first, second) = body.split_at(body.len() / 2);
    let mut seen = Vec::new();
    in_chunks(&plan, Media::Sse, [first.as_bytes(), second.as_bytes()], |output| seen.push(output.len()))
        .expect("no cut");
    assert!(seen.first().is_some_and(|seen| seen + 64 >= body.len() / 2), "{seen:?}");
}

#[test]
fn an_event_without_its_end_is_masked_at_the_end_of_the_stream() {
    assert_eq!(masked("data: {\"a\":\"zoe@example.com"), "data: {\"a\":\"[EMAIL]");
    assert_eq!(masked("data: zoe@example.com"), "data: [EMAIL]");
    assert_eq!(masked("zoe@example.com"), "[EMAIL]");
}

#[test]
fn a_comment_leaves_at_its_line_end() {
    let plan = plan(json!({}));
    let mut masker = plan.open(Media::Sse);
    let mut output = Vec::new();
    masker.push(b": heartbeat\r\n", &mut output).expect("no cut");
    assert_eq!(output, b": heartbeat\r\n");
    assert_eq!(whole(&plan, Media::Sse, b": heartbeat\n"), b": heartbeat\n");
}
