//! Before forwarding: hygiene, caller, body, rules, and what is changed on the way.

use std::time::Duration;

use serde_json::json;

use super::super::*;
use super::rig::{ASKS, IDP, REMOTE, Rig, THREAD, bare};

fn refused(rig: &Rig) -> (u16, String) {
    assert!(!rig.was_forwarded());
    assert_eq!(rig.flow, Flow::Pause);
    assert_eq!(rig.state(), "Refused");
    rig.reply().expect("a reply")
}

fn reason(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

fn edits(effects: &[Effect]) -> &[Edit] {
    effects
        .iter()
        .find_map(|effect| match effect {
            Effect::EditRequest(edits) => Some(edits.as_slice()),
            _ => None,
        })
        .expect("the request goes on")
}

#[test]
fn a_read_is_forwarded_at_once_with_the_identity_in_the_tokens_place() {
    let mut rig = Rig::new();
    let pairs = rig.request(
        "GET",
        "/%74hreads/11111111-1111-4111-8111-111111111111/state",
        &[
            ("accept-encoding", "gzip"),
            ("range", "bytes=0-1"),
            ("x-graphwarden-subject", "root"),
            ("x-auth-scheme", "langsmith"),
            ("x-request-id", "r-1"),
            ("x-b3-traceid", "kept"),
        ],
    );
    let effects = rig.headers(pairs, true);
    assert_eq!((rig.state(), rig.flow), ("Forwarded", Flow::Continue));
    let edits = edits(&effects);
    let set = |name: &str| {
        edits.iter().rev().find_map(|edit| match edit {
            Edit::Set(n, value) if n == name => Some(String::from_utf8_lossy(value).into_owned()),
            _ => None,
        })
    };
    for gone in ["authorization", "accept-encoding", "range", "x-auth-scheme"] {
        assert!(edits.contains(&Edit::Remove(gone.to_owned())), "{gone}");
    }
    assert_eq!(set(":path"), Some(format!("/threads/{THREAD}/state")));
    assert_eq!(set("x-graphwarden-subject").as_deref(), Some("alice"));
    assert_eq!(set("x-request-id"), None, "it is there already");
    assert!(set("x-api-key").is_some());
    assert!(
        !edits.iter().any(|edit| matches!(edit, Edit::Remove(n) | Edit::Set(n, _) if n == "x-b3-traceid"))
    );
}

#[test]
fn a_request_without_a_safe_id_gets_one() {
    for headers in [&[][..], &[("x-request-id", "a b")], &[("x-request-id", "a"), ("x-request-id", "b")]] {
        let mut rig = Rig::new();
        let pairs = rig.request("GET", &format!("/threads/{THREAD}/state"), headers);
        let effects = rig.headers(pairs, true);
        let set =
            edits(&effects).iter().any(|edit| matches!(edit, Edit::Set(name, _) if name == "x-request-id"));
        assert!(set, "{headers:?}");
    }
}

#[test]
fn public_operations_need_no_token_and_carry_none_on() {
    let mut rig = Rig::new();
    let effects = rig.headers(bare("GET", "/ok", &[("authorization", "Bearer x")]), true);
    assert_eq!(rig.state(), "Forwarded");
    assert!(edits(&effects).contains(&Edit::Remove("authorization".to_owned())));
    assert!(!edits(&effects).iter().any(|edit| matches!(edit, Edit::Set(name, _) if name == "x-api-key")));
}

#[test]
fn every_fault_of_a_request_has_its_own_answer() {
    let path = format!("/threads/{THREAD}/state");
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], (u16, &'a str));
    let cases: [Case<'_>; 6] = [
        ("GET", &path, &[], (401, "token_missing")),
        ("GET", &path, &[("authorization", "Bearer x")], (401, "token_malformed")),
        (
            "GET",
            &path,
            &[("authorization", "Bearer x"), ("authorization", "Bearer y")],
            (401, "token_ambiguous"),
        ),
        ("GET", &path, &[("upgrade", "websocket")], (403, "upgrade_refused")),
        ("CONNECT", "/", &[], (403, "upgrade_refused")),
        ("GET", "/threads/x%2Fstate", &[], (400, "request_malformed")),
    ];
    for (method, path, headers, expected) in cases {
        let mut rig = Rig::new();
        rig.headers(bare(method, path, headers), true);
        assert_eq!(refused(&rig), reason(expected.0, expected.1), "{method} {path} {headers:?}");
    }
}

#[test]
fn where_envoy_verifies_no_header_is_an_identity() {
    let trusting = || {
        Rig::with(|policy| {
            policy["identity"] = json!({
                "from": "jwt_authn", "jwt_authn": {"key": "payload"},
                "issuers": [{"issuer": IDP, "audiences": ["langgraph"]}],
            });
        })
    };
    let path = format!("/threads/{THREAD}/state");
    let claims = |rig: &Rig, lives: u64| {
        let exp = rig.wall().seconds() + lives;
        json!({"iss": IDP, "sub": "alice", "aud": "langgraph", "exp": exp}).to_string().into_bytes()
    };
    let ask = |rig: &mut Rig, pairs, verified| {
        rig.on(Event::RequestHeaders { pairs, end_of_stream: true, source: None, verified })
    };

    let mut rig = trusting();
    let verified = claims(&rig, 60);
    ask(&mut rig, bare("GET", &path, &[]), Some(verified));
    assert_eq!(rig.state(), "Forwarded");

    // A token that would verify, and claims in every header that somebody might read them from.
    let mut rig = trusting();
    let text = String::from_utf8(claims(&rig, 60)).unwrap();
    let pairs = rig.request("GET", &path, &[("payload", &text), ("x-jwt-payload", &text)]);
    ask(&mut rig, pairs, None);
    assert_eq!(refused(&rig), reason(401, "token_missing"));

    let mut rig = trusting();
    let expired = json!({"iss": IDP, "sub": "alice", "aud": "langgraph", "exp": 1}).to_string().into_bytes();
    ask(&mut rig, bare("GET", &path, &[]), Some(expired));
    assert_eq!(refused(&rig), reason(401, "token_expired"));

    // And the other way round: where the gate verifies, claims from elsewhere count for nothing.
    let mut rig = Rig::new();
    let verified = claims(&rig, 60);
    ask(&mut rig, bare("GET", &path, &[]), Some(verified));
    assert_eq!(refused(&rig), reason(401, "token_missing"));
}

#[test]
fn strangers_cannot_tell_which_routes_exist() {
    let mut rig = Rig::new();
    rig.headers(bare("GET", "/nothing/here", &[]), true);
    assert_eq!(refused(&rig), reason(401, "token_missing"));
    let mut rig = Rig::new();
    rig.get("/nothing/here");
    assert_eq!(refused(&rig), reason(403, "operation_unknown"));
}

#[test]
fn an_expired_token_is_challenged() {
    let mut rig = Rig::new();
    let bearer = format!("Bearer {}", rig.token_for(IDP, "alice", -3600));
    let effects = rig.headers(bare("GET", "/threads", &[("authorization", &bearer)]), true);
    assert_eq!(refused(&rig), reason(401, "token_expired"));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Reply(reply)
        if reply.headers.iter().any(|(name, value)| *name == "www-authenticate" && value.contains("invalid_token")))));
}

