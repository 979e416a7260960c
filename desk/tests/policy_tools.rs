//! The command line's tools for policies, run as people run them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn graphwarden(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_graphwarden"))
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn yaml_files(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    let mut files: Vec<String> =
        files.map(|path| path.strip_prefix(root()).unwrap().display().to_string()).collect();
    files.sort();
    files
}

#[test]
fn every_preset_is_sound_and_meets_its_expectations() {
    let presets = yaml_files("policies/presets");
    assert_eq!(presets.len(), 4, "{presets:?}");
    let names: Vec<&str> = presets.iter().map(String::as_str).collect();
    let checked = graphwarden(&[&["check", "--strict"], names.as_slice()].concat(), "");
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    for preset in &presets {
        let expectations = preset.replace("presets/", "presets/expectations/");
        let tested = graphwarden(&["test", &expectations], "");
        assert!(tested.status.success(), "{}{}", text(&tested.stdout), text(&tested.stderr));
    }
}

#[test]
fn check_finds_the_policy_inside_envoys_configuration() {
    let checked = graphwarden(&["check", "envoy/envoy.yaml"], "");
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    assert!(text(&checked.stdout).starts_with("envoy/envoy.yaml: sound, digest "));
}

#[test]
fn check_names_line_and_column_inside_envoys_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("envoy.yaml");
    let sound = std::fs::read_to_string(root().join("envoy/envoy.yaml")).unwrap();
    let broken = sound.replacen("graph == \"support_agent\" && (", "grahp == \"support_agent\" && (", 1);
    assert_ne!(sound, broken);
    std::fs::write(&path, &broken).unwrap();
    let checked = graphwarden(&["check", path.to_str().unwrap()], "");
    assert_eq!(checked.status.code(), Some(1));
    let line = 1 + broken.lines().position(|line| line.contains("grahp")).unwrap();
    let column = 1 + broken.lines().nth(line - 1).unwrap().find('\'').unwrap();
    let expected = format!(
        "{}:{line}:{column}: error: access.rules[2].when: column 1: unknown name `grahp` (did you mean `graph`?)\n",
        path.display()
    );
    assert_eq!(text(&checked.stderr), expected);
}

#[test]
fn check_refuses_a_file_without_a_policy() {
    let checked = graphwarden(&["check", "rustfmt.toml", "docs/approvals.openapi.json"], "");
    assert_eq!(checked.status.code(), Some(1));
    assert!(text(&checked.stderr).contains("no policy in this file"));
}

#[test]
fn check_warns_about_a_rule_that_another_decides_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    let preset = std::fs::read_to_string(root().join("policies/presets/read-only.yaml")).unwrap();
    let rule = "    - name: everything\n      operations: [threads.read]\n      then: { deny: closed }\n    - name: people look\n";
    std::fs::write(&path, preset.replace("    - name: people look\n", rule)).unwrap();
    let checked = graphwarden(&["check", path.to_str().unwrap()], "");
    assert!(checked.status.success(), "a warning is no error");
    let warning =
        "warning: rule `everything` decides, whatever the request, about some of what rule `people look`";
    assert!(text(&checked.stderr).contains(warning), "{}", text(&checked.stderr));
    assert_eq!(graphwarden(&["check", "--strict", path.to_str().unwrap()], "").status.code(), Some(1));
}

fn explain(claims: Option<&str>, request: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("claims.json");
    let mut arguments = vec!["explain", "--policy", "policies/presets/iso27001.yaml", "--now", "1800000000"];
    if let Some(claims) = claims {
        std::fs::write(&file, claims).unwrap();
        arguments.extend(["--claims", file.to_str().unwrap()]);
    }
    let explained = graphwarden(&arguments, request);
    assert!(explained.status.success(), "{}", text(&explained.stderr));
    serde_json::from_slice(&explained.stdout).unwrap()
}

