//! Checkpoints that go where the desk's owner cannot rewrite them, tiles, and the archive.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use graphwarden::keeping;
use graphwarden::log::PublicKey;
use graphwarden::publish::{RawPublish, RawWebhook, RawWitness, WitnessKey};
use graphwarden::settings::Raw;
use tlog_tiles::{Hash, Tile, TileHashReader, TileReader};

use crate::evidence::lines;
use crate::room::{NOON, Room};

/// A service of the tests on a port of its own; it ends with the test.
async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await });
    url
}

async fn room(publish: RawPublish) -> Room {
    let clock = graphwarden::clock::Clock::standing_at(NOON);
    Room::with(Raw { publish, ..Raw::default() }, clock).await
}

async fn unpublished(room: &Room) -> Vec<String> {
    let findings = room.desk.store.all_findings(room.clock.now()).await.unwrap();
    findings
        .into_iter()
        .filter(|finding| finding.kind == "unpublished")
        .map(|finding| finding.chain)
        .collect()
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<(StatusCode, Vec<Vec<u8>>)>>);

#[tokio::test]
async fn a_webhook_gets_every_checkpoint_once_and_a_refusal_is_a_finding_until_it_takes_one() {
    let kept = Kept::default();
    kept.0.lock().unwrap().0 = StatusCode::SERVICE_UNAVAILABLE;
    let take = async |State(kept): State<Kept>, headers: HeaderMap, body: Bytes| {
        assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
        let mut kept = kept.0.lock().unwrap();
        if kept.0.is_success() {
            kept.1.push(body.to_vec());
        }
        kept.0
    };
    let url = serve(Router::new().route("/keep", post(take)).with_state(kept.clone())).await;
    let webhook = RawWebhook { url: format!("{url}/keep?secret=s3cret"), token_env: None };
    let room = room(RawPublish { webhook: Some(webhook), ..RawPublish::default() }).await;
    room.hand_in(lines("one", 3).join(&b'\n')).await;
    keeping::round(&room.desk).await;
    assert_eq!(unpublished(&room).await, [format!("webhook {url}/keep")], "and no secret of the URL");
    kept.0.lock().unwrap().0 = StatusCode::NO_CONTENT;
    keeping::round(&room.desk).await;
    keeping::round(&room.desk).await;
    assert!(unpublished(&room).await.is_empty());
    room.hand_in(lines("two", 3).join(&b'\n')).await;
    keeping::round(&room.desk).await;
    let key = PublicKey::parse(room.desk.log_key.public()).unwrap();
    let sizes: Vec<u64> =
        kept.0.lock().unwrap().1.iter().map(|note| key.checkpoint(note).unwrap().size()).collect();
    assert_eq!(sizes, [3, 6]);
}

/// A witness as C2SP tlog-witness describes it: it signs only what its last signature is the beginning of.
#[derive(Clone)]
struct Witness(Arc<Mutex<Known>>);

/// The log's key, and the checkpoint that was signed last.
type Known = (String, Option<(u64, Hash)>);

const WITNESS: [u8; 32] = [9; 32];

fn witness_key() -> (String, u32) {
    let public = SigningKey::from_bytes(&WITNESS).verifying_key();
    let bytes = [&[4_u8], public.as_bytes().as_slice()].concat();
    let id = signed_note::key_id("witness.test", &bytes);
    (format!("witness.test+{id:08x}+{}", STANDARD.encode(bytes)), id)
}

