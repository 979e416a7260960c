//! What a condition sees while it is evaluated: borrowed views, made on access and paid for with fuel.
//!
//! Nothing is converted beforehand: `input.messages` makes values of that array and of nothing else. Each access
//! to the request's own JSON costs fuel in proportion to what it makes; a condition that runs out fails, and a
//! failed condition never lets anything through (see [`super::rules`]).

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Sizer};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelNull, CelString, CelUInt, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use serde_json::{Map, Value};

use super::Call;
use super::patterns::Pattern;
use super::vocabulary::{IDENTITY, OPERATION, Object, REQUEST};
use crate::identity::{Actor, Identity};
use crate::operation::{Class, Facts, Operation, Request};

/// What one evaluation may make of the request's JSON: array elements, plus one for every 64 bytes of text.
const FUEL: usize = 100_000;

/// One evaluation's surroundings.
pub(super) struct Scope<'a> {
    pub(super) identity: &'a Identity,
    /// Absent for conditions about the caller alone.
    pub(super) judged: Option<Judged<'a>>,
    pub(super) patterns: &'a [Pattern],
    pub(super) fuel: Fuel,
}

/// The operation in question.
#[derive(Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) request: &'a Request,
    pub(super) operation: &'a Operation,
    pub(super) facts: &'a Facts,
    pub(super) call: &'a Call,
    pub(super) now: u64,
}

/// What is left of an evaluation's budget.
#[derive(Debug)]
pub(super) struct Fuel(AtomicUsize);

impl Fuel {
    pub(super) fn full() -> Self {
        Self(AtomicUsize::new(FUEL))
    }

    fn burn(&self, amount: usize) -> Result<(), ExecutionError> {
        let left = self.0.load(Ordering::Relaxed);
        match left.checked_sub(amount) {
            Some(left) => {
                self.0.store(left, Ordering::Relaxed);
                Ok(())
            }
            None => Err(ExecutionError::function_error("condition", "costs too much on this request")),
        }
    }
}

impl VariableResolver for Scope<'_> {
    /// The evaluator asks for the longest dotted name first: `identity.roles`, then `identity`.
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        match name.split_once('.') {
            None => self.variable(name),
            Some(("identity", field)) => identity(self.identity, field, &self.fuel).map(Part::into_val),
            Some(("operation", field)) => operation(self.judged?, field).map(Part::into_val),
            Some(("request", field)) => request(self.judged?, field).map(Part::into_val),
            Some(_) => None,
        }
    }
}

impl Scope<'_> {
    fn variable<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        match name {
            "identity" => Some(CowVal::owned(View { object: &IDENTITY, scope: self })),
            "operation" => self.judged.map(|_| CowVal::owned(View { object: &OPERATION, scope: self })),
            "request" => self.judged.map(|_| CowVal::owned(View { object: &REQUEST, scope: self })),
            "graph" => {
                let judged = self.judged?;
                match &judged.operation.graph {
                    Some(graph) => Some(text(graph)),
                    // Not known: no value at all, so that the condition fails instead of being false.
                    None if !judged.facts.graph_known => None,
                    None => Some(text("")),
                }
            }
            "input" => match &self.judged?.request.body {
                Some(body) => json(body, &self.fuel).ok().map(CowVal::Owned),
                None => Some(CowVal::owned(CelNull)),
            },
            "now" => Some(CowVal::owned(CelInt::from(i64::try_from(self.judged?.now).unwrap_or(i64::MAX)))),
            _ => {
                let index: usize = name.strip_prefix(super::patterns::PREFIX)?.parse().ok()?;
                self.patterns.get(index).map(|pattern| CowVal::Borrowed(pattern as &dyn Val))
            }
        }
    }
}

