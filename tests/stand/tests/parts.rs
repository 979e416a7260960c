//! The stand itself, before anything is proven with it: parts start, are seen, and stop.

use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use graphwarden_stand::{
    Ask, Envoy, EnvoySetup, Filter, Issuer, LangGraph, LangGraphSetup, Part, Person, Reply, Site, Upstream,
    run, wait_until,
};
use serde_json::{Value, json};

#[test]
fn a_dropped_part_takes_its_children_along() {
    run("drop", async |site: &Site| {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "sleep 300 & echo $!; wait"]);
        let part = Part::start("shell", site.folder(), &shell)?;
        wait_until("the child's id", Duration::from_secs(5), async || !part.log_text().trim().is_empty())
            .await?;
        let child = part.log_text().trim().to_owned();
        drop(part);
        // An orphan that nobody waited for yet shows as a zombie, which is dead enough.
        let state = Command::new("ps").args(["-o", "stat=", "-p", &child]).output()?.stdout;
        let state = String::from_utf8_lossy(&state).trim().to_owned();
        ensure!(state.is_empty() || state.starts_with('Z'), "process {child} is still there: {state}");
        Ok(())
    });
}

#[test]
fn a_part_that_ends_early_is_reported_with_the_end_of_its_log() {
    run("early", async |site: &Site| {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "echo the reason; exit 3"]);
        let mut part = Part::start("shell", site.folder(), &shell)?;
        let error =
            part.ready(Duration::from_secs(5), async || false).await.err().map(|error| error.to_string());
        let error = error.unwrap_or_default();
        ensure!(
            error.contains("the reason") && error.contains("3") && error.contains("shell.log"),
            "{error}"
        );
        Ok(())
    });
}

#[test]
fn what_the_upstream_is_told_to_send_is_what_the_client_reads() {
    run("upstream", async |_: &Site| {
        let upstream = Upstream::start(|seen| match seen.target.as_str() {
            "/trailers" => Reply::chunked(200, &[], &[b"one", b"two"], &[("checksum", "7")]),
            "/short" => vec![
                graphwarden_stand::Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour".to_vec()),
                graphwarden_stand::Act::Reset,
            ],
            _ => Reply::json(200, &json!({"target": seen.target})),
        })
        .await?;
        let answer = Ask::get("/trailers").send(upstream.port()).await?;
        ensure!(
            answer.text() == "onetwo"
                && answer.trailer("checksum").as_deref() == Some("7")
                && answer.complete
        );
        let answer = Ask::get("/short").send(upstream.port()).await?;
        ensure!(!answer.complete, "{answer:?}");
        let answer = Ask::get("/%74hreads?a=b").header("x-odd", b"caf\xe9").send(upstream.port()).await?;
        ensure!(answer.json()?["target"] == "/%74hreads?a=b");
        let seen = upstream.seen();
        ensure!(seen.len() == 3, "{} requests", seen.len());
        Ok(())
    });
}

#[test]
fn the_issuer_trades_a_code_for_tokens_only_with_the_right_verifier() {
    run("issuer", async |_: &Site| {
        let issuer = Issuer::start().await?;
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let discovery: Value = client
            .get(format!("{}/.well-known/openid-configuration", issuer.url()))
            .send()
            .await?
            .json()
            .await?;
        ensure!(discovery["issuer"] == issuer.url());
        // The pair of RFC 7636, appendix B.
        let (verifier, challenge) =
            ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        for (attempt, status) in [("wrong", 400), (verifier, 200)] {
            let query = [
                ("client_id", "desk"),
                ("redirect_uri", "http://127.0.0.1/back"),
                ("state", "s t"),
                ("code_challenge", challenge),
            ];
            let page =
                client.get(format!("{}/authorize", issuer.url())).query(&query).send().await?.text().await?;
            ensure!(page.contains("Mia Manager"), "{page}");
            let answer = client
                .get(format!("{}/authorize", issuer.url()))
                .query(&query)
                .query(&[("person", "manager")])
                .send()
                .await?;
            let back = answer.headers()["location"].to_str()?.to_owned();
            ensure!(back.contains("state=s%20t"), "{back}");
            let code = back.split("code=").nth(1).and_then(|rest| rest.split('&').next()).unwrap_or_default();
            let form = [("grant_type", "authorization_code"), ("code", code), ("code_verifier", attempt)];
            let answer = client.post(format!("{}/token", issuer.url())).form(&form).send().await?;
            ensure!(answer.status() == status, "{attempt}: {}", answer.status());
        }
        Ok(())
    });
}

#[test]
fn langgraph_answers_through_an_envoy_without_a_filter() {
    run("langgraph", async |site: &Site| {
        let issuer = Issuer::start().await?;
        let langgraph = LangGraph::start(site, &LangGraphSetup::default()).await?;
        let mut setup = EnvoySetup::new(Value::Null, langgraph.port(), issuer.port(), issuer.port());
        setup.filter = Filter::Absent;
        let envoy = Envoy::start(site, &setup).await?;
        let run = json!({"assistant_id": "billing", "input": {"customer_id": "c-1002", "amount": 12}});
        let answer =
            Ask::post("/runs/wait", &run).bearer(&issuer.token(Person::Analyst)).send(envoy.port()).await?;
        answer.expect_status(200)?;
        ensure!(answer.json()?["receipt"]["sent_to"] == "ravi.iyer@example.org", "{}", answer.text());
        ensure!(langgraph.charges() == ["charged c-1002 12.00"], "{:?}", langgraph.charges());
        Ok(())
    });
}
