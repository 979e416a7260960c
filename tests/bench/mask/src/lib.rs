//! Masking, timed where it is done: each request to this filter is answered with how long it takes in Envoy's V8 to
//! mask 1 MB of a thread's state, to only read it, and to go over it with one regular expression, and what one event
//! of a stream takes.
//!
//! The clock is the host's. Samples of the three alternate, so that whatever else the machine does falls on all alike.

#![allow(missing_docs, reason = "the macro exports a function that nobody calls by name")]

use graphwarden_policies::masking::Media;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};
use serde_json::{Map, Value, json};

#[path = "../../../../policies/benches/masking_fixture/mod.rs"]
mod masking_fixture;

use masking_fixture::{PATTERNS, events, mask, plan, state};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Exchange))
    }
}

struct Exchange;

impl Context for Exchange {}

impl HttpContext for Exchange {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let body = json!({"state": of_state(), "events": of_events()}).to_string();
        self.send_http_response(200, vec![("content-type", "application/json")], Some(body.as_bytes()));
        Action::Pause
    }
}

/// Nanoseconds of the host's clock.
fn now() -> u128 {
    hostcalls::get_current_time()
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or(0, |time| time.as_nanos())
}

/// Nanoseconds that `act` takes.
fn timed(act: impl FnOnce()) -> u64 {
    let began = now();
    act();
    u64::try_from(now() - began).unwrap_or(u64::MAX)
}

/// What 1 MB of state takes, in nanoseconds.
fn of_state() -> Value {
    const SAMPLES: usize = 40;
    let body = state(1 << 20);
    let (all, none) = (plan(json!({})), plan(json!({"detectors": []})));
    let regex = regex::bytes::RegexBuilder::new(PATTERNS).unicode(false).build().expect("a pattern");
    let mut output = Vec::with_capacity(body.len() + 4096);
    let (mut masking, mut reading, mut expression) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        masking.push(timed(|| mask(&all, Media::Json, &body, &mut output)));
        reading.push(timed(|| mask(&none, Media::Json, &body, &mut output)));
        expression.push(timed(|| drop(regex.replace_all(&body, b"[MASKED]".as_slice()))));
    }
    json!({"bytes": body.len(), "masking": masking, "reading": reading, "expression": expression})
}

/// What one event takes, in nanoseconds: each sample is the mean of a few.
fn of_events() -> Value {
    const SAMPLES: usize = 400;
    const EVENTS: u64 = 16;
    let plan = plan(json!({}));
    let mut kinds = Map::new();
    for (name, event) in events() {
        let mut masker = plan.open(Media::Sse);
        let mut output = Vec::new();
        let sample = |_| {
            let spell = timed(|| {
                for _ in 0..EVENTS {
                    output.clear();
                    masker.push(event.as_bytes(), &mut output).expect("no cut");
                }
            });
            spell / EVENTS
        };
        let samples: Vec<u64> = (0..SAMPLES).map(sample).collect();
        kinds.insert(name.to_owned(), json!(samples));
    }
    Value::Object(kinds)
}
