//! Envoy makes place for another of its kind: a hot restart, with requests held and others asking.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::billing;
use graphwarden_stand::{
    Ask, Desk, Envoy, EnvoySetup, Issuer, Part, Person, Site, free_port, run, standard_policy, wait_until,
};

use crate::invariants::all_is_recorded;
use crate::load::{Load, each_is_told_the_truth, upstream};

#[test]
fn a_hot_restart_drops_no_request_and_what_was_held_is_forwarded_by_the_one_that_held_it() {
    run("fault_restart", async |site: &Site| {
        let (upstream, issuer) = (upstream().await?, Issuer::start().await?);
        let desk = Desk::start(site, issuer.url()).await?;
        let mut setup =
            EnvoySetup::new(standard_policy(&issuer)?, upstream.port(), desk.port(), issuer.port());
        setup.concurrency = 2;
        let (port, admin) = (free_port()?, free_port()?);
        let config = site.write("envoy.json", Envoy::rendered(site, &setup, &port, &admin)?.to_string())?;
        let base = site.folder().join("base-id");
        let start = |name: &str, epoch: &str| -> Result<Part> {
            let mut command = Envoy::program(site)?;
            command.arg("-c").arg(&config).args(["--concurrency", "2", "--restart-epoch", epoch]);
            command.args(["--log-level", "warning", "--component-log-level", "wasm:info"]);
            // Others on this machine may restart theirs: each needs a shared memory of its own.
            if epoch == "0" {
                command.arg("--use-dynamic-base-id").arg("--base-id-path").arg(&base);
            } else {
                let id = std::fs::read_to_string(&base).context("no base id")?;
                command.args(["--base-id", id.trim()]);
            }
            command.args(["--drain-time-s", "3", "--parent-shutdown-time-s", "6"]);
            Part::start(name, site.folder(), &command)
        };
        let token = issuer.token(Person::Analyst);
        let serves = async || {
            let ask = Ask::get("/internal/nothing").bearer(&token);
            ask.send(port.number()).await.is_ok_and(|answer| answer.status == 403)
        };
        let mut first = start("envoy-0", "0")?;
        first.ready(Duration::from_secs(60), serves).await?;
        let load = Load::with(port.number(), &token);
        load.passes().await?;
        let (engineer, manager) = (issuer.token(Person::Engineer), issuer.token(Person::Manager));
        let number = port.number();
        let held = tokio::spawn(async move { billing(7).bearer(&engineer).send(number).await });
        let approval = desk.wait_for_approval(&manager, Duration::from_secs(10)).await?;
        let id = approval["id"].as_str().context("no id")?;

        let mut second = start("envoy-1", "1")?;
        let epoch = format!("http://127.0.0.1:{}/server_info", admin.number());
        second
            .ready(Duration::from_secs(60), async || {
                let Ok(answer) = reqwest::get(&epoch).await else { return false };
                answer
                    .text()
                    .await
                    .is_ok_and(|text| text.contains("\"restart_epoch\": 1") && text.contains("LIVE"))
            })
            .await?;
        load.passes().await?;
        ensure!(first.ended().is_none(), "the first did not wait for what it holds");
        let (status, body) = desk.decide(&manager, id, "approve", "").await?;
        ensure!(status == 200, "{body}");
        held.await??.expect_status(200)?;
        wait_until("the first Envoy to end", Duration::from_secs(20), async || first.ended().is_some())
            .await?;
        load.passes().await?;
        let told = load.end().await?;
        // A worker of the second has the issuer's keys a moment after it takes over.
        each_is_told_the_truth(&told, &[(503, "keys_unavailable")])?;
        for part in [&first, &second] {
            let log = part.log_text();
            ensure!(!log.contains("panicked") && !log.contains("Function: proxy_"), "{log}");
        }
        all_is_recorded(|| desk.export(site), &upstream.seen()).await.map(drop)
    });
}
