//! What becomes of records: retention, holds, exchanges that never end, clocks that are wrong.

use std::io::Cursor;

use graphwarden::package::{Request, verify};
use graphwarden::store::{Rule, Selection};
use graphwarden_policies::evidence::{Chain, EffectRecord, Kind, Record};
use serde_json::Value;

use crate::exports::{busy, filled, full};
use crate::package::{export, public, unpack};
use crate::room::{NOON, Room};

const DAY: i64 = 86_400_000;

fn rule(kinds: &[&str], classes: &[&str], days: u32) -> Rule {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Rule { kinds: owned(kinds), classes: owned(classes), days }
}

async fn contents(room: &Room) -> Vec<Value> {
    room.ledger().await.iter().map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[tokio::test]
async fn contents_go_when_their_class_says_so_and_the_log_still_verifies() {
    let room = Room::open().await;
    filled(&room).await;
    let before = room.desk.store.checkpoint(&room.desk.log_key, room.clock.now()).await.unwrap();
    let rules = [rule(&[], &["read"], 30), rule(&[], &[], 365)];
    assert_eq!(room.desk.store.purge(&rules, i64::MAX, NOON + DAY).await.unwrap(), 0, "nothing is due yet");
    assert_eq!(room.desk.store.purge(&rules, i64::MAX, NOON + 31 * DAY).await.unwrap(), 4);
    let left = contents(&room).await;
    assert!(left.iter().all(|line| line["operations"][0]["operation"] != "threads.read"), "reads are gone");
    assert_eq!(left.iter().filter(|line| line["kind"] == "admission").count(), 3);
    let purge = left.iter().find(|line| line["event"] == "purge").expect("the purge is an entry");
    assert!(purge["detail"].as_str().unwrap().contains("4 records"), "{purge}");

    let zip = export(&room, &Request::default()).await;
    let report = verify(Cursor::new(&zip), &public(&room), Some(&before.note)).unwrap();
    assert_eq!(report.since, Some(before.size), "the checkpoint from before still holds");
    assert!(
        report.open.iter().any(|open| open.contains("4 records") && open.contains("retention")),
        "{:?}",
        report.open
    );
    let leaves = String::from_utf8(unpack(&zip)["proof/leaves.txt"].clone()).unwrap();
    assert_eq!(leaves.lines().filter(|line| line.ends_with('x')).count(), 4);

    assert_eq!(room.desk.store.purge(&rules, i64::MAX, NOON + 366 * DAY).await.unwrap(), 5);
    assert!(contents(&room).await.iter().all(|line| matches!(line["kind"].as_str(), Some("desk" | "start"))));
    let zip = export(&room, &Request::default()).await;
    verify(Cursor::new(&zip), &public(&room), Some(&before.note)).unwrap();
    // A gateway that sends an emptied line again is told that it is there.
    let reply = room.hand_in(busy(NOON).join(&b'\n')).await;
    assert_eq!(reply.json()["duplicates"], 10);
}

#[tokio::test]
async fn what_is_under_a_hold_stays_until_it_is_released() {
    let room = Room::open().await;
    filled(&room).await;
    let filter = Selection { person: Some("ana".into()), ..Selection::default() };
    let hold = room.desk.store.place_hold("case 7", &filter, NOON).await.unwrap();
    let rules = [rule(&[], &[], 1)];
    let later = NOON + 9 * DAY;
    assert_eq!(room.desk.store.purge(&rules, i64::MAX, later).await.unwrap(), 3, "Eve's and Bo's");
    let left = contents(&room).await;
    assert_eq!(left.iter().filter(|line| line["actor"]["subject"] == "ana").count(), 6);
    assert!(room.desk.store.release_hold(hold, later).await.unwrap());
    assert!(!room.desk.store.release_hold(hold, later).await.unwrap(), "once");
    assert_eq!(room.desk.store.purge(&rules, i64::MAX, later).await.unwrap(), 6);
    let events: Vec<String> = room.events().await.into_iter().map(|(event, _)| event).collect();
    assert_eq!(events, ["hold_placed", "purge", "hold_released", "purge"]);
}

/// Whether these bytes stand in any file of the database; other databases keep none here.
fn stands_in_files(room: &Room, text: &str) -> bool {
    let Some(path) = room.database.path() else { return false };
    let folder = std::fs::read_dir(path.parent().unwrap()).unwrap();
    folder
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[tokio::test]
async fn copies_beside_the_ledger_go_as_records_do_and_stay_under_a_hold() {
    let room = Room::open().await;
    let store = &room.desk.store;
    let at = u64::try_from(NOON).unwrap() * 1_000;
    // A line that is refused, with a person in it.
    let seal = |subject: &str| {
        let record = full(Kind::Outcome, "e1", subject, "threads.read", EffectRecord::Allow, at);
        Chain::new("one".into()).seal(&record).unwrap().bytes
    };
    room.hand_in(seal("bo")).await;
    assert_eq!(room.hand_in(seal("planted-eve")).await.reason(), "chain_contradiction");
    // Three approvals: one denied, one that waits, one that a hold keeps.
    let ask = |exchange: &str, subject: &str, body: &str| {
        let mut ask = crate::room::ask(exchange);
        ask["requester"]["subject"] = subject.into();
        ask["requester"]["email"] = format!("{subject}@example.com").into();
        ask["operations"][0]["thread"] = format!("thread-of-{subject}").into();
        ask["preview"]["body"] = body.into();
        ask["digest"] = graphwarden_policies::evidence::sha256_hex(exchange.as_bytes()).into();
        ask
    };
    let mut ids = Vec::new();
    for (exchange, subject, body) in [
        ("x1", "planted-ana", "planted-body"),
        ("x2", "kept-kim", "kept-body"),
        ("x3", "open-ola", "open-body"),
    ] {
        ids.push(room.ask(&ask(exchange, subject, body)).await.json()["id"].as_str().unwrap().to_owned());
    }
    let manager = crate::room::person("planted-max", &["manager"]);
    for id in &ids[..2] {
        let given =
            serde_json::from_value(serde_json::json!({"decision": "deny", "comment": "planted-word"}));
        room.desk.decide(id, &manager, &given.unwrap()).await.unwrap();
    }
    let filter = Selection { person: Some("KEPT-kim".into()), ..Selection::default() };
    let hold = store.place_hold("case 8", &filter, NOON).await.unwrap();
    assert!(room.database.path().is_none() || stands_in_files(&room, "planted-body"), "the search finds it");

    let rules = [rule(&[], &[], 30), rule(&["desk"], &[], 30)];
    assert_eq!(store.purge(&rules[..1], i64::MAX, NOON + 29 * DAY).await.unwrap(), 0, "nothing is due yet");
    let later = NOON + 31 * DAY;
    store.purge(&rules, i64::MAX, later).await.unwrap();
    let about = |id: &str| {
        let (store, id) = (store.clone(), id.to_owned());
        async move { store.approval(&id, later).await.unwrap().unwrap() }
    };
    let gone = about(&ids[0]).await;
    assert_eq!(
        (gone.requester.email, gone.preview.body.as_str(), gone.decisions.len()),
        (None, "emptied by retention", 1)
    );
    assert_eq!(
        (gone.operations[0].operation.as_str(), gone.operations[0].text("thread")),
        ("threads.create_run", None)
    );
    assert_eq!(
        (&gone.decisions[0].comment, gone.decisions[0].at),
        (&None, NOON),
        "that it was decided stays"
    );
    let kept = about(&ids[1]).await;
    assert_eq!((kept.preview.body.as_str(), kept.requester.subject.as_str()), ("kept-body", "kept-kim"));
    assert_eq!(kept.decisions[0].comment.as_deref(), Some("planted-word"));
    // It waited for an answer for an hour, and that was a month ago.
    assert_eq!(about(&ids[2]).await.preview.body, "emptied by retention");
    for planted in ["planted-eve", "planted-ana", "planted-body", "open-body"] {
        assert!(!stands_in_files(&room, planted), "{planted} is still in a file");
    }
    assert_eq!(store.findings(10).await.unwrap().len(), 1, "that it was refused stays");
    let told: Vec<String> = contents(&room)
        .await
        .iter()
        .filter(|line| line["event"] == "purge")
        .map(|line| line["detail"].as_str().unwrap().to_owned())
        .collect();
    assert!(told.iter().any(|detail| detail == "1 copies of refused records"), "{told:?}");
    assert!(told.iter().any(|detail| detail == "2 approvals that were over"), "{told:?}");

    assert!(store.release_hold(hold, later).await.unwrap());
    assert_eq!(store.purge(&rules[..1], i64::MAX, later).await.unwrap(), 1);
    for planted in ["kept-body", "planted-max", "planted-word"] {
        assert!(!stands_in_files(&room, planted), "{planted} is still in a file");
    }
    // Outside of retention nobody empties anything.
    for refused in [
        "UPDATE findings SET line = ''",
        "UPDATE approvals SET preview = '{}'",
        "UPDATE approvals SET emptied_at = NULL",
        "UPDATE decisions SET comment = NULL",
        "DELETE FROM findings",
        "DELETE FROM decisions",
    ] {
        assert!(room.tamper(refused).await.is_err(), "{refused}");
    }
}

#[tokio::test]
async fn retention_waits_for_what_is_not_archived_and_ends_where_the_tree_ends() {
    let room = Room::open().await;
    filled(&room).await;
    let rules = [rule(&[], &[], 1)];
    assert_eq!(room.desk.store.purge(&rules, 3, NOON + 9 * DAY).await.unwrap(), 2, "positions 1 and 2");
    assert_eq!(room.desk.store.tree_size().await.unwrap(), 10, "the tree had every line before");
}

#[tokio::test]
async fn exchanges_that_never_ended_are_marked_once_and_only_when_silent() {
    let room = Room::open().await;
    let store = &room.desk.store;
    filled(&room).await;
    let mut chain = Chain::new("streams".into());
    let at = u64::try_from(NOON).unwrap() * 1_000;
    let mut open = vec![
        chain
            .seal(&full(Kind::Admission, "s1", "ana", "threads.create_run", EffectRecord::Allow, at))
            .unwrap()
            .bytes,
    ];
    room.hand_in(open.remove(0)).await;
    assert_eq!(store.mark_unfinished(NOON, NOON).await.unwrap(), 0, "nothing is old enough");
    room.clock.advance(600_000);
    let segment = chain.seal(&Record::new(Kind::Segment, "s1", "gate", at + 600_000_000)).unwrap().bytes;
    room.hand_in(segment).await;
    let now = room.clock.now();
    assert_eq!(store.mark_unfinished(now - 1_000, now).await.unwrap(), 1, "Bo's; the stream still flows");
    assert_eq!(store.mark_unfinished(now - 1_000, now).await.unwrap(), 0, "once");
    let marks: Vec<Value> =
        contents(&room).await.into_iter().filter(|line| line["event"] == "unfinished").collect();
    assert_eq!((marks.len(), &marks[0]["exchange"]), (1, &Value::from("e5")));
    let open: Vec<String> = store.unfinished(10).await.unwrap().into_iter().map(|one| one.0).collect();
    assert_eq!(open, ["e5"]);
    // A late outcome ends it; a stream that falls silent does not.
    let outcome = chain
        .seal(&full(Kind::Outcome, "e5", "bo", "threads.create_run", EffectRecord::Allow, at))
        .unwrap()
        .bytes;
    room.hand_in(outcome).await;
    assert!(store.unfinished(10).await.unwrap().is_empty());
    room.clock.advance(600_000);
    let now = room.clock.now();
    assert_eq!(store.mark_unfinished(now - 1_000, now).await.unwrap(), 1);
    let kinds: Vec<String> =
        store.all_findings(now).await.unwrap().into_iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, ["clock_back", "unfinished"], "the outcome was sealed after a later line");
}

#[tokio::test]
async fn clocks_that_go_back_or_are_ahead_are_findings() {
    let room = Room::open().await;
    let at = |ms: i64| u64::try_from(NOON + ms).unwrap() * 1_000;
    let mut chain = Chain::new("one".into());
    let lines: Vec<Vec<u8>> = [at(0), at(5_000), at(1_000), at(600_000), at(700_000)]
        .into_iter()
        .map(|at| chain.seal(&Record::new(Kind::Outcome, "x", "gate", at)).unwrap().bytes)
        .collect();
    assert_eq!(room.hand_in(lines.join(&b'\n')).await.json()["accepted"], 5, "they are taken all the same");
    let mut found: Vec<(String, Option<i64>)> =
        room.desk.store.findings(10).await.unwrap().into_iter().map(|one| (one.kind, one.seq)).collect();
    found.sort();
    assert_eq!(
        found,
        [("clock_ahead".to_owned(), Some(3)), ("clock_back".to_owned(), Some(2))],
        "ahead is told once a chain"
    );
}
