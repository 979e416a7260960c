//! Approvals in the database: asked, decided, claimed and withdrawn, each in one transaction.
//!
//! | file | holds |
//! |---|---|
//! | `ask` | gateways: a question is asked, met, claimed, withdrawn |
//! | `decide` | people: a decision, a review, a revocation |
//! | `list` | reading: one, many, what the same person asked before |
//! | `rows` | an approval as rows, and what time does to it |

mod ask;
mod decide;
mod list;
mod rows;

pub use ask::Asked;
pub use list::{Filter, Listed};
