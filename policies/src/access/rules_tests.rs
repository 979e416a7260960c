//! Tests of rules and conditions on requests that the reader read.

use serde_json::json;

use super::*;
use crate::identity::{Actor, Identity, TokenFacts};
use crate::operation::{self, Reader};
use crate::policy::{At, Problems};

fn identity(roles: &[&str]) -> Identity {
    let claims =
        json!({"sub": "u-1", "department": "support", "level": 3, "teams": ["a", "b"], "nested": {"x": 1}});
    Identity {
        issuer: "https://idp.test".to_owned(),
        subject: "u-1".to_owned(),
        name: Some("Uma".to_owned()),
        email: None,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        groups: vec!["staff".to_owned()],
        actor: Actor::Person,
        claims: claims.as_object().cloned().unwrap(),
        token: TokenFacts {
            jti: None,
            iat: None,
            exp: 2_000_000_000,
            alg: "ES256".to_owned(),
            kid: None,
            sha256: "0".repeat(64),
        },
    }
}

fn reader() -> Reader {
    let config = operation::Config { configurable: vec!["model".to_owned()], ..operation::Config::default() };
    let mut problems = Problems::new();
    Reader::compile(&config, &At::root().member("operations"), &mut problems).unwrap()
}

fn request(method: &str, path: &str, body: &str) -> operation::Request {
    let reader = reader();
    let head = reader.read_head(method.as_bytes(), path.as_bytes(), &[]).unwrap();
    reader.read(&head, body.as_bytes()).unwrap()
}

const THREAD: &str = "0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab";
const ASSISTANT: &str = "1c6e0f1a-9a1b-4c2d-8e3f-0123456789ab";

fn run(assistant: &str) -> operation::Request {
    let body = json!({
        "assistant_id": assistant,
        "input": {"messages": [{"role": "user", "content": "hello there"}], "amount": 120, "ratio": 0.5},
    });
    request("POST", &format!("/threads/{THREAD}/runs/stream"), &body.to_string())
}

fn rules(section: serde_json::Value) -> Result<Rules, Problems> {
    let config: Config = serde_json::from_value(section).unwrap();
    let mut problems = Problems::new();
    Rules::compile(&config, &At::root().member("access"), &mut problems).ok_or(problems)
}

fn one_rule(when: &str, then: serde_json::Value) -> Result<Rules, Problems> {
    rules(json!({"rules": [{"name": "r", "operations": ["*"], "when": when, "then": then}]}))
}

fn decide(rules: &Rules, request: &operation::Request) -> Decision {
    let call = rules.call("10.0.0.7", &[(b"X-Team".to_vec(), b"blue".to_vec())]);
    rules.decide(&identity(&["analyst"]), request, &call, 1_800_000_000)
}

fn is_denied(decision: &Decision) -> bool {
    matches!(decision.effect, Effect::Deny { .. })
}

#[track_caller]
fn holds(when: &str, request: &operation::Request) -> bool {
    let rules = one_rule(when, json!("allow")).unwrap_or_else(|problems| panic!("{when}: {problems}"));
    !is_denied(&decide(&rules, request))
}

