//! What a rule may ask of people besides a quorum: seats, majorities, all of the request, standing grants, and the
//! way past approvers.

use serde_json::{Value, json};

use super::super::*;
use super::rig::{IDP, Rig, THREAD};

/// A rig whose rule about billing asks for this.
fn asking(approval: Value) -> Rig {
    Rig::with(|document| document["access"]["rules"][2]["then"] = json!({ "approval": approval }))
}

fn asks(rig: &Rig) -> Value {
    let Some(Effect::AskApproval { question, .. }) = rig.effects.last() else { panic!("no question") };
    serde_json::from_slice::<Value>(question).unwrap()["asks"].clone()
}

fn decision(subject: &str, word: &str) -> Value {
    json!({ "approver": { "issuer": IDP, "subject": subject }, "decision": word })
}

fn approved(rig: &mut Rig, decisions: &Value) {
    let body = json!({ "id": "a1", "status": "approved", "decisions": decisions });
    rig.called(Some(200), &body.to_string());
}

fn reason(rig: &Rig) -> String {
    assert!(!rig.was_forwarded());
    rig.reply().expect("a reply").1
}

#[test]
fn seats_are_asked_for_and_counted_as_distinct_people() {
    let terms = json!({ "all_of": [{ "role": "manager" }, { "role": "security", "count": 2 }] });
    let mut rig = asking(terms.clone());
    rig.run("billing");
    let asked = asks(&rig);
    assert_eq!(asked["quorum"], 3);
    assert_eq!(asked["approvers"], json!(["role:manager", "role:security"]));
    assert_eq!(
        asked["all_of"],
        json!([{ "approver": "role:manager", "count": 1 }, { "approver": "role:security", "count": 2 }])
    );
    approved(&mut rig, &json!([decision("boss", "approve"), decision("sec", "approve")]));
    assert_eq!(reason(&rig), "approval_unavailable");
    let mut rig = asking(terms);
    rig.run("billing");
    let three = ["boss", "sec", "tor"].map(|subject| decision(subject, "approve"));
    approved(&mut rig, &json!(three));
    assert_eq!(rig.state(), "AwaitingEvidence");
}

#[test]
fn an_approval_over_a_denial_is_none_unless_the_majority_decides() {
    let decisions = json!([decision("boss", "approve"), decision("eve", "deny"), decision("sec", "approve")]);
    let mut rig = asking(json!({ "approvers": ["role:manager"], "quorum": 2 }));
    rig.run("billing");
    approved(&mut rig, &decisions);
    assert_eq!(reason(&rig), "approval_unavailable");
    let mut rig = asking(json!({ "approvers": ["role:manager"], "quorum": 2, "denial": "majority" }));
    rig.run("billing");
    assert_eq!(asks(&rig)["denial"], "majority");
    approved(&mut rig, &decisions);
    assert_eq!(rig.state(), "AwaitingEvidence");
}

#[test]
fn a_request_that_approvers_would_not_see_whole_is_refused_where_the_rule_wants_that() {
    for (preview, state) in [("full", "Refused"), ("partial", "AwaitingApproval")] {
        let mut rig = asking(json!({ "approvers": ["role:manager"], "preview": preview }));
        let pairs = rig.request("POST", &format!("/threads/{THREAD}/runs/wait"), &[]);
        rig.headers(pairs, false);
        let body = json!({ "assistant_id": "billing", "input": "word ".repeat(5_000) });
        rig.body(body.to_string().as_bytes(), true);
        assert_eq!(rig.state(), state, "{preview}");
        if state == "Refused" {
            assert_eq!(rig.reply(), Some((413, "approval_preview".to_owned())));
        }
    }
    let mut small = asking(json!({ "approvers": ["role:manager"], "preview": "full" }));
    small.run("billing");
    assert_eq!((small.state(), asks(&small)["preview"].as_str()), ("AwaitingApproval", Some("full")));
}

#[test]
fn a_standing_grant_is_asked_for_and_recorded_as_one() {
    let mut rig = asking(json!({ "approvers": ["role:manager"], "grant": "1h" }));
    rig.run("billing");
    assert_eq!(asks(&rig)["grant_seconds"], 3_600);
    rig.decide("approved");
    let admission = rig.deliver().pop().unwrap();
    assert_eq!(admission["approval"]["kind"], "standing");
}

fn with_break_glass() -> Rig {
    Rig::with(|document| {
        let rules = document["access"]["rules"].as_array_mut().unwrap();
        let rule = json!({
            "name": "emergencies", "operations": ["threads.create_run"], "when": "graph == \"billing\"",
            "then": { "break_glass": { "reviewers": ["role:security"], "review": "24h" } }
        });
        rules.insert(2, rule);
    })
}

fn run_with_reason(rig: &mut Rig, reason: &str) {
    let path = format!("/threads/{THREAD}/runs/wait");
    let pairs = rig.request("POST", &path, &[("x-break-glass-reason", reason)]);
    rig.headers(pairs, false);
    rig.body(br#"{"assistant_id":"billing"}"#, true);
}

#[test]
fn breaking_the_glass_needs_a_reason_that_is_recorded_before_anything_is_done() {
    let mut rig = with_break_glass();
    run_with_reason(&mut rig, "the ledger is stuck, ticket 7");
    let asked = asks(&rig);
    assert_eq!(asked["break_glass"]["reason"], "the ledger is stuck, ticket 7");
    assert_eq!(asked["approvers"], json!(["role:security"]));
    assert_eq!(asked["expires_seconds"], 24 * 3_600);
    let mut mark = decision("alice", "break_glass");
    mark["comment"] = json!("the ledger is stuck, ticket 7");
    approved(&mut rig, &json!([mark]));
    let admission = rig.deliver().pop().unwrap();
    assert_eq!(admission["decision"]["rule"], "emergencies");
    assert_eq!(admission["approval"]["kind"], "break_glass");
    assert_eq!(admission["approval"]["decisions"][0]["comment"], "the ledger is stuck, ticket 7");
    assert!(rig.was_forwarded());
}

#[test]
fn without_a_reason_the_next_rule_decides() {
    for reason in ["", "   "] {
        let mut rig = with_break_glass();
        run_with_reason(&mut rig, reason);
        assert_eq!(asks(&rig)["approvers"], json!(["role:manager"]), "{reason:?}");
        assert_eq!(asks(&rig)["break_glass"], Value::Null);
    }
    let mut rig = with_break_glass();
    rig.run("billing");
    assert_eq!(asks(&rig)["approvers"], json!(["role:manager"]));
}

#[test]
fn a_way_past_approvers_that_was_not_written_down_is_none() {
    for answer in [
        json!({ "id": "a1", "status": "approved", "decisions": [] }),
        json!({ "id": "a1", "status": "approved", "decisions": [decision("boss", "approve")] }),
        json!({ "id": "a1", "status": "approved", "decisions": [decision("boss", "break_glass")] }),
    ] {
        let mut rig = with_break_glass();
        run_with_reason(&mut rig, "ticket 7");
        rig.called(Some(200), &answer.to_string());
        assert_eq!(reason(&rig), "approval_unavailable", "{answer}");
    }
    let mut rig = with_break_glass();
    run_with_reason(&mut rig, "ticket 7");
    rig.called(None, "");
    assert_eq!(reason(&rig), "approval_unavailable");
}

#[test]
fn a_client_that_leaves_before_the_first_answer_withdraws_by_its_exchange() {
    let mut rig = Rig::new();
    rig.run("billing");
    let effects = rig.on(Event::Gone(Departure::Client));
    assert!(effects.contains(&Effect::WithdrawApproval { id: None }), "{effects:?}");
}
