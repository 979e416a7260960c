//! Two people, one real LangGraph: each keeps to what is theirs, by every door; and no assistant hides its graph.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::{Checks, Gate, expect_refusal, reason};
use graphwarden_stand::{Answer, Ask, LangGraph, LangGraphSetup, Person, Site, run, wait_until};
use serde_json::{Value, json};

/// She owns what the checks are about.
const ANA: Person = Person::Analyst;
/// He tries to get at it.
const ELI: Person = Person::Engineer;
/// She is not bound by ownership.
const MIA: Person = Person::Manager;

fn policy(policy: &mut Value) {
    policy["operations"] = json!({
        "public": ["system.health"], "lookups": { "cluster": "langgraph", "cache": "30s" },
    });
    policy["access"] = json!({
        "ownership": { "key": "owner", "value": "identity.subject", "except": ["role:manager"] },
        "rules": [
            {
                "name": "billing is not for analysts", "operations": ["threads.create_run", "crons.*"],
                "when": "graph == \"billing\" && \"analyst\" in identity.roles",
                "then": { "deny": "not for analysts" },
            },
            { "name": "the rest", "operations": ["*"], "then": "allow" },
        ],
    });
}

#[test]
fn each_keeps_to_what_is_theirs() {
    run("ownership", async |site: &Site| -> Result<()> {
        let langgraph = LangGraph::start(site, &LangGraphSetup::default()).await?;
        let gate = Gate::with(site, langgraph.port(), |setup| {
            policy(&mut setup.policy);
            setup.concurrency = 2;
        })
        .await?;
        let mut checks = Checks::default();
        let port = langgraph.port();
        checks.check("threads", threads(&gate, port)).await;
        checks.check("runs that make threads", runs_that_make_threads(&gate, port)).await;
        checks.check("nobody writes the mark", nobody_writes_the_mark(&gate, port)).await;
        checks.check("assistants", assistants(&gate)).await;
        checks.check("crons", crons(&gate)).await;
        checks.check("mcp", mcp(&gate)).await;
        checks.check("a2a", a2a(&gate)).await;
        checks.check("a2a: the first message", a2a_first_contact(&gate, port)).await;
        checks.check("commands", commands(&gate, port)).await;
        checks.check("no byte but the mark's changes", bytes_stay(&gate, port)).await;
        checks.check("no assistant hides its graph", no_assistant_hides_its_graph(&gate)).await;
        checks.check("the record is of what was forwarded", the_record(&gate, site)).await;
        checks.outcome()
    });
}

async fn post(gate: &Gate, who: Person, path: &str, body: &Value) -> Result<Answer> {
    gate.send(who, Ask::post(path, body).header("accept", "application/json, text/event-stream")).await
}

async fn good(gate: &Gate, who: Person, path: &str, body: &Value) -> Result<Value> {
    let answer = post(gate, who, path, body).await?;
    answer.expect_status(200).with_context(|| path.to_owned())?;
    answer.json()
}

/// Straight from the server, past the gate.
async fn behind(port: u16, path: &str) -> Result<Value> {
    let answer = Ask::get(path).send(port).await?;
    answer.expect_status(200)?;
    answer.json()
}

fn id(value: &Value, name: &str) -> Result<String> {
    Ok(value[name].as_str().with_context(|| format!("no {name} in {value}"))?.to_owned())
}

async fn thread_of(gate: &Gate, who: Person) -> Result<String> {
    id(&good(gate, who, "/threads", &json!({})).await?, "thread_id")
}

fn question() -> Value {
    json!({
        "assistant_id": "support_agent",
        "input": {"messages": [{"role": "user", "content": "Who is customer c-1001?"}]},
    })
}

async fn missing(gate: &Gate, who: Person, ask: Ask) -> Result<()> {
    let answer = gate.send(who, ask).await?;
    expect_refusal(&answer, 404, "not_found")
}