/// A field's value before it becomes one of the evaluator's.
enum Part<'a> {
    Text(Option<Cow<'a, str>>),
    Flag(bool),
    Number(i64),
    Texts(&'a [String]),
    Json(&'a Map<String, Value>, &'a Fuel),
    Texted(Texted<'a>),
}

impl<'a> Part<'a> {
    fn text(text: &'a str) -> Self {
        Self::Text(Some(Cow::Borrowed(text)))
    }

    fn maybe(text: Option<&'a str>) -> Self {
        Self::Text(text.map(Cow::Borrowed))
    }

    /// Whether `has()` holds: the field is there and not empty.
    fn is_there(&self) -> bool {
        match self {
            Self::Text(text) => text.as_ref().is_some_and(|text| !text.is_empty()),
            Self::Texts(texts) => !texts.is_empty(),
            Self::Flag(_) | Self::Number(_) | Self::Json(..) | Self::Texted(_) => true,
        }
    }

    fn into_val<'v>(self) -> CowVal<'v, 'v>
    where
        'a: 'v,
    {
        match self {
            Self::Text(text) => CowVal::owned(CelString::from(text.unwrap_or_default())),
            Self::Flag(flag) => CowVal::owned(CelBool::from(flag)),
            Self::Number(number) => CowVal::owned(CelInt::from(number)),
            Self::Texts(texts) => {
                let texts: Vec<Box<dyn Val + 'v>> = texts
                    .iter()
                    .map(|text| Box::new(CelString::from(text.as_str())) as Box<dyn Val + 'v>)
                    .collect();
                CowVal::owned(CelList::from(texts))
            }
            Self::Json(map, fuel) => CowVal::owned(Json { map, fuel }),
            Self::Texted(texted) => CowVal::owned(texted),
        }
    }
}

fn identity<'a>(identity: &'a Identity, field: &str, fuel: &'a Fuel) -> Option<Part<'a>> {
    Some(match field {
        "issuer" => Part::text(&identity.issuer),
        "subject" => Part::text(&identity.subject),
        "name" => Part::maybe(identity.name.as_deref()),
        "email" => Part::maybe(identity.email.as_deref()),
        "roles" => Part::Texts(&identity.roles),
        "groups" => Part::Texts(&identity.groups),
        "actor" => Part::text(match identity.actor {
            Actor::Person => "person",
            Actor::Machine => "machine",
        }),
        "claims" => Part::Json(&identity.claims, fuel),
        _ => return None,
    })
}

fn operation<'a>(judged: Judged<'a>, field: &str) -> Option<Part<'a>> {
    let Judged { operation, facts, .. } = judged;
    Some(match field {
        "name" => Part::Text(Some(Cow::Owned(operation.name()))),
        "resource" => Part::text(operation.resource),
        "action" => Part::text(operation.action),
        "class" => Part::text(class_word(operation.class)),
        "assistant" => Part::maybe(operation.assistant.as_deref()),
        "thread" => Part::maybe(operation.thread.as_deref()),
        "run" => Part::maybe(operation.run.as_deref()),
        "cron" => Part::maybe(operation.cron.as_deref()),
        "tool" => Part::maybe(operation.tool.as_deref()),
        "namespace" => Part::Texts(&operation.namespace),
        "stream_modes" => Part::Texts(&operation.stream_modes),
        "method" => Part::maybe(facts.method.as_deref()),
        "webhook" => Part::maybe(facts.webhook.as_deref()),
        "resume" => Part::Flag(facts.resume),
        "update" => Part::Flag(facts.update),
        "goto" => Part::Flag(facts.goto),
        "supersteps" => Part::Flag(facts.supersteps),
        "checkpoint" => Part::Flag(facts.checkpoint),
        "deferred" => Part::Flag(facts.deferred),
        "multitask_strategy" => Part::maybe(facts.multitask_strategy.as_deref()),
        "if_exists" => Part::maybe(facts.if_exists.as_deref()),
        "if_not_exists" => Part::maybe(facts.if_not_exists.as_deref()),
        "on_disconnect" => Part::maybe(facts.on_disconnect.as_deref()),
        "on_completion" => Part::maybe(facts.on_completion.as_deref()),
        "configurable" => Part::Texts(&facts.configurable),
        "context" => Part::Texts(&facts.context),
        "metadata" => Part::Texts(&facts.metadata),
        _ => return None,
    })
}

fn request<'a>(judged: Judged<'a>, field: &str) -> Option<Part<'a>> {
    let Judged { request, call, .. } = judged;
    Some(match field {
        "method" => Part::text(&request.normalised.method),
        "path" => Part::text(request.normalised.path.split('?').next().unwrap_or_default()),
        "source" => Part::text(&call.source),
        "headers" => Part::Texted(Texted::Headers(call)),
        "query" => Part::Texted(Texted::Query(&request.normalised.query)),
        "operations" => Part::Number(i64::try_from(request.operations.len()).unwrap_or(i64::MAX)),
        _ => return None,
    })
}

/// A class as policies write it.
pub(super) fn class_word(class: Class) -> &'static str {
    match class {
        Class::System => "system",
        Class::Read => "read",
        Class::Write => "write",
        Class::Execute => "execute",
        Class::Admin => "admin",
    }
}

fn text<'v>(text: &'v str) -> CowVal<'v, 'v> {
    CowVal::owned(CelString::from(text))
}

