//! Which operations a rule is about: names, `resource.*`, classes, or all.

use crate::operation::{Class, Operation, kinds};
use crate::policy::nearest;
use crate::policy::{At, Problems};

/// A compiled `operations:` list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selection(Vec<Item>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    All,
    Class(Class),
    Resource(String),
    Name(String, String),
}

/// An operation without its names: `resource`, `action`, class.
pub(super) type OperationKind = (&'static str, &'static str, Class);

/// Every kind of operation that a request can be.
pub(super) fn universe() -> Vec<OperationKind> {
    kinds()
}

const CLASSES: &[(&str, Class)] = &[
    ("system", Class::System),
    ("read", Class::Read),
    ("write", Class::Write),
    ("execute", Class::Execute),
    ("admin", Class::Admin),
];

impl Selection {
    /// Compiles the list. Every problem is added; `None` if there was one.
    pub(super) fn compile(names: &[String], at: &At, problems: &mut Problems) -> Option<Self> {
        let known = problems.iter().count();
        if names.is_empty() {
            problems.add_with_hint(
                at,
                "a rule without operations can never fire",
                "write \"*\" for all of them",
            );
        }
        let universe = universe();
        let items = names.iter().enumerate().filter_map(|(index, name)| {
            let item = item(name, &universe);
            if item.is_none() {
                report(name, &universe, &at.index(index), problems);
            }
            item
        });
        let items = items.collect();
        (problems.iter().count() == known).then_some(Self(items))
    }

    /// Whether the rule is about this operation.
    pub(super) fn covers(&self, operation: &Operation) -> bool {
        self.covers_kind(&(operation.resource, operation.action, operation.class))
    }

    /// Whether the rule is about operations of this kind.
    pub(super) fn covers_kind(&self, (resource, action, class): &OperationKind) -> bool {
        self.0.iter().any(|item| match item {
            Item::All => true,
            Item::Class(of) => of == class,
            Item::Resource(of) => of == resource,
            Item::Name(of, does) => of == resource && does == action,
        })
    }
}

fn item(name: &str, universe: &[OperationKind]) -> Option<Item> {
    if name == "*" {
        return Some(Item::All);
    }
    if let Some(class) = name.strip_prefix("class:") {
        return CLASSES.iter().find(|(word, _)| *word == class).map(|(_, class)| Item::Class(*class));
    }
    let (resource, action) = name.split_once('.')?;
    if action == "*" {
        return universe
            .iter()
            .any(|(of, _, _)| *of == resource)
            .then(|| Item::Resource(resource.to_owned()));
    }
    universe
        .iter()
        .any(|(of, does, _)| *of == resource && *does == action)
        .then(|| Item::Name(resource.to_owned(), action.to_owned()))
}

fn report(name: &str, universe: &[OperationKind], at: &At, problems: &mut Problems) {
    let mut known: Vec<String> =
        universe.iter().map(|(resource, action, _)| format!("{resource}.{action}")).collect();
    known.extend(universe.iter().map(|(resource, _, _)| format!("{resource}.*")));
    known.extend(CLASSES.iter().map(|(word, _)| format!("class:{word}")));
    let what = format!("unknown operation `{name}`");
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => problems.add_with_hint(at, what, format!("did you mean `{near}`?")),
        None => problems.add_with_hint(at, what, "write resource.action, resource.*, class:read or *"),
    }
}
