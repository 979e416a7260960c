//! A condition in CEL: parsed and checked with the configuration, evaluated for a request.

use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::types::CelBool;
use cel::{Context, Env, IdedExpr, Value};

use super::check::{Fault, check};
use super::patterns::{self, Pattern};
use super::scope::{Fuel, Judged, Scope};
use crate::identity::Identity;
use crate::policy::{At, Problems};

/// Longest condition, bytes.
const LENGTH_LIMIT: usize = 4096;

/// CEL's standard library without optional values, and our `matches`.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib().with_optional_support(false);
    patterns::declare(&mut env);
    Arc::new(env)
});

/// A compiled, checked expression that is true or false of a caller and a request.
#[derive(Clone)]
pub struct Condition {
    expression: Arc<IdedExpr>,
    patterns: Arc<[Pattern]>,
    headers: Arc<[String]>,
    source: Arc<str>,
}

impl Condition {
    /// Compiles `source`, which may use the variables `names` (of `identity`, `operation`, `graph`, `request`,
    /// `input`, `now`). Every problem is added at `at` with its column; `None` if there was one.
    pub fn compile(source: &str, names: &[&str], at: &At, problems: &mut Problems) -> Option<Self> {
        if source.len() > LENGTH_LIMIT {
            problems.add(at, format!("condition is longer than {LENGTH_LIMIT} bytes"));
            return None;
        }
        if nests_deeply(source) {
            problems
                .add(at, "condition is too complex: more than 32 brackets deep, or more than 400 operators");
            return None;
        }
        let program = match ENV.compile(source) {
            Ok(program) => program,
            Err(errors) => {
                for error in &errors.errors {
                    let (line, column) = error.pos;
                    problems.add(at, format!("{}: {}", place(line, column), fragment(&error.msg)));
                }
                return None;
            }
        };
        let mut checked = check(program.expression(), names);
        let mut expression = program.expression().clone();
        let compiled: Vec<Pattern> = {
            let mut sources = Vec::new();
            patterns::take(&mut expression, &mut sources);
            sources.iter().filter_map(|pattern| Pattern::compile(pattern).ok()).collect()
        };
        for (id, pattern) in &checked.patterns {
            if let Err(why) = Pattern::compile(pattern) {
                checked.faults.push(Fault {
                    id: *id,
                    what: format!("pattern does not compile: {why}"),
                    hint: None,
                });
            }
        }
        if !checked.faults.is_empty() {
            for fault in checked.faults {
                let (line, column) = program
                    .source_info()
                    .offset_for(fault.id)
                    .map_or((1, 1), |(offset, _)| line_and_column(source, offset));
                let what = format!("{}: {}", place(line, column), fault.what);
                match fault.hint {
                    Some(hint) => problems.add_with_hint(at, what, hint),
                    None => problems.add(at, what),
                }
            }
            return None;
        }
        checked.headers.sort();
        checked.headers.dedup();
        Some(Self {
            expression: Arc::new(expression),
            patterns: compiled.into(),
            headers: checked.headers.into(),
            source: source.into(),
        })
    }

    /// Whether it holds of a caller alone. A condition that fails (a claim that is not there) does not hold.
    pub fn holds_for_identity(&self, identity: &Identity) -> bool {
        self.evaluate(identity, None) == Some(true)
    }

    /// The headers that it names, lower case.
    pub(super) fn headers(&self) -> &[String] {
        &self.headers
    }

    /// Whether it is `true` or `false` whatever the request.
    pub(super) fn constant(&self) -> Option<bool> {
        match self.source.trim() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// `None` where it fails.
    pub(super) fn evaluate(&self, identity: &Identity, judged: Option<Judged<'_>>) -> Option<bool> {
        let scope = Scope { identity, judged, patterns: &self.patterns, fuel: Fuel::full() };
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.set_variable_resolver(&scope);
        let value = Value::resolve_val(&self.expression, &context).ok()?;
        value.downcast_ref::<CelBool>().map(|held| *held.inner())
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.source).finish()
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// Whether the parser, which recurses, would go deep: the filter's stack is small.
fn nests_deeply(source: &str) -> bool {
    let (mut depth, mut unary, mut operators) = (0_usize, 0_usize, 0_usize);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'.' | b'?' | b'+' | b'-' | b'*' | b'/' | b'%' | b'&' | b'|' | b'=' | b'<' | b'>' => {
                operators += 1
            }
            _ => {}
        }
        unary = if matches!(byte, b'!' | b'-') { unary + 1 } else { 0 };
        if depth > 32 || unary > 32 || operators > 400 {
            return true;
        }
    }
    false
}

fn place(line: isize, column: isize) -> String {
    if line > 1 { format!("line {line}, column {column}") } else { format!("column {column}") }
}

/// One-based line and column of an offset in characters.
fn line_and_column(source: &str, offset: u32) -> (isize, isize) {
    let (mut line, mut column) = (1, 1);
    for character in source.chars().take(usize::try_from(offset).unwrap_or(usize::MAX)) {
        if character == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    (line, column)
}

/// The parser's message as a fragment of ours.
fn fragment(message: &str) -> String {
    let message = message.trim().trim_end_matches('.');
    let mut characters = message.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => "does not parse".to_owned(),
    }
}
