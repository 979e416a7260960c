//! `upstream.identity: assertion` in a real LangGraph, with the handler that the documents give people.

use anyhow::{Result, ensure};
use graphwarden_stand::{
    Ask, Envoy, EnvoySetup, Issuer, LangGraph, LangGraphSetup, Person, Site, free_port, run, standard_policy,
};
use serde_json::json;

/// The key pair of RFC 8037 appendix A.
const SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
    -----END PUBLIC KEY-----\n";

/// For HS256.
const SECRET: &str = "synthetic-secret-of-at-least-32-bytes";

#[test]
fn langgraph_believes_the_gates_signature_and_nobody_else() {
    run("assertion", async |site: &Site| {
        is_believed(site, "EdDSA", SEED, ("GRAPHWARDEN_ASSERTION_PUBLIC_KEY", PUBLIC)).await
    });
}

#[test]
fn langgraph_believes_who_shares_its_secret_and_nobody_else() {
    run("assertion-hs256", async |site: &Site| {
        is_believed(site, "HS256", SECRET, ("GRAPHWARDEN_ASSERTION_SECRET", SECRET)).await
    });
}

async fn is_believed(site: &Site, algorithm: &str, key: &str, langgraphs: (&str, &str)) -> Result<()> {
    let issuer = Issuer::start().await?;
    let langgraph = LangGraph::start(
        site,
        &LangGraphSetup {
            auth: Some(site.tools().root().join("docs/langgraph_auth.py")),
            environment: vec![(langgraphs.0.to_owned(), langgraphs.1.to_owned())],
            ..LangGraphSetup::default()
        },
    )
    .await?;
    let mut policy = standard_policy(&issuer)?;
    policy["evidence"] = json!({"off": true});
    policy["identity"]["upstream"] = json!({
        "identity": "assertion",
        "assertion": {"algorithm": algorithm, "key": {"env": "ASSERTION_KEY"}},
    });
    let nobody = free_port()?;
    let mut setup = EnvoySetup::new(policy, langgraph.port(), nobody.number(), issuer.port());
    setup.environment = vec![("ASSERTION_KEY".to_owned(), key.to_owned())];
    let envoy = Envoy::start(site, &setup).await?;

    let token = issuer.token(Person::Analyst);
    let made = Ask::post("/threads", &json!({}))
        .bearer(&token)
        // A caller's own assertion never arrives.
        .header("x-graphwarden-assertion", "e30.e30.e30")
        .send(envoy.port())
        .await?;
    let made = made.expect_status(200)?.json()?;
    let owner = made["metadata"]["owner"].as_str().unwrap_or_default().to_owned();
    ensure!(owner.starts_with(&format!("{}#", issuer.url())), "the owner is {owner:?}");
    let thread = format!("/threads/{}", made["thread_id"].as_str().unwrap_or_default());

    Ask::get(&thread).bearer(&token).send(envoy.port()).await?.expect_status(200)?;
    let other = issuer.token(Person::Engineer);
    Ask::get(&thread).bearer(&other).send(envoy.port()).await?.expect_status(404)?;

    for ask in [
        Ask::get(&thread),
        Ask::get(&thread).bearer(&token),
        Ask::get(&thread).header("x-graphwarden-subject", "anyone"),
        Ask::get(&thread).header("x-graphwarden-assertion", &token),
        Ask::get(&thread).header("x-graphwarden-assertion", "e30.e30.e30"),
    ] {
        ask.send(langgraph.port()).await?.expect_status(401)?;
    }
    Ok(())
}
