//! Evidence as a gateway hands it in.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use graphwarden_policies::evidence::{Chain, Kind, Record};
use serde_json::json;

use crate::KIND;
use crate::room::{NOON, Room, TOKEN, ask, person};

/// `count` lines of one chain, one a second from noon.
pub(crate) fn lines(chain: &str, count: u64) -> Vec<Vec<u8>> {
    let mut chain = Chain::new(chain.to_owned());
    let noon = u64::try_from(NOON).unwrap() * 1_000;
    (0..count)
        .map(|index| {
            let record = Record::new(Kind::Outcome, &format!("x{index}"), "gate", noon + index * 1_000_000);
            chain.seal(&record).unwrap().bytes
        })
        .collect()
}

fn batch(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.join(&b'\n')
}

#[tokio::test]
async fn lines_come_out_byte_for_byte_in_order_of_arrival() {
    let room = Room::open().await;
    let (one, two) = (lines("one", 3), lines("two", 2));
    assert_eq!(room.hand_in(batch(&one[..2])).await.json(), json!({"accepted": 2, "duplicates": 0}));
    assert_eq!(room.hand_in(batch(&two)).await.json(), json!({"accepted": 2, "duplicates": 0}));
    assert_eq!(room.hand_in(batch(&one[2..])).await.json(), json!({"accepted": 1, "duplicates": 0}));
    assert_eq!(room.ledger().await, [&one[0], &one[1], &two[0], &two[1], &one[2]].map(Clone::clone));
}

#[tokio::test]
async fn a_batch_that_comes_again_is_acknowledged_and_not_doubled() {
    let room = Room::open().await;
    let lines = lines("one", 100);
    room.hand_in(batch(&lines[..60])).await;
    assert_eq!(room.hand_in(batch(&lines[40..])).await.json(), json!({"accepted": 40, "duplicates": 20}));
    assert_eq!(room.hand_in(batch(&lines)).await.json(), json!({"accepted": 0, "duplicates": 100}));
    assert_eq!(room.ledger().await, lines);
}

#[tokio::test]
async fn lines_that_overtake_each_other_are_taken_and_the_gap_is_shown_until_it_closes() {
    let room = Room::open().await;
    let lines = lines("one", 4);
    room.hand_in(batch(&lines[..1])).await;
    room.hand_in(batch(&lines[3..])).await;
    let gaps = room.desk.store.gaps().await.unwrap();
    assert_eq!((gaps[0].last, gaps[0].missing), (3, 2));
    room.hand_in(batch(&lines[2..3])).await;
    room.hand_in(batch(&lines[1..2])).await;
    assert!(room.desk.store.gaps().await.unwrap().is_empty());
    assert_eq!(room.ledger().await.len(), 4);
}

#[tokio::test]
async fn a_fork_is_refused_whole_and_kept_as_a_finding() {
    let room = Room::open().await;
    let mine = lines("one", 3);
    room.hand_in(batch(&mine)).await;
    let mut other = Chain::new("one".into());
    let forged = other.seal(&Record::new(Kind::Outcome, "forged", "gate", 0)).unwrap().bytes;
    let fresh = lines("two", 1);
    let reply = room.hand_in(batch(&[fresh[0].clone(), forged])).await;
    assert_eq!((reply.status, reply.reason().as_str()), (StatusCode::CONFLICT, "chain_contradiction"));
    assert_eq!(room.ledger().await, mine, "nothing of the batch was taken");
    let findings = room.desk.store.findings(10).await.unwrap();
    assert_eq!((findings[0].chain.as_str(), findings[0].seq), ("one", Some(0)));
    assert_eq!(room.hand_in(batch(&fresh)).await.status, StatusCode::OK, "the chain beside it goes on");
}

