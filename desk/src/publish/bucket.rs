//! A bucket or directory that keeps checkpoints: `checkpoints/00000000000000004711`, each written once and never over
//! one that is there. In a bucket with object lock and a default retention nobody can take them back; the checksum
//! that such buckets ask for is sent.

use anyhow::{Context, bail};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use url::Url;

use crate::store::StoredCheckpoint;

/// Opens the bucket or directory behind a URL.
pub(super) fn open(url: &Url) -> anyhow::Result<(Box<dyn ObjectStore>, Path)> {
    let aws = std::env::vars().filter(|(name, _)| name.starts_with("AWS_"));
    let options = aws.map(|(name, value)| (name.to_lowercase(), value));
    let checksum = ("aws_checksum_algorithm".to_owned(), "sha256".to_owned());
    object_store::parse_url_opts(url, options.chain([checksum])).context("it cannot be opened")
}

/// Puts a checkpoint there. One of the same size has to be the same.
pub(super) async fn put(url: &Url, checkpoint: &StoredCheckpoint) -> anyhow::Result<()> {
    let (store, prefix) = open(url)?;
    let path = prefix.join("checkpoints").join(format!("{:020}", checkpoint.size));
    let options = PutOptions::from(PutMode::Create);
    match store.put_opts(&path, checkpoint.note.clone().into(), options).await {
        Ok(_) => Ok(()),
        Err(object_store::Error::AlreadyExists { .. }) => {
            let there = store.get(&path).await?.bytes().await?;
            if same_tree(&there, &checkpoint.note) {
                return Ok(());
            }
            bail!("it has another checkpoint of {} lines: one of the two logs was rewritten", checkpoint.size)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether two notes say the same: signatures may differ, when a key was changed or a witness signed later.
fn same_tree(one: &[u8], other: &[u8]) -> bool {
    let text = |note: &[u8]| {
        let end = note.windows(2).position(|pair| pair == b"\n\n")?;
        // The first line is the log's name, which goes with its key.
        let text = std::str::from_utf8(note.get(..end)?).ok()?;
        text.split_once('\n').map(|(_, tree)| tree.to_owned())
    };
    text(one).is_some() && text(one) == text(other)
}
