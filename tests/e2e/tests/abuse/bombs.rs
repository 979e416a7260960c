//! Bodies that are small on the wire and large in memory: structure, nesting, compression.

use std::io::Write as _;
use std::sync::LazyLock;

use anyhow::{Result, ensure};
use flate2::{Compression, write::GzEncoder};
use graphwarden_e2e::{Gate, THREAD, expect_refusal};
use graphwarden_stand::{Act, Ask, Person, Reply};

use crate::{counted, others_are_served, please, refused};

/// Four megabytes of zeros, twenty times over: each part is a member of its own (RFC 1952 section 2.2), packed once.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(&vec![0_u8; 4 << 20]).and_then(|()| encoder.finish());
    written.unwrap_or_default().repeat(20)
});

/// An answer that is the bomb.
pub(crate) fn compressed() -> Vec<Act> {
    Reply::whole(200, &[("content-type", "application/json"), ("content-encoding", "gzip")], &BOMB)
}

/// An answer of a hundred thousand levels.
pub(crate) fn nested() -> Vec<Act> {
    let text = "[".repeat(100_000) + &"]".repeat(100_000);
    Reply::whole(200, &[("content-type", "application/json")], text.as_bytes())
}

/// Each would take tens of times its length once it is read, or never end.
pub(crate) async fn bodies_of_nothing_but_structure_are_refused(gate: &Gate) -> Result<()> {
    let before = refused(gate, "body_too_large").await?;
    let inside = |input: &str| {
        let body = format!(r#"{{"assistant_id":"support_agent","input":{input}}}"#);
        Ask::new("POST", &format!("/threads/{THREAD}/runs/wait")).body(body)
    };
    let list = |item: &str| format!("[{}{item}]", format!("{item},").repeat(3_900_000 / (item.len() + 1)));
    let bombs =
        [list(r#"{"a":1}"#), list("[]"), "[".repeat(100_000), "{\"a\":".repeat(200) + "1" + &"}".repeat(200)];
    for bomb in &bombs {
        expect_refusal(&gate.send(Person::Analyst, inside(bomb)).await?, 413, "body_too_large")?;
    }
    ensure!(refused(gate, "body_too_large").await? == before + bombs.len() as u64, "not counted");
    others_are_served(gate).await
}

/// Neither what comes compressed nor what is answered so.
pub(crate) async fn nothing_compressed_is_unpacked(gate: &Gate) -> Result<()> {
    let before =
        (refused(gate, "body_encoded").await?, counted(gate, "graphwarden_responses_cut", "").await?);
    for coding in ["gzip", "br", "deflate", "zstd", "gzip, gzip"] {
        let ask =
            Ask::new("POST", &format!("/threads/{THREAD}/runs/wait")).header("content-encoding", coding);
        expect_refusal(&gate.send(Person::Analyst, ask.body(BOMB.as_slice())).await?, 415, "body_encoded")?;
    }
    expect_refusal(&gate.send(Person::Analyst, please("gzip")).await?, 502, "response_unmaskable")?;
    ensure!(refused(gate, "body_encoded").await? == before.0 + 5, "not counted");
    ensure!(counted(gate, "graphwarden_responses_cut", "").await? == before.1 + 1, "not counted");
    others_are_served(gate).await
}

/// The beginning may have gone out; what is beyond the limit has not.
pub(crate) async fn an_answer_nested_without_end_is_cut(gate: &Gate) -> Result<()> {
    let before = counted(gate, "graphwarden_responses_cut", "").await?;
    let answer = gate.send(Person::Analyst, please("nested")).await?;
    ensure!(!answer.complete || answer.status == 502, "{} of {} bytes", answer.status, answer.body.len());
    ensure!(answer.body.len() < 1_000, "{} bytes went out", answer.body.len());
    ensure!(counted(gate, "graphwarden_responses_cut", "").await? == before + 1, "not counted");
    others_are_served(gate).await
}
