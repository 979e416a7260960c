//! An HTTP service that keeps checkpoints: each is sent as it is, `POST`, `text/plain`. Any 2xx means taken.

use std::time::Duration;

use anyhow::ensure;

use super::Webhook;
use crate::store::StoredCheckpoint;

/// How long the service may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Sends a checkpoint. Errors hold nothing of the URL's query or of the answer.
pub(super) async fn send(webhook: &Webhook, checkpoint: &StoredCheckpoint) -> anyhow::Result<()> {
    let client =
        reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()?;
    let mut request = client
        .post(webhook.url.clone())
        .header("content-type", "text/plain; charset=utf-8")
        // Sending one again is no second one.
        .header("idempotency-key", format!("\"{}\"", checkpoint.size))
        .body(checkpoint.note.clone());
    if let Some(token) = &webhook.token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.map_err(reqwest::Error::without_url)?;
    ensure!(answer.status().is_success(), "it answered {}", answer.status());
    Ok(())
}
