//! The one writer of the ledger: batches that arrive while a commit runs share the next one (group commit).

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};

use super::NewLine;
use crate::clock::Clock;
use crate::error::Error;
use crate::store::{Appended, Store};

/// At most so many batches wait; more wait in their connections.
const QUEUE: usize = 256;
/// At most so many lines share a commit, so that nobody waits long for it.
const GROUP: usize = 4_000;

struct Batch {
    lines: Vec<NewLine>,
    done: oneshot::Sender<Result<Appended, Error>>,
}

/// Appends batches to the ledger.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: mpsc::Sender<Batch>,
}

impl Writer {
    /// Starts the writer. It ends when the last handle is gone and the queue is empty.
    pub fn start(store: Store, clock: Clock) -> Self {
        let (queue, batches) = mpsc::channel(QUEUE);
        let batches = Arc::new(Mutex::new(batches));
        let write = move || write(store.clone(), clock.clone(), Arc::clone(&batches));
        crate::task::keep("the ledger's writer", write);
        Self { queue }
    }

    /// Appends `lines`, all or none. When this returns `Ok`, they are on disk.
    pub async fn append(&self, lines: Vec<NewLine>) -> Result<Appended, Error> {
        let (done, result) = oneshot::channel();
        self.queue.send(Batch { lines, done }).await.map_err(|_| Error::Stopping)?;
        result.await.map_err(|_| Error::Stopping)?
    }
}

async fn write(store: Store, clock: Clock, batches: Arc<Mutex<mpsc::Receiver<Batch>>>) {
    let mut batches = batches.lock().await;
    let mut heads = crate::store::Heads::default();
    while let Some(first) = batches.recv().await {
        let mut count = first.lines.len();
        let (mut lines, mut waiting) = (vec![first.lines], vec![first.done]);
        while count < GROUP
            && let Ok(batch) = batches.try_recv()
        {
            count += batch.lines.len();
            lines.push(batch.lines);
            waiting.push(batch.done);
        }
        match store.append(&lines, &mut heads, clock.now()).await {
            Ok(results) => {
                for (done, result) in waiting.into_iter().zip(results) {
                    // Whoever asked may have gone; the lines are there all the same.
                    done.send(result).ok();
                }
            }
            Err(error) => {
                error.log();
                for done in waiting {
                    done.send(Err(Error::Storage(anyhow::anyhow!("the commit failed")))).ok();
                }
            }
        }
    }
}
