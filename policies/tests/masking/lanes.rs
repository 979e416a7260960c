//! Texts that grow over several events.

use graphwarden_policies::masking::{Media, Plan};
use serde_json::{Value, json};

use crate::split::{every_way, plan};

fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\r\ndata: {data}\r\n\r\n")
}

/// A delta of LangGraph's `messages-tuple` mode.
fn delta(id: &str, content: &str) -> String {
    chunk(
        json!({"content": content, "type": "AIMessageChunk", "id": id, "tool_calls": [], "tool_call_chunks": [], "chunk_position": null}),
    )
}

fn last() -> String {
    chunk(
        json!({"content": "", "type": "AIMessageChunk", "id": "lc_run--1", "tool_call_chunks": [], "chunk_position": "last"}),
    )
}

fn chunk(message: Value) -> String {
    event("messages", &json!([message, {"langgraph_checkpoint_ns": "respond:1", "run_id": "r"}]))
}

/// The values at a pointer into each event's data, joined.
fn joined(stream: &str, pointer: &str) -> String {
    data(stream)
        .iter()
        .filter_map(|data| data.pointer(pointer).and_then(Value::as_str).map(str::to_owned))
        .collect()
}

fn data(stream: &str) -> Vec<Value> {
    stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect()
}

fn masked(stream: &str) -> String {
    every_way(&plan(json!({})), Media::Sse, stream.as_bytes())
}

/// How many bytes are out after each event has come in.
fn progress(plan: &Plan, events: &[String]) -> Vec<String> {
    let mut masker = plan.open(Media::Sse);
    let mut outputs = Vec::new();
    for event in events {
        let mut output = Vec::new();
        masker.push(event.as_bytes(), &mut output).expect("no cut");
        outputs.push(String::from_utf8(output).expect("UTF-8"));
    }
    let mut output = Vec::new();
    masker.finish(&mut output).expect("no cut");
    outputs.push(String::from_utf8(output).expect("UTF-8"));
    outputs
}

#[test]
fn a_value_split_over_deltas_is_masked() {
    let parts =
        ["Her SSN is ", "219-0", "9-999", "9 and mail zo", "e.ob", "rien@", "examp", "le.co", "m or", " so."];
    let stream: String = parts.iter().map(|part| delta("m1", part)).chain([last()]).collect();
    let masked = masked(&stream);
    assert_eq!(joined(&masked, "/0/content"), "Her SSN is [US_SSN] and mail [EMAIL] or so.");
    assert_eq!(data(&masked).len(), parts.len() + 1, "no event is lost");
}

#[test]
fn nothing_of_a_split_value_is_ever_out() {
    let events: Vec<String> =
        ["card 41", "11 1111 ", "1111 1111", " ok", " fine"].iter().map(|part| delta("m1", part)).collect();
    let outputs = progress(&plan(json!({})), &events);
    let mut seen = String::new();
    for output in &outputs {
        seen.push_str(output);
        assert!(!joined(&seen, "/0/content").contains("41"), "{seen}");
    }
    assert_eq!(joined(&seen, "/0/content"), "card [PAYMENT_CARD] ok fine");
}

#[test]
fn an_event_waits_for_its_tail_and_keeps_its_order_and_comments_go_on() {
    let values = event("values", &json!({"n": 1}));
    let events = [
        delta("m1", "mail zoe@"),
        values.clone(),
        ": heartbeat\r\n\r\n".to_owned(),
        delta("m1", "example.com!"),
        delta("m1", " x "),
    ];
    let outputs = progress(&plan(json!({})), &events);
    assert_eq!(outputs.first().map(String::as_str), Some(""), "its tail may begin a value");
    assert_eq!(outputs.get(1).map(String::as_str), Some(""), "order is kept");
    assert_eq!(outputs.get(2).map(String::as_str), Some(": heartbeat\r\n\r\n"));
    let fourth = outputs.get(3).expect("an output");
    assert!(fourth.find("mail").expect("the first") < fourth.find(&values).expect("the second"));
    let all = outputs.concat();
    assert_eq!(joined(&all, "/0/content"), "mail [EMAIL]! x ");
}

#[test]
fn the_last_delta_resolves_its_message_under_another_id() {
    let outputs = progress(&plan(json!({})), &[delta("m1", "call me"), last()]);
    assert_eq!(outputs.first().map(String::as_str), Some(""));
    assert_eq!(joined(outputs.get(1).expect("an output"), "/0/content"), "call me", "{outputs:?}");
}

