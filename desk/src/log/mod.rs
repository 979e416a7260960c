//! The Merkle log over the ledger's lines: RFC 6962 hashing, checkpoints as signed notes (C2SP
//! tlog-checkpoint). The mathematics of trees is `tlog_tiles`, the notes are `signed_note`; what is ours is the
//! key's life, the range cover, and the routes.
//!
//! ```text
//! graphwarden/1f2e…
//! 4711
//! qhm0…=
//!
//! — graphwarden/1f2e… x3Fd…
//! ```

mod api;
mod cover;
mod key;
mod tiles;

pub use api::router;
pub use cover::{Root, cover};
pub use key::{LogKey, PublicKey};
pub use tiles::{tile_at, tile_path};