#[tokio::test]
async fn a_line_that_does_not_follow_is_refused_in_every_position() {
    let room = Room::open().await;
    let mut lines = lines("one", 4);
    let zero = "0".repeat(64);
    let broken = |line: &[u8]| {
        let text = String::from_utf8(line.to_vec()).unwrap();
        let prev =
            serde_json::from_str::<serde_json::Value>(&text).unwrap()["prev"].as_str().unwrap().to_owned();
        text.replace(&prev, if prev == zero { "11".repeat(32) } else { zero.clone() }.as_str()).into_bytes()
    };
    assert_eq!(room.hand_in(broken(&lines[0])).await.reason(), "chain_contradiction", "the first");
    room.hand_in(lines[0].clone()).await;
    assert_eq!(room.hand_in(broken(&lines[1])).await.reason(), "chain_contradiction", "the next");
    room.hand_in(lines[3].clone()).await;
    let mut changed = lines[2].clone();
    let at = changed.len() - 3;
    changed[at] ^= 1;
    assert_eq!(
        room.hand_in(changed).await.reason(),
        "chain_contradiction",
        "one before a line already there"
    );
    room.hand_in(lines[2].clone()).await;
    assert_eq!(room.hand_in(broken(&lines[1])).await.reason(), "chain_contradiction", "one in a gap");
    assert_eq!(room.hand_in(lines.remove(1)).await.status, StatusCode::OK);
    assert_eq!(room.desk.store.findings(10).await.unwrap().len(), 3, "the same line twice is one finding");
}

#[tokio::test]
async fn malformed_lines_are_refused_by_number_and_without_their_text() {
    let room = Room::open().await;
    let good = lines("one", 1).remove(0);
    let text = String::from_utf8(good.clone()).unwrap();
    let cases = [
        "secret".to_owned(),
        "[]".to_owned(),
        String::new(),
        text.replace("\"v\":1", "\"v\":2"),
        text.replace("\"outcome\"", "\"desk\""),
        text.replace("\"chain\":\"one\"", "\"chain\":\"desk-1\""),
        text.replace("\"chain\":\"one\"", "\"chain\":\"\""),
        text.replace("\"seq\":0", "\"seq\":-1"),
        text.replace("\"seq\":0", "\"seq\":9223372036854775807"),
        text.replace("\"prev\":\"0", "\"prev\":\"G"),
        text.replace("\"at\":\"2025", "\"at\":\"20x5"),
        text.replace("\"seq\":0", "\"seq\":0,\"seq\":1"),
    ];
    for case in cases {
        let reply = room.hand_in(format!("{text}\n{case}\n")).await;
        assert_eq!((reply.status, reply.reason().as_str()), (StatusCode::BAD_REQUEST, "malformed"), "{case}");
        assert!(reply.text.contains("line 2") && !reply.text.contains("secret"), "{}", reply.text);
    }
    assert_eq!(room.hand_in("").await.reason(), "malformed");
    assert!(room.ledger().await.is_empty());
}

#[tokio::test]
async fn a_wrong_token_or_type_is_refused() {
    let room = Room::open().await;
    let line = lines("one", 1).remove(0);
    let reply = room
        .send(
            Request::post("/v1/evidence")
                .header("content-type", "application/x-ndjson")
                .body(Body::from(line.clone()))
                .unwrap(),
        )
        .await;
    assert_eq!((reply.status, reply.reason().as_str()), (StatusCode::UNAUTHORIZED, "gateway_token"));
    let json = Request::post("/v1/evidence").header("authorization", format!("Bearer {TOKEN}"));
    let reply =
        room.send(json.header("content-type", "application/json").body(Body::from(line)).unwrap()).await;
    assert_eq!(reply.reason(), "media_type");
    let large = room.hand_in(vec![b'\n'; 17 << 20]).await;
    assert_eq!((large.status, large.reason().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "too_large"));
}

