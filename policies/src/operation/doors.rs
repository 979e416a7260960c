//! The doors that are closed by default: webhooks, and keys of `config.configurable` and `context`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Config, Refused, ids};
use crate::policy::{At, Problems};
use crate::reason::Reason;

/// What the policy opens, compiled.
#[derive(Debug, Clone, Default)]
pub(super) struct Doors {
    webhooks: Vec<Origin>,
    configurable: Keys,
    context: Keys,
    /// The deployment's graphs by the id of the assistant that LangGraph makes of each; empty where the policy
    /// names none.
    graphs: BTreeMap<String, String>,
}

/// Keys that may be set.
#[derive(Debug, Clone, Default)]
struct Keys {
    any: bool,
    names: BTreeSet<String>,
}

/// Where a webhook may go: `https://hooks.example.com:443`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    /// A host, or a suffix with its leading dot.
    host: String,
    port: u16,
}

/// Keys that a checkpoint is made of; they choose a state of the thread in the path and nothing else.
const CHECKPOINT_KEYS: &[&str] = &["checkpoint_id", "checkpoint_ns", "checkpoint_map"];

/// Keys of `config.configurable` that the server fills in to say who calls and what runs. No policy opens them.
fn is_the_servers(key: &str) -> bool {
    key.starts_with("__")
        || key.starts_with("langgraph_")
        || key.starts_with("langsmith-")
        || matches!(
            key,
            "thread_id" | "run_id" | "assistant_id" | "graph_id" | "cron_id" | "user_id" | "user"
        )
}

impl Keys {
    fn compile(names: &[String], at: &At, problems: &mut Problems) -> Self {
        let mut keys = Self::default();
        for (index, name) in names.iter().enumerate() {
            if name == "*" {
                keys.any = true;
            } else if is_the_servers(name) {
                problems.add_with_hint(
                    &at.index(index),
                    format!("`{name}` is a key that the server fills in"),
                    "it cannot be opened to callers",
                );
            } else {
                keys.names.insert(name.clone());
            }
        }
        keys
    }

    fn allow(&self, key: &str) -> bool {
        !is_the_servers(key) && (self.any || self.names.contains(key))
    }
}

impl Doors {
    pub(super) fn compile(config: &Config, at: &At, problems: &mut Problems) -> Self {
        let webhooks = config.webhooks.iter().enumerate().filter_map(|(index, entry)| {
            let origin = Origin::of_entry(entry);
            if origin.is_none() {
                problems.add_with_hint(
                    &at.member("webhooks").index(index),
                    "not a host",
                    "write hooks.example.com, *.example.com, hooks.example.com:8443 or http://hooks.local:8080",
                );
            }
            origin
        });
        let webhooks = webhooks.collect();
        let graphs =
            config.graphs.iter().enumerate().filter_map(|(index, graph)| match ids::assistant(graph) {
                Some(ids::Assistant::Graph(graph)) => Some((ids::of_graph(&graph), graph)),
                _ => {
                    problems.add(&at.member("graphs").index(index), "not the name of a graph");
                    None
                }
            });
        let graphs = graphs.collect();
        Self {
            webhooks,
            configurable: Keys::compile(&config.configurable, &at.member("configurable"), problems),
            context: Keys::compile(&config.context, &at.member("context"), problems),
            graphs,
        }
    }

    /// Whether a graph is one of the deployment's. Where the policy names none, every name may be one.
    pub(super) fn knows_graph(&self, graph: &str) -> bool {
        self.graphs.is_empty() || self.graphs.values().any(|known| known == graph)
    }

    /// The graph that LangGraph made this assistant of.
    pub(super) fn graph_of(&self, assistant: &str) -> Option<&str> {
        self.graphs.get(assistant).map(String::as_str)
    }

    /// The host of a webhook that the policy opens.
    pub(super) fn webhook(&self, url: &str) -> Result<String, Refused> {
        Origin::of_url(url)
            .filter(|origin| self.webhooks.iter().any(|open| open.covers(origin)))
            .map(|origin| origin.host)
            .ok_or_else(|| {
                Refused::new(Reason::FieldRefused, "webhook names a host that the policy does not open")
            })
    }

    /// Whether a caller may set this key of `config.configurable`. `thread` is the thread in the path.
    pub(super) fn configurable(&self, key: &str) -> Result<Door, Refused> {
        if CHECKPOINT_KEYS.contains(&key) {
            Ok(Door::Checkpoint)
        } else if key == "thread_id" {
            Ok(Door::Thread)
        } else if self.configurable.allow(key) {
            Ok(Door::Open)
        } else {
            Err(closed("config.configurable", key))
        }
    }

    /// Whether a caller may set this key of `context`, which the server copies into `configurable`.
    pub(super) fn context(&self, key: &str) -> Result<(), Refused> {
        if self.context.allow(key) && !CHECKPOINT_KEYS.contains(&key) {
            Ok(())
        } else {
            Err(closed("context", key))
        }
    }
}

