//! Finding policies in files, with the line and column of every value.
//!
//! A file is a policy of its own (YAML or JSON), or holds one: Envoy's configuration of a Wasm filter
//! (`configuration: {"@type": …Struct, value: …}`, or a `StringValue` with JSON in it), or Istio's `pluginConfig`.

use std::fmt;
use std::path::Path;

use anyhow::Context as _;
use graphwarden_policies::policy::{Policy, Problem, Problems};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// A policy as found in a file.
#[derive(Debug)]
pub struct Found {
    tree: Node,
    /// Whether positions inside are real, or all that of the string that holds the policy.
    exact: bool,
}

/// A value and where it stands, one-based.
#[derive(Debug, Clone)]
struct Node {
    line: u64,
    column: u64,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Content>>),
    Map(Vec<(String, Spanned<Content>)>),
}

/// Reads every policy in a file.
pub fn read(path: &Path) -> anyhow::Result<Vec<Found>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    find(&text).with_context(|| path.display().to_string())
}

/// Reads the one policy in a file.
pub fn read_one(path: &Path) -> anyhow::Result<Found> {
    let mut found = read(path)?;
    let last = found.pop();
    match last {
        Some(policy) if found.is_empty() => Ok(policy),
        Some(_) => anyhow::bail!("{} holds {} policies, and one is needed", path.display(), found.len() + 1),
        None => anyhow::bail!("{} holds no policy", path.display()),
    }
}

/// Finds every policy in a text.
pub fn find(text: &str) -> anyhow::Result<Vec<Found>> {
    let documents: Vec<Spanned<Content>> = serde_saphyr::from_multiple(text)?;
    let mut found = Vec::new();
    for document in &documents {
        let before = found.len();
        search(document, &mut found);
        if found.len() == before && looks_like_policy(&document.value) {
            found.push(Found { tree: node(document), exact: true });
        }
    }
    Ok(found)
}

/// The sections of a policy that nothing else has together.
fn looks_like_policy(content: &Content) -> bool {
    let Content::Map(members) = content else { return false };
    let sections = ["identity", "access", "operations", "masking", "evidence", "approvals"];
    members.iter().any(|(name, _)| sections.contains(&name.as_str()))
        && !members
            .iter()
            .any(|(name, _)| matches!(name.as_str(), "kind" | "static_resources" | "apiVersion"))
}

/// Looks for places where a proxy's configuration holds a policy.
fn search(at: &Spanned<Content>, found: &mut Vec<Found>) {
    match &at.value {
        Content::List(items) => items.iter().for_each(|item| search(item, found)),
        Content::Map(members) => {
            for (name, member) in members {
                let held = match name.as_str() {
                    "pluginConfig" => Some(member),
                    "configuration" => wrapped(&member.value),
                    _ => None,
                };
                match held {
                    Some(policy) if looks_like_policy(&policy.value) => {
                        found.push(Found { tree: node(policy), exact: true });
                    }
                    Some(holder @ Spanned { value: Content::Text(text), .. }) => {
                        found.extend(inside(holder, text));
                    }
                    _ => search(member, found),
                }
            }
        }
        _ => {}
    }
}

/// The `value` of a wrapped Struct or StringValue.
fn wrapped(content: &Content) -> Option<&Spanned<Content>> {
    let Content::Map(members) = content else { return None };
    let member = |wanted: &str| members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let kind = member("@type").map(|kind| &kind.value);
    let is_wrapper = matches!(kind, Some(Content::Text(kind))
        if kind.ends_with("google.protobuf.Struct") || kind.ends_with("google.protobuf.StringValue"));
    if is_wrapper { member("value") } else { None }
}

/// A policy as JSON or YAML in a string.
fn inside(holder: &Spanned<Content>, text: &str) -> Option<Found> {
    let content: Spanned<Content> = serde_saphyr::from_str(text).ok()?;
    looks_like_policy(&content.value).then(|| {
        let mut tree = node(&content);
        (tree.line, tree.column) = (holder.referenced.line(), holder.referenced.column());
        Found { tree, exact: false }
    })
}

fn node(spanned: &Spanned<Content>) -> Node {
    Node {
        line: spanned.referenced.line(),
        column: spanned.referenced.column(),
        content: spanned.value.clone(),
    }
}

impl Found {
    /// Compiles the policy. Secrets that the environment does not have are made up: tools check what a policy
    /// says, not how it is deployed.
    pub fn compile(&self) -> Result<Policy, Problems> {
        let document = serde_json::to_vec(&value(&self.tree.content)).unwrap_or_default();
        Policy::parse(&document, &|name| {
            std::env::var(name).ok().filter(|value| !value.is_empty()).or_else(|| Some("unset-".repeat(8)))
        })
    }

