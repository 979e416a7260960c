//! What only LangGraph knows: asked once, remembered for a while, and nothing goes on without it.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::*;
use super::rig::{Rig, THREAD, asking};

const ASSISTANT: &str = "22222222-2222-4222-8222-222222222222";
/// The assistant that LangGraph makes of `support`.
const SUPPORT: &str = "a76bea17-1a15-53a6-bfc6-e12c619f641d";

/// Reads, runs of `support` and everything about threads are allowed; threads, assistants and crons are owned.
pub(super) fn owned(document: &mut Value) {
    asking(document);
    document["access"] = json!({
        "ownership": { "key": "owner", "value": "identity.subject", "except": ["role:admin"] },
        "rules": [{ "name": "all", "operations": ["*"], "then": "allow" }],
    });
    document["evidence"]["before"] = json!([]);
}

fn post(rig: &mut Rig, path: &str, body: &str) -> Vec<Effect> {
    let length = body.len().to_string();
    let pairs = rig.request("POST", path, &[("content-length", &length)]);
    rig.headers(pairs, false);
    rig.body(body.as_bytes(), true)
}

fn run(rig: &mut Rig, assistant: &str) -> Vec<Effect> {
    post(rig, "/runs/wait", &json!({ "assistant_id": assistant, "input": {} }).to_string())
}

fn inquiries(effects: &[Effect]) -> Vec<Inquiry> {
    let inquiry = |effect: &Effect| match effect {
        Effect::LookUp(inquiry) => Some(inquiry.clone()),
        _ => None,
    };
    effects.iter().filter_map(inquiry).collect()
}

fn header<'a>(inquiry: &'a Inquiry, name: &str) -> Option<&'a str> {
    inquiry.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn assistant(id: &str, graph: &str, owner: Option<&str>) -> String {
    json!({ "assistant_id": id, "graph_id": graph, "metadata": { "owner": owner } }).to_string()
}

fn thread(owner: Option<&str>) -> String {
    json!([{ "thread_id": THREAD, "metadata": { "owner": owner } }]).to_string()
}

fn again(rig: &mut Rig) {
    rig.exchange = Exchange::new("exchange-2".to_owned());
}

fn forwarded_body(rig: &Rig) -> Option<String> {
    rig.effects.iter().rev().find_map(|effect| match effect {
        Effect::ReplaceRequestBody(body) => Some(String::from_utf8(body.to_vec()).unwrap()),
        _ => None,
    })
}

#[test]
fn an_assistants_graph_is_asked_for_and_the_rules_hold_for_it() {
    for (graph, state) in
        [("support", "AwaitingEvidence"), ("billing", "AwaitingApproval"), ("other", "Refused")]
    {
        let mut rig = Rig::with(asking);
        let effects = run(&mut rig, ASSISTANT);
        let asked = inquiries(&effects);
        assert_eq!(asked.len(), 1);
        assert_eq!(header(&asked[0], ":path"), Some(format!("/assistants/{ASSISTANT}").as_str()));
        assert_eq!(header(&asked[0], "x-api-key"), Some("0123456789abcdef0123456789abcdef"));
        assert_eq!(header(&asked[0], "authorization"), None, "the caller's credential goes no further");
        assert_eq!((rig.state(), rig.flow), ("AwaitingLookup", Flow::Pause));
        rig.called(Some(200), &assistant(ASSISTANT, graph, None));
        assert_eq!(rig.state(), state, "{graph}");
        assert!(!rig.was_forwarded());
    }
}

#[test]
fn a_graphs_own_assistant_that_was_given_another_graph_is_judged_by_that() {
    let mut rig = Rig::with(asking);
    let asked = inquiries(&run(&mut rig, "support"));
    assert_eq!(header(&asked[0], ":path"), Some(format!("/assistants/{SUPPORT}").as_str()));
    rig.called(Some(200), &assistant(SUPPORT, "billing", None));
    assert_eq!(rig.state(), "AwaitingApproval");
}