#[test]
fn where_two_messages_are_open_the_last_delta_resolves_neither() {
    let outputs = progress(
        &plan(json!({})),
        &[delta("m1", "219-0"), delta("m2", "219-0"), last(), delta("m1", "9-9999 "), delta("m2", "9-9999 ")],
    );
    let all = outputs.concat();
    assert!(!all.contains("219"), "{all}");
    assert_eq!(joined(&all, "/0/content"), "[US_SSN] [US_SSN] ");
}

#[test]
fn an_error_event_resolves_everything() {
    let outputs = progress(
        &plan(json!({})),
        &[delta("m1", "call me"), event("error", &json!({"error": "E", "message": "zoe@example.com"}))],
    );
    let second = outputs.get(1).expect("an output");
    assert!(second.contains("call me") && second.contains("[EMAIL]"), "{second}");
}

#[test]
fn the_end_of_the_stream_resolves_everything() {
    let outputs = progress(&plan(json!({})), &[delta("m1", "219-09-9999")]);
    assert_eq!(joined(outputs.last().expect("an output"), "/0/content"), "[US_SSN]");
}

#[test]
fn interleaved_messages_and_subgraphs_are_lanes_of_their_own() {
    let sub = |content: &str| delta("m1", content).replace("event: messages", "event: messages|child:1");
    let stream = [
        delta("m1", "219-"),
        delta("m2", "zoe@"),
        sub("411"),
        delta("m1", "09-9999 "),
        sub("1 1111 1111 1111 "),
        delta("m2", "example.com "),
    ]
    .concat();
    let masked = masked(&stream);
    assert_eq!(joined(&masked, "/0/content"), "[US_SSN] [PAYMENT_CARD] [EMAIL] ");
    assert!(!masked.contains("411") && !masked.contains("219"), "{masked}");
}

#[test]
fn content_blocks_grow_by_their_index() {
    let block = |index: u32, text: &str| {
        chunk(
            json!({"content": [{"type": "text", "text": text, "index": index}], "type": "AIMessageChunk", "id": "m"}),
        )
    };
    let stream = [
        block(0, "SSN "),
        block(0, "219-"),
        block(1, "zoe@exa"),
        block(0, "09-9"),
        block(1, "mple.com,"),
        block(0, "999,"),
    ]
    .concat();
    let masked = masked(&stream);
    // Each value leaves in the event that completes it.
    assert_eq!(joined(&masked, "/0/content/0/text"), "SSN [EMAIL],[US_SSN],");
}

#[test]
fn tool_call_arguments_grow_as_json_and_obey_field_rules() {
    let fragment = |args: &str, index: u32| {
        chunk(json!({
            "content": "", "type": "AIMessageChunk", "id": "m", "tool_calls": [],
            "invalid_tool_calls": [{"name": null, "args": args, "id": null, "error": null, "type": "invalid_tool_call"}],
            "tool_call_chunks": [{"name": null, "args": args, "id": null, "index": index, "type": "tool_call_chunk"}]
        }))
    };
    let parts = [
        "{\"emai",
        "l\": \"z",
        "oe\\u00",
        "40ex",
        "ample.com\", \"pi",
        "n\": \"12",
        "34\", \"ok\": tr",
        "ue}",
    ];
    let other = ["{\"card\"", ": \"411", "1 1111", " 1111 ", "1111\"}"];
    let mut stream = String::new();
    for (at, part) in parts.iter().enumerate() {
        stream.push_str(&fragment(part, 0));
        if let Some(other) = other.get(at) {
            stream.push_str(&fragment(other, 1));
        }
    }
    stream.push_str(&last());
    let masked = every_way(&plan(json!({"keys": ["pin"]})), Media::Sse, stream.as_bytes());
    for path in ["tool_call_chunks", "invalid_tool_calls"] {
        let of = |index: u64| -> String {
            data(&masked)
                .iter()
                .filter(|data| {
                    data.pointer("/0/tool_call_chunks/0/index").and_then(Value::as_u64) == Some(index)
                })
                .filter_map(|data| {
                    data.pointer(&format!("/0/{path}/0/args")).and_then(Value::as_str).map(str::to_owned)
                })
                .collect()
        };
        assert_eq!(of(0), "{\"email\": \"[EMAIL]\", \"pin\": \"[MASKED]\", \"ok\": true}", "{path}");
        assert_eq!(of(1), "{\"card\": \"[PAYMENT_CARD]\"}", "{path}");
    }
}