async fn threads(gate: &Gate, port: u16) -> Result<()> {
    let mine = thread_of(gate, ANA).await?;
    let his = thread_of(gate, ELI).await?;
    ensure!(behind(port, &format!("/threads/{mine}")).await?["metadata"]["owner"] == ANA.subject());
    good(gate, ANA, &format!("/threads/{mine}/runs/wait"), &question()).await?;
    let nobodys = Ask::post("/threads", &json!({})).send(port).await?.json()?;
    let nobodys = id(&nobodys, "thread_id")?;

    for (who, own, others) in [(ANA, &mine, &his), (ELI, &his, &mine)] {
        let found = good(gate, who, "/threads/search", &json!({"limit": 100})).await?;
        let found: Vec<&str> =
            found.as_array().context("no list")?.iter().filter_map(|one| one["thread_id"].as_str()).collect();
        ensure!(found.contains(&own.as_str()) && !found.contains(&others.as_str()), "{found:?}");
        let named = good(gate, who, "/threads/search", &json!({"ids": [others, nobodys]})).await?;
        ensure!(named == json!([]), "{named}");
        gate.send(who, Ask::get(&format!("/threads/{own}/state"))).await?.expect_status(200)?;
    }
    let counted = good(gate, ELI, "/threads/count", &json!({})).await?;
    ensure!(counted == json!(1), "{counted}");
    let everything = good(gate, MIA, "/threads/search", &json!({"limit": 100})).await?;
    ensure!(everything.as_array().is_some_and(|all| all.len() >= 3), "{everything}");

    let run_id = behind(port, &format!("/threads/{mine}/runs")).await?[0]["run_id"].clone();
    let run_id = run_id.as_str().context("no run")?;
    for thread in [&mine, &nobodys] {
        for path in [
            String::new(),
            "/state".to_owned(),
            "/history".to_owned(),
            "/runs".to_owned(),
            format!("/runs/{run_id}"),
            format!("/runs/{run_id}/join"),
            "/stream".to_owned(),
        ] {
            missing(gate, ELI, Ask::get(&format!("/threads/{thread}{path}"))).await.context(path)?;
        }
        for (path, body) in [
            ("/history".to_owned(), json!({})),
            ("/state".to_owned(), json!({"values": {"audit": ["eli was here"]}})),
            ("/copy".to_owned(), json!({})),
            ("/runs".to_owned(), question()),
            ("/runs/wait".to_owned(), question()),
            ("/runs/stream".to_owned(), question()),
            (format!("/runs/{run_id}/cancel"), json!({})),
            ("/runs/crons".to_owned(), json!({"assistant_id": "support_agent", "schedule": "0 0 1 1 *"})),
        ] {
            missing(gate, ELI, Ask::post(&format!("/threads/{thread}{path}"), &body)).await.context(path)?;
        }
        // Every spelling of the id is the same id.
        missing(gate, ELI, Ask::get(&format!("/threads/{}", thread.to_uppercase()))).await?;
        missing(gate, ELI, Ask::get(&format!("/threads/{}", thread.replace('-', "")))).await?;
        let patch = Ask::new("PATCH", &format!("/threads/{thread}")).json(&json!({"metadata": {"x": 1}}));
        missing(gate, ELI, patch).await?;
        missing(gate, ELI, Ask::new("DELETE", &format!("/threads/{thread}"))).await?;
        missing(gate, ELI, Ask::new("DELETE", &format!("/threads/{thread}/runs/{run_id}"))).await?;
        missing(gate, ELI, Ask::post("/threads", &json!({"thread_id": thread, "if_exists": "do_nothing"})))
            .await?;
        missing(gate, ELI, Ask::post("/threads/prune", &json!({"thread_ids": [thread]}))).await?;
        missing(gate, ELI, Ask::post("/runs/cancel", &json!({"thread_id": thread, "run_ids": [run_id]})))
            .await?;
    }
    let bulk = gate.send(ELI, Ask::post("/runs/cancel", &json!({"status": "all"}))).await?;
    expect_refusal(&bulk, 403, "field_refused")?;
    let state = behind(port, &format!("/threads/{mine}/state")).await?;
    ensure!(!state.to_string().contains("eli was here"), "he wrote her state");

    // A copy stays hers, what she deletes is gone, and her id can be used again by nobody but through the gate.
    let copy = id(&good(gate, ANA, &format!("/threads/{mine}/copy"), &json!({})).await?, "thread_id")?;
    missing(gate, ELI, Ask::get(&format!("/threads/{copy}"))).await?;
    gate.send(ANA, Ask::new("DELETE", &format!("/threads/{copy}"))).await?.expect_status(204)?;
    missing(gate, ANA, Ask::get(&format!("/threads/{copy}"))).await?;
    good(gate, ELI, "/threads", &json!({"thread_id": copy})).await?;
    missing(gate, ANA, Ask::get(&format!("/threads/{copy}"))).await?;
    gate.send(ELI, Ask::get(&format!("/threads/{copy}"))).await?.expect_status(200)?;
    Ok(())
}

