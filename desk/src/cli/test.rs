//! `graphwarden test`: a table of who may do what, run against a policy.
//!
//! ```yaml
//! policy: policy.yaml                       # beside this file, or the file that holds it
//! people:                                   # claims by name
//!   uma: { sub: uma, realm_access: { roles: [analyst] } }
//! known:                                    # what LangGraph would say, see `known`; tests may add to it
//!   threads: { 0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab: { owner: uma } }
//! tests:
//!   - name: analysts run the support graph
//!     who: uma                              # absent: nobody
//!     what: POST /runs/wait
//!     body: { assistant_id: support_agent }
//!     expect: allow                         # allow, deny or approval
//!     rule: analysts run the support graph  # optional
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use graphwarden_policies::operation::Subject;
use graphwarden_policies::policy::Policy;
use graphwarden_trial::{self as trial, Known, Written};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What can be told to `test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files of expectations
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Try this policy instead of the one that the files name
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Write the results as JUnit XML too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print expectations that hold too
    #[arg(long, short)]
    verbose: bool,
}

/// A file of expectations.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    policy: Option<PathBuf>,
    #[serde(default)]
    people: BTreeMap<String, Map<String, Value>>,
    #[serde(default)]
    known: Written,
    tests: Vec<Case>,
}

/// One expectation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    who: Option<String>,
    /// Method and target.
    what: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    source: Option<String>,
    /// Seconds since the Unix epoch.
    #[serde(default)]
    now: Option<u64>,
    /// What LangGraph says in this one, before what the table says.
    #[serde(default)]
    known: Written,
    expect: Effect,
    #[serde(default)]
    rule: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Effect {
    Allow,
    Deny,
    Approval,
}

impl Effect {
    fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Approval => "approval",
        }
    }
}

/// What came of one expectation.
struct Outcome {
    name: String,
    seconds: f64,
    failure: Option<String>,
}

/// Runs every table. Exit code 1 if an expectation does not hold.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut suites = Vec::new();
    for path in &args.files {
        let Some(outcomes) = table(path, args.policy.as_deref())? else { return Ok(ExitCode::FAILURE) };
        for outcome in &outcomes {
            match &outcome.failure {
                Some(failure) => println!("FAIL {}: {}\n     {failure}", path.display(), outcome.name),
                None if args.verbose => println!("ok   {}: {}", path.display(), outcome.name),
                None => {}
            }
        }
        suites.push((path.display().to_string(), outcomes));
    }
    let all: usize = suites.iter().map(|(_, outcomes)| outcomes.len()).sum();
    let failed =
        suites.iter().flat_map(|(_, outcomes)| outcomes).filter(|outcome| outcome.failure.is_some()).count();
    println!("{all} expectations, {} hold, {failed} do not", all - failed);
    if let Some(path) = &args.junit {
        std::fs::write(path, junit(&suites)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs one table. `None` where its policy is wrong, which is reported.
fn table(path: &Path, policy: Option<&Path>) -> anyhow::Result<Option<Vec<Outcome>>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let table: Table = serde_saphyr::from_str(&text).with_context(|| path.display().to_string())?;
    anyhow::ensure!(!table.tests.is_empty(), "{} expects nothing", path.display());
    let beside = |named: &PathBuf| path.parent().unwrap_or(Path::new(".")).join(named);
    let policy_path =
        policy.map(Path::to_owned).or_else(|| table.policy.as_ref().map(beside)).with_context(|| {
            format!("{} names no policy; write `policy: FILE` or give --policy", path.display())
        })?;
    let found = trial::read_one(&policy_path)?;
    let policy = match found.compile() {
        Ok(policy) => policy,
        Err(problems) => {
            super::check::report(&policy_path, &found, &problems);
            return Ok(None);
        }
    };
    let known = table.known.read().with_context(|| path.display().to_string())?;
    table
        .tests
        .iter()
        .map(|case| outcome(&policy, &table.people, &known, case))
        .collect::<anyhow::Result<_>>()
        .map(Some)
}

fn outcome(
    policy: &Policy,
    people: &BTreeMap<String, Map<String, Value>>,
    known: &Known,
    case: &Case,
) -> anyhow::Result<Outcome> {
    let claims = match &case.who {
        None => None,
        Some(who) => {
            Some(people.get(who).with_context(|| format!("{}: `{who}` is none of the people", case.name))?)
        }
    };
    let (method, target) =
        case.what.split_once(' ').with_context(|| format!("{}: write `what: METHOD /path`", case.name))?;
    let bytes = |text: &str| text.as_bytes().to_vec();
    let raw = trial::Raw {
        method: bytes(method),
        target: bytes(target.trim()),
        headers: case
            .headers
            .iter()
            .map(|(name, value)| (bytes(&name.to_ascii_lowercase()), bytes(value)))
            .collect(),
        body: match &case.body {
            None => Vec::new(),
            Some(Value::String(raw)) => bytes(raw),
            Some(body) => serde_json::to_vec(body)?,
        },
    };
    let started = Instant::now();
    let caller = trial::Caller {
        claims,
        source: case.source.as_deref().unwrap_or("127.0.0.1"),
        now: case.now.unwrap_or_else(super::trial_now),
    };
    let known = known.with(&case.known.read().with_context(|| case.name.clone())?);
    let verdict = trial::judge(policy, &caller, &raw, &known);
    let mut wrong: Vec<String> = verdict.lacks.iter().map(lacks).collect();
    let decided = wrong.is_empty();
    if decided && verdict.effect() != case.expect.name() {
        wrong.push(format!("expected {}, got {}", case.expect.name(), verdict.effect()));
    }
    if decided && case.rule.is_some() && case.rule != verdict.rule {
        let named = |rule: &Option<String>| {
            rule.as_ref().map_or("no rule".to_owned(), |rule| format!("rule `{rule}`"))
        };
        wrong.push(format!("expected {}, got {}", named(&case.rule), named(&verdict.rule)));
    }
    if decided && case.reason.is_some() && case.reason.as_deref() != verdict.reason() {
        wrong.push(format!(
            "expected reason {}, got {}",
            case.reason.as_deref().unwrap_or_default(),
            verdict.reason().unwrap_or("none")
        ));
    }
    let failure = (!wrong.is_empty()).then(|| {
        let mut text = wrong.join("; ");
        let by = match (&verdict.rule, verdict.reason()) {
            (Some(rule), _) => format!(" (by rule `{rule}`)"),
            (None, Some(reason)) => format!(" (by default, {reason})"),
            (None, None) => String::new(),
        };
        if !decided {
            return text;
        }
        text.push_str(&by);
        if let Some(detail) = &verdict.detail {
            let _ = write!(text, ": {detail}");
        }
        text
    });
    Ok(Outcome { name: case.name.clone(), seconds: started.elapsed().as_secs_f64(), failure })
}

/// What is wrong with an expectation whose outcome hangs on what only LangGraph knows.
fn lacks(subject: &Subject) -> String {
    format!(
        "the gate asks LangGraph about this, and neither table nor test says what comes back: write {}",
        trial::how_to_write(subject)
    )
}

/// The results in the form that CI servers read.
fn junit(suites: &[(String, Vec<Outcome>)]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (file, outcomes) in suites {
        let failures = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\">",
            escape(file),
            outcomes.len()
        );
        for outcome in outcomes {
            let _ = write!(
                xml,
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.6}\"",
                escape(file),
                escape(&outcome.name),
                outcome.seconds
            );
            match &outcome.failure {
                None => xml.push_str("/>\n"),
                Some(failure) => {
                    let _ = writeln!(xml, "><failure message=\"{}\"/></testcase>", escape(failure));
                }
            }
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// XML 1.0 section 2.4; control characters have no place in XML at all.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(' '),
            character if character.is_control() => escaped.push('\u{FFFD}'),
            character => escaped.push(character),
        }
    }
    escaped
}
