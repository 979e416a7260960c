//! The bypass corpus of `policies/tests/corpus` as requests that can be sent.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Stands for whatever a path's parameter names.
pub const ID: &str = "0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab";

/// The files of the corpus.
const FILES: &[&str] = &["paths", "methods", "headers", "ids", "bodies", "fields", "rpc"];

/// Cases that Envoy mends before the gate sees them: it makes slashes of backslashes, merges slashes, resolves dot
/// segments, takes the path out of an absolute form, and keeps a bare `connection: upgrade` to itself. What it
/// makes of them has to be what was judged, and goes on as it is.
const MENDED_BY_ENVOY: &[&str] = &[
    "a backslash",
    "an absolute form",
    "an upgrade in the Connection header alone",
    "dot segments",
    "empty segments",
    "empty segments inside",
    "half encoded dot segments",
    "single dot segments",
];

/// A header's name and value.
pub type Header = (Vec<u8>, Vec<u8>);

/// One case of the corpus.
#[derive(Debug)]
pub struct Case {
    /// What it is about.
    pub title: String,
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers besides those that every request has.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Vec<u8>,
}

impl Case {
    /// Whether Envoy changes it on its way to the gate.
    #[must_use]
    pub fn is_mended_by_envoy(&self) -> bool {
        MENDED_BY_ENVOY.contains(&self.title.as_str())
    }
}

/// An id of the corpus, by its first two digits: `0c` a thread, `5d` another, `1f` a run, `2a` an assistant, `3b` a cron.
#[must_use]
pub fn id_of(digits: &str) -> String {
    match digits {
        "2a" => ID.replacen("0c", digits, 1).replace("-4c2d-", "-5c2d-"),
        "1f" => ID.replacen("0c", "1f0", 1).replacen("6e0f1a", "e0f1a", 1).replace("-4c2d-", "-6c2d-"),
        _ => ID.replacen("0c", digits, 1),
    }
}

/// Every case that can be sent as it stands.
pub fn cases(root: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for file in FILES {
        let path = root.join(format!("policies/tests/corpus/{file}.txt"));
        let text = fs::read_to_string(&path).context(path.display().to_string())?;
        cases.extend(text.split("=== ").filter_map(case));
    }
    Ok(cases)
}

/// Reads a case, or `None` where it cannot be sent as it stands (a target that is no text, a pseudo-header, two
/// of the lengths that a client counts itself).
fn case(case: &str) -> Option<Case> {
    let (title, rest) = case.split_once('\n')?;
    let (_, raw) = rest.split_once("\n---\n")?;
    let names = [
        ("<T32>", ID.replace('-', "")),
        ("<A32>", id_of("2a").replace('-', "")),
        ("<TUP>", ID.to_uppercase()),
        ("<T>", ID.to_owned()),
        ("<U>", id_of("5d")),
        ("<R>", id_of("1f")),
        ("<A>", id_of("2a")),
        ("<C>", id_of("3b")),
    ];
    let text = names.iter().fold(raw.to_owned(), |text, (name, id)| text.replace(name, id));
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
    let mut lines = head.lines();
    let mut words = lines.next()?.splitn(3, ' ');
    let (method, target) = (words.next()?, words.next()?);
    let headers: Vec<Header> = lines
        .map(|line| line.split_once(": ").map(|(name, value)| (name.into(), value.into())))
        .collect::<Option<_>>()?;
    let unsendable = |(name, _): &Header| name.starts_with(b":") || name == b"content-length";
    if target.contains("\\x") || headers.iter().any(unsendable) {
        return None;
    }
    Some(Case {
        title: title.to_owned(),
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        body: unescape(body.trim_end_matches('\n')),
    })
}

/// `\xNN` is a byte.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut parts = text.split("\\x");
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.extend(u8::from_str_radix(digits, 16));
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}