async fn runs_that_make_threads(gate: &Gate, port: u16) -> Result<()> {
    let fresh = "7c6e0f1a-9a1b-4c2d-8e3f-0123456789ab";
    let mut body = question();
    missing(gate, ANA, Ask::post(&format!("/threads/{fresh}/runs/wait"), &body)).await?;
    body["if_not_exists"] = json!("create");
    good(gate, ANA, &format!("/threads/{fresh}/runs/wait"), &body).await?;
    ensure!(behind(port, &format!("/threads/{fresh}")).await?["metadata"]["owner"] == ANA.subject());
    missing(gate, ELI, Ask::post(&format!("/threads/{fresh}/runs/wait"), &body)).await?;
    // A stateless run that keeps its thread keeps it for its caller.
    let mut kept = question();
    kept["on_completion"] = json!("keep");
    let answer = post(gate, ANA, "/runs", &kept).await?;
    answer.expect_status(200)?;
    let thread = id(&answer.json()?, "thread_id")?;
    gate.send(ANA, Ask::get(&format!("/threads/{thread}"))).await?.expect_status(200)?;
    missing(gate, ELI, Ask::get(&format!("/threads/{thread}"))).await?;
    let batch = good(gate, ANA, "/runs/batch", &json!([kept, kept])).await?;
    for run in batch.as_array().context("no runs")? {
        missing(gate, ELI, Ask::get(&format!("/threads/{}", id(run, "thread_id")?))).await?;
    }
    Ok(())
}

async fn nobody_writes_the_mark(gate: &Gate, port: u16) -> Result<()> {
    let mine = thread_of(gate, ANA).await?;
    let foreign = json!({"owner": ELI.subject()});
    for (method, path, body) in [
        ("POST", "/threads".to_owned(), json!({"metadata": foreign})),
        ("PATCH", format!("/threads/{mine}"), json!({"metadata": foreign})),
        ("POST", "/threads/search".to_owned(), json!({"metadata": foreign})),
        ("POST", "/assistants".to_owned(), json!({"graph_id": "support_agent", "metadata": foreign})),
        (
            "POST",
            "/runs".to_owned(),
            json!({"assistant_id": "support_agent", "config": {"metadata": foreign}}),
        ),
        (
            "POST",
            "/runs/crons".to_owned(),
            json!({"assistant_id": "support_agent", "schedule": "0 0 1 1 *", "metadata": foreign}),
        ),
    ] {
        let answer = gate.send(ANA, Ask::new(method, &path).json(&body)).await?;
        expect_refusal(&answer, 403, "field_refused").with_context(|| format!("{method} {path}"))?;
    }
    let patch = Ask::new("PATCH", &format!("/threads/{mine}")).json(&json!({"metadata": {"title": "x"}}));
    gate.send(ANA, patch).await?.expect_status(200)?;
    let metadata = behind(port, &format!("/threads/{mine}")).await?["metadata"].clone();
    ensure!(metadata["owner"] == ANA.subject() && metadata["title"] == "x", "{metadata}");
    // Whoever is not bound may hand a thread over, and that counts at once.
    gate.send(ELI, Ask::get(&format!("/threads/{mine}"))).await?.expect_status(404)?;
    let patch = Ask::new("PATCH", &format!("/threads/{mine}")).json(&json!({"metadata": foreign}));
    gate.send(MIA, patch).await?.expect_status(200)?;
    gate.send(ELI, Ask::get(&format!("/threads/{mine}"))).await?.expect_status(200)?;
    missing(gate, ANA, Ask::get(&format!("/threads/{mine}"))).await
}