#[test]
fn what_no_rule_allows_is_denied() {
    let mut rig = Rig::new();
    let pairs = rig.request("DELETE", &format!("/threads/{THREAD}"), &[]);
    rig.headers(pairs, true);
    assert_eq!(refused(&rig), reason(403, "access_denied"));
}

#[test]
fn nothing_goes_upstream_before_the_body_is_whole_and_judged() {
    let mut rig = Rig::new();
    let pairs = rig.request("POST", "/threads/search", &[]);
    rig.headers(pairs, false);
    assert_eq!((rig.state(), rig.flow), ("AwaitingBody", Flow::Pause));
    rig.body(b"{\"limit\"", false);
    assert_eq!((rig.state(), rig.flow), ("AwaitingBody", Flow::Pause));
    assert!(!rig.was_forwarded());
    rig.body(b":1}", true);
    assert_eq!((rig.state(), rig.flow), ("Forwarded", Flow::Continue));
}

#[test]
fn trailers_end_a_body() {
    let mut rig = Rig::new();
    let pairs = rig.request("POST", "/threads/search", &[]);
    rig.headers(pairs, false);
    rig.body(b"{}", false);
    rig.on(Event::RequestTrailers);
    assert_eq!((rig.state(), rig.flow), ("Forwarded", Flow::Continue));
}

