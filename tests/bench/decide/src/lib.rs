//! Whole decisions, timed where they are made: each request to this filter is answered with how long they took in
//! Envoy's V8, on bodies of three sizes.
//!
//! A whole decision is what the gate does with a request once its caller is known: reading head and body, and asking
//! ten rules in CEL. The clock is the host's; one sample is the mean of a few decisions, so that asking for the time
//! does not count.

#![allow(missing_docs, reason = "the macro exports a function that nobody calls by name")]

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};
use serde_json::{Value, json};

#[path = "../../../../policies/benches/decision_fixture/mod.rs"]
mod decision_fixture;

use decision_fixture::{PATH, body, headers, identity, reader, rules};

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
        let report: Vec<Value> = [20, 160, 1_280].map(measured).into();
        let body = Value::from(report).to_string();
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

/// What whole decisions on a body of so many turns take, in nanoseconds: a sample for each of many short spells.
fn measured(turns: usize) -> Value {
    const DECISIONS: u32 = 8;
    let (reader, identity, headers, body) = (reader(), identity(), headers(), body(turns));
    let samples = 2_400_000 / body.len().max(8_000);
    let mut spells = serde_json::Map::new();
    for (name, rules) in [
        ("ten rules", Some(rules(false))),
        ("one of them on the body", Some(rules(true))),
        ("reading alone", None),
    ] {
        let decide = || {
            let head = reader.read_head(b"POST", PATH, &headers).expect("the head");
            let request = reader.read(&head, &body).expect("the request");
            if let Some(rules) = &rules {
                let call = rules.call("10.0.0.7", &headers);
                let decision = rules.decide(&identity, &request, &call, 1_800_000_000);
                assert_eq!(decision.rule.as_deref(), Some("rule 9"));
            }
        };
        // V8 compiles what is hot a second time.
        for _ in 0..200 {
            decide();
        }
        let sample = |_| {
            let began = now();
            for _ in 0..DECISIONS {
                decide();
            }
            u64::try_from((now() - began) / u128::from(DECISIONS)).unwrap_or(u64::MAX)
        };
        let mut nanoseconds: Vec<u64> = (0..samples).map(sample).collect();
        nanoseconds.sort_unstable();
        spells.insert(name.to_owned(), json!(nanoseconds));
    }
    json!({"bytes": body.len(), "nanoseconds": spells})
}
