//! A request in the raw, and what would become of it at the gate.

use graphwarden_policies::access::{Decision, Denial, Effect, Obligations, Ownership, Sight};
use graphwarden_policies::operation::{self, Facts, Knowledge, Operation, Request, Subject};
use graphwarden_policies::policy::{Mode, Policy};
use graphwarden_policies::reason::Reason;
use serde_json::{Map, Value, json};

use crate::known::{self, Known};

/// A header's name and value.
pub type Header = (Vec<u8>, Vec<u8>);

/// A request in the raw.
#[derive(Debug, Default)]
pub struct Raw {
    /// Such as `POST`.
    pub method: Vec<u8>,
    /// The path with its query.
    pub target: Vec<u8>,
    /// All of them, pseudo-headers included, in order; names in lower case.
    pub headers: Vec<Header>,
    /// Whole; empty where there is none.
    pub body: Vec<u8>,
}

/// What came of it.
#[derive(Debug)]
pub struct Verdict {
    /// The request as it was read; absent where it was refused before.
    pub request: Option<Request>,
    /// Each operation's decision on its own.
    pub each: Vec<Decision>,
    /// The strictest over all operations.
    pub effect: Effect,
    /// Which rule decided.
    pub rule: Option<String>,
    /// What else the rules ask for.
    obligations: Obligations,
    /// What ownership asks for: nothing where nothing is owned, or the caller is not bound.
    ownership: Option<Value>,
    /// More about a refusal.
    pub detail: Option<String>,
    /// What the outcome hangs on and only LangGraph knows.
    pub lacks: Vec<Subject>,
}

impl Raw {
    /// Reads an HTTP/1.1 message (RFC 9112): lines end in CRLF or LF, the body goes on to the end.
    pub fn parse(message: &[u8]) -> anyhow::Result<Self> {
        let message = message.trim_ascii_start();
        let blank = |pattern: &[u8]| message.windows(pattern.len()).position(|window| window == pattern);
        let (head, body) = match (blank(b"\r\n\r\n"), blank(b"\n\n")) {
            (Some(at), lf) if lf.is_none_or(|lf| at < lf) => (&message[..at], &message[at + 4..]),
            (_, Some(at)) => (&message[..at], &message[at + 2..]),
            _ => (message, &b""[..]),
        };
        let mut lines =
            head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let mut words = lines.next().unwrap_or_default().splitn(3, |&byte| byte == b' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            anyhow::bail!("the request has no request line such as `POST /threads/search HTTP/1.1`");
        };
        let mut headers = vec![(b":method".to_vec(), method.to_vec()), (b":path".to_vec(), target.to_vec())];
        for line in lines.filter(|line| !line.trim_ascii().is_empty()) {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else {
                anyhow::bail!("a header line has no colon");
            };
            headers.push((line[..colon].to_ascii_lowercase(), line[colon + 1..].trim_ascii().to_vec()));
        }
        let declared = headers.iter().find(|(name, _)| name == b"content-length");
        let declared = declared.and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse::<usize>().ok());
        // What an editor adds at the end of a file is no body.
        let body = match declared {
            Some(length) if length <= body.len() => &body[..length],
            _ => body.strip_suffix(b"\n").unwrap_or(body),
        };
        Ok(Self { method: method.to_vec(), target: target.to_vec(), headers, body: body.to_vec() })
    }
}

/// Who sends a request, from where, and when.
pub struct Caller<'a> {
    /// The claims of the caller's token; `None` for nobody.
    pub claims: Option<&'a Map<String, Value>>,
    /// The caller's address.
    pub source: &'a str,
    /// In seconds since the Unix epoch.
    pub now: u64,
}