#[test]
fn a_body_that_is_no_json_is_refused() {
    let mut rig = Rig::new();
    let pairs = rig.request("POST", "/threads/search", &[]);
    rig.headers(pairs, false);
    rig.body(b"{\"a\":1,\"a\":2}", true);
    assert_eq!(refused(&rig), reason(400, "body_malformed"));
}

#[test]
fn a_body_over_the_limit_is_refused_when_it_is_announced_and_when_it_comes() {
    let small = |document: &mut serde_json::Value| document["limits"] = json!({ "request_body": "16B" });
    let mut rig = Rig::with(small);
    let pairs = rig.request("POST", "/threads/search", &[("content-length", "17")]);
    rig.headers(pairs, false);
    assert_eq!(refused(&rig), reason(413, "body_too_large"));

    let mut rig = Rig::with(small);
    let pairs = rig.request("POST", "/threads/search", &[]);
    rig.headers(pairs, false);
    rig.body(b"{\"a\":\"0123", false);
    rig.body(b"456789\"}", true);
    assert_eq!(refused(&rig), reason(413, "body_too_large"));
}

/// Without `allow_on_headers_stop_iteration` no body callback ever comes: the wait ends in a reason, not in a hang.
#[test]
fn a_body_that_the_host_never_shows_ends_in_an_answer_that_names_the_setting() {
    let mut rig = Rig::new();
    let pairs = rig.request("POST", "/threads/search", &[]);
    rig.headers(pairs, false);
    rig.later(Duration::from_millis(4_900));
    rig.on(Event::Tick);
    assert_eq!(rig.state(), "AwaitingBody");
    rig.wait_out();
    assert_eq!(refused(&rig), reason(500, "body_not_seen"));
    let Some(Effect::Reply(reply)) = rig.effects.last() else { panic!("the reply comes last") };
    assert!(String::from_utf8_lossy(&reply.body).contains("allow_on_headers_stop_iteration"));
}

#[test]
fn once_a_body_was_seen_a_missing_one_is_the_clients_fault() {
    let mut rig = Rig::new();
    let pairs = rig.request("POST", "/threads/search", &[]);
    rig.headers(pairs.clone(), false);
    rig.body(b"{}", true);
    rig.exchange = Exchange::new("exchange-2".to_owned());
    rig.effects.clear();
    rig.headers(pairs, false);
    rig.wait_out();
    assert_eq!(refused(&rig), reason(408, "body_not_seen"));
}

#[test]
fn a_body_that_stalls_in_the_middle_is_not_waited_for_for_ever() {
    let mut rig = Rig::new();
    let pairs = rig.request("POST", "/threads/search", &[]);
    rig.headers(pairs, false);
    rig.body(b"{", false);
    rig.wait_out();
    assert_eq!(refused(&rig), reason(408, "body_not_seen"));
    assert!(rig.now >= Moment(super::rig::START).after(Duration::from_secs(30)));
}

fn remote(rig: &mut Rig) -> Vec<Effect> {
    let bearer = format!("Bearer {}", rig.token(REMOTE));
    rig.headers(
        bare("GET", "/threads/11111111-1111-4111-8111-111111111111/state", &[("authorization", &bearer)]),
        true,
    )
}

