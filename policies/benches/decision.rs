//! What a whole decision costs: a run with a 2 KB body is read and ten rules in CEL are asked.
//!
//! The baseline is what any gate pays: parsing the same body with serde_json.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
mod decision_fixture;

use decision_fixture::{PATH, body, headers, identity, reader, rules};

fn decision(criterion: &mut Criterion) {
    let reader = reader();
    let identity = identity();
    let body = body(20);
    assert!((1_900..2_300).contains(&body.len()), "{} bytes", body.len());
    let headers = headers();
    let read = || {
        let head = reader.read_head(b"POST", black_box(PATH), black_box(&headers)).expect("the head");
        reader.read(&head, black_box(&body)).expect("the request")
    };
    let mut group = criterion.benchmark_group("decision");
    group.bench_function("baseline: serde_json parses the 2 KB body", |bencher| {
        bencher.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(&body)));
    });
    group.bench_function("read the request", |bencher| bencher.iter(read));
    for (name, reading_input) in [("ten rules", false), ("ten rules, one of them on the body", true)] {
        let rules = rules(reading_input);
        let request = read();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let call = rules.call("10.0.0.7", &headers);
                black_box(rules.decide(&identity, &request, &call, 1_800_000_000))
            });
        });
        group.bench_function(format!("whole: read, {name}"), |bencher| {
            bencher.iter(|| {
                let request = read();
                let call = rules.call("10.0.0.7", &headers);
                let decision = rules.decide(&identity, &request, &call, 1_800_000_000);
                assert_eq!(decision.rule.as_deref(), Some("rule 9"));
                black_box(decision)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decision);
criterion_main!(benches);
