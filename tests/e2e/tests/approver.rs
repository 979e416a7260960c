//! What approvers do in a real Chromium: waiting, reading, deciding, being told no, the history, dead letters. The steps in the
//! browser are `tests/browser/approver.mjs`, which asks its questions as a gateway does.

use anyhow::ensure;
use graphwarden_stand::{
    Chromium, Desk, GATEWAY_TOKEN, Issuer, Person, Reply, Site, Upstream, claims_for, free_port, run,
};
use serde_json::json;

#[test]
fn approvers_wait_read_decide_and_are_told_no_in_a_real_browser() {
    run("approver", async |site: &Site| {
        let Some(chromium) = Chromium::find()? else { return Ok(()) };
        let issuer = Issuer::start().await?;
        let gone = Upstream::start(|_| Reply::whole(410, &[], b"")).await?;
        let config = site.write(
            "desk.yaml",
            format!(
                "notify: {{ webhooks: [{{ name: old-tickets, url: 'http://127.0.0.1:{}/', secret_env: HOOK, internal: true, events: [asked] }}] }}\n",
                gone.port()
            ),
        )?;
        let desk = Desk::start_with(free_port()?, site, issuer.url(), |command| {
            command.arg("--config").arg(&config).arg("--standing-grants");
            command.env("HOOK", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        })
        .await?;
        let mut second = claims_for(Person::Manager, issuer.url(), issuer.audience());
        second["sub"] = json!("u-ned");
        second["name"] = json!("Ned Manager");
        second["email"] = json!("ned@corp.example");
        // At the terminal decides somebody else than in the browser.
        let mut third = second.clone();
        third["sub"] = json!("u-max");
        third["email"] = json!("max@corp.example");
        let facts = json!({
            "gateway": GATEWAY_TOKEN,
            "manager": issuer.sign(&third),
            "second": issuer.sign(&second),
        });
        chromium.run(site, &desk, "approver.mjs", facts).await?;
        // What was refused is on the record, with who tried and why.
        let lines = desk.export(site)?;
        let refused = |reason: &str| {
            lines.iter().any(|line| line["event"] == "decision_refused" && line["reason"] == reason)
        };
        for reason in ["decided_before", "late_decision", "forged_form"] {
            ensure!(refused(reason), "{reason} is not on the record");
        }
        Ok(())
    });
}