#[test]
fn waits_for_keys_that_are_on_their_way_and_goes_on_when_they_come() {
    let mut rig = Rig::new();
    remote(&mut rig);
    assert_eq!((rig.state(), rig.flow), ("AwaitingKeys", Flow::Pause));
    let call = rig.core.due(rig.now).into_iter().next().expect("a fetch");
    let keys = super::rig::jwks(&rig.key).to_string();
    let (wakes, _) =
        rig.core.answered(call.purpose, CallReply { status: Some(200), body: keys.into_bytes() }, rig.now);
    assert!(wakes.is_empty(), "the stream has not been registered");
    rig.on(Event::KeysChanged);
    assert_eq!((rig.state(), rig.flow), ("Forwarded", Flow::Continue));
}

#[test]
fn keys_that_do_not_come_are_not_waited_for_longer_than_3_s() {
    let mut rig = Rig::new();
    remote(&mut rig);
    rig.wait_out();
    assert_eq!(refused(&rig), reason(503, "keys_unavailable"));
    assert_eq!(rig.now, Moment(super::rig::START).after(Duration::from_secs(3)));
}

#[test]
fn a_token_is_used_only_once_its_issuer_calls_it_active() {
    for (answer, expected) in [
        (r#"{"active":true,"sub":"alice"}"#, None),
        (r#"{"active":false}"#, Some(reason(401, "token_revoked"))),
        ("nonsense", Some(reason(503, "introspection_unavailable"))),
    ] {
        let mut rig = Rig::new();
        let bearer = format!("Bearer {}", rig.token(ASKS));
        let path = format!("/threads/{THREAD}/state");
        let effects = rig.headers(bare("GET", &path, &[("authorization", &bearer)]), true);
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Introspect(_))));
        assert_eq!((rig.state(), rig.flow), ("AwaitingIntrospection", Flow::Pause));
        rig.called(Some(200), answer);
        match expected {
            None => assert_eq!(rig.state(), "Forwarded"),
            Some(expected) => assert_eq!(refused(&rig), expected, "{answer}"),
        }
    }
}

#[test]
fn an_observing_gate_refuses_nobody_and_says_whom_it_would_have() {
    let observe = |document: &mut serde_json::Value| document["mode"] = json!("observe");
    let mut rig = Rig::with(observe);
    rig.headers(bare("GET", "/nothing", &[("x-api-key", "its own")]), true);
    assert_eq!((rig.state(), rig.flow), ("Forwarded", Flow::Continue));
    assert!(
        rig.effects
            .contains(&Effect::Count(Metric::Request { decision: "would_deny", reason: "token_missing" }, 1))
    );
    let kept = rig.effects.iter().all(|effect| {
        !matches!(effect, Effect::EditRequest(edits)
        if edits.contains(&Edit::Remove("x-api-key".to_owned())))
    });
    assert!(kept, "an upstream with an authentication of its own has to go on working");

    let mut rig = Rig::with(observe);
    rig.run("billing");
    assert_eq!(rig.state(), "Forwarded");
    rig.respond(200, &[], true);
    let outcome = rig.outcome(Departure::Reset);
    assert_eq!(
        outcome["decision"],
        json!({ "effect": "deny", "rule": "billing", "reason": "approval_pending", "observed": true })
    );
}

#[test]
fn a_client_cannot_make_a_header_of_its_claims() {
    let mut rig = Rig::new();
    let bearer = format!("Bearer {}", rig.token_for(IDP, "a\r\nx-api-key: b", 60));
    let path = format!("/threads/{THREAD}/state");
    rig.headers(bare("GET", &path, &[("authorization", &bearer)]), true);
    for effect in &rig.effects {
        if let Effect::EditRequest(edits) = effect {
            for edit in edits {
                assert!(!matches!(edit, Edit::Set(_, value) if value.contains(&b'\n')), "{edit:?}");
            }
        }
    }
}

fn cors(document: &mut serde_json::Value) {
    document["cors"] = json!({ "origins": ["https://chat.example.com"] });
}