#[test]
fn conditions_see_caller_operation_and_request() {
    let run = run("support_agent");
    for when in [
        "true",
        r#"graph == "support_agent" && "analyst" in identity.roles"#,
        r#"identity.issuer == "https://idp.test" && identity.subject == "u-1" && identity.actor == "person""#,
        r#"identity.name == "Uma" && identity.email == "" && has(identity.name) && !has(identity.email)"#,
        r#""staff" in identity.groups && size(identity.roles) == 1 && identity.roles.size() == 1"#,
        r#"identity.claims.department == "support" && identity.claims["level"] > 2 && "a" in identity.claims.teams"#,
        r#"has(identity.claims.nested.x) && !has(identity.claims.nested.y) && "level" in identity.claims"#,
        r#"operation.name == "threads.create_run" && operation.class == "execute" && operation.action == "create_run""#,
        r#"operation.thread == "0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab" && operation.run == "" && !operation.resume"#,
        r#"request.method == "POST" && request.path.endsWith("/runs/stream") && request.source == "10.0.0.7""#,
        r#"request.headers["x-team"] == "blue" && "x-team" in request.headers && !("x-none" in request.headers)"#,
        r#"request.operations == 1 && now >= 1800000000 && now % 2 == 0"#,
        r#"input.input.amount == 120 && input.input.ratio < 0.6 && input.input.messages[0].role == "user""#,
        r#"input.input.messages.exists(m, m.content.contains("hello")) && input.input.messages.all(m, m.role != "system")"#,
        r#"input.input.messages.map(m, m.role) == ["user"] && ["user"] == input.input.messages.map(m, m.role)"#,
        r#"input.input.messages[0].content.matches("^hel+o") && !graph.matches("^b")"#,
        r#"has(input.input) && !has(input.command) && size(input.input.messages) == 1"#,
        r#"identity.roles.exists(role, role in ["analyst", "manager"])"#,
        r#"graph in ["support_agent", "billing"] ? identity.roles[0] == "analyst" : false"#,
        r#"string(input.input.amount) == "120" && int("7") == 7 && "x" + graph == "xsupport_agent""#,
    ] {
        assert!(holds(when, &run), "{when}");
    }
    for when in [
        r#"graph == "billing""#,
        r#"input.missing == 1"#,
        r#"identity.claims.missing == "x""#,
        r#"request.headers["x-none"] == "blue""#,
        r#"input.input.messages[9].role == "user""#,
        r#"input.input == null"#,
        r#"1 / (now - now) == 1"#,
    ] {
        assert!(!holds(when, &run), "{when}");
    }
}

