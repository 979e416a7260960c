//! Standing grants and ways past approvers under random interleavings, with crashes and jumps in time.
//!
//! What has to hold: a grant lets through only its own person, only between its quorum and its end, never after it was taken
//! back, and there is one at a time; past approvers goes one exchange at once, each with an entry and an approval of its own,
//! reviewed at most once and never by whoever went past.

use std::collections::{BTreeMap, BTreeSet};

use graphwarden::approvals::{Kind, RemarkKind};
use graphwarden::people::Person;
use graphwarden::settings::Raw;
use graphwarden::store::Filter;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::room::{NOON, Room, ask, person};

const EXPIRES: i64 = 100_000;
const GRANT: i64 = 60_000;

#[derive(Debug, Clone)]
enum Act {
    /// Exchange `n` of Ana or Bea, with bytes of its own.
    Grant {
        exchange: usize,
    },
    Past {
        exchange: usize,
    },
    Withdraw {
        exchange: usize,
    },
    Decide {
        whose: usize,
        person: usize,
        verdict: &'static str,
    },
    Revoke {
        whose: usize,
        person: usize,
    },
    Review {
        past: usize,
        person: usize,
    },
}

#[derive(Debug, Clone)]
enum Step {
    AtOnce(Vec<Act>),
    Wait(i64),
    Crash,
}

const REQUESTERS: [&str; 2] = ["ana", "bea"];

/// Even exchanges are Ana's, odd ones Bea's.
fn asked(exchange: usize, past: bool) -> Value {
    let mut question = ask(&format!("{}{exchange}", if past { "p" } else { "g" }));
    let subject = REQUESTERS[exchange % 2];
    question["requester"] =
        json!({"issuer": "https://idp.example", "subject": subject, "roles": ["manager"]});
    question["digest"] = json!(format!("{exchange:064x}"));
    question["asks"] = json!({"approvers": ["role:manager"], "quorum": 2, "valid_seconds": 10, "expires_seconds": EXPIRES / 1_000});
    if past {
        question["asks"]["break_glass"] = json!({"reason": format!("reason {exchange}")});
    } else {
        question["asks"]["grant_seconds"] = json!(GRANT / 1_000);
    }
    question
}

/// Ana and Bea have the role that is asked; Eve has not.
fn people() -> Vec<Person> {
    vec![
        person("max", &["manager"]),
        person("mia", &["manager"]),
        person("ana", &["manager"]),
        person("bea", &["manager"]),
        person("eve", &["analyst"]),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..6_usize).prop_map(|exchange| Act::Grant { exchange }),
        2 => (0..4_usize).prop_map(|exchange| Act::Past { exchange }),
        1 => (0..6_usize).prop_map(|exchange| Act::Withdraw { exchange }),
        5 => (0..2_usize, 0..5_usize, prop_oneof![8 => Just("approve"), 1 => Just("deny")])
            .prop_map(|(whose, person, verdict)| Act::Decide { whose, person, verdict }),
        1 => (0..2_usize, 0..5_usize).prop_map(|(whose, person)| Act::Revoke { whose, person }),
        1 => (0..4_usize, 0..5_usize).prop_map(|(past, person)| Act::Review { past, person }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        9 => prop::collection::vec(act(), 1..4).prop_map(Step::AtOnce),
        2 => (1_000..40_000_i64).prop_map(Step::Wait),
        1 => Just(Step::Crash),
    ]
}

#[derive(Default)]
struct Seen {
    /// Grants that were taken back.
    revoked: BTreeSet<String>,
    /// Exchanges that went past approvers, and the approval each was told.
    past: BTreeMap<usize, String>,
}

async fn newest(room: &Room, subject: &str) -> Option<String> {
    let filter = Filter { limit: 100, kind: Some(Kind::Standing), ..Filter::default() };
    let found = room.desk.store.approvals(&filter, room.clock.now()).await.unwrap();
    found
        .approvals
        .into_iter()
        .find(|approval| approval.requester.subject == subject)
        .map(|approval| approval.id)
}

/// What an act came to that has to be remembered.
enum Done {
    Went(usize, String),
    Granted { id: String, whose: usize },
    TakenBack(String),
    Nothing,
}

