//! Finding policies in files, with the line and column of every value.
//!
//! A file is a policy of its own (YAML or JSON), or holds one: Envoy's configuration of a Wasm filter
//! (`configuration: {"@type": …Struct, value: …}`, or a `StringValue` with JSON in it), Istio's `pluginConfig`,
//! or the `config` of Envoy Gateway's `EnvoyExtensionPolicy`.

use std::path::Path;

use anyhow::Context as _;
use graphwarden_policies::policy::{Policy, Problem, Problems};

use crate::yaml::{self, Content, Node};

/// A policy as found in a file.
#[derive(Debug)]
pub struct Found {
    tree: Node,
    /// Whether positions inside are real, or all that of the string that holds the policy.
    exact: bool,
}

/// Reads every policy in a file.
pub fn read(path: &Path) -> anyhow::Result<Vec<Found>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    find(&text).with_context(|| path.display().to_string())
}

/// The one policy in a file as JSON, for whoever needs a section of it alone.
pub fn read_document(path: &Path) -> anyhow::Result<serde_json::Value> {
    Ok(read_one(path)?.tree().to_json())
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
    let mut found = Vec::new();
    for document in yaml::read(text, 0)? {
        let before = found.len();
        search(&document, &mut found);
        if found.len() == before && looks_like_policy(&document) {
            found.push(Found { tree: document, exact: true });
        }
    }
    Ok(found)
}

/// The sections of a policy that nothing else has together.
fn looks_like_policy(node: &Node) -> bool {
    let sections = ["identity", "access", "operations", "masking", "evidence", "approvals"];
    node.members().iter().any(|member| sections.contains(&member.name.as_str()))
        && !node
            .members()
            .iter()
            .any(|member| matches!(member.name.as_str(), "kind" | "static_resources" | "apiVersion"))
}

/// Looks for places where a proxy's configuration holds a policy.
fn search(at: &Node, found: &mut Vec<Found>) {
    at.items().iter().for_each(|item| search(item, found));
    for member in at.members() {
        match held(&member.name, &member.value) {
            Held::Policy(policy) => found.push(policy),
            Held::Text => {}
            Held::Nothing => search(&member.value, found),
        }
    }
}

/// What a member of a proxy's configuration holds.
pub enum Held {
    /// A policy.
    Policy(Found),
    /// A text that is no policy, where one could stand.
    Text,
    /// Nothing of ours.
    Nothing,
}

/// The policy that a member of this name holds.
pub fn held(name: &str, value: &Node) -> Held {
    let holder = match name {
        "pluginConfig" => Some(value),
        // Others call many things so; a text is none of ours.
        "config" if value.text().is_none() => Some(value),
        "configuration" => wrapped(value),
        _ => None,
    };
    match holder {
        Some(tree) if looks_like_policy(tree) => Held::Policy(Found { tree: tree.clone(), exact: true }),
        Some(holder) if holder.text().is_some() => inside(holder).map_or(Held::Text, Held::Policy),
        _ => Held::Nothing,
    }
}

/// The `value` of a wrapped Struct or StringValue.
fn wrapped(node: &Node) -> Option<&Node> {
    let kind = node.text_of("@type");
    let is_wrapper =
        kind.ends_with("google.protobuf.Struct") || kind.ends_with("google.protobuf.StringValue");
    if is_wrapper { node.get("value") } else { None }
}

/// A policy as JSON or YAML in a string.
fn inside(holder: &Node) -> Option<Found> {
    let mut documents = yaml::read(holder.text()?, holder.place.file).ok()?;
    let mut tree = documents.pop().filter(|_| documents.is_empty())?;
    tree.place = holder.place;
    looks_like_policy(&tree).then_some(Found { tree, exact: false })
}

impl Found {
    /// Compiles the policy. Secrets that the environment does not have are made up: tools check what a policy
    /// says, not how it is deployed.
    pub fn compile(&self) -> Result<Policy, Problems> {
        let document = serde_json::to_vec(&self.tree.to_json()).unwrap_or_default();
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
        let place = self.node_at(path).place;
        (place.line, place.column)
    }

    /// The value at `path`, or the nearest around it that is there and has a place of its own.
    pub fn node_at(&self, path: &str) -> &Node {
        let mut node = &self.tree;
        let mut rest = path;
        while let Some((next, left)) = step(node, rest).filter(|_| self.exact) {
            node = next;
            rest = left;
        }
        node
    }

    /// Whether places inside are the file's: they are not where the policy stands in a string.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// The policy as it is written. Only its outermost place is real where it stands in a string.
    pub fn tree(&self) -> &Node {
        &self.tree
    }
}

/// One step along a path such as `access.rules[2].when`. Names of members may have dots in them.
fn step<'a, 'p>(node: &'a Node, path: &'p str) -> Option<(&'a Node, &'p str)> {
    match &node.content {
        Content::List(items) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            items.get(index.parse::<usize>().ok()?).map(|item| (item, rest))
        }
        Content::Map(members) => {
            let path = path.strip_prefix('.').unwrap_or(path);
            let longest = members
                .iter()
                .filter_map(|member| {
                    let rest = path.strip_prefix(member.name.as_str())?;
                    (rest.is_empty() || rest.starts_with(['.', '['])).then_some((member, rest))
                })
                .max_by_key(|(member, _)| member.name.len());
            longest.map(|(member, rest)| (&member.value, rest))
        }
        _ => None,
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
    fn finds_a_policy_in_an_extension_policy_of_envoy_gateway() {
        let text = "kind: EnvoyExtensionPolicy\nspec:\n  wasm:\n    - name: gate\n      config:\n        access: { rules: [] }\n";
        let found = find(text).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place_of("access.rules"), (6, 26));
        assert!(find("kind: ConfigMap\nconfig: \"access: {}\"\n").unwrap().is_empty());
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
