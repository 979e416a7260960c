//! The real server behind the gate: what it streams, its SDK, and what it learns about callers.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::{Checks, Gate, assembled, billing, expect_masked};
use graphwarden_stand::{Answer, Ask, LangGraph, LangGraphSetup, Part, Person, Site, run, wait_until};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

fn question(modes: &[&str]) -> Value {
    let mut body = json!({
        "assistant_id": "support_agent",
        "input": {"messages": [{"role": "user", "content": "Who is customer c-1001?"}]},
    });
    if !modes.is_empty() {
        body["stream_mode"] = json!(modes);
    }
    body
}

async fn new_thread(gate: &Gate, person: Person) -> Result<String> {
    let answer = gate.send(person, Ask::post("/threads", &json!({}))).await?;
    answer.expect_status(200)?;
    Ok(answer.json()?["thread_id"].as_str().context("no thread_id")?.to_owned())
}

async fn stream(gate: &Gate, modes: &[&str]) -> Result<Answer> {
    let thread = new_thread(gate, Person::Analyst).await?;
    let ask = Ask::post(&format!("/threads/{thread}/runs/stream"), &question(modes));
    let answer = gate.send(Person::Analyst, ask).await?;
    answer.expect_status(200)?;
    ensure!(answer.complete, "the stream breaks off");
    Ok(answer)
}

#[test]
fn the_real_server_behaves_through_the_gate() {
    run("langgraph", async |site: &Site| {
        let mut langgraph = LangGraph::start(site, &LangGraphSetup::default()).await?;
        let gate = Gate::before(site, langgraph.port()).await?;
        let mut checks = Checks::default();
        checks
            .check(
                "answers and streams of every mode are masked",
                answers_and_streams_of_every_mode_are_masked(&gate),
            )
            .await;
        checks
            .check(
                "values split over the deltas of a stream are masked",
                values_split_over_the_deltas_of_a_stream_are_masked(&gate),
            )
            .await;
        checks.check("an interrupt shows no personal data", an_interrupt_shows_no_personal_data(&gate)).await;
        checks
            .check(
                "the official sdk works through the gate",
                the_official_sdk_works_through_the_gate(&gate, site),
            )
            .await;
        checks
            .check(
                "a charge happens only after a manager agrees",
                a_charge_happens_only_after_a_manager_agrees(&gate, &langgraph),
            )
            .await;
        checks
            .check("a stream is recorded as it flowed", a_stream_is_recorded_as_it_flowed(&gate, site))
            .await;
        checks.check("no planted value is anywhere", no_planted_value_is_anywhere(&gate, site)).await;
        checks.check("a LangGraph that is down is a clear error", is_missed(&gate, &mut langgraph)).await;
        checks.outcome()
    });
}

/// The segments of an exchange are what its caller was sent, and the record names its run.
async fn a_stream_is_recorded_as_it_flowed(gate: &Gate, site: &Site) -> Result<()> {
    let answer = stream(gate, &["messages-tuple", "values"]).await?;
    let sent = answer.text();
    let digest: String = Sha256::digest(sent.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let found = || -> Result<Option<(Value, Vec<Value>)>> {
        let lines = gate.desk.export(site)?;
        let outcome = lines.iter().find(|line| line["response"]["body_sha256"] == digest.as_str());
        Ok(outcome.map(|outcome| {
            let segments = lines
                .iter()
                .filter(|line| line["kind"] == "segment" && line["exchange"] == outcome["exchange"]);
            (outcome.clone(), segments.cloned().collect())
        }))
    };
    wait_until("the outcome of the stream", Duration::from_secs(10), async || {
        found().is_ok_and(|found| found.is_some())
    })
    .await?;
    let (outcome, segments) = found()?.context("no outcome with the stream's digest")?;
    let pieces: Vec<&Value> =
        segments.iter().filter_map(|line| line["segment"]["pieces"].as_array()).flatten().collect();
    let text: String = pieces.iter().filter_map(|piece| piece[1].as_str()).collect();
    ensure!(text == sent, "the segments are not what was sent: {} bytes of {}", text.len(), sent.len());
    ensure!(outcome["response"]["segments"] == segments.len(), "{outcome}");
    let offsets: Vec<u64> = pieces.iter().filter_map(|piece| piece[0].as_u64()).collect();
    ensure!(offsets.is_sorted() && offsets.len() > 3, "{offsets:?}");
    let metadata =
        answer.events().into_iter().find(|(event, _)| event == "metadata").context("no metadata")?;
    let run: Value = serde_json::from_str(&metadata.1)?;
    ensure!(outcome["operations"][0]["run"] == run["run_id"], "{outcome}");
    Ok(())
}

/// Not in the database, not in a log, not in any form of export: neither personal data nor a token.
async fn no_planted_value_is_anywhere(gate: &Gate, site: &Site) -> Result<()> {
    let tokens = [Person::Analyst, Person::Engineer, Person::Manager].map(|person| gate.token(person));
    let program = site.tools().program()?;
    let database = site.folder().join("desk.db");
    for (out, more) in
        [("lines.jsonl", [].as_slice()), ("ocsf.jsonl", &["--format", "ocsf"]), ("all.zip", &[])]
    {
        let output = Command::new(&program)
            .args(["export", "--database"])
            .arg(&database)
            .arg("--out")
            .arg(site.folder().join(out))
            .args(more)
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let unpacked = site.folder().join("unpacked");
    let mut unzip = Command::new(site.tools().python()?);
    let script = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])";
    ensure!(unzip.args(["-c", script]).arg(site.folder().join("all.zip")).arg(&unpacked).status()?.success());
    let mut looked = 0;
    for folder in [site.folder(), &unpacked, &unpacked.join("proof")] {
        for entry in std::fs::read_dir(folder)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // LangGraph's own files are on the other side of the gate.
            if !entry.path().is_file() || name.starts_with("langgraph") || name.starts_with("billing") {
                continue;
            }
            let text = String::from_utf8_lossy(&std::fs::read(entry.path())?).into_owned();
            expect_masked(&name, &text)?;
            for token in &tokens {
                let signature = token.rsplit('.').next().unwrap_or(token);
                ensure!(!text.contains(signature), "{name} holds a token");
            }
            looked += 1;
        }
    }
    ensure!(looked >= 12, "only {looked} files were looked at");
    Ok(())
}

