//! Masking: what it takes to mask 1 MB of a thread's state, to only read it, and to go over it with one regular
//! expression or one for each form, and what one event of a stream takes.
//!
//! Samples of the four alternate, so that whatever else the machine does falls on all alike.

use std::hint::black_box;

use graphwarden_policies::masking::Media;
use serde_json::{Map, Value, json};

use crate::timed;

#[path = "../../../../policies/benches/masking_fixture/mod.rs"]
mod masking_fixture;

use masking_fixture::{all_in_one, events, mask, one_by_one, plan, replace, state};

/// All samples.
pub(crate) fn report() -> Value {
    json!({"state": of_state(), "events": of_events()})
}

/// What 1 MB of state takes, in nanoseconds.
fn of_state() -> Value {
    const SAMPLES: usize = 40;
    let body = state(1 << 20);
    let (all, none) = (plan(json!({})), plan(json!({"detectors": [], "malformed": "block"})));
    let (together, apart) = (vec![all_in_one()], one_by_one());
    let mut output = Vec::with_capacity(body.len() + 4096);
    let (mut masking, mut reading) = (Vec::new(), Vec::new());
    let (mut expression, mut expressions) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        masking.push(timed(|| mask(&all, Media::Json, &body, &mut output)));
        reading.push(timed(|| mask(&none, Media::Json, &body, &mut output)));
        expression.push(timed(|| _ = black_box(replace(&together, &body))));
        expressions.push(timed(|| _ = black_box(replace(&apart, &body))));
    }
    json!({"bytes": body.len(), "masking": masking, "reading": reading, "expression": expression, "expressions": expressions})
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
