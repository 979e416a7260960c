//! The program as people run it: a desk on a real socket, approvals from the terminal, an export and its proof.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use graphwarden_stand::{Issuer, Person};
use serde_json::{Value, json};

const TOKEN: &str = "gateway-token-for-tests";

struct Desk {
    child: Child,
    url: String,
}

impl Desk {
    async fn start(folder: &Path, issuer: &Issuer) -> Self {
        let port = graphwarden_stand::free_port().unwrap();
        let url = format!("http://127.0.0.1:{}", port.number());
        let child = Command::new(env!("CARGO_BIN_EXE_graphwarden"))
            .args(["serve", "--listen", &format!("127.0.0.1:{}", port.number()), "--issuer", issuer.url()])
            .args(["--audience", issuer.audience(), "--database"])
            .arg(folder.join("desk.db"))
            .env("GRAPHWARDEN_TOKEN", TOKEN)
            .env("GRAPHWARDEN_LOG", "error")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let desk = Self { child, url };
        for _ in 0..400 {
            if let Ok(reply) = reqwest::get(format!("{}/readyz", desk.url)).await
                && reply.status().is_success()
            {
                return desk;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the desk did not become ready");
    }

    async fn ask(&self, exchange: &str, wait: u32) -> Value {
        let body = json!({
            "exchange": exchange,
            "requester": {"issuer": "https://idp.example", "subject": "ana", "name": "Ana", "roles": ["analyst"]},
            "operations": [{"operation": "threads.create_run", "class": "execute", "graph": "billing"}],
            "rule": "production writes need a manager",
            "asks": {"approvers": ["role:manager"], "quorum": 1, "valid_seconds": 600, "expires_seconds": 3600},
            "policy": "ab".repeat(32), "digest": "cd".repeat(32),
            "preview": {"method": "POST", "path": "/runs", "body": "{\"input\":\"[EMAIL]\"}", "truncated": false},
        });
        let reply = reqwest::Client::new()
            .post(format!("{}/v1/approvals", self.url))
            .bearer_auth(TOKEN)
            .header("prefer", format!("wait={wait}"))
            .json(&body)
            .send()
            .await
            .unwrap();
        reply.json().await.unwrap()
    }

    fn run(&self, token: &str, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_graphwarden"))
            .args(["approvals", "--desk", &self.url])
            .args(args)
            .env("GRAPHWARDEN_APPROVER_TOKEN", token)
            .output()
            .unwrap()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_decides_in_the_terminal_and_an_auditor_verifies_the_export() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer::start().await.unwrap();
    let desk = Desk::start(folder.path(), &issuer).await;
    let id = desk.ask("x1", 0).await["id"].as_str().unwrap().to_owned();
    let (manager, engineer) = (issuer.token(Person::Manager), issuer.token(Person::Engineer));

    let listed = desk.run(&manager, &["list"]);
    assert!(listed.status.success() && text(&listed).contains(&id), "{}", text(&listed));
    assert!(text(&listed).contains("yours to decide"));
    let shown = text(&desk.run(&engineer, &["show", &id]));
    assert!(
        shown.contains("[EMAIL]") && shown.contains("you may not decide: only the role manager"),
        "{shown}"
    );
    let refused = desk.run(&engineer, &["approve", &id]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains("not_an_approver"), "{}", text(&refused));

    let (answer, approved) = tokio::join!(desk.ask("x1", 20), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        desk.run(&manager, &["approve", &id, "-m", "go on"])
    });
    assert!(approved.status.success(), "{}", text(&approved));
    assert_eq!(
        (&answer["status"], &answer["decisions"][0]["comment"]),
        (&json!("approved"), &json!("go on"))
    );
    assert_eq!(desk.run(&manager, &["deny", &id]).status.code(), Some(1), "decided already");
    assert!(text(&desk.run("", &["list"])).contains("you are not signed in"));

    let key = reqwest::get(format!("{}/v1/ledger/key", desk.url)).await.unwrap().text().await.unwrap();
    let checkpoint =
        reqwest::get(format!("{}/v1/ledger/checkpoint", desk.url)).await.unwrap().text().await.unwrap();
    let since = folder.path().join("earlier");
    std::fs::write(&since, checkpoint).unwrap();
    let zip = folder.path().join("evidence.zip");
    let program =
        |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_graphwarden")).args(args).output().unwrap();
    let (database, zip_name, since_name) = (
        folder.path().join("desk.db").display().to_string(),
        zip.display().to_string(),
        since.display().to_string(),
    );
    let exported = program(&["export", "--database", &database, "--since", &since_name, "--out", &zip_name]);
    assert!(exported.status.success(), "{}", text(&exported));
    let verified = program(&["verify", &zip_name, "--key", key.trim(), "--since", &since_name]);
    assert!(verified.status.success() && text(&verified).contains("only grown"), "{}", text(&verified));
    let mut bytes = std::fs::read(&zip).unwrap();
    // Inside the records' compressed bytes, past the entry's own header.
    let inside = bytes.windows(13).position(|name| name == b"records.jsonl").unwrap() + 150;
    bytes[inside] ^= 1;
    std::fs::write(&zip, bytes).unwrap();
    let tampered = program(&["verify", &zip_name, "--key", key.trim()]);
    assert_eq!(tampered.status.code(), Some(1));
    assert!(text(&tampered).contains("NOT sound"), "{}", text(&tampered));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_desk_answers_who_waits_and_leaves_with_success() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer::start().await.unwrap();
    let mut desk = Desk::start(folder.path(), &issuer).await;
    let pid = desk.child.id().to_string();
    let begun = std::time::Instant::now();
    let (answer, ()) = tokio::join!(desk.ask("x1", 25), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    });
    assert_eq!(answer["status"], "pending");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(desk.child.wait().unwrap().success());
}
