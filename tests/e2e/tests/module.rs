//! The module as a host sees it: what it may be asked for, by the list in `filter/imports.txt`.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, ensure};
use graphwarden_stand::Tools;
use wasmparser::{Parser, Payload};

#[test]
fn the_module_asks_its_host_for_nothing_that_is_not_listed() -> Result<()> {
    let tools = Tools::find();
    let module = fs::read(tools.module()?)?;
    let mut asked = BTreeSet::new();
    for payload in Parser::new(0).parse_all(&module) {
        if let Payload::ImportSection(imports) = payload? {
            for import in imports.into_imports() {
                let import = import?;
                asked.insert(format!("{} {}", import.module, import.name));
            }
        }
    }
    let list = fs::read_to_string(tools.root().join("filter/imports.txt"))?;
    let listed: BTreeSet<String> =
        list.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let new: Vec<_> = asked.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&asked).collect();
    ensure!(
        new.is_empty() && gone.is_empty(),
        "filter/imports.txt: not listed {new:?}, not asked for {gone:?}"
    );
    Ok(())
}
