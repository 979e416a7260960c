//! The document as written: its shape, and reading it with every misspelt field named at once.

use serde::Deserialize;
use serde_json::Value;

use super::cors::CorsConfig;
use super::problem::{At, Problems, nearest};
use super::values::{Secret, Size, Span};
use crate::operation::Class;
use crate::{access, identity, masking, operation};

/// The policy document, section by section.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The gateway's name in records and approvals.
    #[serde(default)]
    pub gateway: Option<String>,
    /// Who is calling.
    pub identity: identity::Config,
    /// What requests do.
    #[serde(default)]
    pub operations: operation::Config,
    /// Who may do what.
    pub access: access::Config,
    /// What may leave.
    #[serde(default)]
    pub masking: masking::Config,
    /// Where people decide.
    #[serde(default)]
    pub approvals: Option<ServiceConfig>,
    /// Where records go.
    #[serde(default)]
    pub evidence: Option<EvidenceConfig>,
    /// The key of digests over what is not masked.
    #[serde(default)]
    pub digest_key: Option<Secret>,
    /// Which web pages may read what the gate answers by itself.
    #[serde(default)]
    pub cors: Option<CorsConfig>,
    /// Whether the gate refuses, or only says what it would refuse.
    #[serde(default)]
    pub mode: Mode,
    /// Bounds on what a request may cost.
    #[serde(default)]
    pub limits: LimitsConfig,
}

/// Whether the gate refuses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Refuse what the policy refuses.
    #[default]
    Enforce,
    /// Judge and record everything, refuse nothing.
    Observe,
}

/// An HTTP service, reached through an Envoy cluster.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    /// The cluster's name in Envoy's configuration.
    pub cluster: String,
    /// The path of the contract.
    #[serde(default)]
    pub path: Option<String>,
    /// The `:authority` to send; the cluster's name where absent.
    #[serde(default)]
    pub authority: Option<String>,
    /// The bearer token to send.
    #[serde(default)]
    pub token: Option<Secret>,
    /// How long one call may take, besides the time that a long-poll asks for.
    #[serde(default)]
    pub timeout: Option<Span>,
}

/// Where records go, and which of them before the request is forwarded.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceConfig {
    /// `true` says in so many words that no evidence is wanted.
    #[serde(default)]
    pub off: bool,
    /// The cluster's name in Envoy's configuration.
    #[serde(default)]
    pub cluster: Option<String>,
    /// The path of the contract.
    #[serde(default)]
    pub path: Option<String>,
    /// The `:authority` to send; the cluster's name where absent.
    #[serde(default)]
    pub authority: Option<String>,
    /// The bearer token to send.
    #[serde(default)]
    pub token: Option<Secret>,
    /// How long one delivery may take.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// The classes of operation whose admission has to be durable before they are forwarded.
    #[serde(default)]
    pub before: Option<Vec<Class>>,
    /// What of the masked bodies is kept.
    #[serde(default)]
    pub body: BodyConfig,
    /// How many bytes of records may wait for delivery, in each worker.
    #[serde(default)]
    pub queue: Option<Size>,
    /// Whether the outcome's main fields are set as filter state too, for Envoy's own access log.
    #[serde(default)]
    pub filter_state: bool,
}

/// What of the masked bodies is kept.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyConfig {
    /// How many bytes of each masked body.
    #[serde(default)]
    pub limit: Option<Size>,
    /// How many bytes of each masked stream, recorded as they flow.
    #[serde(default)]
    pub stream: Option<Size>,
}

/// Bounds on what a request may cost.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// The largest request body that is read.
    #[serde(default)]
    pub request_body: Option<Size>,
    /// How long a request body may take to begin.
    #[serde(default)]
    pub body_wait: Option<Span>,
    /// How many bytes of bodies, and of what was read of them, requests that wait may take, in each worker; one person a
    /// quarter of it.
    #[serde(default)]
    pub bodies: Option<Size>,
    /// How many requests of one person may wait for approval, in each worker.
    #[serde(default)]
    pub held: Option<usize>,
}

/// Reads `bytes` as JSON into a [`Document`] and the canonical text that its digest is taken over.
///
/// Misspelt fields are all found in one run: each is reported, taken out, and reading begins again. Any other
/// fault of shape ends the reading, because what follows from it would be guesswork.
pub(super) fn read(bytes: &[u8], problems: &mut Problems) -> Option<(Document, String)> {
    let root = At::root();
    let mut value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(error) => {
            problems.add(&root, format!("the policy is not JSON: {error}"));
            return None;
        }
    };
    let canonical = canonical(&value);
    // Each round but the last takes one field out, so there are at most as many rounds as fields; the bound
    // is only there to keep a hostile document from filling the log.
    for _ in 0..MOST_UNKNOWN_FIELDS {
        let error = match serde_path_to_error::deserialize::<_, Document>(value.clone()) {
            Ok(document) if problems.is_empty() => return Some((document, canonical)),
            Ok(_) => return None,
            Err(error) => error,
        };
        let steps = steps(error.path());
        let message = error.into_inner().to_string();
        let Some((field, known)) = unknown_field(&message) else {
            problems.add(&at(&steps), message);
            return None;
        };
        let holder = match steps.split_last() {
            Some((Step::Member(last), holder)) if *last == field => holder,
            _ => steps.as_slice(),
        };
        let place = at(holder).member(&field);
        match nearest(&field, known.iter().copied()) {
            Some(near) => problems.add_with_hint(&place, "unknown field", format!("did you mean `{near}`?")),
            None => {
                problems.add_with_hint(&place, "unknown field", format!("known here: {}", known.join(", ")))
            }
        }
        if !remove(&mut value, holder, &field) {
            return None;
        }
    }
    None
}

const MOST_UNKNOWN_FIELDS: usize = 50;

enum Step {
    Member(String),
    Element(usize),
}

fn steps(path: &serde_path_to_error::Path) -> Vec<Step> {
    use serde_path_to_error::Segment;

    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Element(*index)),
            Segment::Map { key } => Some(Step::Member(key.clone())),
            Segment::Enum { variant } => Some(Step::Member(variant.clone())),
            Segment::Unknown => None,
        })
        .collect()
}

fn at(steps: &[Step]) -> At {
    steps.iter().fold(At::root(), |at, step| match step {
        Step::Member(name) => at.member(name),
        Step::Element(index) => at.index(*index),
    })
}

/// Takes `field` out of the object that `holder` leads to.
fn remove(value: &mut Value, holder: &[Step], field: &str) -> bool {
    let holder = holder.iter().try_fold(value, |value, step| match step {
        Step::Member(name) => value.get_mut(name),
        Step::Element(index) => value.get_mut(index),
    });
    holder.and_then(Value::as_object_mut).is_some_and(|object| object.remove(field).is_some())
}

/// The field and its known neighbours out of serde's wording, which is the only place that has them:
/// ``unknown field `a`, expected one of `b`, `c` ``.
fn unknown_field(message: &str) -> Option<(String, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (field, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).collect();
    Some((field.to_owned(), known))
}

/// The document with sorted members and no white space. Envoy hands the same document over in no fixed order,
/// and the digest must not depend on it.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            let members: Vec<_> = members
                .into_iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(elements) => {
            format!("[{}]", elements.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_text_does_not_depend_on_order() {
        let one: Value = serde_json::from_str(r#"{"b":[1,{"d":null,"c":"x\"y"}],"a":true}"#).unwrap();
        assert_eq!(canonical(&one), r#"{"a":true,"b":[1,{"c":"x\"y","d":null}]}"#);
    }
}
