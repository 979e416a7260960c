//! What a caller with a good token can do to take more than their part: each meets a limit, is counted, and others are served
//! meanwhile. All of it against one worker, so that whoever is starved shows.
//!
//! Floods of tokens are in `identity` (`a_rotated_key_is_seen_within_two_seconds_while_garbage_floods_in`), floods of evidence
//! in `evidence` (`a_full_queue_refuses_instead_of_forgetting`) and in the desk's `disk`.

mod approvals;
mod bodies;
mod bombs;
mod headers;
mod lanes;
mod patterns;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::{Checks, Gate, THREAD};
use graphwarden_stand::{
    Act, Ask, Desk, Envoy, EnvoySetup, Issuer, Person, Reply, Seen, Site, Upstream, claims_for, run,
    standard_policy,
};
use serde_json::{Value, json};

/// How many requests of one person may wait in the worker, and how many approvals be open at the desk.
const HELD: usize = 3;
const OPEN: usize = 6;

#[test]
fn whoever_takes_more_than_their_part_meets_a_limit_is_counted_and_starves_nobody() {
    run("abuse", async |site: &Site| {
        let upstream = Upstream::start(script).await?;
        let gate = gate(site, upstream.port()).await?;
        let mut checks = Checks::default();
        checks.check("approvals", approvals::one_person_cannot_flood_a_worker_with_holds(&gate)).await;
        checks.check("async", approvals::who_does_not_wait_cannot_flood_approvers_either(&gate)).await;
        checks.check("slow", bodies::slow_bodies_take_one_persons_part_and_no_more(&gate)).await;
        checks.check("structure", bombs::bodies_of_nothing_but_structure_are_refused(&gate)).await;
        checks.check("compressed", bombs::nothing_compressed_is_unpacked(&gate)).await;
        checks.check("nested", bombs::an_answer_nested_without_end_is_cut(&gate)).await;
        checks.check("headers", headers::headers_and_cookies_have_an_end(&gate, &upstream)).await;
        checks.check("pattern", patterns::an_evil_pattern_takes_time_in_proportion_to_the_text(&gate)).await;
        checks.check("condition", patterns::an_evil_condition_ends(&gate)).await;
        checks.check("compile", patterns::what_is_too_large_to_compile_is_refused_at_its_place(site)).await;
        checks.check("lanes", lanes::thousands_of_lanes_hold_no_more_than_their_limit(&gate)).await;
        checks.check("memory", the_worker_has_kept_its_memory(&gate)).await;
        ensure!(!gate.envoy.log_text().contains("panicked"), "the module has panicked");
        checks.outcome()
    });
}

async fn gate(site: &Site, upstream: u16) -> Result<Gate> {
    let issuer = Issuer::start().await?;
    let desk = Desk::start_told(site, issuer.url(), |command| {
        command.args(["--open-per-person", &OPEN.to_string()]);
    })
    .await?;
    let mut setup = EnvoySetup::new(standard_policy(&issuer)?, upstream, desk.port(), issuer.port());
    let policy = &mut setup.policy;
    policy["limits"] = json!({"held": HELD, "bodies": "4MiB"});
    policy["masking"]["custom"] = json!([{"name": "evil", "pattern": "(?:x+x+)+y", "with": "[EVIL]"}]);
    let evil = json!({
        "name": "evil",
        "operations": ["threads.read"],
        "when": r#"identity.roles.exists(role, role.matches("^(a+)+$"))"#,
        "then": "deny",
    });
    policy["access"]["rules"].as_array_mut().context("no rules")?.insert(0, evil);
    let envoy = Envoy::start(site, &setup).await?;
    let gate = Gate { issuer, desk, envoy };
    gate.wait_for_keys().await?;
    Ok(gate)
}

/// Answers by what stands in the request's body.
fn script(seen: &Seen) -> Vec<Act> {
    for (word, answer) in [
        ("please-gzip", bombs::compressed as fn() -> Vec<Act>),
        ("please-nested", bombs::nested),
        ("please-headers", headers::many),
        ("please-header", headers::huge),
        ("please-pattern", patterns::text),
        ("please-lanes", lanes::stream),
    ] {
        if seen.holds(word) {
            return answer();
        }
    }
    Reply::json(200, &json!({"thread_id": THREAD}))
}

/// A run that the upstream answers as this word says.
fn please(word: &str) -> Ask {
    let body = json!({"assistant_id": "support_agent", "input": {"word": format!("please-{word}")}});
    Ask::post(&format!("/threads/{THREAD}/runs/wait"), &body)
}

/// Another engineer than the stand's.
fn eva(gate: &Gate) -> String {
    let mut claims = claims_for(Person::Engineer, gate.issuer.url(), gate.issuer.audience());
    claims["sub"] = json!("u-eva");
    claims["email"] = json!("eva@corp.example");
    gate.issuer.sign(&claims)
}

/// Somebody else reads and runs, soon.
async fn others_are_served(gate: &Gate) -> Result<()> {
    let token = eva(gate);
    for ask in [Ask::get(&format!("/threads/{THREAD}")), please("nothing")] {
        let answer = ask.bearer(&token).within(Duration::from_secs(5)).send(gate.port()).await?;
        answer.expect_status(200).context("somebody else")?;
    }
    Ok(())
}

/// What Envoy has counted under this name with this word in its labels.
async fn counted(gate: &Gate, name: &str, label: &str) -> Result<u64> {
    let page = gate.envoy.prometheus().await?;
    let values = page
        .lines()
        .filter(|line| {
            line.split(['{', ' ']).next().is_some_and(|key| key.ends_with(name)) && line.contains(label)
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(values.sum::<f64>() as u64)
}

/// Requests refused for this reason.
async fn refused(gate: &Gate, reason: &str) -> Result<u64> {
    counted(gate, "graphwarden_requests", &format!("graphwarden_reason=\"{reason}\"")).await
}

/// After all of it; it never shrinks, so this is the most that there was.
async fn the_worker_has_kept_its_memory(gate: &Gate) -> Result<()> {
    let taken = counted(gate, "graphwarden_memory_bytes", "").await?;
    ensure!(taken > 0 && taken < 512 << 20, "{} MiB", taken >> 20);
    Ok(())
}

/// The status and reason of an answer.
fn told(answer: &graphwarden_stand::Answer) -> (u16, String) {
    let body: Value = answer.json().unwrap_or_default();
    (answer.status, body["reason"].as_str().unwrap_or_default().to_owned())
}
