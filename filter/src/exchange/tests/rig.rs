//! An exchange with everything real around it but the host: policy, keys, tokens, queue of evidence.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use graphwarden_policies::identity::NoNative;
use graphwarden_policies::policy::Policy;
use jwt_simple::prelude::*;
use serde_json::{Value, json};
use std::rc::Rc;

use super::super::*;
use crate::root::{Core, Purpose, Wake};

/// The moment at which every test begins.
pub(super) const START: u64 = 1_800_000_000_000_000;

pub(super) const IDP: &str = "https://idp.example.com";
/// Its keys have to be fetched.
pub(super) const REMOTE: &str = "https://remote.example.com";
/// It is asked about every token.
pub(super) const ASKS: &str = "https://asks.example.com";

pub(super) const THREAD: &str = "11111111-1111-4111-8111-111111111111";

pub(super) struct Rig {
    pub(super) exchange: Exchange,
    pub(super) core: Core,
    policy: Rc<Policy>,
    pub(super) key: Ed25519KeyPair,
    pub(super) now: Moment,
    /// By how many seconds the time of day was set forward, or back.
    pub(super) set: i64,
    /// Whether the last reaction let its side go on.
    pub(super) flow: Flow,
    /// Everything that was ever asked for.
    pub(super) effects: Vec<Effect>,
}

pub(super) fn standard(key: &Ed25519KeyPair) -> Value {
    let keys = jwks(key);
    json!({
        "gateway": "gate",
        "identity": {
            "issuers": [
                { "issuer": IDP, "audiences": ["langgraph"], "algorithms": ["EdDSA"], "keys": { "inline": keys } },
                {
                    "issuer": REMOTE, "audiences": ["langgraph"], "algorithms": ["EdDSA"],
                    "keys": { "cluster": "idp", "path": "/jwks.json" }
                },
                {
                    "issuer": ASKS, "audiences": ["langgraph"], "algorithms": ["EdDSA"], "keys": { "inline": keys },
                    "introspection": {
                        "cluster": "idp", "path": "/introspect", "client_id": "gate",
                        "client_secret": { "env": "SECRET" }
                    }
                },
            ],
            "upstream": { "headers": { "x-api-key": { "env": "SECRET" } }, "identity": "headers" },
        },
        "operations": { "public": ["system.health"] },
        "access": { "rules": [
            { "name": "reads", "operations": ["threads.read", "threads.search"], "then": "allow" },
            { "name": "support", "operations": ["threads.create_run"], "when": "graph == \"support\"", "then": "allow" },
            {
                "name": "billing", "operations": ["threads.create_run"], "when": "graph == \"billing\"",
                "then": { "approval": { "approvers": ["role:manager"], "quorum": 1, "hold": "60s", "valid": "10m" } }
            },
        ] },
        "masking": { "detectors": ["email"] },
        "approvals": { "cluster": "desk", "token": { "env": "SECRET" } },
        "evidence": { "cluster": "desk", "token": { "env": "SECRET" }, "before": ["execute", "write", "admin"] },
        "digest_key": { "env": "SECRET" },
    })
}

/// LangGraph is asked what only it knows.
pub(super) fn asking(document: &mut Value) {
    document["operations"]["lookups"] = json!({ "cluster": "langgraph", "cache": "5s" });
}

