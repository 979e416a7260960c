//! While people decide, and while the ledger writes.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::*;
use super::rig::{IDP, Rig, THREAD};

fn held() -> Rig {
    let mut rig = Rig::new();
    let effects = rig.run("billing");
    assert_eq!((rig.state(), rig.flow), ("AwaitingApproval", Flow::Pause));
    assert!(
        matches!(effects.as_slice(), [Effect::AskApproval { wait, .. }] if *wait == Duration::from_secs(20))
    );
    rig
}

fn refused(rig: &Rig) -> (u16, String) {
    assert!(!rig.was_forwarded());
    assert_eq!((rig.state(), rig.flow), ("Refused", Flow::Pause));
    rig.reply().expect("a reply")
}

fn asks(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::AskApproval { .. })).count()
}

#[test]
fn the_question_binds_requester_operation_policy_and_bytes_and_shows_no_unmasked_value() {
    let rig = held();
    let Some(Effect::AskApproval { question, .. }) = rig.effects.last() else { panic!("no question") };
    let question: Value = serde_json::from_slice(question).unwrap();
    assert_eq!(question["exchange"], "exchange-1");
    assert_eq!(question["requester"]["subject"], "alice");
    assert_eq!(question["operations"][0]["operation"], "threads.create_run");
    assert_eq!(question["operations"][0]["graph"], "billing");
    assert_eq!(question["rule"], "billing");
    assert_eq!(
        question["asks"],
        json!({ "approvers": ["role:manager"], "quorum": 1, "valid_seconds": 600, "expires_seconds": question["asks"]["expires_seconds"] })
    );
    assert_eq!(question["digest"].as_str().map(str::len), Some(64));
    assert_eq!(question["policy"], rig.core.policy().digest());
    assert!(!question.to_string().contains("zoe@example.com"), "{question}");
}

#[test]
fn an_approved_request_is_recorded_and_then_forwarded() {
    let mut rig = held();
    rig.decide("approved");
    assert_eq!((rig.state(), rig.flow), ("AwaitingEvidence", Flow::Pause));
    let lines = rig.deliver();
    assert_eq!((rig.state(), rig.flow), ("Forwarded", Flow::Continue));
    let admission = lines.last().unwrap();
    assert_eq!(admission["kind"], "admission");
    assert_eq!(admission["approval"]["status"], "approved");
    assert_eq!(admission["approval"]["decisions"][0]["approver"]["subject"], "boss");
}

#[test]
fn polls_are_chained_while_the_answer_is_pending() {
    let mut rig = held();
    for _ in 0..2 {
        rig.later(Duration::from_secs(20));
        assert_eq!(asks(&rig.decide("pending")), 1);
    }
    rig.later(Duration::from_secs(20));
    rig.decide("pending");
    assert_eq!(refused(&rig), (403, "approval_pending".to_owned()));
    let Some(Effect::Reply(reply)) = rig.effects.last() else { panic!("no reply") };
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(body["approval"], json!({ "id": "a1", "url": "https://desk/a1" }));
    assert!(!rig.effects.iter().any(|effect| matches!(effect, Effect::WithdrawApproval { .. })));
}

#[test]
fn a_service_that_does_not_wait_is_not_asked_in_a_busy_loop() {
    let mut rig = held();
    let mut polls = 0;
    while rig.state() == "AwaitingApproval" {
        let effects = rig.decide("pending");
        assert_eq!(asks(&effects), 0);
        if rig.state() == "AwaitingApproval" {
            polls += asks(&rig.wait_out());
        }
    }
    assert!((100..=121).contains(&polls), "{polls} polls in 60 s");
    assert_eq!(refused(&rig).1, "approval_pending");
}

#[test]
fn what_is_not_granted_is_refused() {
    for (status, reason) in
        [("denied", "approval_denied"), ("expired", "approval_expired"), ("cancelled", "approval_denied")]
    {
        let mut rig = held();
        rig.decide(status);
        assert_eq!(refused(&rig), (403, reason.to_owned()), "{status}");
    }
}

