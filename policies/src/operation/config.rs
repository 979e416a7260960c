//! The section `operations` as written: what is public, and which fields that get round the gate are open.
//!
//! ```yaml
//! operations:
//!   system: langgraph
//!   public: [system.health]
//!   webhooks: [hooks.example.com, "*.hooks.example.com"]
//!   configurable: [model, temperature]
//!   context: [tenant_locale]
//!   graphs: [support_agent, billing]
//!   lookups: { cluster: langgraph }
//! ```

use serde::Deserialize;

/// The section `operations`. An absent section is the default: nothing public, no webhook, no caller-chosen key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whose API the requests are: only LangGraph's is known.
    pub system: System,
    /// Operations of class `system` that are forwarded without a token, such as `system.health`.
    pub public: Vec<String>,
    /// Hosts that a `webhook` may name: exact, or `*.` and a suffix. Others are refused, because a webhook
    /// carries a run's result past the mask.
    pub webhooks: Vec<String>,
    /// Keys of `config.configurable` that a caller may set, or `"*"`. LangGraph's own `checkpoint_id`,
    /// `checkpoint_ns` and `checkpoint_map` need no entry; `thread_id` and the server's identity keys cannot
    /// be opened one by one.
    pub configurable: Vec<String>,
    /// Keys of `context` that a caller may set, or `"*"`.
    pub context: Vec<String>,
    /// The deployment's graphs. Naming them lets the gate know the UUID that LangGraph derives from each
    /// graph's name, and refuse names that are no graph.
    pub graphs: Vec<String>,
    /// Where LangGraph is asked what only it knows: the graph of an assistant, whose a thread is. Where absent, a
    /// graph behind an assistant's UUID stays unknown, and rules that need it fail closed.
    pub lookups: Option<super::LookupsConfig>,
}

/// A system whose API the gate can read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// LangGraph's server, `langgraph-api`.
    #[default]
    Langgraph,
}
