//! How fast masking is: against regular expressions over the same patterns, against reading the JSON alone,
//! under hostile input, and for one event of a stream.
//!
//! `cargo bench -p graphwarden-policies --bench masking`. The user's path is a `threads/{id}/state` answer of
//! 1 MB and a stream of events of 1 KB.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use graphwarden_policies::masking::Media;
use serde_json::json;

mod masking_fixture;

use masking_fixture::{all_in_one, mask, one_by_one, plan, replace, state};

fn json_bodies(criterion: &mut Criterion) {
    let body = state(1 << 20);
    let mut group = criterion.benchmark_group("json_1mb");
    group.throughput(Throughput::Bytes(body.len() as u64));
    let mut output = Vec::with_capacity(body.len() + 4096);
    for (name, expressions) in [("regex_all_in_one", vec![all_in_one()]), ("regex_one_by_one", one_by_one())]
    {
        group.bench_function(name, |bencher| bencher.iter(|| replace(&expressions, black_box(&body))));
    }
    for (name, section) in
        [("built_in_detectors", json!({})), ("lexing_alone", json!({"detectors": [], "malformed": "block"}))]
    {
        let plan = plan(section);
        group.bench_function(name, |bencher| {
            bencher.iter(|| mask(&plan, Media::Json, black_box(&body), &mut output))
        });
    }
    let rules = plan(
        json!({"keys": ["ssn", "tax_id"], "fields": [{"path": "$..email"}, {"path": "$.values.messages[*].id"}]}),
    );
    group.bench_function("with_field_rules", |bencher| {
        bencher.iter(|| mask(&rules, Media::Json, black_box(&body), &mut output));
    });
    group.finish();
}

/// Time per byte has to be the same for both sizes.
fn hostile_bodies(criterion: &mut Criterion) {
    let plan = plan(json!({"limits": {"depth": 1024}}));
    let mut output = Vec::new();
    for (name, prefix, unit) in [
        ("digits", "[\"", "1"),
        ("digits_as_number", "[", "1"),
        ("at_signs", "[\"", "a@"),
        ("dots", "[\"a@", "a."),
        ("escapes", "[\"", "\\u0031"),
        ("embedded_json", "[\"", "{\\\""),
        ("arrays", "", "[[[[]]]],"),
        ("short_strings", "[", "\"\","),
    ] {
        let mut group = criterion.benchmark_group(format!("hostile_{name}"));
        for size in [1 << 19, 1 << 20] {
            let body = format!("{prefix}{}", unit.repeat(size / unit.len()));
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_with_input(BenchmarkId::from_parameter(size), &body, |bencher, body| {
                bencher.iter(|| mask(&plan, Media::Json, black_box(body.as_bytes()), &mut output));
            });
        }
        group.finish();
    }
}

fn events(criterion: &mut Criterion) {
    let plan = plan(json!({}));
    let mut group = criterion.benchmark_group("event_1kb");
    for (name, event) in masking_fixture::events() {
        group.throughput(Throughput::Bytes(event.len() as u64));
        let mut output = Vec::new();
        group.bench_function(name, |bencher| {
            let mut masker = plan.open(Media::Sse);
            bencher.iter(|| {
                output.clear();
                masker.push(black_box(event.as_bytes()), &mut output).expect("no cut");
                output.len()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(1500));
    targets = json_bodies, hostile_bodies, events
}
criterion_main!(benches);