pub(super) fn jwks(key: &Ed25519KeyPair) -> Value {
    let x = URL_SAFE_NO_PAD.encode(key.public_key().to_bytes());
    json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x }] })
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    /// With a policy that differs from the standard one.
    pub(super) fn with(change: impl FnOnce(&mut Value)) -> Self {
        let key = Ed25519KeyPair::generate().with_key_id("k1");
        let mut document = standard(&key);
        change(&mut document);
        let environment = |_: &str| Some("0123456789abcdef0123456789abcdef".to_owned());
        let document = serde_json::to_vec(&document).unwrap();
        let core = Core::new(&document, &environment, 1, "chain".to_owned(), Wall(START))
            .unwrap_or_else(|problems| panic!("{problems}"));
        let policy = Rc::clone(core.policy());
        Self {
            exchange: Exchange::new("exchange-1".to_owned()),
            core,
            policy,
            key,
            now: Moment(START),
            set: 0,
            flow: Flow::Pause,
            effects: Vec::new(),
        }
    }

    pub(super) fn state(&self) -> &'static str {
        self.exchange.state.name()
    }

    /// Hands an event over; what is asked for is added to `effects`, and returned.
    pub(super) fn on(&mut self, event: Event) -> Vec<Effect> {
        let wall = self.wall();
        let reaction =
            self.exchange.handle(event, &mut self.core.gate(&self.policy, &NoNative, self.now, wall));
        self.flow = reaction.flow;
        self.effects.extend(reaction.effects.iter().cloned());
        reaction.effects
    }

    /// What time of day it is.
    pub(super) fn wall(&self) -> Wall {
        Wall(self.now.0.saturating_add_signed(self.set * 1_000_000))
    }

    pub(super) fn later(&mut self, span: std::time::Duration) {
        self.now = self.now.after(span);
    }

    /// Time goes by until the exchange wants to be woken, and it is.
    pub(super) fn wait_out(&mut self) -> Vec<Effect> {
        self.now = self.exchange.wait().until.expect("the exchange waits");
        self.on(Event::Tick)
    }

    pub(super) fn token(&self, issuer: &str) -> String {
        self.token_for(issuer, "alice", 3600)
    }

    pub(super) fn token_for(&self, issuer: &str, subject: &str, lives: i64) -> String {
        let now = START / 1_000_000;
        let custom = json!({ "name": "Alice", "roles": ["engineer"] });
        let mut claims = Claims::with_custom_claims(custom, Duration::from_secs(1))
            .with_issuer(issuer)
            .with_subject(subject);
        claims = claims.with_audience("langgraph");
        claims.issued_at = Some(UnixTimeStamp::from_secs(now - 10));
        claims.invalid_before = None;
        claims.expires_at = Some(UnixTimeStamp::from_secs(now.checked_add_signed(lives).unwrap()));
        self.key.sign(claims).unwrap()
    }

    /// A request's headers with a good token.
    pub(super) fn request(&self, method: &str, path: &str, more: &[(&str, &str)]) -> Pairs {
        let bearer = format!("Bearer {}", self.token(IDP));
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend_from_slice(more);
        bare(method, path, &all)
    }

    pub(super) fn headers(&mut self, pairs: Pairs, end_of_stream: bool) -> Vec<Effect> {
        let source = Some("192.0.2.1:4711".to_owned());
        self.on(Event::RequestHeaders { pairs, end_of_stream, source, verified: None })
    }

    pub(super) fn body(&mut self, bytes: &[u8], end_of_stream: bool) -> Vec<Effect> {
        self.on(Event::RequestBody { fresh: bytes.to_vec(), end_of_stream })
    }

    /// A whole GET with a good token.
    pub(super) fn get(&mut self, path: &str) -> Vec<Effect> {
        let pairs = self.request("GET", path, &[]);
        self.headers(pairs, true)
    }

    /// A whole POST of a run of this graph with a good token.
    pub(super) fn run(&mut self, graph: &str) -> Vec<Effect> {
        let pairs = self.request("POST", &format!("/threads/{THREAD}/runs/wait"), &[]);
        self.headers(pairs, false);
        let body = json!({ "assistant_id": graph, "input": { "mail": "zoe@example.com" } });
        self.body(body.to_string().as_bytes(), true)
    }

    pub(super) fn respond(
        &mut self,
        status: u16,
        headers: &[(&str, &str)],
        end_of_stream: bool,
    ) -> Vec<Effect> {
        self.answer(Author::Upstream, status, headers, end_of_stream)
    }

    pub(super) fn answer(
        &mut self,
        author: Author,
        status: u16,
        headers: &[(&str, &str)],
        end_of_stream: bool,
    ) -> Vec<Effect> {
        let status = status.to_string();
        let mut all = vec![(":status", status.as_str())];
        all.extend_from_slice(headers);
        self.on(Event::ResponseHeaders { pairs: pairs(&all), end_of_stream, author })
    }

    pub(super) fn chunk(&mut self, bytes: &[u8], end_of_stream: bool) -> Vec<Effect> {
        self.on(Event::ResponseBody { size: bytes.len(), chunk: bytes.to_vec(), end_of_stream })
    }

    /// The approval service answers.
    pub(super) fn decide(&mut self, status: &str) -> Vec<Effect> {
        let decisions = match status {
            "approved" => {
                json!([{ "approver": { "issuer": IDP, "subject": "boss" }, "decision": "approve" }])
            }
            "denied" => json!([{ "approver": { "issuer": IDP, "subject": "boss" }, "decision": "deny" }]),
            _ => json!([]),
        };
        let body = json!({ "id": "a1", "status": status, "decisions": decisions, "url": "https://desk/a1" });
        self.called(Some(200), &body.to_string())
    }

    pub(super) fn called(&mut self, status: Option<u16>, body: &str) -> Vec<Effect> {
        self.on(Event::CallReply(CallReply { status, body: body.as_bytes().to_vec() }))
    }

    /// The ledger takes everything that is queued. Returns the lines, and wakes the exchange where it waits.
    pub(super) fn deliver(&mut self) -> Vec<Value> {
        let mut lines = Vec::new();
        loop {
            self.core.set_wait(1, self.exchange.wait());
            self.later(std::time::Duration::from_millis(25));
            let calls = self.core.due(self.now);
            let Some(call) = calls.into_iter().find(|call| matches!(call.purpose, Purpose::Evidence { .. }))
            else {
                return lines;
            };
            let sent: Vec<Value> = call
                .body
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .map(|line| serde_json::from_slice(line).unwrap())
                .collect();
            let body = json!({ "accepted": sent.len(), "duplicates": 0 }).to_string().into_bytes();
            lines.extend(sent);
            let (wakes, _) =
                self.core.answered(call.purpose, CallReply { status: Some(200), body }, self.now);
            if wakes.contains(&Wake::Evidence(1)) {
                self.on(Event::EvidenceDurable);
            }
        }
    }

    /// The stream ends, and the ledger takes what is queued: the last line is the outcome.
    pub(super) fn outcome(&mut self, departure: Departure) -> Value {
        self.on(Event::Gone(departure));
        assert_eq!(self.state(), "Closed");
        self.deliver().pop().expect("an outcome")
    }

    /// The reply that was asked for, if one was: its status and its reason.
    pub(super) fn reply(&self) -> Option<(u16, String)> {
        self.effects.iter().rev().find_map(|effect| match effect {
            Effect::Reply(reply) => {
                let body: Value = serde_json::from_slice(&reply.body).unwrap();
                Some((reply.status, body["reason"].as_str().unwrap().to_owned()))
            }
            _ => None,
        })
    }

    /// Whether the request was ever let through.
    pub(super) fn was_forwarded(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::EditRequest(_)))
    }

    /// What the last event's effects leave of a piece of body.
    pub(super) fn piece<'a>(effects: &'a [Effect], piece: &'a [u8]) -> &'a [u8] {
        effects
            .iter()
            .find_map(|effect| match effect {
                Effect::ReplaceBody(bytes) => Some(bytes.as_slice()),
                _ => None,
            })
            .unwrap_or(piece)
    }
}

/// Request headers without a token.
pub(super) fn bare(method: &str, path: &str, more: &[(&str, &str)]) -> Pairs {
    let mut all = vec![(":method", method), (":path", path), (":authority", "gate"), (":scheme", "https")];
    all.extend_from_slice(more);
    pairs(&all)
}

pub(super) fn pairs(all: &[(&str, &str)]) -> Pairs {
    all.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}
