//! What people start from: the files of `examples`, each a table with a title, and what comes of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

/// The policy of every example that brings none.
const POLICY: &str = include_str!("../examples/policy.yaml");
/// In the order in which they are offered.
const FILES: [&str; 8] = [
    include_str!("../examples/stream.yaml"),
    include_str!("../examples/approval.yaml"),
    include_str!("../examples/exempt.yaml"),
    include_str!("../examples/webhook.yaml"),
    include_str!("../examples/more.yaml"),
    include_str!("../examples/ownership.yaml"),
    include_str!("../examples/nobody.yaml"),
    include_str!("../examples/mistakes.yaml"),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    title: String,
    about: String,
    policy: Option<String>,
    request: String,
    claims: String,
    #[serde(default)]
    known: String,
    response: String,
    /// The step of the response that is shown first; where absent the last.
    step: Option<usize>,
    #[cfg_attr(not(test), expect(dead_code, reason = "what the tests compare with"))]
    expect: Expected,
}

/// What comes of it; what is absent is not looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Expected {
    policy: Option<String>,
    effect: Option<String>,
    rule: Option<String>,
    reason: Option<String>,
    masked: BTreeMap<String, u64>,
}

/// Every example as the page takes it; one that cannot be read is left out.
pub fn examples() -> Value {
    let read = FILES.iter().filter_map(|file| serde_saphyr::from_str::<Example>(file).ok());
    read.map(|example| {
        json!({
            "title": example.title, "about": example.about,
            "policy": example.policy.as_deref().unwrap_or(POLICY),
            "request": example.request, "claims": example.claims, "known": example.known,
            "response": example.response, "step": example.step,
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Replay, Table, judge};

    #[test]
    fn each_example_shows_what_it_says() {
        assert_eq!(examples().as_array().map(Vec::len), Some(FILES.len()));
        for file in FILES {
            let example: Example = serde_saphyr::from_str(file).unwrap();
            let title = &example.title;
            let table = Table {
                policy: example.policy.clone().unwrap_or_else(|| POLICY.to_owned()),
                request: example.request.clone(),
                claims: example.claims.clone(),
                known: example.known.clone(),
                response: example.response.clone(),
                now: 1_800_000_000,
            };
            let said = judge(&table);
            let expected = &example.expect;
            if let Some(policy) = &expected.policy {
                assert_eq!(said["policy"]["state"], policy.as_str(), "{title}: {said}");
                continue;
            }
            let decision = &said["verdict"]["decision"];
            for (name, wanted) in
                [("effect", &expected.effect), ("rule", &expected.rule), ("reason", &expected.reason)]
            {
                if let Some(wanted) = wanted {
                    assert_eq!(decision[name], wanted.as_str(), "{title}: {said:#}");
                }
            }
            let replay = Replay::new(&table, 0).unwrap();
            let end = replay.at(replay.steps());
            assert_eq!(end["masked"], json!(expected.masked), "{title}: {end:#}");
        }
    }
}
