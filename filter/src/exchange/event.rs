//! What an exchange is told ([`Event`]) and what it asks for ([`Reaction`]). Data only: no host types.

use std::rc::Rc;
use std::time::Duration;

use graphwarden_policies::identity::IntrospectionRequest;

/// A header map as it came: names in lower case, values as bytes, in order, duplicates kept.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Something happened to an exchange.
#[derive(Debug)]
pub enum Event {
    /// The request's headers arrived; nothing of it has been forwarded.
    RequestHeaders {
        /// All of them, pseudo-headers included.
        pairs: Pairs,
        /// Neither body nor trailers follow.
        end_of_stream: bool,
        /// The peer's address as the host knows it.
        source: Option<String>,
        /// The claims that Envoy's jwt_authn verified, in JSON, from dynamic metadata and from nowhere else. Only
        /// where the policy takes identities from there.
        verified: Option<Vec<u8>>,
    },
    /// More of the request's body is in the host's buffer.
    RequestBody {
        /// The bytes that were not there at the event before. Empty where the exchange does not want them.
        fresh: Vec<u8>,
        /// This is all of it.
        end_of_stream: bool,
    },
    /// The request's trailers arrived: its body is whole.
    RequestTrailers,
    /// The keys of an issuer were fetched, or a fetch failed.
    KeysChanged,
    /// What the exchange asked another service was answered, or the service could not be reached.
    CallReply(CallReply),
    /// The exchange's admission line is durable.
    EvidenceDurable,
    /// The response's headers arrived; nothing of it has been sent.
    ResponseHeaders {
        /// All of them, `:status` included.
        pairs: Pairs,
        /// Neither body nor trailers follow.
        end_of_stream: bool,
        /// Who wrote the response.
        author: Author,
    },
    /// A piece of the response's body.
    ResponseBody {
        /// How many bytes it has.
        size: usize,
        /// The piece. Empty where the exchange does not want it.
        chunk: Vec<u8>,
        /// It is the last, and no trailers follow.
        end_of_stream: bool,
    },
    /// The response's trailers arrived: its body has ended.
    ResponseTrailers,
    /// The time that [`super::Wait::until`] named has come.
    Tick,
    /// The stream is over; no effect but records, metrics and withdrawals can be performed any more.
    Gone(Departure),
}

/// Who wrote a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// The upstream.
    Upstream,
    /// The proxy itself: an error of its own, or a reply that this exchange asked for.
    Proxy,
}

/// How a stream that did not end by itself came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// The caller left.
    Client,
    /// The upstream or the proxy cut it.
    Reset,
}

/// The answer to a callout, already read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReply {
    /// The status, or `None` where the connection was reset or the call could not be made.
    pub status: Option<u16>,
    /// The body; empty where there is none.
    pub body: Vec<u8>,
}

/// What an exchange answers to an event.
#[derive(Debug, Default)]
pub struct Reaction {
    /// Whether the side of the stream that the event came from may go on. For events that came from neither
    /// side, whether a request that is being held may go on.
    pub flow: Flow,
    /// What to do, in this order, before acting on `flow`.
    pub effects: Vec<Effect>,
}

/// Whether a stream goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flow {
    /// Hold it.
    #[default]
    Pause,
    /// Let it go on.
    Continue,
}

/// Something that the host has to do for an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Answer the caller in the upstream's place. After response headers went out this cuts the response.
    Reply(Reply),
    /// Change the request's headers; only ever asked for while they are held.
    EditRequest(Vec<Edit>),
    /// Change the response's headers, in the event that brought them.
    EditResponse(Vec<Edit>),
    /// Replace the piece of response body that the event brought.
    ReplaceBody(Vec<u8>),
    /// Ask the approval service and report with [`Event::CallReply`].
    AskApproval {
        /// The body of the question; the same for every poll of one exchange.
        question: Rc<Vec<u8>>,
        /// How long the service may wait for a decision before it answers.
        wait: Duration,
    },
    /// Ask the issuer whether the token is active and report with [`Event::CallReply`].
    Introspect(IntrospectionRequest),
    /// Ask LangGraph about something and report with [`Event::CallReply`].
    LookUp(Inquiry),
    /// Replace the whole body of the request, which is held; its length in the headers is edited apart from this.
    ReplaceRequestBody(Rc<Vec<u8>>),
    /// Something goes through that may change what LangGraph answers: forget the answers, in every worker.
    ForgetLookups,
    /// Tell the approval service that nobody waits any more. No report is expected.
    WithdrawApproval {
        /// The approval's id; `None` where the service has not told it yet, but knows the exchange.
        id: Option<String>,
    },
    /// Set these as filter state, for the proxy's own access log.
    Publish(Vec<(&'static str, String)>),
    /// Count something.
    Count(Metric, u64),
}

/// A question to LangGraph.
#[derive(Clone, PartialEq, Eq)]
pub struct Inquiry {
    /// The Envoy cluster.
    pub cluster: String,
    /// All headers, pseudo-headers first.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
    /// How long it may take.
    pub timeout: Duration,
}

/// Written by hand: headers hold the upstream's key.
impl std::fmt::Debug for Inquiry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inquiry").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// An answer in the upstream's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers besides those that the host adds.
    pub headers: Vec<(&'static str, String)>,
    /// A JSON document.
    pub body: Vec<u8>,
}

/// One change to a header map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Take every value of this name away.
    Remove(String),
    /// Let this be the only value of the name.
    Set(String, Vec<u8>),
}

/// What is counted. The names on the outside are in `root::metrics`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// A request was decided: `allow` or `deny`, or with a `would_` before it in observe mode; and the reason code.
    Request {
        /// The decision.
        decision: &'static str,
        /// The reason's code, `none` for what was allowed.
        reason: &'static str,
    },
    /// A request would have been refused had the gate not only observed: the rule that says so, `none` where none does.
    WouldDeny(String),
    /// Values were masked by this detector or field rule.
    Masked(String),
    /// A held request met this answer.
    Approval(&'static str),
    /// A response that cannot be masked passed because the policy lets it; why it cannot be.
    PassedUnmasked(&'static str),
    /// A response was refused or cut; why.
    Cut(&'static str),
}
