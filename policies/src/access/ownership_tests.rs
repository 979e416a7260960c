//! What ownership refuses, asks for and writes, on requests as they come.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::identity::{Actor, TokenFacts};
use crate::operation::{Config, Reader};

const T: &str = "0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab";
const U: &str = "5d6e0f1a-9a1b-4c2d-8e3f-0123456789ab";
const R: &str = "1f0e0f1a-9a1b-6c2d-8e3f-0123456789ab";
const A: &str = "2a6e0f1a-9a1b-4c2d-8e3f-0123456789ab";
const C: &str = "3b6e0f1a-9a1b-4c2d-8e3f-0123456789ab";

fn identity(subject: &str, roles: &[&str]) -> Identity {
    Identity {
        issuer: "https://idp.example.com".to_owned(),
        subject: subject.to_owned(),
        name: None,
        email: None,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        groups: Vec::new(),
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

fn compile(section: Value) -> Result<Ownership, Vec<String>> {
    let config: OwnershipConfig = serde_json::from_value(section).map_err(|error| vec![error.to_string()])?;
    let mut problems = Problems::new();
    Ownership::compile(&config, &At::root().member("ownership"), &mut problems)
        .ok_or_else(|| problems.iter().map(ToString::to_string).collect())
}

fn ownership() -> Ownership {
    compile(json!({"key": "owner", "value": "identity.subject", "except": ["role:admin"]})).unwrap()
}

fn read(method: &str, path: &str, body: &Value) -> Request {
    let mut problems = Problems::new();
    let reader = Reader::compile(&Config::default(), &At::root(), &mut problems).unwrap();
    let head = reader.read_head(method.as_bytes(), path.as_bytes(), &[]).unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    reader.read(&head, body.as_bytes()).unwrap()
}

fn thing(subject: &Subject, graph: Option<&str>, owner: Option<&str>) -> Arc<Found> {
    let assistant = match subject {
        Subject::Assistant(id) => Some(id.clone()),
        _ => Some(A.to_owned()),
    };
    Arc::new(Found::Thing { graph: graph.map(str::to_owned), assistant, owner: owner.map(str::to_owned) })
}

/// Decides for `uma`, where everything that is asked about has this owner; `None` is nobody's.
fn decide(request: &Request, owner: Option<&str>) -> Result<(), Reason> {
    let ownership = ownership();
    let known = ownership
        .subjects(request, &Knowledge::new())
        .into_iter()
        .map(|subject| (subject.clone(), thing(&subject, None, owner)))
        .collect();
    ownership.admits("uma", request, &known).map_err(|refused| refused.reason)
}

fn where_nothing_is(request: &Request) -> Result<(), Reason> {
    let ownership = ownership();
    let asked = ownership.subjects(request, &Knowledge::new());
    let known = asked.into_iter().map(|subject| (subject, Arc::new(Found::Nothing))).collect();
    ownership.admits("uma", request, &known).map_err(|refused| refused.reason)
}

fn rpc(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

fn run() -> Value {
    json!({"assistant_id": "agent", "input": {}})
}

/// Every way to get at a thing that is there.
fn touching() -> Vec<(&'static str, String, Value)> {
    let message = json!({"messageId": "m", "role": "user", "parts": [], "contextId": T});
    vec![
        ("GET", format!("/threads/{T}"), Value::Null),
        ("HEAD", format!("/threads/{T}"), Value::Null),
        ("GET", format!("/threads/{T}/state"), Value::Null),
        ("GET", format!("/threads/{T}/stream"), Value::Null),
        ("GET", format!("/threads/{T}/runs"), Value::Null),
        ("GET", format!("/threads/{T}/runs/{R}/join"), Value::Null),
        ("POST", format!("/threads/{T}/history"), json!({})),
        ("POST", format!("/threads/{T}/copy"), Value::Null),
        ("POST", format!("/threads/{T}/state"), json!({"values": {}})),
        ("POST", format!("/threads/{T}/stream/events"), json!({})),
        ("PATCH", format!("/threads/{T}"), json!({"metadata": {}})),
        ("DELETE", format!("/threads/{T}"), Value::Null),
        ("DELETE", format!("/threads/{T}/runs/{R}"), Value::Null),
        ("POST", "/threads".to_owned(), json!({"thread_id": T, "if_exists": "do_nothing"})),
        ("POST", "/threads/prune".to_owned(), json!({"thread_ids": [T]})),
        ("POST", format!("/threads/{T}/runs"), run()),
        (
            "POST",
            format!("/threads/{T}/runs/stream"),
            json!({"assistant_id": "agent", "if_not_exists": "create"}),
        ),
        ("POST", format!("/threads/{T}/runs/{R}/cancel"), Value::Null),
        ("POST", "/runs/cancel".to_owned(), json!({"thread_id": T, "run_ids": [R]})),
        (
            "POST",
            format!("/threads/{T}/runs/crons"),
            json!({"assistant_id": "agent", "schedule": "* * * * *"}),
        ),
        ("POST", format!("/threads/{T}/commands"), json!({"id": 1, "method": "run.start", "params": run()})),
        ("POST", format!("/threads/{T}/commands"), json!({"id": 1, "method": "input.respond", "params": {}})),
        ("GET", format!("/runs/crons/{C}"), Value::Null),
        ("PATCH", format!("/runs/crons/{C}"), json!({"enabled": false})),
        ("DELETE", format!("/runs/crons/{C}"), Value::Null),
        ("GET", format!("/assistants/{A}/schemas"), Value::Null),
        ("PATCH", format!("/assistants/{A}"), json!({"name": "x"})),
        ("POST", format!("/assistants/{A}/latest"), json!({"version": 1})),
        ("DELETE", format!("/assistants/{A}"), Value::Null),
        (
            "POST",
            "/assistants".to_owned(),
            json!({"assistant_id": A, "graph_id": "agent", "if_exists": "do_nothing"}),
        ),
        ("POST", "/runs/wait".to_owned(), json!({"assistant_id": A})),
        ("POST", "/runs/batch".to_owned(), json!([run(), {"assistant_id": A}])),
        ("POST", "/runs/crons".to_owned(), json!({"assistant_id": A, "schedule": "* * * * *"})),
        ("POST", "/mcp".to_owned(), rpc("tools/call", json!({"name": "agent"}))),
        ("POST", format!("/a2a/{A}"), rpc("message/send", json!({"message": message}))),
        ("POST", format!("/a2a/{A}"), rpc("SendStreamingMessage", json!({"message": message}))),
        ("POST", format!("/a2a/{A}"), rpc("tasks/get", json!({"id": format!("{T}:{R}")}))),
        ("POST", format!("/a2a/{A}"), rpc("CancelTask", json!({"id": R, "contextId": T}))),
        ("GET", format!("/a2a/{A}/.well-known/agent-card.json"), Value::Null),
        ("GET", format!("/.well-known/agent-card.json?assistant_id={A}"), Value::Null),
    ]
}

#[test]
fn another_persons_things_are_not_there_and_ones_own_are() {
    for (method, path, body) in touching() {
        let request = read(method, &path, &body);
        assert_eq!(decide(&request, Some("uma")), Ok(()), "{method} {path} {body}");
        assert_eq!(decide(&request, Some("eve")), Err(Reason::NotFound), "{method} {path} {body}");
        assert_eq!(decide(&request, Some("")), Err(Reason::NotFound), "{method} {path} {body}");
        assert_eq!(decide(&request, None), Err(Reason::NotFound), "{method} {path} {body}");
        let unknown =
            ownership().admits("uma", &request, &Knowledge::new()).map_err(|refused| refused.reason);
        assert_eq!(unknown, Err(Reason::NotFound), "{method} {path} {body}");
    }
}

#[test]
fn what_is_not_there_can_only_be_made() {
    let makes = |method: &str, path: &str, body: &Value| {
        path == "/threads"
            || path == "/assistants"
            || body.get("if_not_exists").is_some()
            || method == "POST" && path.ends_with("/copy")
            || body.get("method").is_some_and(|method| method == "run.start")
    };
    for (method, path, body) in touching() {
        let expected = if makes(method, &path, &body) { Ok(()) } else { Err(Reason::NotFound) };
        assert_eq!(where_nothing_is(&read(method, &path, &body)), expected, "{method} {path} {body}");
    }
}

#[test]
fn what_no_owner_can_hold_back_is_refused() {
    let message = json!({"messageId": "m", "role": "user", "parts": []});
    for (path, body) in [
        ("/runs/cancel".to_owned(), json!({"status": "all"})),
        ("/mcp".to_owned(), rpc("tools/list", json!({}))),
        (format!("/a2a/{A}"), rpc("tasks/list", json!({}))),
        (format!("/a2a/{A}"), rpc("ListTasks", json!({}))),
        (format!("/a2a/{A}"), rpc("tasks/get", json!({"id": R}))),
        (format!("/a2a/{A}"), json!([rpc("message/send", json!({"message": message}))])),
    ] {
        assert_eq!(
            decide(&read("POST", &path, &body), Some("uma")),
            Err(Reason::FieldRefused),
            "{path} {body}"
        );
    }
}

#[test]
fn the_deployments_assistants_belong_to_nobody_and_nobody_changes_them() {
    let ownership = ownership();
    let id = match Subject::of_graph("agent") {
        Subject::Assistant(id) => id,
        other => panic!("{other:?}"),
    };
    let judge = |method: &str, path: &str, body: Value| {
        let request = read(method, path, &body);
        let known = ownership
            .subjects(&request, &Knowledge::new())
            .into_iter()
            .map(|subject| (subject.clone(), thing(&subject, Some("agent"), None)))
            .collect();
        ownership.admits("uma", &request, &known).map_err(|refused| refused.reason)
    };
    assert_eq!(judge("POST", "/runs/wait", run()), Ok(()));
    assert_eq!(judge("POST", "/runs/wait", json!({"assistant_id": id})), Ok(()));
    assert_eq!(judge("GET", &format!("/assistants/{id}"), Value::Null), Ok(()));
    for path in [format!("/assistants/{id}"), "/assistants/agent".to_owned()] {
        assert_eq!(judge("PATCH", &path, json!({"name": "x"})), Err(Reason::NotFound), "{path}");
        assert_eq!(judge("DELETE", &path, Value::Null), Err(Reason::NotFound), "{path}");
    }
}

#[test]
fn nobody_says_whose_a_thing_is_but_the_gate() {
    let ownership = ownership();
    let stamp = |method: &str, path: &str, body: Value| {
        let request = read(method, path, &body);
        let text = body.to_string();
        ownership
            .stamped("uma", &request, text.as_bytes())
            .map(|out| out.map(|out| serde_json::from_slice::<Value>(&out).unwrap()))
            .map_err(|refused| refused.reason)
    };
    for (method, path, body) in [
        ("POST", "/threads".to_owned(), json!({"metadata": {"owner": "eve"}})),
        ("POST", "/threads/search".to_owned(), json!({"metadata": {"owner": "eve"}})),
        ("POST", "/threads/count".to_owned(), json!({"metadata": {"owner": null}})),
        ("PATCH", format!("/threads/{T}"), json!({"metadata": {"owner": "eve"}})),
        ("PATCH", format!("/assistants/{A}"), json!({"metadata": {"owner": ["uma"]}})),
        ("PATCH", format!("/runs/crons/{C}"), json!({"metadata": {"owner": "eve"}})),
        (
            "POST",
            "/runs".to_owned(),
            json!({"assistant_id": "agent", "config": {"metadata": {"owner": "eve"}}}),
        ),
        (
            "POST",
            "/runs/batch".to_owned(),
            json!([run(), {"assistant_id": "agent", "metadata": {"owner": "eve"}}]),
        ),
        (
            "POST",
            format!("/threads/{T}/commands"),
            json!({"id": 1, "method": "run.start", "params": {"assistant_id": "a", "metadata": {"owner": "eve"}}}),
        ),
    ] {
        assert_eq!(stamp(method, &path, body.clone()), Err(Reason::FieldRefused), "{method} {path} {body}");
    }
    for (method, path, body) in [
        ("POST", "/threads", json!({})),
        ("POST", "/threads/search", json!({"limit": 5})),
        ("POST", "/threads/count", json!({"metadata": {"a": 1}})),
        ("POST", "/assistants", json!({"graph_id": "agent"})),
        ("POST", "/assistants/search", json!({})),
        ("POST", "/assistants/count", json!({})),
        ("POST", "/runs", run()),
        ("POST", "/runs/crons", json!({"assistant_id": "agent", "schedule": "* * * * *"})),
        ("POST", "/runs/crons/search", json!({})),
        ("POST", "/runs/crons/count", json!({})),
        ("POST", "/threads/0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab/runs", run()),
    ] {
        let out = stamp(method, path, body.clone()).unwrap().unwrap();
        assert_eq!(out["metadata"]["owner"], json!("uma"), "{method} {path} {body}");
    }
    assert_eq!(stamp("POST", "/store/items/search", json!({"namespace_prefix": []})), Ok(None));
    assert_eq!(
        stamp("PATCH", &format!("/threads/{U}"), json!({"metadata": {"a": 1}})),
        Ok(Some(json!({"metadata": {"a": 1, "owner": "uma"}})))
    );
}

#[test]
fn an_owner_is_known_by_what_the_policy_says_and_some_are_not_bound() {
    let ownership = ownership();
    assert_eq!(ownership.owner(&identity("uma", &[])), Ok(Some("uma".to_owned())));
    assert_eq!(ownership.owner(&identity("root", &["admin"])), Ok(None));
    assert!(ownership.owner(&identity("", &[])).is_err());
    assert!(ownership.owner(&identity(&"x".repeat(513), &[])).is_err());
    let by_issuer =
        compile(json!({"key": "who", "value": "identity.issuer + '#' + identity.subject"})).unwrap();
    assert_eq!(
        by_issuer.owner(&identity("uma", &["admin"])),
        Ok(Some("https://idp.example.com#uma".to_owned()))
    );
    let by_claim = compile(json!({"key": "who", "value": "identity.claims.tenant"})).unwrap();
    assert!(by_claim.owner(&identity("uma", &[])).is_err(), "the claim is not there");
}

#[test]
fn a_section_that_cannot_mean_what_it_says_is_refused() {
    for (section, place) in [
        (json!({"key": "", "value": "identity.subject"}), "ownership.key"),
        (json!({"key": "graph_id", "value": "identity.subject"}), "ownership.key"),
        (json!({"key": "owner", "value": "identity.roles"}), "ownership.value"),
        (json!({"key": "owner", "value": "identity.subjct"}), "ownership.value"),
        (json!({"key": "owner", "value": "graph"}), "ownership.value"),
        (json!({"key": "owner", "value": "identity.subject", "except": ["admin"]}), "ownership.except[0]"),
        (json!({"key": "owner", "value": "identity.subject", "of": []}), "ownership.of"),
    ] {
        let problems = compile(section.clone()).map(|_| ()).unwrap_err();
        assert!(problems.iter().any(|problem| problem.starts_with(place)), "{section}: {problems:?}");
    }
    assert!(compile(json!({"key": "owner", "value": "identity.subject", "of": ["store"]})).is_err());
}
