//! The Helm chart as an archive. `helm package` writes the time into it; this does not.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::layer::Layer;

/// The files of the folder, in the order of their names, below the name that Helm expects.
pub(crate) fn archive(folder: &Path) -> Result<Vec<u8>> {
    let name = folder.file_name().and_then(|name| name.to_str()).context("a chart without a name")?;
    let mut layer = Layer::new();
    add(&mut layer, folder, name)?;
    Ok(layer.finish()?.bytes)
}

fn add(layer: &mut Layer, folder: &Path, name: &str) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let own = path.file_name().and_then(|name| name.to_str()).context("a name that is not text")?;
        let name = format!("{name}/{own}");
        if path.is_dir() {
            add(layer, &path, &name)?;
        } else {
            let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            layer.file(&name, &bytes, 0o644, 0)?;
        }
    }
    Ok(())
}
