//! Did someone agree: requests that wait for a person, and what else can come of the waiting.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::{Gate, billing, expect_masked, expect_refusal, reason};
use graphwarden_stand::{Act, EnvoySetup, Person, Reply, Site, Upstream, run, wait_until};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);

async fn upstream() -> Result<Upstream> {
    Upstream::start(|_| Reply::json(200, &json!({"receipt": {"amount": 12}}))).await
}

/// The rule about `billing` with a shorter hold.
fn hold(setup: &mut EnvoySetup, time: &str) {
    for rule in setup.policy["access"]["rules"].as_array_mut().into_iter().flatten() {
        if let Some(approval) = rule.pointer_mut("/then/approval") {
            approval["hold"] = json!(time);
        }
    }
}

#[test]
fn a_held_request_goes_on_once_a_manager_agrees() {
    run("approved", async |site: &Site| {
        let upstream = upstream().await?;
        let gate = Gate::before(site, upstream.port()).await?;
        let asked = gate.bill(12);
        let (id, approval) = gate.waiting().await?;
        ensure!(upstream.seen().is_empty(), "it was forwarded before anyone agreed");
        ensure!(approval["requester"]["subject"] == "u-eli", "{approval}");
        // The approver sees the body, masked.
        let preview = approval["preview"]["body"].as_str().unwrap_or_default();
        ensure!(preview.contains("\"amount\":12") && preview.contains("receipt to "), "{approval}");
        expect_masked("the preview", &approval.to_string())?;

        // The one who asks may not agree, nor may someone without the role.
        for person in [Person::Engineer, Person::Analyst] {
            let (status, body) = gate.desk.decide(&gate.token(person), &id, "approve", "").await?;
            ensure!(status == 403, "{person:?}: {status} {body}");
        }
        ensure!(upstream.seen().is_empty(), "it was forwarded on the wrong person's word");
        gate.decide(&id, "approve", "go ahead").await?;

        let answer = asked.await??;
        answer.expect_status(200)?;
        let seen = upstream.seen();
        ensure!(seen.len() == 1, "{seen:?}");
        ensure!(serde_json::from_slice::<Value>(&seen[0].body)?["input"]["amount"] == 12, "the body changed");

        // The approval is spent: the same again asks anew.
        let again = gate.bill(12);
        let (second, _) = gate.waiting().await?;
        ensure!(second != id, "an approval counted twice");
        again.abort();
        Ok(())
    });
}

#[test]
fn a_request_that_was_denied_or_whose_client_left_is_never_forwarded() {
    run("denied", async |site: &Site| {
        let upstream = upstream().await?;
        let gate = Gate::before(site, upstream.port()).await?;
        let asked = gate.bill(13);
        let (id, _) = gate.waiting().await?;
        gate.decide(&id, "deny", "not this month").await?;
        expect_refusal(&asked.await??, 403, "approval_denied")?;

        let conversation = billing(16).bearer(&gate.token(Person::Engineer)).open(gate.port()).await?;
        gate.waiting().await?;
        drop(conversation);
        let manager = gate.token(Person::Manager);
        // The gate learns the approval's id with the answer to its first question, at most 20 s after it.
        wait_until("the approval's end", Duration::from_secs(40), async || {
            gate.desk.open_approvals(&manager).await.is_ok_and(|open| open.is_empty())
        })
        .await?;
        ensure!(upstream.seen().is_empty());
        Ok(())
    });
}

#[test]
fn a_hold_ends_with_the_approvals_address_and_the_same_request_meets_it_again() {
    run("timed_out", async |site: &Site| {
        let upstream = upstream().await?;
        let gate = Gate::with(site, upstream.port(), |setup| hold(setup, "2s")).await?;
        let started = Instant::now();
        let answer = gate.bill(14).await??;
        expect_refusal(&answer, 403, "approval_pending")?;
        ensure!(started.elapsed() < SOON, "the hold took {:?}", started.elapsed());
        let body = answer.json()?;
        let id = body["approval"]["id"].as_str().context("no id")?.to_owned();
        ensure!(body["approval"]["url"].as_str().is_some_and(|url| url.contains(&id)), "{body}");
        ensure!(upstream.seen().is_empty());

        gate.decide(&id, "approve", "").await?;
        // Other bytes are another request.
        let other = gate.bill(15).await??;
        expect_refusal(&other, 403, "approval_pending")?;
        gate.bill(14).await??.expect_status(200)?;
        ensure!(upstream.seen().len() == 1, "{:?}", upstream.seen());
        Ok(())
    });
}