/// One JSON value as the evaluator's. Objects stay views; arrays are made one level deep.
fn json<'v>(value: &'v Value, fuel: &'v Fuel) -> Result<Box<dyn Val + 'v>, ExecutionError> {
    Ok(match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(flag) => Box::new(CelBool::from(*flag)),
        Value::Number(number) => {
            if let Some(number) = number.as_i64() {
                Box::new(CelInt::from(number))
            } else if let Some(number) = number.as_u64() {
                Box::new(CelUInt::from(number))
            } else {
                Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN)))
            }
        }
        Value::String(text) => {
            fuel.burn(1 + text.len() / 64)?;
            Box::new(CelString::from(text.as_str()))
        }
        Value::Array(items) => {
            fuel.burn(1 + items.len())?;
            let items: Result<Vec<_>, _> = items.iter().map(|item| json(item, fuel)).collect();
            Box::new(CelList::from(items?))
        }
        Value::Object(map) => {
            fuel.burn(1)?;
            Box::new(Json { map, fuel })
        }
    })
}

fn key_of(key: &dyn Val) -> Option<&str> {
    key.downcast_ref::<CelString<'_>>().map(CelString::inner)
}

fn no_such_key(key: &dyn Val) -> ExecutionError {
    match key_of(key) {
        // The name is the policy's, not the caller's, unless the caller's text is the index.
        Some(_) => ExecutionError::no_such_key("member"),
        None => ExecutionError::unsupported_key_type(cel::Value::Null),
    }
}

/// `identity`, `operation` or `request` as a whole; only `has()` needs it.
#[derive(Clone, Copy)]
struct View<'a> {
    object: &'static Object,
    scope: &'a Scope<'a>,
}

/// A JSON object, read where it lies.
#[derive(Clone, Copy)]
struct Json<'a> {
    map: &'a Map<String, Value>,
    fuel: &'a Fuel,
}

/// A map of strings.
#[derive(Clone, Copy)]
enum Texted<'a> {
    Headers(&'a Call),
    Query(&'a [(String, String)]),
}

impl<'a> View<'a> {
    fn part(&self, key: &str) -> Option<Part<'a>> {
        match self.object.name {
            "identity" => identity(self.scope.identity, key, &self.scope.fuel),
            "operation" => operation(self.scope.judged?, key),
            _ => request(self.scope.judged?, key),
        }
    }
}

impl<'a> Texted<'a> {
    fn find(&self, key: &str) -> Option<&'a str> {
        match self {
            Self::Headers(call) => call.headers.get(key).map(String::as_str),
            Self::Query(pairs) => pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str()),
        }
    }
}

// Debug shows no content: values of claims and bodies would be in it.
impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.object.name)
    }
}

impl fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("object")
    }
}

impl fmt::Debug for Texted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("map")
    }
}

/// A view that is indexed by strings.
macro_rules! map_view {
    ($view:ident, |$self:ident, $key:ident| $get:expr, |$sized:ident| $size:expr) => {
        impl Val for $view<'_> {
            fn get_type(&self) -> &Type {
                &MAP_TYPE
            }

            fn cel_type() -> &'static Type {
                &MAP_TYPE
            }

            fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
            where
                Self: 'v,
            {
                Some(self)
            }

            fn as_container(&self) -> Option<&dyn Container> {
                Some(self)
            }

            fn as_sizer(&self) -> Option<&dyn Sizer> {
                Some(self)
            }

            fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
            where
                Self: 'v,
            {
                Box::new(*self)
            }
        }

        impl<'a> $view<'a> {
            fn look_up<'v>(&self, index: &dyn Val) -> Result<Option<CowVal<'v, 'v>>, ExecutionError>
            where
                'a: 'v,
            {
                let $self = self;
                let Some($key) = key_of(index) else { return Err(no_such_key(index)) };
                $get
            }
        }

        impl Indexer for $view<'_> {
            fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
            where
                Self: 'v,
            {
                match self.look_up(index)? {
                    Some(value) => Ok(CowVal::Owned(value.into_owned())),
                    None => Err(no_such_key(index)),
                }
            }

            fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
            where
                Self: 'v,
            {
                match self.look_up(index)? {
                    Some(value) => Ok(value.into_owned()),
                    None => Err(no_such_key(index)),
                }
            }
        }

        impl Container for $view<'_> {
            fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
                Ok(self.look_up(value)?.is_some())
            }
        }

        impl Sizer for $view<'_> {
            fn size(&self) -> CelInt {
                let $sized = self;
                CelInt::from(i64::try_from($size).unwrap_or(i64::MAX))
            }
        }
    };
}

map_view!(View, |view, key| Ok(view.part(key).filter(Part::is_there).map(Part::into_val)), |view| view
    .object
    .fields
    .len());
map_view!(
    Json,
    |object, key| match object.map.get(key) {
        Some(value) => Ok(Some(CowVal::Owned(json(value, object.fuel)?))),
        None => Ok(None),
    },
    |object| object.map.len()
);
map_view!(Texted, |map, key| Ok(map.find(key).map(text)), |map| match map {
    Texted::Headers(call) => call.headers.len(),
    Texted::Query(pairs) => pairs.len(),
});
