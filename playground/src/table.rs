//! What lies on the table: the policy, the request, who sends it, and the response to come.

use std::sync::Arc;

use graphwarden_policies::access::Effect;
use graphwarden_policies::identity::Identity;
use graphwarden_policies::policy::{Policy, Problems};
use graphwarden_trial::{Caller, Found, Known, Raw, Verdict, Written};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Everything that the person at the page wrote.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Table {
    /// YAML or JSON: a policy, or Envoy's or Istio's configuration that holds one.
    pub policy: String,
    /// A raw HTTP/1.1 request.
    pub request: String,
    /// The token's claims as JSON; empty where nobody signed in.
    pub claims: String,
    /// What LangGraph would say of threads and assistants, as under `known` in tables of expectations; may be empty.
    pub known: String,
    /// A raw HTTP/1.1 response; may be empty.
    pub response: String,
    /// The time, in seconds since the Unix epoch.
    pub now: u64,
}

/// The policy as far as it can be used.
pub(crate) enum Reading {
    Sound(Box<Found>, Box<Policy>),
    /// Each problem has a place in the text.
    Wrong(Box<Found>, Problems),
    /// No policy can be seen in it; why.
    Unreadable(String),
}

impl Table {
    /// Reads the policy.
    pub(crate) fn policy(&self) -> Reading {
        let mut found = match graphwarden_trial::find(&self.policy) {
            Ok(found) => found,
            Err(error) => return Reading::Unreadable(format!("{error:#}")),
        };
        match (found.pop(), found.len()) {
            (Some(policy), 0) => match policy.compile() {
                Ok(compiled) => Reading::Sound(Box::new(policy), Box::new(compiled)),
                Err(problems) => Reading::Wrong(Box::new(policy), problems),
            },
            (Some(_), more) => {
                Reading::Unreadable(format!("there are {} policies, and one is needed", more + 1))
            }
            (None, _) => {
                Reading::Unreadable("no policy can be seen here: it has a section `access`".to_owned())
            }
        }
    }

    /// The claims; `None` where nobody signed in.
    pub(crate) fn claims(&self) -> Result<Option<Map<String, Value>>, String> {
        if self.claims.trim().is_empty() {
            return Ok(None);
        }
        serde_json::from_str(&self.claims).map(Some).map_err(|error| format!("no JSON object: {error}"))
    }

    fn known(&self) -> Result<Known, String> {
        if self.known.trim().is_empty() {
            return Ok(Known::default());
        }
        let written: Written = serde_saphyr::from_str(&self.known).map_err(|error| error.to_string())?;
        written.read().map_err(|error| format!("{error:#}"))
    }

    /// What becomes of the request, or what of the table cannot be read, by the field's name.
    pub(crate) fn verdict(&self, policy: &Policy) -> Result<Verdict, Value> {
        let wrong = |field: &str, what: String| json!({ field: what });
        let claims = self.claims().map_err(|what| wrong("claims", what))?;
        let known = self.known().map_err(|what| wrong("known", what))?;
        let raw =
            Raw::parse(self.request.as_bytes()).map_err(|error| wrong("request", format!("{error:#}")))?;
        let caller = Caller { claims: claims.as_ref(), source: "198.51.100.7", now: self.now };
        Ok(graphwarden_trial::judge(policy, &caller, &raw, &known))
    }

    /// Who asks, where the policy takes them for somebody.
    pub(crate) fn identity(&self, policy: &Policy) -> Option<Arc<Identity>> {
        let claims = self.claims().ok().flatten()?;
        policy.authenticator.suppose(claims, self.now).ok()
    }
}

/// The code of a refusal, and the status that goes with it.
pub(crate) fn refusal(effect: &Effect) -> Option<(&'static str, u16, &'static str)> {
    match effect {
        Effect::Deny { reason, .. } => Some((reason.code(), reason.status(), reason.message())),
        Effect::Allow | Effect::Approval(_) => None,
    }
}
