//! The archive: everything of the log outside of the database, in the layout of C2SP tlog-tiles, in an S3-compatible
//! bucket or a directory.
//!
//! | object | what |
//! |---|---|
//! | `checkpoint` | the newest checkpoint that the rest is whole for |
//! | `tile/<level>/<n>[.p/<width>]` | hashes, 256 a tile |
//! | `tile/lines/<n>` | 256 lines, each with its line feed; an empty one where retention was faster |
//! | `key` | the log's public key |
//!
//! Full tiles and bundles are written once. Lines of the last, incomplete bundle are not there yet: retention leaves
//! them alone until they are.

use anyhow::Context;
use futures::StreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tlog_tiles::Tile;
use url::Url;

use super::bucket;
use crate::app::Desk;
use crate::log::tile_path;
use crate::store::{Selection, StoredCheckpoint};

/// Lines of a bundle, and hashes of a tile.
const WIDTH: u64 = 256;
/// At most so many bundles a minute, so that a new archive of an old ledger does not hold up checkpoints.
const MOST: u64 = 4_000;

/// What is archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archive {
    /// Lines that are in the archive.
    pub lines: u64,
}

/// Writes what is not there yet. Returns how many lines are archived then.
pub(super) async fn keep(
    desk: &Desk,
    url: &Url,
    name: &str,
    checkpoint: &StoredCheckpoint,
) -> anyhow::Result<u64> {
    let done = desk.store.publication(name).await?.size;
    let whole = checkpoint.size / WIDTH * WIDTH;
    let until = whole.min(done.saturating_add(MOST * WIDTH));
    let (store, prefix) = bucket::open(url)?;
    for first in (done..until).step_by(256) {
        bundle(desk, store.as_ref(), &prefix, first).await.with_context(|| format!("lines from {first}"))?;
    }
    if until < whole {
        return Ok(until);
    }
    for tile in Tile::new_tiles(8, done, checkpoint.size) {
        let bytes = desk.store.tile(&tile).await?;
        let path = at(&prefix, &tile_path(&tile));
        store.put(&path, bytes.into()).await.with_context(|| path.to_string())?;
    }
    store
        .put(&prefix.clone().join("key"), format!("{}\n", desk.log_key.public()).into_bytes().into())
        .await?;
    store.put(&prefix.clone().join("checkpoint"), checkpoint.note.clone().into()).await?;
    Ok(until)
}

async fn bundle(desk: &Desk, store: &dyn ObjectStore, prefix: &Path, first: u64) -> anyhow::Result<()> {
    let from = i64::try_from(first)?;
    let to = from + i64::try_from(WIDTH)? - 1;
    let mut bytes = Vec::new();
    let mut lines = desk.store.selected(&Selection::default(), from, to);
    while let Some(line) = lines.next().await {
        bytes.extend_from_slice(&line?.line.unwrap_or_default());
        bytes.push(b'\n');
    }
    let level = Tile::new(8, 0, first / WIDTH, 256, false);
    let path = tile_path(&level).replacen("tile/0/", "tile/lines/", 1);
    store.put(&at(prefix, &path), bytes.into()).await?;
    Ok(())
}

fn at(prefix: &Path, path: &str) -> Path {
    path.split('/').fold(prefix.clone(), |whole, part| whole.join(part))
}
