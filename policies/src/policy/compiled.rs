//! The policy as the request path sees it: every section compiled, every cross-reference checked.

use std::collections::BTreeSet;
use std::time::Duration;

use super::cors::Cors;
use super::document::{self, Document, EvidenceConfig, LimitsConfig, Mode, ServiceConfig};
use super::problem::{At, Problems};
use super::stricter::Stricter;
use super::values::{Environment, Secret, Size, Span};
use crate::evidence::{DigestKey, sha256_hex};
use crate::operation::Class;
use crate::{access, identity, masking, operation};

/// A compiled policy.
#[derive(Debug)]
pub struct Policy {
    /// The gateway's name in records and approvals.
    pub gateway: String,
    /// Verifies callers.
    pub authenticator: identity::Authenticator,
    /// Reads requests as operations.
    pub operations: operation::Reader,
    /// Decides about operations.
    pub rules: access::Rules,
    /// Masks what leaves.
    pub masking: masking::Masking,
    /// Where people decide; always there where a rule asks for an approval.
    pub approvals: Option<Service>,
    /// Where records go; `None` only where the document says `evidence: { off: true }`.
    pub evidence: Option<EvidenceService>,
    /// The key of digests over what is not masked; always there where approvals or evidence are.
    pub digest_key: Option<DigestKey>,
    /// Which web pages may read what the gate answers by itself; `None` where no page may.
    pub cors: Option<Cors>,
    /// Whether the gate refuses, or only says what it would refuse.
    pub mode: Mode,
    /// Bounds on what a request may cost.
    pub limits: Limits,
    stricter: Stricter,
    digest: String,
}

/// An HTTP service, reached through an Envoy cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct Service {
    /// The cluster's name in Envoy's configuration.
    pub cluster: String,
    /// The path of the contract.
    pub path: String,
    /// The `:authority` to send.
    pub authority: String,
    /// The bearer token to send.
    pub token: Option<String>,
    /// How long one call may take, besides the time that a long-poll asks for.
    pub timeout: Duration,
}

/// Where records go, and which of them before the request is forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceService {
    /// The service.
    pub service: Service,
    /// The classes of operation whose admission has to be durable before they are forwarded.
    pub before: BTreeSet<Class>,
    /// How many bytes of each masked body are kept; 0 keeps none.
    pub body_limit: usize,
    /// How many bytes of each masked stream are kept; 0 keeps none.
    pub stream_limit: usize,
    /// Whether the outcome's main fields are set as filter state.
    pub filter_state: bool,
    /// How many bytes of records may wait for delivery, in each worker.
    pub queue: usize,
}

/// Bounds on what a request may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest request body that is read, in bytes.
    pub request_body: usize,
    /// How long a request body may take to begin.
    pub body_wait: Duration,
    /// How many bytes of bodies, and of what was read of them, requests that wait may take, in each worker.
    pub bodies: usize,
    /// How many requests of one person may wait for approval, in each worker.
    pub held: usize,
}

