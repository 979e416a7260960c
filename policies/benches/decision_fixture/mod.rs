//! The decision that is measured: a run with a body of conversation, judged by ten rules of which the last decides.
//! Shared with `tests/bench/timed`, which runs it in Envoy's V8.

use graphwarden_policies::access::{self, Rules};
use graphwarden_policies::identity::{Actor, Identity, TokenFacts};
use graphwarden_policies::operation::{self, Reader};
use graphwarden_policies::policy::{At, Problems};
use serde_json::json;

/// The path of the run.
pub(crate) const PATH: &[u8] = b"/threads/0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab/runs/stream";

/// Who runs it.
pub(crate) fn identity() -> Identity {
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

/// A body of so many turns; twenty are 2 KB.
pub(crate) fn body(turns: usize) -> Vec<u8> {
    let turn = |index: usize| {
        let role = if index.is_multiple_of(2) { "user" } else { "assistant" };
        json!({"role": role, "content": format!("{index}: where is the order that I placed a week ago, and who has it now?")})
    };
    let messages: Vec<_> = (0..turns).map(turn).collect();
    let body = json!({"assistant_id": "support_agent", "stream_mode": ["messages-tuple"], "input": {"messages": messages}});
    body.to_string().into_bytes()
}

/// Ten rules of which the last decides, so that every condition is evaluated.
pub(crate) fn rules(reading_input: bool) -> Rules {
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

/// Reads requests with the default section `operations`.
pub(crate) fn reader() -> Reader {
    let mut problems = Problems::new();
    Reader::compile(&operation::Config::default(), &At::root(), &mut problems).expect("the default")
}

/// The headers of the run.
pub(crate) fn headers() -> Vec<(Vec<u8>, Vec<u8>)> {
    [
        (":method", "POST"),
        (":authority", "gate.example.com"),
        ("content-type", "application/json"),
        ("accept", "text/event-stream"),
        ("user-agent", "python-httpx/0.28"),
        ("authorization", "Bearer x"),
    ]
    .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
    .to_vec()
}