#[test]
fn a_request_without_a_body_has_null_for_input() {
    let read = request("GET", &format!("/threads/{THREAD}/state?subgraphs=true"), "");
    assert!(holds(r#"input == null && request.query.subgraphs == "true" && graph == """#, &read));
}

#[test]
fn what_cannot_be_meant_is_a_problem_with_its_column_and_a_hint() {
    for (when, what, hint) in [
        ("idenity.subject == 'x'", "column 1: unknown name `idenity`", "did you mean `identity`?"),
        ("identity.role == 'x'", "unknown name `identity.role`", "did you mean `identity.roles`?"),
        ("graph == 'a' && operation.grpah == 'b'", "unknown name `operation.grpah`", ""),
        ("graph.startWith('x')", "unknown function `startWith`", "did you mean `startsWith`?"),
        ("now() > 3", "unknown function `now`", ""),
        ("graph == 3", "a string and a int do not go together here", ""),
        ("identity.roles == 'admin'", "a list and a string do not go together here", ""),
        ("'admin' in identity.subject", "nothing is in a string", "use contains() on strings"),
        ("3 in identity.roles", "a int and a string do not go together here", ""),
        ("identity.subject", "a condition has to be a bool, and this is a string", ""),
        ("now > '3'", "a int and a string do not go together here", ""),
        ("graph && true", "a bool is needed here, and this is a string", ""),
        ("!graph", "a bool is needed here, and this is a string", ""),
        ("operation.class == 'exectue'", "this is never \"exectue\"", "did you mean \"execute\"?"),
        ("operation.class in ['read', 'wirte']", "this is never \"wirte\"", "did you mean \"write\"?"),
        ("request.method == 'post'", "this is never \"post\"", ""),
        ("graph.matches('(')", "pattern does not compile", ""),
        ("graph.matches(identity.subject)", "a pattern has to be written out", ""),
        ("request.headers['X-Team'] == 'a'", "a header's name is written in lower case", ""),
        ("request.headers[graph] == 'a'", "a header's name has to be written out", ""),
        ("graph == ", "column 10", ""),
        ("graph == 'é' && grahp == 'x'", "column 17: unknown name `grahp`", "did you mean `graph`?"),
        ("graph == 'x' &&\n  grahp == 'x'", "line 2, column 3: unknown name `grahp`", ""),
        (&("graph == 'x'".to_owned() + &" || graph == 'x'".repeat(200)), "more than 400 operators", ""),
        (&("[".repeat(60) + "true" + &"]".repeat(60)), "recursion limit", ""),
        ("graph ==== 'x'", "column", ""),
        ("identity.email == null", "this is never null", "absent strings are empty"),
        ("input == {'a': 1}", "maps cannot be compared", ""),
        ("input.a.all(x, input.b.all(y, x == y))", "a comprehension inside another costs too much", ""),
        ("identity.roles.all(input, true)", "`input` is taken", ""),
        ("type(graph) == string", "unknown function `type`", ""),
        ("optional.of(graph).hasValue()", "unknown", ""),
        ("dyn(graph) == 3", "unknown function `dyn`", ""),
        ("Foo{a: 1} == 1", "no use in a condition", ""),
    ] {
        let problems = one_rule(when, json!("allow")).map(|_| ()).expect_err(when);
        let found = problems.iter().any(|problem| {
            problem.path == "access.rules[0].when"
                && problem.what.contains(what)
                && problem.hint.as_deref().unwrap_or_default().contains(hint)
        });
        assert!(found, "{when}: {problems}");
    }
}

#[test]
fn every_problem_is_found_in_one_run() {
    let problems = rules(json!({"rules": [
        {"name": "a", "operations": ["threads.creat_run", "class:raed", "store.*"], "when": "grph == 'x'", "then": "allow"},
        {"name": "a", "operations": [], "then": {"approval": {"approvers": ["manager"], "quorum": 0, "hold": "241s"}}},
    ]}))
    .map(|_| ())
    .unwrap_err();
    let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "access.rules[0].operations[0]",
            "access.rules[0].operations[1]",
            "access.rules[0].when",
            "access.rules[1].name",
            "access.rules[1].operations",
            "access.rules[1].then.approval.approvers[0]",
            "access.rules[1].then.approval.quorum",
            "access.rules[1].then.approval.hold",
        ]
    );
    let hints: Vec<_> = problems.iter().filter_map(|problem| problem.hint.as_deref()).collect();
    assert!(
        hints.contains(&"did you mean `threads.create_run`?")
            && hints.contains(&"did you mean `class:read`?")
    );
}

#[test]
fn the_first_rule_that_matches_decides_and_none_means_no() {
    let rules = rules(json!({"rules": [
        {"name": "not billing", "operations": ["threads.create_run"], "when": "graph == 'billing'", "then": {"deny": "ask finance"}},
        {"name": "runs", "operations": ["threads.create_run"], "then": "allow"},
    ]}))
    .unwrap();
    let billing = decide(&rules, &run("billing"));
    assert_eq!(billing.rule.as_deref(), Some("not billing"));
    assert_eq!(
        billing.effect,
        Effect::Deny { reason: Reason::AccessDenied, message: Some("ask finance".to_owned()) }
    );
    assert_eq!(
        decide(&rules, &run("support_agent")),
        Decision {
            effect: Effect::Allow,
            rule: Some("runs".to_owned()),
            obligations: Obligations::default()
        }
    );
    let search = decide(&rules, &request("POST", "/threads/search", "{}"));
    assert_eq!(
        search,
        Decision {
            effect: Effect::Deny { reason: Reason::AccessDenied, message: None },
            rule: None,
            obligations: Obligations::default()
        }
    );
    assert!(is_denied(&decide(&Rules::default(), &run("support_agent"))));
}

fn approval(role: &str) -> serde_json::Value {
    json!({"approval": {"approvers": [format!("role:{role}")]}})
}

