//! Claims → [`Identity`]: which claim is what, under which name, and whether a person or a machine calls.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

use super::claims::is_identifier;
use super::config::{ClaimsConfig, MappingsConfig};
use super::path::Path;
use super::refusal::Refusal;
use super::{Actor, Identity, TokenFacts};
use crate::policy::{At, Problems};
use crate::reason::Reason;

/// How one issuer's claims become an identity.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    subject: Path,
    name: Path,
    email: Path,
    roles: Path,
    groups: Path,
    split: bool,
    renamed_groups: BTreeMap<String, String>,
    renamed_roles: BTreeMap<String, String>,
    roles_by_group: BTreeMap<String, String>,
}

impl Mapping {
    pub(super) fn compile(
        claims: &ClaimsConfig,
        mappings: &MappingsConfig,
        at: &At,
        problems: &mut Problems,
    ) -> Option<Self> {
        let at = at.member("claims");
        let mut path = |name: &str, given: &Option<String>, otherwise: &str| {
            let text = given.as_deref().unwrap_or(otherwise);
            Path::parse(text)
                .map_err(|why| {
                    let hint = "a dotted path such as realm_access.roles, or a JSON pointer such as /realm_access/roles";
                    problems.add_with_hint(&at.member(name), format!("not a path to a claim: {why}"), hint);
                })
                .ok()
        };
        let subject = path("subject", &claims.subject, "sub");
        let name = path("name", &claims.name, "name");
        let email = path("email", &claims.email, "email");
        let roles = path("roles", &claims.roles, "roles");
        let groups = path("groups", &claims.groups, "groups");
        Some(Self {
            subject: subject?,
            name: name?,
            email: email?,
            roles: roles?,
            groups: groups?,
            split: claims.split,
            renamed_groups: mappings.groups.clone(),
            renamed_roles: mappings.roles.clone(),
            roles_by_group: mappings.roles_by_group.clone(),
        })
    }

    /// The identity that checked claims stand for.
    pub(super) fn identity(
        &self,
        issuer: &str,
        claims: Map<String, Value>,
        token: TokenFacts,
    ) -> Result<Identity, Refusal> {
        let malformed = |detail| Refusal::new(Reason::TokenClaims, detail);
        let subject = match self.subject.find(&claims) {
            Some(Value::String(subject)) if is_identifier(subject) => subject.clone(),
            Some(_) => return Err(malformed("the subject is not a short string without control characters")),
            None => return Err(malformed("the token has no subject")),
        };
        let text = |path: &Path, otherwise| match path.find(&claims) {
            None => Ok(None),
            Some(Value::String(text)) => Ok((!text.is_empty()).then(|| text.clone())),
            Some(_) => Err(malformed(otherwise)),
        };
        let name = text(&self.name, "the name is not a string")?;
        let email = text(&self.email, "the e-mail address is not a string")?.filter(|_| !unverified(&claims));
        let raw_groups =
            self.list(&self.groups, &claims, "the groups are not a string or an array of strings")?;
        let raw_roles =
            self.list(&self.roles, &claims, "the roles are not a string or an array of strings")?;

        let rename =
            |names: &BTreeMap<String, String>, name: &String| names.get(name).unwrap_or(name).clone();
        let groups = distinct(raw_groups.iter().map(|group| rename(&self.renamed_groups, group)));
        let granted =
            raw_groups.iter().chain(&groups).filter_map(|group| self.roles_by_group.get(group).cloned());
        let roles = distinct(raw_roles.iter().map(|role| rename(&self.renamed_roles, role)).chain(granted));
        let actor = actor(&claims, &subject, name.is_some() || email.is_some());
        let issuer = issuer.to_owned();
        Ok(Identity { issuer, subject, name, email, roles, groups, actor, claims, token })
    }

    /// A string or an array of strings. Anything else is refused and not passed over: a rule may deny by
    /// group, and a group that was not understood would get round it.
    fn list(
        &self,
        path: &Path,
        claims: &Map<String, Value>,
        otherwise: &'static str,
    ) -> Result<Vec<String>, Refusal> {
        match path.find(claims) {
            Some(Value::String(text)) if self.split => {
                Ok(text.split_whitespace().map(str::to_owned).collect())
            }
            Some(Value::String(text)) => Ok(vec![text.clone()]),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or(Refusal::new(Reason::TokenClaims, otherwise)),
            Some(_) => Err(Refusal::new(Reason::TokenClaims, otherwise)),
            // OpenID Connect Core section 5.6.2: the issuer knows more groups than it put into the token.
            None if linked_elsewhere(claims, path) => Err(Refusal::new(
                Reason::TokenClaims,
                "the roles or groups are a distributed claim that the token does not hold",
            )),
            None => Ok(Vec::new()),
        }
    }
}

fn linked_elsewhere(claims: &Map<String, Value>, path: &Path) -> bool {
    claims
        .get("_claim_names")
        .and_then(Value::as_object)
        .is_some_and(|names| names.contains_key(path.first()))
}

/// OpenID Connect Core section 5.1; some issuers write the boolean as a string.
fn unverified(claims: &Map<String, Value>) -> bool {
    claims.get("email_verified").is_some_and(|verified| *verified == false || *verified == "false")
}

/// The names in order, each once.
fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.filter(|name| seen.insert(name.clone())).collect()
}

/// A machine is one whose issuer says so, or whose token is about the client itself (RFC 9068
/// section 2.2), or names a client and nothing that a person would have.
fn actor(claims: &Map<String, Value>, subject: &str, named: bool) -> Actor {
    let is = |name: &str, value: &str| claims.get(name).is_some_and(|claim| claim == value);
    let client = claims.get("azp").or_else(|| claims.get("client_id")).and_then(Value::as_str);
    // Microsoft's `idtyp`, Auth0's `gty`, Keycloak's service accounts.
    let declared = is("idtyp", "app")
        || is("gty", "client-credentials")
        || claims
            .get("preferred_username")
            .and_then(Value::as_str)
            .is_some_and(|name| name.starts_with("service-account-"));
    let itself = is("azp", subject) || is("client_id", subject);
    // Claims that only a sign-in leaves behind.
    let signed_in = ["auth_time", "sid", "nonce", "at_hash", "preferred_username"]
        .iter()
        .any(|name| claims.contains_key(*name));
    if declared || itself || (client.is_some() && !named && !signed_in) {
        Actor::Machine
    } else {
        Actor::Person
    }
}
