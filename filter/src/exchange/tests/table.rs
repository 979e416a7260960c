//! Every state meets every event, expected or not.

use super::super::*;
use super::lookup::{FRESH, begin, owned};
use super::rig::{ASKS, REMOTE, Rig, THREAD, asking, bare};

const STATES: [&str; 16] = [
    "Opening",
    "AwaitingKeys",
    "AwaitingIntrospection",
    "AwaitingBody",
    "AwaitingLookup",
    "AwaitingApproval",
    "AwaitingEvidence",
    "AwaitingThread",
    "Forwarded",
    "Masking",
    "Passing",
    "Replacing",
    "Refused",
    "Cut",
    "Finished",
    "Closed",
];

/// Before these, nothing has been forwarded.
const HOLDING: [&str; 8] = [
    "Opening",
    "AwaitingKeys",
    "AwaitingIntrospection",
    "AwaitingBody",
    "AwaitingLookup",
    "AwaitingApproval",
    "AwaitingEvidence",
    "AwaitingThread",
];

const EVENTS: [&str; 11] = [
    "request headers",
    "request body",
    "request trailers",
    "keys changed",
    "call reply",
    "evidence durable",
    "response headers",
    "response body",
    "response trailers",
    "tick",
    "gone",
];

fn in_state(state: &str) -> Rig {
    let mut rig = Rig::new();
    let path = format!("/threads/{THREAD}/state");
    let from = |rig: &Rig, issuer| {
        let bearer = format!("Bearer {}", rig.token(issuer));
        bare("POST", "/threads/search", &[("authorization", &bearer)])
    };
    match state {
        "Opening" => {}
        "AwaitingKeys" => {
            let pairs = from(&rig, REMOTE);
            rig.headers(pairs, false);
        }
        "AwaitingIntrospection" => {
            let pairs = from(&rig, ASKS);
            rig.headers(pairs, false);
        }
        "AwaitingBody" => {
            let pairs = rig.request("POST", "/threads/search", &[]);
            rig.headers(pairs, false);
        }
        "AwaitingLookup" => {
            rig = Rig::with(asking);
            rig.run("support");
        }
        "AwaitingApproval" => {
            rig.run("billing");
        }
        "AwaitingEvidence" => {
            rig.run("support");
        }
        "AwaitingThread" => {
            rig = Rig::with(owned);
            rig.exchange = Exchange::new(FRESH.to_owned());
            begin(&mut rig, None);
        }
        "Forwarded" => {
            rig.get(&path);
        }
        "Masking" | "Cut" | "Finished" | "Closed" => {
            rig.get(&path);
            rig.respond(200, &[("content-type", "application/json")], false);
            match state {
                "Cut" => {
                    rig.on(Event::EvidenceDurable);
                }
                "Finished" => {
                    rig.chunk(b"{}", true);
                }
                "Closed" => {
                    rig.on(Event::Gone(Departure::Client));
                }
                _ => {}
            }
        }
        "Passing" => {
            let pairs = rig.request("HEAD", &path, &[]);
            rig.headers(pairs, true);
            rig.respond(200, &[("content-type", "application/json")], false);
        }
        "Replacing" => {
            rig.get(&path);
            rig.answer(Author::Proxy, 503, &[], false);
        }
        "Refused" => {
            rig.get("/nothing");
        }
        other => panic!("no way into {other}"),
    }
    assert_eq!(rig.state(), state);
    rig
}

fn event(name: &str, rig: &Rig) -> Event {
    match name {
        "request headers" => Event::RequestHeaders {
            pairs: rig.request("GET", &format!("/threads/{THREAD}/state"), &[]),
            end_of_stream: true,
            source: None,
            verified: None,
        },
        "request body" => Event::RequestBody { fresh: b"{".to_vec(), end_of_stream: false },
        "request trailers" => Event::RequestTrailers,
        "keys changed" => Event::KeysChanged,
        "call reply" => Event::CallReply(CallReply { status: Some(503), body: Vec::new() }),
        "evidence durable" => Event::EvidenceDurable,
        "response headers" => Event::ResponseHeaders {
            pairs: vec![
                (b":status".to_vec(), b"200".to_vec()),
                (b"content-type".to_vec(), b"application/json".to_vec()),
            ],
            end_of_stream: false,
            author: Author::Upstream,
        },
        "response body" => Event::ResponseBody { size: 1, chunk: b"{".to_vec(), end_of_stream: false },
        "response trailers" => Event::ResponseTrailers,
        "tick" => Event::Tick,
        "gone" => Event::Gone(Departure::Client),
        other => panic!("no event {other}"),
    }
}