#[test]
fn half_parsed_arguments_are_withheld_and_whole_ones_are_not() {
    let call = |args: &str, parsed: Value| {
        chunk(json!({
            "content": "", "type": "AIMessageChunk", "id": "m", "tool_calls": [{"name": "f", "args": parsed, "id": "c"}],
            "tool_call_chunks": [{"name": "f", "args": args, "id": "c", "index": 0}]
        }))
    };
    let half = masked(&[call("{\"ssn\": \"219-09-", json!({"ssn": "219-09-"})), last()].concat());
    assert_eq!(joined(&half, "/0/tool_calls/0/args/ssn"), "");
    assert_eq!(joined(&half, "/0/tool_calls/0/name"), "f");
    let full = masked(&[call("{\"city\": \"Paris\"}", json!({"city": "Paris"})), last()].concat());
    assert_eq!(joined(&full, "/0/tool_calls/0/args/city"), "Paris");
}

#[test]
fn of_a_cumulative_text_the_undecided_tail_is_withheld() {
    let partial = |text: &str| {
        event(
            "messages/partial",
            &json!([{"content": text, "type": "ai", "id": "m", "tool_calls": [{"name": "charge", "args": {"card": text}, "id": "c"}]}]),
        )
    };
    let texts = ["mail ", "mail zoe.obr", "mail zoe.obrien@exam", "mail zoe.obrien@example.com, ok "];
    let stream: String = texts.iter().map(|text| partial(text)).collect();
    let masked = masked(&stream);
    let contents: Vec<String> = data(&masked)
        .iter()
        .map(|data| data.pointer("/0/content").and_then(Value::as_str).expect("content").to_owned())
        .collect();
    assert_eq!(contents, ["mail ", "mail ", "mail ", "mail [EMAIL], ok "]);
    assert!(data(&masked).iter().all(|data| data.pointer("/0/type") == Some(&json!("ai"))));
    let complete = event("messages/complete", &json!([{"content": "ends in zoe", "type": "ai", "id": "m"}]));
    assert_eq!(self::masked(&complete), complete);
}

