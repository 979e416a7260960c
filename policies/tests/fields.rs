//! One test for each field of a body that gets round a naive gate: it is closed unless the policy opens it, or the rules
//! see it.

use graphwarden_policies::access::{Effect, Rules};
use graphwarden_policies::identity::{Authenticator, Identity};
use graphwarden_policies::operation::{Reader, Request};
use graphwarden_policies::policy::{At, Problems};
use graphwarden_policies::reason::Reason;
use serde_json::{Value, json};

const THREAD: &str = "0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab";
const OTHER: &str = "5d6e0f1a-9a1b-4c2d-8e3f-0123456789ab";

fn read_with(section: Value, method: &str, path: &str, body: &Value) -> Result<Request, Reason> {
    let mut problems = Problems::new();
    let config = serde_json::from_value(section).unwrap();
    let reader = Reader::compile(&config, &At::root(), &mut problems).unwrap();
    let head = reader.read_head(method.as_bytes(), path.as_bytes(), &[]).unwrap();
    reader.read(&head, body.to_string().as_bytes()).map_err(|refused| refused.reason)
}

fn read(method: &str, path: &str, body: &Value) -> Result<Request, Reason> {
    read_with(json!({}), method, path, body)
}

/// A run on the thread, with this besides.
fn run(field: &Value) -> Value {
    let mut body = json!({"assistant_id": "agent", "input": {}});
    for (name, value) in field.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

/// Every place that takes a run's fields, each with this field.
fn everywhere(field: &Value) -> Vec<(&'static str, String, Value)> {
    let mut cron = run(field);
    cron["schedule"] = json!("* * * * *");
    vec![
        ("POST", format!("/threads/{THREAD}/runs"), run(field)),
        ("POST", format!("/threads/{THREAD}/runs/stream"), run(field)),
        ("POST", format!("/threads/{THREAD}/runs/wait"), run(field)),
        ("POST", "/runs".to_owned(), run(field)),
        ("POST", "/runs/stream".to_owned(), run(field)),
        ("POST", "/runs/wait".to_owned(), run(field)),
        ("POST", "/runs/batch".to_owned(), json!([run(&json!({})), run(field)])),
        ("POST", "/runs/crons".to_owned(), cron.clone()),
        ("POST", format!("/threads/{THREAD}/runs/crons"), cron),
    ]
}

/// The field is refused wherever a run can be started.
fn is_closed(field: &Value) {
    for (method, path, body) in everywhere(field) {
        assert_eq!(read(method, &path, &body).map(|_| ()), Err(Reason::FieldRefused), "{path} {body}");
    }
}

fn identity() -> std::sync::Arc<Identity> {
    let mut problems = Problems::new();
    let section = json!({"issuers": [{
        "issuer": "https://idp.example.com", "audiences": ["langgraph"], "algorithms": ["RS256"],
        "keys": {"cluster": "idp", "path": "/jwks.json"},
    }]});
    let config = serde_json::from_value(section).unwrap();
    let authenticator = Authenticator::compile(&config, &At::root(), &|_| None, &mut problems).unwrap();
    let claims = json!({"sub": "uma"});
    authenticator.suppose(claims.as_object().unwrap().clone(), 1_800_000_000).unwrap()
}

/// Whether a rule with this condition denies the request that a rule behind it allows.
fn is_seen(request: &Request, when: &str) -> bool {
    let mut problems = Problems::new();
    let section = json!({"rules": [
        {"name": "seen", "operations": ["*"], "when": when, "then": "deny"},
        {"name": "rest", "operations": ["*"], "then": "allow"},
    ]});
    let config = serde_json::from_value(section).unwrap();
    let rules = Rules::compile(&config, &At::root(), &mut problems).unwrap_or_else(|| panic!("{problems}"));
    let decision = rules.decide(&identity(), request, &rules.call("", &[]), 1_800_000_000);
    matches!(decision.effect, Effect::Deny { .. })
}

/// The field is seen by this condition wherever a run can be started, and nothing is seen without it.
fn rules_see(section: &Value, field: &Value, when: &str) {
    for ((method, path, body), (_, _, plain)) in everywhere(field).into_iter().zip(everywhere(&json!({}))) {
        let with = read_with(section.clone(), method, &path, &body).unwrap();
        assert!(is_seen(&with, when), "{path} {body}: {when}");
        let without = read_with(section.clone(), method, &path, &plain).unwrap();
        assert!(!is_seen(&without, when) || path.ends_with("crons"), "{path} {plain}: {when}");
    }
}

fn names(request: &Request) -> Vec<String> {
    request.operations.iter().map(graphwarden_policies::operation::Operation::name).collect()
}

#[test]
fn webhook() {
    let field = json!({"webhook": "https://hooks.example.com/done"});
    is_closed(&field);
    let open = json!({"webhooks": ["hooks.example.com"]});
    rules_see(&open, &field, "operation.webhook == \"hooks.example.com\"");
    let elsewhere = run(&json!({"webhook": "https://hooks.example.com.evil.test/"}));
    let refused = read_with(open, "POST", "/runs", &elsewhere).map(|_| ());
    assert_eq!(refused, Err(Reason::FieldRefused));
}

#[test]
fn config_configurable() {
    is_closed(&json!({"config": {"configurable": {"model": "large"}}}));
    let open = json!({"configurable": ["model"]});
    rules_see(
        &open,
        &json!({"config": {"configurable": {"model": "large"}}}),
        "\"model\" in operation.configurable",
    );
    // Whatever the policy opens, who calls is not the caller's to say.
    for key in [
        "user_id",
        "user",
        "langgraph_auth_user",
        "langgraph_auth_user_id",
        "__pregel_checkpointer",
        "graph_id",
    ] {
        let body = run(&json!({"config": {"configurable": {key: "admin"}}}));
        let refused = read_with(json!({"configurable": ["*"]}), "POST", "/runs", &body).map(|_| ());
        assert_eq!(refused, Err(Reason::FieldRefused), "{key}");
    }
    let other = run(&json!({"config": {"configurable": {"thread_id": OTHER}}}));
    let refused = read("POST", &format!("/threads/{THREAD}/runs"), &other).map(|_| ());
    assert_eq!(refused, Err(Reason::FieldRefused), "another thread than the one judged");
}

#[test]
fn context() {
    is_closed(&json!({"context": {"locale": "en"}}));
    let open = json!({"context": ["locale"]});
    rules_see(&open, &json!({"context": {"locale": "en"}}), "\"locale\" in operation.context");
    let body = run(&json!({"context": {"user_id": "admin"}}));
    let refused = read_with(json!({"context": ["*"]}), "POST", "/runs", &body).map(|_| ());
    assert_eq!(refused, Err(Reason::FieldRefused));
}

#[test]
fn command_resume() {
    rules_see(&json!({}), &json!({"command": {"resume": "yes"}}), "operation.resume");
    rules_see(&json!({}), &json!({"command": {"resume": null}}), "operation.resume");
}

#[test]
fn command_update() {
    let field = json!({"command": {"update": {"approved": true}}});
    rules_see(&json!({}), &field, "operation.update");
    // It writes state, so it is what writing state is, too.
    let request = read("POST", &format!("/threads/{THREAD}/runs"), &run(&field)).unwrap();
    assert_eq!(names(&request), ["threads.create_run", "threads.update"]);
}

#[test]
fn command_goto() {
    let field = json!({"command": {"goto": "pay"}});
    rules_see(&json!({}), &field, "operation.goto");
    let request = read("POST", &format!("/threads/{THREAD}/runs"), &run(&field)).unwrap();
    assert_eq!(names(&request), ["threads.create_run", "threads.update"]);
}

#[test]
fn supersteps() {
    let step = json!({"updates": [{"values": {}, "as_node": "pay"}]});
    let request = read("POST", "/threads", &json!({"supersteps": [step]})).unwrap();
    assert_eq!(names(&request), ["threads.create", "threads.update", "threads.read"]);
    assert!(is_seen(&request, "operation.supersteps"));
    let resumed = json!({"supersteps": [{"updates": [{"command": {"resume": 1}}]}]});
    assert!(is_seen(&read("POST", "/threads", &resumed).unwrap(), "operation.resume"));
    assert!(!is_seen(&read("POST", "/threads", &json!({})).unwrap(), "operation.supersteps"));
}

#[test]
fn checkpoint() {
    for field in [json!({"checkpoint": {"checkpoint_id": OTHER}}), json!({"checkpoint_id": OTHER})] {
        rules_see(&json!({}), &field, "operation.checkpoint");
    }
    is_closed(&json!({"checkpoint": {"checkpoint_id": OTHER, "user_id": "admin"}}));
    let elsewhere = run(&json!({"checkpoint": {"thread_id": OTHER}}));
    let refused = read("POST", &format!("/threads/{THREAD}/runs"), &elsewhere).map(|_| ());
    assert_eq!(refused, Err(Reason::FieldRefused), "another thread's state");
}

#[test]
fn multitask_strategy() {
    for (strategy, also) in [
        ("enqueue", &[][..]),
        ("interrupt", &["threads.update"]),
        ("rollback", &["threads.update", "threads.delete"]),
        ("what comes next", &["threads.update", "threads.delete"]),
    ] {
        let field = json!({"multitask_strategy": strategy});
        let request = read("POST", &format!("/threads/{THREAD}/runs"), &run(&field)).unwrap();
        assert_eq!(names(&request), [&["threads.create_run"], also].concat(), "{strategy}");
    }
    let field = json!({"multitask_strategy": "interrupt"});
    rules_see(&json!({}), &field, "operation.multitask_strategy == \"interrupt\"");
}

#[test]
fn if_exists() {
    let request = read("POST", "/threads", &json!({"thread_id": THREAD, "if_exists": "do_nothing"})).unwrap();
    assert_eq!(names(&request), ["threads.create", "threads.read"], "it answers with what is there");
    assert!(is_seen(&request, "operation.if_exists == \"do_nothing\""));
    let body = json!({"graph_id": "a", "assistant_id": THREAD, "if_exists": "do_nothing"});
    let request = read("POST", "/assistants", &body).unwrap();
    assert_eq!(names(&request), ["assistants.create", "assistants.read"]);
}

#[test]
fn if_not_exists() {
    rules_see(&json!({}), &json!({"if_not_exists": "create"}), "operation.if_not_exists == \"create\"");
}

#[test]
fn on_disconnect() {
    rules_see(&json!({}), &json!({"on_disconnect": "continue"}), "operation.on_disconnect == \"continue\"");
    // A reader whose going away ends the run does more than read.
    let path = format!("/threads/{THREAD}/runs/{OTHER}/stream?cancel_on_disconnect=1");
    assert_eq!(names(&read("GET", &path, &Value::Null).unwrap()), ["threads.read", "threads.update"]);
}

#[test]
fn on_completion() {
    rules_see(&json!({}), &json!({"on_completion": "delete"}), "operation.on_completion == \"delete\"");
}

#[test]
fn after_seconds() {
    for seconds in [json!(1), json!(0.5), json!("1"), json!(-1)] {
        rules_see(&json!({}), &json!({"after_seconds": seconds}), "operation.deferred");
    }
}

#[test]
fn crons() {
    let body = json!({"assistant_id": "agent", "schedule": "* * * * *", "input": {}});
    for path in ["/runs/crons".to_owned(), format!("/threads/{THREAD}/runs/crons")] {
        let request = read("POST", &path, &body).unwrap();
        assert_eq!(names(&request), ["crons.create"]);
        assert_eq!(request.operations[0].graph.as_deref(), Some("agent"));
        assert!(is_seen(&request, "operation.deferred && operation.class == \"execute\""));
    }
    let changed = read("PATCH", &format!("/runs/crons/{OTHER}"), &json!({"schedule": "* * * * *"})).unwrap();
    assert!(is_seen(&changed, "operation.deferred"));
}

#[test]
fn what_nobody_knows() {
    is_closed(&json!({"run_as": "admin"}));
    is_closed(&json!({"command": {"send": []}}));
    is_closed(&json!({"config": {"callbacks": []}}));
}