async fn answers_and_streams_of_every_mode_are_masked(gate: &Gate) -> Result<()> {
    let thread = new_thread(gate, Person::Analyst).await?;
    let ask = Ask::post(&format!("/threads/{thread}/runs/wait"), &question(&[]));
    let answer = gate.send(Person::Analyst, ask).await?;
    answer.expect_status(200)?;
    expect_masked("runs/wait", &answer.text())?;
    let messages = answer.json()?["messages"].clone();
    let last = messages.as_array().and_then(|all| all.last()).context("no messages")?;
    let text = last["content"].as_str().unwrap_or_default();
    ensure!(
        text.starts_with("Customer Zoë O'Brien can be reached at ") && text.ends_with(" Done ✓"),
        "{text}"
    );

    for mode in ["values", "updates", "messages", "messages-tuple", "debug", "events", "tasks", "checkpoints"]
    {
        let answer = stream(gate, &[mode]).await?;
        expect_masked(mode, &answer.text())?;
        let events = answer.events();
        ensure!(events.len() > 2, "{mode}: {events:?}");
        for (event, data) in &events {
            serde_json::from_str::<Value>(data).with_context(|| format!("{mode}: {event}: {data}"))?;
        }
        ensure!(!events.iter().any(|(event, _)| event == "error"), "{mode}: {events:?}");
    }
    for (path, what) in
        [(format!("/threads/{thread}/state"), "state"), (format!("/threads/{thread}/history"), "history")]
    {
        let answer = gate.send(Person::Analyst, Ask::get(&path)).await?;
        answer.expect_status(200)?;
        expect_masked(what, &answer.text())?;
    }
    Ok(())
}

async fn values_split_over_the_deltas_of_a_stream_are_masked(gate: &Gate) -> Result<()> {
    let answer = stream(gate, &["messages-tuple"]).await?;
    let messages = assembled(&answer)?;
    let mut prose = false;
    let mut arguments = false;
    for (id, text, args) in &messages {
        expect_masked(&format!("text of {id}"), text)?;
        expect_masked(&format!("arguments of {id}"), args)?;
        prose |= text.starts_with("Customer Zoë O'Brien can be reached at ") && text.ends_with(" Done ✓");
        arguments |= args.contains("\"email\"") && args.contains("\"ssn\"");
    }
    ensure!(prose, "the answer's text is not whole: {messages:?}");
    ensure!(arguments, "the tool's arguments are not whole: {messages:?}");
    Ok(())
}

async fn an_interrupt_shows_no_personal_data(gate: &Gate) -> Result<()> {
    let thread = new_thread(gate, Person::Analyst).await?;
    let body = json!({
        "assistant_id": "support_agent",
        "input": {"messages": [{"role": "user", "content": "confirm c-1001"}]},
    });
    let answer =
        gate.send(Person::Analyst, Ask::post(&format!("/threads/{thread}/runs/wait"), &body)).await?;
    answer.expect_status(200)?;
    ensure!(answer.json()?["__interrupt__"].is_array(), "{}", answer.text());
    expect_masked("the interrupt", &answer.text())?;
    Ok(())
}