async fn add_checkpoint(State(witness): State<Witness>, body: String) -> (StatusCode, String) {
    let mut state = witness.0.lock().unwrap();
    let (head, note) = body.split_once("\n\n").unwrap();
    let mut head = head.lines();
    let old: u64 = head.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
    let proof: Vec<Hash> =
        head.map(|line| Hash(STANDARD.decode(line).unwrap().try_into().unwrap())).collect();
    let Ok(checkpoint) = PublicKey::parse(&state.0).unwrap().checkpoint(note.as_bytes()) else {
        return (StatusCode::FORBIDDEN, String::new());
    };
    let (size, hash) = state.1.unwrap_or((0, tlog_tiles::EMPTY_HASH));
    if old != size {
        return (StatusCode::CONFLICT, format!("{size}\n"));
    }
    if size > 0 && tlog_tiles::check_tree(&proof, checkpoint.size(), *checkpoint.hash(), size, hash).is_err()
    {
        return (StatusCode::UNPROCESSABLE_ENTITY, String::new());
    }
    state.1 = Some((checkpoint.size(), *checkpoint.hash()));
    let (text, _) = note.split_once("\n\n").unwrap();
    let time = 1_763_812_800_u64;
    let signature =
        SigningKey::from_bytes(&WITNESS).sign(format!("cosignature/v1\ntime {time}\n{text}\n").as_bytes());
    let bytes = [&witness_key().1.to_be_bytes()[..], &time.to_be_bytes(), &signature.to_bytes()].concat();
    (StatusCode::OK, format!("— witness.test {}\n", STANDARD.encode(bytes)))
}

#[tokio::test]
async fn a_witness_cosigns_what_only_grew_and_nothing_else() {
    let witness = Witness(Arc::new(Mutex::new((String::new(), None))));
    let url =
        serve(Router::new().route("/add-checkpoint", post(add_checkpoint)).with_state(witness.clone())).await;
    let configured = RawWitness { url, key: witness_key().0 };
    let room = room(RawPublish { witnesses: vec![configured], ..RawPublish::default() }).await;
    witness.0.lock().unwrap().0 = room.desk.log_key.public().to_owned();
    let key = WitnessKey::parse(&witness_key().0).unwrap();
    for chain in ["one", "two", "three"] {
        room.hand_in(lines(chain, 5).join(&b'\n')).await;
        keeping::round(&room.desk).await;
        assert!(unpublished(&room).await.is_empty(), "{:?}", room.desk.store.publications().await.unwrap());
        let note = room.get("/v1/ledger/checkpoint").await.text;
        assert_eq!(key.cosigned(note.as_bytes()), Some(1_763_812_800), "{note}");
        assert!(PublicKey::parse(room.desk.log_key.public()).unwrap().checkpoint(note.as_bytes()).is_ok());
    }
    // It remembers another size than the desk: it says so, and the desk proves from there.
    let name = "witness witness.test";
    room.desk.store.published(name, 4, NOON).await.unwrap();
    room.hand_in(lines("four", 5).join(&b'\n')).await;
    keeping::round(&room.desk).await;
    assert!(unpublished(&room).await.is_empty());
    // The ledger was exchanged for another: the witness does not sign, and the desk shows it.
    witness.0.lock().unwrap().1 = Some((7, Hash([1; 32])));
    room.hand_in(lines("five", 5).join(&b'\n')).await;
    keeping::round(&room.desk).await;
    assert_eq!(unpublished(&room).await, [name]);
    witness.0.lock().unwrap().1 = Some((700, Hash([1; 32])));
    keeping::round(&room.desk).await;
    let said = room.desk.store.publication(name).await.unwrap().error.unwrap();
    assert!(said.contains("rolled back"), "{said}");
}

#[tokio::test]
async fn a_bucket_keeps_each_checkpoint_and_notices_another_of_the_same_size() {
    let directory = tempfile::tempdir().unwrap();
    let bucket = url::Url::from_directory_path(directory.path()).unwrap();
    let publish = RawPublish { bucket: Some(bucket.to_string()), ..RawPublish::default() };
    let room_one = room(publish.clone()).await;
    room_one.hand_in(lines("one", 3).join(&b'\n')).await;
    keeping::round(&room_one.desk).await;
    room_one.hand_in(lines("two", 2).join(&b'\n')).await;
    keeping::round(&room_one.desk).await;
    let mut names: Vec<_> = std::fs::read_dir(directory.path().join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["00000000000000000003", "00000000000000000005"]);
    let key = PublicKey::parse(room_one.desk.log_key.public()).unwrap();
    let kept = std::fs::read(directory.path().join("checkpoints/00000000000000000003")).unwrap();
    assert_eq!(key.checkpoint(&kept).unwrap().size(), 3);
    // A ledger of the same size that says something else, as after a rewrite.
    let other = room(publish).await;
    other.hand_in(lines("other", 3).join(&b'\n')).await;
    keeping::round(&other.desk).await;
    let publications = other.desk.store.publications().await.unwrap();
    assert!(publications[0].1.error.as_ref().unwrap().contains("rewritten"), "{publications:?}");
    assert_eq!(std::fs::read(directory.path().join("checkpoints/00000000000000000003")).unwrap(), kept);
}

