//! Where a token may come from, and what must not go upstream.

use serde_json::json;

use super::forge::{Gate, NOW, good, policy};
use crate::identity::{NoNative, TokenCache};
use crate::reason::Reason;

type Headers = Vec<(Vec<u8>, Vec<u8>)>;

fn gate(sources: serde_json::Value) -> Gate {
    let mut policy = policy();
    policy["sources"] = sources;
    Gate::new(policy)
}

fn everywhere() -> Gate {
    gate(json!({"x_api_key": true, "cookie": "session"}))
}

fn headers(list: &[(&str, &[u8])]) -> Headers {
    list.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect()
}

fn judge(gate: &Gate, list: &[(&str, &[u8])]) -> Result<(), Reason> {
    let mut cache = TokenCache::new(0);
    let judged = gate.authenticator.authenticate(&headers(list), &gate.keys, &mut cache, &NoNative, NOW);
    judged.map(|_| ()).map_err(|refused| refused.reason)
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn a_bearer_token_in_whatever_case_and_with_spaces_round_it() {
    let gate = Gate::new(policy());
    let token = good("ES256");
    for scheme in ["Bearer ", "bearer ", "BEARER ", "Bearer   ", " Bearer "] {
        let value = joined(&[scheme.as_bytes(), &token, b" "]);
        assert_eq!(judge(&gate, &[("Authorization", &value)]), Ok(()), "{scheme:?}");
    }
}

#[test]
fn nothing_and_what_is_no_bearer_token() {
    let gate = Gate::new(policy());
    let token = good("ES256");
    assert_eq!(judge(&gate, &[]), Err(Reason::TokenMissing));
    assert_eq!(judge(&gate, &[("x-api-key", &token), ("cookie", b"a=b")]), Err(Reason::TokenMissing));
    for value in [
        &b""[..],
        b"Bearer",
        b"Bearer ",
        b"Bearer\t",
        b"Basic dXNlcjpwYXNz",
        b"Bearer:",
        b"Bearertoken",
        b"DPoP a.b.c",
        b"\xff\xfe",
    ] {
        assert_eq!(judge(&gate, &[("authorization", value)]), Err(Reason::TokenAmbiguous), "{value:?}");
    }
    assert_eq!(judge(&gate, &[("authorization", &token)]), Err(Reason::TokenAmbiguous), "without a scheme");
}

#[test]
fn two_of_one_kind_are_refused_even_if_they_agree() {
    let token = good("ES256");
    let bearer = joined(&[b"Bearer ", &token]);
    let cookies = joined(&[b"session=", &token, b"; session=", &token]);
    let cookie = joined(&[b"session=", &token]);
    for list in [
        &[("authorization", &bearer[..]), ("Authorization", &bearer[..])][..],
        &[("x-api-key", &token[..]), ("X-Api-Key", &token[..])],
        &[("cookie", &cookies[..])],
        &[("cookie", &cookie[..]), ("cookie", &cookie[..])],
    ] {
        assert_eq!(judge(&everywhere(), list), Err(Reason::TokenAmbiguous));
    }
}

#[test]
fn sources_that_agree_are_one_and_those_that_differ_are_refused() {
    let (one, other) = (good("ES256"), good("RS256"));
    let bearer = joined(&[b"Bearer ", &one]);
    let cookie = joined(&[b"theme=dark; session=", &one, b"; x=y"]);
    let gate = everywhere();
    assert_eq!(judge(&gate, &[("x-api-key", &one)]), Ok(()));
    assert_eq!(judge(&gate, &[("cookie", &cookie)]), Ok(()));
    assert_eq!(judge(&gate, &[("authorization", &bearer), ("x-api-key", &one), ("cookie", &cookie)]), Ok(()));
    assert_eq!(
        judge(&gate, &[("authorization", &bearer), ("x-api-key", &other)]),
        Err(Reason::TokenAmbiguous)
    );
    let lsv2: &[u8] = b"lsv2_pt_0123456789abcdef";
    assert_eq!(judge(&gate, &[("authorization", &bearer), ("x-api-key", lsv2)]), Err(Reason::TokenAmbiguous));
    assert_eq!(judge(&gate, &[("x-api-key", &other), ("cookie", &cookie)]), Err(Reason::TokenAmbiguous));
    assert_eq!(judge(&gate, &[("x-api-key", b"")]), Err(Reason::TokenAmbiguous));
    assert_eq!(judge(&gate, &[("cookie", b"session=")]), Err(Reason::TokenAmbiguous));
    assert_eq!(judge(&gate, &[("cookie", b"Session=x; xsession=y; session")]), Err(Reason::TokenMissing));
}

#[test]
fn a_source_that_is_off_is_not_read() {
    let token = good("ES256");
    let bearer = joined(&[b"Bearer ", &good("RS256")]);
    let gate = gate(json!({"authorization": false, "x_api_key": true}));
    assert_eq!(judge(&gate, &[("authorization", &bearer), ("x-api-key", &token)]), Ok(()));
    assert_eq!(judge(&gate, &[("authorization", &bearer)]), Err(Reason::TokenMissing));
}

#[test]
fn credentials_and_the_gates_own_words_never_go_upstream() {
    let gate = Gate::new(policy());
    for name in [
        "authorization",
        "Authorization",
        "proxy-authorization",
        "x-api-key",
        "X_API_KEY",
        "x-auth-scheme",
        "X-Auth_Scheme",
        "x-graphwarden-subject",
        "X-Graphwarden-Anything",
        "x_graphwarden_roles",
        "x-graphwarden-",
    ] {
        assert!(gate.authenticator.strip(name.as_bytes()), "{name}");
    }
    for name in ["cookie", "accept", "graphwarden", "api-key", "authorization2", "x-request-id", "", "x"] {
        assert!(!gate.authenticator.strip(name.as_bytes()), "{name}");
    }
}

#[test]
fn of_a_cookie_header_the_credential_goes_and_the_rest_may_stay() {
    let gate = everywhere();
    assert!(gate.authenticator.strip(b"Cookie"));
    let keep = |value: &[u8]| gate.authenticator.cookies_to_keep(value);
    assert_eq!(keep(b"a=1; session=t.t.t; b=2").as_deref(), Some(&b"a=1; b=2"[..]));
    assert_eq!(keep(b"session=t;session=u"), None);
    assert_eq!(keep(b"session"), None);
    assert_eq!(keep(b"session =t; a=1").as_deref(), Some(&b"a=1"[..]));
    assert_eq!(keep(b" ; ;"), None);
    assert_eq!(keep(b"sessions=1").as_deref(), Some(&b"sessions=1"[..]));
    assert_eq!(Gate::new(policy()).authenticator.cookies_to_keep(b"a=1"), None);
}

#[test]
fn headers_that_the_policy_sets_are_taken_from_callers() {
    let mut policy = policy();
    policy["upstream"] = json!({
        "headers": {"x-langgraph-key": {"env": "LANGGRAPH_API_KEY"}},
        "identity": "assertion",
        "assertion": {"algorithm": "HS256", "key": {"env": "HS_KEY"}, "header": "x-caller"},
    });
    let gate = Gate::new(policy);
    for name in ["x-langgraph-key", "X-LangGraph-Key", "x-caller", "X_Caller"] {
        assert!(gate.authenticator.strip(name.as_bytes()), "{name}");
    }
}