async fn assistants(gate: &Gate) -> Result<()> {
    let mine = good(gate, ANA, "/assistants", &json!({"graph_id": "support_agent", "name": "Ana's"})).await?;
    let mine = id(&mine, "assistant_id")?;
    let found = good(gate, ELI, "/assistants/search", &json!({})).await?;
    ensure!(!found.to_string().contains(&mine), "{found}");
    let found = good(gate, ANA, "/assistants/search", &json!({})).await?;
    ensure!(found.to_string().contains(&mine), "{found}");
    for path in ["", "/graph", "/schemas"] {
        missing(gate, ELI, Ask::get(&format!("/assistants/{mine}{path}"))).await?;
    }
    missing(gate, ELI, Ask::post(&format!("/assistants/{mine}/versions"), &json!({}))).await?;
    missing(gate, ELI, Ask::post(&format!("/assistants/{mine}/latest"), &json!({"version": 1}))).await?;
    let patch = || Ask::new("PATCH", &format!("/assistants/{mine}")).json(&json!({"name": "Eli's"}));
    missing(gate, ELI, patch()).await?;
    missing(gate, ELI, Ask::new("DELETE", &format!("/assistants/{mine}"))).await?;
    let mut body = question();
    body["assistant_id"] = json!(mine);
    for path in ["/runs", "/runs/wait", "/runs/stream"] {
        missing(gate, ELI, Ask::post(path, &body)).await?;
    }
    missing(gate, ELI, Ask::post("/runs/batch", &json!([question(), body]))).await?;
    gate.send(ANA, patch()).await?.expect_status(200)?;
    good(gate, ANA, "/runs/wait", &body).await?;
    // The deployment's own assistants are everybody's to run and nobody's to change.
    good(gate, ELI, "/runs/wait", &question()).await?;
    gate.send(ELI, Ask::get("/assistants/support_agent")).await?;
    let system = "00cc8c2c-8c2d-5379-b231-82362dc9e54e";
    gate.send(ELI, Ask::get(&format!("/assistants/{system}"))).await?.expect_status(200)?;
    missing(gate, ELI, Ask::new("DELETE", &format!("/assistants/{system}"))).await?;
    missing(gate, ELI, Ask::new("PATCH", &format!("/assistants/{system}")).json(&json!({"name": "x"}))).await
}

async fn crons(gate: &Gate) -> Result<()> {
    let cron = json!({"assistant_id": "support_agent", "schedule": "0 0 1 1 *", "input": {}});
    let mine = id(&good(gate, ANA, "/runs/crons", &cron).await?, "cron_id")?;
    let found = good(gate, ELI, "/runs/crons/search", &json!({})).await?;
    ensure!(!found.to_string().contains(&mine), "{found}");
    ensure!(good(gate, ELI, "/runs/crons/count", &json!({})).await? == json!(0));
    let found = good(gate, ANA, "/runs/crons/search", &json!({})).await?;
    ensure!(found.to_string().contains(&mine), "{found}");
    let change = |who: Person| {
        let ask = Ask::new("PATCH", &format!("/runs/crons/{mine}")).json(&json!({"enabled": false}));
        gate.send(who, ask)
    };
    expect_refusal(&change(ELI).await?, 404, "not_found")?;
    change(ANA).await?.expect_status(200)?;
    missing(gate, ELI, Ask::new("DELETE", &format!("/runs/crons/{mine}"))).await?;
    gate.send(ANA, Ask::new("DELETE", &format!("/runs/crons/{mine}"))).await?.expect_status(204)?;
    Ok(())
}

fn rpc(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": "1", "method": method, "params": params})
}

async fn mcp(gate: &Gate) -> Result<()> {
    good(gate, ANA, "/assistants", &json!({"graph_id": "support_agent", "name": "Ana's tool"})).await?;
    let call = |name: &str| {
        let arguments = json!({"messages": [{"role": "user", "content": "Who is customer c-1001?"}]});
        rpc("tools/call", &json!({"name": name, "arguments": arguments}))
    };
    let answer = good(gate, ANA, "/mcp", &call("Anas_tool")).await?;
    ensure!(answer["result"]["content"][0]["text"].is_string(), "{answer}");
    missing(gate, ELI, Ask::post("/mcp", &call("Anas_tool")).header("accept", "application/json")).await?;
    let answer = good(gate, ELI, "/mcp", &call("support_agent")).await?;
    ensure!(answer["result"]["content"][0]["text"].is_string(), "{answer}");
    missing(gate, ELI, Ask::post("/mcp", &call("no_such_tool"))).await?;
    let list = post(gate, ELI, "/mcp", &rpc("tools/list", &json!({}))).await?;
    expect_refusal(&list, 403, "field_refused")?;
    let list = good(gate, MIA, "/mcp", &rpc("tools/list", &json!({}))).await?;
    ensure!(list["result"]["tools"].is_array(), "{list}");
    Ok(())
}

