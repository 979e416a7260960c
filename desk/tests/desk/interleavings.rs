//! Approvals under random interleavings: asked, repeated, decided, withdrawn, expired, crashed, several at once.
//!
//! What has to hold, whatever happens: an approval is claimed by one exchange at most, with the bytes and the
//! person it was given for, with its quorum of distinct people who are not the requester, with no denial, in
//! time; no decision is lost, none appears that was refused; an answer that is final stays.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use graphwarden::approvals::{Approval, Verdict};
use graphwarden::clock::Clock;
use graphwarden::people::Person;
use graphwarden::store::Filter;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::room::{NOON, Room, ask, person};

const EXPIRES: i64 = 100_000;
const VALID: i64 = 40_000;

#[derive(Debug, Clone)]
enum Step {
    /// These exchanges and people act at the same time.
    AtOnce(Vec<Act>),
    Wait(i64),
    Crash,
}

#[derive(Debug, Clone)]
enum Act {
    Ask { exchange: usize },
    Withdraw { exchange: usize },
    Decide { bytes: usize, person: usize, verdict: Verdict },
}

/// Exchanges 0 to 7: even ones send bytes 0, odd ones bytes 1.
const EXCHANGES: usize = 8;

/// What the rule asks for in one run.
#[derive(Debug, Clone, Copy)]
struct Terms {
    quorum: u32,
    majority: bool,
    /// One manager and `quorum - 1` of security, instead of any `quorum` of those asked.
    seats: bool,
}

fn request(exchange: usize, terms: Terms) -> Value {
    let quorum = terms.quorum;
    let mut request = ask(&format!("x{exchange}"));
    request["digest"] = json!(if exchange.is_multiple_of(2) { "aa" } else { "bb" }.repeat(32));
    request["asks"] = json!({"approvers": ["role:manager", "subject:sam"], "quorum": quorum,
                             "valid_seconds": VALID / 1_000, "expires_seconds": EXPIRES / 1_000});
    if terms.majority {
        request["asks"]["denial"] = json!("majority");
    }
    if terms.seats {
        let mut seats = vec![json!({"approver": "role:manager", "count": 1})];
        if quorum > 1 {
            seats.push(json!({"approver": "role:security", "count": quorum - 1}));
        }
        request["asks"]["approvers"] = json!(["role:manager", "role:security"]);
        request["asks"]["all_of"] = json!(seats);
    }
    request
}

/// Ana is the requester with the role that is asked; Eve has none.
fn people() -> Vec<Person> {
    let mut twin = person("twin", &["manager"]);
    twin.email = Some("MAX@example.com".into());
    vec![
        person("max", &["manager"]),
        person("mia", &["manager", "security"]),
        person("sam", &["security"]),
        person("ana", &["manager"]),
        person("eve", &["analyst"]),
        twin,
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..EXCHANGES).prop_map(|exchange| Act::Ask { exchange }),
        1 => (0..EXCHANGES).prop_map(|exchange| Act::Withdraw { exchange }),
        4 => (0..2_usize, 0..6_usize, prop_oneof![5 => Just(Verdict::Approve), 1 => Just(Verdict::Deny)])
            .prop_map(|(bytes, person, verdict)| Act::Decide { bytes, person, verdict }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(act(), 1..5).prop_map(Step::AtOnce),
        2 => (1_000..60_000_i64).prop_map(Step::Wait),
        1 => Just(Step::Crash),
    ]
}

