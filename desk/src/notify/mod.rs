//! Telling people where they are: webhooks, Slack and e-mail, about what happens to approvals.
//!
//! A message is put into the outbox by the transaction that makes it true, so that none is lost and none is told of
//! what did not happen. It is sent at least once, always with the same id and the same content; what a receiver does
//! not take is tried again with back-off, and at last is a dead letter that people see and can send again.
//!
//! | file | holds |
//! |---|---|
//! | `settings` | who is told of what, as written and as checked |
//! | `message` | what is told: nothing of the payload, names as initials, every text masked |
//! | `template` | how it is worded |
//! | `guard` | addresses that nothing is sent to |
//! | `webhook`, `mail` | how it gets there |
//! | `deliver` | when, how often, and what becomes of it |
//! | `api` | what was not delivered, for programs |

mod api;
mod deliver;
mod guard;
mod mail;
mod message;
mod settings;
mod template;
mod webhook;

pub use api::router;
pub use deliver::{round, run};
pub use message::{Happening, Message, Screen};
pub use settings::{Audience, Destination, Notify, RawMail, RawNotify, RawSlack, RawWebhook};

/// Why something was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Undelivered {
    /// In words, without anything secret.
    why: String,
    /// Whether trying again could help.
    hopeless: bool,
    /// How long the receiver wants to be left alone, in milliseconds.
    pause: Option<i64>,
}

impl Undelivered {
    fn worth_another_try(why: impl Into<String>) -> Self {
        Self { why: why.into(), hopeless: false, pause: None }
    }

    fn hopeless(why: impl Into<String>) -> Self {
        Self { why: why.into(), hopeless: true, pause: None }
    }
}