async fn a2a(gate: &Gate) -> Result<()> {
    let agent = "/a2a/00cc8c2c-8c2d-5379-b231-82362dc9e54e";
    let thread = thread_of(gate, ANA).await?;
    let send = |context: Option<&str>| {
        let mut message = json!({
            "messageId": "m1", "role": "user", "parts": [{"kind": "text", "text": "Who is customer c-1001?"}],
        });
        if let Some(context) = context {
            message["contextId"] = json!(context);
        }
        rpc("message/send", &json!({"message": message}))
    };
    let answer = good(gate, ANA, agent, &send(Some(&thread))).await?;
    let task = id(&answer["result"], "id")?;
    missing(gate, ELI, Ask::post(agent, &send(Some(&thread)))).await?;
    for method in ["tasks/get", "GetTask", "tasks/cancel", "CancelTask"] {
        missing(gate, ELI, Ask::post(agent, &rpc(method, &json!({"id": task})))).await.context(method)?;
    }
    let answer = good(gate, ANA, agent, &rpc("tasks/get", &json!({"id": task}))).await?;
    ensure!(answer["result"]["id"] == json!(task), "{answer}");
    let list = post(gate, ANA, agent, &rpc("ListTasks", &json!({}))).await?;
    expect_refusal(&list, 403, "field_refused")
}

/// Conversations begin as the protocol has it: with a message that names no context, or one that is not there.
async fn a2a_first_contact(gate: &Gate, port: u16) -> Result<()> {
    let agent = "/a2a/00cc8c2c-8c2d-5379-b231-82362dc9e54e";
    let message = |text: &str, context: Option<&str>| {
        let mut message =
            json!({"messageId": "m1", "role": "user", "parts": [{"kind": "text", "text": text}]});
        if let Some(context) = context {
            message["contextId"] = json!(context);
        }
        json!({"message": message})
    };
    let say = |context: Option<&str>| rpc("message/send", &message("Who is customer c-1001?", context));
    let owner = async |thread: &str| -> Result<Value> {
        Ok(behind(port, &format!("/threads/{thread}")).await?["metadata"]["owner"].clone())
    };
    let mut contexts = Vec::new();
    for (who, other) in [(ANA, ELI), (ELI, ANA)] {
        let begun = good(gate, who, agent, &say(None)).await?;
        let (context, task) = (id(&begun["result"], "contextId")?, id(&begun["result"], "id")?);
        ensure!(begun["result"]["status"]["state"] == "completed", "{begun}");
        ensure!(owner(&context).await? == who.subject());
        // The conversation goes on for its owner, and is not there for the other.
        let went_on = good(gate, who, agent, &say(Some(&context))).await?;
        ensure!(went_on["result"]["contextId"] == json!(context), "{went_on}");
        let answer = good(gate, who, agent, &rpc("tasks/get", &json!({"id": task}))).await?;
        ensure!(answer["result"]["id"] == json!(task), "{answer}");
        missing(gate, other, Ask::post(agent, &say(Some(&context)))).await?;
        missing(gate, other, Ask::post(agent, &rpc("tasks/get", &json!({"id": task})))).await?;
        missing(gate, other, Ask::get(&format!("/threads/{context}/state"))).await?;
        contexts.push(context);
    }
    ensure!(contexts[0] != contexts[1], "two conversations on one thread");

    // Streamed, with a context of the caller's choice; every spelling of it is the same.
    let chosen = "8c6e0f1a-9a1b-4c2d-8e3f-0123456789ab";
    let stream = rpc("message/stream", &message("Who is customer c-1001?", Some(chosen)));
    let answer = post(gate, ANA, agent, &stream).await?;
    answer.expect_status(200)?;
    ensure!(answer.text().contains(chosen), "{}", answer.text());
    ensure!(owner(chosen).await? == ANA.subject());
    for context in [chosen.to_owned(), chosen.to_uppercase(), chosen.replace('-', "")] {
        missing(gate, ELI, Ask::post(agent, &say(Some(&context)))).await?;
    }
    let streamed = rpc("SendStreamingMessage", &message("Who is customer c-1001?", None));
    let answer = post(gate, ELI, agent, &streamed).await?;
    answer.expect_status(200)?;
    let events = answer.events();
    let (_, first) = events.first().context("no event")?;
    let first: Value = serde_json::from_str(first)?;
    let context = first.to_string();
    let context =
        context.split("contextId\":\"").nth(1).and_then(|rest| rest.get(..36)).context("no context")?;
    ensure!(owner(context).await? == ELI.subject());
    missing(gate, ANA, Ask::get(&format!("/threads/{context}"))).await?;

    // At the same moment with the same context: it is one's, and not there for the other.
    let contested = "8d6e0f1a-9a1b-4c2d-8e3f-0123456789ab";
    let body = say(Some(contested));
    let (one, two) = tokio::join!(post(gate, ANA, agent, &body), post(gate, ELI, agent, &body));
    let mut statuses = [one?.status, two?.status];
    statuses.sort_unstable();
    ensure!(statuses == [200, 404], "{statuses:?}");
    // What answers, or is about a task, begins nothing.
    let nowhere = "8e6e0f1a-9a1b-4c2d-8e3f-0123456789ab";
    let mut resume = message("yes", Some(nowhere));
    resume["message"]["command"] = json!({"resume": "yes"});
    missing(gate, ANA, Ask::post(agent, &rpc("message/send", &resume))).await?;
    let answer = Ask::get(&format!("/threads/{nowhere}")).send(port).await?;
    answer.expect_status(404)?;
    Ok(())
}

