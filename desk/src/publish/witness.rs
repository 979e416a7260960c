//! Asking a witness to cosign a checkpoint (C2SP tlog-witness): it checks that the log has only grown since the one it
//! signed last, and signs.
//!
//! ```text
//! POST <prefix>/add-checkpoint            200  — witness.example.com base64…
//! old 4700                                409  4711        (the size that the witness knows)
//! <proof, a base64 hash a line>
//!
//! <checkpoint>
//! ```

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;

use super::Witness;
use crate::app::Desk;
use crate::store::StoredCheckpoint;

/// How long a witness may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The longest answer that is read, in bytes.
const LONGEST: usize = 16 * 1024;

/// Has a checkpoint cosigned and keeps the cosignature.
pub(super) async fn ask(
    desk: &Desk,
    witness: &Witness,
    name: &str,
    checkpoint: &StoredCheckpoint,
) -> anyhow::Result<()> {
    let mut old = desk.store.publication(name).await?.size;
    // It may know another size than we remember: it says so, once.
    for _ in 0..2 {
        let (status, body) = send(desk, witness, old, checkpoint).await?;
        match status {
            StatusCode::OK => {
                let line = body
                    .lines()
                    .find(|line| {
                        let note = [checkpoint.note.as_slice(), line.as_bytes(), b"\n"].concat();
                        line.starts_with("— ") && witness.key.cosigned(&note).is_some()
                    })
                    .context("it answered without a signature of its own")?;
                let now = desk.clock.now();
                desk.store.add_cosignature(checkpoint.size, witness.key.name(), line, now).await?;
                return Ok(());
            }
            StatusCode::CONFLICT => {
                let known: u64 =
                    body.trim().parse().ok().context("it knows another size and does not say which")?;
                ensure!(
                    known <= checkpoint.size,
                    "it has signed a checkpoint of {known} lines, this log has {}: it was rolled back",
                    checkpoint.size
                );
                old = known;
            }
            StatusCode::UNPROCESSABLE_ENTITY => {
                bail!("it refuses the proof: what it signed before is not the beginning of this log")
            }
            status => bail!("it answered {status}"),
        }
    }
    bail!("it answers with ever new sizes")
}

async fn send(
    desk: &Desk,
    witness: &Witness,
    old: u64,
    checkpoint: &StoredCheckpoint,
) -> anyhow::Result<(StatusCode, String)> {
    let proof = match old {
        0 => Vec::new(),
        old if old == checkpoint.size => Vec::new(),
        old => desk.store.consistency(old, checkpoint.size).await?,
    };
    let mut body = format!("old {old}\n").into_bytes();
    for hash in proof {
        body.extend_from_slice(STANDARD.encode(hash.0).as_bytes());
        body.push(b'\n');
    }
    body.push(b'\n');
    body.extend_from_slice(&checkpoint.note);
    let url = format!("{}/add-checkpoint", witness.url.as_str().trim_end_matches('/'));
    let client =
        reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()?;
    let mut answer = client.post(url).body(body).send().await.map_err(reqwest::Error::without_url)?;
    let status = answer.status();
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        ensure!(text.len() + chunk.len() <= LONGEST, "its answer is too long");
        text.extend_from_slice(&chunk);
    }
    Ok((status, String::from_utf8(text).context("its answer is no text")?))
}
