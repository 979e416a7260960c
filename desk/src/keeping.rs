//! What the desk does for the ledger by itself, every minute: a signed checkpoint, handed to others; exchanges that
//! never ended are marked; what retention says may go, goes.

use crate::app::Desk;
use crate::error::Error;
use crate::store::StoredCheckpoint;

/// One round. What fails is logged and tried again in the next; nothing stops the rest.
pub async fn round(desk: &Desk) {
    let now = desk.clock.now();
    match desk.store.checkpoint(&desk.log_key, now).await {
        Ok(checkpoint) => {
            tracing::debug!(size = checkpoint.size, "checkpoint");
            publish(desk, &checkpoint).await;
        }
        Err(error) => error.log(),
    }
    let silent = i64::try_from(desk.settings.unfinished.as_millis()).unwrap_or(i64::MAX);
    match desk.store.mark_unfinished(now.saturating_sub(silent), now).await {
        Ok(0) => {}
        Ok(marked) => tracing::warn!(marked, "exchanges were admitted and never ended"),
        Err(error) => error.log(),
    }
    if let Err(error) = retain(desk, now).await {
        error.log();
    }
}

async fn publish(desk: &Desk, checkpoint: &StoredCheckpoint) {
    if let Err(error) = crate::publish::publish(desk, checkpoint).await {
        error.log();
    }
}

async fn retain(desk: &Desk, now: i64) -> Result<(), Error> {
    let rules = &desk.settings.retention;
    if rules.is_empty() {
        return Ok(());
    }
    let purged = desk.store.purge(rules, archived(desk).await?, now).await?;
    if purged > 0 {
        tracing::info!(purged, "records were emptied by retention");
    }
    Ok(())
}

/// Retention waits for the archive, where there is one.
async fn archived(desk: &Desk) -> Result<i64, Error> {
    if desk.settings.publish.archive.is_none() {
        return Ok(i64::MAX);
    }
    let all = desk.store.publications().await?;
    let archive = all.iter().find(|(name, _)| name.starts_with("archive "));
    Ok(archive.map_or(0, |(_, publication)| i64::try_from(publication.size).unwrap_or(i64::MAX)))
}