async fn commands(gate: &Gate, port: u16) -> Result<()> {
    let fresh = "9c6e0f1a-9a1b-4c2d-8e3f-0123456789ab";
    let start = json!({"id": 1, "method": "run.start", "params": question()});
    let answer = post(gate, ANA, &format!("/threads/{fresh}/commands"), &start).await?;
    ensure!(answer.status < 300, "{} {}", answer.status, answer.text());
    ensure!(behind(port, &format!("/threads/{fresh}")).await?["metadata"]["owner"] == ANA.subject());
    missing(gate, ELI, Ask::post(&format!("/threads/{fresh}/commands"), &start)).await?;
    let respond = json!({"id": 1, "method": "input.respond", "params": {"response": "yes"}});
    let answer = post(gate, ELI, &format!("/threads/{fresh}/commands"), &respond).await?;
    ensure!(matches!(answer.status, 403 | 404), "{} {}", answer.status, answer.text());
    let tree = json!({"id": 1, "method": "agent.getTree"});
    missing(gate, ELI, Ask::post(&format!("/threads/{fresh}/commands"), &tree)).await
}

async fn bytes_stay(gate: &Gate, port: u16) -> Result<()> {
    // Larger than one piece of a body, with spellings that a parser and printer would not keep.
    let long = "x\u{1f600}\u{e9}".repeat(60_000);
    let body = format!(
        r#" {{ "metadata" : {{ "n" : 1.10, "e":"\u00e9\/", "long":"{long}" }} , "if_exists":"raise" }} "#
    );
    let ask = Ask::new("POST", "/threads")
        .header("content-type", "application/json")
        .body(body.clone().into_bytes());
    let answer = gate.send(ANA, ask).await?;
    answer.expect_status(200)?;
    let thread = id(&answer.json()?, "thread_id")?;
    let metadata = behind(port, &format!("/threads/{thread}")).await?["metadata"].clone();
    ensure!(
        metadata["long"] == json!(long) && metadata["e"] == "\u{e9}/" && metadata["n"] == json!(1.1),
        "changed"
    );
    ensure!(metadata["owner"] == ANA.subject());
    Ok(())
}

