//! Callouts: what they are for, and the requests that the contracts ask for.

use std::time::Duration;

use graphwarden_policies::identity::IssuerId;
use graphwarden_policies::policy::Service;

/// One HTTP call through a cluster, to be made by the host.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// What its answer is for.
    pub purpose: Purpose,
    /// The Envoy cluster.
    pub cluster: String,
    /// All headers, pseudo-headers first.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
    /// How long it may take; never zero, which Envoy takes for no limit at all.
    pub timeout: Duration,
}

/// What the answer to a call is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// The keys of an issuer, or the document that says where they are.
    Keys {
        /// Whose.
        issuer: IssuerId,
        /// Whether this is the discovery document.
        discovering: bool,
    },
    /// The first so many lines of the evidence queue.
    Evidence {
        /// How many.
        lines: usize,
    },
    /// An exchange's question to the approval service.
    Approval {
        /// The host's id of the stream.
        stream: u32,
        /// Which of its questions: an answer to an older one is nobody's.
        serial: u32,
        /// The exchange's id.
        exchange: String,
    },
    /// An exchange's question to the token's issuer.
    Introspection {
        /// The host's id of the stream.
        stream: u32,
        /// Which of its questions.
        serial: u32,
    },
    /// An exchange's question to LangGraph.
    Lookup {
        /// The host's id of the stream.
        stream: u32,
        /// Which of its questions.
        serial: u32,
    },
    /// An approval that nobody waits for any more.
    Withdrawal,
}

/// Written by hand: headers and body hold credentials.
impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("purpose", &self.purpose)
            .field("cluster", &self.cluster)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Call {
    /// A call to one of the desk's contracts.
    pub(super) fn to(service: &Service, purpose: Purpose, method: &str, path: String) -> Self {
        let mut headers = vec![
            (":method".to_owned(), method.to_owned()),
            (":path".to_owned(), path),
            (":authority".to_owned(), service.authority.clone()),
            ("accept".to_owned(), "application/json".to_owned()),
        ];
        if let Some(token) = &service.token {
            headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        }
        Self {
            purpose,
            cluster: service.cluster.clone(),
            headers,
            body: Vec::new(),
            timeout: service.timeout,
        }
    }

    pub(super) fn with_body(mut self, content_type: &str, body: Vec<u8>) -> Self {
        self.headers.push(("content-type".to_owned(), content_type.to_owned()));
        self.body = body;
        self
    }

    /// A long-poll: the service may take `wait` before it answers (RFC 7240 section 4.3).
    pub(super) fn waiting(mut self, wait: Duration) -> Self {
        self.headers.push(("prefer".to_owned(), format!("wait={}", wait.as_secs())));
        self.timeout = self.timeout.saturating_add(wait);
        self
    }
}