/// Judges a request as the gate would where LangGraph says what is `known`.
pub fn judge(policy: &Policy, caller: &Caller<'_>, raw: &Raw, known: &Known) -> Verdict {
    let refused = |reason: Reason, detail: String| Verdict {
        request: None,
        each: Vec::new(),
        effect: Effect::Deny { reason, message: None },
        rule: None,
        obligations: Obligations::default(),
        ownership: None,
        detail: Some(detail),
        lacks: Vec::new(),
    };
    let now = caller.now;
    let head = match policy.operations.read_head(&raw.method, &raw.target, &raw.headers) {
        Ok(head) => head,
        Err(error) => return refused(error.reason, error.detail),
    };
    let identity = match caller.claims.map(|claims| policy.authenticator.suppose(claims.clone(), now)) {
        Some(Ok(identity)) => Some(identity),
        Some(Err(error)) => return refused(error.reason, error.detail.to_owned()),
        None if head.public => None,
        None => return refused(Reason::TokenMissing, Reason::TokenMissing.message().to_owned()),
    };
    if raw.body.len() > policy.limits.request_body {
        return refused(Reason::BodyTooLarge, Reason::BodyTooLarge.message().to_owned());
    }
    let mut request = match policy.operations.read(&head, &raw.body) {
        Ok(request) => request,
        Err(error) => return refused(error.reason, error.detail),
    };
    let identity = match identity {
        Some(identity) if !head.public => identity,
        _ => {
            return Verdict {
                request: Some(request),
                effect: Effect::Allow,
                ..refused(Reason::TokenMissing, "public: needs no token".to_owned())
            };
        }
    };
    let ownership = policy.rules.ownership();
    let owner = match ownership.map(|ownership| ownership.owner(&identity)).transpose() {
        Ok(owner) => owner.flatten(),
        Err(error) => {
            return Verdict { request: Some(request), ..refused(error.reason, error.detail) };
        }
    };
    let (answers, lacks) = look_up(policy, &mut request, owner.is_some(), known);
    let call = policy.rules.call(caller.source, &raw.headers);
    let decision = policy.rules.decide(&identity, &request, &call, now);
    let each = policy.rules.explain(&identity, &request, &call, now);
    let detail = match &decision.effect {
        Effect::Deny { message, .. } => message.clone(),
        Effect::Allow | Effect::Approval(_) => None,
    };
    let owned = match (ownership, owner) {
        (Some(ownership), Some(owner)) if !matches!(decision.effect, Effect::Deny { .. }) => {
            let answers = lacks.is_empty().then_some(&answers);
            owned(ownership, &owner, &request, &raw.body, answers).map(Some)
        }
        _ => Ok(None),
    };
    match owned {
        Ok(ownership) => Verdict {
            request: Some(request),
            each,
            effect: decision.effect,
            rule: decision.rule,
            obligations: decision.obligations,
            ownership,
            detail,
            lacks,
        },
        Err(error) => Verdict { request: Some(request), each, ..refused(error.reason, error.detail) },
    }
}

/// What the gate would ask LangGraph about, answered from what is known, and what is not.
fn look_up(policy: &Policy, request: &mut Request, owns: bool, known: &Known) -> (Knowledge, Vec<Subject>) {
    let (mut answers, mut lacks) = (Knowledge::new(), Vec::new());
    if policy.operations.lookups().is_none() {
        return (answers, lacks);
    }
    let ownership = policy.rules.ownership().filter(|_| owns);
    loop {
        let mut asks = Vec::new();
        if policy.rules.names_graph() {
            request.learn(&answers);
            asks.extend(request.graphs_hidden(&answers));
        }
        if let Some(ownership) = ownership {
            asks.extend(ownership.subjects(request, &answers));
        }
        asks.retain(|subject| !lacks.contains(subject));
        let Some(subject) = asks.into_iter().next() else { return (answers, lacks) };
        match known.find(&subject, request) {
            Some(found) => {
                answers.insert(subject, found);
            }
            None => lacks.push(subject),
        }
    }
}

/// What ownership asks for: the mark, what it asks LangGraph about (another's is answered with 404), the thread that is
/// made for a conversation that begins, and the body as it is forwarded. Without all answers nothing is refused for
/// being another's.
fn owned(
    ownership: &Ownership,
    owner: &str,
    request: &Request,
    body: &[u8],
    answers: Option<&Knowledge>,
) -> Result<Value, operation::Refused> {
    let mut begins = None;
    if let Some(answers) = answers {
        ownership.admits(owner, request, answers)?;
        // Where the caller names no thread the gate makes an id up; this one only shows where it goes.
        let fresh = "00000000-0000-4000-8000-000000000000";
        begins = ownership.begins(owner, request, answers, fresh, body)?;
    }
    let asks: Vec<Value> = ownership
        .subjects(request, &Knowledge::new())
        .into_iter()
        .map(|subject| match subject {
            Subject::Assistant(id) => json!({"assistant": id}),
            Subject::Thread(id) => json!({"thread": id}),
            Subject::Cron(id) => json!({"cron": id}),
            Subject::Tool(name) => json!({"tool": name}),
        })
        .collect();
    let stamped = ownership.stamped(owner, request, body)?;
    let (thread, addressed) = begins.map_or((None, None), |begins| (Some(begins.thread), begins.body));
    let forwarded = stamped.or(addressed).map(|body| String::from_utf8_lossy(&body).into_owned());
    Ok(json!({"key": ownership.key(), "owner": owner, "asks": asks, "begins": thread, "body": forwarded}))
}

