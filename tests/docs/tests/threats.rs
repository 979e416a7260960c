//! The threat model names tests that exist, and each attack has at least one.

use std::collections::BTreeSet;
use std::path::Path;

use graphwarden_docs::pages;

/// What several checks of one test are called: they share its Envoy, and each runs whatever became of the others.
fn checks(text: &str, names: &mut BTreeSet<String>) {
    for check in text.split(".check(").skip(1) {
        let call = check.split(".await").next().unwrap_or_default();
        let before = call.split('(').next().unwrap_or_default();
        names.extend(before.rsplit([':', ' ', ',']).next().map(str::to_owned));
    }
}

/// The names of all tests of this repository, and of the checks in them.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "target" | ".git" | ".venv" | "node_modules") {
            functions(&path, names);
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            checks(&text, names);
            let mut test = false;
            for line in text.lines().map(str::trim) {
                if let Some(rest) = line.strip_prefix("fn ").or_else(|| line.strip_prefix("async fn ")) {
                    if test {
                        names.insert(rest.split(['(', '<']).next().unwrap_or_default().to_owned());
                    }
                    test = false;
                } else if line.starts_with("#[") {
                    test |= line.contains("test");
                } else if line.ends_with('}') {
                    test = false;
                }
            }
        }
    }
}

#[test]
fn every_attack_names_tests_that_exist() {
    let mut names = BTreeSet::new();
    functions(&pages::root(), &mut names);
    let text = std::fs::read_to_string(pages::root().join("docs/threat-model.md")).unwrap();
    let mut attacks = 0;
    let mut wrong = Vec::new();
    let mut header = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("| attack ") {
            header = true;
        } else if !line.starts_with('|') {
            header = false;
        } else if header && !line.starts_with("|---") {
            attacks += 1;
            let cell = line.trim_matches('|').rsplit(" | ").next().unwrap_or_default();
            let shown: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
            if shown.is_empty() {
                wrong.push(format!("line {}: no test", index + 1));
            }
            wrong.extend(
                shown
                    .iter()
                    .filter(|name| !names.contains(**name))
                    .map(|name| format!("line {}: there is no test `{name}`", index + 1)),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(attacks > 30, "{attacks}");
}
