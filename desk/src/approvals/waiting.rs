//! Wakes the long polls of an approval when something happens to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// The long polls that wait, by approval. An entry lives as long as someone waits for it.
#[derive(Debug, Clone, Default)]
pub struct Waiting {
    approvals: Arc<Mutex<HashMap<String, watch::Sender<u64>>>>,
}

/// One poll's ear. Changes that happen after [`Waiting::listen`] are heard, however late one listens.
#[derive(Debug)]
pub struct Ear {
    approval: String,
    heard: watch::Receiver<u64>,
    waiting: Waiting,
}

impl Waiting {
    /// Starts listening for `approval`. Listen first, then look: nothing is missed in between.
    pub fn listen(&self, approval: &str) -> Ear {
        let mut approvals = self.approvals.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = approvals.entry(approval.to_owned()).or_insert_with(|| watch::channel(0).0);
        Ear { approval: approval.to_owned(), heard: sender.subscribe(), waiting: self.clone() }
    }

    /// Tells everyone who listens that something happened to `approval`.
    pub fn tell(&self, approval: &str) {
        let approvals = self.approvals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = approvals.get(approval) {
            sender.send_modify(|count| *count += 1);
        }
    }

    /// Tells everyone who listens that anything may have happened.
    pub fn tell_all(&self) {
        let approvals = self.approvals.lock().unwrap_or_else(PoisonError::into_inner);
        approvals.values().for_each(|sender| sender.send_modify(|count| *count += 1));
    }

    /// How many approvals are waited for.
    pub fn len(&self) -> usize {
        self.approvals.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Ear {
    /// The approval listened for.
    pub fn approval(&self) -> &str {
        &self.approval
    }

    /// Resolves at the next change.
    pub async fn hear(&mut self) {
        // The sender lives in the map while this ear does, so an error cannot come; if it did, look again.
        self.heard.changed().await.ok();
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut approvals = self.waiting.approvals.lock().unwrap_or_else(PoisonError::into_inner);
        // This ear still counts as one.
        if approvals.get(&self.approval).is_some_and(|sender| sender.receiver_count() <= 1) {
            approvals.remove(&self.approval);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hears_what_happened_between_listening_and_waiting() {
        let waiting = Waiting::default();
        let mut ear = waiting.listen("a");
        waiting.tell("a");
        ear.hear().await;
    }

    #[tokio::test]
    async fn wakes_every_poll_of_the_approval_and_no_other() {
        let waiting = Waiting::default();
        let (mut one, mut two, mut other) = (waiting.listen("a"), waiting.listen("a"), waiting.listen("b"));
        waiting.tell("a");
        one.hear().await;
        two.hear().await;
        let silent = tokio::time::timeout(std::time::Duration::from_millis(20), other.hear()).await;
        assert!(silent.is_err());
    }

    #[test]
    fn forgets_an_approval_when_its_last_poll_goes() {
        let waiting = Waiting::default();
        let one = waiting.listen("a");
        let two = waiting.listen("a");
        drop(one);
        assert_eq!(waiting.len(), 1);
        drop(two);
        assert!(waiting.is_empty());
    }
}
