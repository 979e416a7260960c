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
