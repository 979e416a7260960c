//! The page of reason codes is complete. What else the documents say is checked by `tests/docs`.

use std::collections::BTreeMap;

use graphwarden_policies::reason::Reason;

fn document(name: &str) -> String {
    let path = format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
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
