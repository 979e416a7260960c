//! Approvals: what a gateway asks, who may answer, and when it ends. No storage and no HTTP in [`model`].
//!
//! An approval is bound to one requester, the operations, one keyed digest of the request, one policy and one
//! rule. It is granted by a quorum of distinct people, ended by one denial, and claimed by one exchange, once.
//!
//! ```text
//! pending --quorum--> approved --claim--> approved, claimed (final)
//!    |                    `----valid runs out, unclaimed--> expired
//!    |--one denial--> denied
//!    |--expires runs out--> expired
//!    `--every exchange withdrawn--> cancelled
//! ```

mod api;
mod model;
mod people_api;
mod waiting;

pub use api::router as gateway_router;
pub use model::{
    Answer, Approval, Approver, Ask, Asks, Decision, Given, OperationView, Preview, Requester, Status,
    Verdict,
};
pub use people_api::router as people_router;
pub use waiting::Waiting;
