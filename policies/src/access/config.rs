//! The section `access` as written: rules in order, and what happens where none matches.
//!
//! ```yaml
//! access:
//!   default: deny
//!   rules:
//!     - name: analysts run the support graph
//!       operations: [threads.create_run, "class:read"]
//!       when: 'graph == "support_agent" && "analyst" in identity.roles'
//!       then: allow
//!     - name: production writes need a manager
//!       operations: ["class:write"]
//!       then: { approval: { approvers: ["role:manager"], quorum: 1, hold: 60s, valid: 10m, expires: 1h } }
//!       obligations: { before: true, mask: { keys: [salary], detectors: [phone] } }
//! ```

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::demand::{ApprovalConfig, BreakGlassConfig};
use crate::masking;

/// The section `access`. An absent section denies everything.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What happens where no rule matches.
    pub default: Otherwise,
    /// The rules. For each operation of a request the first that matches decides.
    pub rules: Vec<RuleConfig>,
    /// Whose things are whose. Where absent, whoever may read threads may read everybody's.
    pub ownership: Option<super::OwnershipConfig>,
}

/// What happens where no rule matches: only refusal can be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Otherwise {
    /// Refuse.
    #[default]
    Deny,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// What the rule is called, in the record and to the caller; each name once.
    pub name: String,
    /// What it is about: `threads.create_run`, `threads.*`, `class:read` or `*`.
    pub operations: Vec<String>,
    /// A condition in CEL; absent means always.
    #[serde(default)]
    pub when: Option<String>,
    /// What follows.
    pub then: Then,
    /// What else holds for an exchange that the rule lets through.
    #[serde(default)]
    pub obligations: Option<ObligationsConfig>,
}

/// What else holds for an exchange.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObligationsConfig {
    /// Its record is durable before it is forwarded, whatever its class.
    pub before: bool,
    /// What is masked in it besides, for everyone.
    pub mask: Option<MaskConfig>,
}

/// What is masked besides, in the words of the section `masking`. No exemption reaches it.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskConfig {
    /// Built-in detectors.
    pub detectors: Vec<masking::DetectorConfig>,
    /// Values by path.
    pub fields: Vec<masking::FieldConfig>,
    /// Member names.
    pub keys: Vec<masking::KeyConfig>,
    /// Detectors of the policy's own.
    pub custom: Vec<masking::CustomConfig>,
}

/// What follows where a rule matches: `allow`, `deny`, `{deny: "message"}`, `{approval: {…}}` or
/// `{break_glass: {…}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// Forward.
    Allow,
    /// Refuse, with words for the caller where the policy has some.
    Deny(Option<String>),
    /// Ask people.
    Approval(ApprovalConfig),
    /// Go past them, with a reason; does not match where the caller gives none.
    BreakGlass(BreakGlassConfig),
}

impl<'de> Deserialize<'de> for Then {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ThenVisitor;

        impl<'de> Visitor<'de> for ThenVisitor {
            type Value = Then;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`allow`, `deny`, {deny: \"message\"}, {approval: {…}} or {break_glass: {…}}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Then, E> {
                match text {
                    "allow" => Ok(Then::Allow),
                    "deny" => Ok(Then::Deny(None)),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Then, A::Error> {
                let then = match map.next_key::<String>()?.as_deref() {
                    Some("deny") => Then::Deny(Some(map.next_value()?)),
                    Some("approval") => Then::Approval(map.next_value()?),
                    Some("break_glass") => Then::BreakGlass(map.next_value()?),
                    Some(other) => {
                        return Err(de::Error::unknown_field(other, &["deny", "approval", "break_glass"]));
                    }
                    None => {
                        return Err(de::Error::custom("empty outcome: write `allow`, `deny` or an approval"));
                    }
                };
                match map.next_key::<String>()? {
                    None => Ok(then),
                    Some(_) => Err(de::Error::custom("a rule has one outcome")),
                }
            }
        }

        deserializer.deserialize_any(ThenVisitor)
    }
}