#[test]
fn other_servers_deltas_are_joined_too() {
    let openai = |content: &str| {
        format!(
            "data: {}\n\n",
            json!({"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": null}]})
        )
    };
    let responses = |delta: &str| {
        event(
            "response.output_text.delta",
            &json!({"type": "response.output_text.delta", "item_id": "i", "delta": delta}),
        )
    };
    let anthropic = |text: &str| {
        event(
            "content_block_delta",
            &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
        )
    };
    let protocol = |text: &str| {
        event(
            "messages",
            &json!({"type": "event", "method": "messages", "seq": 1, "params": {"namespace": ["a:1"], "data": {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": text}}}}),
        )
    };
    let artifact = |text: &str| {
        event(
            "message",
            &json!({"jsonrpc": "2.0", "id": "1", "result": {"kind": "artifact-update", "append": true, "lastChunk": false, "artifact": {"artifactId": "a", "parts": [{"kind": "text", "text": text}]}}}),
        )
    };
    let runnable = |text: &str| {
        event(
            "events",
            &json!({"event": "on_chat_model_stream", "run_id": "r", "data": {"chunk": {"content": text, "type": "AIMessageChunk", "id": "m"}}}),
        )
    };
    let shapes: [&dyn Fn(&str) -> String; 6] =
        [&openai, &responses, &anthropic, &protocol, &artifact, &runnable];
    for shape in shapes {
        let stream: String = ["to zoe", "@exam", "ple.com", " and 21", "9-09-99", "99, bye "]
            .iter()
            .map(|part| shape(part))
            .collect();
        let masked = masked(&stream);
        let text: String = [
            "/choices/0/delta/content",
            "/delta/text",
            "/delta",
            "/params/data/delta/text",
            "/result/artifact/parts/0/text",
            "/data/chunk/content",
        ]
        .iter()
        .map(|pointer| joined(&masked, pointer))
        .collect();
        assert_eq!(text, "to [EMAIL] and [US_SSN], bye ", "{stream}");
    }
}

#[test]
fn a_status_update_of_a2a_is_cumulative() {
    let update = |text: &str, last: bool| {
        event(
            "message",
            &json!({"result": {"kind": "status-update", "status": {"state": "working", "message": {"parts": [{"kind": "text", "text": text}], "messageId": text.len().to_string()}}, "final": last}}),
        )
    };
    let stream: String = [
        update("at zoe.ob", false),
        update("at zoe.obrien@example.co", false),
        update("at zoe.obrien@example.com", true),
    ]
    .concat();
    let masked = masked(&stream);
    assert_eq!(joined(&masked, "/result/status/message/parts/0/text"), "at at at [EMAIL]");
}

#[test]
fn a_stalled_lane_is_muted_when_too_much_waits() {
    let plan = plan(json!({"limits": {"held": "16KiB"}}));
    let mut events = vec![delta("m1", "219-0")];
    let filler = event("values", &json!({"pad": "x ".repeat(900)}));
    events.extend(std::iter::repeat_n(filler, 30));
    events.push(delta("m1", "9-9999 "));
    let all = progress(&plan, &events).concat();
    assert_eq!(joined(&all, "/0/content"), "[MASKED]");
    assert_eq!(data(&all).len(), events.len(), "the others go on");
}

#[test]
fn lanes_beyond_the_limit_are_muted() {
    let plan = plan(json!({"limits": {"lanes": 2}}));
    let events: Vec<String> = (0..4)
        .map(|message| delta(&format!("m{message}"), "219-0"))
        .chain((0..4).map(|message| delta(&format!("m{message}"), "9-9999 ")))
        .collect();
    let all = progress(&plan, &events).concat();
    assert_eq!(joined(&all, "/0/content").matches("219").count(), 0, "{all}");
    assert_eq!(joined(&all, "/0/content").matches("9999").count(), 0, "{all}");
}

#[test]
fn a_value_split_at_the_edge_of_a_large_event_is_masked() {
    let long = "so it goes. ".repeat(3500);
    assert!(long.len() > 32 << 10, "larger than an event that is surveyed wherever it stands");
    let stream = [
        delta("m1", &format!("{long}SSN 219-0")),
        delta("m1", "9-9999, "),
        delta("m1", "mail zoe@"),
        delta("m1", &format!("example.com {long}")),
        last(),
    ]
    .concat();
    let masked = every_way(&plan(json!({})), Media::Sse, stream.as_bytes());
    assert_eq!(joined(&masked, "/0/content"), format!("{long}SSN [US_SSN], mail [EMAIL] {long}"));
}

/// An event of more than may be held back, which is 16 KiB here.
fn too_large(before: &str, after: &str) -> String {
    delta("m1", &format!("{before}{}{after}", "so it goes. ".repeat(2000)))
}

#[test]
fn nothing_of_a_value_leaves_where_an_event_is_too_large_to_be_joined() {
    let plan = plan(json!({"limits": {"event": "1KiB", "held": "16KiB"}}));
    for events in [
        vec![too_large("", "SSN 219-0"), delta("m1", "9-9999 "), last()],
        vec![delta("m1", "SSN 219-0"), too_large("9-9999 ", "it is"), last()],
        vec![delta("m1", "SSN 219-0"), delta("m2", "call "), too_large("9-9999 ", "it is"), last()],
    ] {
        let stream = events.concat();
        for size in [1, 100, 4096, stream.len()] {
            let mut masker = plan.open(Media::Sse);
            let mut output = Vec::new();
            let cut = stream.as_bytes().chunks(size).find_map(|chunk| masker.push(chunk, &mut output).err());
            assert!(cut.is_some_and(|cut| cut.why.contains("growing text")), "{cut:?} in chunks of {size}");
            let output = String::from_utf8_lossy(&output);
            assert!(!output.contains("219") && !output.contains("9999"), "chunks of {size}: {output}");
        }
    }
}

#[test]
fn a_large_event_in_which_nothing_grows_streams_through() {
    let plan = plan(json!({"limits": {"event": "1KiB", "held": "16KiB"}}));
    let state = json!({"messages": [{"content": "so it goes. ".repeat(3000), "type": "ai", "args": {"a": "b. "}}], "end": "zoe@example.com"});
    for name in ["values", "updates|child:1"] {
        let stream = event(name, &state);
        let masked = every_way(&plan, Media::Sse, stream.as_bytes());
        assert_eq!(masked, stream.replace("zoe@example.com", "[EMAIL]"));
    }
    // Of any other what could go on is left out of texts, and the stream goes on.
    let stream = [
        event("custom", &json!({"content": format!("{}end", "so it goes. ".repeat(3000)), "id": "x"})),
        delta("m", "ok. "),
    ]
    .concat();
    let masked = every_way(&plan, Media::Sse, stream.as_bytes());
    assert_eq!(masked, stream.replacen(" end\"", " \"", 1));
}
