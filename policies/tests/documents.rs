//! What the documents say about the policy is what the code does.

use std::collections::BTreeMap;

use graphwarden_policies::policy::Policy;
use graphwarden_policies::reason::Reason;

fn document(name: &str) -> String {
    let path = format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn environment(name: &str) -> Option<String> {
    Some(format!("synthetic secret of the documents' tests: {name}"))
}

/// The fenced blocks of `language`.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_policy_reference_shows_a_document_that_compiles() {
    let text = document("policy.md");
    let blocks = blocks(&text, "yaml");
    assert!(!blocks.is_empty());
    // A table of expectations is no policy; the program's tests run it.
    for block in blocks.into_iter().filter(|block| !block.contains("\ntests:\n")) {
        let value: serde_json::Value = serde_yaml_ng::from_str(block).unwrap();
        Policy::parse(value.to_string().as_bytes(), &environment)
            .unwrap_or_else(|problems| panic!("{problems}"));
    }
}

#[test]
fn every_reason_is_documented_with_its_status_cause_and_cure() {
    let text = document("reasons.md");
    let rows: BTreeMap<&str, Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            (cells[0].trim_matches('`'), cells[1..].to_vec())
        })
        .collect();
    for reason in Reason::ALL {
        let row = rows.get(reason.code()).unwrap_or_else(|| panic!("{} is not documented", reason.code()));
        assert_eq!(row[0], reason.status().to_string(), "{}", reason.code());
        assert!(row.len() == 3 && row.iter().all(|cell| !cell.is_empty()), "{}", reason.code());
    }
    for code in rows.keys() {
        assert!(Reason::ALL.iter().any(|reason| reason.code() == *code), "{code} is no reason");
    }
}
