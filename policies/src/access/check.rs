//! Checks a parsed condition before any request comes: names, functions, kinds, and what it may cost.
//!
//! CEL leaves names and types to run time where there is no checker. Here a rule that cannot mean what its
//! author meant is a configuration error: an unknown name or function, kinds that do not go together, a word
//! that a field never holds, an expression that is no condition. Cost is bounded by length, by one level of
//! comprehension, and at run time by [`super::scope`]'s fuel.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators,
};

use super::vocabulary::{Kind, Object, variable};
use crate::policy::nearest;

/// Something wrong with a condition.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The expression's id, for its column.
    pub(super) id: u64,
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

/// What a condition needs, and its faults.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) faults: Vec<Fault>,
    /// Headers named, lower case.
    pub(super) headers: Vec<String>,
    /// Whether it names `graph`.
    pub(super) names_graph: bool,
    /// Patterns of `matches`, in the order in which [`super::patterns`] finds them.
    pub(super) patterns: Vec<(u64, String)>,
}

/// Functions that conditions may call, beyond the macros.
const FUNCTIONS: &[&str] = &[
    "all",
    "contains",
    "double",
    "endsWith",
    "exists",
    "exists_one",
    "filter",
    "has",
    "int",
    "map",
    "matches",
    "size",
    "startsWith",
    "string",
    "uint",
];

/// What an expression has to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comes {
    /// A condition.
    ToBool,
    /// A value.
    ToText,
}

/// Checks `expression`, which may use the variables `names` and has to come to what is said.
pub(super) fn check(expression: &IdedExpr, names: &[&str], comes: Comes) -> Checked {
    let mut checker = Checker { names, bound: Vec::new(), checked: Checked::default() };
    let kind = checker.kind(expression);
    let fault = match comes {
        Comes::ToBool if !kind.is_bool() => "a condition has to be a bool",
        Comes::ToText if !kind.is_text() => "a value has to be a string",
        Comes::ToBool | Comes::ToText => return checker.checked,
    };
    checker.fault(expression.id, format!("{fault}, and this is a {}", kind.name()), None);
    checker.checked
}

struct Checker<'a> {
    names: &'a [&'a str],
    /// Variables of comprehensions, innermost last.
    bound: Vec<(String, Kind)>,
    checked: Checked,
}