#[test]
fn a_condition_that_fails_never_weakens_the_outcome() {
    let graph = "graph == 'billing'";
    let unknown = run(ASSISTANT);
    assert_eq!(unknown.unresolved(), [ASSISTANT]);
    let allow_rest = json!({"name": "rest", "operations": ["*"], "then": "allow"});
    let with = |then: serde_json::Value| {
        rules(json!({"rules": [{"name": "first", "operations": ["*"], "when": graph, "then": then}, allow_rest]})).unwrap()
    };
    // Allow: taken for false. Another rule may still allow.
    assert_eq!(decide(&with(json!("allow")), &unknown).rule.as_deref(), Some("rest"));
    // Deny: taken for true.
    assert_eq!(decide(&with(json!("deny")), &unknown).rule.as_deref(), Some("first"));
    assert!(is_denied(&decide(&with(json!("deny")), &unknown)));
    // Approval: the stricter of approval and what would follow.
    assert!(matches!(decide(&with(approval("manager")), &unknown).effect, Effect::Approval(_)));
    let deny_rest = rules(json!({"rules": [
        {"name": "first", "operations": ["*"], "when": graph, "then": approval("manager")},
        {"name": "rest", "operations": ["*"], "then": "deny"},
    ]}))
    .unwrap();
    assert_eq!(decide(&deny_rest, &unknown).rule.as_deref(), Some("rest"));
    // A graph that is known decides as usual.
    assert_eq!(decide(&with(json!("deny")), &run("support_agent")).rule.as_deref(), Some("rest"));
}

#[test]
fn of_several_operations_the_strictest_outcome_counts() {
    let batch = |graphs: &[&str]| {
        let runs: Vec<_> = graphs.iter().map(|graph| json!({"assistant_id": graph})).collect();
        request("POST", "/runs/batch", &json!(runs).to_string())
    };
    let rules = rules(json!({"rules": [
        {"name": "no c", "operations": ["*"], "when": "graph == 'c'", "then": "deny"},
        {"name": "ask b", "operations": ["*"], "when": "graph == 'b'", "then": approval("manager")},
        {"name": "ask d", "operations": ["*"], "when": "graph == 'd'", "then": approval("auditor")},
        {"name": "rest", "operations": ["*"], "then": "allow"},
    ]}))
    .unwrap();
    assert_eq!(decide(&rules, &batch(&["a", "a"])).rule.as_deref(), Some("rest"));
    assert_eq!(decide(&rules, &batch(&["a", "b", "b"])).rule.as_deref(), Some("ask b"));
    assert_eq!(decide(&rules, &batch(&["b", "a"])).rule.as_deref(), Some("ask b"));
    assert_eq!(decide(&rules, &batch(&["b", "c", "a"])).rule.as_deref(), Some("no c"));
    let two = decide(&rules, &batch(&["b", "d"]));
    assert!(is_denied(&two), "one approval cannot stand for both: {two:?}");
}

#[test]
fn an_approval_carries_what_it_asks_with_defaults() {
    let rules = rules(json!({"rules": [{"name": "ask", "operations": ["class:execute"], "then":
        {"approval": {"approvers": ["role:manager", "group:finance"], "quorum": 2, "hold": "90s", "valid": "5m", "expires": "2h"}}}]}))
    .unwrap();
    let Effect::Approval(demand) = decide(&rules, &run("a")).effect else { panic!("no approval") };
    assert_eq!(demand.approvers, ["role:manager", "group:finance"]);
    assert_eq!(
        (demand.quorum, demand.hold.as_secs(), demand.valid.as_secs(), demand.expires.as_secs()),
        (2, 90, 300, 7200)
    );
    let plain = one_rule("true", approval("manager")).unwrap();
    let Effect::Approval(demand) = decide(&plain, &run("a")).effect else { panic!("no approval") };
    assert_eq!(
        (demand.quorum, demand.hold.as_secs(), demand.valid.as_secs(), demand.expires.as_secs()),
        (1, 60, 600, 3600)
    );
}