#[test]
fn without_an_answer_nothing_goes_on() {
    for (status, body) in [
        (None, String::new()),
        (Some(500), String::new()),
        (Some(503), "no healthy upstream".to_owned()),
        (Some(504), String::new()),
        (Some(200), "{}".to_owned()),
        (Some(200), assistant(THREAD, "support", None)),
        (Some(307), assistant(ASSISTANT, "support", None)),
    ] {
        let mut rig = Rig::with(asking);
        run(&mut rig, ASSISTANT);
        rig.called(status, &body);
        assert_eq!(rig.reply(), Some((503, "lookup_unavailable".to_owned())), "{status:?} {body}");
        assert!(!rig.was_forwarded());
        let outcome = rig.outcome(Departure::Client);
        assert_eq!(outcome["decision"]["reason"], "lookup_unavailable");
        assert!(outcome["request"]["digest"].is_string());
    }
    let mut rig = Rig::with(asking);
    run(&mut rig, ASSISTANT);
    rig.wait_out();
    assert_eq!(rig.reply(), Some((503, "lookup_unavailable".to_owned())));
}

#[test]
fn an_assistant_that_is_not_there_has_no_graph() {
    let mut rig = Rig::with(asking);
    run(&mut rig, ASSISTANT);
    rig.called(Some(404), "{}");
    // A rule that asks people could have held, and none that allows did: refused.
    assert_eq!(rig.reply(), Some((403, "access_denied".to_owned())));
}

#[test]
fn an_answer_counts_for_a_while_and_until_something_changes() {
    let mut rig = Rig::with(asking);
    run(&mut rig, ASSISTANT);
    rig.called(Some(200), &assistant(ASSISTANT, "support", None));
    again(&mut rig);
    assert!(inquiries(&run(&mut rig, ASSISTANT)).is_empty(), "it is remembered");
    assert_eq!(rig.state(), "AwaitingEvidence");
    rig.later(Duration::from_secs(5));
    again(&mut rig);
    assert_eq!(inquiries(&run(&mut rig, ASSISTANT)).len(), 1, "it has ended");
    rig.called(Some(200), &assistant(ASSISTANT, "support", None));
    rig.core.forget_lookups(9);
    again(&mut rig);
    assert_eq!(inquiries(&run(&mut rig, ASSISTANT)).len(), 1, "something has changed");
    // Something changes while LangGraph is asked: this answer is from before, and counts for nobody else.
    rig.core.forget_lookups(10);
    rig.called(Some(200), &assistant(ASSISTANT, "support", None));
    again(&mut rig);
    assert_eq!(inquiries(&run(&mut rig, ASSISTANT)).len(), 1, "the answer was too old to be kept");
}

#[test]
fn changes_that_go_through_make_the_answers_forgotten_before_and_after() {
    let mut rig = Rig::with(|document| {
        owned(document);
        document["access"]["ownership"]["except"] = json!(["subject:alice"]);
    });
    let pairs = rig.request("DELETE", &format!("/assistants/{ASSISTANT}"), &[]);
    let forgets = |effects: &[Effect]| effects.contains(&Effect::ForgetLookups);
    assert!(forgets(&rig.headers(pairs, true)));
    assert!(forgets(&rig.respond(204, &[], true)));
    assert!(forgets(&rig.on(Event::Gone(Departure::Client))));
    let mut rig = Rig::with(owned);
    let effects = post(&mut rig, "/threads/search", "{}");
    assert!(rig.was_forwarded() && !forgets(&effects), "a search changes nothing");
}