    /// Line and column of a problem: of the value at its path, or of the nearest that is there.
    pub fn place(&self, problem: &Problem) -> (u64, u64) {
        self.place_of(&problem.path)
    }

    /// Line and column of the value at `path`.
    pub fn place_of(&self, path: &str) -> (u64, u64) {
        let mut place = (self.tree.line, self.tree.column);
        if !self.exact {
            return place;
        }
        let mut content = &self.tree.content;
        let mut rest = path;
        while let Some((next, left)) = step(content, rest) {
            place = (next.referenced.line(), next.referenced.column());
            content = &next.value;
            rest = left;
        }
        place
    }
}

/// One step along a path such as `access.rules[2].when`. Names of members may have dots in them.
fn step<'a, 'p>(content: &'a Content, path: &'p str) -> Option<(&'a Spanned<Content>, &'p str)> {
    match content {
        Content::List(items) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            items.get(index.parse::<usize>().ok()?).map(|item| (item, rest))
        }
        Content::Map(members) => {
            let path = path.strip_prefix('.').unwrap_or(path);
            let fits = |(name, value): &'a (String, Spanned<Content>)| {
                let rest = path.strip_prefix(name.as_str())?;
                (rest.is_empty() || rest.starts_with(['.', '['])).then_some((name.len(), value, rest))
            };
            let (_, value, rest) = members.iter().filter_map(fits).max_by_key(|(length, ..)| *length)?;
            Some((value, rest))
        }
        _ => None,
    }
}

fn value(content: &Content) -> Value {
    match content {
        Content::Null => Value::Null,
        Content::Bool(flag) => Value::Bool(*flag),
        Content::Number(number) => Value::Number(number.clone()),
        Content::Text(text) => Value::String(text.clone()),
        Content::List(items) => items.iter().map(|item| value(&item.value)).collect(),
        Content::Map(members) => {
            let members = members.iter().map(|(name, member)| (name.clone(), value(&member.value)));
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;

        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Content, E> {
                Ok(Content::Null)
            }

            fn visit_none<E>(self) -> Result<Content, E> {
                Ok(Content::Null)
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Content, E> {
                Ok(Content::Bool(flag))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Content, E> {
                Ok(Content::Number(number.into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Content, E> {
                Ok(Content::Number(number.into()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Content, E> {
                Number::from_f64(number)
                    .map(Content::Number)
                    .ok_or_else(|| E::custom("a number has to be finite"))
            }

            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Content::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Content, A::Error> {
                let mut map = Vec::new();
                while let Some(member) = members.next_entry()? {
                    map.push(member);
                }
                Ok(Content::Map(map))
            }
        }

        deserializer.deserialize_any(ContentVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVOY: &str = r#"
static_resources:
  listeners:
    - filter_chains:
        - filters:
            - typed_config:
                http_filters:
                  - name: graphwarden
                    typed_config:
                      config:
                        configuration:
                          "@type": type.googleapis.com/google.protobuf.Struct
                          value:
                            identity: { issuers: [] }
                            access:
                              rules:
                                - name: broken
                                  operations: [threads.raed]
                                  then: allow
"#;

    #[test]
    fn finds_a_policy_inside_envoys_configuration_with_its_places() {
        let found = find(ENVOY).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place_of("access.rules[0].operations[0]"), (18, 48));
        assert_eq!(found[0].place_of("access.rules[0].when"), found[0].place_of("access.rules[0]"));
        let problems = found[0].compile().unwrap_err();
        assert!(problems.iter().any(|problem| found[0].place(problem) == (18, 48)), "{problems}");
    }

    #[test]
    fn finds_a_policy_in_istios_plugin_config() {
        let text = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nspec:\n  pluginConfig:\n    access: { rules: [] }\n---\nkind: ConfigMap\n";
        let found = find(text).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place_of("access.rules"), (5, 22));
    }

    #[test]
    fn finds_a_policy_as_json_in_a_string() {
        let text = r#"
config:
  configuration:
    "@type": type.googleapis.com/google.protobuf.StringValue
    value: '{"access": {"rules": []}}'
"#;
        let found = find(text).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place_of("access.rules").0, 5);
    }

    #[test]
    fn a_file_of_its_own_is_a_policy_in_yaml_or_json() {
        assert_eq!(find("access:\n  rules: []\n").unwrap().len(), 1);
        assert_eq!(find(r#"{"access": {"rules": []}}"#).unwrap().len(), 1);
        assert!(find("static_resources: {}\n").unwrap().is_empty());
        assert!(find("").unwrap().is_empty());
        assert!(find("a: [").is_err());
    }
}
