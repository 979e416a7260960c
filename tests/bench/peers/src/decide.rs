//! Identity and rules as an ext_authz server: the token is verified (with AWS-LC, and remembered), the request is read
//! and ruled on, and LangGraph is told who calls; all of it with the filter's own code.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::authorization_server::Authorization;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{
    CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse, attribute_context::HttpRequest,
};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::rpc;
use graphwarden_policies::access::Effect;
use graphwarden_policies::identity::{KeyRing, NativeVerifier, TokenCache};
use graphwarden_policies::policy::Policy;
use tonic::{Request, Response, Status};

/// Tokens that are remembered, as many as the filter remembers.
const TOKENS: usize = 10_000;
/// `google.rpc.Code.PERMISSION_DENIED`.
const DENIED: i32 = 7;

/// Answers each check by itself.
pub(crate) struct Decider {
    policy: Policy,
    keys: KeyRing,
    /// The runtime has one thread, so nobody ever waits for it.
    tokens: Mutex<TokenCache>,
}

impl Decider {
    /// With the keys of the policy's only issuer.
    pub(crate) fn new(policy: Policy, keys: &[u8]) -> Result<Self> {
        let mut ring = policy.authenticator.key_ring();
        let issuer =
            policy.authenticator.remote_keys().first().context("an issuer with keys elsewhere")?.issuer;
        ring.install(issuer, keys).map_err(|error| anyhow!("the keys: {error}"))?;
        Ok(Self { policy, keys: ring, tokens: Mutex::new(TokenCache::new(TOKENS)) })
    }

    /// The headers to set, or the status to refuse with.
    fn decide(&self, http: HttpRequest) -> Result<OkHttpResponse, u16> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let headers: Vec<_> =
            http.headers.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes())).collect();
        let mut tokens = self.tokens.lock().map_err(|_| 500_u16)?;
        let authenticator = &self.policy.authenticator;
        let identity = authenticator
            .authenticate(&headers, &self.keys, &mut tokens, &AwsLc, now)
            .map_err(|refused| refused.reason.status())?;
        let reader = &self.policy.operations;
        let head = reader
            .read_head(http.method.as_bytes(), http.path.as_bytes(), &headers)
            .map_err(|refused| refused.reason.status())?;
        let request = reader.read(&head, b"").map_err(|refused| refused.reason.status())?;
        let call = self.policy.rules.call("127.0.0.1", &headers);
        if self.policy.rules.decide(&identity, &request, &call, now).effect != Effect::Allow {
            return Err(403);
        }
        let told = authenticator.upstream_headers(&identity, &mut tokens, now);
        let set = told.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value).into_owned();
            let header = HeaderValue { key: name.clone(), value, ..HeaderValue::default() };
            HeaderValueOption { header: Some(header), ..HeaderValueOption::default() }
        });
        Ok(OkHttpResponse {
            headers: set.collect(),
            headers_to_remove: vec!["authorization".to_owned()],
            ..OkHttpResponse::default()
        })
    }
}

#[tonic::async_trait]
impl Authorization for Decider {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let http = request.into_inner().attributes.and_then(|attributes| attributes.request?.http);
        let http = http.ok_or_else(|| Status::invalid_argument("no request"))?;
        let answer = match self.decide(http) {
            Ok(ok) => CheckResponse {
                status: Some(rpc::Status::default()),
                http_response: Some(HttpResponse::OkResponse(ok)),
                ..CheckResponse::default()
            },
            Err(status) => CheckResponse {
                status: Some(rpc::Status { code: DENIED, ..rpc::Status::default() }),
                http_response: Some(HttpResponse::DeniedResponse(DeniedHttpResponse {
                    status: Some(HttpStatus { code: i32::from(status) }),
                    ..DeniedHttpResponse::default()
                })),
                ..CheckResponse::default()
            },
        };
        Ok(Response::new(answer))
    }
}

/// RS256 by AWS-LC, as Envoy verifies by its sibling BoringSSL.
struct AwsLc;

impl NativeVerifier for AwsLc {
    fn verify(&self, hash: &str, spki_der: &[u8], signature: &[u8], message: &[u8]) -> Option<bool> {
        (hash == "sha256").then(|| {
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, spki_der).verify(message, signature).is_ok()
        })
    }
}
