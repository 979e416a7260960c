//! Regular expressions of conditions, compiled with the configuration.
//!
//! CEL's `matches` takes its pattern as a string and would compile it for every request. The patterns are
//! literals (see [`super::check`]), so each becomes a variable that holds the compiled automaton, and the call a
//! call to a function of our own: `x.matches("a+")` → `pattern_matches(x, @pattern0)`.

use std::any::Any;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::common::types::{CelBool, CelString, STRING_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{Env, ExecutionError};
use regex::Regex;

/// What the variables of patterns are called, before their number. `@` keeps them out of the policy's reach.
pub(super) const PREFIX: &str = "@pattern";

/// Our function.
const FUNCTION: &str = "@pattern_matches";

/// Most memory of one compiled pattern, bytes.
const SIZE_LIMIT: usize = 256 * 1024;

static PATTERN_TYPE: Type = Type::new_unspecified_type("pattern");

/// A compiled pattern as a value of the evaluator.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// Compiles. The error says why not, in the words of the regex library.
    pub(super) fn compile(pattern: &str) -> Result<Self, String> {
        regex::RegexBuilder::new(pattern).size_limit(SIZE_LIMIT).build().map(Self).map_err(|error| {
            let text = error.to_string();
            text.lines().last().unwrap_or("not a pattern").trim_start_matches("error: ").to_owned()
        })
    }
}

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN_TYPE
    }

    fn cel_type() -> &'static Type {
        &PATTERN_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}

/// Adds our function to the environment.
pub(super) fn declare(env: &mut Env) {
    // The name cannot be taken: no identifier starts with `@`.
    let declared = env.add_overload(FUNCTION, FUNCTION, vec![STRING_TYPE, PATTERN_TYPE.to_owned()], matches);
    debug_assert!(declared.is_ok());
}

fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [text, pattern] = arguments.as_slice() else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    match (text.downcast_ref::<CelString<'_>>(), pattern.downcast_ref::<Pattern>()) {
        (Some(text), Some(Pattern(pattern))) => {
            Ok(CowVal::owned(CelBool::from(pattern.is_match(text.inner()))))
        }
        _ => Err(ExecutionError::missing_argument_or_target()),
    }
}

/// Replaces every `matches` with a literal pattern by ours, and gives the patterns in the order of their numbers.
pub(super) fn take(expression: &mut IdedExpr, patterns: &mut Vec<String>) {
    match &mut expression.expr {
        Expr::Call(call) => {
            for operand in call.target.as_deref_mut().into_iter().chain(&mut call.args) {
                take(operand, patterns);
            }
            if call.func_name == "matches" {
                replace(call, patterns);
            }
        }
        Expr::Select(select) => take(&mut select.operand, patterns),
        Expr::List(list) => list.elements.iter_mut().for_each(|element| take(element, patterns)),
        Expr::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    take(&mut entry.key, patterns);
                    take(&mut entry.value, patterns);
                }
            }
        }
        Expr::Comprehension(comprehension) => {
            for part in [
                &mut comprehension.iter_range,
                &mut comprehension.accu_init,
                &mut comprehension.loop_cond,
                &mut comprehension.loop_step,
                &mut comprehension.result,
            ] {
                take(part, patterns);
            }
        }
        Expr::Struct(_) | Expr::Literal(_) | Expr::Ident(_) | Expr::Unspecified => {}
    }
}

fn replace(call: &mut CallExpr, patterns: &mut Vec<String>) {
    let Some(last) = call.args.last_mut() else { return };
    let Expr::Literal(LiteralValue::String(text)) = &last.expr else { return };
    let name = format!("{PREFIX}{}", patterns.len());
    patterns.push(text.inner().to_owned());
    last.expr = Expr::Ident(name);
    if let Some(target) = call.target.take() {
        call.args.insert(0, *target);
    }
    FUNCTION.clone_into(&mut call.func_name);
}
