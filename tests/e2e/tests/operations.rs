//! The gate's reading of requests against the servers': the table of operations against LangGraph's own
//! description of itself, and the bypass corpus through a real Envoy.

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::Gate;
use graphwarden_e2e::corpus::{Case, Header, ID, cases};
use graphwarden_policies::operation::{Config, Reader};
use graphwarden_policies::policy::{At, Problems};
use graphwarden_policies::reason::Reason;
use graphwarden_stand::{Ask, LangGraph, LangGraphSetup, Person, Reply, Site, Upstream, run};
use serde_json::{Value, json};

/// Whether the gate takes the request line for an operation that it knows.
fn is_known(reader: &Reader, method: &str, path: &str) -> bool {
    let parts = path.split('/').map(|part| if part.starts_with('{') { ID } else { part });
    let path = parts.collect::<Vec<_>>().join("/");
    match reader.read_head(method.as_bytes(), path.as_bytes(), &[]) {
        Ok(_) => true,
        Err(refused) => refused.reason != Reason::OperationUnknown,
    }
}

#[test]
fn the_table_knows_every_route_of_the_servers_own_openapi() {
    run("openapi", async |site: &Site| -> Result<()> {
        let mut problems = Problems::new();
        let reader = Reader::compile(&Config::default(), &At::root(), &mut problems).context("no reader")?;
        let langgraph = LangGraph::start(site, &LangGraphSetup::default()).await?;
        let answer = Ask::get("/openapi.json").send(langgraph.port()).await?;
        answer.expect_status(200)?;
        let document = answer.json()?;
        let paths = document["paths"].as_object().context("no paths")?;
        ensure!(paths.len() > 30, "only {} paths", paths.len());
        let mut unknown = Vec::new();
        for (path, item) in paths {
            for method in item.as_object().context("no methods")?.keys() {
                // The server describes these two and answers 405 and 404; the gate has no use for them.
                if path.trim_end_matches('/') == "/mcp" && method != "post" {
                    continue;
                }
                let method = method.to_uppercase();
                if !is_known(&reader, &method, path) {
                    unknown.push(format!("{method} {path}"));
                }
            }
        }
        ensure!(unknown.is_empty(), "the table does not know {unknown:?}");
        ensure!(!is_known(&reader, "GET", "/a-route-of-tomorrow"), "everything is known");
        Ok(())
    });
}

/// What the corpus takes the policy to open, and a rule that lets everything else through: whatever is refused
/// is refused by the reader.
fn open(policy: &mut Value) {
    policy["operations"] = json!({
        "public": ["system.health"], "webhooks": ["hooks.example.com"], "configurable": ["model"], "context": ["locale"],
    });
    policy["access"] = json!({"rules": [{"name": "everything", "operations": ["*"], "then": "allow"}]});
}

#[test]
fn what_reaches_the_upstream_is_what_was_judged() {
    run("corpus", async |site: &Site| -> Result<()> {
        let upstream = Upstream::start(|_| Reply::json(200, &json!({}))).await?;
        let gate = Gate::with(site, upstream.port(), |setup| open(&mut setup.policy)).await?;
        let mut section = json!({});
        open(&mut section);
        let config: Config = serde_json::from_value(section["operations"].clone())?;
        let mut problems = Problems::new();
        let reader = Reader::compile(&config, &At::root(), &mut problems).context("no reader")?;
        let (mut wrong, mut sent, mut passed) = (Vec::new(), 0, 0);
        for case in cases(site.tools().root())? {
            let mended = case.is_mended_by_envoy();
            let Case { title, method, target, headers, body } = case;
            let mut ask = Ask::new(&method, &target).bearer(&gate.token(Person::Analyst));
            for (name, value) in &headers {
                ask = ask.header(std::str::from_utf8(name)?, value);
            }
            if !body.is_empty() {
                ask = ask.body(body.clone());
            }
            let before = upstream.seen().len();
            // Envoy closes without an answer where it takes a message for none at all.
            let status = ask.send(gate.port()).await.map_or(0, |answer| answer.status);
            let seen = upstream.seen().split_off(before);
            sent += 1;
            let read = |target: &str, headers: &[Header]| {
                let head = reader.read_head(method.as_bytes(), target.as_bytes(), headers)?;
                reader.read(&head, &body)
            };
            match (read(&target, &headers), seen.as_slice()) {
                (Err(_), []) => {
                    if (1..400).contains(&status) {
                        wrong.push(format!("{title}: refused by the reader, answered with {status}"));
                    }
                }
                (Ok(judged), [seen]) => {
                    passed += 1;
                    if seen.target != judged.normalised.path || seen.method != method || seen.body != body {
                        wrong.push(format!("{title}: {} {} went on", seen.method, seen.target));
                    }
                }
                (Err(_), [seen])
                    if mended
                        && read(&seen.target, &[])
                            .is_ok_and(|judged| judged.normalised.path == seen.target) => {}
                (Ok(_), []) => wrong.push(format!("{title}: held back with {status}")),
                (_, seen) => wrong.push(format!("{title}: {seen:?} went on")),
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        ensure!(sent > 140 && passed > 60, "only {sent} sent and {passed} passed");
        Ok(())
    });
}
