//! One line as it comes in: its exact bytes, its link, and what is read from it for searching.
//!
//! ```json
//! {"v":1,"chain":"5f0c…","seq":7,"prev":"9a1e…","kind":"outcome","exchange":"0198…","at":"2026-11-22T10:15:30.123456Z",…}
//! ```

use graphwarden_policies::evidence::{LONGEST_LINE, VERSION, link_hash, unhex};
use serde::Deserialize;

use crate::clock::parse_time;
use crate::error::Error;

/// The longest name of a chain, in bytes.
const LONGEST_CHAIN: usize = 128;
/// Chains of the desk's own begin so; a gateway may not use the prefix.
const DESK_PREFIX: &str = "desk-";

/// A line that is fit to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLine {
    /// The exact bytes, without the line feed.
    pub bytes: Vec<u8>,
    /// The hash by which the next line of the chain names it.
    pub hash: Vec<u8>,
    /// Its chain.
    pub chain: String,
    /// Its place in the chain, from 0.
    pub seq: i64,
    /// The hash of the line before it; zeros for the first.
    pub prev: Vec<u8>,
    /// When, by its writer's clock, in milliseconds since the Unix epoch.
    pub at: i64,
    /// What it is about.
    pub kind: String,
    /// The exchange.
    pub exchange: Option<String>,
    /// Who, by subject.
    pub subject: Option<String>,
    /// Who, by everything that people search for.
    pub person: Option<String>,
    /// The operations' names.
    pub operation: Option<String>,
    /// The graph.
    pub graph: Option<String>,
    /// The thread.
    pub thread: Option<String>,
    /// The decision's effect, or the desk's event.
    pub effect: Option<String>,
    /// The status of the answer.
    pub status: Option<i64>,
    /// The strictest class of its operations.
    pub class: Option<String>,
}

#[derive(Deserialize)]
struct Facts {
    v: u32,
    chain: String,
    seq: u64,
    prev: String,
    kind: String,
    at: String,
    exchange: Option<String>,
    actor: Option<Actor>,
    #[serde(default)]
    operations: Vec<Operation>,
    decision: Option<Decision>,
    response: Option<Response>,
    event: Option<String>,
}

#[derive(Deserialize)]
struct Actor {
    subject: String,
    name: Option<String>,
    email: Option<String>,
}

#[derive(Deserialize)]
struct Operation {
    operation: String,
    class: Option<String>,
    graph: Option<String>,
    thread: Option<String>,
}

#[derive(Deserialize)]
struct Decision {
    effect: Option<String>,
}

#[derive(Deserialize)]
struct Response {
    status: Option<u16>,
}

impl NewLine {
    /// Reads a line that a gateway sent. The error says what is wrong, and holds nothing of the line.
    pub fn of_gateway(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > LONGEST_LINE {
            return Err(format!("is longer than {LONGEST_LINE} bytes"));
        }
        let line = Self::read(bytes.to_vec())?;
        if line.chain.starts_with(DESK_PREFIX)
            || !matches!(line.kind.as_str(), "start" | "admission" | "segment" | "outcome")
        {
            return Err("is not of a kind or chain that a gateway may write".to_owned());
        }
        Ok(line)
    }

    /// Reads a line that the desk wrote itself.
    pub fn of_desk(bytes: Vec<u8>) -> Result<Self, Error> {
        Self::read(bytes).map_err(|what| Error::Internal(anyhow::anyhow!("a line of the desk's own {what}")))
    }

    fn read(bytes: Vec<u8>) -> Result<Self, String> {
        let facts: Facts = serde_json::from_slice(&bytes).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => {
                format!("lacks a member or has one of a wrong type at column {}", error.column())
            }
            _ => format!("is not JSON at column {}", error.column()),
        })?;
        if facts.v != VERSION {
            return Err(format!("has version {}, this desk knows {VERSION}", facts.v));
        }
        if facts.chain.is_empty() || facts.chain.len() > LONGEST_CHAIN {
            return Err(format!("names a chain that has not 1 to {LONGEST_CHAIN} bytes"));
        }
        let seq = i64::try_from(facts.seq)
            .ok()
            .filter(|seq| *seq < i64::MAX)
            .ok_or("has a `seq` that is too large")?;
        let prev = unhex(&facts.prev)
            .map(|hash| hash.to_vec())
            .ok_or("has a `prev` that is not 64 lower-case hexadecimal digits")?;
        let at = parse_time(&facts.at).ok_or("has an `at` that is not RFC 3339")?;
        let operation = (!facts.operations.is_empty()).then(|| {
            let mut names: Vec<&str> =
                facts.operations.iter().map(|operation| operation.operation.as_str()).collect();
            names.dedup();
            names.join(",")
        });
        let classes = facts.operations.iter().filter_map(|operation| operation.class.as_deref());
        let class = strictest(classes).map(str::to_owned);
        Ok(Self {
            hash: link_hash(&bytes).to_vec(),
            bytes,
            chain: facts.chain,
            seq,
            prev,
            at,
            kind: facts.kind,
            exchange: facts.exchange.filter(|exchange| !exchange.is_empty()),
            subject: facts.actor.as_ref().map(|actor| actor.subject.clone()),
            person: facts.actor.map(|actor| {
                [actor.name, actor.email, Some(actor.subject)]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(" ")
            }),
            operation,
            graph: facts.operations.iter().find_map(|operation| operation.graph.clone()),
            thread: facts.operations.iter().find_map(|operation| operation.thread.clone()),
            effect: facts.decision.and_then(|decision| decision.effect).or(facts.event),
            status: facts.response.and_then(|response| response.status).map(i64::from),
            class,
        })
    }
}

/// The classes of operations that records are kept by, least strict first.
pub const CLASSES: [&str; 4] = ["read", "write", "execute", "admin"];

/// The strictest of some classes.
pub fn strictest<'a>(classes: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    classes.max_by_key(|class| CLASSES.iter().position(|name| name == class))
}
