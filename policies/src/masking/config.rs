//! The section `masking` as it is written: names, paths and actions, not yet checked.
//!
//! ```yaml
//! masking:
//!   fields: [ { path: "$..ssn", with: "[SSN]" }, { path: "$.card", action: { mask: { keep: 4 } } } ]
//!   keys: [ssn, tax_id]
//!   detectors: [email, { name: payment_card, action: { mask: { keep: 4 } } }]
//!   custom: [ { name: employee_id, pattern: 'E-\d{6}', with: "[EMPLOYEE]" } ]
//!   exempt: [ { when: '"pii-reader" in identity.roles', detectors: [email] } ]
//!   unmaskable: block
//!   malformed: text
//!   max_hold: 1KiB
//! ```
//!
//! [`super::Masking`] is what it compiles to.

use std::fmt;

use serde::de::{self, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer};

use crate::policy::{Secret, Size};

/// The section `masking`. Absent fields have their default: all built-in detectors, no field rules.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Values masked by where they stand.
    pub fields: Vec<FieldConfig>,
    /// Member names whose values are masked wherever they stand, upper and lower case alike.
    pub keys: Vec<KeyConfig>,
    /// Built-in detectors; absent: all of them; an empty list: none.
    pub detectors: Option<Vec<DetectorConfig>>,
    /// Detectors of the policy's own.
    pub custom: Vec<CustomConfig>,
    /// Who sees more.
    pub exempt: Vec<ExemptConfig>,
    /// What happens to a body that cannot be read.
    pub unmaskable: Unmaskable,
    /// What happens to JSON that is none.
    pub malformed: Malformed,
    /// The longest text held back for one possible match, in bytes; default 1 KiB.
    pub max_hold: Option<Size>,
    /// Bounds on what a stream may cost.
    pub limits: LimitsConfig,
}

/// A rule on the values at a path.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldConfig {
    /// A JSONPath (RFC 9535) of names, wildcards, indices, slices and descendants.
    pub path: String,
    /// Shorthand for the action `replace`.
    pub with: Option<String>,
    /// What happens to the value; default: replaced by `[MASKED]`.
    pub action: Option<ActionConfig>,
}

/// A rule on the values under a member name: the name alone, or with an action.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyConfig {
    /// The member name.
    pub name: String,
    /// Shorthand for the action `replace`.
    pub with: Option<String>,
    /// What happens to the value; default: replaced by `[MASKED]`.
    pub action: Option<ActionConfig>,
}

/// A built-in detector: its name alone, or with an action.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorConfig {
    /// The detector's name.
    pub name: String,
    /// Shorthand for the action `replace`.
    pub with: Option<String>,
    /// What happens to what it finds; default: replaced by the detector's label.
    pub action: Option<ActionConfig>,
}

/// A detector of the policy's own.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomConfig {
    /// Its name, as it appears in counts.
    pub name: String,
    /// A regular expression in the syntax of the `regex` crate.
    pub pattern: String,
    /// Shorthand for the action `replace`.
    pub with: Option<String>,
    /// What happens to what it finds.
    pub action: Option<ActionConfig>,
}

/// Who is exempt from which masking.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExemptConfig {
    /// A CEL condition over `identity`.
    pub when: String,
    /// Detectors, built-in or custom, whose finds they get as `action` says, or as they are.
    #[serde(default)]
    pub detectors: Vec<String>,
    /// Paths from `fields`, spelled the same.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Names from `keys`.
    #[serde(default)]
    pub keys: Vec<String>,
    /// What happens instead; absent: nothing is masked.
    pub action: Option<ActionConfig>,
}

/// What happens to a masked value.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ActionConfig {
    /// Another text takes its place.
    Replace {
        /// That text.
        with: String,
    },
    /// It is removed.
    Redact,
    /// Its last characters stay, the others become `*`.
    Mask {
        /// How many letters and digits stay.
        keep: usize,
    },
    /// A keyed hash takes its place, so that equal values stay equal.
    Hash {
        /// The key of HMAC-SHA-256.
        key: Secret,
    },
    /// Digits become `0`, letters `x`; length and punctuation stay.
    FixedShape,
}