/// What a key of `config.configurable` is.
pub(super) enum Door {
    /// Part of a checkpoint.
    Checkpoint,
    /// `thread_id`: harmless where it repeats the path.
    Thread,
    /// A key that the policy opens.
    Open,
}

fn closed(place: &str, key: &str) -> Refused {
    // A key is a caller's text: only a plain one is repeated.
    let plain = key.len() <= 64
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let key = if plain { key } else { "…" };
    Refused::new(Reason::FieldRefused, format!("{place}.{key} is not a key that the policy opens"))
}

impl Origin {
    /// `hooks.example.com`, `*.example.com:8443`, `http://hooks.local`.
    fn of_entry(entry: &str) -> Option<Self> {
        let (scheme, rest) = entry.split_once("://").unwrap_or(("https", entry));
        let (wild, rest) = match rest.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let mut origin = Self::of_authority(scheme, rest)?;
        if wild {
            origin.host.insert(0, '.');
        }
        Some(origin)
    }

    /// The origin of an absolute URL in its plainest form. Whatever URL parsers disagree about (user
    /// information, backslashes, white space, escapes or other scripts in the host) is no such form.
    fn of_url(url: &str) -> Option<Self> {
        if url.len() > 2048 || !url.bytes().all(|byte| (0x21..=0x7E).contains(&byte) && byte != b'\\') {
            return None;
        }
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        Self::of_authority(scheme, rest.get(..end)?)
    }

    fn of_authority(scheme: &str, authority: &str) -> Option<Self> {
        let scheme = scheme.to_ascii_lowercase();
        let standard = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => {
                (host, port.parse().ok().filter(|_| port.bytes().all(|b| b.is_ascii_digit()))?)
            }
            None => (authority, standard),
        };
        let label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        (host.len() <= 253 && host.split('.').all(label)).then(|| Self {
            scheme,
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    fn covers(&self, other: &Self) -> bool {
        let host = if self.host.starts_with('.') {
            other.host.ends_with(&self.host)
        } else {
            self.host == other.host
        };
        host && self.scheme == other.scheme && self.port == other.port
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors(config: Config) -> Doors {
        let mut problems = Problems::new();
        let doors = Doors::compile(&config, &At::root().member("operations"), &mut problems);
        assert!(problems.is_empty(), "{problems}");
        doors
    }

    #[test]
    fn a_webhook_needs_an_open_host() {
        let open = |entry: &str, url: &str| {
            doors(Config { webhooks: vec![entry.to_owned()], ..Config::default() }).webhook(url).is_ok()
        };
        assert!(open("hooks.example.com", "https://hooks.example.com/x?y#z"));
        assert!(open("hooks.example.com", "HTTPS://Hooks.Example.com:443"));
        assert!(open("*.example.com", "https://a.b.example.com/"));
        assert!(open("http://hooks.local:8080", "http://hooks.local:8080/x"));
        for url in [
            "http://hooks.example.com/",
            "https://hooks.example.com:8443/",
            "https://hooks.example.com.evil.test/",
            "https://hooks.example.com@evil.test/",
            "https://evil.test\\@hooks.example.com/",
            "https://evil.test#@hooks.example.com/",
            "https://evil.test?hooks.example.com",
            "https:hooks.example.com",
            "//hooks.example.com/",
            "/internal/truncate",
            "https://hooks.example.com./",
            "https://hooks.example.com%00.evil.test/",
            "https://hooks.ex\u{e4}mple.com/",
            " https://hooks.example.com/",
            "https://hooks.example.com:/",
            "https://hooks.example.com:+443/",
            "",
        ] {
            assert!(!open("hooks.example.com", url), "{url}");
        }
        assert!(!open("*.example.com", "https://example.com/"));
        assert!(!open("*.example.com", "https://evilexample.com/"));
    }

    #[test]
    fn no_policy_opens_a_key_of_the_server() {
        for key in ["user_id", "langgraph_auth_user", "__pregel_x", "assistant_id"] {
            let mut problems = Problems::new();
            let config = Config { configurable: vec![key.to_owned()], ..Config::default() };
            Doors::compile(&config, &At::root().member("operations"), &mut problems);
            assert_eq!(
                problems.iter().next().map(|p| p.path.as_str()),
                Some("operations.configurable[0]"),
                "{key}"
            );
            let all = doors(Config { configurable: vec!["*".to_owned()], ..Config::default() });
            assert!(all.configurable(key).is_err(), "{key}");
        }
    }

    #[test]
    fn an_odd_key_is_not_repeated() {
        let refused = doors(Config::default()).configurable("a b\u{0}").err().map(|refused| refused.detail);
        assert_eq!(refused.as_deref(), Some("config.configurable.… is not a key that the policy opens"));
    }
}
