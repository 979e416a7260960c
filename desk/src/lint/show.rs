//! What a finding looks like: for people, for programs, for code scanning (SARIF 2.1.0), and the page of all rules.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};

use super::{Finding, RULES, Severity, Source};

/// Lines that are shown around the one that is meant.
const AROUND: usize = 1;

/// A finding with the lines that it is about. `coloured` for terminals.
#[must_use]
pub fn text(finding: &Finding, sources: &[Source], coloured: bool) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let place = finding.place;
    let mut group = Group::with_title(level.primary_title(finding.rule.title).id(finding.rule.id));
    if let Some(source) = sources.get(place.file) {
        let excerpt = Excerpt::of(&source.text, place.start, place.len);
        let snippet = Snippet::source(excerpt.text)
            .path(source.name.as_str())
            .line_start(excerpt.line)
            .fold(false)
            .annotation(
                AnnotationKind::Primary.span(excerpt.start..excerpt.end).label(finding.reason.as_str()),
            );
        group = group.element(snippet);
    }
    group = group.element(Level::HELP.message(finding.mend.as_str()));
    let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
    format!("{}\n", renderer.render(&[group]))
}

/// Some lines of a text, and what is meant in them.
struct Excerpt<'a> {
    text: &'a str,
    line: usize,
    start: usize,
    end: usize,
}

impl<'a> Excerpt<'a> {
    fn of(text: &'a str, start: usize, len: usize) -> Self {
        let start = if text.is_char_boundary(start) { start } else { 0 };
        let before = text.get(..start).unwrap_or_default();
        let first = before.rmatch_indices('\n').nth(AROUND).map_or(0, |(at, _)| at + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let after = text.get(start..).unwrap_or_default();
        let line_end = start + after.find('\n').unwrap_or(after.len());
        let last = start + after.match_indices('\n').nth(AROUND).map_or(after.len(), |(at, _)| at);
        let shown = text.get(first..last).unwrap_or_default();
        // What is meant may go on for many lines; its first is marked. What has no length is marked at its first character.
        let next = after.chars().next().map_or(start, |next| start + next.len_utf8());
        let end = (start + len.max(1)).max(next).min(line_end).max(start);
        let lines_before =
            text.get(first..start).unwrap_or_default().bytes().filter(|byte| *byte == b'\n').count();
        Self { text: shown, line: line - lines_before, start: start - first, end: end - first }
    }
}

/// All findings as one JSON document.
#[must_use]
pub fn json(findings: &[Finding], sources: &[Source]) -> Value {
    let list: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "rule": finding.rule.id,
                "severity": finding.severity.to_string(),
                "file": name(finding, sources),
                "line": finding.place.line,
                "column": finding.place.column,
                "title": finding.rule.title,
                "reason": finding.reason,
                "mend": finding.mend,
                "fixable": !finding.edits.is_empty(),
            })
        })
        .collect();
    json!({ "findings": list })
}

/// All findings as SARIF 2.1.0, which code scanning reads.
#[must_use]
pub fn sarif(findings: &[Finding], sources: &[Source]) -> Value {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id,
                "shortDescription": { "text": rule.title },
                "fullDescription": { "text": rule.cause },
                "help": { "text": rule.cure },
                "defaultConfiguration": { "level": rule.severity.to_string() },
            })
        })
        .collect();
    let results: Vec<Value> = findings.iter().map(|finding| result(finding, sources)).collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "graphwarden lint",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(finding: &Finding, sources: &[Source]) -> Value {
    let place = finding.place;
    let artifact = json!({ "uri": uri(name(finding, sources)) });
    let mut result = json!({
        "ruleId": finding.rule.id,
        "ruleIndex": RULES.iter().position(|rule| rule.id == finding.rule.id),
        "level": finding.severity.to_string(),
        "message": { "text": format!("{}; {}", finding.reason, finding.mend) },
        "locations": [{ "physicalLocation": {
            "artifactLocation": artifact.clone(),
            "region": { "startLine": place.line.max(1), "startColumn": place.column.max(1) },
        }}],
    });
    if !finding.edits.is_empty() {
        let replacements: Vec<Value> = finding
            .edits
            .iter()
            .map(|edit| {
                json!({
                    "deletedRegion": { "byteOffset": edit.start, "byteLength": edit.len },
                    "insertedContent": { "text": edit.text },
                })
            })
            .collect();
        result["fixes"] = json!([{
            "description": { "text": finding.mend },
            "artifactChanges": [{ "artifactLocation": artifact, "replacements": replacements }],
        }]);
    }
    result
}

fn name<'a>(finding: &Finding, sources: &'a [Source]) -> &'a str {
    sources.get(finding.place.file).map(|source| source.name.as_str()).unwrap_or_default()
}

/// A path as a relative reference of RFC 3986.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.trim_start_matches("./").bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte))
            }
            _ => {
                // Writing to a text cannot fail.
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}

/// The page `docs/lint.md`.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# What `graphwarden lint` finds\n\n\
         `graphwarden lint FILE…` reads the Envoy and Istio YAML around the filter and says what would bite. Files that are \
         named together are judged together: the cluster that a policy names may be defined in another of them.\n\n\
         ```console,flags\n\
         $ graphwarden lint envoy.yaml                     # findings with their lines; exit 0 no error, 1 errors, 2 unreadable\n\
         $ graphwarden lint --fix envoy.yaml               # mends what is safe to mend, in place, and keeps comments\n\
         $ graphwarden lint --format sarif envoy/*.yaml    # for code scanning; json for programs\n\
         $ graphwarden lint --allow admin-open envoy.yaml  # leaves a rule out\n\
         ```\n\n\
         Nobody has to run Envoy for it. `envoy --mode validate` says what Envoy refuses; this says what Envoy takes and \
         people regret. Warnings alone are exit code 0 unless `--strict` is given.\n\n\
         This page is made from the rules themselves.\n",
    );
    for rule in RULES {
        let fixes = if rule.fixes { ", mended by `--fix`" } else { "" };
        // Writing to a text cannot fail.
        let _ = write!(
            page,
            "\n## `{}`\n\n*{}{fixes}*: {}.\n\n**Cause.** {}\n\n**Cure.** {}\n",
            rule.id, rule.severity, rule.title, rule.cause, rule.cure
        );
    }
    page
}
