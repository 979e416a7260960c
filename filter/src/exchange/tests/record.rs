//! What is written down about an exchange.

use serde_json::json;

use super::super::*;
use super::rig::{Rig, THREAD, bare};

#[test]
fn the_outcome_names_who_what_why_and_how_it_ended() {
    let mut rig = Rig::new();
    rig.run("support");
    rig.deliver();
    let delivered = rig.now.since(Moment(super::rig::START));
    let location = format!("/threads/{THREAD}/runs/22222222-2222-4222-8222-222222222222");
    rig.respond(200, &[("content-type", "application/json"), ("content-location", &location)], false);
    rig.chunk(b"{}", true);
    rig.later(std::time::Duration::from_millis(1_500));
    let outcome = rig.outcome(Departure::Reset);
    assert_eq!(outcome["exchange"], "exchange-1");
    assert_eq!(outcome["actor"]["subject"], "alice");
    assert_eq!(outcome["token"]["alg"], "EdDSA");
    assert_eq!(outcome["source"]["address"], "192.0.2.1:4711");
    assert_eq!(outcome["request"]["method"], "POST");
    assert_eq!(outcome["request"]["path"], format!("/threads/{THREAD}/runs/wait"));
    assert_eq!(outcome["operations"][0]["operation"], "threads.create_run");
    assert_eq!(outcome["operations"][0]["thread"], THREAD);
    assert_eq!(outcome["operations"][0]["run"], "22222222-2222-4222-8222-222222222222");
    assert_eq!(outcome["decision"], json!({ "effect": "allow", "rule": "support" }));
    assert_eq!(outcome["response"]["status"], 200);
    let lasted = delivered.as_micros() + 1_500_000;
    assert_eq!(outcome["response"]["duration_us"], u64::try_from(lasted).unwrap());
}

#[test]
fn no_line_holds_a_token_a_query_or_an_unmasked_value() {
    let mut rig = Rig::new();
    let path = format!("/threads/{THREAD}/runs/wait?secret=zoe@example.com");
    let pairs = rig.request("POST", &path, &[]);
    let token = rig.token(super::rig::IDP);
    rig.headers(pairs, false);
    rig.body(br#"{"assistant_id":"support","input":{"mail":"zoe@example.com"}}"#, true);
    let mut lines = rig.deliver();
    rig.respond(200, &[("content-type", "application/json")], false);
    rig.chunk(br#"{"mail":"zoe@example.com"}"#, true);
    rig.on(Event::Gone(Departure::Reset));
    lines.extend(rig.deliver());
    assert!(lines.len() >= 3 || rig.state() == "Closed");
    for line in lines {
        let text = line.to_string();
        assert!(!text.contains("zoe@example.com"), "{text}");
        assert!(!text.contains(&token), "{text}");
    }
}

#[test]
fn an_exchange_that_was_never_begun_leaves_no_line() {
    let mut rig = Rig::new();
    rig.on(Event::Gone(Departure::Client));
    assert!(rig.deliver().is_empty());
}

#[test]
fn what_a_client_sends_is_cut_to_size() {
    let mut rig = Rig::new();
    let long = "a".repeat(10_000);
    rig.headers(bare("GET", &format!("/{long}"), &[("user-agent", &long)]), true);
    let outcome = rig.outcome(Departure::Reset);
    assert!(outcome.to_string().len() < 4_000, "{outcome}");
}

#[test]
fn a_body_over_the_limit_is_cut_and_its_digest_covers_the_whole() {
    let mut rig = Rig::with(|document| document["evidence"]["body"] = json!({ "limit": "4B" }));
    rig.get(&format!("/threads/{THREAD}/state"));
    rig.respond(200, &[("content-type", "application/json")], false);
    rig.chunk(b"[1,", false);
    rig.chunk(b"2,3", false);
    rig.chunk(b",4]", true);
    let response = rig.outcome(Departure::Reset)["response"].take();
    assert_eq!(response["body"], "[1,2");
    assert_eq!(response["body_truncated"], true);
    assert_eq!(response["bytes"], 9);
    assert_eq!(response["body_sha256"], graphwarden_policies::evidence::sha256_hex(b"[1,2,3,4]"));
}

#[test]
fn debug_shows_no_header_of_the_request() {
    let mut rig = Rig::new();
    let pairs = rig.request("POST", "/threads/search", &[]);
    rig.headers(pairs, false);
    let shown = format!("{:?}", rig.exchange);
    let token = rig.token(super::rig::IDP);
    assert!(!shown.contains(&token), "{shown}");
    assert!(!shown.contains(&format!("{:?}", token.as_bytes())), "the token's bytes are shown");
}

/// Pieces of a stream at these milliseconds after the response began, and the lines that come of them.
fn stream(rig: &mut Rig, pieces: &[(u64, &str)]) -> Vec<serde_json::Value> {
    rig.respond(200, &[("content-type", "text/event-stream")], false);
    let began = rig.now;
    let mut lines = Vec::new();
    for (index, (at, piece)) in pieces.iter().enumerate() {
        rig.now = began.after(std::time::Duration::from_millis(*at));
        if rig.exchange.wait().until.is_some_and(|until| until <= rig.now) {
            rig.on(Event::Tick);
        }
        rig.chunk(piece.as_bytes(), index + 1 == pieces.len());
    }
    rig.on(Event::Gone(Departure::Reset));
    lines.extend(rig.deliver());
    lines
}

#[test]
fn a_stream_is_recorded_while_it_flows() {
    let mut rig = Rig::new();
    rig.run("support");
    let mut lines = rig.deliver();
    let held = rig.now.since(Moment(super::rig::START)).as_millis();
    lines.extend(stream(
        &mut rig,
        &[
            (0, "event: metadata\ndata: {\"run_id\":\"22222222-2222-4222-8222-222222222222\"}\n\n"),
            (400, "event: values\ndata: {\"mail\":\"zoe@example.com\"}\n\n"),
            (1_500, "event: values\ndata: {\"a\":2}\n\n"),
            (1_600, "event: end\n\n"),
        ],
    ));
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["start", "admission", "segment", "segment", "outcome"]);
    let (one, two, outcome) = (&lines[2]["segment"], &lines[3]["segment"], &lines[4]);
    assert_eq!((&one["index"], &two["index"]), (&json!(0), &json!(1)));
    assert_eq!(one["pieces"].as_array().unwrap().len(), 2, "what came within a second is one segment");
    assert_eq!(two["pieces"][0][0], json!(held + 1_500), "offsets count from the request");
    let text: String = [one, two]
        .iter()
        .flat_map(|segment| segment["pieces"].as_array().unwrap())
        .map(|piece| piece[1].as_str().unwrap())
        .collect();
    assert!(!text.contains("zoe") && text.ends_with("event: end\n\n"), "{text}");
    assert_eq!(outcome["operations"][0]["run"], "22222222-2222-4222-8222-222222222222");
    let response = &outcome["response"];
    assert_eq!((&response["segments"], &response["body"]), (&json!(2), &json!(null)));
    assert_eq!(response["body_sha256"], graphwarden_policies::evidence::sha256_hex(text.as_bytes()));
    assert_eq!(response["bytes"], text.len());
    assert!(lines.iter().all(|line| line["exchange"] == "exchange-1" || line["kind"] == "start"));
}

#[test]
fn a_quiet_stream_is_written_without_waiting_for_more() {
    let mut rig = Rig::new();
    rig.run("support");
    rig.deliver();
    rig.respond(200, &[("content-type", "text/event-stream")], false);
    rig.chunk(b"event: values\ndata: 1\n\n", false);
    assert!(rig.deliver().is_empty(), "it may still grow");
    rig.wait_out();
    assert_eq!(rig.deliver()[0]["kind"], "segment");
    assert_eq!(rig.exchange.wait(), Wait::default());
}

#[test]
fn a_stream_that_was_only_read_says_first_who_reads_it() {
    let mut rig = Rig::new();
    rig.get(&format!("/threads/{THREAD}/state"));
    let lines = stream(&mut rig, &[(0, "event: values\ndata: 1\n\n")]);
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["start", "admission", "segment", "outcome"]);
    assert_eq!(lines[1]["actor"]["subject"], "alice");
}