/// Reads tiles as a client of the log does, from the archive's files.
struct Files<'a>(&'a Path);

impl TileReader for Files<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        Ok(tiles
            .iter()
            .map(|tile| std::fs::read(self.0.join(graphwarden::log::tile_path(tile))).unwrap())
            .collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

#[tokio::test]
async fn the_archive_is_the_log_again_and_so_are_the_tiles_that_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let url = url::Url::from_directory_path(directory.path()).unwrap();
    let room = room(RawPublish { archive: Some(url.to_string()), ..RawPublish::default() }).await;
    let all = lines("one", 700);
    room.hand_in(all[..300].join(&b'\n')).await;
    keeping::round(&room.desk).await;
    room.hand_in(all[300..].join(&b'\n')).await;
    keeping::round(&room.desk).await;
    let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
    let key = PublicKey::parse(&String::from_utf8(read("key")).unwrap()).unwrap();
    let checkpoint = key.checkpoint(&read("checkpoint")).unwrap();
    assert_eq!(checkpoint.size(), 700);
    // Two whole bundles; the third waits until it is whole.
    let lines: Vec<u8> = [read("tile/lines/000"), read("tile/lines/001")].concat();
    let lines: Vec<&[u8]> = lines.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').collect();
    assert_eq!(lines, all[..512].iter().map(Vec::as_slice).collect::<Vec<_>>());
    let files = Files(directory.path());
    let reader = TileHashReader::new(checkpoint.size(), *checkpoint.hash(), &files);
    for (place, line) in [(0, &all[0]), (299, &all[299]), (511, &all[511])] {
        let proof = tlog_tiles::prove_record(700, place, &reader).unwrap();
        tlog_tiles::check_record(&proof, 700, *checkpoint.hash(), place, tlog_tiles::record_hash(line))
            .unwrap();
    }
    for (path, name) in
        [("0/000", "tile/0/000"), ("0/002.p/188", "tile/0/002.p/188"), ("1/000.p/2", "tile/1/000.p/2")]
    {
        let response = room.raw(&format!("/v1/ledger/tile/{path}")).await;
        assert_eq!((response.0, response.1), (StatusCode::OK, read(name)), "{path}");
    }
    for path in ["0/002", "0/002.p/189", "2/000.p/1", "data/000", "0/..%2f..%2fkey"] {
        assert_eq!(
            room.get(&format!("/v1/ledger/tile/{path}")).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_places_is_said_at_once() {
    let raw = Raw {
        publish: RawPublish {
            webhook: Some(RawWebhook { url: "keeper".into(), token_env: Some("NONE".into()) }),
            bucket: Some("gs://x".into()),
            witnesses: vec![RawWitness { url: "https://w".into(), key: "w+00000000+AA".into() }],
            archive: Some("/var/lib".into()),
        },
        ..Raw::default()
    };
    let Err(error) = graphwarden::settings::Settings::resolve(raw, &|_| None) else {
        panic!("must not resolve")
    };
    for place in [
        "publish.webhook.url",
        "publish.webhook.token_env",
        "publish.bucket",
        "publish.witnesses[0].key",
        "publish.archive",
    ] {
        assert!(error.to_string().contains(place), "{place}: {error}");
    }
}
