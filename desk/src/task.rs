//! Tasks that the desk is not a desk without: one that panics is started anew.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;

/// How long a task that panicked rests: what made it panic may still be there.
const REST: Duration = Duration::from_secs(1);

/// Runs what `start` gives until it ends. Where it panics instead, that is logged and, after a rest, it is started anew:
/// a desk that answers while its ledger's writer is gone would refuse everything for ever.
pub fn keep<Task>(what: &'static str, start: impl Fn() -> Task + Send + 'static) -> JoinHandle<()>
where
    Task: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            // The one that is waited for ends with the one that waits.
            let mut running = tokio::task::JoinSet::new();
            running.spawn(start());
            match running.join_next().await {
                Some(Err(error)) if error.is_panic() => {
                    tracing::error!(what, "panicked, and is started anew");
                    tokio::time::sleep(REST).await;
                }
                _ => return,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_panics_is_started_anew_until_it_ends() {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let kept = keep("a test", move || {
            let run = counted.fetch_add(1, Ordering::Relaxed);
            async move { assert!(run == 1, "the first one panics") }
        });
        kept.await.unwrap();
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn what_is_kept_ends_with_its_keeper() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<()>(1);
        let sender = std::sync::Mutex::new(Some(sender));
        let kept = keep("a test", move || {
            let held = sender.lock().unwrap().take();
            async move {
                let _held = held;
                std::future::pending::<()>().await;
            }
        });
        tokio::task::yield_now().await;
        kept.abort();
        assert!(receiver.recv().await.is_none(), "it was dropped");
    }
}
