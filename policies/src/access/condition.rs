//! A condition in CEL: parsed and checked with the configuration, evaluated for a request.

use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::ast::SourceInfo;
use cel::common::types::{CelBool, CelString};
use cel::parser::PrattParser;
use cel::{Context, Env, IdedExpr, Value};

use super::check::{Comes, Fault, check};
use super::foresight::foresee;
use super::patterns::{self, Pattern};
use super::scope::{Fuel, Judged, Scope};
use super::selection::OperationKind;
use crate::identity::Identity;
use crate::policy::{At, Problems};

/// Longest condition, bytes.
const LENGTH_LIMIT: usize = 4096;
/// Deepest nesting of brackets, and most operators: the expression is walked recursively, in the filter's small stack.
const DEPTH_LIMIT: u16 = 48;
const OPERATORS_LIMIT: usize = 400;

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
    names_graph: bool,
    source: Arc<str>,
}

impl Condition {
    /// Compiles `source`, which may use the variables `names` (of `identity`, `operation`, `graph`, `request`,
    /// `input`, `now`). Every problem is added at `at` with its column; `None` if there was one.
    pub fn compile(source: &str, names: &[&str], at: &At, problems: &mut Problems) -> Option<Self> {
        Self::compile_to(Comes::ToBool, source, names, at, problems)
    }

    /// The same for an expression over `identity` that comes to a string.
    pub(super) fn compile_text(source: &str, at: &At, problems: &mut Problems) -> Option<Self> {
        Self::compile_to(Comes::ToText, source, &["identity"], at, problems)
    }

    fn compile_to(
        comes: Comes,
        source: &str,
        names: &[&str],
        at: &At,
        problems: &mut Problems,
    ) -> Option<Self> {
        if source.len() > LENGTH_LIMIT {
            problems.add(at, format!("condition is longer than {LENGTH_LIMIT} bytes"));
            return None;
        }
        if is_too_complex(source) {
            problems.add(
                at,
                format!("condition has more than {OPERATORS_LIMIT} operators, or 32 of `!` or `-` in a row"),
            );
            return None;
        }
        let mut expression = match parser().parse(source) {
            Ok(expression) => expression,
            Err(errors) => {
                for error in &errors.errors {
                    let (line, column) = error.pos;
                    problems.add(at, format!("{}{}", place(line, column), fragment(&error.msg)));
                }
                return None;
            }
        };
        let mut checked = check(&expression, names, comes);
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
            let places = Places::of(source);
            for fault in checked.faults {
                let (line, column) = places.find(fault.id);
                let what = format!("{}{}", place(line, column), fault.what);
                match fault.hint {
                    Some(hint) => problems.add_with_hint(at, what, hint),
                    None => problems.add(at, what),
                }
            }
            return None;
        }
        let mut sources = Vec::new();
        patterns::take(&mut expression, &mut sources);
        let compiled: Vec<Pattern> =
            sources.iter().filter_map(|pattern| Pattern::compile(pattern).ok()).collect();
        checked.headers.sort();
        checked.headers.dedup();
        Some(Self {
            expression: Arc::new(expression),
            patterns: compiled.into(),
            headers: checked.headers.into(),
            names_graph: checked.names_graph,
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

    /// Whether it is true or false of every operation of this kind; `None` where that hangs on the request.
    pub(super) fn foresee(&self, kind: &OperationKind) -> Option<bool> {
        foresee(&self.expression, kind)
    }

    /// `None` where it fails.
    pub(super) fn evaluate(&self, identity: &Identity, judged: Option<Judged<'_>>) -> Option<bool> {
        let scope = Scope { identity, judged, patterns: &self.patterns, fuel: Fuel::full() };
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.set_variable_resolver(&scope);
        let value = Value::resolve_val(&self.expression, &context).ok()?;
        value.downcast_ref::<CelBool>().map(|held| *held.inner())
    }

    /// The string that it comes to for a caller; `None` where it fails.
    pub(super) fn text(&self, identity: &Identity) -> Option<String> {
        let scope = Scope { identity, judged: None, patterns: &self.patterns, fuel: Fuel::full() };
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.set_variable_resolver(&scope);
        let value = Value::resolve_val(&self.expression, &context).ok()?;
        value.downcast_ref::<CelString<'_>>().map(|text| text.inner().to_owned())
    }

    /// Whether it needs to know the graph.
    pub(super) fn names_graph(&self) -> bool {
        self.names_graph
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

/// The library has two parsers. This one is hand-written, bounded, and a fraction of the other's size.
fn parser() -> PrattParser {
    PrattParser::new().max_recursion_depth(DEPTH_LIMIT).error_reporting_limit(10)
}

/// Whether the tree could get deep in ways that the parser's own limit, which counts brackets, does not see.
fn is_too_complex(source: &str) -> bool {
    let (mut unary, mut operators) = (0_usize, 0_usize);
    for byte in source.bytes() {
        match byte {
            b'.' | b'?' | b'+' | b'-' | b'*' | b'/' | b'%' | b'&' | b'|' | b'=' | b'<' | b'>' | b'[' => {
                operators += 1
            }
            _ => {}
        }
        unary = match byte {
            b'!' | b'-' => unary + 1,
            byte if byte.is_ascii_whitespace() => unary,
            _ => 0,
        };
        if unary > 32 || operators > OPERATORS_LIMIT {
            return true;
        }
    }
    false
}

/// Where each node of an expression stands.
struct Places<'a> {
    source: &'a str,
    offsets: Option<Arc<SourceInfo>>,
}

impl<'a> Places<'a> {
    /// The parser gives places only along with an error, so it is given one: a bracket too many at the end. Nodes
    /// get their numbers in the order of parsing, so they are those of the sound expression.
    fn of(source: &'a str) -> Self {
        let errors = parser().parse(&format!("{source}\n)")).err();
        let offsets = errors.and_then(|errors| errors.errors.into_iter().find_map(|error| error.source_info));
        Self { source, offsets }
    }

    /// One-based line and column, in characters; zeros where the place is not known.
    fn find(&self, id: u64) -> (isize, isize) {
        let Some((offset, _)) = self.offsets.as_ref().and_then(|offsets| offsets.offset_for(id)) else {
            return (0, 0);
        };
        let (mut line, mut column) = (1, 1);
        let end = usize::try_from(offset).unwrap_or(usize::MAX);
        for (_, character) in self.source.char_indices().take_while(|(at, _)| *at < end) {
            if character == '\n' {
                line += 1;
                column = 1;
            } else {
                column += 1;
            }
        }
        (line, column)
    }
}

fn place(line: isize, column: isize) -> String {
    match line {
        ..=0 => String::new(),
        1 => format!("column {column}: "),
        _ => format!("line {line}, column {column}: "),
    }
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
