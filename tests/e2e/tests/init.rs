//! What `graphwarden init` writes serves: a real Envoy with it, the desk beside it, and a caller of the issuer.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, ensure};
use graphwarden_e2e::reason;
use graphwarden_stand::{
    Ask, Desk, Envoy, Issuer, Person, Reply, Site, Upstream, free_port, run, wait_until,
};
use serde_json::json;
use std::time::Duration;

#[test]
fn what_init_writes_serves_a_request_and_records_it() {
    run("init", async |site: &Site| {
        let issuer = Issuer::start().await?;
        let upstream =
            Upstream::start(|_| Reply::json(200, &json!([{"owner": "zoe.obrien@example.com"}]))).await?;
        let (port, admin, desk_port) = (free_port()?, free_port()?, free_port()?);
        let (listen, desk_at) =
            (format!("127.0.0.1:{}", port.number()), format!("127.0.0.1:{}", desk_port.number()));
        let langgraph = format!("http://127.0.0.1:{}", upstream.port());
        let output = Command::new(site.tools().program()?)
            .args(["init", "made", "--local", "--issuer", issuer.url(), "--langgraph", &langgraph])
            .args(["--preset", "langgraph-default", "--listen", &listen, "--desk", &desk_at, "--module"])
            .arg(site.tools().module()?)
            .current_dir(site.folder())
            .env("LANGGRAPH_API_KEY", "key-of-langgraph")
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let made = site.folder().join("made");
        let envoy = fs::read_to_string(made.join("envoy.yaml"))?;
        Envoy::validate_text(site, &envoy).await?;

        let secrets = fs::read_to_string(made.join(".env"))?;
        let environment: Vec<(&str, &str)> = secrets
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name, value.trim_matches('\'')))
            .collect();
        let token = environment.iter().find(|(name, _)| *name == "GRAPHWARDEN_TOKEN").context("no token")?.1;
        let desk = Desk::start_with(desk_port, site, issuer.url(), |command| {
            command.env("GRAPHWARDEN_TOKEN", token);
        })
        .await?;
        // Every test of this machine would want the same admin port.
        let envoy = envoy.replace("port_value: 9901", &format!("port_value: {}", admin.number()));
        ensure!(envoy.contains(&format!("port_value: {}", admin.number())), "no admin page in {envoy}");
        let envoy = Envoy::start_text(site, ("gate", &envoy), (port, admin), &environment).await?;

        let search = || Ask::post("/assistants/search", &json!({}));
        wait_until("the issuer's keys", Duration::from_secs(15), async || {
            let answer = search().bearer(&issuer.token(Person::Analyst)).send(envoy.port()).await;
            answer.is_ok_and(|answer| answer.status == 200)
        })
        .await?;
        let answer = search().bearer(&issuer.token(Person::Analyst)).send(envoy.port()).await?;
        answer.expect_status(200)?;
        ensure!(!answer.text().contains("zoe.obrien"), "not masked: {}", answer.text());
        let seen = upstream.seen();
        let last = seen.last().context("nothing reached LangGraph")?;
        ensure!(last.header("x-api-key").as_deref() == Some("key-of-langgraph"), "{last:?}");
        ensure!(last.header("authorization").is_none(), "{last:?}");
        let refused = search().send(envoy.port()).await?;
        ensure!(refused.status == 401 && reason(&refused) == "token_missing", "{}", refused.text());
        wait_until("a record", Duration::from_secs(10), async || {
            desk.export(site).is_ok_and(|lines| lines.iter().any(|line| line["kind"] == "outcome"))
        })
        .await
    });
}
