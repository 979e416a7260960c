//! What holds for every crate of the workspace.

use std::path::{Path, PathBuf};

use graphwarden_docs::pages;

fn files(folder: &Path, ends: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && !matches!(name.as_str(), "target" | "node_modules") {
            files(&path, ends, found);
        } else if name.ends_with(ends) {
            found.push(path);
        }
    }
}

#[test]
fn no_crate_has_unsafe_code_and_none_could() {
    let root = pages::root();
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""), "the workspace does not forbid it");
    let mut manifests = Vec::new();
    files(&root, "Cargo.toml", &mut manifests);
    // The fuzz targets have a workspace of their own, and are not handed out; their code is looked at below.
    manifests
        .retain(|path| *path != root.join("Cargo.toml") && !path.starts_with(root.join("policies/fuzz")));
    assert!(manifests.len() > 10, "{manifests:?}");
    for path in manifests {
        let text = std::fs::read_to_string(&path).unwrap();
        let forbids = match text.contains("\n[workspace]") {
            // One that is a workspace of its own says so itself.
            true => text.contains("[lints.rust]\nunsafe_code = \"forbid\""),
            false => text.contains("[lints]\nworkspace = true"),
        };
        assert!(forbids, "{} does not forbid it", path.display());
    }
    let mut sources = Vec::new();
    files(&root, ".rs", &mut sources);
    let word = concat!("un", "safe");
    for path in sources {
        let text = std::fs::read_to_string(&path).unwrap();
        for after in [" {", " fn", " impl", " extern", " trait", "("] {
            assert!(!text.contains(&format!("{word}{after}")), "{} has {word} code", path.display());
        }
    }
}
