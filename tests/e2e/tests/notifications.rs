//! People are told where they are, by the desk that people install: a signed webhook and a Slack message to a listener, a letter
//! to a real SMTP server with TLS; what a dead receiver missed comes when it is back, also after the desk was killed.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::{
    Desk, GATEWAY_TOKEN, Issuer, Part, Person, Reply, Seen, Site, Upstream, free_port, run, wait_until,
};
use serde_json::{Value, json};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A certificate authority, and a certificate for `localhost`, by openssl.
fn certificates(site: &Site) -> Result<()> {
    let folder = site.folder();
    let extension = site.write("extension", "subjectAltName = DNS:localhost\n")?;
    let openssl = |arguments: &[&str]| -> Result<()> {
        let made = Command::new("openssl").args(arguments).current_dir(folder).output().context("openssl")?;
        ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
        Ok(())
    };
    let subject = ["-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    openssl(
        &[
            &["req", "-x509", "-days", "2", "-subj", "/CN=stand ca", "-keyout", "ca.key", "-out", "ca.pem"],
            &subject[..],
        ]
        .concat(),
    )?;
    openssl(
        &[&["req", "-subj", "/CN=localhost", "-keyout", "mail.key", "-out", "mail.csr"], &subject[..]]
            .concat(),
    )?;
    openssl(&[
        "x509",
        "-req",
        "-days",
        "2",
        "-in",
        "mail.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-extfile",
        &extension.display().to_string(),
        "-out",
        "mail.pem",
    ])
}

/// Asks as a gate does.
async fn ask(desk: &Desk, exchange: &str, rule: &str) -> Result<String> {
    let question = json!({
        "exchange": exchange,
        "requester": {"issuer": "https://idp.example", "subject": "u-ana", "name": "Ana Analyst", "email": "ana@corp.example", "roles": ["analyst"]},
        "operations": [{"operation": "threads.create_run", "class": "execute", "graph": "billing"}],
        "rule": rule,
        "asks": {"approvers": ["role:manager"], "quorum": 1, "valid_seconds": 600, "expires_seconds": 3600},
        "policy": "ab".repeat(32), "digest": "cd".repeat(32), "gateway": "gate-1",
        "preview": {"method": "POST", "path": "/threads/t/runs", "body": "{\"note\":\"s3cret\"}", "truncated": false},
    });
    let answer = reqwest::Client::new()
        .post(format!("{}/v1/approvals", desk.url()))
        .bearer_auth(GATEWAY_TOKEN)
        .json(&question)
        .send()
        .await?;
    let body: Value = answer.json().await?;
    Ok(body["id"].as_str().with_context(|| format!("no id: {body}"))?.to_owned())
}

