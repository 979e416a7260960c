//! Whole decisions on bodies of three sizes: what the gate does with a request once its caller is known, reading head
//! and body, and asking ten rules in CEL. One sample is the mean of a few decisions, so that asking for the time does
//! not count.

use serde_json::{Value, json};

use crate::timed;

#[path = "../../../../policies/benches/decision_fixture/mod.rs"]
mod decision_fixture;

use decision_fixture::{PATH, body, headers, identity, reader, rules};

/// All samples, by size.
pub(crate) fn report() -> Value {
    [20, 160, 1_280].map(measured).to_vec().into()
}

/// What whole decisions on a body of so many turns take, in nanoseconds: a sample for each of many short spells.
fn measured(turns: usize) -> Value {
    const DECISIONS: u64 = 8;
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
            let spell = timed(|| {
                for _ in 0..DECISIONS {
                    decide();
                }
            });
            spell / DECISIONS
        };
        let mut nanoseconds: Vec<u64> = (0..samples).map(sample).collect();
        nanoseconds.sort_unstable();
        spells.insert(name.to_owned(), json!(nanoseconds));
    }
    json!({"bytes": body.len(), "nanoseconds": spells})
}