#[derive(Default)]
struct Seen {
    /// Approval → the exchange that was told `approved`.
    claims: HashMap<String, usize>,
    /// Exchange → its final answer.
    finals: BTreeMap<usize, (String, String)>,
    /// Approval → decisions that were acknowledged.
    decisions: BTreeMap<String, BTreeSet<(String, &'static str)>>,
}

async fn perform(room: &Room, act: &Act, terms: Terms) -> Option<(String, Value)> {
    match act {
        Act::Ask { exchange } => {
            let reply = room.ask(&request(*exchange, terms)).await;
            assert_eq!(reply.status, 200, "{}", reply.text);
            Some(("ask".into(), reply.json()))
        }
        Act::Withdraw { exchange } => {
            let id = newest(room, *exchange % 2).await?.id;
            let reply = room.withdraw(&id, &format!("x{exchange}")).await;
            assert!(reply.status == 204 || reply.status == 404, "{}", reply.text);
            None
        }
        Act::Decide { bytes, person, verdict } => {
            let id = newest(room, *bytes).await?.id;
            let given = serde_json::from_value(json!({"decision": verdict.word()})).unwrap();
            match room.desk.decide(&id, &people()[*person], &given).await {
                Ok(_) => Some((
                    "decided".into(),
                    json!({"id": id, "by": people()[*person].subject, "verdict": verdict.word()}),
                )),
                Err(error) => {
                    assert!(error.status().is_client_error(), "{error:?}");
                    None
                }
            }
        }
    }
}

async fn newest(room: &Room, bytes: usize) -> Option<Approval> {
    let digest = if bytes == 0 { "aa" } else { "bb" }.repeat(32);
    let filter = Filter { limit: 100, ..Filter::default() };
    let found = room.desk.store.approvals(&filter, room.clock.now()).await.unwrap();
    found.approvals.into_iter().find(|approval| approval.digest == digest)
}

async fn run(steps: Vec<Step>, terms: Terms) {
    let mut room = Room::open().await;
    let mut seen = Seen::default();
    for step in steps {
        match step {
            Step::Wait(milliseconds) => room.clock.advance(milliseconds),
            Step::Crash => {
                // Nothing is closed or flushed: what was acknowledged has to be in the file.
                (room.desk, room.app) = room.beside().await;
            }
            Step::AtOnce(acts) => {
                let before = seen.finals.clone();
                let results =
                    futures::future::join_all(acts.iter().map(|act| perform(&room, act, terms))).await;
                for (act, result) in acts.iter().zip(results) {
                    note(act, result, &before, &mut seen);
                }
            }
        }
        check(&room, &seen, terms).await;
    }
}

/// Takes down what an act came to. `before` are the answers that were final before the acts of its step began:
/// of two askings at the same time the one that was answered first may be looked at last, with `pending`.
fn note(
    act: &Act,
    result: Option<(String, Value)>,
    before: &BTreeMap<usize, (String, String)>,
    seen: &mut Seen,
) {
    match (act, result) {
        (Act::Ask { exchange }, Some((_, answer))) => {
            let (id, status) =
                (answer["id"].as_str().unwrap().to_owned(), answer["status"].as_str().unwrap().to_owned());
            let last = if status == "pending" { before.get(exchange) } else { seen.finals.get(exchange) };
            if let Some(last) = last {
                assert_eq!(*last, (id.clone(), status.clone()), "a final answer has changed");
            }
            if status == "approved" {
                let holder = seen.claims.entry(id.clone()).or_insert(*exchange);
                assert_eq!(holder, exchange, "claimed twice");
            }
            if status == "approved" || status == "denied" {
                seen.finals.insert(*exchange, (id, status));
            }
        }
        (Act::Decide { .. }, Some((_, taken))) => {
            let verdict = if taken["verdict"] == "approve" { "approve" } else { "deny" };
            let fresh = seen
                .decisions
                .entry(taken["id"].as_str().unwrap().to_owned())
                .or_default()
                .insert((taken["by"].as_str().unwrap().to_owned(), verdict));
            assert!(fresh, "one person decided twice");
        }
        _ => {}
    }
}

async fn check(room: &Room, seen: &Seen, terms: Terms) {
    let filter = Filter { limit: 200, ..Filter::default() };
    let all = room.desk.store.approvals(&filter, room.clock.now()).await.unwrap().approvals;
    for approval in &all {
        let stored: BTreeSet<(String, &'static str)> = approval
            .decisions
            .iter()
            .map(|decision| (decision.subject.clone(), decision.verdict.word()))
            .collect();
        let acknowledged = seen.decisions.get(&approval.id).cloned().unwrap_or_default();
        assert_eq!(stored, acknowledged, "decisions were lost or made up");
        for (subject, _) in &stored {
            assert!(["max", "mia", "sam", "twin"].contains(&subject.as_str()), "{subject} may not decide");
        }
        assert!(
            !(stored.iter().any(|(s, _)| s == "max") && stored.iter().any(|(s, _)| s == "twin")),
            "one mailbox, two votes"
        );
        let Some(exchange) = seen.claims.get(&approval.id) else {
            assert!(approval.claimed_by.is_none(), "claimed by nobody who was told so");
            continue;
        };
        assert_eq!(approval.claimed_by.as_deref(), Some(format!("x{exchange}").as_str()));
        let bytes = if exchange.is_multiple_of(2) { "aa" } else { "bb" }.repeat(32);
        assert_eq!(approval.digest, bytes, "claimed by other bytes");
        assert_eq!(approval.requester.subject, "ana");
        let denials = stored.iter().filter(|(_, verdict)| *verdict == "deny").count();
        let quorum = terms.quorum as usize;
        assert!(denials < if terms.majority { quorum } else { 1 }, "claimed in spite of a denial");
        let said_yes: Vec<&str> = stored
            .iter()
            .filter(|(_, verdict)| *verdict == "approve")
            .map(|(subject, _)| subject.as_str())
            .collect();
        assert!(said_yes.len() >= quorum, "claimed without a quorum");
        if terms.seats {
            // Max, Mia and Max's twin are managers, Mia and Sam are of security: counted by hand, not by the code
            // that is tested.
            let managers = said_yes.iter().filter(|subject| ["max", "mia", "twin"].contains(subject)).count();
            let security = said_yes.iter().filter(|subject| ["mia", "sam"].contains(subject)).count();
            assert!(managers >= 1 && security >= quorum - 1, "a seat is empty: {said_yes:?}");
        }
        let (granted, claimed) = (approval.ended_at.unwrap(), approval.claimed_at.unwrap());
        assert!(granted < approval.created_at + EXPIRES, "granted after its end");
        assert!((granted..granted + VALID).contains(&claimed), "claimed after its end");
    }
    for bytes in ["aa".repeat(32), "bb".repeat(32)] {
        let open = all.iter().filter(|approval| {
            approval.digest == bytes
                && (approval.status.word() == "pending"
                    || approval.status.word() == "approved" && approval.claimed_by.is_none())
        });
        assert!(open.count() <= 1, "two open approvals for the same bytes");
    }
}

#[test]
fn invariants_hold_whatever_happens() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = ProptestConfig {
        cases: 48,
        max_shrink_iters: 200,
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };
    let terms = (1..4_u32, any::<bool>(), any::<bool>()).prop_map(|(quorum, majority, seats)| Terms {
        quorum,
        majority,
        seats,
    });
    let cases = (prop::collection::vec(step(), 1..40), terms);
    let result = TestRunner::new(config).run(&cases, |(steps, terms)| {
        runtime().block_on(run(steps, terms));
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

#[tokio::test]
async fn clocks_that_jump_back_extend_nothing() {
    let room = Room::open().await;
    let id = room.ask(&request(0, Terms { quorum: 1, majority: false, seats: false })).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    room.clock.advance(EXPIRES);
    assert_eq!(
        room.ask(&request(0, Terms { quorum: 1, majority: false, seats: false })).await.json()["status"],
        "expired"
    );
    let back = Clock::standing_at(NOON);
    let given = serde_json::from_value(json!({"decision": "approve"})).unwrap();
    let late = room.desk.store.decide(&id, &people()[0], &given, back.now()).await.unwrap_err();
    assert_eq!(late.code(), "late_decision");
}