async fn the_official_sdk_works_through_the_gate(gate: &Gate, site: &Site) -> Result<()> {
    let mut script = Command::new(site.tools().python()?);
    script
        .arg(site.tools().root().join("tests/e2e/python/sdk.py"))
        .args([format!("http://127.0.0.1:{}", gate.port()), gate.token(Person::Analyst)])
        .env("LANGSMITH_TRACING", "false");
    let mut part = Part::start("sdk", site.folder(), &script)?;
    let status = part.exit(Duration::from_secs(60)).await?;
    let text = part.log_text();
    ensure!(status.success(), "{status}: {text}");
    let printed: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).context("not JSON")?;
    ensure!(printed["found"].as_array().is_some_and(|found| found.contains(&printed["thread"])), "{printed}");
    ensure!(printed["waited"]["messages"].is_array() && printed["state"]["values"].is_object(), "{printed}");
    let events = printed["events"].as_array().context("no events")?;
    ensure!(events.len() > 10, "{} events", events.len());
    ensure!(
        printed["refused"] == 403 || printed["refused"] == "PermissionDeniedError",
        "{}",
        printed["refused"]
    );
    expect_masked("what the SDK got", &text)?;
    Ok(())
}

async fn a_charge_happens_only_after_a_manager_agrees(gate: &Gate, langgraph: &LangGraph) -> Result<()> {
    let thread = new_thread(gate, Person::Engineer).await?;
    let body = json!({"assistant_id": "billing", "input": {"customer_id": "c-1001", "amount": 42}});
    let request =
        Ask::post(&format!("/threads/{thread}/runs/wait"), &body).bearer(&gate.token(Person::Engineer));
    let port = gate.port();
    let asked = tokio::spawn(async move { request.send(port).await });
    let (id, _) = gate.waiting().await?;
    ensure!(langgraph.charges().is_empty(), "charged before anyone agreed");
    gate.decide(&id, "approve", "").await?;
    let answer = asked.await??;
    answer.expect_status(200)?;
    ensure!(langgraph.charges() == ["charged c-1001 42.00"], "{:?}", langgraph.charges());
    expect_masked("the receipt", &answer.text())?;
    Ok(())
}

async fn is_missed(gate: &Gate, langgraph: &mut LangGraph) -> Result<()> {
    new_thread(gate, Person::Analyst).await?;
    langgraph.kill();
    let answer = gate.send(Person::Analyst, Ask::post("/threads", &json!({}))).await?;
    ensure!((502..=504).contains(&answer.status), "{} {}", answer.status, answer.text());
    // Held requests meet it too: nothing hangs.
    let analyst = billing(1).bearer(&gate.token(Person::Analyst)).send(gate.port()).await?;
    analyst.expect_status(403)?;
    Ok(())
}

#[test]
fn langgraph_learns_who_calls_and_never_sees_a_token() {
    run("witness", async |site: &Site| {
        let journal = site.folder().join("probe.journal");
        let setup = LangGraphSetup {
            auth: Some(site.tools().root().join("tests/e2e/python/probe.py")),
            environment: vec![("PROBE_JOURNAL".to_owned(), journal.display().to_string())],
            ..LangGraphSetup::default()
        };
        let langgraph = LangGraph::start(site, &setup).await?;
        let gate = Gate::before(site, langgraph.port()).await?;
        let token = gate.token(Person::Analyst);
        let ask = Ask::post("/threads", &json!({})).bearer(&token).header("x-graphwarden-subject", "u-mia");
        let answer = ask.send(gate.port()).await?;
        answer.expect_status(200)?;
        let thread = answer.json()?["thread_id"].as_str().unwrap_or_default().to_owned();
        let ask = Ask::post(&format!("/threads/{thread}/runs/wait"), &question(&[])).bearer(&token);
        ask.send(gate.port()).await?.expect_status(200)?;

        let text = std::fs::read_to_string(&journal).context("the probe wrote nothing")?;
        ensure!(text.lines().count() >= 2, "{text}");
        for part in token.split('.').chain(["authorization", "u-mia"]) {
            ensure!(!text.contains(part), "LangGraph saw {part}");
        }
        for line in text.lines() {
            let line: Value = serde_json::from_str(line)?;
            ensure!(line["headers"]["x-graphwarden-subject"] == "u-ana", "{line}");
            ensure!(line["headers"]["x-api-key"] == "stand-upstream-key", "{line}");
        }
        Ok(())
    });
}
