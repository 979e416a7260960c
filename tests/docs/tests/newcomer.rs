//! What the page about an existing Envoy says, done: the pieces that it gives, put into an Envoy with two services behind
//! it and a real OIDC provider, by somebody who changes nothing in them but addresses.

use anyhow::{Context as _, Result, ensure};
use graphwarden_docs::{blocks::blocks, pages};
use graphwarden_stand::{Ask, Envoy, OidcProvider, Reply, Site, Upstream, free_port, run};
use serde_json::{Value, json};

/// The piece of the page that belongs into this place of a configuration.
fn piece(place: &str) -> Result<Value> {
    let page = std::fs::read_to_string(pages::root().join("docs/envoy.md"))?;
    let blocks = blocks(&page);
    let found = blocks.iter().find(|block| block.value("envoy").is_some_and(|at| at.ends_with(place)));
    serde_saphyr::from_str(&found.with_context(|| format!("no block for {place}"))?.text).context("no YAML")
}

fn cluster(name: &str, port: u16) -> Value {
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    json!({
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    })
}

#[test]
fn the_pieces_of_the_page_gate_langgraph_and_leave_the_other_service_alone() {
    run("newcomer", async |site: &Site| {
        let langgraph =
            Upstream::start(|_| Reply::json(200, &json!([{"owner": "zoe.obrien@example.com"}]))).await?;
        let wiki = Upstream::start(|_| Reply::json(200, &json!({"page": "zoe.obrien@example.com"}))).await?;
        let provider = OidcProvider::start(site).await?;
        let (port, admin) = (free_port()?, free_port()?);

        let mut filter = piece("http_filters/0")?;
        let config = filter.pointer_mut("/typed_config/config").context("no configuration")?;
        config["vm_config"]["code"]["local"]["filename"] = json!(site.tools().module()?);
        config["configuration"]["value"]["identity"]["issuers"][0]["issuer"] = json!(provider.url());
        let mut hosts = piece("virtual_hosts")?;
        hosts[0]["routes"][0]["route"]["cluster"] = json!("wiki");
        let router = json!({
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        });
        let manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "main",
            "http_filters": [filter, router],
            "route_config": {"virtual_hosts": hosts},
        });
        let envoy = json!({
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin.number()}}},
            "static_resources": {
                "listeners": [{
                    "name": "main",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port.number()}},
                    "filter_chains": [{"filters": [{
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }]}],
                }],
                "clusters": [
                    cluster("langgraph", langgraph.port()),
                    cluster("wiki", wiki.port()),
                    cluster("idp", provider.port()),
                ],
            },
        });
        let envoy = Envoy::start_text(site, ("newcomer", &envoy.to_string()), (port, admin), &[]).await?;

        let search = Ask::post("/threads/search", &json!({}));
        let stranger = search.send(envoy.port()).await?;
        stranger.expect_status(401)?;
        ensure!(stranger.json()?["reason"] == "token_missing", "{}", stranger.text());
        let token = provider.client_credentials().await?;
        let answer = search.bearer(&token).send(envoy.port()).await?;
        answer.expect_status(200)?;
        ensure!(answer.json()? == json!([{"owner": "[EMAIL]"}]), "{}", answer.text());
        ensure!(!langgraph.seen().iter().any(|seen| seen.holds(&token)), "the token went on");
        let page = Ask::get("/wiki/people").send(envoy.port()).await?;
        ensure!(page.json()? == json!({"page": "zoe.obrien@example.com"}), "{}", page.text());
        Ask::get("/metrics").send(envoy.port()).await?.expect_status(401)?;
        Ok(())
    });
}
