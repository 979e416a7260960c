//! Patterns and conditions that are slow where a matcher goes back: none here does.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::Gate;
use graphwarden_stand::{Act, Ask, Person, Reply, Site, claims_for, standard_policy};
use serde_json::json;

use crate::{others_are_served, please};

/// One megabyte that almost matches.
pub(crate) fn text() -> Vec<Act> {
    let words = "x".repeat(900) + " ";
    Reply::json(200, &json!({"text": words.repeat(1_100), "run": "x".repeat(30_000)}))
}

/// A matcher that goes back would take until the end of time.
pub(crate) async fn an_evil_pattern_takes_time_in_proportion_to_the_text(gate: &Gate) -> Result<()> {
    let ask = please("pattern").bearer(&gate.token(Person::Analyst)).within(Duration::from_secs(15));
    let port = gate.port();
    let evil = tokio::spawn(async move { ask.send(port).await });
    others_are_served(gate).await?;
    let answer = evil.await??;
    ensure!(answer.status == 200, "{}", answer.status);
    Ok(())
}

/// A token that its provider filled: hundreds of roles, each of which almost matches.
pub(crate) async fn an_evil_condition_ends(gate: &Gate) -> Result<()> {
    let mut claims = claims_for(Person::Analyst, gate.issuer.url(), gate.issuer.audience());
    claims["roles"] = json!(vec!["a".repeat(60) + "!"; 120]);
    let token = gate.issuer.sign(&claims);
    let began = Instant::now();
    for _ in 0..5 {
        let answer = Ask::get(&format!("/threads/{}", graphwarden_e2e::THREAD)).bearer(&token);
        let answer = answer.within(Duration::from_secs(10)).send(gate.port()).await?;
        // Without an error the next rule lets it through; with one, it is not.
        ensure!([200, 403].contains(&answer.status), "{} {}", answer.status, answer.text());
    }
    ensure!(began.elapsed() < Duration::from_secs(5), "{:?} for five", began.elapsed());
    others_are_served(gate).await
}

/// The policy is refused before it runs, with the place.
pub(crate) async fn what_is_too_large_to_compile_is_refused_at_its_place(site: &Site) -> Result<()> {
    let issuer = graphwarden_stand::Issuer::start().await?;
    let check = |name: &str, policy: &serde_json::Value| -> Result<(bool, String)> {
        let path = site.write(name, policy.to_string())?;
        let mut command = Command::new(site.tools().program()?);
        command.arg("check").arg(path);
        for variable in ["GRAPHWARDEN_TOKEN", "GRAPHWARDEN_DIGEST_KEY", "LANGGRAPH_API_KEY"] {
            command.env(variable, "0123456789abcdef0123456789abcdef");
        }
        let output = command.output().context("graphwarden check")?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    };
    let sound = standard_policy(&issuer)?;
    let (passes, said) = check("sound.json", &sound)?;
    ensure!(passes, "{said}");
    for (name, pattern) in [("bomb", "(?:a{1,500}){1,500}"), ("wide", "[a-z]{0,60000}[0-9]")] {
        let mut policy = sound.clone();
        policy["masking"]["custom"] = json!([{"name": name, "pattern": pattern, "with": "[X]"}]);
        let (passes, said) = check("pattern.json", &policy)?;
        ensure!(!passes && said.contains("masking.custom[0]"), "{pattern}: {said}");
    }
    let deep = "(".repeat(3_000) + "true" + &")".repeat(3_000);
    let nested = "identity.roles.all(a, identity.roles.all(b, identity.roles.all(c, a == c)))".to_owned();
    let bomb = r#"identity.subject.matches("(a{1,500}){1,500}")"#.to_owned();
    for when in [deep, nested, bomb, "identity.subject == 'a' || ".repeat(500) + "true"] {
        let mut policy = sound.clone();
        policy["access"]["rules"][0]["when"] = json!(when);
        let (passes, said) = check("condition.json", &policy)?;
        let head: String = when.chars().take(60).collect();
        ensure!(!passes && said.contains("access.rules[0].when"), "{head}: {said}");
    }
    Ok(())
}
