//! The kernels: what a request costs most often, each on an input that never changes.

use std::hint::black_box;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_compact::{KeyPair, Seed};
use graphwarden_policies::evidence::{
    Chain, DecisionRecord, EffectRecord, End, Kind, OperationRecord, Record, RequestRecord, ResponseRecord,
};
use graphwarden_policies::identity::{Authenticator, Config, NoNative, TokenCache};
use graphwarden_policies::masking::Media;
use graphwarden_policies::policy::{At, Problems};
use serde_json::json;

#[path = "../../../../policies/benches/decision_fixture/mod.rs"]
mod decision_fixture;
#[path = "../../../../policies/benches/masking_fixture/mod.rs"]
#[expect(dead_code, reason = "the expression that masking is compared with is of no use here")]
mod masking_fixture;

use decision_fixture::{PATH, body, headers, identity, reader, rules};

/// A moment at which everything here is valid, in seconds since 1970.
const NOW: u64 = 1_795_348_800;

/// One kernel.
pub(crate) struct Kernel {
    pub(crate) name: &'static str,
    /// How often it runs at the least, so that its share of the process can be told from the rest.
    pub(crate) times: u32,
    act: fn(u32) -> Result<()>,
}

impl Kernel {
    /// All of them.
    pub(crate) const ALL: &[Self] = &[
        Self { name: "decide by ten rules", times: 50, act: decide },
        Self { name: "know a token again", times: 200, act: know_again },
        Self { name: "mask 1 MB of state", times: 1, act: |times| mask(json!({}), times) },
        Self { name: "mask a delta of a stream", times: 100, act: |times| event("delta", times) },
        Self { name: "mask an update of a stream", times: 100, act: |times| event("updates", times) },
        Self {
            name: "read 1 MB of state",
            times: 1,
            act: |times| mask(json!({"detectors": [], "malformed": "block"}), times),
        },
        Self { name: "read a run of 2 KB", times: 50, act: read },
        Self { name: "seal a line with 4 KB of body", times: 100, act: seal },
    ];

    /// The one of that name.
    pub(crate) fn named(name: &str) -> Result<&'static Self> {
        Self::ALL.iter().find(|kernel| kernel.name == name).with_context(|| format!("no kernel {name:?}"))
    }

    /// Runs it so often; an error where what it does is wrong.
    pub(crate) fn run(&self, times: u32) -> Result<()> {
        (self.act)(times)
    }
}

fn mask(section: serde_json::Value, times: u32) -> Result<()> {
    let masks = section.get("detectors").is_none();
    let plan = masking_fixture::plan(section);
    let state = masking_fixture::state(1 << 20);
    let mut output = Vec::with_capacity(state.len() + 4096);
    for _ in 0..times {
        masking_fixture::mask(&plan, Media::Json, black_box(&state), &mut output);
    }
    let shown = output.windows(10).any(|window| window == b"zoe.obrien");
    ensure!(shown != masks && output.len() > state.len() / 2, "the state is not masked as it should be");
    Ok(())
}

fn event(kind: &str, times: u32) -> Result<()> {
    let plan = masking_fixture::plan(json!({}));
    let events = masking_fixture::events();
    let (_, event) = events.iter().find(|(name, _)| *name == kind).context("no such event")?;
    let mut masker = plan.open(Media::Sse);
    let mut output = Vec::new();
    for _ in 0..times {
        output.clear();
        let pushed = masker.push(black_box(event.as_bytes()), &mut output);
        ensure!(pushed.is_ok() && !output.is_empty(), "an event is cut or held");
    }
    Ok(())
}

fn read(times: u32) -> Result<()> {
    let (reader, headers, body) = (reader(), headers(), body(20));
    for _ in 0..times {
        let head = reader.read_head(b"POST", black_box(PATH), &headers);
        let request = head.and_then(|head| reader.read(&head, black_box(&body)));
        ensure!(request.is_ok_and(|request| request.operations.len() == 1), "the run is not read");
    }
    Ok(())
}

