//! The policy reference is what the types say today.

use graphwarden_docs::{pages, reference};

#[test]
fn the_policy_reference_is_what_the_types_say() {
    let written = std::fs::read_to_string(pages::root().join("docs/policy-fields.md")).unwrap();
    assert!(
        written == reference::page().unwrap(),
        "docs/policy-fields.md is out of date: cargo run -p graphwarden-docs > docs/policy-fields.md"
    );
}
