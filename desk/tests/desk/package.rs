//! Exports and their verification: what was tampered with is found, whoever did it.
//!
//! Two attackers: an outsider, who changes the file (found by the signed manifest), and the desk's owner, who
//! holds the key and signs anew what was changed (found by leaves, chains and earlier checkpoints).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read, Write};

use graphwarden::log::{LogKey, PublicKey, Root};
use graphwarden::package::{Report, Request, verify, write};
use graphwarden::store::{Selection, Store};
use graphwarden_policies::evidence::{Chain, Kind, Record};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::evidence::lines;
use crate::room::{NOON, Room, ask, person};

pub(crate) type Files = BTreeMap<String, Vec<u8>>;
type Attack = Box<dyn Fn(&mut Vec<Vec<u8>>)>;

/// A ledger with three chains whose lines came mixed, an approval and a few doings of the desk's own.
async fn filled() -> Room {
    let room = Room::open().await;
    let chains = [lines("one", 12), lines("two", 9), lines("three", 7)];
    for at in 0..4 {
        for chain in &chains {
            let batch: Vec<u8> = chain.iter().skip(at * 3).take(3).cloned().collect::<Vec<_>>().join(&b'\n');
            if !batch.is_empty() {
                assert_eq!(room.hand_in(batch).await.status, 200);
            }
        }
    }
    let mut request = ask("x1");
    request["requester"]["name"] = "=HYPERLINK(\"evil\")".into();
    let id = room.ask(&request).await.json()["id"].as_str().unwrap().to_owned();
    room.decide(&id, &person("max", &["manager"]), "approve").await.unwrap();
    room
}

pub(crate) async fn export(room: &Room, request: &Request) -> Vec<u8> {
    let path = room.file("export.zip");
    let file = File::create(&path).unwrap();
    write(&room.desk.store, &room.desk.log_key, request, room.clock.now(), file).await.unwrap();
    std::fs::read(path).unwrap()
}

pub(crate) fn public(room: &Room) -> PublicKey {
    PublicKey::parse(room.desk.log_key.public()).unwrap()
}

fn check(room: &Room, zip: &[u8]) -> anyhow::Result<Report> {
    verify(Cursor::new(zip), &public(room), None)
}

pub(crate) fn unpack(zip: &[u8]) -> Files {
    let mut archive = ZipArchive::new(Cursor::new(zip)).unwrap();
    (0..archive.len())
        .map(|index| {
            let mut file = archive.by_index(index).unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            (file.name().unwrap().into_owned(), bytes)
        })
        .collect()
}

fn pack(files: &Files) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(
            name.as_str(),
            SimpleFileOptions::default().compression_method(CompressionMethod::Stored),
        )
        .unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// What the desk's owner can do: a new manifest over changed files, signed with the right key.
pub(crate) fn signed_anew(mut files: Files, key: &LogKey) -> Vec<u8> {
    let mut text = "graphwarden export 1\nmade x\nfrom -\nto -\n".to_owned();
    for (name, bytes) in files.iter().filter(|(name, _)| *name != "MANIFEST") {
        let hash = graphwarden_policies::evidence::hex(&Sha256::digest(bytes));
        text.push_str(&format!("{hash} {} {name}\n", bytes.len()));
    }
    files.insert("MANIFEST".into(), key.sign(text.as_bytes()).unwrap());
    pack(&files)
}

