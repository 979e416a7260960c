//! The record of an exchange and the chain that binds records together.
//!
//! One record is one line of JSON. *The line is the record*: its hash is BLAKE2b-256 (RFC 7693) of the line's bytes as
//! written, without the line feed, so nothing is ever canonicalised and a verifier needs no parser to
//! recompute it. Every line names its chain (one per VM of the gateway), its place in it and the hash of the
//! line before it; the gateway starts the chain, so whoever stores the lines cannot drop, swap or rewrite one
//! unseen. What this leaves to others: delivery (`filter`), and the Merkle log over all chains (`desk`).
//!
//! ```json
//! {"v":1,"chain":"5f0c…","seq":7,"prev":"9a1e…","kind":"outcome","exchange":"0198…","at":"2026-11-22T10:15:30.123456Z",…}
//! ```

mod chain;
mod digest;
mod escape;
mod record;
mod shorten;

pub use chain::{Chain, LONGEST_LINE, Line, LineFault, Link, Succession, ZERO_HASH};
pub use digest::{DigestKey, hex, link_hash, sha256_hex, unhex};
pub use record::{
    ActorRecord, Approval, ApprovalDecision, Approver, DecisionRecord, EffectRecord, End, Kind,
    OperationRecord, Piece, Record, RequestRecord, ResponseRecord, SegmentRecord, SourceRecord, TokenRecord,
    VERSION, timestamp,
};