#[test]
fn what_a_caller_makes_carries_their_mark_and_the_record_is_of_that() {
    let mut rig = Rig::with(owned);
    post(&mut rig, "/threads", r#"{"metadata": {"n": 1e0}}"#);
    assert_eq!(forwarded_body(&rig).as_deref(), Some(r#"{"metadata": {"owner":"alice","n": 1e0}}"#));
    let edits = rig.effects.iter().find_map(|effect| match effect {
        Effect::EditRequest(edits) => Some(edits.clone()),
        _ => None,
    });
    let length = Edit::Set("content-length".to_owned(), b"40".to_vec());
    assert!(edits.unwrap().contains(&length));
    rig.respond(200, &[], true);
    let outcome = rig.outcome(Departure::Client);
    assert_eq!(outcome["request"]["bytes"], 40);
    assert_eq!(outcome["request"]["body"], r#"{"metadata": {"owner":"alice","n": 1e0}}"#);
    let mut plain = Rig::with(|document| {
        owned(document);
        document["access"]["ownership"]["except"] = json!(["subject:alice"]);
    });
    post(&mut plain, "/threads", r#"{"metadata": {"owner":"alice","n": 1e0}}"#);
    plain.respond(200, &[], true);
    assert_eq!(plain.outcome(Departure::Client)["request"]["digest"], outcome["request"]["digest"]);
}

#[test]
fn searches_look_for_ones_own() {
    for path in
        ["/threads/search", "/threads/count", "/assistants/search", "/runs/crons/search", "/runs/crons/count"]
    {
        let mut rig = Rig::with(owned);
        post(&mut rig, path, r#"{"limit":3}"#);
        assert_eq!(
            forwarded_body(&rig).as_deref(),
            Some(r#"{"metadata":{"owner":"alice"},"limit":3}"#),
            "{path}"
        );
    }
}

#[test]
fn anothers_thread_is_not_there() {
    for (owner, reply) in [
        (Some("alice"), None),
        (Some("bob"), Some((404, "not_found".to_owned()))),
        (None, Some((404, "not_found".to_owned()))),
    ] {
        let mut rig = Rig::with(owned);
        let effects = rig.get(&format!("/threads/{THREAD}/state"));
        let asked = inquiries(&effects);
        assert_eq!(header(&asked[0], ":path"), Some("/threads/search"));
        assert!(String::from_utf8_lossy(&asked[0].body).contains(THREAD));
        rig.called(Some(200), &thread(owner));
        assert_eq!(rig.reply(), reply, "{owner:?}");
        assert_eq!(rig.was_forwarded(), owner == Some("alice"));
    }
}

#[test]
fn a_run_that_makes_its_thread_is_marked_and_one_on_anothers_is_refused() {
    let body = r#"{"assistant_id":"support","if_not_exists":"create"}"#;
    let mut rig = Rig::with(owned);
    post(&mut rig, &format!("/threads/{THREAD}/runs"), body);
    rig.called(Some(200), "[]");
    assert!(rig.was_forwarded());
    assert_eq!(
        forwarded_body(&rig).as_deref(),
        Some(r#"{"metadata":{"owner":"alice"},"assistant_id":"support","if_not_exists":"create"}"#)
    );
    let mut rig = Rig::with(owned);
    post(&mut rig, &format!("/threads/{THREAD}/runs"), body);
    rig.called(Some(200), &thread(Some("bob")));
    assert_eq!(rig.reply(), Some((404, "not_found".to_owned())));
}

#[test]
fn who_cannot_be_known_as_an_owner_makes_nothing() {
    let mut rig = Rig::with(|document| {
        owned(document);
        document["access"]["ownership"]["value"] = json!("identity.claims.tenant");
    });
    post(&mut rig, "/threads", "{}");
    assert_eq!(rig.reply(), Some((403, "access_denied".to_owned())));
}

#[test]
fn a_request_about_too_many_assistants_is_refused() {
    let mut rig = Rig::with(asking);
    let runs: Vec<Value> = (0..40)
        .map(|n| json!({ "assistant_id": format!("22222222-2222-4222-8222-2222222222{n:02}"), "input": {} }))
        .collect();
    post(&mut rig, "/runs/batch", &json!(runs).to_string());
    for n in 0..32 {
        let id = format!("22222222-2222-4222-8222-2222222222{n:02}");
        rig.called(Some(200), &assistant(&id, "support", None));
    }
    assert_eq!(rig.reply(), Some((413, "body_too_large".to_owned())));
}

#[test]
fn where_the_gate_only_observes_it_changes_nothing_and_says_what_it_would_have_refused() {
    let observing = |document: &mut Value| {
        owned(document);
        document["mode"] = json!("observe");
    };
    let mut rig = Rig::with(observing);
    post(&mut rig, "/threads", "{}");
    assert!(rig.was_forwarded() && forwarded_body(&rig).is_none());
    let mut rig = Rig::with(observing);
    rig.get(&format!("/threads/{THREAD}"));
    rig.called(Some(200), &thread(Some("bob")));
    assert!(rig.was_forwarded());
    rig.respond(200, &[], true);
    let outcome = rig.outcome(Departure::Client);
    assert_eq!(outcome["decision"]["reason"], "not_found");
    assert_eq!(outcome["decision"]["observed"], true);
    let mut rig = Rig::with(observing);
    rig.get(&format!("/threads/{THREAD}"));
    rig.called(None, "");
    assert!(rig.was_forwarded(), "observing goes on without an answer");
}

#[test]
fn a_rules_obligations_hold_for_its_exchanges_alone() {
    let obliging = |document: &mut Value| {
        document["access"]["rules"] = json!([{
            "name": "careful", "operations": ["threads.read"], "then": "allow",
            "obligations": { "before": true, "mask": { "keys": ["salary"] } },
        }, { "name": "rest", "operations": ["threads.search"], "then": "allow" }]);
        document["evidence"]["before"] = json!([]);
    };
    let mut rig = Rig::with(obliging);
    rig.get(&format!("/threads/{THREAD}/state"));
    assert_eq!(rig.state(), "AwaitingEvidence", "the record comes first");
    rig.deliver();
    assert_eq!(rig.state(), "Forwarded");
    rig.respond(200, &[("content-type", "application/json")], false);
    let effects = rig.chunk(br#"{"salary":"9000"}"#, true);
    assert!(!String::from_utf8_lossy(Rig::piece(&effects, br#"{"salary":"9000"}"#)).contains("9000"));
    let mut rig = Rig::with(obliging);
    post(&mut rig, "/threads/search", "{}");
    assert_eq!(rig.state(), "Forwarded");
    rig.respond(200, &[("content-type", "application/json")], false);
    let effects = rig.chunk(br#"{"salary":"9000"}"#, true);
    assert!(String::from_utf8_lossy(Rig::piece(&effects, br#"{"salary":"9000"}"#)).contains("9000"));
}

/// An exchange's own id, which nobody else has.
pub(super) const FRESH: &str = "33333333-3333-4333-8333-333333333333";

/// A message to the agent of `support`; its assistant has to be looked up first.
pub(super) fn begin(rig: &mut Rig, context: Option<&str>) -> Vec<Effect> {
    let mut message =
        json!({ "messageId": "m", "role": "user", "parts": [{ "kind": "text", "text": "hi" }] });
    if let Some(context) = context {
        message["contextId"] = json!(context);
    }
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "message/send", "params": { "message": message } });
    post(rig, &format!("/a2a/{SUPPORT}"), &body.to_string());
    rig.called(Some(200), &assistant(SUPPORT, "support", None))
}

fn made(id: &str, owner: &str) -> String {
    json!({ "thread_id": id, "metadata": { "owner": owner } }).to_string()
}

#[test]
fn a_conversation_begins_on_a_thread_that_is_made_with_the_callers_mark() {
    let mut rig = Rig::with(owned);
    rig.exchange = Exchange::new(FRESH.to_owned());
    let asked = inquiries(&begin(&mut rig, None));
    assert_eq!((rig.state(), rig.was_forwarded()), ("AwaitingThread", false));
    assert_eq!(header(&asked[0], ":path"), Some("/threads"));
    assert_eq!(header(&asked[0], "x-api-key"), Some("0123456789abcdef0123456789abcdef"));
    let sent: Value = serde_json::from_slice(&asked[0].body).unwrap();
    assert_eq!(
        sent,
        json!({ "thread_id": FRESH, "if_exists": "do_nothing", "metadata": { "owner": "alice" } })
    );
    let outcome = goes_on(&mut rig);
    assert!(!outcome["request"]["body"].as_str().unwrap().contains("contextId"), "as it came");
}

/// The thread is made: the message goes to it, and the record says so. Gives back the record.
fn goes_on(rig: &mut Rig) -> Value {
    rig.called(Some(200), &made(FRESH, "alice"));
    assert_eq!(rig.state(), "Forwarded");
    let body: Value = serde_json::from_str(&forwarded_body(rig).unwrap()).unwrap();
    assert_eq!(body["params"]["message"]["contextId"], FRESH);
    rig.respond(200, &[], true);
    let outcome = rig.outcome(Departure::Client);
    assert_eq!(outcome["operations"][0]["thread"], FRESH);
    outcome
}

#[test]
fn a_conversation_begins_nowhere_where_its_thread_cannot_be_made() {
    for (status, body, reply) in [
        (Some(200), made(THREAD, "bob"), (404, "not_found")),
        (Some(200), made(FRESH, "alice"), (503, "lookup_unavailable")),
        (Some(409), "{}".to_owned(), (404, "not_found")),
        (Some(500), "{}".to_owned(), (503, "lookup_unavailable")),
        (None, String::new(), (503, "lookup_unavailable")),
    ] {
        let mut rig = Rig::with(owned);
        begin(&mut rig, Some(THREAD));
        rig.called(Some(200), "[]");
        assert_eq!(rig.state(), "AwaitingThread");
        rig.called(status, &body);
        assert_eq!(rig.reply(), Some((reply.0, reply.1.to_owned())), "{status:?} {body}");
        assert!(!rig.was_forwarded());
        assert_eq!(rig.outcome(Departure::Client)["decision"]["reason"], reply.1);
    }
    let mut rig = Rig::with(owned);
    rig.exchange = Exchange::new(FRESH.to_owned());
    begin(&mut rig, None);
    rig.wait_out();
    assert_eq!(rig.reply(), Some((503, "lookup_unavailable".to_owned())));
}

#[test]
fn a_conversation_begins_after_its_record_is_durable() {
    let mut rig = Rig::with(|document| {
        owned(document);
        document["evidence"]["before"] = json!(["execute"]);
    });
    rig.exchange = Exchange::new(FRESH.to_owned());
    begin(&mut rig, None);
    assert_eq!(rig.state(), "AwaitingEvidence");
    let lines = rig.deliver();
    let admission = lines.iter().find(|line| line["kind"] == "admission").unwrap();
    assert_eq!(admission["operations"][0]["thread"], FRESH);
    assert_eq!(rig.state(), "AwaitingThread");
    rig.called(Some(200), &made(FRESH, "alice"));
    assert_eq!(rig.state(), "Forwarded");
}

#[test]
fn an_observing_gate_begins_nothing() {
    let mut rig = Rig::with(|document| {
        owned(document);
        document["mode"] = json!("observe");
    });
    rig.exchange = Exchange::new(FRESH.to_owned());
    assert!(inquiries(&begin(&mut rig, None)).is_empty());
    assert!(rig.was_forwarded() && forwarded_body(&rig).is_none());
}

#[test]
fn a_conversation_begins_once_people_have_agreed_to_the_message_as_it_came() {
    let asking_people = |document: &mut Value| {
        owned(document);
        document["access"]["rules"] = json!([{
            "name": "asks", "operations": ["*"], "then": { "approval": { "approvers": ["role:manager"] } },
        }]);
    };
    let begun = |id: &str| {
        let mut rig = Rig::with(asking_people);
        rig.exchange = Exchange::new(id.to_owned());
        let effects = begin(&mut rig, None);
        assert_eq!((rig.state(), inquiries(&effects).len()), ("AwaitingApproval", 0), "nothing is made yet");
        let question = effects.iter().find_map(|effect| match effect {
            Effect::AskApproval { question, .. } => Some(serde_json::from_slice::<Value>(question).unwrap()),
            _ => None,
        });
        (rig, question.expect("people are asked"))
    };
    let (mut rig, question) = begun(FRESH);
    assert!(question["operations"][0]["thread"].is_null(), "{question}");
    // The same message sent again is the same request, for which the same approval counts.
    assert_eq!(begun("44444444-4444-4444-8444-444444444444").1["digest"], question["digest"]);
    let effects = rig.decide("approved");
    assert_eq!((rig.state(), inquiries(&effects).len()), ("AwaitingThread", 1));
    let outcome = goes_on(&mut rig);
    assert_eq!(outcome["request"]["digest"], question["digest"], "what was agreed to is what is on record");
    // A denial leaves nothing behind.
    let (mut rig, _) = begun(FRESH);
    assert!(inquiries(&rig.decide("denied")).is_empty());
    assert_eq!(rig.reply(), Some((403, "approval_denied".to_owned())));
}