fn records(files: &Files) -> Vec<Vec<u8>> {
    let bytes = &files["records.jsonl"];
    bytes.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn set_records(files: &mut Files, lines: &[Vec<u8>]) {
    files.insert("records.jsonl".into(), [lines.join(&b'\n'), b"\n".to_vec()].concat());
}

/// What the desk's owner can do to go further: leaves and checkpoint made anew from the changed records.
pub(crate) fn rebuilt(mut files: Files, key: &LogKey) -> Vec<u8> {
    let mut root = Root::new();
    let mut leaves = String::new();
    for line in records(&files) {
        let hash = tlog_tiles::record_hash(&line);
        root.push(0, hash).unwrap();
        leaves.push_str(&format!("{}+\n", graphwarden_policies::evidence::hex(&hash.0)));
    }
    files.insert("proof/leaves.txt".into(), leaves.into_bytes());
    let range = serde_json::json!({"first": 0, "count": root.size(), "before": [], "after": []});
    files.insert("proof/range.json".into(), range.to_string().into_bytes());
    files.insert("proof/checkpoint".into(), key.checkpoint(root.size(), root.hash()).unwrap());
    signed_anew(files, key)
}

#[tokio::test]
async fn a_sound_export_is_proven_and_says_what_is_not() {
    let room = filled().await;
    let report = check(&room, &export(&room, &Request::default()).await).unwrap();
    assert_eq!((report.records, report.ledger, report.chains, report.since), (29, 29, 4, None));
    assert_eq!(report.open.len(), 2, "{:?}", report.open);
    assert_eq!(report.tables, ["invocations.csv", "tokens.csv", "access-review.csv"]);
}

#[tokio::test]
async fn the_tables_are_readable_and_safe() {
    let room = filled().await;
    let files = unpack(&export(&room, &Request::default()).await);
    let text = |name: &str| String::from_utf8(files[name].clone()).unwrap();
    assert!(text("invocations.csv").starts_with("time,name,email,"));
    assert_eq!(text("invocations.csv").lines().count(), 29, "28 outcomes and the heading");
    let approvals = text("approvals.csv");
    assert!(approvals.contains("'=HYPERLINK") && !approvals.contains(",\"=HYPERLINK"), "{approvals}");
    assert!(approvals.contains("max@example.com") && approvals.contains(",approve,"));
    assert!(text("README.txt").contains("graphwarden verify"));
    assert_eq!(records(&files), room.ledger().await);
    let mut times: Vec<_> =
        text("invocations.csv").lines().skip(1).map(|line| line[..27].to_owned()).collect();
    let shown = times.clone();
    times.sort();
    assert_eq!(shown, times, "chronological");
}

#[tokio::test]
async fn a_range_of_dates_is_proven_within_the_whole_ledger() {
    let room = filled().await;
    for (from, to, expected) in [(2, 5, 9), (0, 1, 3), (11, 12, 1), (30, 40, 0)] {
        let selection = Selection {
            from: Some(NOON + from * 1_000),
            to: Some(NOON + to * 1_000),
            ..Selection::default()
        };
        let request = Request { selection, ..Request::default() };
        let zip = export(&room, &request).await;
        let report = check(&room, &zip).unwrap();
        // The desk's own entry is from noon as well.
        let own = u64::from(from == 0);
        assert_eq!((report.records, report.ledger), (expected + own, 29), "{from}..{to}");
    }
}

#[tokio::test]
async fn an_empty_ledger_can_be_exported_too() {
    let room = Room::open().await;
    let report = check(&room, &export(&room, &Request::default()).await).unwrap();
    assert_eq!((report.records, report.ledger), (0, 0));
}

#[tokio::test]
async fn flipped_bytes_of_every_file_are_found() {
    let room = filled().await;
    let files = unpack(&export(&room, &Request::default()).await);
    for (name, bytes) in &files {
        // Some forty bytes of every file, the first and the last among them.
        let step = (bytes.len() / 40).max(1);
        for index in (0..bytes.len()).step_by(step).chain([bytes.len() - 1]) {
            let mut changed = files.clone();
            changed.get_mut(name).unwrap()[index] ^= 1;
            assert!(check(&room, &pack(&changed)).is_err(), "{name} byte {index}");
        }
        for change in [bytes.len() - 1, 0] {
            let mut cut = files.clone();
            cut.get_mut(name).unwrap().truncate(change);
            assert!(check(&room, &pack(&cut)).is_err(), "{name} cut to {change}");
        }
        let mut missing = files.clone();
        missing.remove(name);
        assert!(check(&room, &pack(&missing)).is_err(), "{name} removed");
    }
    let mut added = files.clone();
    added.insert("extra.txt".into(), b"x".to_vec());
    assert!(check(&room, &pack(&added)).unwrap_err().to_string().contains("extra.txt was added"));
}

#[tokio::test]
async fn flipped_bytes_of_the_zip_itself_are_found_or_change_no_content() {
    let room = filled().await;
    let zip = export(&room, &Request::default()).await;
    let files = unpack(&zip);
    for index in (0..zip.len()).step_by(zip.len() / 150) {
        let mut changed = zip.clone();
        changed[index] ^= 0x10;
        if check(&room, &changed).is_ok() {
            assert_eq!(unpack(&changed), files, "byte {index}");
        }
    }
    for keep in [0, 1, zip.len() / 2, zip.len() - 1] {
        assert!(check(&room, &zip[..keep]).is_err(), "cut to {keep}");
    }
}

#[tokio::test]
async fn a_second_file_of_the_same_name_does_not_hide() {
    let room = filled().await;
    let mut files = unpack(&export(&room, &Request::default()).await);
    files.insert("README.txu".into(), b"other words".to_vec());
    let zip = pack(&files);
    let mut twice = zip.clone();
    for at in 0..zip.len() - 10 {
        if &zip[at..at + 10] == b"README.txu" {
            twice[at..at + 10].copy_from_slice(b"README.txt");
        }
    }
    assert!(check(&room, &twice).is_err());
}

#[tokio::test]
async fn a_changed_record_is_named_by_its_line() {
    let room = filled().await;
    let mut files = unpack(&export(&room, &Request::default()).await);
    let mut lines = records(&files);
    let text =
        String::from_utf8(lines[10].clone()).unwrap().replace("\"gateway\":\"gate\"", "\"gateway\":\"gaTe\"");
    lines[10] = text.into_bytes();
    set_records(&mut files, &lines);
    for zip in [pack(&files), signed_anew(files.clone(), &room.desk.log_key)] {
        let error = format!("{:#}", check(&room, &zip).unwrap_err());
        assert!(error.contains("records.jsonl, line 11 "), "{error}");
    }
}

#[tokio::test]
async fn the_owner_who_signs_anew_is_found_by_the_leaves() {
    let room = filled().await;
    let files = unpack(&export(&room, &Request::default()).await);
    let original = records(&files);
    let last = original.len() - 1;
    let attacks: [(&str, Attack); 6] = [
        ("drop", Box::new(|lines| drop(lines.remove(5)))),
        ("insert", Box::new(|lines| lines.insert(5, lines[20].clone()))),
        ("reorder", Box::new(|lines| lines.swap(5, 6))),
        ("truncate", Box::new(move |lines| lines.truncate(last))),
        ("swap contents", Box::new(|lines| lines.swap(0, 20))),
        ("append", Box::new(|lines| lines.push(lines[0].clone()))),
    ];
    for (name, attack) in attacks {
        let mut lines = original.clone();
        attack(&mut lines);
        let mut changed = files.clone();
        set_records(&mut changed, &lines);
        let error = check(&room, &signed_anew(changed, &room.desk.log_key)).unwrap_err();
        assert!(format!("{error:#}").contains("records.jsonl"), "{name}: {error:#}");
    }
    for name in ["proof/leaves.txt", "proof/range.json", "proof/checkpoint"] {
        let mut changed = files.clone();
        let middle = changed[name].len() / 2;
        changed.get_mut(name).unwrap()[middle] ^= 1;
        assert!(check(&room, &signed_anew(changed, &room.desk.log_key)).is_err(), "{name}");
    }
}

#[tokio::test]
async fn the_owner_who_rebuilds_the_tree_is_found_by_the_chains_and_by_an_earlier_checkpoint() {
    let room = filled().await;
    let key = &room.desk.log_key;
    let kept = room.desk.store.checkpoint(key, room.clock.now()).await.unwrap().note;
    room.hand_in(lines("four", 3).join(&b'\n')).await;
    let files = unpack(&export(&room, &Request { since: Some(kept.clone()), ..Request::default() }).await);
    let original = records(&files);
    let since = |zip: &[u8]| verify(Cursor::new(zip), &public(&room), Some(&kept));
    let sound = since(&pack(&files)).unwrap();
    assert_eq!((sound.since, sound.open.len()), (Some(29), 1), "only the desk's own word is open");
    assert!(check(&room, &rebuilt(files.clone(), key)).is_ok(), "a true copy is sound");

    let seen_by_chains: [(&str, Attack); 3] = [
        (
            "a changed record",
            Box::new(|lines| {
                lines[4] = String::from_utf8(lines[4].clone()).unwrap().replace("gate", "gaTe").into_bytes();
            }),
        ),
        ("a record twice", Box::new(|lines| lines.insert(9, lines[4].clone()))),
        (
            "two contents swapped",
            Box::new(|lines| {
                let (one, two) = (lines[0].clone(), lines[1].clone());
                let swap = |from: &[u8], to: &[u8]| {
                    let (from, to) =
                        (String::from_utf8(from.to_vec()).unwrap(), String::from_utf8(to.to_vec()).unwrap());
                    let (head, _) = from.split_once("\"kind\"").unwrap();
                    let (_, tail) = to.split_once("\"kind\"").unwrap();
                    format!("{head}\"kind\"{tail}").into_bytes()
                };
                (lines[0], lines[1]) = (swap(&one, &two), swap(&two, &one));
            }),
        ),
    ];
    for (name, attack) in seen_by_chains {
        let mut lines = original.clone();
        attack(&mut lines);
        let mut changed = files.clone();
        set_records(&mut changed, &lines);
        let error = check(&room, &rebuilt(changed, key)).unwrap_err();
        assert!(format!("{error:#}").contains("chain"), "{name}: {error:#}");
    }
    let mut dropped = files.clone();
    set_records(&mut dropped, &[&original[..4], &original[5..]].concat());
    let error = format!("{:#}", check(&room, &rebuilt(dropped.clone(), key)).unwrap_err());
    assert!(error.contains("invocations.csv"), "the tables say more than the records: {error}");
    assert!(since(&rebuilt(dropped, key)).is_err(), "and is found with an earlier checkpoint");

    // A tail that is cut off leaves every chain whole: only what was kept outside tells.
    for keep in [3, 20, 28] {
        let mut cut = files.clone();
        set_records(&mut cut, &original[..keep]);
        let error = format!("{:#}", since(&rebuilt(cut, key)).unwrap_err());
        assert!(error.contains("shrunk"), "{error}");
    }
    let mut chain = Chain::new("one".into());
    let forged: Vec<Vec<u8>> = (0..32)
        .map(|index| chain.seal(&Record::new(Kind::Outcome, &format!("f{index}"), "gate", 1)).unwrap().bytes)
        .collect();
    let mut rewritten = files.clone();
    set_records(&mut rewritten, &forged);
    let error = format!("{:#}", since(&rebuilt(rewritten, key)).unwrap_err());
    assert!(error.contains("rewritten"), "{error}");
}

#[tokio::test]
async fn another_key_proves_nothing() {
    let room = filled().await;
    let files = unpack(&export(&room, &Request::default()).await);
    let other = LogKey::generate().unwrap();
    assert!(check(&room, &rebuilt(files.clone(), &other)).is_err(), "resigned with another key");
    let stranger = PublicKey::parse(other.public()).unwrap();
    assert!(verify(Cursor::new(pack(&files)), &stranger, None).is_err());
}

#[tokio::test]
async fn a_database_rolled_back_to_an_older_copy_cannot_prove_a_later_checkpoint() {
    let room = filled().await;
    let key = room.desk.log_key.clone();
    let old = room.copy().await;
    room.hand_in(lines("later", 5).join(&b'\n')).await;
    let kept = room.desk.store.checkpoint(&key, room.clock.now()).await.unwrap().note;
    let rolled_back = Store::open(&old, false).await.unwrap();
    let zip = room.file("export.zip");
    let request = Request { since: Some(kept.clone()), ..Request::default() };
    let refused = write(&rolled_back, &key, &request, NOON, File::create(&zip).unwrap()).await.unwrap_err();
    assert!(refused.to_string().contains("rolled back"), "{refused}");
    write(&rolled_back, &key, &Request::default(), NOON, File::create(&zip).unwrap()).await.unwrap();
    let error = verify(File::open(&zip).unwrap(), &public(&room), Some(&kept)).unwrap_err();
    assert!(error.to_string().contains("shrunk"), "{error}");
}

#[tokio::test]
async fn the_checkpoint_is_served_signed_and_grows() {
    let room = filled().await;
    let key = PublicKey::parse(&room.get("/v1/ledger/key").await.text).unwrap();
    let first = key.checkpoint(room.get("/v1/ledger/checkpoint").await.text.as_bytes()).unwrap();
    assert_eq!(first.size(), 29);
    assert_eq!(room.get("/v1/ledger/checkpoint").await.text, room.get("/v1/ledger/checkpoint").await.text);
    room.hand_in(lines("more", 1).join(&b'\n')).await;
    let second = key.checkpoint(room.get("/v1/ledger/checkpoint").await.text.as_bytes()).unwrap();
    assert_eq!(second.size(), 30);
    let proof = room.desk.store.consistency(29, 30).await.unwrap();
    tlog_tiles::check_tree(&proof, 30, *second.hash(), 29, *first.hash()).unwrap();
}