impl Checker<'_> {
    fn fault(&mut self, id: u64, what: impl Into<String>, hint: Option<String>) {
        self.checked.faults.push(Fault { id, what: what.into(), hint });
    }

    fn kind(&mut self, expression: &IdedExpr) -> Kind {
        let id = expression.id;
        match &expression.expr {
            Expr::Literal(literal) => literal_kind(literal),
            Expr::Ident(name) => self.variable(id, name),
            Expr::Select(select) => self.select(id, select),
            Expr::Call(call) => self.call(id, call),
            Expr::List(list) => {
                let mut kinds: Vec<Kind> = list.elements.iter().map(|element| self.kind(element)).collect();
                let first = kinds.pop().unwrap_or(Kind::Dyn);
                let uniform = kinds.iter().all(|kind| kind.meets(&first));
                Kind::List(Box::new(if uniform { first } else { Kind::Dyn }))
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.kind(&entry.key);
                        self.kind(&entry.value);
                    }
                }
                Kind::Map(Box::new(Kind::Dyn))
            }
            Expr::Comprehension(comprehension) => self.comprehension(id, comprehension),
            Expr::Struct(_) | Expr::Unspecified => {
                self.fault(id, "this form has no use in a condition", None);
                Kind::Dyn
            }
        }
    }

    fn variable(&mut self, id: u64, name: &str) -> Kind {
        if let Some((_, kind)) = self.bound.iter().rev().find(|(bound, _)| bound == name) {
            return kind.clone();
        }
        if self.names.contains(&name)
            && let Some(kind) = variable(name)
        {
            self.checked.names_graph |= name == "graph";
            return kind;
        }
        let known = self.names.iter().copied().chain(self.bound.iter().map(|(name, _)| name.as_str()));
        let hint = nearest(name, known).map(|near| format!("did you mean `{near}`?"));
        let hint = hint.unwrap_or_else(|| format!("known are {}", self.names.join(", ")));
        self.fault(id, format!("unknown name `{name}`"), Some(hint));
        Kind::Dyn
    }

    fn select(&mut self, id: u64, select: &SelectExpr) -> Kind {
        let operand = self.kind(&select.operand);
        let kind = self.member(id, &operand, &select.field);
        if self.is_headers(&select.operand) {
            self.checked.headers.push(select.field.to_ascii_lowercase());
        }
        if select.test { Kind::Bool } else { kind }
    }

    fn member(&mut self, id: u64, operand: &Kind, name: &str) -> Kind {
        match operand {
            Kind::Object(object) => self.field(id, object, name),
            Kind::Map(value) => (**value).clone(),
            Kind::Dyn => Kind::Dyn,
            other => {
                self.fault(id, format!("a {} has no member `{name}`", other.name()), None);
                Kind::Dyn
            }
        }
    }

    fn field(&mut self, id: u64, object: &'static Object, name: &str) -> Kind {
        if let Some((_, field)) = object.fields.iter().find(|(field, _)| *field == name) {
            return field.kind();
        }
        let fields = object.fields.iter().map(|(field, _)| *field);
        let hint = match nearest(name, fields.clone()) {
            Some(near) => format!("did you mean `{}.{near}`?", object.name),
            None => format!("known are {}", fields.collect::<Vec<_>>().join(", ")),
        };
        self.fault(id, format!("unknown name `{}.{name}`", object.name), Some(hint));
        Kind::Dyn
    }

    /// Whether this is `request.headers`.
    fn is_headers(&self, expression: &IdedExpr) -> bool {
        matches!(&expression.expr, Expr::Select(select)
            if select.field == "headers" && matches!(&select.operand.expr, Expr::Ident(name) if name == "request"))
    }

    fn comprehension(&mut self, id: u64, comprehension: &ComprehensionExpr) -> Kind {
        let range = self.kind(&comprehension.iter_range);
        if !self.bound.is_empty() {
            self.fault(id, "a comprehension inside another costs too much", None);
            return Kind::Dyn;
        }
        let element = match range {
            Kind::List(element) => *element,
            Kind::Dyn => Kind::Dyn,
            other => {
                self.fault(id, format!("a {} cannot be gone through", other.name()), None);
                Kind::Dyn
            }
        };
        for name in std::iter::once(&comprehension.iter_var).chain(&comprehension.iter_var2) {
            if variable(name).is_some() {
                self.fault(id, format!("`{name}` is taken: name the element otherwise"), None);
            }
            self.bound.push((name.clone(), element.clone()));
        }
        let start = self.kind(&comprehension.accu_init);
        self.bound.push((comprehension.accu_var.clone(), start));
        let condition = self.kind(&comprehension.loop_cond);
        if !condition.is_bool() {
            self.fault(id, "the condition of a comprehension has to be a bool", None);
        }
        self.kind(&comprehension.loop_step);
        let result = self.kind(&comprehension.result);
        self.bound.clear();
        result
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Kind {
        let name = call.func_name.as_str();
        match (name, call.target.as_deref(), call.args.as_slice()) {
            (operators::CONDITIONAL, None, [condition, yes, no]) => {
                self.expect_bool(condition);
                let (yes, no) = (self.kind(yes), self.kind(no));
                if yes.meets(&no) { yes } else { Kind::Dyn }
            }
            (operators::LOGICAL_AND | operators::LOGICAL_OR, None, [left, right]) => {
                self.expect_bool(left);
                self.expect_bool(right);
                Kind::Bool
            }
            (operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE, None, [operand]) => {
                self.expect_bool(operand);
                Kind::Bool
            }
            (operators::NEGATE, None, [operand]) => {
                let kind = self.kind(operand);
                if !kind.is_number() {
                    self.fault(id, format!("a {} has no negative", kind.name()), None);
                }
                kind
            }
            (operators::EQUALS | operators::NOT_EQUALS, None, [left, right]) => {
                self.comparable(id, left, right);
                Kind::Bool
            }
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                None,
                [left, right],
            ) => {
                let (left, right) = (self.kind(left), self.kind(right));
                let ordered = left.is_number() && right.is_number() || left.is_text() && right.is_text();
                if !ordered {
                    self.mismatch(id, &left, &right);
                }
                Kind::Bool
            }
            (
                operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO,
                None,
                [left, right],
            ) => {
                let (left, right) = (self.kind(left), self.kind(right));
                let joins = name == operators::ADD
                    && (left.is_text() && right.is_text()
                        || matches!(left, Kind::List(_) | Kind::Dyn)
                            && matches!(right, Kind::List(_) | Kind::Dyn));
                let counts = left.is_number() && right.is_number() && left.meets(&right);
                if !(joins || counts) {
                    self.mismatch(id, &left, &right);
                    return Kind::Dyn;
                }
                if left == Kind::Dyn { right } else { left }
            }
            (operators::IN, None, [element, container]) => self.contained(id, element, container),
            (operators::INDEX, None, [operand, index]) => self.index(id, operand, index),
            ("size", Some(operand), []) | ("size", None, [operand]) => {
                let kind = self.kind(operand);
                let sized = matches!(kind, Kind::List(_) | Kind::Map(_) | Kind::Bytes) || kind.is_text();
                if !sized {
                    self.fault(id, format!("a {} has no size", kind.name()), None);
                }
                Kind::Int
            }
            ("contains" | "startsWith" | "endsWith", Some(operand), [part]) => {
                self.expect_text(operand);
                self.expect_text(part);
                Kind::Bool
            }
            ("matches", Some(operand), [pattern]) | ("matches", None, [operand, pattern]) => {
                self.expect_text(operand);
                self.pattern(pattern);
                Kind::Bool
            }
            ("int", None, [operand]) => self.convert(operand, Kind::Int),
            ("uint", None, [operand]) => self.convert(operand, Kind::Uint),
            ("double", None, [operand]) => self.convert(operand, Kind::Double),
            ("string", None, [operand]) => self.convert(operand, Kind::String),
            _ => {
                for operand in call.target.as_deref().into_iter().chain(&call.args) {
                    self.kind(operand);
                }
                if FUNCTIONS.contains(&name) {
                    self.fault(
                        id,
                        format!("`{name}` is not called with {} arguments that way", call.args.len()),
                        None,
                    );
                } else {
                    let hint = nearest(name, FUNCTIONS.iter().copied())
                        .map(|near| format!("did you mean `{near}`?"));
                    let hint = hint.unwrap_or_else(|| format!("known are {}", FUNCTIONS.join(", ")));
                    self.fault(id, format!("unknown function `{name}`"), Some(hint));
                }
                Kind::Dyn
            }
        }
    }

    fn mismatch(&mut self, id: u64, left: &Kind, right: &Kind) {
        self.fault(id, format!("a {} and a {} do not go together here", left.name(), right.name()), None);
    }

    fn expect_bool(&mut self, operand: &IdedExpr) {
        let kind = self.kind(operand);
        if !kind.is_bool() {
            self.fault(operand.id, format!("a bool is needed here, and this is a {}", kind.name()), None);
        }
    }

    fn expect_text(&mut self, operand: &IdedExpr) {
        let kind = self.kind(operand);
        if !kind.is_text() {
            self.fault(operand.id, format!("a string is needed here, and this is a {}", kind.name()), None);
        }
    }

    fn convert(&mut self, operand: &IdedExpr, to: Kind) -> Kind {
        let kind = self.kind(operand);
        if !(kind.is_number() || kind.is_text() || kind.is_bool() && to == Kind::String) {
            self.fault(operand.id, format!("a {} does not convert to {}", kind.name(), to.name()), None);
        }
        to
    }

    fn comparable(&mut self, id: u64, left: &IdedExpr, right: &IdedExpr) {
        let (one, two) = (self.kind(left), self.kind(right));
        // The evaluator tells a literal map from a map of the request even where they are alike.
        if matches!(one, Kind::Map(_) | Kind::Object(_)) || matches!(two, Kind::Map(_) | Kind::Object(_)) {
            self.fault(id, "maps cannot be compared", Some("compare their members".to_owned()));
        } else if !one.meets(&two) && one != Kind::Null && two != Kind::Null {
            self.mismatch(id, &one, &two);
        } else if !one.meets(&two) {
            self.fault(
                id,
                "this is never null",
                Some("absent strings are empty: compare with \"\"".to_owned()),
            );
        }
        self.word(&one, right);
        self.word(&two, left);
    }

    /// Faults a literal that a field of few words never holds.
    fn word(&mut self, kind: &Kind, literal: &IdedExpr) {
        let (Kind::Word(words), Expr::Literal(LiteralValue::String(text))) = (kind, &literal.expr) else {
            return;
        };
        if !words.contains(&text.inner()) {
            let hint = match nearest(text.inner(), words.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("it is one of {}", words.join(", ")),
            };
            self.fault(literal.id, format!("this is never \"{}\"", text.inner()), Some(hint));
        }
    }

    fn contained(&mut self, id: u64, element: &IdedExpr, container: &IdedExpr) -> Kind {
        let (of, kind) = (self.kind(element), self.kind(container));
        match &kind {
            Kind::List(items) => {
                if matches!(of, Kind::Map(_) | Kind::Object(_)) {
                    self.fault(id, "maps cannot be compared", Some("compare their members".to_owned()));
                } else if !of.meets(items) {
                    self.mismatch(id, &of, items);
                }
                if let Expr::List(list) = &container.expr {
                    for item in &list.elements {
                        self.word(&of, item);
                    }
                }
            }
            Kind::Map(_) => {
                if !of.is_text() {
                    self.mismatch(id, &of, &kind);
                }
                if self.is_headers(container) {
                    self.header(element);
                }
            }
            Kind::Dyn => {}
            other => {
                self.fault(
                    id,
                    format!("nothing is in a {}", other.name()),
                    Some("use contains() on strings".to_owned()),
                );
            }
        }
        Kind::Bool
    }

    fn index(&mut self, id: u64, operand: &IdedExpr, index: &IdedExpr) -> Kind {
        let (kind, by) = (self.kind(operand), self.kind(index));
        match &kind {
            Kind::List(element) => {
                if !by.is_number() {
                    self.mismatch(id, &kind, &by);
                }
                (**element).clone()
            }
            Kind::Map(value) => {
                if !by.is_text() {
                    self.mismatch(id, &kind, &by);
                }
                if self.is_headers(operand) {
                    self.header(index);
                }
                (**value).clone()
            }
            Kind::Dyn => Kind::Dyn,
            other => {
                self.fault(
                    id,
                    format!("a {} is not indexed", other.name()),
                    Some("write `.` and a name".to_owned()),
                );
                Kind::Dyn
            }
        }
    }

    /// Headers are copied for rules by name, so the name has to be written out.
    fn header(&mut self, name: &IdedExpr) {
        match &name.expr {
            Expr::Literal(LiteralValue::String(text)) => self.checked.headers.push(text.inner().to_owned()),
            _ => self.fault(name.id, "a header's name has to be written out", None),
        }
        if let Expr::Literal(LiteralValue::String(text)) = &name.expr
            && text.inner().bytes().any(|byte| byte.is_ascii_uppercase())
        {
            self.fault(name.id, "a header's name is written in lower case", None);
        }
    }

    /// Patterns are compiled once, with the configuration, so they have to be written out.
    fn pattern(&mut self, pattern: &IdedExpr) {
        match &pattern.expr {
            Expr::Literal(LiteralValue::String(text)) => {
                self.checked.patterns.push((pattern.id, text.inner().to_owned()));
            }
            _ => self.fault(pattern.id, "a pattern has to be written out", None),
        }
    }
}

fn literal_kind(literal: &LiteralValue) -> Kind {
    match literal {
        LiteralValue::Boolean(_) => Kind::Bool,
        LiteralValue::Bytes(_) => Kind::Bytes,
        LiteralValue::Double(_) => Kind::Double,
        LiteralValue::Int(_) => Kind::Int,
        LiteralValue::Null => Kind::Null,
        LiteralValue::String(_) => Kind::String,
        LiteralValue::UInt(_) => Kind::Uint,
    }
}