impl Verdict {
    /// `allow`, `deny` or `approval`.
    pub fn effect(&self) -> &'static str {
        effect(&self.effect)
    }

    /// What else the rules ask for.
    pub fn obligations(&self) -> &Obligations {
        &self.obligations
    }

    /// The code of a refusal.
    pub fn reason(&self) -> Option<&'static str> {
        reason(&self.effect)
    }

    /// All of it, for people and programs.
    pub fn to_json(&self, mode: Mode) -> Value {
        let operations: Vec<Value> = match &self.request {
            None => Vec::new(),
            Some(request) => {
                let each = self.each.iter().map(Some).chain(std::iter::repeat(None));
                request
                    .judged()
                    .zip(each)
                    .map(|((operation, facts), decision)| {
                        let mut shown = operation_json(operation, facts);
                        if let Some(decision) = decision {
                            shown.insert("effect".to_owned(), effect(&decision.effect).into());
                            shown.insert("rule".to_owned(), json!(decision.rule));
                        }
                        Value::Object(shown)
                    })
                    .collect()
            }
        };
        let approval = match &self.effect {
            Effect::Approval(demand) => json!({
                "approvers": demand.approvers,
                "quorum": demand.quorum,
                "all_of": demand.all_of.iter().map(|seats| json!({"approver": seats.approver, "count": seats.count})).collect::<Vec<_>>(),
                "denial": match demand.denial { Denial::One => "one", Denial::Majority => "majority" },
                "preview": match demand.preview { Sight::Partial => "partial", Sight::Full => "full" },
                "grant_seconds": demand.grant.map(|grant| grant.as_secs()),
                "break_glass": demand.break_glass,
                "hold_seconds": demand.hold.as_secs(),
                "valid_seconds": demand.valid.as_secs(),
                "expires_seconds": demand.expires.as_secs(),
            }),
            _ => Value::Null,
        };
        let mut decision = json!({
            "effect": self.effect(),
            "rule": self.rule,
            "reason": self.reason(),
            "detail": self.detail,
            "obligations": {
                "approval": approval,
                "before": self.obligations.before,
                "mask": self.obligations.masks.iter().map(|place| format!("access.rules[{place}].obligations.mask")).collect::<Vec<_>>(),
                "ownership": self.ownership,
            },
        });
        if let (Mode::Observe, Some(decision)) = (mode, decision.as_object_mut()) {
            decision.insert("mode".to_owned(), "observe".into());
        }
        let normalised = self.request.as_ref().map(|request| {
            json!({"method": request.normalised.method, "path": request.normalised.path, "query": request.normalised.query})
        });
        let unresolved = self.request.as_ref().map(|request| request.unresolved()).unwrap_or_default();
        let lacks: Vec<String> = self.lacks.iter().map(known::how_to_write).collect();
        json!({
            "operations": operations, "decision": decision, "normalised": normalised,
            "unresolved": unresolved, "lacks": lacks,
        })
    }
}

fn effect(effect: &Effect) -> &'static str {
    match effect {
        Effect::Allow => "allow",
        Effect::Deny { .. } => "deny",
        Effect::Approval(_) => "approval",
    }
}

fn reason(effect: &Effect) -> Option<&'static str> {
    match effect {
        Effect::Deny { reason, .. } => Some(reason.code()),
        _ => None,
    }
}

/// An operation without what is absent.
fn operation_json(operation: &Operation, facts: &Facts) -> Map<String, Value> {
    let mut shown = match serde_json::to_value(operation) {
        Ok(Value::Object(shown)) => shown,
        _ => Map::new(),
    };
    shown.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty()));
    shown.insert("name".to_owned(), operation.name().into());
    let facts = json!({
        "webhook": facts.webhook, "resume": facts.resume, "update": facts.update, "goto": facts.goto,
        "supersteps": facts.supersteps, "checkpoint": facts.checkpoint, "deferred": facts.deferred,
        "multitask_strategy": facts.multitask_strategy, "if_exists": facts.if_exists,
        "if_not_exists": facts.if_not_exists, "on_disconnect": facts.on_disconnect,
        "on_completion": facts.on_completion, "method": facts.method, "configurable": facts.configurable,
        "context": facts.context, "metadata": facts.metadata,
    });
    if let Value::Object(mut facts) = facts {
        facts.retain(|_, value| {
            !(value.is_null() || *value == Value::Bool(false) || value.as_array().is_some_and(Vec::is_empty))
        });
        if !facts.is_empty() {
            shown.insert("facts".to_owned(), Value::Object(facts));
        }
    }
    shown
}
