//! The calls that the gate makes for a request belong to the request's trace.
//!
//! What stands for the desk and the issuer here writes down what it was sent and otherwise answers as they do.

use std::time::Duration;

use anyhow::{Result, ensure};
use graphwarden_e2e::{Checks, THREAD};
use graphwarden_stand::{
    Act, Ask, Envoy, EnvoySetup, Issuer, Person, Reply, Seen, Site, Upstream, run, standard_policy,
    wait_until,
};
use serde_json::json;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The desk's two contracts: everything is agreed to at once, every line is durable.
fn desk(seen: &Seen) -> Vec<Act> {
    if seen.target.starts_with("/v1/evidence") {
        let lines = seen.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
        return Reply::json(200, &json!({"accepted": lines, "duplicates": 0}));
    }
    let approver = json!({"issuer": "https://idp.example.com", "subject": "boss"});
    Reply::json(
        200,
        &json!({
            "id": "a1", "status": "approved", "decisions": [{"approver": approver, "decision": "approve"}],
        }),
    )
}

/// The span of a call of this trace; an error where it is of none, or has the request's own span.
fn span(seen: &Seen) -> Result<String> {
    let parent = seen.header("traceparent").unwrap_or_default();
    let parts: Vec<&str> = parent.split('-').collect();
    let [version, trace, span, flags] = parts.as_slice() else {
        anyhow::bail!("{} has the traceparent {parent:?}", seen.target)
    };
    ensure!((*version, *trace, *flags) == ("00", TRACE, "01"), "{} has {parent}", seen.target);
    ensure!(*span != "b7ad6b7169203331" && *span != "0000000000000000", "{} has {parent}", seen.target);
    ensure!(seen.header("tracestate").as_deref() == Some("vendor=opaque"), "{}", seen.target);
    Ok((*span).to_owned())
}

/// A run that people have to agree to, of an assistant that only LangGraph knows.
fn billing_run(token: &str) -> Ask {
    let body = json!({"assistant_id": THREAD, "input": {}});
    Ask::post(&format!("/threads/{THREAD}/runs/wait"), &body).bearer(token)
}

#[test]
fn approvals_evidence_keys_and_lookups_join_the_trace_of_the_request() {
    run("traces", async |site: &Site| {
        let issuer = Issuer::start().await?;
        let keys = issuer.jwks();
        let idp = Upstream::start(move |_| Reply::json(200, &keys)).await?;
        let service = Upstream::start(desk).await?;
        let upstream = Upstream::start(|_| {
            Reply::json(200, &json!({"thread_id": THREAD, "assistant_id": THREAD, "graph_id": "billing"}))
        })
        .await?;
        let mut setup =
            EnvoySetup::new(standard_policy(&issuer)?, upstream.port(), service.port(), idp.port());
        setup.policy["operations"]["lookups"] = json!({"cluster": "langgraph", "cache": "0s"});
        let envoy = Envoy::start(site, &setup).await?;
        let token = issuer.token(Person::Engineer);
        wait_until("the keys", Duration::from_secs(15), async || !idp.seen().is_empty()).await?;

        let mut checks = Checks::default();
        checks
            .check("an approved run joins it, each call with a span of its own", async {
                for recorder in [&service, &upstream] {
                    recorder.forget();
                }
                let ask =
                    billing_run(&token).header("traceparent", PARENT).header("tracestate", "vendor=opaque");
                let answer = ask.send(envoy.port()).await?;
                ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
                let calls = service.seen();
                let asked = calls.iter().find(|seen| seen.target.starts_with("/v1/approvals"));
                let written = calls.iter().find(|seen| seen.holds("\"admission\""));
                let looked_up =
                    upstream.seen().into_iter().find(|seen| seen.target.starts_with("/assistants/"));
                let mut spans = Vec::new();
                for (what, call) in
                    [("approval", asked), ("evidence", written), ("lookup", looked_up.as_ref())]
                {
                    let Some(call) = call else { anyhow::bail!("no {what} was asked for") };
                    spans.push(span(call)?);
                }
                spans.sort();
                spans.dedup();
                ensure!(spans.len() == 3, "{spans:?}");
                // What the request itself says is the proxy's business.
                let forwarded = upstream.seen().into_iter().find(|seen| seen.target.ends_with("/runs/wait"));
                ensure!(forwarded.and_then(|seen| seen.header("traceparent")).as_deref() == Some(PARENT));
                Ok(())
            })
            .await;
        checks
            .check("a fetch of keys joins the request that needs them", async {
                idp.forget();
                issuer.rotate();
                let ask = Ask::get(&format!("/threads/{THREAD}"))
                    .bearer(&issuer.token(Person::Engineer))
                    .header("traceparent", PARENT)
                    .header("tracestate", "vendor=opaque");
                let answer = ask.send(envoy.port()).await?;
                ensure!(answer.status == 401, "{} {}", answer.status, answer.text());
                let Some(fetch) = idp.seen().into_iter().next() else {
                    anyhow::bail!("no keys were fetched")
                };
                span(&fetch).map(|_| ())
            })
            .await;
        checks
            .check("a malformed trace is nobody's", async {
                service.forget();
                let ask =
                    billing_run(&token).header("traceparent", "00-nonsense").header("tracestate", "a=1");
                let answer = ask.send(envoy.port()).await?;
                ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
                let calls = service.seen();
                ensure!(calls.iter().any(|seen| seen.target.starts_with("/v1/approvals")));
                for call in calls {
                    let none = call.header("traceparent").is_none() && call.header("tracestate").is_none();
                    ensure!(none, "{} has a trace", call.target);
                }
                Ok(())
            })
            .await;
        checks.outcome()
    });
}