#[test]
fn a_rule_that_can_never_fire_is_a_problem() {
    let dead =
        |section| rules(section).map(|_| ()).unwrap_err().iter().any(|p| p.what.contains("can never fire"));
    assert!(dead(json!({"rules": [
        {"name": "all", "operations": ["*"], "then": "allow"},
        {"name": "late", "operations": ["threads.delete"], "when": "graph == 'x'", "then": "deny"},
    ]})));
    assert!(dead(json!({"rules": [
        {"name": "a", "operations": ["threads.*"], "then": "allow"},
        {"name": "b", "operations": ["threads.read"], "then": "deny"},
    ]})));
    assert!(dead(json!({"rules": [{"name": "a", "operations": ["*"], "when": "false", "then": "deny"}]})));
    let never = |operations: &str, when: &str| {
        let faults = rules(
            json!({"rules": [{"name": "odd one", "operations": [operations], "when": when, "then": "deny"}]}),
        );
        faults.map(|_| ()).is_err_and(|problems| {
            problems
                .iter()
                .any(|p| p.path == "access.rules[0].when" && p.what.contains("rule `odd one` can never fire"))
        })
    };
    for (operations, when) in [
        ("threads.read", "operation.class == 'admin'"),
        ("class:read", "operation.name == 'threads.delete' || false"),
        ("threads.*", "operation.resource in ['assistants', 'crons']"),
        ("store.*", "operation.action != operation.action"),
        ("*", "graph == 'a' && 'x' in identity.roles && graph == 'b'"),
        ("*", "operation.resume && !operation.resume"),
        ("*", "identity.subject == 'uma' && !(1 == 1)"),
        ("*", "graph != 'a' && graph == 'a'"),
        ("*", "1 == 2"),
        ("threads.read", "!(operation.class == 'read')"),
    ] {
        assert!(never(operations, when), "{operations}: {when}");
    }
    for (operations, when) in [
        ("*", "operation.class == 'admin'"),
        ("class:read", "operation.name == 'threads.read'"),
        ("*", "graph == 'a' || graph == 'b'"),
        ("*", "operation.resume && !operation.update"),
        ("*", "graph == 'a' && identity.subject == 'b'"),
        ("*", "input.graph == 1 && input.graph == 'a' || true"),
    ] {
        assert!(!never(operations, when), "{operations}: {when}");
    }
    let twice = |one: &str, two: &str| {
        let when = "graph == 'x' && identity.claims.level > 3";
        rules(json!({"rules": [
            {"name": "a", "operations": ["threads.*"], "when": when, "then": one},
            {"name": "b", "operations": ["threads.create_run"], "when": when, "then": two},
            {"name": "c", "operations": ["*"], "then": "allow"},
        ]}))
        .map(|_| ())
        .is_err()
    };
    assert!(twice("deny", "allow") && twice("allow", "allow") && twice("deny", "deny"));
    assert!(!twice("allow", "deny"), "where the condition fails the second denies");
    assert!(dead(json!({"rules": [
        {"name": "reads", "operations": ["*"], "when": "operation.class == 'read' || true", "then": "allow"},
        {"name": "late", "operations": ["threads.read"], "then": "deny"},
    ]})));
    assert!(
        rules(json!({"rules": [
            {"name": "a", "operations": ["class:read"], "then": "allow"},
            {"name": "b", "operations": ["threads.*"], "then": "deny"},
        ]}))
        .is_ok()
    );
}

