//! The bypass corpus through a real Envoy to a real LangGraph: what the gate took each request for against what the
//! server then did, by what it asked its own authorisation. No request reaches another operation than the one judged.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::Gate;
use graphwarden_e2e::corpus::{Case, Header, cases, id_of};
use graphwarden_policies::operation::{Config, Reader, Request};
use graphwarden_policies::policy::{At, Problems};
use graphwarden_stand::{Ask, LangGraph, LangGraphSetup, Person, Site, run};
use serde_json::{Value, json};

/// What the server asks for besides, as part of answering what was judged: it looks an assistant or a thread up, reads
/// a run's result back. They read; whatever writes, runs or deletes has to have been judged.
const IMPLIED: &[&str] = &["threads.read", "threads.search", "assistants.search", "assistants.read"];

fn is_covered(asked: &str, judged: &BTreeSet<String>) -> bool {
    // To delete a thread the server first ends its runs, which it calls an update.
    let ends_runs = asked == "threads.update" && judged.contains("threads.delete");
    judged.contains(asked) || IMPLIED.contains(&asked) || ends_runs
}

/// What the corpus takes the policy to open, and a rule that lets everything through: what is refused is refused by
/// the reader.
fn open(policy: &mut Value) {
    policy["operations"] = json!({
        "public": ["system.health"], "webhooks": ["hooks.example.com"], "configurable": ["model"], "context": ["locale"],
    });
    policy["access"] = json!({"rules": [{"name": "everything", "operations": ["*"], "then": "allow"}]});
}

