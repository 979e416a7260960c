//! The gate's table of operations against the installed LangGraph's own description of itself.

use anyhow::{Context as _, Result, ensure};
use graphwarden_policies::operation::{Config, Reader};
use graphwarden_policies::policy::{At, Problems};
use graphwarden_policies::reason::Reason;
use graphwarden_stand::{Ask, LangGraph, LangGraphSetup, Site, run};

/// Stands for whatever a path's parameter names.
const ID: &str = "0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab";

/// Whether the gate takes the request line for an operation that it knows.
fn is_known(reader: &Reader, method: &str, path: &str) -> bool {
    let parts = path.split('/').map(|part| if part.starts_with('{') { ID } else { part });
    let path = parts.collect::<Vec<_>>().join("/");
    match reader.read_head(method.as_bytes(), path.as_bytes(), &[]) {
        Ok(_) => true,
        Err(refused) => refused.reason != Reason::OperationUnknown,
    }
}

#[test]
fn the_table_knows_every_route_of_the_servers_own_openapi() {
    run("openapi", async |site: &Site| -> Result<()> {
        let mut problems = Problems::new();
        let reader = Reader::compile(&Config::default(), &At::root(), &mut problems).context("no reader")?;
        let langgraph = LangGraph::start(site, &LangGraphSetup::default()).await?;
        let answer = Ask::get("/openapi.json").send(langgraph.port()).await?;
        answer.expect_status(200)?;
        let document = answer.json()?;
        let paths = document["paths"].as_object().context("no paths")?;
        ensure!(paths.len() > 30, "only {} paths", paths.len());
        let mut unknown = Vec::new();
        for (path, item) in paths {
            for method in item.as_object().context("no methods")?.keys() {
                // The server describes these two and answers 405 and 404; the gate has no use for them.
                if path.trim_end_matches('/') == "/mcp" && method != "post" {
                    continue;
                }
                let method = method.to_uppercase();
                if !is_known(&reader, &method, path) {
                    unknown.push(format!("{method} {path}"));
                }
            }
        }
        ensure!(unknown.is_empty(), "the table does not know {unknown:?}");
        ensure!(!is_known(&reader, "GET", "/a-route-of-tomorrow"), "everything is known");
        Ok(())
    });
}