async fn no_assistant_hides_its_graph(gate: &Gate) -> Result<()> {
    let make = async |name: &str, graph: &str| -> Result<String> {
        let made = good(gate, ANA, "/assistants", &json!({"graph_id": graph, "name": name})).await?;
        id(&made, "assistant_id")
    };
    let denied = async |path: &str, body: &Value| -> Result<()> {
        let answer = post(gate, ANA, path, body).await?;
        ensure!(
            answer.status == 403
                && reason(&answer) == "access_denied"
                && answer.text().contains("not for analysts"),
            "{path} {body}: {} {}",
            answer.status,
            answer.text()
        );
        Ok(())
    };
    let input = json!({"customer_id": "c-1001", "amount": 5});
    let with = |assistant: &str| json!({"assistant_id": assistant, "input": input});
    let disguised = make("a support agent", "billing").await?;
    denied("/runs/wait", &with("billing")).await?;
    for spelling in [
        disguised.clone(),
        disguised.to_uppercase(),
        disguised.replace('-', ""),
        format!("urn:uuid:{disguised}"),
    ] {
        denied("/runs/wait", &with(&spelling)).await?;
    }
    denied("/runs", &with(&disguised)).await?;
    denied("/runs/stream", &with(&disguised)).await?;
    denied("/runs/batch", &json!([question(), with(&disguised)])).await?;
    let thread = thread_of(gate, ANA).await?;
    denied(&format!("/threads/{thread}/runs/wait"), &with(&disguised)).await?;
    let command = json!({"id": 1, "method": "run.start", "params": with(&disguised)});
    denied(&format!("/threads/{thread}/commands"), &command).await?;
    denied("/mcp", &rpc("tools/call", &json!({"name": "a_support_agent", "arguments": input}))).await?;
    denied("/mcp", &rpc("tools/call", &json!({"name": "billing", "arguments": input}))).await?;
    let message = json!({"messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "x"}], "contextId": thread});
    denied(&format!("/a2a/{disguised}"), &rpc("message/send", &json!({"message": message}))).await?;
    let mut cron = with(&disguised);
    cron["schedule"] = json!("0 0 1 1 *");
    denied("/runs/crons", &cron).await?;

    // One that she may run, given another graph once the gate has seen it: in whichever worker it is seen next.
    let turned = make("turned", "support_agent").await?;
    let mut honest = question();
    honest["assistant_id"] = json!(turned);
    good(gate, ANA, "/runs/wait", &honest).await?;
    let patch = Ask::new("PATCH", &format!("/assistants/{turned}")).json(&json!({"graph_id": "billing"}));
    gate.send(ANA, patch).await?.expect_status(200)?;
    for _ in 0..8 {
        denied("/runs/wait", &with(&turned)).await?;
    }
    let back =
        Ask::new("PATCH", &format!("/assistants/{turned}")).json(&json!({"graph_id": "support_agent"}));
    gate.send(ANA, back).await?.expect_status(200)?;
    good(gate, ANA, "/runs/wait", &honest).await?;
    // A graph's own assistant keeps its graph, whoever asks.
    for path in ["/assistants/support_agent", "/assistants/00cc8c2c-8c2d-5379-b231-82362dc9e54e"] {
        let answer = gate.send(MIA, Ask::new("PATCH", path).json(&json!({"graph_id": "billing"}))).await?;
        expect_refusal(&answer, 403, "field_refused")?;
    }
    Ok(())
}

async fn the_record(gate: &Gate, site: &Site) -> Result<()> {
    let body = json!({"metadata": {"marker": "recorded"}});
    good(gate, ANA, "/threads", &body).await?;
    let of = |line: &&Value| line["request"]["body"].as_str().is_some_and(|body| body.contains("recorded"));
    wait_until("the record of it", Duration::from_secs(10), async || {
        gate.outcomes(site, 1).await.is_ok_and(|lines| lines.iter().any(|line| of(&line)))
    })
    .await?;
    let lines = gate.outcomes(site, 1).await?;
    let line = lines.iter().find(of).context("no record of it")?;
    let recorded: Value = serde_json::from_str(line["request"]["body"].as_str().unwrap_or_default())?;
    ensure!(recorded["metadata"]["owner"] == ANA.subject(), "{recorded}");
    let by_graph = lines.iter().any(|line| {
        line["operations"][0]["assistant"].is_string() && line["operations"][0]["graph"] == "billing"
    });
    ensure!(by_graph, "no record names the graph that was asked for");
    Ok(())
}
