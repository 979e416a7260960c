//! What a whole decision costs: a run with a 2 KB body is read and ten rules in CEL are asked.
//!
//! The baseline is what any gate pays: parsing the same body with serde_json.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use graphwarden_policies::access::{self, Rules};
use graphwarden_policies::identity::{Actor, Identity, TokenFacts};
use graphwarden_policies::operation::{self, Reader};
use graphwarden_policies::policy::{At, Problems};
use serde_json::json;

const PATH: &[u8] = b"/threads/0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab/runs/stream";

fn identity() -> Identity {
    Identity {
        issuer: "https://idp.example.com".to_owned(),
        subject: "user-1".to_owned(),
        name: Some("Uma Example".to_owned()),
        email: Some("uma@example.com".to_owned()),
        roles: vec!["staff".to_owned(), "analyst".to_owned()],
        groups: vec!["support".to_owned()],
        actor: Actor::Person,
        claims: serde_json::Map::new(),
        token: TokenFacts {
            jti: None,
            iat: None,
            exp: 2_000_000_000,
            alg: "RS256".to_owned(),
            kid: None,
            sha256: "0".repeat(64),
        },
    }
}

fn body() -> Vec<u8> {
    let turn = |index: usize| {
        let role = if index.is_multiple_of(2) { "user" } else { "assistant" };
        json!({"role": role, "content": format!("{index}: where is the order that I placed a week ago, and who has it now?")})
    };
    let messages: Vec<_> = (0..20).map(turn).collect();
    let body = json!({"assistant_id": "support_agent", "stream_mode": ["messages-tuple"], "input": {"messages": messages}});
    body.to_string().into_bytes()
}

/// Ten rules of which the last decides, so that every condition is evaluated.
fn rules(reading_input: bool) -> Rules {
    let conditions = [
        r#"graph == "billing" && !("finance" in identity.roles)"#,
        r#"operation.webhook != "" && identity.actor == "machine""#,
        r#"operation.update || operation.goto"#,
        r#"identity.email.endsWith("@contractor.example.com")"#,
        r#"request.source.startsWith("192.168.")"#,
        r#"operation.multitask_strategy == "rollback""#,
        r#"graph.matches("^(prod|live)_")"#,
        if reading_input {
            r#"input.input.messages.exists(m, m.role == "system")"#
        } else {
            r#"operation.deferred"#
        },
        r#"identity.roles.exists(role, role in ["suspended", "guest"])"#,
        r#"graph == "support_agent" && "analyst" in identity.roles"#,
    ];
    let last = conditions.len() - 1;
    let rules: Vec<_> = conditions
        .iter()
        .enumerate()
        .map(|(index, when)| {
            let then = if index == last { "allow" } else { "deny" };
            json!({"name": format!("rule {index}"), "operations": ["threads.*"], "when": when, "then": then})
        })
        .collect();
    let config: access::Config = serde_json::from_value(json!({"rules": rules})).expect("the section");
    let mut problems = Problems::new();
    let rules = Rules::compile(&config, &At::root().member("access"), &mut problems);
    rules.unwrap_or_else(|| panic!("{problems}"))
}

fn decision(criterion: &mut Criterion) {
    let mut problems = Problems::new();
    let reader =
        Reader::compile(&operation::Config::default(), &At::root(), &mut problems).expect("the default");
    let identity = identity();
    let body = body();
    assert!((1_900..2_300).contains(&body.len()), "{} bytes", body.len());
    let headers = [
        (b":method".to_vec(), b"POST".to_vec()),
        (b":authority".to_vec(), b"gate.example.com".to_vec()),
        (b"content-type".to_vec(), b"application/json".to_vec()),
        (b"accept".to_vec(), b"text/event-stream".to_vec()),
        (b"user-agent".to_vec(), b"python-httpx/0.28".to_vec()),
        (b"authorization".to_vec(), b"Bearer x".to_vec()),
    ];
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
