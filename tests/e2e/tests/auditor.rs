//! What an auditor does in a real Chromium, over records that a real gate wrote: searching, a record with its approval
//! and replay, findings, an export and its verification. The steps in the browser are `tests/browser/auditor.mjs`.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::{Gate, THREAD, billing};
use graphwarden_policies::evidence::{
    ActorRecord, Chain, DecisionRecord, EffectRecord, Kind, OperationRecord, Record,
};
use graphwarden_policies::identity::Actor;
use graphwarden_policies::operation::Class;
use graphwarden_stand::{Act, Ask, Chromium, GATEWAY_TOKEN, Person, Reply, Site, Upstream, run, unix_now};
use serde_json::json;

/// The old records' thread.
const OLD_THREAD: &str = "0192a000-0000-7000-8000-00000000a001";
/// A person whose name is an attack on the page and on a spreadsheet.
const HOSTILE: &str = "=HYPERLINK(\"https://evil.example\") <img src=x onerror=alert(1)>";
/// A day on which the old records were written, in microseconds since the Unix epoch: 2026-03-02T09:00:00Z.
const OLD_DAY: u64 = 1_772_442_000_000_000;

/// A run that streams for a while; a thread with an address in it.
async fn upstream() -> Result<Upstream> {
    Upstream::start(|seen| {
        if !seen.target.ends_with("/runs/stream") {
            return Reply::json(200, &json!({"thread_id": THREAD, "email": "zoe.obrien@example.com"}));
        }
        let mut head = Reply::head(200, &[("content-type", "text/event-stream")]);
        head.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
        let mut acts = vec![Act::Send(head)];
        let events = [
            "event: metadata\ndata: {\"run_id\": \"0192a000-0000-7000-8000-0000000000f1\"}\n\n".to_owned(),
            "event: values\ndata: {\"text\": \"first words\"}\n\n".to_owned(),
            "event: values\ndata: {\"text\": \"write to zoe.obrien@example.com\"}\n\n".to_owned(),
            "event: values\ndata: {\"text\": \"last words\"}\n\n".to_owned(),
        ];
        for event in events {
            acts.push(Act::Send(format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()));
            acts.push(Act::Wait(Duration::from_millis(500)));
        }
        acts.push(Act::Send(b"0\r\n\r\n".to_vec()));
        acts
    })
    .await
}

fn old(index: u64, at: u64) -> Record {
    let mut record = Record::new(Kind::Outcome, &format!("old-{index}"), "the old gate", at);
    record.actor = Some(ActorRecord {
        issuer: "https://idp.example".into(),
        subject: "u-old".into(),
        name: Some(HOSTILE.into()),
        email: Some("old.hand@corp.example".into()),
        roles: vec!["analyst".into()],
        kind: Actor::Person,
    });
    record.operations = vec![OperationRecord {
        operation: "crons.create".into(),
        class: Class::Execute,
        graph: Some("billing".into()),
        assistant: None,
        thread: Some(OLD_THREAD.into()),
        run: None,
        cron: None,
        namespace: Vec::new(),
        tool: None,
    }];
    record.decision = Some(DecisionRecord {
        effect: EffectRecord::Deny,
        rule: Some("nobody schedules billing".into()),
        reason: None,
        observed: false,
    });
    record
}

/// Records of an earlier time, more than a page of them; and what does not add up: a line that is missing, one that was
/// refused, a clock that went back, one that is ahead.
async fn hand_in_the_past(gate: &Gate) -> Result<()> {
    let mut chain = Chain::new("old".to_owned());
    let mut lines = Vec::new();
    for index in 0..130 {
        lines.push(chain.seal(&old(index, OLD_DAY + index * 1_000_000))?.bytes);
    }
    let mut odd = Chain::new("odd".to_owned());
    for (index, at) in [(200, OLD_DAY), (201, OLD_DAY - 5_000_000), (202, OLD_DAY)] {
        let line = odd.seal(&old(index, at))?.bytes;
        // The last but one goes missing.
        if index != 201 {
            lines.push(line);
        }
    }
    let mut clocks = Chain::new("clocks".to_owned());
    for (index, at) in [(300, OLD_DAY), (301, OLD_DAY - 5_000_000), (302, (unix_now() + 3_600) * 1_000_000)] {
        lines.push(clocks.seal(&old(index, at))?.bytes);
    }
    hand_in(gate, &lines.join(&b'\n'), 200).await?;
    // Another line where one was recorded already.
    let mut other = Chain::new("old".to_owned());
    hand_in(gate, &other.seal(&old(999, OLD_DAY))?.bytes, 409).await
}

async fn hand_in(gate: &Gate, batch: &[u8], status: u16) -> Result<()> {
    let ask = Ask::new("POST", "/v1/evidence")
        .bearer(GATEWAY_TOKEN)
        .header("content-type", "application/x-ndjson")
        .body(batch);
    ask.send(gate.desk.port()).await?.expect_status(status)?;
    Ok(())
}

#[test]
fn an_auditor_finds_reads_takes_away_and_verifies_in_a_real_browser() {
    run("auditor", async |site: &Site| {
        let Some(chromium) = Chromium::find()? else { return Ok(()) };
        let upstream = upstream().await?;
        let gate = Gate::before(site, upstream.port()).await?;
        let streamed = json!({"assistant_id": "support_agent", "input": {"note": "hello"}});
        let ask = Ask::post(&format!("/threads/{THREAD}/runs/stream"), &streamed);
        gate.send(Person::Analyst, ask.clone()).await?.expect_status(200)?;
        gate.send(Person::Auditor, ask).await?.expect_status(403)?;
        let engineer = billing(12).bearer(&gate.token(Person::Engineer)).within(Duration::from_secs(60));
        let port = gate.port();
        let held = tokio::spawn(async move { engineer.send(port).await });
        let manager = gate.token(Person::Manager);
        let approval = gate.desk.wait_for_approval(&manager, Duration::from_secs(20)).await?;
        let id = approval["id"].as_str().context("an approval without an id")?;
        let (status, body) = gate.desk.decide(&manager, id, "approve", "<b>agreed</b> for March").await?;
        ensure!(status == 200, "{status} {body}");
        held.await??.expect_status(200)?;
        hand_in_the_past(&gate).await?;
        gate.outcomes(site, 134).await?;

        let facts = json!({
            "thread": THREAD,
            "oldThread": OLD_THREAD,
            "hostile": HOSTILE,
            "approval": id,
            "folder": site.folder(),
        });
        chromium.run(site, &gate.desk, "auditor.mjs", facts).await?;

        // The report that it holds is read without the desk, from the disk.
        let extracted = Command::new(site.tools().python()?)
            .args(["-m", "zipfile", "-e", "evidence.zip", "evidence"])
            .current_dir(site.folder())
            .status()?;
        ensure!(extracted.success(), "evidence.zip cannot be read");
        let report = format!("file://{}", site.folder().join("evidence/report.html").display());
        chromium.run_on(site, &report, "report.mjs", json!({})).await?;

        // What the browser saved is what the command line takes.
        let key = std::fs::read_to_string(site.folder().join("key.txt"))?;
        let checked = Command::new(site.tools().program()?)
            .arg("verify")
            .arg(site.folder().join("evidence.zip"))
            .args(["--key", key.trim()])
            .output()?;
        ensure!(checked.status.success(), "verify: {}", String::from_utf8_lossy(&checked.stderr));
        Ok(())
    });
}
