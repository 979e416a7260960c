//! A first set of files that works: the filter with its policy, Envoy around it, the desk beside it, and their secrets.
//!
//! The files are made of what is shipped in `envoy/ecds` and `policies/presets`, with the answers of whoever starts put
//! in. [`Answers`] are what was said, [`Provider`] what the issuer says about itself, [`files`] what is written. Asking
//! people is the command line's.

mod provider;
mod render;

use std::fmt;

use url::{Host, Url};

pub use provider::{Provider, ProviderError, discover};
pub use render::{File, files};

/// The policies that one can start from.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "langgraph-default",
        about: "every verified caller reads, writes and runs; deleting needs the role admin",
        text: include_str!("../../../policies/presets/langgraph-default.yaml"),
    },
    Preset {
        name: "read-only",
        about: "whoever has signed in looks, and nothing changes",
        text: include_str!("../../../policies/presets/read-only.yaml"),
    },
    Preset {
        name: "iso27001",
        about: "least privilege, segregation of duties, approvals, a record of everything",
        text: include_str!("../../../policies/presets/iso27001.yaml"),
    },
    Preset {
        name: "break-glass",
        about: "few rights in daily work, and a recorded way past them in an emergency",
        text: include_str!("../../../policies/presets/break-glass.yaml"),
    },
];

/// A policy to start from.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// What it allows, in a line.
    pub about: &'static str,
    text: &'static str,
}

impl Preset {
    /// The preset of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }
}

/// What the files are to say.
#[derive(Debug, Clone)]
pub struct Answers {
    /// The OIDC issuer, exactly as its tokens name it.
    pub issuer: String,
    /// Where LangGraph answers.
    pub langgraph: Url,
    /// The policy.
    pub preset: &'static Preset,
    /// What tokens have to be for.
    pub audience: String,
    /// Where callers reach the gate.
    pub listen: (String, u16),
    /// Where the desk listens when everything runs on this machine.
    pub desk: (String, u16),
    /// The path of the module, as Envoy sees it.
    pub module: String,
    /// The folder of the filter's configuration, as Envoy sees it.
    pub folder: String,
    /// Whether the parts run in containers that compose starts.
    pub containers: bool,
    /// The key that LangGraph wants from its callers, where there is one.
    pub langgraph_key: Option<String>,
}

/// A server that a cluster leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

impl Server {
    /// The server of a URL; `from_container` makes this machine's own names those by which a container reaches it.
    pub(crate) fn of(url: &Url, from_container: bool) -> Result<Self, WrongUrl> {
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(WrongUrl("is neither http nor https")),
        };
        let own = match url.host().ok_or(WrongUrl("names no host"))? {
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
            Host::Domain(name) => name == "localhost",
        };
        let host =
            if own && from_container { "host.docker.internal" } else { url.host_str().unwrap_or_default() };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port_or_known_default().ok_or(WrongUrl("names no port"))?;
        Ok(Self { host, port, tls })
    }
}

/// Why a URL cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongUrl(&'static str);

impl fmt::Display for WrongUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for WrongUrl {}

/// Reads a URL with http or https and a host, as people type it.
pub fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim())
        .map_err(|error| format!("{error}; write it as in https://idp.example.com"))?;
    Server::of(&url, false).map_err(|wrong| format!("it {wrong}; write it as in https://idp.example.com"))?;
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err("a user, query or fragment has no place in it".to_owned());
    }
    Ok(url)
}