fn decide(times: u32) -> Result<()> {
    let (reader, headers, body) = (reader(), headers(), body(20));
    let (rules, identity) = (rules(true), identity());
    let head = reader.read_head(b"POST", PATH, &headers);
    let Ok(request) = head.and_then(|head| reader.read(&head, &body)) else {
        anyhow::bail!("the run is not read")
    };
    for _ in 0..times {
        let call = rules.call("10.0.0.7", &headers);
        let decision = rules.decide(&identity, black_box(&request), &call, NOW);
        ensure!(decision.rule.as_deref() == Some("rule 9"), "another rule decides");
    }
    Ok(())
}

fn know_again(times: u32) -> Result<()> {
    let pair = KeyPair::from_seed(Seed::new([7; 32]));
    let section = json!({"issuers": [{
        "issuer": "https://idp.example.com", "audiences": ["langgraph"], "algorithms": ["EdDSA"],
        "keys": {"inline": {"keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": URL_SAFE_NO_PAD.encode(pair.pk.as_ref())},
        ]}},
        "claims": {"roles": "realm_access.roles"},
    }]});
    let config: Config = serde_json::from_value(section)?;
    let mut problems = Problems::new();
    let authenticator = Authenticator::compile(&config, &At::root(), &|_| None, &mut problems);
    let authenticator = authenticator.with_context(|| problems.to_string())?;
    let claims = json!({
        "iss": "https://idp.example.com", "sub": "7f3c0c1e-54ab-4a10-9a55-2d8a1b0f6c11", "aud": ["langgraph", "account"],
        "exp": NOW + 3600, "iat": NOW, "jti": "0b0c8f2e-8a9f-4c75-a6b5-1c4c0f7f9c3a", "scope": "openid profile email",
        "realm_access": {"roles": ["analyst", "offline_access", "uma_authorization", "default-roles"]},
        "name": "Uma Example", "email": "uma@example.com",
    });
    let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": "one"});
    let encode = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}", encode(&header), encode(&claims));
    let signature = URL_SAFE_NO_PAD.encode(pair.sk.sign(message.as_bytes(), None));
    let mut headers = headers();
    headers.retain(|(name, _)| name != b"authorization");
    headers.push((b"authorization".to_vec(), format!("Bearer {message}.{signature}").into_bytes()));
    let keys = authenticator.key_ring();
    let mut cache = TokenCache::new(64);
    // Once more than is counted: the first is the one that is verified.
    for _ in 0..=times {
        let known = authenticator.authenticate(black_box(&headers), &keys, &mut cache, &NoNative, NOW);
        ensure!(known.is_ok_and(|identity| identity.roles.len() == 4), "the token is refused");
    }
    Ok(())
}

fn seal(times: u32) -> Result<()> {
    let identity = identity();
    let body: Vec<u8> = masking_fixture::state(1).into_iter().cycle().take(4096).collect();
    let body = String::from_utf8_lossy(&body).into_owned();
    let mut chain = Chain::new("0123456789abcdef0123456789abcdef".to_owned());
    for _ in 0..times {
        let mut record =
            Record::new(Kind::Outcome, "0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab", "gate", NOW * 1_000_000);
        record.by(&identity);
        record.request = Some(RequestRecord {
            method: "POST".to_owned(),
            path: "/threads/0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab/runs/wait".to_owned(),
            digest: Some("5".repeat(64)),
            bytes: Some(2_048),
            body: None,
            body_truncated: false,
        });
        record.operations = Vec::<OperationRecord>::new();
        record.decision = Some(DecisionRecord {
            effect: EffectRecord::Allow,
            rule: Some("analysts and engineers run the support agent".to_owned()),
            reason: None,
            observed: false,
        });
        record.response = Some(ResponseRecord {
            status: 200,
            masked: [("email".to_owned(), 2), ("phone".to_owned(), 1)].into(),
            bytes: 4_096,
            body: Some(body.clone()),
            segments: None,
            body_truncated: false,
            body_sha256: Some("3".repeat(64)),
            duration_us: 8_800_000,
            end: End::Complete,
        });
        let line = chain.seal(black_box(&record))?;
        ensure!(line.bytes.len() > 4_096, "the line has no body");
    }
    Ok(())
}
