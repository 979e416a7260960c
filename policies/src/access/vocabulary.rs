//! The names that conditions may use, and the kinds of their values.
//!
//! | variable | what it is |
//! |---|---|
//! | `identity` | the verified caller |
//! | `operation` | one thing that the request does, with its facts |
//! | `graph` | the operation's graph; `""` where it concerns none; an error where it is not known |
//! | `request` | request line, source address, headers and query |
//! | `input` | the body as JSON; `null` where there is none |
//! | `now` | seconds since the Unix epoch |

/// The kind of a value, as far as it is known before any request comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int,
    Uint,
    Double,
    String,
    /// One of a few words.
    Word(&'static [&'static str]),
    Bytes,
    Null,
    /// A list of one kind.
    List(Box<Kind>),
    /// A map with strings as keys.
    Map(Box<Kind>),
    /// One of the objects below.
    Object(&'static Object),
    /// Known only when a request comes.
    Dyn,
}

impl Kind {
    /// What a message calls it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String | Self::Word(_) => "string",
            Self::Bytes => "bytes",
            Self::Null => "null",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Object(object) => object.name,
            Self::Dyn => "dyn",
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double | Self::Dyn)
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::String | Self::Word(_) | Self::Dyn)
    }

    pub(super) fn is_bool(&self) -> bool {
        matches!(self, Self::Bool | Self::Dyn)
    }

    /// Whether values of the two kinds can be equal.
    pub(super) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dyn, _) | (_, Self::Dyn) => true,
            (Self::List(one), Self::List(two)) | (Self::Map(one), Self::Map(two)) => one.meets(two),
            (Self::Object(one), Self::Object(two)) => one.name == two.name,
            (one, two) => one.is_number() && two.is_number() || one.is_text() && two.is_text() || one == two,
        }
    }
}

/// An object of fixed fields.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) name: &'static str,
    pub(super) fields: &'static [(&'static str, Field)],
}

/// A field's kind, in a form that can be a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Bool,
    Int,
    String,
    Word(&'static [&'static str]),
    Strings,
    StringMap,
    Dyn,
}

impl Field {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Bool => Kind::Bool,
            Self::Int => Kind::Int,
            Self::String => Kind::String,
            Self::Word(words) => Kind::Word(words),
            Self::Strings => Kind::List(Box::new(Kind::String)),
            Self::StringMap => Kind::Map(Box::new(Kind::String)),
            Self::Dyn => Kind::Dyn,
        }
    }
}

/// `identity`.
pub(super) static IDENTITY: Object = Object {
    name: "identity",
    fields: &[
        ("issuer", Field::String),
        ("subject", Field::String),
        ("name", Field::String),
        ("email", Field::String),
        ("roles", Field::Strings),
        ("groups", Field::Strings),
        ("actor", Field::Word(&["person", "machine"])),
        ("claims", Field::Dyn),
    ],
};

/// `operation`.
pub(super) static OPERATION: Object = Object {
    name: "operation",
    fields: &[
        ("name", Field::String),
        ("resource", Field::Word(&["assistants", "threads", "crons", "store", "system", "mcp"])),
        ("action", Field::String),
        ("class", Field::Word(&["system", "read", "write", "execute", "admin"])),
        ("assistant", Field::String),
        ("thread", Field::String),
        ("run", Field::String),
        ("cron", Field::String),
        ("tool", Field::String),
        ("namespace", Field::Strings),
        ("stream_modes", Field::Strings),
        ("method", Field::String),
        ("webhook", Field::String),
        ("resume", Field::Bool),
        ("update", Field::Bool),
        ("goto", Field::Bool),
        ("supersteps", Field::Bool),
        ("checkpoint", Field::Bool),
        ("deferred", Field::Bool),
        ("multitask_strategy", Field::Word(&["reject", "rollback", "interrupt", "enqueue", ""])),
        ("if_exists", Field::Word(&["raise", "do_nothing", ""])),
        ("if_not_exists", Field::Word(&["create", "reject", ""])),
        ("on_disconnect", Field::Word(&["cancel", "continue", ""])),
        ("on_completion", Field::Word(&["delete", "keep", ""])),
        ("configurable", Field::Strings),
        ("context", Field::Strings),
        ("metadata", Field::Strings),
    ],
};

/// `request`.
pub(super) static REQUEST: Object = Object {
    name: "request",
    fields: &[
        ("method", Field::Word(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])),
        ("path", Field::String),
        ("source", Field::String),
        ("headers", Field::StringMap),
        ("query", Field::StringMap),
        ("operations", Field::Int),
    ],
};

/// Every variable that a rule may use.
pub(super) const RULE_NAMES: &[&str] = &["identity", "operation", "graph", "request", "input", "now"];

/// The kind of a variable.
pub(super) fn variable(name: &str) -> Option<Kind> {
    Some(match name {
        "identity" => Kind::Object(&IDENTITY),
        "operation" => Kind::Object(&OPERATION),
        "request" => Kind::Object(&REQUEST),
        "graph" => Kind::String,
        "input" => Kind::Dyn,
        "now" => Kind::Int,
        _ => return None,
    })
}