#[test]
fn no_answer_from_the_approval_service_means_no() {
    run("no_service", async |site: &Site| {
        let upstream = upstream().await?;
        // Evidence goes to the real desk; only the approval service is what the test makes of it.
        let service = Upstream::start(|seen| {
            let body: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
            let manager = json!({"issuer": "https://idp.example", "subject": "u-mia", "name": "Mia", "email": "mia@corp.example"});
            let approved = json!({
                "id": "a-1", "status": "approved", "url": "http://desk.example/approvals/a-1",
                "decisions": [{"approver": manager, "decision": "approve", "at": "2026-11-22T10:15:30Z", "comment": ""}],
            });
            match body.pointer("/preview/body").and_then(Value::as_str).unwrap_or_default() {
                text if text.contains("9001") => vec![Act::Wait(Duration::from_secs(60))],
                text if text.contains("9002") => Reply::whole(200, &[], b"approved"),
                text if text.contains("9003") => Reply::json(500, &approved),
                text if text.contains("9004") => Reply::json(200, &json!({"status": "APPROVED"})),
                text if text.contains("9005") => Reply::json(202, &approved),
                text if text.contains("9006") => {
                    Reply::whole(200, &[], br#"{"id":"a-1","status":"approved""#)
                }
                text if text.contains("9007") => vec![Act::Reset],
                text if text.contains("9008") => Reply::json(200, &approved),
                text if text.contains("9009") => Reply::json(504, &approved),
                text if text.contains("9010") => {
                    // Half of a body that would say yes, then the end of the connection.
                    let body = approved.to_string();
                    let mut bytes = Reply::head(200, &[("content-type", "application/json")]);
                    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
                    bytes.extend_from_slice(&body.as_bytes()[..body.len() / 2]);
                    vec![Act::Send(bytes), Act::Close]
                }
                text if text.contains("9011") => vec![Act::Close],
                _ => Reply::json(404, &json!({})),
            }
        })
        .await?;
        // The issuer's cluster leads to the service, so its keys go into the policy.
        let issuer = graphwarden_stand::Issuer::start().await?;
        let desk = graphwarden_stand::Desk::start(site, issuer.url()).await?;
        let mut setup = EnvoySetup::new(
            graphwarden_stand::standard_policy(&issuer)?,
            upstream.port(),
            desk.port(),
            service.port(),
        );
        setup.policy["identity"]["issuers"][0]["keys"] = json!({"inline": issuer.jwks()});
        setup.policy["approvals"]["cluster"] = json!("idp");
        setup.policy["approvals"]["timeout"] = json!("1s");
        hold(&mut setup, "3s");
        let envoy = graphwarden_stand::Envoy::start(site, &setup).await?;
        let token = issuer.token(Person::Engineer);
        for amount in (9001..=9007).chain(9009..=9011) {
            let answer = billing(amount).bearer(&token).send(envoy.port()).await?;
            ensure!(
                answer.status == 503 && reason(&answer) == "approval_unavailable"
                    || answer.status == 403 && reason(&answer) == "approval_pending",
                "{amount}: {} {}",
                answer.status,
                answer.text()
            );
        }
        ensure!(upstream.seen().is_empty(), "{:?}", upstream.seen());
        // The same service saying yes as the contract has it: what was refused above was its doing.
        billing(9008).bearer(&token).send(envoy.port()).await?.expect_status(200)?;
        Ok(())
    });
}

#[test]
fn a_desk_that_is_down_lets_nothing_through() {
    run("desk_down", async |site: &Site| {
        let upstream = upstream().await?;
        let mut gate = Gate::with(site, upstream.port(), |setup| hold(setup, "3s")).await?;
        gate.desk.kill();
        let answer = gate.bill(18).await??;
        ensure!(answer.status == 503, "{} {}", answer.status, answer.text());
        ensure!(
            ["approval_unavailable", "evidence_unavailable"].contains(&reason(&answer).as_str()),
            "{}",
            answer.text()
        );
        ensure!(upstream.seen().is_empty());
        gate.desk.resume().await?;
        let asked = gate.bill(18);
        let (id, _) = gate.waiting().await?;
        gate.decide(&id, "approve", "").await?;
        asked.await??.expect_status(200)?;
        Ok(())
    });
}
