//! The callers: each request is sent in its time, whatever became of those before it; what came back is noted in a few
//! words and searched for what nobody may see.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use graphwarden_e2e::{expect_masked, reason};
use graphwarden_stand::{Answer, Ask};

use crate::mix::Kind;

/// How long a client that leaves a hold waits first: until people were asked, as a rule.
const BEFORE_LEAVING: Duration = Duration::from_millis(1_500);

/// What became of a request, from its caller's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// An answer, whole.
    Answered {
        /// Its status.
        status: u16,
        /// Its reason code; empty where it is no refusal.
        reason: String,
    },
    /// An answer that broke off.
    Cut(u16),
    /// The caller left.
    Left,
    /// No answer came.
    Lost(String),
}

impl Fate {
    /// In a few words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Answered { status, reason } if reason.is_empty() => status.to_string(),
            Self::Answered { status, reason } => format!("{status} {reason}"),
            Self::Cut(status) => format!("{status} cut"),
            Self::Left => "left".to_owned(),
            Self::Lost(why) => format!("lost: {why}"),
        }
    }
}

/// What all callers noted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    /// Each request's fate, by its number.
    pub(crate) fates: BTreeMap<u64, Fate>,
    /// Answers that held what nobody may see.
    pub(crate) unmasked: Vec<String>,
}

/// The same, shared.
pub(crate) type SharedBook = Arc<Mutex<Book>>;

/// Sends one request and notes what becomes of it.
pub(crate) async fn call(number: u64, ask: Ask, port: u16, book: SharedBook) {
    let (fate, unmasked) = match send(Kind::of(number), &ask, port).await {
        Ok((fate, answer)) => {
            let found = answer.and_then(|answer| {
                expect_masked(&format!("the answer to request {number}"), &answer.text()).err()
            });
            (fate, found)
        }
        Err(error) => (Fate::Lost(format!("{error:#}")), None),
    };
    let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
    book.unmasked.extend(unmasked.map(|error| format!("{error:#}")));
    book.fates.insert(number, fate);
}

async fn send(kind: Kind, ask: &Ask, port: u16) -> Result<(Fate, Option<Answer>)> {
    match kind {
        Kind::LeavesHold => {
            let held = ask.open(port).await?;
            tokio::time::sleep(BEFORE_LEAVING).await;
            drop(held);
            Ok((Fate::Left, None))
        }
        Kind::LeavesStream => {
            let mut streaming = ask.open(port).await?;
            // Refused during a fault: then there is no event, and it leaves all the same.
            let _ = streaming.until("event: messages", Duration::from_secs(8)).await;
            drop(streaming);
            Ok((Fate::Left, None))
        }
        _ => {
            let answer = ask.send(port).await?;
            let fate = match answer.complete {
                true => Fate::Answered { status: answer.status, reason: reason(&answer) },
                false => Fate::Cut(answer.status),
            };
            Ok((fate, Some(answer)))
        }
    }
}