#[test]
fn explain_shows_operations_decision_and_the_request_line_that_goes_on() {
    let request = "POST /%74hreads/0C6E0F1A9A1B4C2D8E3F0123456789AB/runs HTTP/1.1\r\nhost: gate\r\ncontent-type: text/plain\r\n\r\n{\"assistant_id\":\"a\",\"command\":{\"update\":{},\"resume\":1}}";
    let explained = explain(Some(r#"{"sub":"otto","roles":["operator"]}"#), request);
    let thread = "0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab";
    let operations = explained["operations"].as_array().unwrap();
    assert_eq!(operations.len(), 2);
    assert_eq!(operations[0]["resource"], "threads");
    assert_eq!(operations[0]["action"], "create_run");
    assert_eq!(operations[0]["class"], "execute");
    assert_eq!(operations[0]["graph"], "a");
    assert_eq!(operations[0]["thread"], thread);
    assert_eq!(operations[0]["facts"]["resume"], true);
    assert_eq!(operations[1]["name"], "threads.update");
    assert_eq!(operations[1]["effect"], "approval");
    assert_eq!(explained["normalised"]["path"], format!("/threads/{thread}/runs"));
    // Both need an approval, on the same terms by different rules: one approval stands for both.
    assert_eq!(explained["decision"]["effect"], "approval");
    assert_eq!(explained["decision"]["obligations"]["approval"]["approvers"][0], "role:approver");
}

#[test]
fn explain_shows_why_a_request_is_refused() {
    let nobody = explain(None, "POST /threads/search HTTP/1.1\n\n{}\n");
    assert_eq!(nobody["decision"]["effect"], "deny");
    assert_eq!(nobody["decision"]["reason"], "token_missing");
    let escaped = explain(Some(r#"{"sub":"otto"}"#), "GET /threads/x%2Fstate HTTP/1.1\n\n");
    assert_eq!(escaped["decision"]["reason"], "request_malformed");
    assert!(escaped["normalised"].is_null());
    let twice = explain(
        Some(r#"{"sub":"otto"}"#),
        "POST /runs HTTP/1.1\n\n{\"assistant_id\":\"a\",\"assistant_id\":\"b\"}",
    );
    assert_eq!(twice["decision"]["detail"], "body has a duplicate member");
}

#[test]
fn explain_reports_a_policy_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    std::fs::write(&path, "access:\n  rules: nothing\n").unwrap();
    let explained = graphwarden(&["explain", "--policy", path.to_str().unwrap()], "GET / HTTP/1.1\n\n");
    assert_eq!(explained.status.code(), Some(1));
    assert!(
        text(&explained.stderr).contains("policy.yaml:2:10: error: access.rules"),
        "{}",
        text(&explained.stderr)
    );
}

#[test]
fn an_expectation_that_does_not_hold_is_named_and_written_as_junit() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table.yaml");
    let junit = folder.path().join("junit.xml");
    let lines = "people: { ann: { sub: ann } }\ntests:\n  - { name: 'reading <all>', who: ann, what: POST /threads/search, body: {}, expect: allow }\n  - { name: running, who: ann, what: POST /runs, body: { assistant_id: a }, expect: allow, rule: other }\n";
    std::fs::write(&table, lines).unwrap();
    let preset = root().join("policies/presets/read-only.yaml");
    let tested = graphwarden(
        &[
            "test",
            table.to_str().unwrap(),
            "--policy",
            preset.to_str().unwrap(),
            "--junit",
            junit.to_str().unwrap(),
        ],
        "",
    );
    assert_eq!(tested.status.code(), Some(1));
    let out = text(&tested.stdout);
    assert!(
        out.contains(
            "running\n     expected allow, got deny; expected rule `other`, got rule `nothing else`"
        ),
        "{out}"
    );
    assert!(out.ends_with("2 expectations, 1 hold, 1 do not\n"), "{out}");
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(
        xml.contains("tests=\"2\" failures=\"1\"") && xml.contains("name=\"reading &lt;all&gt;\""),
        "{xml}"
    );
}

#[test]
fn a_table_wants_people_it_knows_and_something_to_expect() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table.yaml");
    let run = |lines: &str| {
        std::fs::write(&table, lines).unwrap();
        let preset = root().join("policies/presets/read-only.yaml");
        graphwarden(&["test", table.to_str().unwrap(), "--policy", preset.to_str().unwrap()], "")
    };
    let unknown = run("tests: [{ name: x, who: eve, what: GET /ok, expect: allow }]\n");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("`eve` is none of the people"));
    assert_eq!(run("tests: []\n").status.code(), Some(1));
    assert_eq!(run("tests: [{ name: x, what: GET /ok, expect: perhaps }]\n").status.code(), Some(1));
}

/// A policy that asks LangGraph about graphs and owners, and lets nobody run billing; `then` is what becomes of who
/// tries.
fn policy_with_lookups(rule: &str, then: &str) -> String {
    let preset = std::fs::read_to_string(root().join("policies/presets/langgraph-default.yaml")).unwrap();
    let policy = preset
        .replace("  public: [system.health]\n", "  public: [system.health]\n  lookups: { cluster: langgraph }\n")
        .replace(
            "access:\n  rules:\n",
            &format!("access:\n  ownership: {{ key: owner, value: identity.subject, except: [\"role:admin\"] }}\n  rules:\n    - name: {rule}\n      operations: [threads.create_run, crons.*]\n      when: 'graph == \"billing\"'\n      then: {then}\n"),
        );
    assert!(policy.contains("lookups") && policy.contains(rule));
    policy
}

/// A table with this in it over such a policy, and what comes of it.
fn table_of_owners(tests: &str, known: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), policy_with_lookups("no billing", "deny")).unwrap();
    let path = folder.path().join("table.yaml");
    let people = "people: { uma: { sub: uma }, eli: { sub: eli }, adam: { sub: adam, roles: [admin] } }";
    std::fs::write(&path, format!("policy: policy.yaml\n{people}\n{known}\ntests:\n{tests}")).unwrap();
    graphwarden(&["test", path.to_str().unwrap(), "--verbose"], "")
}

