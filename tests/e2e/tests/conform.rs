//! Whether a service in the desk's place is safe to use: the desk is, the script of the documents is, and each way of making
//! that script unsafe is found and named.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use graphwarden_stand::{Desk, GATEWAY_TOKEN, Issuer, Part, Person, Site, claims_for, free_port, run};
use serde_json::{Value, json};

/// Runs `graphwarden conform` and returns its exit code and what it prints as JSON.
async fn conform(site: &Site, url: &str, change: impl FnOnce(&mut Command)) -> Result<(i32, Value)> {
    let mut command = Command::new(site.tools().program()?);
    command.args(["conform", url, "--json"]).env("GRAPHWARDEN_TOKEN", GATEWAY_TOKEN).stdin(Stdio::null());
    change(&mut command);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let report = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("no report: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok((output.status.code().unwrap_or(-1), report))
}

fn broken(report: &Value) -> BTreeSet<String> {
    let names = report["broken"].as_array().into_iter().flatten();
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

#[test]
fn the_desk_keeps_every_promise() {
    run("conform_desk", async |site: &Site| {
        let issuer = Issuer::start().await?;
        let desk = Desk::start(site, issuer.url()).await?;
        let mut second = claims_for(Person::Manager, issuer.url(), issuer.audience());
        second["sub"] = json!("u-ned");
        second["email"] = json!("ned@corp.example");
        let (one, two) = (issuer.token(Person::Manager), issuer.sign(&second));
        let (code, report) = conform(site, &desk.url(), |command| {
            command
                .args(["--approver-token-env", "ONE", "--approver-token-env", "TWO"])
                .env("ONE", one)
                .env("TWO", two);
        })
        .await?;
        ensure!(code == 0 && report["unproven"] == 0, "{code} {report}");
        let notes: Vec<&Value> = report["checks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|check| !check["detail"].is_null())
            .collect();
        ensure!(notes.is_empty(), "the desk waits and wakes: {notes:?}");
        // Without people the rest is tried, and what is not is said.
        let (code, report) = conform(site, &desk.url(), |_| {}).await?;
        ensure!(code == 3 && broken(&report).is_empty(), "{code} {report}");
        ensure!(report["unproven"].as_u64() > Some(10), "{report}");
        Ok(())
    });
}

/// Ways to make the script unsafe: what to write instead of what, and one check that has to name it.
const FAULTS: &[(&str, &str, &str)] = &[
    (
        "if not hmac.compare_digest(presented.encode(), f\"Bearer {self.token}\".encode()):",
        "if False:",
        "token",
    ),
    ("'pending', ?, NULL, NULL)\"", "'approved', ?, 9e12, NULL)\"", "pending"),
    ("        question[\"digest\"],\n", "", "binding_digest"),
    ("        question[\"requester\"][\"subject\"],\n", "", "binding_subject"),
    ("        question[\"requester\"][\"issuer\"],\n", "", "binding_issuer"),
    ("        question[\"policy\"],\n", "", "binding_policy"),
    ("        question[\"rule\"],\n", "", "binding_rule"),
    ("        question[\"operations\"],\n", "", "binding_operations"),
    ("        question[\"asks\"],\n    ]", "    ]", "binding_asks"),
    ("if known is not None and known[\"fingerprint\"] != mark:", "if False:", "exchange_reuse"),
    ("if not set(asks) <= known:", "if False:", "unknown_terms"),
    ("    if not whole:\n", "    if False:\n", "malformed"),
    ("if asks.get(\"preview\") == \"full\" and", "if False and", "preview"),
    ("return min(int(value), 25)", "return int(value) * 3", "wait"),
    ("            if known[\"withdrawn\"]:\n", "            if False:\n", "withdraw_shared"),
    ("if others == 0 and approval", "if approval", "withdraw_shared"),
    ("((state = 'pending' AND ends <= ?) OR", "((state = 'never' AND ends <= ?) OR", "expiry"),
    ("        (identifier, now, now),\n", "        (identifier, now - 3600, now),\n", "late"),
    ("(state = 'approved' AND valid_until <= ?)", "(state = 'never' AND valid_until <= ?)", "validity"),
    ("approval[\"claimed_by\"] not in (None, exchange)", "False", "claimed_once_at_once"),
    ("AND claimed_by IS NULL))\",\n        (mark,)", "))\",\n        (mark,)", "claimed_once"),
    ("        return False\n    names", "        pass\n    names", "own_request"),
    ("return bool(names & set(question[\"asks\"][\"approvers\"]))", "return True", "roles"),
    (
        "INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?)\",\n                (identifier, person[\"issuer\"], subject,",
        "INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?)\",\n                (identifier, person[\"issuer\"], subject + at + str(time.time()),",
        "quorum",
    ),
    ("if agreed >= question[\"asks\"][\"quorum\"]:", "if agreed >= 1:", "quorum"),
    ("        if verdict == \"deny\":\n", "        if verdict == \"refuse\":\n", "denial"),
    (
        "    return {\"id\": approval[\"id\"], \"status\": status, \"decisions\": decisions}",
        "    return {\"id\": approval[\"id\"], \"status\": status, \"decisions\": []}",
        "approve",
    ),
    ("if approval is None or approval[\"state\"] != \"pending\":", "if approval is None:", "late"),
];

const PEOPLE: &str = r#"{
  "1": {"issuer": "https://idp.example", "name": "Mia", "email": "mia@corp.example", "roles": ["manager"]},
  "2": {"issuer": "https://idp.example", "name": "Ned", "email": "ned@corp.example", "roles": ["manager"]}
}"#;

/// Runs a script as the service and tries it.
async fn try_script(site: &Site, name: &str, script: &str, only: &[&str]) -> Result<(i32, Value)> {
    let folder = site.folder().join(name);
    fs::create_dir_all(&folder)?;
    let python = site.tools().python()?;
    let (file, people, database) =
        (folder.join("service.py"), folder.join("people.json"), folder.join("a.db"));
    fs::write(&file, script)?;
    fs::write(&people, PEOPLE)?;
    let port = free_port()?;
    let mut command = Command::new(&python);
    command.arg(&file).arg("serve").arg(port.number().to_string()).arg(&database).arg(&people);
    command.env("GRAPHWARDEN_TOKEN", GATEWAY_TOKEN);
    let mut part = Part::start("service", &folder, &command)?;
    let address = format!("127.0.0.1:{}", port.number());
    part.ready(Duration::from_secs(20), async || tokio::net::TcpStream::connect(&address).await.is_ok())
        .await?;
    // `decide` is given its database and people first, then what the check says.
    let decide =
        format!("{} {} decide {} {}", python.display(), file.display(), database.display(), people.display());
    let url = format!("http://{address}/v1/approvals");
    conform(site, &url, |command| {
        command.args(["--decide", &decide]);
        command.args(only.iter().flat_map(|check| ["--only", check]));
    })
    .await
}

#[test]
fn the_script_of_the_documents_is_safe_and_each_fault_in_it_is_named() {
    run("conform_script", async |site: &Site| {
        let script = fs::read_to_string(site.tools().root().join("docs/approval_service.py"))?;
        let (code, report) = try_script(site, "safe", &script, &[]).await?;
        ensure!(code == 0, "{code} {report}");
        // Most of a try is waiting, so all go together.
        let tries =
            FAULTS.iter().enumerate().map(async |(index, (from, to, check))| -> Result<Option<String>> {
                ensure!(script.matches(from).count() == 1, "the script does not hold exactly once: {from}");
                let (code, report) =
                    try_script(site, &format!("fault-{index}"), &script.replace(from, to), &[*check]).await?;
                let named = code == 1 && broken(&report).contains(*check);
                Ok((!named)
                    .then(|| format!("{check} is not named for {from:?}: {code} {:?}", broken(&report))))
            });
        let mut failed = Vec::new();
        for tried in join_all(tries).await {
            failed.extend(tried?);
        }
        ensure!(failed.is_empty(), "{}", failed.join("\n"));
        Ok(())
    });
}

#[test]
fn what_answers_garbage_or_nothing_breaks_every_promise_and_ends() {
    run("conform_garbage", async |site: &Site| {
        let upstream = graphwarden_stand::Upstream::start(|_| {
            graphwarden_stand::Reply::whole(200, &[], b"<html>it works</html>")
        })
        .await?;
        let url = format!("http://127.0.0.1:{}/v1/approvals", upstream.port());
        let (code, report) = conform(site, &url, |_| {}).await?;
        ensure!(
            code == 1 && broken(&report).contains("pending") && broken(&report).contains("token"),
            "{report}"
        );
        let closed = free_port()?;
        let url = format!("http://127.0.0.1:{}/v1/approvals", closed.number());
        let (code, report) = conform(site, &url, |_| {}).await?;
        ensure!(code == 1 && broken(&report).len() > 15, "{report}");
        Ok(())
    });
}