/// Where each event leads from each state, in the order of [`EVENTS`]: `=` for the same state.
fn expected(state: &str) -> [&'static str; 11] {
    const R: &str = "Refused";
    const C: &str = "Cut";
    const P: &str = "Replacing";
    const X: &str = "Closed";
    match state {
        //                        headers      body trailers keys   reply durable resp.h      resp.b resp.t      tick gone
        "Opening" => ["Forwarded", R, R, "=", "=", "=", "=", "=", "=", "=", X],
        "AwaitingKeys" => [R, "=", "=", "=", R, R, P, R, R, "=", X],
        "AwaitingIntrospection" => [R, "=", "=", "=", R, R, P, R, R, "=", X],
        "AwaitingBody" => [R, "=", "Forwarded", "=", R, R, P, R, R, "=", X],
        "AwaitingLookup" => [R, R, R, "=", R, R, P, R, R, "=", X],
        "AwaitingApproval" => [R, R, R, "=", "=", R, P, R, R, "=", X],
        "AwaitingEvidence" => [R, R, R, "=", R, "Forwarded", P, R, R, "=", X],
        "AwaitingThread" => [R, R, R, "=", R, R, P, R, R, "=", X],
        "Forwarded" => [C, C, C, "=", C, C, "Masking", C, C, "=", X],
        "Masking" => [C, "=", "=", "=", C, C, C, "=", "Finished", "=", X],
        "Passing" => [C, "=", "=", "=", C, C, C, "=", "Finished", "=", X],
        "Replacing" => [C, "=", "=", "=", "=", "=", C, "=", "Finished", "=", X],
        "Refused" => ["="; 11].map_last(X),
        "Cut" => ["="; 11].map_last(X),
        "Finished" => [C, "=", "=", "=", C, C, C, C, C, "=", X],
        "Closed" => ["="; 11],
        other => panic!("no row for {other}"),
    }
}

trait MapLast {
    fn map_last(self, last: &'static str) -> Self;
}

impl MapLast for [&'static str; 11] {
    fn map_last(mut self, last: &'static str) -> Self {
        self[10] = last;
        self
    }
}

#[test]
fn every_state_takes_every_event_as_the_table_says() {
    for state in STATES {
        for (name, next) in EVENTS.iter().zip(expected(state)) {
            let mut rig = in_state(state);
            let before = rig.was_forwarded();
            let event = event(name, &rig);
            let effects = rig.on(event);
            let next = if next == "=" { state } else { next };
            assert_eq!(rig.state(), next, "{state} on {name}");

            if HOLDING.contains(&state) && next != "Forwarded" {
                assert_eq!(rig.was_forwarded(), before, "{state} on {name} forwards");
                if HOLDING.contains(&next) && state != "Opening" {
                    assert_eq!(rig.flow, Flow::Pause, "{state} on {name} lets the request go");
                }
            }
            if next == "Refused" && state != "Refused" {
                let answered = effects.iter().filter(|effect| matches!(effect, Effect::Reply(_))).count();
                assert_eq!((answered, rig.flow), (1, Flow::Pause), "{state} on {name}");
            }
            if next == "Cut" && state != "Cut" {
                assert_eq!(Rig::piece(&effects, b"!"), b"", "{state} on {name} lets a piece through");
                assert_eq!(rig.flow, Flow::Pause, "{state} on {name}");
            }
        }
    }
}

#[test]
fn what_is_unexpected_before_forwarding_is_our_fault_and_says_so() {
    for state in HOLDING.iter().skip(1) {
        let mut rig = in_state(state);
        rig.on(Event::ResponseTrailers);
        assert_eq!(rig.reply(), Some((500, "internal".to_owned())), "{state}");
    }
}

#[test]
fn a_client_that_leaves_is_recorded_in_every_state_that_has_a_request() {
    for state in STATES.iter().filter(|state| !matches!(**state, "Opening" | "Closed")) {
        let mut rig = in_state(state);
        let outcome = rig.outcome(Departure::Client);
        assert_eq!(outcome["kind"], "outcome", "{state}");
        let end = outcome.pointer("/response/end").and_then(serde_json::Value::as_str);
        let expected = match *state {
            "Forwarded" | "Masking" | "Passing" | "Replacing" => Some("client_gone"),
            "Refused" | "Finished" => Some("complete"),
            "Cut" => Some("reset"),
            _ => None,
        };
        if *state != "Forwarded" {
            assert_eq!(end, expected, "{state}: {outcome}");
        }
    }
}

#[test]
fn an_exchange_waits_only_where_something_can_wake_it() {
    for state in STATES {
        let wait = in_state(state).exchange.wait();
        let waits = HOLDING.contains(&state) && state != "Opening";
        assert_eq!(wait.until.is_some(), waits, "{state}");
        assert_eq!(wait == Wait::default(), !waits, "{state}");
    }
}
