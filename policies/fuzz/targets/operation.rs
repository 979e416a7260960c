//! Any bytes as a raw request: no panic, something judged is never empty, and what is forwarded is what was judged.
//!
//! ```text
//! POST /threads/search HTTP/1.1
//! content-type: application/json
//!
//! {"limit": 1}
//! ```
#![no_main]

use std::sync::{Arc, LazyLock};

use graphwarden_policies::access::{self, Ownership, Rules};
use graphwarden_policies::identity::{Actor, Identity, TokenFacts};
use graphwarden_policies::operation::{Config, Found, Knowledge, Reader, Request};
use graphwarden_policies::policy::{At, Problems};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

static READER: LazyLock<Reader> = LazyLock::new(|| {
    let section = json!({
        "webhooks": ["hooks.example.com"], "configurable": ["model"], "context": ["locale"],
        "public": ["system.health"], "lookups": {"cluster": "langgraph"},
    });
    let config: Config = serde_json::from_value(section).expect("the section");
    Reader::compile(&config, &At::root(), &mut Problems::new()).expect("the reader")
});

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let section = json!({
        "ownership": {"key": "owner", "value": "identity.subject"},
        "rules": [
            {"name": "deny", "operations": ["*"], "when": "graph == 'billing' || operation.update", "then": "deny"},
            {"name": "body", "operations": ["*"], "when": "input.metadata.a.b == 1 || input.xs.exists(x, x == 2)", "then": "allow"},
            {"name": "rest", "operations": ["*"], "when": "operation.name.size() > 0 && request.path.startsWith('/')", "then": "allow"},
        ],
    });
    let config: access::Config = serde_json::from_value(section).expect("the section");
    Rules::compile(&config, &At::root(), &mut Problems::new()).expect("the rules")
});

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity {
    issuer: "https://idp.example.com".to_owned(),
    subject: "u\"ma".to_owned(),
    name: None,
    email: None,
    roles: Vec::new(),
    groups: Vec::new(),
    actor: Actor::Person,
    claims: serde_json::Map::new(),
    token: TokenFacts {
        jti: None,
        iat: None,
        exp: 2_000_000_000,
        alg: "RS256".to_owned(),
        kid: None,
        sha256: String::new(),
    },
});

fuzz_target!(|message: &[u8]| {
    let (head, body) = match message.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (&message[..end], &message[end + 2..]),
        None => (message, &b""[..]),
    };
    let mut lines = head.split(|&byte| byte == b'\n');
    let mut words = lines.next().unwrap_or_default().splitn(3, |&byte| byte == b' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return };
    let headers: Vec<(Vec<u8>, Vec<u8>)> = lines
        .filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':').filter(|at| *at > 0)?;
            Some((line[..colon].to_ascii_lowercase(), line[colon + 1..].trim_ascii().to_vec()))
        })
        .collect();
    let read = |target: &[u8]| {
        let head = READER.read_head(method, target, &headers)?;
        READER.read(&head, body)
    };
    let request = match read(target) {
        Ok(request) => request,
        Err(refused) => {
            assert!(!refused.detail.is_empty() && !refused.detail.ends_with('.'));
            return;
        }
    };
    assert!(!request.operations.is_empty() && request.operations.len() == request.facts.len());
    assert_eq!(read(request.normalised.path.as_bytes()).as_ref(), Ok(&request), "forwarded is not judged");
    let call = RULES.call("192.0.2.1", &headers);
    RULES.decide(&IDENTITY, &request, &call, 1_800_000_000);
    owned(request, body);
});

/// Whoever owns nothing gets at nothing, and a mark changes nothing but itself.
fn owned(mut request: Request, body: &[u8]) {
    let Some(ownership) = RULES.ownership() else { return };
    let mut known = Knowledge::new();
    for subject in ownership.subjects(&request, &known) {
        known.insert(subject, Arc::new(Found::Thing { graph: None, assistant: None, owner: Some("eve".to_owned()) }));
    }
    let foreign = ownership.admits("u\"ma", &request, &known);
    assert!(known.is_empty() || foreign.is_err(), "another's thing was let through");
    stays(ownership, &request, body);
    while let Some(subject) = request.graphs_hidden(&known).into_iter().next() {
        known.insert(subject, Arc::new(Found::Nothing));
        request.learn(&known);
    }
}

fn stays(ownership: &Ownership, request: &Request, body: &[u8]) {
    let Ok(Some(stamped)) = ownership.stamped("u\"ma", request, body) else { return };
    let stripped = |value: Value| -> Value {
        let clean = |mut object: Value| {
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("owner");
            }
            if let Some(object) = object.as_object_mut()
                && object.get("metadata").is_none_or(|m| m.is_null() || m.as_object().is_some_and(|m| m.is_empty()))
            {
                object.remove("metadata");
            }
            object
        };
        match value {
            Value::Array(items) => items.into_iter().map(clean).collect(),
            mut one => {
                if let Some(params) = one.get_mut("params") {
                    *params = clean(params.take());
                }
                clean(one)
            }
        }
    };
    let before: Value = serde_json::from_slice(body).expect("it was read");
    let after: Value = serde_json::from_slice(&stamped).expect("a mark does not break JSON");
    assert_eq!(stripped(before), stripped(after), "a mark changed something else");
    assert!(
        ownership.stamped("u\"ma", request, &stamped).is_ok_and(|again| again.is_none()),
        "a mark is set twice"
    );
}