#[test]
fn a_page_that_the_policy_names_may_read_why_it_was_refused() {
    for (origin, expected) in [
        (Some("https://chat.example.com"), Some("https://chat.example.com")),
        (Some("https://evil.example"), None),
        (None, None),
    ] {
        let mut rig = Rig::with(cors);
        let origin: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
        rig.headers(bare("GET", "/threads", &origin), true);
        let Some(Effect::Reply(reply)) = rig.effects.iter().find(|e| matches!(e, Effect::Reply(_))) else {
            panic!("it is refused")
        };
        let header = |name| reply.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
        assert_eq!(header("access-control-allow-origin"), expected, "{origin:?}");
        assert_eq!(header("vary"), Some("origin"));
        assert_eq!(header("www-authenticate"), Some("Bearer realm=\"graphwarden\""));
    }
}

#[test]
fn what_the_proxy_refuses_can_be_read_by_the_page_too() {
    let mut rig = Rig::with(cors);
    let pairs = rig.request("POST", "/threads/search", &[("origin", "https://chat.example.com")]);
    rig.headers(pairs, false);
    let effects = rig.answer(Author::Proxy, 413, &[("content-length", "9")], false);
    let allowed = Edit::Set("access-control-allow-origin".to_owned(), b"https://chat.example.com".to_vec());
    assert!(effects.iter().any(|e| matches!(e, Effect::EditResponse(edits) if edits.contains(&allowed))));
}

#[test]
fn a_preflight_needs_no_token_and_a_route_that_exists() {
    let asking = |path: &str, method: &str| {
        let mut rig = Rig::with(cors);
        let more = [("origin", "https://chat.example.com"), ("access-control-request-method", method)];
        rig.headers(bare("OPTIONS", path, &more), true);
        rig.state()
    };
    assert_eq!(asking("/threads/search", "POST"), "Forwarded");
    assert_eq!(asking(&format!("/threads/{THREAD}/runs/stream"), "POST"), "Forwarded");
    assert_eq!(asking("/threads/search", "DELETE"), "Refused");
    assert_eq!(asking("/nothing", "GET"), "Refused");
    assert_eq!(asking("/internal/truncate", "POST"), "Refused");
    let mut rig = Rig::new();
    rig.headers(bare("OPTIONS", "/threads/search", &[]), true);
    assert_eq!(rig.state(), "Refused", "no preflight at all");
}

#[test]
fn a_callers_own_x_headers_do_not_reach_the_graphs_configuration() {
    let mut rig = Rig::new();
    let more =
        [("x-user-id", "admin"), ("x_roles", "admin"), ("x-b3-traceid", "4f"), ("traceparent", "00-4f")];
    let pairs = rig.request("GET", &format!("/threads/{THREAD}/state"), &more);
    rig.headers(pairs, true);
    assert_eq!(rig.state(), "Forwarded");
    let removed: Vec<&str> = rig
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::EditRequest(edits) => Some(edits),
            _ => None,
        })
        .flatten()
        .filter_map(|edit| match edit {
            Edit::Remove(name) => Some(name.as_str()),
            Edit::Set(..) => None,
        })
        .collect();
    assert_eq!(removed, ["authorization", "x-user-id", "x_roles"]);
}

#[test]
fn bodies_that_wait_take_only_so_much_and_what_goes_gives_it_back() {
    let mut rig = Rig::with(|policy| policy["limits"] = json!({ "bodies": "3MiB" }));
    let path = format!("/threads/{THREAD}/runs/wait");
    let upload = |rig: &mut Rig| {
        rig.exchange = Exchange::new("upload".to_owned());
        let pairs = rig.request("POST", &path, &[]);
        rig.headers(pairs, false);
        rig.body(&[b' '; 600 << 10], false);
        rig.state()
    };
    assert_eq!(upload(&mut rig), "AwaitingBody");
    let mut first = std::mem::replace(&mut rig.exchange, Exchange::new("next".to_owned()));
    assert_eq!(upload(&mut rig), "Refused");
    assert_eq!(rig.reply(), Some((503, "gate_full".to_owned())));
    std::mem::swap(&mut rig.exchange, &mut first);
    rig.on(Event::Gone(Departure::Client));
    assert_eq!(upload(&mut rig), "AwaitingBody");
}