async fn perform(room: &Room, act: &Act, past: &BTreeMap<usize, String>) -> Done {
    match act {
        Act::Grant { exchange } => {
            let reply = room.ask(&asked(*exchange, false)).await;
            assert_eq!(reply.status, 200, "{}", reply.text);
            let answer = reply.json();
            assert_eq!(answer["kind"], "standing");
            let id = answer["id"].as_str().unwrap().to_owned();
            match answer["status"] == "approved" {
                true => Done::Granted { id, whose: exchange % 2 },
                false => Done::Nothing,
            }
        }
        Act::Past { exchange } => {
            let reply = room.ask(&asked(*exchange, true)).await;
            assert_eq!(reply.status, 200, "{}", reply.text);
            let answer = reply.json();
            assert_eq!((&answer["status"], &answer["kind"]), (&json!("approved"), &json!("break_glass")));
            let said = &answer["decisions"][0];
            assert_eq!(
                (&said["decision"], &said["approver"]["subject"]),
                (&json!("break_glass"), &json!(REQUESTERS[exchange % 2]))
            );
            Done::Went(*exchange, answer["id"].as_str().unwrap().to_owned())
        }
        Act::Withdraw { exchange } => {
            if let Some(id) = newest(room, REQUESTERS[exchange % 2]).await {
                let reply = room.withdraw(&id, &format!("g{exchange}")).await;
                assert!(reply.status == 204 || reply.status == 404, "{}", reply.text);
            }
            Done::Nothing
        }
        Act::Decide { whose, person, verdict } => {
            if let Some(id) = newest(room, REQUESTERS[*whose]).await {
                let decided = room.decide(&id, &people()[*person], verdict).await;
                assert!(
                    decided.is_err() || people()[*person].subject != REQUESTERS[*whose],
                    "decided about oneself"
                );
                assert!(decided.is_err() || *person != 4, "decided without the role");
            }
            Done::Nothing
        }
        Act::Revoke { whose, person } => match newest(room, REQUESTERS[*whose]).await {
            Some(id) => {
                let done =
                    room.desk.remark(&id, &people()[*person], RemarkKind::Revocation, None, None).await;
                assert!(done.is_err() || *person != 4, "taken back without the role");
                if done.is_ok() { Done::TakenBack(id) } else { Done::Nothing }
            }
            None => Done::Nothing,
        },
        Act::Review { past: exchange, person } => {
            if let Some(id) = past.get(exchange) {
                let done = room
                    .desk
                    .remark(id, &people()[*person], RemarkKind::Review, Some("accepted"), None)
                    .await;
                let own = people()[*person].subject == REQUESTERS[exchange % 2];
                assert!(done.is_err() || (!own && *person != 4), "reviewed by the wrong person");
            }
            Done::Nothing
        }
    }
}

async fn run(steps: Vec<Step>) {
    let raw = Raw { standing_grants: Some(true), ..Raw::default() };
    let mut room = Room::with(raw, graphwarden::clock::Clock::standing_at(NOON)).await;
    let mut seen = Seen::default();
    for step in steps {
        match step {
            Step::Wait(milliseconds) => room.clock.advance(milliseconds),
            Step::Crash => (room.desk, room.app) = room.beside().await,
            Step::AtOnce(acts) => {
                let (revoked, past) = (seen.revoked.clone(), seen.past.clone());
                let done = futures::future::join_all(acts.iter().map(|act| perform(&room, act, &past))).await;
                for done in done {
                    note(&room, done, &revoked, &mut seen).await;
                }
            }
        }
        check(&room, &seen).await;
    }
}

/// `revoked` is what was taken back before the acts of this step began: of two acts at once either may be the first.
async fn note(room: &Room, done: Done, revoked: &BTreeSet<String>, seen: &mut Seen) {
    match done {
        Done::Nothing => {}
        Done::TakenBack(id) => assert!(seen.revoked.insert(id), "taken back twice"),
        Done::Went(exchange, id) => {
            let known = seen.past.entry(exchange).or_insert_with(|| id.clone());
            assert_eq!(*known, id, "the same exchange went past approvers twice");
        }
        Done::Granted { id, whose } => {
            assert!(!revoked.contains(&id), "let through by a grant that was taken back");
            let approval = room.desk.store.approval(&id, room.clock.now()).await.unwrap().unwrap();
            assert_eq!(approval.requester.subject, REQUESTERS[whose], "let through by another's grant");
            assert_eq!(approval.approvals(), 2, "let through without a quorum");
            let granted = approval.decisions.iter().map(|decision| decision.at).max().unwrap();
            assert!(granted < NOON.max(approval.created_at) + EXPIRES, "granted after its end");
            assert_eq!(approval.claimable_until, Some(granted + GRANT), "the grant was made longer");
            assert!(room.clock.now() < granted + GRANT, "let through after its end");
            assert!(approval.claimed_by.is_none(), "a grant is not used up");
        }
    }
}

async fn check(room: &Room, seen: &Seen) {
    let filter = Filter { limit: 200, ..Filter::default() };
    let all = room.desk.store.approvals(&filter, room.clock.now()).await.unwrap().approvals;
    for subject in REQUESTERS {
        let open = all.iter().filter(|approval| {
            approval.kind() == Kind::Standing
                && approval.requester.subject == subject
                && ["pending", "approved"].contains(&approval.status.word())
        });
        assert!(open.count() <= 1, "two open grants for the same");
    }
    let past: BTreeSet<&str> = all
        .iter()
        .filter(|approval| approval.kind() == Kind::BreakGlass)
        .map(|approval| approval.id.as_str())
        .collect();
    assert_eq!(
        past,
        seen.past.values().map(String::as_str).collect(),
        "each exchange has an approval of its own"
    );
    for approval in &all {
        assert!(approval.remarks.len() <= 1, "reviewed or taken back twice");
        assert_eq!(
            seen.revoked.contains(&approval.id),
            approval.kind() == Kind::Standing && !approval.remarks.is_empty()
        );
    }
    let events = room.events().await;
    let entries = events.iter().filter(|(event, _)| event == "break_glass").count();
    assert_eq!(entries, past.len(), "someone went past approvers without an entry");
}

#[test]
fn grants_and_ways_past_approvers_stay_what_they_are_whatever_happens() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = ProptestConfig {
        cases: 32,
        max_shrink_iters: 200,
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };
    let result = TestRunner::new(config).run(&prop::collection::vec(step(), 1..40), |steps| {
        runtime().block_on(run(steps));
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}