#[test]
fn an_approval_without_enough_approvers_or_by_the_requester_is_none() {
    let approve =
        |subject: &str| json!({ "approver": { "issuer": IDP, "subject": subject }, "decision": "approve" });
    for decisions in [json!([]), json!([approve("alice")]), json!([approve("boss"), approve("alice")])] {
        let mut rig = held();
        let body = json!({ "id": "a1", "status": "approved", "decisions": decisions });
        rig.called(Some(200), &body.to_string());
        assert_eq!(refused(&rig).1, "approval_unavailable", "{decisions}");
    }
    // One person twice is one person.
    let mut rig = Rig::with(|document| {
        document["access"]["rules"][2]["then"]["approval"]["quorum"] = json!(2);
    });
    rig.run("billing");
    let body = json!({ "id": "a1", "status": "approved", "decisions": [approve("boss"), approve("boss")] });
    rig.called(Some(200), &body.to_string());
    assert_eq!(refused(&rig).1, "approval_unavailable");
}

#[test]
fn a_desk_that_restarts_in_the_middle_of_a_hold_is_asked_again() {
    let mut rig = held();
    for status in [None, Some(503), Some(504)] {
        rig.called(status, "upstream connect error");
        assert_eq!((rig.state(), rig.flow), ("AwaitingApproval", Flow::Pause));
        assert_eq!(asks(&rig.wait_out()), 1);
    }
    rig.decide("approved");
    assert_eq!(rig.state(), "AwaitingEvidence");
}

#[test]
fn a_desk_that_stays_away_ends_the_hold_as_unavailable() {
    for reply in ["", "{\"status\":\"approved\"}", "true"] {
        let mut rig = held();
        while rig.state() == "AwaitingApproval" {
            rig.called(Some(200), reply);
            if rig.state() == "AwaitingApproval" {
                rig.wait_out();
            }
        }
        assert_eq!(refused(&rig), (503, "approval_unavailable".to_owned()), "{reply}");
        let held = rig.now.since(Moment(super::rig::START));
        assert!((60..66).contains(&held.as_secs()), "{held:?}");
    }
}

#[test]
fn a_desk_that_refuses_the_question_is_not_asked_again() {
    let mut rig = held();
    rig.called(Some(401), "{}");
    assert_eq!(refused(&rig), (503, "approval_unavailable".to_owned()));
}

#[test]
fn an_answer_that_never_comes_ends_the_hold() {
    let mut rig = held();
    rig.wait_out();
    assert_eq!(refused(&rig), (503, "approval_unavailable".to_owned()));
}