/// What happens to a body that cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unmaskable {
    /// It does not leave.
    #[default]
    Block,
    /// It leaves as it is.
    Pass,
}

/// What happens to JSON from its first fault on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Malformed {
    /// It is masked as text, with all detectors.
    #[default]
    Text,
    /// The stream is cut.
    Block,
}

/// Bounds on what a stream may cost. Each fails closed.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Nesting of arrays and objects; default 128, at most 1024.
    pub depth: Option<usize>,
    /// JSON inside a JSON string, inside a JSON string …; default 4, at most 8.
    pub embedded: Option<usize>,
    /// Raw bytes held back in one stream, delayed events included; default 256 KiB.
    pub held: Option<Size>,
    /// A stream event up to this size is joined with its neighbours of the same text; default 32 KiB.
    pub event: Option<Size>,
    /// Texts that grow at the same time in one stream; default 64, at most 4096.
    pub lanes: Option<usize>,
}

/// A name with an optional action, as a mapping.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    with: Option<String>,
    action: Option<ActionConfig>,
}

/// Reads `email` as well as `{ name: email, … }`.
struct NameOrMapping(&'static str);

impl<'de> Visitor<'de> for NameOrMapping {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{0}'s name, or a mapping with its `name` and `action`", self.0)
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Named, E> {
        Ok(Named { name: name.to_owned(), with: None, action: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Named, A::Error> {
        Named::deserialize(MapAccessDeserializer::new(map))
    }
}

impl<'de> Deserialize<'de> for KeyConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Named { name, with, action } = deserializer.deserialize_any(NameOrMapping("a member"))?;
        Ok(Self { name, with, action })
    }
}

impl<'de> Deserialize<'de> for DetectorConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Named { name, with, action } = deserializer.deserialize_any(NameOrMapping("a detector"))?;
        Ok(Self { name, with, action })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_documented_section() {
        let config: Config = serde_json::from_value(serde_json::json!({
            "fields": [{"path": "$..ssn", "with": "[SSN]"}, {"path": "$.card", "action": {"mask": {"keep": 4}}}],
            "keys": ["ssn", {"name": "tax_id", "action": "redact"}],
            "detectors": ["email", {"name": "payment_card", "action": {"hash": {"key": {"env": "K"}}}}],
            "custom": [{"name": "employee_id", "pattern": "E-\\d{6}", "with": "[EMPLOYEE]"}],
            "exempt": [{"when": "true", "detectors": ["email"], "action": "fixed-shape"}],
            "unmaskable": "pass",
            "malformed": "block",
            "max_hold": "2KiB",
            "limits": {"depth": 64, "held": "64KiB"}
        }))
        .expect("the documented section");
        assert_eq!(config.keys.get(1).and_then(|key| key.action.clone()), Some(ActionConfig::Redact));
        assert_eq!(config.detectors.map(|detectors| detectors.len()), Some(2));
        assert_eq!(config.unmaskable, Unmaskable::Pass);
        assert_eq!(config.malformed, Malformed::Block);
        assert_eq!(config.max_hold, Some(Size(2048)));
        assert_eq!(config.limits.held, Some(Size(65536)));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for wrong in [
            serde_json::json!({"detector": ["email"]}),
            serde_json::json!({"detectors": [{"name": "email", "acton": "redact"}]}),
            serde_json::json!({"fields": [{"path": "$", "action": "blur"}]}),
            serde_json::json!({"keys": [7]}),
            serde_json::json!({"limits": {"width": 1}}),
        ] {
            assert!(serde_json::from_value::<Config>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_empty_section_blocks_what_it_cannot_read() {
        let config = Config::default();
        assert_eq!(config.unmaskable, Unmaskable::Block);
        assert_eq!(config.malformed, Malformed::Text);
        assert_eq!(config.detectors, None);
    }
}