/// Written by hand: the derived one would show the token.
impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("cluster", &self.cluster)
            .field("path", &self.path)
            .field("authority", &self.authority)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl Limits {
    /// Where the document says nothing: 4 MiB of body, 5 s for it to begin, 256 MiB of all that wait, 100 of a person.
    pub const DEFAULT: Self =
        Self { request_body: 4 << 20, body_wait: Duration::from_secs(5), bodies: 256 << 20, held: 100 };
    /// The most that bodies together may take: with what one more may take by itself, less than the 1 GiB of a VM.
    pub const LARGEST_BODIES: usize = 512 << 20;
    /// The largest body that may be configured: a VM that grows past 1 GiB traps, and bodies are held in it.
    pub const LARGEST_REQUEST_BODY: usize = 64 << 20;
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_BODY_LIMIT: usize = 64 << 10;
const LARGEST_BODY_LIMIT: usize = 1 << 20;
const DEFAULT_STREAM_LIMIT: usize = 1 << 20;
const LARGEST_STREAM_LIMIT: usize = 64 << 20;
/// An open exchange, be it a stream that lasts for hours, has 2 KiB of it set aside: this is enough for 32,000 in a worker.
const DEFAULT_QUEUE: usize = 64 << 20;
const SMALLEST_QUEUE: usize = 64 << 10;
const LARGEST_QUEUE: usize = 256 << 20;

impl Policy {
    /// Reads, checks and compiles a document in JSON, or says everything that is wrong with it.
    pub fn parse(document: &[u8], environment: Environment<'_>) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let policy = document::read(document, &mut problems)
            .and_then(|(document, canonical)| compile(&document, &canonical, environment, &mut problems));
        match policy {
            Some(policy) if problems.is_empty() => Ok(policy),
            _ => Err(problems),
        }
    }

    /// What masks an exchange for which rules asked for this.
    pub fn masking_under(&self, obligations: &access::Obligations) -> &masking::Masking {
        self.stricter.under(obligations).unwrap_or(&self.masking)
    }

    /// The document's digest: SHA-256 over its canonical form, lower-case hexadecimal. The same document has
    /// the same digest in whatever order Envoy hands it over; secrets are not part of it.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

fn compile(
    document: &Document,
    canonical: &str,
    environment: Environment<'_>,
    problems: &mut Problems,
) -> Option<Policy> {
    let root = At::root();
    // Every section is compiled before any `?`, so that one run shows the problems of all.
    let authenticator =
        identity::Authenticator::compile(&document.identity, &root.member("identity"), environment, problems);
    let operations = operation::Reader::compile(&document.operations, &root.member("operations"), problems);
    let rules = access::Rules::compile(&document.access, &root.member("access"), problems);
    let masking =
        masking::Masking::compile(&document.masking, &root.member("masking"), environment, problems);
    let stricter = match &masking {
        Some(_) => Stricter::compile(
            &document.access,
            &document.masking,
            &root.member("access"),
            environment,
            problems,
        ),
        None => None,
    };
    let approvals = document.approvals.as_ref().and_then(|config| {
        service(config, "/v1/approvals", &root.member("approvals"), environment, problems)
    });
    let evidence = evidence(document.evidence.as_ref(), &root.member("evidence"), environment, problems);
    let cors = document.cors.as_ref().map(|config| Cors::compile(config, &root.member("cors"), problems));
    let limits = limits(&document.limits, &root.member("limits"), problems);
    let digest_key =
        digest_key(document.digest_key.as_ref(), &root.member("digest_key"), environment, problems);
    let gateway = gateway(document.gateway.as_deref(), &root.member("gateway"), problems);

    let rules = rules?;
    if document.approvals.is_none() && rules.asks_approval() {
        problems.add_with_hint(
            &root.member("approvals"),
            "a rule asks for an approval, but no approval service is named",
            "write approvals: { cluster: …, token: { env: GRAPHWARDEN_TOKEN } }",
        );
    }
    if rules.ownership().is_some() && document.operations.lookups.is_none() {
        problems.add_with_hint(
            &root.member("operations").member("lookups"),
            "whose things are whose has to be asked of LangGraph, and no cluster for that is named",
            "write operations: { lookups: { cluster: langgraph } }",
        );
    }
    let evidence_off = document.evidence.as_ref().is_some_and(|config| config.off);
    if document.digest_key.is_none() && (!evidence_off || document.approvals.is_some()) {
        problems.add_with_hint(
            &root.member("digest_key"),
            "requests cannot be bound to approvals and records without a key",
            "write digest_key: { env: GRAPHWARDEN_DIGEST_KEY }",
        );
    }
    Some(Policy {
        gateway,
        authenticator: authenticator?,
        operations: operations?,
        rules,
        masking: masking?,
        approvals,
        evidence,
        digest_key,
        cors,
        mode: document.mode,
        limits,
        stricter: stricter?,
        digest: sha256_hex(canonical.as_bytes()),
    })
}

fn gateway(name: Option<&str>, at: &At, problems: &mut Problems) -> String {
    let name = name.unwrap_or("graphwarden");
    if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
        problems.add(at, "a gateway's name has 1 to 128 characters and no control characters");
    }
    name.to_owned()
}

fn service(
    config: &ServiceConfig,
    default_path: &str,
    at: &At,
    environment: Environment<'_>,
    problems: &mut Problems,
) -> Option<Service> {
    if config.cluster.is_empty() {
        problems.add(&at.member("cluster"), "a cluster's name cannot be empty");
    }
    let path = config.path.as_deref().unwrap_or(default_path);
    if !path.starts_with('/') || path.bytes().any(|byte| byte <= b' ' || byte >= 0x7f || byte == b'?') {
        problems.add(
            &at.member("path"),
            "a path starts with a slash and is printable ASCII without spaces or a query",
        );
    }
    let timeout = config.timeout.map_or(DEFAULT_TIMEOUT, |Span(timeout)| timeout);
    if timeout.is_zero() || timeout > LONGEST_TIMEOUT {
        problems.add_with_hint(
            &at.member("timeout"),
            "a timeout is more than 0 and at most 60s",
            "Envoy takes 0 for none at all",
        );
    }
    let token = match &config.token {
        None => None,
        Some(secret) => Some(resolve(secret, &at.member("token"), environment, problems)?),
    };
    Some(Service {
        cluster: config.cluster.clone(),
        path: path.to_owned(),
        authority: config.authority.clone().unwrap_or_else(|| config.cluster.clone()),
        token,
        timeout,
    })
}

fn evidence(
    config: Option<&EvidenceConfig>,
    at: &At,
    environment: Environment<'_>,
    problems: &mut Problems,
) -> Option<EvidenceService> {
    let Some(config) = config else {
        problems.add_with_hint(
            at,
            "no evidence service is named",
            "write evidence: { cluster: …, token: { env: GRAPHWARDEN_TOKEN } }, or evidence: { off: true } to do without",
        );
        return None;
    };
    if config.off {
        if config.cluster.is_some() {
            problems.add(&at.member("off"), "evidence is off and has a cluster: one of them is meant");
        }
        return None;
    }
    let Some(cluster) = config.cluster.clone() else {
        problems.add(&at.member("cluster"), "the cluster of the evidence service is missing");
        return None;
    };
    let service_config = ServiceConfig {
        cluster,
        path: config.path.clone(),
        authority: config.authority.clone(),
        token: config.token.clone(),
        timeout: config.timeout,
    };
    let service = service(&service_config, "/v1/evidence", at, environment, problems);
    let body_limit = config.body.limit.map_or(DEFAULT_BODY_LIMIT, |Size(limit)| limit);
    if body_limit > LARGEST_BODY_LIMIT {
        problems.add(&at.member("body").member("limit"), "at most 1MiB of a body is kept");
    }
    let stream_limit = config.body.stream.map_or(DEFAULT_STREAM_LIMIT, |Size(limit)| limit);
    if stream_limit > LARGEST_STREAM_LIMIT {
        problems.add(&at.member("body").member("stream"), "at most 64MiB of a stream is kept");
    }
    let queue = config.queue.map_or(DEFAULT_QUEUE, |Size(queue)| queue);
    if !(SMALLEST_QUEUE..=LARGEST_QUEUE).contains(&queue) {
        problems.add(&at.member("queue"), "a queue holds 64KiB to 256MiB");
    }
    let before = match &config.before {
        Some(classes) => classes.iter().copied().collect(),
        None => BTreeSet::from([Class::Write, Class::Execute, Class::Admin]),
    };
    let filter_state = config.filter_state;
    Some(EvidenceService { service: service?, before, body_limit, stream_limit, filter_state, queue })
}

fn limits(config: &LimitsConfig, at: &At, problems: &mut Problems) -> Limits {
    let request_body = config.request_body.map_or(Limits::DEFAULT.request_body, |Size(bytes)| bytes);
    if request_body == 0 || request_body > Limits::LARGEST_REQUEST_BODY {
        problems.add(&at.member("request_body"), "a request body has 1 byte to 64MiB");
    }
    let body_wait = config.body_wait.map_or(Limits::DEFAULT.body_wait, |Span(wait)| wait);
    if body_wait.is_zero() || body_wait > LONGEST_TIMEOUT {
        problems.add(&at.member("body_wait"), "the wait for a body is more than 0 and at most 60s");
    }
    let bodies = config.bodies.map_or(Limits::DEFAULT.bodies, |Size(bytes)| bytes);
    if !(1 << 20..=Limits::LARGEST_BODIES).contains(&bodies) {
        problems.add(&at.member("bodies"), "bodies that wait take 1MiB to 512MiB");
    }
    let held = config.held.unwrap_or(Limits::DEFAULT.held);
    if held == 0 {
        problems.add(&at.member("held"), "of one person at least 1 request may wait");
    }
    Limits { request_body, body_wait, bodies, held }
}

fn digest_key(
    secret: Option<&Secret>,
    at: &At,
    environment: Environment<'_>,
    problems: &mut Problems,
) -> Option<DigestKey> {
    let secret = resolve(secret?, at, environment, problems)?;
    let key = DigestKey::new(secret.as_bytes());
    if key.is_none() {
        problems.add_with_hint(
            at,
            format!("the key has fewer than {} bytes", DigestKey::SHORTEST),
            "for example: openssl rand -hex 32",
        );
    }
    key
}

fn resolve(
    secret: &Secret,
    at: &At,
    environment: Environment<'_>,
    problems: &mut Problems,
) -> Option<String> {
    let value = secret.resolve(environment);
    if value.is_none() {
        problems.add_with_hint(
            &at.member("env"),
            format!("the environment variable {} is not set", secret.env),
            "pass it in by vm_config.environment_variables",
        );
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "KEY" => Some("0123456789abcdef0123456789abcdef".to_owned()),
            "SHORT" => Some("0123".to_owned()),
            "TOKEN" => Some("t0ken".to_owned()),
            _ => None,
        }
    }

    fn document() -> Value {
        json!({
            "identity": {"issuers": [{
                "issuer": "https://idp.example.com",
                "audiences": ["langgraph"],
                "algorithms": ["ES256"],
                "keys": {"cluster": "idp", "path": "/jwks"},
            }]},
            "access": {"rules": [
                {"name": "search", "operations": ["threads.search"], "then": "allow"},
                {
                    "name": "run", "operations": ["threads.create_run"], "when": "graph == 'billing'",
                    "then": {"approval": {"approvers": ["role:manager"], "quorum": 1, "hold": "60s"}},
                },
            ]},
            "approvals": {"cluster": "desk", "token": {"env": "TOKEN"}},
            "evidence": {"cluster": "desk", "token": {"env": "TOKEN"}, "before": ["execute", "admin"]},
            "digest_key": {"env": "KEY"},
        })
    }

    fn parse(document: &Value) -> Result<Policy, Vec<String>> {
        Policy::parse(document.to_string().as_bytes(), &environment)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn problems(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut document = document();
        change(&mut document);
        parse(&document).expect_err("the document should be refused")
    }

    #[test]
    fn a_sound_document_compiles_with_its_defaults() {
        let policy = parse(&document()).unwrap();
        assert_eq!(policy.gateway, "graphwarden");
        assert_eq!(policy.mode, Mode::Enforce);
        assert_eq!(policy.limits, Limits::DEFAULT);
        let approvals = policy.approvals.unwrap();
        assert_eq!((approvals.path.as_str(), approvals.authority.as_str()), ("/v1/approvals", "desk"));
        let evidence = policy.evidence.unwrap();
        assert_eq!(evidence.before, BTreeSet::from([Class::Execute, Class::Admin]));
        assert_eq!(evidence.service.token.as_deref(), Some("t0ken"));
    }

    #[test]
    fn every_misspelt_field_is_named_in_one_run_with_what_was_meant() {
        let problems = problems(|document| {
            document["identiy"] = json!({});
            document["identity"]["issuers"][0]["audience"] = json!(["x"]);
            document["access"]["rules"][1]["then"]["approval"]["quorom"] = json!(2);
            document["evidence"]["befor"] = json!([]);
        });
        let expected = [
            "identiy: unknown field (did you mean `identity`?)",
            "identity.issuers[0].audience: unknown field (did you mean `audiences`?)",
            "access.rules[1].then.approval.quorom: unknown field (did you mean `quorum`?)",
            "evidence.befor: unknown field (did you mean `before`?)",
        ];
        for line in expected {
            assert!(problems.iter().any(|problem| problem == line), "{line} is not in {problems:#?}");
        }
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named_with_its_place() {
        let problems = problems(|document| document["evidence"]["queue"] = json!("many"));
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("evidence.queue: "), "{problems:?}");
    }

    #[test]
    fn problems_of_all_sections_come_in_one_run() {
        let problems = problems(|document| {
            document["gateway"] = json!("");
            document["access"]["rules"][0]["operations"] = json!(["threads.serach"]);
            document["approvals"]["timeout"] = json!("0s");
            document["evidence"]["token"]["env"] = json!("MISSING");
            document["limits"] = json!({"request_body": "128MiB"});
            document["digest_key"]["env"] = json!("SHORT");
        });
        for place in [
            "gateway",
            "access.rules[0].operations",
            "approvals.timeout",
            "evidence.token.env",
            "limits.request_body",
            "digest_key",
        ] {
            assert!(
                problems.iter().any(|problem| problem.starts_with(place)),
                "{place} is not in {problems:#?}"
            );
        }
    }

    #[test]
    fn evidence_is_off_only_where_the_document_says_so() {
        let missing = problems(|document| {
            document.as_object_mut().unwrap().remove("evidence");
        });
        assert!(missing.iter().any(|problem| problem.starts_with("evidence: no evidence service is named")));
        let mut off = document();
        off["evidence"] = json!({"off": true});
        assert!(parse(&off).unwrap().evidence.is_none());
        let both = problems(|document| document["evidence"]["off"] = json!(true));
        assert!(both.iter().any(|problem| problem.starts_with("evidence.off")));
    }

    #[test]
    fn a_rule_that_asks_people_needs_a_service_to_ask_them() {
        let problems = problems(|document| {
            document.as_object_mut().unwrap().remove("approvals");
        });
        assert!(problems.iter().any(|problem| problem.starts_with("approvals: a rule asks")), "{problems:?}");
    }

    #[test]
    fn requests_are_bound_with_a_key_or_not_at_all() {
        let problems = problems(|document| {
            document.as_object_mut().unwrap().remove("digest_key");
        });
        assert!(problems.iter().any(|problem| problem.starts_with("digest_key: ")), "{problems:?}");
    }

    #[test]
    fn no_problem_holds_a_secret() {
        let problems = problems(|document| document["digest_key"]["env"] = json!("SHORT"));
        assert!(problems.iter().all(|problem| !problem.contains("0123")), "{problems:?}");
        assert!(!format!("{:?}", parse(&document()).unwrap()).contains("t0ken"));
    }

    #[test]
    fn the_digest_is_of_the_document_and_not_of_its_spelling() {
        let text = document().to_string();
        let one = Policy::parse(text.as_bytes(), &environment).unwrap();
        let spaced = serde_json::to_string_pretty(&document()).unwrap();
        let other = Policy::parse(spaced.as_bytes(), &environment).unwrap();
        assert_eq!(one.digest(), other.digest());
        let mut changed = document();
        changed["mode"] = json!("observe");
        assert_ne!(parse(&changed).unwrap().digest(), one.digest());
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "[", "identity: {}", "null", "[]"] {
            assert!(Policy::parse(text.as_bytes(), &environment).is_err(), "{text}");
        }
    }
}