#[test]
fn the_table_in_the_policy_reference_holds() {
    let reference = std::fs::read_to_string(root().join("docs/policy.md")).unwrap();
    let mut blocks = reference.split("```yaml,expectations\n").filter_map(|rest| rest.split("```").next());
    let table = blocks.find(|block| block.starts_with("policy: policy.yaml\n")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let policy =
        policy_with_lookups("billing needs a manager", "{ approval: { approvers: [\"role:manager\"] } }");
    let service = "approvals: { cluster: desk, token: { env: GRAPHWARDEN_TOKEN } }";
    std::fs::write(folder.path().join("policy.yaml"), format!("{policy}\n{service}\n")).unwrap();
    let path = folder.path().join("table.yaml");
    std::fs::write(&path, table).unwrap();
    let tested = graphwarden(&["test", path.to_str().unwrap(), "--verbose"], "");
    assert!(tested.status.success(), "{}{}", text(&tested.stdout), text(&tested.stderr));
}

#[test]
fn a_table_says_what_langgraph_would_say() {
    let known = r#"known:
  threads:
    0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab: { owner: uma }
    5d6e0f1a-9a1b-4c2d-8e3f-0123456789ab: absent
  assistants:
    2A6E0F1A9A1B4C2D8E3F0123456789AB: { graph: billing, owner: uma }
    turned: { graph: billing }
  tools:
    my_agent: { graph: support, owner: uma }"#;
    let tests = r#"  - { name: hers, who: uma, what: GET /threads/0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab, expect: allow }
  - { name: not his, who: eli, what: GET /threads/0C6E0F1A-9A1B-4C2D-8E3F-0123456789AB, expect: deny, reason: not_found }
  - { name: not bound, who: adam, what: GET /threads/0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab, expect: allow }
  - { name: not there, who: uma, what: GET /threads/5d6e0f1a-9a1b-4c2d-8e3f-0123456789ab, expect: deny, reason: not_found }
  - { name: a graph behind an assistant, who: uma, what: POST /runs, body: { assistant_id: 2a6e0f1a-9a1b-4c2d-8e3f-0123456789ab }, expect: deny, rule: no billing }
  - { name: a graph by its name, who: uma, what: POST /runs, body: { assistant_id: support }, expect: allow }
  - { name: a graph whose assistant was given another, who: uma, what: POST /runs, body: { assistant_id: turned }, expect: deny, rule: no billing }
  - { name: her tool, who: uma, what: POST /mcp, body: { jsonrpc: "2.0", id: 1, method: tools/call, params: { name: my_agent } }, expect: allow }
  - { name: not his tool, who: eli, what: POST /mcp, body: { jsonrpc: "2.0", id: 1, method: tools/call, params: { name: my_agent } }, expect: deny, reason: not_found }
  - name: a conversation begins
    who: eli
    what: POST /a2a/support
    body: { jsonrpc: "2.0", id: 1, method: message/send, params: { message: { messageId: m } } }
    expect: allow
  - name: another answer in one test alone
    who: eli
    what: GET /threads/0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab
    known: { threads: { 0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab: { owner: eli } } }
    expect: allow
"#;
    let tested = table_of_owners(tests, known);
    assert!(tested.status.success(), "{}{}", text(&tested.stdout), text(&tested.stderr));
    assert!(text(&tested.stdout).ends_with("11 expectations, 11 hold, 0 do not\n"));
}

#[test]
fn a_missing_answer_of_langgraph_is_an_error_that_says_what_to_write() {
    let thread = "0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab";
    for (what, wanted) in [
        (format!("what: GET /threads/{thread}"), format!("threads: {{ {thread}: {{ owner: WHOSE }} }}")),
        (
            format!("what: POST /runs, body: {{ assistant_id: {thread} }}"),
            format!("assistants: {{ {thread}: {{ graph: NAME }} }}"),
        ),
        (format!("what: GET /runs/crons/{thread}"), format!("crons: {{ {thread}: {{ graph: NAME }} }}")),
        (
            "what: POST /mcp, body: { jsonrpc: \"2.0\", id: 1, method: tools/call, params: { name: t } }"
                .to_owned(),
            "tools: { t: { graph: NAME } }".to_owned(),
        ),
    ] {
        // Whatever is expected: without the answer nothing is known to hold.
        for expect in ["allow", "deny"] {
            let tested =
                table_of_owners(&format!("  - {{ name: x, who: uma, {what}, expect: {expect} }}\n"), "");
            assert_eq!(tested.status.code(), Some(1));
            let out = text(&tested.stdout);
            assert!(out.contains(&format!("write known: {{ {wanted} }}")), "{out}");
            assert!(out.contains("or `") && out.contains(": absent`"), "{out}");
        }
    }
    let wrong = "known: { threads: { not-an-id: absent } }";
    let tested = table_of_owners("  - { name: x, who: uma, what: GET /ok, expect: allow }\n", wrong);
    assert!(text(&tested.stderr).contains("`not-an-id` names no thread"), "{}", text(&tested.stderr));
    let wrong = "known: { threads: { x: { owner: uma, graph: a } } }";
    let tested = table_of_owners("  - { name: x, who: uma, what: GET /ok, expect: allow }\n", wrong);
    assert!(text(&tested.stderr).contains("graph"), "{}", text(&tested.stderr));
}

#[test]
fn check_warns_with_line_and_column_inside_envoys_and_istios_yaml() {
    let folder = tempfile::tempdir().unwrap();
    for file in [
        "envoy/envoy.yaml",
        "envoy/istio/wasmplugin.yaml",
        "envoy/istio/request-authentication.yaml",
        "envoy/gateway/gateway.yaml",
    ] {
        let path = folder.path().join("config.yaml");
        let sound = std::fs::read_to_string(root().join(file)).unwrap();
        let first = sound.lines().find(|line| line.trim_start().starts_with("- name: people look")).unwrap();
        let indent = first.len() - first.trim_start().len();
        let closed = format!(
            "{0}- name: closed\n{0}  operations: [threads.read]\n{0}  then: deny\n{first}",
            " ".repeat(indent)
        );
        std::fs::write(&path, sound.replacen(first, &closed, 1)).unwrap();
        let checked = graphwarden(&["check", path.to_str().unwrap()], "");
        assert!(checked.status.success(), "{file}: {}", text(&checked.stderr));
        let written = std::fs::read_to_string(&path).unwrap();
        let line = 1 + written.lines().position(|line| line == first).unwrap();
        let name = first.split_once("name: ").unwrap().1;
        let expected = format!(
            "{}:{line}:{}: warning: rule `closed` decides, whatever the request, about some of what rule `{name}` is about\n",
            path.display(),
            indent + "- name: ".len() + 1
        );
        assert_eq!(text(&checked.stderr), expected, "{file}");
    }
}
