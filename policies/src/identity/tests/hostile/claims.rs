//! Every claim, missing, malformed and misleading in turn; the signatures are sound.

use Reason::{
    TokenAudience, TokenClaims, TokenExpired, TokenIssuer, TokenMalformed, TokenNotYetValid, TokenRevoked,
};
use serde_json::{Value, json};

use super::super::forge::{
    ISSUER, claiming, claims_with, claims_without, header, now, raw, strict, strict_claims,
};
use super::{Case, case};
use crate::reason::Reason;

/// A sound token with one claim replaced.
fn with(name: &str, value: impl Into<Value>) -> Vec<u8> {
    claiming(&claims_with(name, value))
}

fn without(name: &str) -> Vec<u8> {
    claiming(&claims_without(name))
}

/// Claims of these bytes.
fn text(claims: impl AsRef<[u8]>) -> Vec<u8> {
    raw(header("ES256").to_string(), claims, "ES256")
}

/// Claims whose `exp` is written like this.
fn exp(spelling: &str) -> Vec<u8> {
    text(format!(r#"{{"iss":"{ISSUER}","sub":"7f3c","aud":"langgraph","exp":{spelling}}}"#))
}

fn of_strict(name: &str, value: Option<Value>) -> Vec<u8> {
    let mut claims = strict_claims();
    let members = claims.as_object_mut().expect("claims are an object");
    match value {
        Some(value) => members.insert(name.to_owned(), value),
        None => members.remove(name),
    };
    strict(&json!({"alg": "RS256", "kid": "strict", "typ": "at+jwt"}), &claims)
}

pub(super) fn cases() -> Vec<Case> {
    [shapes(), issuers(), audiences(), dates(), people()].into_iter().flatten().collect()
}

fn shapes() -> Vec<Case> {
    let twice = |member: &str| {
        text(format!(r#"{{"iss":"{ISSUER}","sub":"7f3c","aud":"langgraph","exp":{},{member}}}"#, now() + 300))
    };
    vec![
        case("claims that are no JSON", text("It’s a dangerous business, Frodo"), TokenMalformed),
        case("claims that are an array", text("[]"), TokenMalformed),
        case("claims that are a string", text("\"x\""), TokenMalformed),
        case("claims that are null", text("null"), TokenMalformed),
        case("claims that are not UTF-8", text(b"{\"sub\":\"\xc3\"}"), TokenMalformed),
        case("claims and more", text("{}{}"), TokenMalformed),
        case(
            "claims nested too deeply",
            text(format!("{{\"x\":{}{}}}", "[".repeat(40), "]".repeat(40))),
            TokenMalformed,
        ),
        case("sub twice", twice(r#""sub":"admin""#), TokenMalformed),
        case("exp twice", twice(r#""exp":9999999999"#), TokenMalformed),
        case("iss twice", twice(r#""iss":"https://attacker.example""#), TokenMalformed),
        case("aud twice, once escaped", twice(r#""\u0061ud":"langgraph""#), TokenMalformed),
        case(
            "a claim twice inside another",
            twice(r#""realm_access":{"roles":["a"],"roles":["admin"]}"#),
            TokenMalformed,
        ),
    ]
}

fn issuers() -> Vec<Case> {
    vec![
        case("no iss", without("iss"), TokenIssuer),
        case("iss null", with("iss", Value::Null), TokenClaims),
        case("iss a number", with("iss", 7), TokenClaims),
        case("iss an array with the right one", with("iss", json!([ISSUER])), TokenClaims),
        case("iss empty", with("iss", ""), TokenIssuer),
        case("iss of somebody else", with("iss", "https://attacker.example"), TokenIssuer),
        case("iss with a slash more", with("iss", format!("{ISSUER}/")), TokenIssuer),
        case("iss in another case", with("iss", "https://IDP.example.com"), TokenIssuer),
        case(
            "iss with the right one in front",
            with("iss", format!("{ISSUER}.attacker.example")),
            TokenIssuer,
        ),
        case("iss over plain HTTP", with("iss", "http://idp.example.com"), TokenIssuer),
        case("iss with a space", with("iss", format!("{ISSUER} ")), TokenIssuer),
    ]
}

fn audiences() -> Vec<Case> {
    vec![
        case("no aud", without("aud"), TokenAudience),
        case("aud null", with("aud", Value::Null), TokenClaims),
        case("aud a number", with("aud", 1), TokenClaims),
        case("aud an object", with("aud", json!({"langgraph": true})), TokenClaims),
        case("aud empty", with("aud", ""), TokenAudience),
        case("aud an empty array", with("aud", json!([])), TokenAudience),
        case("aud of somebody else", with("aud", "billing"), TokenAudience),
        case("aud of several others", with("aud", json!(["billing", "crm"])), TokenAudience),
        case("aud in another case", with("aud", "LangGraph"), TokenAudience),
        case("aud with the right one in it", with("aud", "langgraph-staging"), TokenAudience),
        case(
            "aud with the right one in a list of one string",
            with("aud", "billing langgraph"),
            TokenAudience,
        ),
        case("aud the right one and a number", with("aud", json!(["langgraph", 1])), TokenClaims),
        case("aud nested", with("aud", json!([["langgraph"]])), TokenClaims),
        case("azp of somebody else", of_strict("azp", Some("attacker".into())), TokenAudience),
        case("azp an array", of_strict("azp", Some(json!(["console"]))), TokenClaims),
        case("no azp where one is needed", of_strict("azp", None), TokenAudience),
    ]
}

fn dates() -> Vec<Case> {
    vec![
        case("no exp", without("exp"), TokenClaims),
        case("exp null", exp("null"), TokenClaims),
        case("exp a string", exp("\"1895348800\""), TokenClaims),
        case("exp a boolean", exp("true"), TokenClaims),
        case("exp an array", exp("[1895348800]"), TokenClaims),
        case("exp negative", exp("-1"), TokenClaims),
        case("exp zero", exp("0"), TokenExpired),
        case("exp a second ago and out of leeway", exp(&(now() - 30).to_string()), TokenExpired),
        case("exp long ago", exp("1300819380"), TokenExpired),
        case("exp in milliseconds", exp(&(now() * 1000 + 300_000).to_string()), TokenClaims),
        case("exp beyond the year 9999", exp("253402300800"), TokenClaims),
        case("exp larger than 64 bits", exp("99999999999999999999999"), TokenClaims),
        case("exp a float beyond the year 9999", exp("1e20"), TokenClaims),
        case("exp larger than a float", exp("1e999"), TokenMalformed),
        case("exp not a number", exp("NaN"), TokenMalformed),
        case("exp infinite", exp("Infinity"), TokenMalformed),
        case("exp hexadecimal", exp("0x70000000"), TokenMalformed),
        case("exp with a leading zero", exp("01895348800"), TokenMalformed),
        case("exp with a plus", exp("+1895348800"), TokenMalformed),
        case("exp an expired float", exp("1300819380.5"), TokenExpired),
        case("nbf in the future", with("nbf", now() + 31), TokenNotYetValid),
        case("nbf a string", with("nbf", "0"), TokenClaims),
        case("nbf null", with("nbf", Value::Null), TokenClaims),
        case("nbf negative", with("nbf", -5), TokenClaims),
        case("nbf far in the future", with("nbf", 253_402_300_799_u64), TokenNotYetValid),
        case("iat in the future", with("iat", now() + 31), TokenNotYetValid),
        case("iat a string", with("iat", "now"), TokenClaims),
        case("iat an object", with("iat", json!({})), TokenClaims),
        case("iat in milliseconds", with("iat", now() * 1000), TokenClaims),
    ]
}

fn people() -> Vec<Case> {
    let groups = "https://example.com/groups";
    let roles = |value: Value| with("realm_access", json!({"roles": value}));
    let mut distributed = claims_with("_claim_names", json!({groups: "src1"}));
    distributed["_claim_sources"] = json!({"src1": {"endpoint": "https://graph.example.com"}});
    vec![
        case("no sub", without("sub"), TokenClaims),
        case("sub null", with("sub", Value::Null), TokenClaims),
        case("sub a number", with("sub", 7), TokenClaims),
        case("sub an array", with("sub", json!(["7f3c"])), TokenClaims),
        case("sub empty", with("sub", ""), TokenClaims),
        case("sub of 1,025 bytes", with("sub", "s".repeat(1025)), TokenClaims),
        case("sub with a line break", with("sub", "7f3c\r\nx-admin: 1"), TokenClaims),
        case("sub with a NUL", with("sub", "admin\0"), TokenClaims),
        case("jti a number", with("jti", 1), TokenClaims),
        case("jti empty", with("jti", ""), TokenClaims),
        case("jti of 1,025 bytes", with("jti", "j".repeat(1025)), TokenClaims),
        case("sid an object", with("sid", json!({})), TokenClaims),
        case("name a number", with("name", 1), TokenClaims),
        case("email an array", with("email", json!(["zoe@example.com"])), TokenClaims),
        case("roles a number", roles(1.into()), TokenClaims),
        case("roles an object", roles(json!({"admin": true})), TokenClaims),
        case("roles with a number among them", roles(json!(["analyst", 1])), TokenClaims),
        case("groups a boolean", with(groups, true), TokenClaims),
        case("groups nested", with(groups, json!([["sg-4711"]])), TokenClaims),
        case("groups that are elsewhere", claiming(&distributed), TokenClaims),
        case("a jti on the deny list", with("jti", "revoked-token"), TokenRevoked),
        case("a sub on the deny list", with("sub", "fired"), TokenRevoked),
        case("a sid on the deny list", with("sid", "ended-session"), TokenRevoked),
    ]
}