/// What the server wrote down since `from`, one object a line.
fn journal(path: &Path, from: &mut usize) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let fresh = text.get(*from..).unwrap_or_default().to_owned();
    *from = text.len();
    fresh.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn no_request_reaches_an_operation_other_than_the_one_judged() {
    run("bypass", async |site: &Site| -> Result<()> {
        let path = site.folder().join("journal");
        let setup = LangGraphSetup {
            auth: Some(site.tools().root().join("tests/e2e/python/asked.py")),
            environment: vec![("PROBE_JOURNAL".to_owned(), path.display().to_string())],
            ..LangGraphSetup::default()
        };
        let langgraph = LangGraph::start(site, &setup).await?;
        let gate = Gate::with(site, langgraph.port(), |setup| open(&mut setup.policy)).await?;
        let mut section = json!({});
        open(&mut section);
        let config: Config = serde_json::from_value(section["operations"].clone())?;
        let mut problems = Problems::new();
        let reader = Reader::compile(&config, &At::root(), &mut problems).context("no reader")?;
        // What the corpus names is there, so that requests get as far as they can.
        let assistant =
            json!({"assistant_id": id_of("2a"), "graph_id": "support_agent", "if_exists": "do_nothing"});
        let (mut wrong, mut sent, mut arrived, mut from) = (Vec::new(), 0, 0, 0);
        for case in cases(site.tools().root())? {
            // Nothing is sent to a host that is not ours: a webhook that the policy opens would be.
            if String::from_utf8_lossy(&case.body).contains("hooks.example.com") {
                continue;
            }
            for thread in ["0c", "5d"] {
                let thread = json!({"thread_id": id_of(thread), "if_exists": "do_nothing"});
                Ask::post("/threads", &thread).send(langgraph.port()).await?;
            }
            Ask::post("/assistants", &assistant).send(langgraph.port()).await?;
            journal(&path, &mut from);

            let body = case.body.replace_graph();
            let mut ask = Ask::new(&case.method, &case.target).bearer(&gate.token(Person::Analyst));
            for (name, value) in &case.headers {
                ask = ask.header(std::str::from_utf8(name)?, value);
            }
            if !body.is_empty() {
                ask = ask.body(body.clone());
            }
            let status =
                ask.within(Duration::from_secs(6)).send(gate.port()).await.map_or(0, |answer| answer.status);
            sent += 1;
            let seen = journal(&path, &mut from);
            let read = |target: &str, headers: &[Header]| -> Result<Request, String> {
                let head = reader.read_head(case.method.as_bytes(), target.as_bytes(), headers);
                head.and_then(|head| reader.read(&head, &body)).map_err(|refused| refused.detail)
            };
            let judged =
                read(&case.target, &case.headers).or_else(|refused| match case.is_mended_by_envoy() {
                    // What Envoy makes of it was judged; the server says what it got.
                    true => first_path(&seen).map_or(Err(refused), |path| read(&path, &[])),
                    false => Err(refused),
                });
            let judged = match judged {
                Ok(judged) => judged,
                Err(_) if seen.is_empty() => continue,
                Err(refused) => {
                    wrong.push(format!("{}: refused ({refused}), and {seen:?} arrived", case.title));
                    continue;
                }
            };
            arrived += usize::from(!seen.is_empty());
            if seen.is_empty()
                && !judged.operations.iter().all(|operation| operation.resource == "system")
                && status != 0
            {
                wrong.push(format!("{}: judged, and nothing arrived: {status}", case.title));
            }
            wrong.extend(differs(&case, &judged, &seen));
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        ensure!(sent > 140 && arrived > 50, "only {sent} sent and {arrived} arrived");
        Ok(())
    });
}

fn first_path(seen: &[Value]) -> Option<String> {
    seen.iter().find(|line| line["kind"] == "request")?["path"].as_str().map(str::to_owned)
}

/// What the server did that was not judged.
fn differs(case: &Case, judged: &Request, seen: &[Value]) -> Vec<String> {
    let names: BTreeSet<String> = judged.operations.iter().map(|operation| operation.name()).collect();
    let threads: BTreeSet<&str> =
        judged.operations.iter().filter_map(|operation| operation.thread.as_deref()).collect();
    let crons: BTreeSet<&str> =
        judged.operations.iter().filter_map(|operation| operation.cron.as_deref()).collect();
    let assistants: BTreeSet<&str> =
        judged.operations.iter().filter_map(|operation| operation.assistant.as_deref()).collect();
    let mut wrong = Vec::new();
    // The first request is the one that came through the gate; others are the server's own to itself.
    if let Some(path) = first_path(seen) {
        let forwarded = judged.normalised.path.split('?').next().unwrap_or_default();
        if percent_decoded(forwarded) != percent_decoded(&path) {
            wrong.push(format!("{}: judged {forwarded}, the server got {path}", case.title));
        }
    }
    for line in seen.iter().filter(|line| line["kind"] == "asked") {
        let name = line["name"].as_str().unwrap_or_default();
        if !is_covered(name, &names) {
            wrong.push(format!("{}: judged {names:?}, and the server did {name}", case.title));
        }
        let foreign = |member: &str, known: &BTreeSet<&str>| {
            line[member].as_str().is_some_and(|id| !known.is_empty() && !known.contains(id))
        };
        // A new thread, a new assistant and a cron's new id are the server's to choose.
        let chooses = matches!(name, "threads.create" | "assistants.create" | "crons.create");
        if !chooses && (foreign("thread_id", &threads) || foreign("cron_id", &crons)) {
            wrong.push(format!("{}: judged on {threads:?} {crons:?}, and the server did {line}", case.title));
        }
        if !chooses
            && names.contains(name)
            && name.starts_with("assistants.")
            && foreign("assistant_id", &assistants)
        {
            wrong.push(format!("{}: judged on {assistants:?}, and the server did {line}", case.title));
        }
    }
    wrong
}

fn percent_decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        bytes.push(match byte {
            b'%' => digit()
                .zip(digit())
                .and_then(|(high, low)| u8::try_from(high * 16 + low).ok())
                .unwrap_or(b'%'),
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).trim_end_matches('/').to_owned()
}

/// The corpus names graphs that no server has; here they are one that it has.
trait ReplaceGraph {
    fn replace_graph(&self) -> Vec<u8>;
}

impl ReplaceGraph for Vec<u8> {
    fn replace_graph(&self) -> Vec<u8> {
        match std::str::from_utf8(self) {
            Ok(text) => text
                .replace("\"assistant_id\":\"a\"", "\"assistant_id\":\"support_agent\"")
                .replace("\"assistant_id\":\"b\"", "\"assistant_id\":\"support_agent\"")
                .replace("\"graph_id\":\"a\"", "\"graph_id\":\"support_agent\"")
                .into_bytes(),
            Err(_) => self.clone(),
        }
    }
}
