//! After forwarding: what comes back is masked as it streams by, refused, or passes.

use serde_json::{Value, json};

use super::super::*;
use super::rig::{Rig, THREAD};

const JSON: (&str, &str) = ("content-type", "application/json");

fn forwarded() -> Rig {
    let mut rig = Rig::new();
    rig.get(&format!("/threads/{THREAD}/state"));
    rig
}

#[test]
fn json_is_masked_piece_by_piece_and_counted() {
    let mut rig = forwarded();
    let effects = rig.respond(200, &[JSON, ("content-length", "31"), ("etag", "\"x\"")], false);
    assert!(effects.contains(&Effect::EditResponse(vec![
        Edit::Remove("content-length".to_owned()),
        Edit::Remove("etag".to_owned()),
    ])));
    let mut out = Vec::new();
    let whole = br#"{"mail":"zoe@example.com","n":1}"#;
    for (index, byte) in whole.iter().enumerate() {
        let effects = rig.chunk(&[*byte], index + 1 == whole.len());
        assert_eq!(rig.flow, Flow::Continue);
        out.extend_from_slice(Rig::piece(&effects, &[*byte]));
    }
    let out = String::from_utf8(out).unwrap();
    assert!(!out.contains("zoe") && out.contains("\"n\":1"), "{out}");
    assert_eq!(rig.state(), "Finished");
    assert!(rig.effects.contains(&Effect::Count(Metric::Masked("email".to_owned()), 1)));
    let outcome = rig.outcome(Departure::Reset);
    assert_eq!(outcome["response"]["masked"], json!({ "email": 1 }));
    assert_eq!(outcome["response"]["end"], "complete");
    assert_eq!(outcome["response"]["bytes"], out.len());
    assert_eq!(outcome["response"]["body"], out);
}

#[test]
fn an_event_without_anything_to_mask_leaves_at_once() {
    let mut rig = forwarded();
    rig.respond(200, &[("content-type", "text/event-stream")], false);
    let event = b"event: values\r\ndata: {\"a\":1}\r\n\r\n";
    let effects = rig.chunk(event, false);
    assert_eq!(Rig::piece(&effects, event), event);
    assert_eq!((rig.state(), rig.flow), ("Masking", Flow::Continue));
}

#[test]
fn trailers_finish_a_masked_response() {
    let mut rig = forwarded();
    rig.respond(200, &[JSON], false);
    let piece = br#"{"mail":"zoe@example.com"}"#;
    let effects = rig.chunk(piece, false);
    let out = String::from_utf8_lossy(Rig::piece(&effects, piece)).into_owned();
    assert!(!out.contains("zoe"), "{out}");
    rig.on(Event::ResponseTrailers);
    assert_eq!((rig.state(), rig.flow), ("Finished", Flow::Continue));
}

#[test]
fn what_trailers_find_still_held_back_cuts_the_response() {
    let mut rig = forwarded();
    rig.respond(200, &[("content-type", "text/plain")], false);
    let piece = b"write to zoe@example.co";
    let effects = rig.chunk(piece, false);
    assert!(!String::from_utf8_lossy(Rig::piece(&effects, piece)).contains("zoe@"));
    rig.on(Event::ResponseTrailers);
    assert_eq!((rig.state(), rig.flow), ("Cut", Flow::Pause));
}

#[test]
fn a_response_that_cannot_be_masked_is_refused_before_its_headers_leave() {
    for headers in [
        &[("content-type", "image/png")][..],
        &[JSON, ("content-encoding", "gzip")],
        &[JSON, ("content-encoding", "identity"), ("content-encoding", "br")],
        &[],
    ] {
        let mut rig = forwarded();
        rig.respond(200, headers, false);
        assert_eq!(rig.reply(), Some((502, "response_unmaskable".to_owned())), "{headers:?}");
        assert_eq!(rig.flow, Flow::Pause);
    }
}

#[test]
fn a_policy_can_let_pass_what_cannot_be_masked() {
    let mut rig = Rig::with(|document| document["masking"]["unmaskable"] = json!("pass"));
    rig.get(&format!("/threads/{THREAD}/state"));
    rig.respond(200, &[("content-type", "image/png")], false);
    assert_eq!((rig.state(), rig.flow), ("Passing", Flow::Continue));
    assert!(rig.effects.iter().any(|effect| matches!(effect, Effect::Count(Metric::PassedUnmasked(_), 1))));
}

#[test]
fn a_response_without_a_body_keeps_its_length() {
    let mut rig = Rig::new();
    let pairs = rig.request("HEAD", &format!("/threads/{THREAD}/state"), &[]);
    rig.headers(pairs, true);
    let effects = rig.respond(200, &[JSON, ("content-length", "31")], true);
    assert!(effects.is_empty());
    assert_eq!((rig.state(), rig.flow), ("Finished", Flow::Continue));
    for status in [204, 304] {
        let mut rig = forwarded();
        assert!(rig.respond(status, &[], true).is_empty());
        assert_eq!(rig.state(), "Finished");
    }
}

#[test]
fn a_switch_of_protocols_is_refused() {
    let mut rig = forwarded();
    rig.respond(101, &[("upgrade", "websocket")], false);
    assert_eq!(rig.reply(), Some((403, "upgrade_refused".to_owned())));
    assert_eq!(rig.flow, Flow::Pause);
}

#[test]
fn a_body_that_is_not_what_its_head_says_cuts_the_response() {
    let mut rig = Rig::with(|document| document["masking"]["malformed"] = json!("block"));
    rig.get(&format!("/threads/{THREAD}/state"));
    rig.respond(200, &[JSON], false);
    let effects = rig.chunk(b"{\"a\":]zoe@example.com", false);
    assert_eq!(rig.state(), "Cut");
    assert_eq!(Rig::piece(&effects, b"!"), b"");
    assert_eq!(Rig::piece(&rig.chunk(b"zoe@example.com", true), b"!"), b"", "nothing follows a cut");
    assert_eq!(rig.outcome(Departure::Reset)["response"]["end"], "reset");
}

#[test]
fn an_upstream_that_is_down_is_told_in_our_shape_and_never_as_503() {
    let mut rig = forwarded();
    let effects =
        rig.answer(Author::Proxy, 503, &[("content-type", "text/plain"), ("content-length", "9")], false);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::EditResponse(edits)
        if edits.contains(&Edit::Set(":status".to_owned(), b"502".to_vec())))));
    let effects = rig.chunk(b"no health", true);
    let body: Value = serde_json::from_slice(Rig::piece(&effects, b"")).unwrap();
    assert_eq!(body["reason"], "upstream_unavailable");
    assert_eq!(rig.outcome(Departure::Reset)["response"]["status"], 502);
}

#[test]
fn an_upstreams_own_503_is_its_own() {
    let mut rig = forwarded();
    assert!(rig.respond(503, &[JSON], false).is_empty());
    assert_eq!(rig.state(), "Masking");
}

#[test]
fn a_streamed_public_request_may_be_answered_before_it_ends() {
    let mut rig = Rig::new();
    rig.headers(super::rig::bare("GET", "/ok", &[]), false);
    assert_eq!((rig.state(), rig.flow), ("Forwarded", Flow::Continue));
    rig.respond(200, &[JSON], false);
    rig.body(b"more", true);
    assert_eq!((rig.state(), rig.flow), ("Masking", Flow::Continue));
}
