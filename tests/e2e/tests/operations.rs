//! The gate's reading of requests against the servers': the table of operations against LangGraph's own
//! description of itself, and the bypass corpus through a real Envoy.

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::Gate;
use graphwarden_policies::operation::{Config, Reader};
use graphwarden_policies::policy::{At, Problems};
use graphwarden_policies::reason::Reason;
use graphwarden_stand::{Ask, LangGraph, LangGraphSetup, Person, Reply, Site, Upstream, run};
use serde_json::{Value, json};

/// Stands for whatever a path's parameter names.
const ID: &str = "0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab";

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

/// The files of the bypass corpus.
const CORPUS: &[&str] = &["paths", "methods", "headers", "ids", "bodies", "fields", "rpc"];

/// Cases that Envoy mends before the gate sees them: it makes slashes of backslashes, merges slashes, resolves dot
/// segments, takes the path out of an absolute form, and keeps a bare `connection: upgrade` to itself. What it
/// makes of them has to be what was judged, and goes on as it is.
const MENDED_BY_ENVOY: &[&str] = &[
    "a backslash",
    "an absolute form",
    "an upgrade in the Connection header alone",
    "dot segments",
    "empty segments",
    "empty segments inside",
    "half encoded dot segments",
    "single dot segments",
];

/// A header's name and value.
type Header = (Vec<u8>, Vec<u8>);

/// One case of the corpus.
struct Case {
    title: String,
    method: String,
    target: String,
    headers: Vec<Header>,
    body: Vec<u8>,
}

/// Reads a case, or `None` where it cannot be sent as it stands (a target that is no text, a pseudo-header, two
/// of the lengths that a client counts itself).
fn case(case: &str) -> Option<Case> {
    let (title, rest) = case.split_once('\n')?;
    let (_, raw) = rest.split_once("\n---\n")?;
    let names = [
        ("<T32>", ID.replace('-', "")),
        ("<A32>", ID.replacen("0c", "2a", 1).replace('-', "")),
        ("<TUP>", ID.to_uppercase()),
        ("<T>", ID.to_owned()),
        ("<U>", ID.replacen("0c", "5d", 1)),
        ("<R>", ID.replacen("0c", "1f", 1)),
        ("<A>", ID.replacen("0c", "2a", 1)),
        ("<C>", ID.replacen("0c", "3b", 1)),
    ];
    let text = names.iter().fold(raw.to_owned(), |text, (name, id)| text.replace(name, id));
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
    let mut lines = head.lines();
    let mut words = lines.next()?.splitn(3, ' ');
    let (method, target) = (words.next()?, words.next()?);
    let headers: Vec<Header> = lines
        .map(|line| line.split_once(": ").map(|(name, value)| (name.into(), value.into())))
        .collect::<Option<_>>()?;
    let unsendable = |(name, _): &Header| name.starts_with(b":") || name == b"content-length";
    if target.contains("\\x") || headers.iter().any(unsendable) {
        return None;
    }
    Some(Case {
        title: title.to_owned(),
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        body: unescape(body.trim_end_matches('\n')),
    })
}

/// `\xNN` is a byte.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut parts = text.split("\\x");
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.extend(u8::from_str_radix(digits, 16));
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
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
        for file in CORPUS {
            let path = site.tools().root().join(format!("policies/tests/corpus/{file}.txt"));
            let text = std::fs::read_to_string(&path).context(path.display().to_string())?;
            for Case { title, method, target, headers, body } in text.split("=== ").filter_map(case) {
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
                        if seen.target != judged.normalised.path || seen.method != method || seen.body != body
                        {
                            wrong.push(format!("{title}: {} {} went on", seen.method, seen.target));
                        }
                    }
                    (Err(_), [seen])
                        if MENDED_BY_ENVOY.contains(&title.as_str())
                            && read(&seen.target, &[])
                                .is_ok_and(|judged| judged.normalised.path == seen.target) => {}
                    (Ok(_), []) => wrong.push(format!("{title}: held back with {status}")),
                    (_, seen) => wrong.push(format!("{title}: {seen:?} went on")),
                }
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        ensure!(sent > 140 && passed > 60, "only {sent} sent and {passed} passed");
        Ok(())
    });
}