fn letters(part: &Part) -> Vec<Value> {
    part.log_text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Quoted-printable, as far as these letters need it.
fn readable(text: &str) -> String {
    text.replace("=\r\n", "").replace("=3D", "=")
}

async fn receiver() -> Result<Upstream> {
    Upstream::start(|seen: &Seen| match seen.target.as_str() {
        "/down" => Reply::whole(503, &[("retry-after", "1")], b""),
        _ => Reply::whole(200, &[], b"ok"),
    })
    .await
}

#[test]
fn a_manager_is_told_by_webhook_slack_and_mail_and_nothing_is_lost_when_the_desk_dies() {
    run("notifications", async |site: &Site| {
        certificates(site)?;
        let (smtp, hooks) = (free_port()?, receiver().await?);
        let python = site.tools().python()?;
        let script = site.tools().root().join("tests/e2e/python/smtpd.py");
        let mut command = Command::new(python);
        command.arg(script).arg(smtp.number().to_string());
        command
            .arg(site.folder().join("mail.pem"))
            .arg(site.folder().join("mail.key"))
            .args(["desk", "s3cret-password"]);
        let mut server = Part::start("smtpd", site.folder(), &command)?;
        let address = format!("127.0.0.1:{}", smtp.number());
        server
            .ready(Duration::from_secs(30), async || tokio::net::TcpStream::connect(&address).await.is_ok())
            .await?;

        let config = format!(
            "notify:\n  webhooks:\n    - {{ name: tickets, url: 'http://127.0.0.1:{hooks}/tickets', secret_env: HOOK, token_env: BEARER, internal: true }}\n    - {{ name: down, url: 'http://127.0.0.1:{hooks}/down', secret_env: HOOK, internal: true, events: [asked] }}\n    - name: mine\n      url: 'http://127.0.0.1:{hooks}/mine'\n      secret_env: HOOK\n      internal: true\n      events: [asked]\n      template: '{{\"short_description\": {{{{ what }}}}, \"link\": {{{{ url }}}}}}'\n  slack:\n    - {{ name: chat, url_env: SLACK, internal: true, events: [asked] }}\n  mail:\n    - {{ name: managers, server: 'localhost:{smtp}', user: desk, password_env: SMTP, from: 'Graphwarden <desk@corp.example>', to: ['mia@corp.example', 'ned@corp.example'] }}\n",
            hooks = hooks.port(),
            smtp = smtp.number(),
        );
        let config = site.write("desk.yaml", config)?;
        let issuer = Issuer::start().await?;
        let slack = format!("http://127.0.0.1:{}/services/T0/B0/secret", hooks.port());
        let mut desk = Desk::start_with(free_port()?, site, issuer.url(), |command| {
            command.arg("--config").arg(&config);
            command
                .env("HOOK", SECRET)
                .env("BEARER", "b34rer")
                .env("SLACK", &slack)
                .env("SMTP", "s3cret-password");
            command.env("SSL_CERT_FILE", site.folder().join("ca.pem"));
        })
        .await?;
        let id = ask(&desk, "x1", "production writes need a manager").await?;
        let of = |target: &'static str| {
            hooks.seen().into_iter().filter(move |seen| seen.target == target).collect::<Vec<_>>()
        };
        wait_until("everyone to be told", Duration::from_secs(20), async || {
            !of("/tickets").is_empty()
                && !of("/services/T0/B0/secret").is_empty()
                && !of("/mine").is_empty()
                && !letters(&server).is_empty()
        })
        .await?;

        let told = of("/tickets").remove(0);
        let mut headers = reqwest::header::HeaderMap::new();
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            headers.insert(name, told.header(name).context(name)?.parse()?);
        }
        standardwebhooks::Webhook::new(SECRET)?.verify(&told.body, &headers)?;
        ensure!(told.header("authorization").as_deref() == Some("Bearer b34rer"));
        let link = format!("{}/approvals/{id}", desk.url());
        let mine: Value = serde_json::from_slice(&of("/mine").remove(0).body)?;
        ensure!(mine == json!({"short_description": "Run the graph billing", "link": link}), "{mine}");
        let chat: Value = serde_json::from_slice(&of("/services/T0/B0/secret").remove(0).body)?;
        let text = chat["text"].as_str().unwrap_or_default();
        ensure!(
            text.contains("*Waits for a decision: Run the graph billing*")
                && text.contains(&format!("<{link}|")),
            "{chat}"
        );
        ensure!(chat["blocks"][1]["elements"][0]["url"] == link.as_str(), "{chat}");

        let letter = letters(&server).remove(0);
        let text = readable(letter["text"].as_str().unwrap_or_default());
        ensure!(letter["tls"] == true && letter["to"].as_array().map(Vec::len) == Some(2), "{letter}");
        ensure!(
            text.contains("Subject: [Graphwarden] Waits for a decision: Run the graph billing"),
            "{text}"
        );
        ensure!(text.contains(&link) && text.contains("Auto-Submitted: auto-generated"), "{text}");
        ensure!(!text.to_lowercase().contains("ned@corp.example"), "receivers see each other: {text}");
        for body in [&text, &chat.to_string(), &String::from_utf8_lossy(&told.body).into_owned()] {
            for secret in ["Ana Analyst", "ana@corp", "s3cret"] {
                ensure!(!body.contains(secret), "{secret} in {body}");
            }
        }

        // A letter that the server does not take now comes later; one that is told after a kill was not lost by it.
        server.kill();
        desk.decide(&issuer.token(Person::Manager), &id, "approve", "fine").await?;
        wait_until("the decision to be told", Duration::from_secs(10), async || of("/tickets").len() == 2)
            .await?;
        // Its answers are written down by then; a kill before would make it send again what was taken.
        tokio::time::sleep(Duration::from_secs(1)).await;
        desk.kill();
        let mut server = Part::start("smtpd-again", site.folder(), &command)?;
        server
            .ready(Duration::from_secs(30), async || tokio::net::TcpStream::connect(&address).await.is_ok())
            .await?;
        desk.resume().await?;
        wait_until("the letter", Duration::from_secs(90), async || {
            letters(&server)
                .iter()
                .any(|letter| readable(letter["text"].as_str().unwrap_or_default()).contains("Approved: Run"))
        })
        .await?;
        ensure!(of("/tickets").len() == 2, "a message that was taken came again");
        // What is down is tried with pauses, and is seen from a terminal.
        let tries = of("/down").len();
        ensure!((2..20).contains(&tries), "{tries} tries");
        let listed = Command::new(site.tools().program()?)
            .args(["approvals", "--desk", &desk.url(), "notifications", "--state", "waiting"])
            .env("GRAPHWARDEN_APPROVER_TOKEN", issuer.token(Person::Manager))
            .output()?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        ensure!(listed.contains("down") && listed.contains("503"), "{listed}");
        let log = fs::read_to_string(site.folder().join("desk.log"))?;
        ensure!(
            !log.contains("s3cret") && !log.contains("T0/B0") && !log.contains("b34rer"),
            "a secret is in the log"
        );
        Ok(())
    });
}
