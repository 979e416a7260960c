//! Which calls join the trace of which request.

use std::time::Duration;

use super::rig::{Rig, THREAD};

const PARENT: (&str, &str) = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");

/// A privileged run that says which trace it belongs to, held for people.
fn held(header: (&str, &str)) -> Rig {
    let mut rig = Rig::new();
    let path = format!("/threads/{THREAD}/runs/wait");
    let pairs = rig.request("POST", &path, &[header, ("content-type", "application/json")]);
    rig.headers(pairs, false);
    rig.body(br#"{"assistant_id":"billing","input":{}}"#, true);
    assert_eq!(rig.state(), "AwaitingApproval");
    // What the host does after an exchange's first event.
    if let Some(trace) = rig.exchange.trace().cloned() {
        rig.core.trace(1, trace);
    }
    rig
}

/// The trace and the span of each call that is due, but for those of the policy's first keys.
fn due(rig: &mut Rig) -> Vec<Option<(String, String)>> {
    rig.core.set_wait(1, rig.exchange.wait());
    rig.later(Duration::from_secs(1));
    let calls = rig.core.due(rig.now);
    let ours = calls.iter().filter(|call| !matches!(call.purpose, crate::root::Purpose::Keys { .. }));
    ours.map(|call| {
        let mut parents = call.headers.iter().filter(|(name, _)| name == "traceparent");
        let parent = parents.next().map(|(_, parent)| (parent[3..35].to_owned(), parent[36..52].to_owned()));
        assert!(parents.next().is_none(), "twice");
        parent
    })
    .collect()
}

fn ask(rig: &mut Rig) {
    rig.core.ask_approval(1, 1, "exchange-1", b"{}", Duration::from_secs(1));
}

#[test]
fn the_question_the_record_that_is_waited_for_and_the_withdrawal_join_it() {
    let mut rig = held(PARENT);
    ask(&mut rig);
    ask(&mut rig);
    let asked = due(&mut rig);
    let spans: Vec<_> = asked.into_iter().map(|call| call.expect("a trace")).collect();
    assert_eq!(spans.len(), 2);
    assert!(spans.iter().all(|(trace, span)| trace == &PARENT.1[3..35] && span != &PARENT.1[36..52]));
    assert_ne!(spans[0].1, spans[1].1, "each call is a span of its own");

    rig.decide("approved");
    assert_eq!(rig.state(), "AwaitingEvidence");
    assert!(matches!(due(&mut rig).as_slice(), [Some((trace, _))] if trace == &PARENT.1[3..35]));

    rig.core.withdraw(1, "exchange-1", Some("a1"));
    rig.core.untrace(1);
    assert!(matches!(due(&mut rig).as_slice(), [Some(_)]));
    ask(&mut rig);
    assert_eq!(due(&mut rig), [None], "the stream is over");
}

#[test]
fn a_request_without_a_sound_trace_makes_calls_without_one() {
    for header in [("traceparent", "00-nonsense"), ("x-b3-traceid", "4f")] {
        let mut rig = held(header);
        ask(&mut rig);
        assert_eq!(due(&mut rig), [None]);
    }
}
