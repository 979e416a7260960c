//! What Envoy itself brings, and what it calls: the filters that variants have before the router, as its configuration
//! has them, with the settings that serve each best.

use graphwarden_stand::Issuer;
use serde_json::{Value, json};

/// So that a body of any size passes without waiting for a window to open.
const WINDOW: u32 = 8 << 20;

/// Envoy's own filter, with the issuer's keys inline as it verifies fastest.
pub(crate) fn jwt_authn(issuer: &Issuer, cached: bool) -> Value {
    let mut provider = json!({
        "issuer": issuer.url(),
        "audiences": [issuer.audience()],
        "local_jwks": {"inline_string": issuer.jwks().to_string()},
        "payload_in_metadata": "claims",
    });
    if cached {
        provider["jwt_cache_config"] = json!({"jwt_cache_size": 1000});
    }
    json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"idp": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
        },
    })
}

/// Lets analysts read threads, by what jwt_authn found.
pub(super) fn rbac() -> Value {
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": {"readers": {
                "permissions": [{"and_rules": {"rules": [
                    {"header": {"name": ":method", "string_match": {"exact": "GET"}}},
                    {"url_path": {"path": {"prefix": "/threads/"}}},
                ]}}],
                "principals": [{"sourced_metadata": {"metadata_matcher": {
                    "filter": "envoy.filters.http.jwt_authn",
                    "path": [{"key": "claims"}, {"key": "roles"}],
                    "value": {"list_match": {"one_of": {"string_match": {"exact": "analyst"}}}},
                }}}],
            }}},
        },
    })
}

/// Asks the server of that cluster about each request.
pub(super) fn ext_authz(cluster: &str) -> Value {
    json!({
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "grpc_service": {"envoy_grpc": {"cluster_name": cluster}, "timeout": "5s"},
        },
    })
}

/// How a body goes to an ext_proc server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    /// Piece by piece, as it comes.
    Streamed,
    /// Whole, once it is there.
    Buffered,
}

/// Sends the body of each response to the server of that cluster, and nothing else.
pub(super) fn ext_proc(cluster: &str, body: Body) -> Value {
    json!({
        "name": "envoy.filters.http.ext_proc",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
            "grpc_service": {"envoy_grpc": {"cluster_name": cluster}},
            "message_timeout": "60s",
            "processing_mode": {
                "request_header_mode": "SKIP", "response_header_mode": "SKIP",
                "request_body_mode": "NONE",
                "response_body_mode": match body {
                    Body::Streamed => "STREAMED",
                    Body::Buffered => "BUFFERED",
                },
                "request_trailer_mode": "SKIP", "response_trailer_mode": "SKIP",
            },
        },
    })
}

/// The cluster of a gRPC server on this machine.
pub(super) fn grpc_cluster(name: &str, port: u16) -> Value {
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let windows = json!({"initial_stream_window_size": WINDOW, "initial_connection_window_size": WINDOW});
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "2s",
        "typed_extension_protocol_options": {options: {
            "@type": format!("type.googleapis.com/{options}"),
            "explicit_http_config": {"http2_protocol_options": windows},
        }},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {
            "socket_address": {"address": "127.0.0.1", "port_value": port},
        }}}]}]},
    })
}

/// Replaces by patterns of Lua, in the whole body.
pub(super) fn lua() -> Value {
    const SOURCE: &str = r#"
function envoy_on_response(handle)
  local body = handle:body()
  if body == nil then return end
  local text = body:getBytes(0, body:length())
  text = string.gsub(text, "[%w._+-]+@[%w-]+%.[%w.-]+%w", "[EMAIL]")
  text = string.gsub(text, "%f[%d]%d%d%d%d[ -]?%d%d%d%d[ -]?%d%d%d%d[ -]?%d%d%d%d%f[%D]", "[PAYMENT_CARD]")
  text = string.gsub(text, "%f[%d]3[47]%d%d[ -]?%d%d%d%d%d%d[ -]?%d%d%d%d%d%f[%D]", "[PAYMENT_CARD]")
  text = string.gsub(text, "%f[%d]%d%d%d%-%d%d%-%d%d%d%d%f[%D]", "[US_SSN]")
  text = string.gsub(text, "%f[%d]%d%d%d%-%d%d%d%-%d%d%d%d%f[%D]", "[PHONE]")
  handle:headers():replace("content-length", body:setBytes(text))
end
"#;
    json!({
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": SOURCE},
        },
    })
}
