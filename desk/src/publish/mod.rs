//! Checkpoints go to places that the desk's owner cannot rewrite, and lines into an archive: every minute, and each
//! place by itself, so that one that does not answer holds up no other.
//!
//! | file | place |
//! |---|---|
//! | `webhook` | any HTTP service that keeps what it is sent |
//! | `bucket` | an S3-compatible bucket with object lock, or a directory |
//! | `witness` | a C2SP tlog-witness, whose cosignature comes back |
//! | `archive` | lines and tiles in tlog-tiles' layout, in a bucket or a directory |
//!
//! What a place does not take is a finding until it takes a later one.

mod archive;
mod bucket;
mod cosignature;
mod settings;
mod webhook;
mod witness;

pub use archive::Archive;
pub use cosignature::WitnessKey;
pub use settings::{Publish, RawPublish, RawWebhook, RawWitness, Webhook, Witness};

use std::collections::BTreeSet;

use crate::app::Desk;
use crate::error::Error;
use crate::store::StoredCheckpoint;

/// Hands the checkpoint to every place that has not got it, and new lines to the archive.
pub async fn publish(desk: &Desk, checkpoint: &StoredCheckpoint) -> Result<(), Error> {
    let places = &desk.settings.publish;
    let mut names = BTreeSet::new();
    if let Some(webhook) = &places.webhook {
        let name = webhook.name();
        if is_due(desk, &name, checkpoint).await? {
            note(desk, &name, checkpoint, webhook::send(webhook, checkpoint).await).await?;
        }
        names.insert(name);
    }
    if let Some(url) = &places.bucket {
        let name = format!("bucket {}", settings::shown(url));
        if is_due(desk, &name, checkpoint).await? {
            note(desk, &name, checkpoint, bucket::put(url, checkpoint).await).await?;
        }
        names.insert(name);
    }
    for witness in &places.witnesses {
        let name = format!("witness {}", witness.key.name());
        if is_due(desk, &name, checkpoint).await? {
            let result = witness::ask(desk, witness, &name, checkpoint).await;
            note(desk, &name, checkpoint, result).await?;
        }
        names.insert(name);
    }
    if let Some(url) = &places.archive {
        let name = format!("archive {}", settings::shown(url));
        let result = archive::keep(desk, url, &name, checkpoint).await;
        match result {
            Ok(size) => desk.store.published(&name, size, desk.clock.now()).await?,
            Err(error) => {
                tracing::warn!(place = name, "not archived: {error:#}");
                desk.store.not_published(&name, &format!("{error:#}"), desk.clock.now()).await?;
            }
        }
        names.insert(name);
    }
    // What is not configured any more is no finding.
    for (name, _) in desk.store.publications().await? {
        if !names.contains(&name) {
            desk.store.forget_publication(&name).await?;
        }
    }
    Ok(())
}

async fn is_due(desk: &Desk, name: &str, checkpoint: &StoredCheckpoint) -> Result<bool, Error> {
    let known = desk.store.publication(name).await?;
    Ok(checkpoint.size > 0 && (known.size != checkpoint.size || known.failed_since.is_some()))
}

async fn note(
    desk: &Desk,
    name: &str,
    checkpoint: &StoredCheckpoint,
    result: anyhow::Result<()>,
) -> Result<(), Error> {
    let now = desk.clock.now();
    match result {
        Ok(()) => desk.store.published(name, checkpoint.size, now).await,
        Err(error) => {
            tracing::warn!(place = name, size = checkpoint.size, "checkpoint not published: {error:#}");
            desk.store.not_published(name, &format!("{error:#}"), now).await
        }
    }
}