#[test]
fn a_caller_that_will_not_wait_gets_the_pending_approval_at_once() {
    let mut rig = Rig::new();
    let pairs = rig.request("POST", &format!("/threads/{THREAD}/runs/wait"), &[("prefer", "respond-async")]);
    rig.headers(pairs, false);
    let effects = rig.body(br#"{"assistant_id":"billing"}"#, true);
    assert!(matches!(effects.as_slice(), [Effect::AskApproval { wait: Duration::ZERO, .. }]));
    rig.decide("pending");
    assert_eq!(refused(&rig), (403, "approval_pending".to_owned()));
}

#[test]
fn a_client_that_leaves_withdraws_its_question() {
    let mut rig = held();
    rig.later(Duration::from_secs(20));
    rig.decide("pending");
    let effects = rig.on(Event::Gone(Departure::Client));
    assert!(effects.contains(&Effect::WithdrawApproval { id: Some("a1".to_owned()) }));
    let outcome = rig.deliver().pop().unwrap();
    assert_eq!(outcome["approval"]["status"], "withdrawn");
}

#[test]
fn bytes_that_come_after_people_were_asked_are_not_forwarded() {
    let mut rig = held();
    rig.body(b"{}", true);
    assert_eq!(refused(&rig), (500, "internal".to_owned()));
}

#[test]
fn an_answer_of_the_proxys_own_during_a_hold_is_told_in_our_shape() {
    let mut rig = held();
    let effects = rig.answer(Author::Proxy, 504, &[("content-type", "text/plain")], false);
    assert!(effects.contains(&Effect::EditResponse(vec![
        Edit::Set("content-type".to_owned(), b"application/json".to_vec()),
        Edit::Remove("content-length".to_owned()),
    ])));
    let effects = rig.chunk(b"stream timeout", true);
    let body: Value = serde_json::from_slice(Rig::piece(&effects, b"")).unwrap();
    assert_eq!(body["reason"], "upstream_unavailable");
    assert!(!rig.was_forwarded());
}

#[test]
fn nothing_is_done_before_the_record_of_it_is_durable() {
    let mut rig = Rig::new();
    rig.run("support");
    assert_eq!((rig.state(), rig.flow), ("AwaitingEvidence", Flow::Pause));
    assert!(!rig.was_forwarded());
    let lines = rig.deliver();
    assert_eq!(
        lines.iter().map(|line| line["kind"].as_str().unwrap()).collect::<Vec<_>>(),
        ["start", "admission"]
    );
    assert_eq!((rig.state(), rig.flow), ("Forwarded", Flow::Continue));
}

#[test]
fn a_record_that_cannot_be_made_durable_refuses_and_the_outcome_says_so() {
    let mut rig = Rig::new();
    rig.run("support");
    rig.wait_out();
    assert_eq!(refused(&rig), (503, "evidence_unavailable".to_owned()));
    rig.on(Event::Gone(Departure::Reset));
    let lines = rig.deliver();
    assert_eq!(lines[1]["decision"]["effect"], "allow");
    assert_eq!(
        lines[2]["decision"],
        json!({ "effect": "deny", "rule": "support", "reason": "evidence_unavailable" })
    );
}

#[test]
fn a_full_queue_refuses_new_work_and_lets_the_old_be_recorded() {
    let mut rig = Rig::with(|document| document["evidence"]["queue"] = json!("64KiB"));
    let mut first = Exchange::new("first".to_owned());
    std::mem::swap(&mut first, &mut rig.exchange);
    let mut open = Vec::new();
    for index in 0.. {
        rig.exchange = Exchange::new(format!("exchange-{index}"));
        rig.get(&format!("/threads/{THREAD}/state"));
        if rig.state() == "Refused" {
            break;
        }
        open.push(std::mem::replace(&mut rig.exchange, Exchange::new(String::new())));
        assert!(index < 100, "the queue has no bound");
    }
    assert_eq!(rig.reply(), Some((503, "evidence_unavailable".to_owned())));
    let count = open.len();
    for exchange in open {
        rig.exchange = exchange;
        rig.on(Event::Gone(Departure::Client));
    }
    assert_eq!(rig.deliver().len(), count + 1, "the start of the chain and every outcome");
    rig.exchange = Exchange::new("after".to_owned());
    rig.get(&format!("/threads/{THREAD}/state"));
    assert_eq!(rig.state(), "Forwarded");
}

#[test]
fn of_one_person_only_so_many_are_held_and_others_are_not_touched() {
    let mut rig = Rig::with(|policy| policy["limits"] = json!({ "held": 2 }));
    let mut others = Vec::new();
    for _ in 0..2 {
        rig.run("billing");
        assert_eq!(rig.state(), "AwaitingApproval");
        others.push(std::mem::replace(&mut rig.exchange, Exchange::new("next".to_owned())));
    }
    let effects = rig.run("billing");
    assert_eq!(refused(&rig), (429, "approval_limit".to_owned()));
    assert_eq!(asks(&effects), 0, "nobody is asked");
    assert!(effects.contains(&Effect::Count(Metric::Approval("limited"), 1)));

    // Somebody else waits as if there were no flood.
    let bearer = format!("Bearer {}", rig.token_for(IDP, "bob", 3600));
    rig.exchange = Exchange::new("bobs".to_owned());
    rig.headers(
        super::rig::bare("POST", &format!("/threads/{THREAD}/runs/wait"), &[("authorization", &bearer)]),
        false,
    );
    rig.body(br#"{"assistant_id":"billing"}"#, true);
    assert_eq!(rig.state(), "AwaitingApproval");

    // One leaves, and there is a place again.
    rig.exchange = others.pop().expect("one that is held");
    rig.on(Event::Gone(Departure::Client));
    rig.exchange = Exchange::new("later".to_owned());
    rig.run("billing");
    assert_eq!(rig.state(), "AwaitingApproval");
}

#[test]
fn a_person_with_too_many_open_approvals_is_told_so_at_once() {
    let mut rig = held();
    rig.called(Some(429), r#"{"status":429,"reason":"approval_limit"}"#);
    assert_eq!(refused(&rig), (429, "approval_limit".to_owned()));
    let outcome = rig.outcome(Departure::Client);
    assert_eq!(outcome["approval"]["status"], "limited");
    // Any other 429 may pass: the service is asked again.
    let mut rig = held();
    rig.called(Some(429), "slow down");
    assert_eq!(rig.state(), "AwaitingApproval");
}
