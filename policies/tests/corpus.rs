//! The bypass corpus, and what LangGraph itself asked its authorisation for, run through the reader.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use graphwarden_policies::operation::{Config, Facts, Operation, Reader, Request};
use graphwarden_policies::policy::{At, Problems};
use serde_json::{Value, json};

const T: &str = "0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab";
const U: &str = "5d6e0f1a-9a1b-4c2d-8e3f-0123456789ab";
const R: &str = "1f0e0f1a-9a1b-6c2d-8e3f-0123456789ab";
const A: &str = "2a6e0f1a-9a1b-5c2d-8e3f-0123456789ab";
const C: &str = "3b6e0f1a-9a1b-4c2d-8e3f-0123456789ab";

/// A header's name and value.
type Header = (Vec<u8>, Vec<u8>);

fn reader() -> Reader {
    let section = json!({
        "webhooks": ["hooks.example.com"], "configurable": ["model"], "context": ["locale"], "public": ["system.health"],
    });
    let config: Config = serde_json::from_value(section).unwrap();
    let mut problems = Problems::new();
    Reader::compile(&config, &At::root().member("operations"), &mut problems)
        .unwrap_or_else(|| panic!("{problems}"))
}

/// Puts ids and bytes where the case has names for them.
fn bytes(case: &str) -> Vec<u8> {
    let text = case
        .replace("<T32>", &T.replace('-', ""))
        .replace("<A32>", &A.replace('-', ""))
        .replace("<TUP>", &T.to_uppercase());
    let text = [("<T>", T), ("<U>", U), ("<R>", R), ("<A>", A), ("<C>", C)]
        .iter()
        .fold(text, |text, (name, id)| text.replace(name, id));
    let mut bytes = Vec::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(&after[..2], 16).unwrap());
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Splits a raw request: method, target, headers, body.
fn split(raw: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<Header>, Vec<u8>) {
    let end = raw.windows(2).position(|pair| pair == b"\n\n").unwrap_or(raw.len());
    let (head, body) = raw.split_at(end);
    let mut lines = head.split(|&byte| byte == b'\n');
    let mut words = lines.next().unwrap().splitn(3, |&byte| byte == b' ');
    let (method, target) = (words.next().unwrap().to_vec(), words.next().unwrap().to_vec());
    let headers = lines.filter(|line| !line.is_empty()).map(|line| {
        let colon = 1 + line[1..].iter().position(|&byte| byte == b':').unwrap();
        (line[..colon].to_vec(), line[colon + 1..].trim_ascii().to_vec())
    });
    let body = body.strip_prefix(b"\n\n").unwrap_or_default();
    (method, target, headers.collect(), body.strip_suffix(b"\n").unwrap_or(body).to_vec())
}

fn shown(operation: &Operation) -> String {
    let class = serde_json::to_value(operation.class).unwrap();
    let mut shown = format!("{} {}", operation.name(), class.as_str().unwrap());
    for (name, value) in [
        ("graph", &operation.graph),
        ("assistant", &operation.assistant),
        ("thread", &operation.thread),
        ("run", &operation.run),
        ("cron", &operation.cron),
        ("tool", &operation.tool),
    ] {
        if let Some(value) = value {
            write!(shown, " {name}={value}").unwrap();
        }
    }
    if !operation.namespace.is_empty() {
        write!(shown, " namespace={}", operation.namespace.join("/")).unwrap();
    }
    shown
}

/// The facts that are set, as a case writes them.
fn set(facts: &Facts) -> BTreeSet<String> {
    let mut set = BTreeSet::new();
    for (name, flag) in [
        ("resume", facts.resume),
        ("update", facts.update),
        ("goto", facts.goto),
        ("supersteps", facts.supersteps),
        ("checkpoint", facts.checkpoint),
        ("deferred", facts.deferred),
    ] {
        if flag {
            set.insert(name.to_owned());
        }
    }
    for (name, value) in [
        ("webhook", &facts.webhook),
        ("multitask_strategy", &facts.multitask_strategy),
        ("if_exists", &facts.if_exists),
        ("if_not_exists", &facts.if_not_exists),
        ("on_disconnect", &facts.on_disconnect),
        ("on_completion", &facts.on_completion),
        ("method", &facts.method),
    ] {
        set.extend(value.as_ref().map(|value| format!("{name}={value}")));
    }
    for (name, keys) in
        [("configurable", &facts.configurable), ("context", &facts.context), ("metadata", &facts.metadata)]
    {
        set.extend(keys.iter().map(|key| format!("{name}={key}")));
    }
    set
}

/// A case's lines before the request.
#[derive(Default)]
struct Expected {
    expect: String,
    facts: Option<String>,
    forward: Option<String>,
    unresolved: Option<String>,
}

fn expected(lines: &str) -> Expected {
    let mut expected = Expected::default();
    for line in lines.lines() {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("`{line}` is no expectation"));
        let value = String::from_utf8(bytes(value)).unwrap();
        match name {
            "expect" => expected.expect = value,
            "facts" => expected.facts = Some(value),
            "forward" => expected.forward = Some(value),
            "unresolved" => expected.unresolved = Some(value),
            other => panic!("unknown expectation `{other}`"),
        }
    }
    expected
}

