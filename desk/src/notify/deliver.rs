//! When a message is sent, how often, and what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rand::Rng;

use super::settings::{Destination, Way};
use super::{Message, Undelivered};
use crate::app::Desk;
use crate::error::Error;
use crate::store::{Delivery, Event, Subject};
use crate::task::keep;

/// How long to wait after each failure, in milliseconds; after the last the message is a dead letter. It is about a day.
const PAUSES: [i64; 9] =
    [5_000, 30_000, 120_000, 600_000, 1_800_000, 7_200_000, 14_400_000, 21_600_000, 43_200_000];
/// How long a message belongs to the desk that took it, in milliseconds: longer than any receiver may take.
const LEASE: i64 = 60_000;
/// How many messages to one destination are on their way at once.
const AT_ONCE: usize = 8;
/// How often the outbox is looked into without being told to.
const EVERY: Duration = Duration::from_secs(1);
/// How often approvals are looked at whose time may have run out.
const SWEEP: Duration = Duration::from_secs(5);
/// How long what was delivered is remembered, in milliseconds.
const REMEMBERED: i64 = 30 * 86_400_000;

/// Tells everyone, until the desk stops: one destination that is slow keeps no other waiting.
pub async fn run(desk: Desk) {
    let mut tasks = Vec::new();
    for to in &desk.settings.notify.destinations {
        let (desk, to) = (desk.clone(), Arc::clone(to));
        tasks.push(keep("telling a destination", move || tell(desk.clone(), Arc::clone(&to))));
    }
    tasks.push(keep("ending what time has ended", move || sweep_often(desk.clone())));
    for task in tasks {
        // It ends without an error, or was told to.
        task.await.ok();
    }
}

/// Tells one destination what the outbox holds for it, until the desk stops.
async fn tell(desk: Desk, to: Arc<Destination>) {
    loop {
        match deliver(&desk, &to).await {
            Ok(0) => {}
            Ok(_) => continue,
            Err(error) => {
                error.log();
                tokio::time::sleep(EVERY).await;
            }
        }
        tokio::select! {
            () = desk.store.outbox_filled() => {}
            () = tokio::time::sleep(EVERY) => {}
            () = desk.stopped() => return,
        }
    }
}

async fn sweep_often(desk: Desk) {
    loop {
        if let Err(error) = sweep(&desk).await {
            error.log();
        }
        tokio::select! {
            () = tokio::time::sleep(SWEEP) => {}
            () = desk.stopped() => return,
        }
    }
}

/// One round over every destination; how many messages were tried.
pub async fn round(desk: &Desk) -> Result<usize, Error> {
    sweep(desk).await?;
    let mut tried = 0;
    for to in &desk.settings.notify.destinations {
        tried += deliver(desk, to).await?;
    }
    Ok(tried)
}

/// Ends what time has ended, so that people hear of it; forgets what was delivered long ago.
async fn sweep(desk: &Desk) -> Result<(), Error> {
    let now = desk.clock.now();
    for ended in desk.store.expire_due(now).await? {
        desk.waiting.tell(&ended);
    }
    let names: Vec<&str> = desk.settings.notify.destinations.iter().map(|to| to.name.as_str()).collect();
    desk.store.tidy_outbox(&names, now.saturating_sub(REMEMBERED), now).await
}

async fn deliver(desk: &Desk, to: &Destination) -> Result<usize, Error> {
    let now = desk.clock.now();
    let due = desk.store.take_due(&to.name, AT_ONCE, now, now.saturating_add(LEASE)).await?;
    let tried = due.len();
    let results: Vec<Result<(), Error>> = futures::stream::iter(due)
        .map(|delivery| one(desk, to, delivery))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    results.into_iter().collect::<Result<(), Error>>()?;
    Ok(tried)
}

async fn one(desk: &Desk, to: &Destination, delivery: Delivery) -> Result<(), Error> {
    let link = desk.approval_url(&delivery.approval);
    let sent = match serde_json::from_str::<Message>(&delivery.message) {
        Ok(message) => match &to.way {
            Way::Webhook(webhook) => webhook.send(&delivery.id, &message, &link, desk.clock.now()).await,
            Way::Mail(mail) => mail.send(&delivery.id, &message, &link).await,
        },
        Err(_) => Err(Undelivered::hopeless("the outbox holds a message that cannot be read")),
    };
    let now = desk.clock.now();
    let Err(failure) = sent else { return desk.store.delivered(&delivery.id, now).await };
    let attempts = usize::try_from(delivery.attempts).unwrap_or(usize::MAX).saturating_add(1);
    let pause = PAUSES.get(attempts - 1).filter(|_| !failure.hopeless);
    let next = pause.map(|pause| {
        // Up to a tenth more, so that what failed together does not come again together.
        let jitter = rand::rng().random_range(0..=pause / 10);
        now.saturating_add((*pause).max(failure.pause.unwrap_or(0))).saturating_add(jitter)
    });
    tracing::warn!(destination = to.name, attempts, "a message was not delivered: {}", failure.why);
    desk.store.not_delivered(&delivery.id, &failure.why, next, now).await?;
    if next.is_none() {
        let subject = Subject { id: &delivery.approval, status: None, decision: None, comment: None };
        let detail = format!("{}: {}", to.name, failure.why);
        let event =
            Event { approval: Some(subject), detail: Some(&detail), ..Event::new("notification_dead") };
        desk.store.record(&event, now).await?;
    }
    Ok(())
}
