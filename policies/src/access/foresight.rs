//! What a condition comes to before any request is there: for one kind of operation it may be true or false already.
//!
//! `operation.class == "admin"` is false of every read, `graph == "a" && graph == "b"` of everything. What is not plain is
//! not known; so a rule that is faulted for never firing never fires, and not every rule that never fires is faulted.

use std::collections::BTreeMap;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::scope::class_word;
use super::selection::OperationKind;

/// A value that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    Text(String),
    Int(i64),
    Bool(bool),
}

/// Whether `expression` is true or false of every operation of this kind; `None` where that hangs on more.
pub(super) fn foresee(expression: &IdedExpr, kind: &OperationKind) -> Option<bool> {
    match &expression.expr {
        Expr::Call(call) => of_call(expression, call, kind),
        _ => match known(expression, kind) {
            Some(Known::Bool(holds)) => Some(holds),
            _ => None,
        },
    }
}

fn of_call(expression: &IdedExpr, call: &CallExpr, kind: &OperationKind) -> Option<bool> {
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::LOGICAL_AND, [left, right]) => match (foresee(left, kind), foresee(right, kind)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => contradicts_itself(expression).then_some(false),
        },
        (operators::LOGICAL_OR, [left, right]) => match (foresee(left, kind), foresee(right, kind)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        (operators::LOGICAL_NOT, [operand]) => foresee(operand, kind).map(|holds| !holds),
        (operators::EQUALS, [left, right]) => same(left, right, kind),
        (operators::NOT_EQUALS, [left, right]) => same(left, right, kind).map(|same| !same),
        (operators::IN, [element, list]) => {
            let (Some(element), Expr::List(list)) = (known(element, kind), &list.expr) else { return None };
            let items: Option<Vec<Known>> = list.elements.iter().map(|item| known(item, kind)).collect();
            items.map(|items| items.contains(&element))
        }
        _ => None,
    }
}

fn same(left: &IdedExpr, right: &IdedExpr, kind: &OperationKind) -> Option<bool> {
    match (known(left, kind)?, known(right, kind)?) {
        (Known::Text(one), Known::Text(two)) => Some(one == two),
        (Known::Int(one), Known::Int(two)) => Some(one == two),
        (Known::Bool(one), Known::Bool(two)) => Some(one == two),
        _ => None,
    }
}

/// A literal, or what the kind of an operation says of it.
fn known(expression: &IdedExpr, (resource, action, class): &OperationKind) -> Option<Known> {
    match &expression.expr {
        Expr::Select(select) if !select.test => {
            if !matches!(&select.operand.expr, Expr::Ident(name) if name == "operation") {
                return None;
            }
            Some(Known::Text(match select.field.as_str() {
                "resource" => (*resource).to_owned(),
                "action" => (*action).to_owned(),
                "name" => format!("{resource}.{action}"),
                "class" => class_word(*class).to_owned(),
                _ => return None,
            }))
        }
        _ => literal(expression),
    }
}

/// Whether the parts of a conjunction say two things of the same name.
fn contradicts_itself(expression: &IdedExpr) -> bool {
    let mut said: BTreeMap<String, Known> = BTreeMap::new();
    let mut denied: Vec<(String, Known)> = Vec::new();
    let mut rest = vec![expression];
    while let Some(part) = rest.pop() {
        let (name, value, is) = match &part.expr {
            Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
                (operators::LOGICAL_AND, [left, right]) => {
                    rest.extend([left, right]);
                    continue;
                }
                (operators::LOGICAL_NOT, [operand]) => (path(operand), Some(Known::Bool(true)), false),
                (operator @ (operators::EQUALS | operators::NOT_EQUALS), [left, right]) => {
                    let (name, value) = match path(left) {
                        Some(name) => (Some(name), literal(right)),
                        None => (path(right), literal(left)),
                    };
                    (name, value, operator == operators::EQUALS)
                }
                _ => continue,
            },
            _ => (path(part), Some(Known::Bool(true)), true),
        };
        let (Some(name), Some(value)) = (name, value) else { continue };
        if !is {
            denied.push((name, value));
        } else if said.insert(name, value.clone()).is_some_and(|other| other != value) {
            return true;
        }
    }
    denied.iter().any(|(name, value)| said.get(name) == Some(value))
}

fn literal(expression: &IdedExpr) -> Option<Known> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(Known::Text(text.inner().to_owned())),
        Expr::Literal(LiteralValue::Int(number)) => Some(Known::Int(*number.inner())),
        Expr::Literal(LiteralValue::Boolean(flag)) => Some(Known::Bool(*flag.inner())),
        _ => None,
    }
}

/// `identity.claims.tenant`, where an expression is no more than that.
fn path(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => Some(format!("{}.{}", path(&select.operand)?, select.field)),
        _ => None,
    }
}
