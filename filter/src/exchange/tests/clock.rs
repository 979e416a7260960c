//! The time of day is set while exchanges wait: what waits ends when it should, and tokens are judged by the new time.

use std::time::Duration;

use super::super::*;
use super::rig::{ASKS, Rig, THREAD, bare};
use crate::root::{Purpose, Wake};

const DAY: i64 = 86_400;

/// The ledger answers the delivery that is due with this status.
fn ledger(rig: &mut Rig, status: u16, body: &str) -> Option<usize> {
    rig.core.set_wait(1, rig.exchange.wait());
    let calls = rig.core.due(rig.now);
    let call = calls.into_iter().find(|call| matches!(call.purpose, Purpose::Evidence { .. }))?;
    let lines = call.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    let body = body.replace('#', &lines.to_string()).into_bytes();
    let reply = CallReply { status: Some(status), body };
    let (wakes, _) = rig.core.answered(call.purpose, reply, rig.now);
    if wakes.contains(&Wake::Evidence(1)) {
        rig.on(Event::EvidenceDurable);
    }
    Some(lines)
}

#[test]
fn a_hold_ends_when_it_should_however_the_time_of_day_is_set() {
    for set in [-DAY, -5, 5, DAY] {
        let mut rig = Rig::new();
        rig.run("billing");
        let until = rig.exchange.wait().until;
        rig.set = set;
        rig.on(Event::Tick);
        assert_eq!((rig.state(), rig.flow), ("AwaitingApproval", Flow::Pause), "set by {set} s");
        assert_eq!(rig.exchange.wait().until, until, "set by {set} s");
        while rig.state() == "AwaitingApproval" {
            rig.called(None, "");
            if rig.state() == "AwaitingApproval" {
                rig.wait_out();
            }
        }
        assert_eq!(rig.reply(), Some((503, "approval_unavailable".to_owned())));
        let held = rig.now.since(Moment(super::rig::START)).as_secs();
        assert!((60..66).contains(&held), "set by {set} s: held for {held} s");
    }
}

#[test]
fn a_ledger_that_failed_is_asked_again_at_once_after_the_clock_went_back() {
    let mut rig = Rig::new();
    rig.run("support");
    assert_eq!(rig.state(), "AwaitingEvidence");
    assert_eq!(ledger(&mut rig, 503, ""), Some(2));
    rig.set = -DAY;
    rig.later(Duration::from_millis(60));
    assert_eq!(ledger(&mut rig, 200, r#"{"accepted":#}"#), Some(2), "it would wait for a day");
    assert_eq!((rig.state(), rig.flow), ("Forwarded", Flow::Continue));
}

#[test]
fn lines_go_out_after_the_clock_went_back() {
    let mut rig = Rig::new();
    rig.get(&format!("/threads/{THREAD}"));
    rig.respond(204, &[], true);
    rig.on(Event::Gone(Departure::Reset));
    assert_eq!(ledger(&mut rig, 200, r#"{"accepted":#}"#), Some(2));
    // Another line, and the clock back before the last delivery.
    rig.exchange = Exchange::new("exchange-2".to_owned());
    rig.get(&format!("/threads/{THREAD}"));
    rig.set = -DAY;
    rig.on(Event::Gone(Departure::Client));
    rig.later(Duration::from_millis(30));
    assert_eq!(ledger(&mut rig, 200, r#"{"accepted":#}"#), Some(1), "it would gather for a day");
}

#[test]
fn tokens_are_judged_by_the_time_of_day_as_it_is_now() {
    let mut rig = Rig::new();
    rig.get(&format!("/threads/{THREAD}"));
    assert!(rig.was_forwarded());
    // It lives for an hour, and is in the cache as good.
    for (set, refused) in [(DAY, true), (0, false), (DAY, true), (0, false)] {
        rig.set = set;
        rig.exchange = Exchange::new("exchange-2".to_owned());
        rig.effects.clear();
        rig.get(&format!("/threads/{THREAD}"));
        let reason = rig.reply().map(|(_, reason)| reason);
        assert_eq!(reason.as_deref(), refused.then_some("token_expired"), "set by {set} s");
        assert_eq!(rig.was_forwarded(), !refused, "set by {set} s");
    }
}

#[test]
fn a_token_that_expires_while_its_request_is_held_was_good_when_it_came() {
    let mut rig = Rig::new();
    rig.run("billing");
    rig.set = DAY;
    rig.decide("approved");
    let admission = rig.deliver().pop().unwrap();
    assert_eq!((rig.state(), rig.flow), ("Forwarded", Flow::Continue));
    // The record says both: until when the token was good, and when the request went on.
    let at = admission["at"].as_str().unwrap();
    assert!(at.starts_with("2027-01-16"), "{at}");
    assert!(admission["token"]["exp"].as_i64().unwrap() < i64::try_from(rig.wall().seconds()).unwrap());
}

#[test]
fn an_issuers_yes_is_not_believed_for_longer_because_the_clock_went_back() {
    let mut rig = Rig::new();
    let bearer = format!("Bearer {}", rig.token(ASKS));
    let read = bare("GET", &format!("/threads/{THREAD}"), &[("authorization", &bearer)]);
    rig.headers(read.clone(), true);
    assert_eq!(rig.state(), "AwaitingIntrospection");
    rig.called(Some(200), r#"{"active":true}"#);
    assert!(rig.was_forwarded());
    rig.exchange = Exchange::new("exchange-2".to_owned());
    rig.headers(read.clone(), true);
    assert_eq!(rig.state(), "Forwarded", "it is believed for a while");
    rig.set = -40;
    rig.exchange = Exchange::new("exchange-3".to_owned());
    rig.headers(read, true);
    assert_eq!(rig.state(), "AwaitingIntrospection", "it would be believed for that much longer");
}