#[test]
fn outcomes_are_written_in_four_ways_only() {
    let then = |then: serde_json::Value| serde_json::from_value::<Then>(then);
    assert_eq!(then(json!("allow")).unwrap(), Then::Allow);
    assert_eq!(then(json!("deny")).unwrap(), Then::Deny(None));
    assert_eq!(then(json!({"deny": "no"})).unwrap(), Then::Deny(Some("no".to_owned())));
    assert!(matches!(then(approval("x")).unwrap(), Then::Approval(_)));
    for wrong in [
        json!("Allow"),
        json!({}),
        json!({"allow": true}),
        json!({"deny": "x", "approval": {"approvers": []}}),
        json!({"approval": {"approvers": ["role:x"], "quorom": 2}}),
        json!(null),
        json!(["allow"]),
    ] {
        assert!(then(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn an_evaluation_that_costs_too_much_fails() {
    let big = json!({"assistant_id": "a", "input": {"items": vec![1; 100_001], "text": "x".repeat(1000)}});
    let big = request("POST", &format!("/threads/{THREAD}/runs"), &big.to_string());
    assert!(!holds("1 in input.input.items", &big));
    assert!(is_denied(&decide(&one_rule("2 in input.input.items", json!("deny")).unwrap(), &big)));
    // One access inside a comprehension for each element: quadratic, so it fails instead of taking long.
    let wide = json!({"assistant_id": "a", "input": {"items": vec![1; 2_000]}});
    let wide = request("POST", &format!("/threads/{THREAD}/runs"), &wide.to_string());
    assert!(holds("input.input.items.all(item, item == 1)", &wide));
    assert!(!holds("input.input.items.all(item, item in input.input.items)", &wide));
}

#[test]
fn hostile_conditions_are_refused_without_deep_recursion() {
    for source in [
        "(".repeat(2000),
        "!".repeat(2000) + "true",
        "[".repeat(2000),
        "true && ".repeat(600) + "true",
        "a".repeat(5000),
        "-".repeat(3000) + "1 == 1",
        "input".to_owned() + &".a".repeat(1000) + " == 1",
        "true ? ".repeat(300) + "true" + &" : true".repeat(300),
    ] {
        let mut problems = Problems::new();
        // Whether it compiles or not, it must come back.
        let compiled = Condition::compile(&source, &["input"], &At::root(), &mut problems);
        assert_eq!(compiled.is_some(), problems.is_empty());
    }
}

#[test]
fn a_condition_about_the_caller_needs_no_request() {
    let at = At::root().member("masking").member("exempt").index(0).member("when");
    let compile = |source: &str| {
        let mut problems = Problems::new();
        Condition::compile(source, &["identity"], &at, &mut problems).ok_or(problems)
    };
    let reader = compile(r#""pii-reader" in identity.roles"#).unwrap();
    assert!(reader.holds_for_identity(&identity(&["pii-reader"])));
    assert!(!reader.holds_for_identity(&identity(&["analyst"])));
    assert!(
        !compile("identity.claims.nothing == 'x'").unwrap().holds_for_identity(&identity(&[])),
        "an error is false"
    );
    let problems = compile("graph == 'x'").unwrap_err();
    assert_eq!(problems.iter().next().map(|p| p.path.as_str()), Some("masking.exempt[0].when"));
}

#[test]
fn debug_of_a_decision_path_holds_no_claim() {
    let rules = one_rule("identity.claims.department == 'support'", json!("allow")).unwrap();
    assert!(!format!("{rules:?}").contains("u-1"));
}

#[test]
fn takes_a_thousand_rules_and_no_more() {
    let section = |count: usize| {
        // Without a condition the first would leave nothing to the others.
        let rule = |index| {
            json!({"name": format!("rule {index}"), "operations": ["threads.read"],
                "when": format!("identity.subject == 'u-{index}'"), "then": "allow"})
        };
        json!({"rules": (0..count).map(rule).collect::<Vec<_>>()})
    };
    assert!(rules(section(1_000)).is_ok());
    let problems = rules(section(1_001)).map(|_| ()).expect_err("more than may be");
    assert!(problems.to_string().contains("more than 1000 rules"), "{problems}");
}