#[tokio::test]
async fn batches_that_come_together_are_all_taken() {
    let room = Room::open().await;
    let batches: Vec<Vec<u8>> = (0..50).map(|index| batch(&lines(&format!("c{index}"), 20))).collect();
    let replies = futures::future::join_all(batches.into_iter().map(|batch| room.hand_in(batch))).await;
    assert!(replies.iter().all(|reply| reply.json() == json!({"accepted": 20, "duplicates": 0})));
    assert_eq!(room.ledger().await.len(), 1_000);
}

#[tokio::test]
async fn without_its_database_nothing_is_acknowledged() {
    let room = Room::open().await;
    room.desk.store.close().await;
    let reply = room.hand_in(batch(&lines("one", 1))).await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "storage_unavailable")
    );
}

#[tokio::test]
async fn the_tables_refuse_to_be_rewritten() {
    let room = Room::open().await;
    room.hand_in(batch(&lines("one", 2))).await;
    let id = room.ask(&ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    room.decide(&id, &person("max", &["manager"]), "approve").await.unwrap();
    let replacing = [
        "INSERT OR REPLACE INTO lines SELECT 0, chain, seq, hash, prev, x'78', 0, 0, kind, null, null, null, null, null, null, null, null, null FROM lines WHERE position = 0",
        "INSERT OR REPLACE INTO lines SELECT 99, chain, seq, hash, prev, x'78', 0, 0, kind, null, null, null, null, null, null, null, null, null FROM lines WHERE position = 0",
        "INSERT OR REPLACE INTO decisions SELECT id, approval, issuer, subject, name, email, roles, 'deny', comment, at, fits FROM decisions",
    ];
    let truncating = ["TRUNCATE lines", "TRUNCATE decisions", "TRUNCATE approvals CASCADE"];
    let rewriting = [
        "UPDATE lines SET line = prev WHERE position = 0",
        "DELETE FROM lines WHERE position = 1",
        "INSERT INTO lines SELECT 99, 'x', seq, hash, prev, line, 0, 0, kind, null, null, null, null, null, null, null, null, null FROM lines WHERE position = 0",
        "UPDATE decisions SET decision = 'deny'",
        "DELETE FROM decisions",
        "DELETE FROM approvals",
        "UPDATE approvals SET state = 'pending'",
        "UPDATE approvals SET requester_subject = 'eve'",
        "UPDATE approvals SET undecided_until = undecided_until + 1",
        "UPDATE approvals SET claimable_until = claimable_until + 1",
    ];
    let of_kind: &[&str] = if KIND == crate::room::Kind::Sqlite { &replacing } else { &truncating };
    for attack in of_kind.iter().chain(&rewriting) {
        let error = room.tamper(attack).await.unwrap_err();
        assert!(error.contains("append_only") || error.contains("approvals_"), "{attack}: {error}");
    }
    room.tamper("SELECT 1 FROM lines").await.unwrap();
}

#[tokio::test]
async fn what_people_do_is_written_into_the_desks_own_chain() {
    let room = Room::open().await;
    room.hand_in(batch(&lines("one", 1))).await;
    let id = room.ask(&ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    room.decide(&id, &person("eve", &[]), "approve").await.unwrap_err();
    room.decide(&id, &person("max", &["manager"]), "approve").await.unwrap();
    let all = room.ledger().await;
    let mut succession = None;
    let mut events = Vec::new();
    for line in &all {
        let entry: serde_json::Value = serde_json::from_slice(line).unwrap();
        if entry["kind"] == "desk" {
            let chain = entry["chain"].as_str().unwrap();
            succession
                .get_or_insert_with(|| graphwarden_policies::evidence::Succession::from_start(chain))
                .accept(line)
                .unwrap();
            events.push((entry["event"].clone(), entry["reason"].clone(), entry["actor"]["subject"].clone()));
        }
    }
    assert_eq!(
        events,
        [
            (json!("decision_refused"), json!("not_an_approver"), json!("eve")),
            (json!("decision"), json!(null), json!("max")),
        ]
    );
}