#[test]
fn a_stream_over_the_limit_is_cut_and_its_digest_covers_the_whole() {
    let mut rig = Rig::with(|document| document["evidence"]["body"] = json!({ "stream": "10B" }));
    rig.run("support");
    rig.deliver();
    let pieces = [(0, "data: 12345\n\n"), (1, "data: 67890\n\n")];
    let lines = stream(&mut rig, &pieces);
    assert_eq!(lines[0]["segment"]["pieces"], json!([[lines[0]["segment"]["pieces"][0][0], "data: 1234"]]));
    let response = &lines[1]["response"];
    assert_eq!((&response["segments"], &response["body_truncated"]), (&json!(1), &json!(true)));
    let whole: String = pieces.iter().map(|piece| piece.1).collect();
    assert_eq!(response["body_sha256"], graphwarden_policies::evidence::sha256_hex(whole.as_bytes()));
}

#[test]
fn a_stream_without_room_in_the_queue_goes_on_and_says_so() {
    let mut rig = Rig::with(|document| document["evidence"]["queue"] = json!("64KiB"));
    rig.run("support");
    rig.deliver();
    let long = format!("data: {}\n\n", "x".repeat(30_000));
    rig.respond(200, &[("content-type", "text/event-stream")], false);
    for _ in 0..4 {
        assert_eq!(rig.chunk(long.as_bytes(), false).len(), 0, "the caller's bytes are not touched");
    }
    rig.chunk(b"data: 1\n\n", true);
    rig.on(Event::Gone(Departure::Reset));
    let lines = rig.deliver();
    let outcome = lines.last().unwrap();
    assert_eq!(outcome["kind"], "outcome");
    assert_eq!(outcome["response"]["segments"], lines.len() - 1);
    assert_eq!(outcome["response"]["body_truncated"], true);
    assert!((1..4).contains(&(lines.len() - 1)), "{} segments", lines.len() - 1);
}

#[test]
fn the_proxys_own_log_is_told_only_where_the_policy_says_so() {
    let mut rig = Rig::with(|document| document["evidence"]["filter_state"] = json!(true));
    rig.get(&format!("/threads/{THREAD}/state"));
    rig.respond(200, &[("content-type", "application/json")], false);
    rig.chunk(b"[\"zoe@example.com\"]", true);
    let effects = rig.on(Event::Gone(Departure::Reset));
    let Some(Effect::Publish(fields)) = effects.first() else { panic!("{effects:?}") };
    let field = |name: &str| fields.iter().find(|field| field.0 == name).map(|field| field.1.as_str());
    assert_eq!(field("graphwarden.subject"), Some("alice"));
    assert_eq!(field("graphwarden.operation"), Some("threads.read"));
    assert_eq!(field("graphwarden.decision"), Some("allow"));
    assert_eq!(field("graphwarden.masked"), Some("email=1"));
    assert_eq!(field("graphwarden.reason"), None);
    let mut rig = Rig::new();
    rig.get(&format!("/threads/{THREAD}/state"));
    assert!(!rig.on(Event::Gone(Departure::Reset)).iter().any(|effect| matches!(effect, Effect::Publish(_))));
}