#[test]
fn every_case_of_the_corpus_is_read_as_expected() {
    let reader = reader();
    let mut titles = BTreeSet::new();
    let mut wrong = String::new();
    let files = [
        include_str!("corpus/paths.txt"),
        include_str!("corpus/methods.txt"),
        include_str!("corpus/headers.txt"),
        include_str!("corpus/ids.txt"),
        include_str!("corpus/bodies.txt"),
        include_str!("corpus/fields.txt"),
        include_str!("corpus/rpc.txt"),
    ];
    for case in files.iter().flat_map(|file| file.strip_prefix("=== ").unwrap().split("\n=== ")) {
        let (title, rest) = case.split_once('\n').unwrap();
        assert!(titles.insert(title), "two cases are called `{title}`");
        let (lines, raw) = rest.split_once("\n---\n").unwrap_or_else(|| panic!("{title}: no request"));
        let expected = expected(lines);
        let (method, target, headers, body) = split(&bytes(raw));
        let read = reader.read_head(&method, &target, &headers).and_then(|head| {
            let public = head.public;
            reader.read(&head, &body).map(|request| (public, request))
        });
        let (got, request) = match &read {
            Err(refused) => (format!("refused {}", refused.reason.code()), None),
            Ok((public, request)) => {
                let operations: Vec<String> = request.operations.iter().map(shown).collect();
                (format!("{}{}", if *public { "public " } else { "" }, operations.join("; ")), Some(request))
            }
        };
        if got != expected.expect {
            let why = read.as_ref().err().map(|refused| refused.detail.as_str()).unwrap_or_default();
            writeln!(wrong, "{title}:\n  expected {}\n  got      {got} ({why})", expected.expect).unwrap();
            continue;
        }
        let Some(request) = request else { continue };
        let facts: BTreeSet<String> =
            expected.facts.iter().flat_map(|facts| facts.split(' ')).map(str::to_owned).collect();
        let read_facts = set(&request.facts[0]);
        if facts != read_facts {
            writeln!(wrong, "{title}:\n  expected facts {facts:?}\n  got            {read_facts:?}").unwrap();
        }
        let forwarded = format!("{} {}", request.normalised.method, request.normalised.path);
        if expected.forward.is_some_and(|forward| forward != forwarded) {
            writeln!(wrong, "{title}:\n  forwards {forwarded}").unwrap();
        }
        if expected.unresolved.unwrap_or_default() != request.unresolved().join(" ") {
            writeln!(wrong, "{title}:\n  unresolved {:?}", request.unresolved()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(titles.len() >= 150, "{} cases", titles.len());
}

/// A body for a route, where the label of the measurement needs one.
fn sample(label: &str, path: &str) -> Value {
    let run = json!({"assistant_id": A, "input": {}});
    let rpc =
        |method: &str, params: Value| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let message =
        json!({"message": {"role": "user", "messageId": "m", "parts": [{"kind": "text", "text": "x"}]}});
    let task = json!({"id": format!("{T}:{R}")});
    match (path, label.rsplit(' ').next().unwrap_or_default()) {
        (_, "(supersteps)") => json!({"supersteps": [{"updates": [{"values": {}, "as_node": "a"}]}]}),
        (_, "name)") => json!({"assistant_id": "agent", "input": {}}),
        (_, "(2)") => json!([run, run]),
        (_, "{thread_id,run_ids}") => json!({"thread_id": T, "run_ids": [R]}),
        ("/runs/cancel", _) => json!({"status": "all"}),
        ("/threads/prune", _) => json!({"thread_ids": [T]}),
        (_, "run.start") => {
            json!({"id": 1, "method": "run.start", "params": {"assistant_id": A, "input": {}}})
        }
        ("/threads/{id}/commands", method) => json!({"id": 1, "method": method, "params": {}}),
        ("/mcp", "tools/call") => rpc("tools/call", json!({"name": "agent", "arguments": {}})),
        ("/mcp", method) => rpc(method, json!({})),
        ("/a2a/{id}", method @ ("message/send" | "message/stream")) => rpc(method, message),
        ("/a2a/{id}", method) => rpc(method, task),
        ("/assistants", _) => json!({"graph_id": "agent"}),
        ("/runs/crons/{id}", _) => json!({"enabled": false}),
        ("/store/items", _) => json!({"namespace": ["a"], "key": "k"}),
        (path, _) if path.contains("/runs") && !path.contains("search") && !path.contains("count") => run,
        _ => json!({}),
    }
}

/// Operations that LangGraph asks for besides, as part of answering one that is judged: it reads a run's result
/// back, looks an assistant up by name, or checks the thread under a cron.
const IMPLIED: &[&str] =
    &["threads.read", "threads.search", "assistants.search", "assistants.read", "threads.update"];

#[test]
fn operations_are_those_that_langgraph_asks_its_authorisation_for() {
    let measured: Vec<(String, u16, Vec<String>)> =
        serde_json::from_str(include_str!("langgraph/authorisation.json")).unwrap();
    let reader = reader();
    for (label, _, asked) in measured {
        let mut words = label.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let id = if path.starts_with("/assistants") || path.starts_with("/a2a") { A } else { T };
        let target = path.replace("{id}", id).replace("{rid}", R).replace("{cp}", C).replace("{ns}", "sub");
        let target = if method == "GET" && path == "/store/items" {
            "/store/items?namespace=a&key=k".into()
        } else {
            target
        };
        let read = |target: &str| -> Result<Request, _> {
            let head = reader.read_head(method.as_bytes(), target.as_bytes(), &[])?;
            reader.read(&head, sample(&label, path).to_string().as_bytes())
        };
        let unknown = ["state.get", "run.cancel", "state.update", "nope"];
        if unknown.iter().any(|method| label.ends_with(method)) {
            assert!(read(&target).is_err(), "{label} is no command of the server");
            continue;
        }
        let request = read(&target).unwrap_or_else(|refused| panic!("{label}: {refused}"));
        let judged: BTreeSet<String> = request.operations.iter().map(Operation::name).collect();
        let asked: BTreeSet<String> = asked.into_iter().collect();
        if label.ends_with("input.respond") {
            // Measured on a thread that awaited nothing, where the server starts no run.
            assert_eq!(judged, ["threads.create_run".to_owned()].into());
            continue;
        }
        if asked.is_empty() {
            // The server asks nothing; the gate has a word of its own, or asks for a read.
            assert!(
                judged.iter().all(|name| name.starts_with("mcp.") || name == "threads.read"),
                "{label}: {judged:?}"
            );
            continue;
        }
        // The server authorises the cancelling of a task as a read; the gate does not.
        let stricter = label.ends_with("tasks/cancel");
        assert!(stricter || judged.is_subset(&asked), "{label}: judged {judged:?}, asked {asked:?}");
        for name in asked.difference(&judged) {
            assert!(IMPLIED.contains(&name.as_str()), "{label}: {name} is not judged");
        }
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// Fragments that routes and attacks are made of.
    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("threads".to_owned()),
            Just("runs".to_owned()),
            Just("assistants".to_owned()),
            Just("mcp".to_owned()),
            Just("state".to_owned()),
            Just(T.to_owned()),
            Just(T.to_uppercase()),
            Just("%74hreads".to_owned()),
            Just("%2F".to_owned()),
            Just("%2e%2e".to_owned()),
            Just("..".to_owned()),
            Just(String::new()),
            "[ -~]{0,6}",
        ]
    }

    proptest! {
        /// Invariant: what is forwarded reads as the same request, and is forwarded as it is.
        #[test]
        fn what_is_forwarded_is_what_was_judged(
            method in prop_oneof![Just("GET"), Just("POST"), Just("DELETE"), Just("PATCH"), Just("PUT"), Just("HEAD")],
            pieces in prop::collection::vec(piece(), 0..5),
            query in "(\\?[a-z_%0-9=&+]{0,20})?",
            body in prop_oneof![Just(String::new()), Just("{}".to_owned()), "[ -~]{0,40}", Just(json!({"assistant_id": A}).to_string())],
        ) {
            let reader = reader();
            let target = format!("/{}{query}", pieces.join("/"));
            let Ok(head) = reader.read_head(method.as_bytes(), target.as_bytes(), &[]) else { return Ok(()) };
            let Ok(request) = reader.read(&head, body.as_bytes()) else { return Ok(()) };
            prop_assert!(!request.operations.is_empty());
            prop_assert_eq!(request.operations.len(), request.facts.len());
            let again = reader.read_head(method.as_bytes(), request.normalised.path.as_bytes(), &[])
                .and_then(|head| reader.read(&head, body.as_bytes()));
            prop_assert_eq!(again, Ok(request));
        }

        /// Invariant: no bytes make the reader panic, and a refusal's text is a fragment of ours.
        #[test]
        fn no_bytes_are_too_strange(
            method in prop_oneof![Just(&b"POST"[..]), Just(&b"GET"[..]), Just(&b"\xff"[..])],
            target in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                Just(b"/mcp".to_vec()),
                Just(b"/runs/batch".to_vec()),
                Just(b"/threads".to_vec()),
                Just(b"/runs/crons".to_vec()),
            ],
            name in prop::collection::vec(any::<u8>(), 0..12),
            value in prop::collection::vec(any::<u8>(), 0..12),
            body in prop_oneof![prop::collection::vec(any::<u8>(), 0..60), "[\\[\\]{}:,\"a-z0-9]{0,60}".prop_map(String::into_bytes)],
        ) {
            let reader = reader();
            let read = reader.read_head(method, &target, &[(name, value)])
                .and_then(|head| reader.read(&head, &body));
            if let Err(refused) = read {
                prop_assert!(!refused.detail.ends_with('.') && !refused.detail.is_empty());
            }
        }
    }
}
