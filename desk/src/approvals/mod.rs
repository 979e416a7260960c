//! Approvals: what a gateway asks, who may answer, and when it ends. No storage and no HTTP in [`model`].
//!
//! An approval is bound to one requester, the operations, one keyed digest of the request, one policy and one
//! rule. It is granted by a quorum of distinct people, ended by one denial (or a majority), and claimed by one
//! exchange, once. Two other kinds exist beside it: a standing grant is for operations for a while, and can be taken
//! back; a way past approvers is granted at once to whoever gives a reason, and reviewed afterwards.
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
mod terms;
mod waiting;

pub use api::router as gateway_router;
pub use model::{
    Answer, Approval, Ask, Decision, Given, OperationView, Preview, Remark, RemarkKind, Requester, Status,
    Verdict,
};
pub use people_api::router as people_router;
pub use terms::{Approver, Asks, BreakGlass, Denial, Filled, Kind, Seats, Sight};
pub use waiting::Waiting;
