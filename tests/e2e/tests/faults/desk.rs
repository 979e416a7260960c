//! The desk: slow, answering by halves, with a full disk, and one of two behind one PostgreSQL dying.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::Gate;
use graphwarden_stand::{
    Desk, Envoy, EnvoySetup, Issuer, Person, Postgres, Site, free_port, run, standard_policy, wait_until,
};
use serde_json::{Value, json};

use crate::between::{Between, Wire};
use crate::invariants::{all_is_recorded, no_worker_failed};
use crate::load::{Load, each_is_told_the_truth, run_of, upstream};

/// What a caller is told whose record cannot be written.
const UNAVAILABLE: (u16, &str) = (503, "evidence_unavailable");

#[test]
fn a_desk_that_is_slow_or_answers_by_halves_is_not_believed_and_loses_nothing() {
    run("fault_desk", async |site: &Site| {
        let upstream = upstream().await?;
        let issuer = Issuer::start().await?;
        let desk = Desk::start(site, issuer.url()).await?;
        let between = Between::to(desk.port()).await?;
        let mut setup =
            EnvoySetup::new(standard_policy(&issuer)?, upstream.port(), between.port(), issuer.port());
        setup.concurrency = 2;
        setup.policy["evidence"]["timeout"] = json!("500ms");
        let gate = Gate { envoy: Envoy::start(site, &setup).await?, desk, issuer };
        gate.wait_for_keys().await?;
        let load = Load::start(&gate);
        load.passes().await?;
        between.set(Wire::Late(Duration::from_millis(150)));
        load.passes().await?;
        for wire in [Wire::Begun, Wire::Cut] {
            between.set(wire);
            load.is_refused(UNAVAILABLE.0, UNAVAILABLE.1).await.with_context(|| format!("{wire:?}"))?;
            between.set(Wire::Whole);
            load.passes().await.with_context(|| format!("after {wire:?}"))?;
        }
        let told = load.end().await?;
        each_is_told_the_truth(&told, &[UNAVAILABLE])?;
        no_worker_failed(&gate.envoy).await?;
        // What was handed in and not acknowledged was handed in again, and stands there once.
        all_is_recorded(|| gate.desk.export(site), &upstream.seen()).await.map(drop)
    });
}

#[test]
fn while_the_desks_disk_is_full_nothing_acts_and_afterwards_all_is_recorded() {
    run("fault_disk", async |site: &Site| {
        let upstream = upstream().await?;
        let gate = Gate::with(site, upstream.port(), |setup| setup.concurrency = 2).await?;
        let load = Load::start(&gate);
        load.passes().await?;
        gate.desk.limit_files("0")?;
        load.is_refused(UNAVAILABLE.0, UNAVAILABLE.1).await?;
        let acted = upstream.seen().len();
        let refused = gate.send(Person::Analyst, run_of(800_000_000)).await?;
        graphwarden_e2e::expect_refusal(&refused, UNAVAILABLE.0, UNAVAILABLE.1)?;
        ensure!(
            !upstream.seen().iter().skip(acted).any(|seen| seen.method == "POST"),
            "something acted while no record could be written"
        );
        gate.desk.limit_files("unlimited")?;
        load.passes().await?;
        let told = load.end().await?;
        each_is_told_the_truth(&told, &[UNAVAILABLE])?;
        no_worker_failed(&gate.envoy).await?;
        all_is_recorded(|| gate.desk.export(site), &upstream.seen()).await.map(drop)
    });
}

#[test]
fn one_of_two_desks_behind_one_postgres_dies_and_the_other_takes_over_under_load() {
    run("fault_replicas", async |site: &Site| {
        let Some(server) = Postgres::start().await? else { return Ok(()) };
        let database = server.database()?;
        let key = Command::new(site.tools().program()?).arg("key").output()?;
        let key = String::from_utf8(key.stdout)?.trim().to_owned();
        let (upstream, issuer) = (upstream().await?, Issuer::start().await?);
        let start = async || {
            Desk::start_with(free_port()?, site, issuer.url(), |command| {
                command.env("GRAPHWARDEN_DATABASE", &database).env("GRAPHWARDEN_LOG_KEY", &key);
            })
            .await
        };
        let (mut one, two) = (start().await?, start().await?);
        let mut setup =
            EnvoySetup::new(standard_policy(&issuer)?, upstream.port(), one.port(), issuer.port());
        setup.replicas = vec![two.port()];
        setup.concurrency = 2;
        let envoy = Envoy::start(site, &setup).await?;
        let token = issuer.token(Person::Analyst);
        wait_until("the issuer's keys", Duration::from_secs(15), async || {
            let ask = graphwarden_stand::Ask::get("/internal/nothing").bearer(&token);
            ask.send(envoy.port()).await.is_ok_and(|answer| answer.status != 503)
        })
        .await?;
        let load = Load::with(envoy.port(), &token);
        load.passes().await?;
        for _ in 0..2 {
            one.kill();
            load.passes().await?;
            one.resume().await?;
            load.passes().await?;
        }
        let told = load.end().await?;
        each_is_told_the_truth(&told, &[UNAVAILABLE])?;
        no_worker_failed(&envoy).await?;
        let export = || -> Result<Vec<Value>> {
            let output =
                Command::new(site.tools().program()?).args(["export", "--database", &database]).output()?;
            ensure!(output.status.success(), "export: {}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout)?;
            text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
        };
        all_is_recorded(export, &upstream.seen()).await.map(drop)
    });
}
