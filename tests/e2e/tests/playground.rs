//! The playground as people use it: one file, opened from the disk in a real Chromium. The steps in the browser are
//! `tests/browser/playground.mjs`.

use anyhow::ensure;
use graphwarden_stand::{Chromium, Site, run};
use serde_json::json;

#[test]
fn the_playground_judges_and_replays_without_a_network() {
    run("playground", async |site: &Site| {
        let page = site.tools().root().join("target/playground/index.html");
        ensure!(page.is_file(), "target/playground/index.html is missing; `make playground` makes it");
        let Some(chromium) = Chromium::find()? else { return Ok(()) };
        chromium.run_on(site, &format!("file://{}", page.display()), "playground.mjs", json!({})).await
    });
}
