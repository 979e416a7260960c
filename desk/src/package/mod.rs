//! What an auditor is handed: one ZIP with readable tables, the exact lines, and the proof; and its
//! verification, which reads nothing but the file and a public key.
//!
//! | in the ZIP | what |
//! |---|---|
//! | `MANIFEST` | every other file's SHA-256 and length, signed |
//! | `README.txt` | what is here and how to check it |
//! | `report.html` | the same in figures and charts, mapped to ISO/IEC 27001 Annex A |
//! | `invocations.csv` | who did what, when, and how it ended, in order of time |
//! | `approvals.csv` | who asked, who decided, when, and why |
//! | `tokens.csv` | the token behind each entry, by its marks |
//! | `access-review.csv` | what each person used each role for; who is not in the directory |
//! | `directory.csv` | the identity provider's people, where they were given |
//! | `findings.csv` | what does not add up in the ledger |
//! | `records.jsonl` | the exact lines, in ledger order |
//! | `proof/checkpoint` | the ledger's size and root, signed (C2SP tlog-checkpoint) |
//! | `proof/leaves.txt` | the hash of every line between the first and the last, `+` where it is in `records.jsonl`, `x` where retention took it |
//! | `proof/range.json` | the hashes of everything before and after |
//! | `proof/consistency.json` | proof that an earlier checkpoint is the beginning of this one, where asked for |

mod archive;
mod cells;
mod chains;
mod charts;
mod controls;
mod directory;
mod entry;
mod figures;
mod ocsf;
mod readme;
mod report;
mod review;
mod sheets;
mod tables;
mod verify;
mod write;

pub use directory::{Directory, Listed};
pub use ocsf::{OCSF_VERSION, event as ocsf_event};
pub use verify::{Report, verify};
pub use write::{Request, Written, write};

use serde::{Deserialize, Serialize};

/// The first line of every manifest.
const TITLE: &str = "graphwarden export 1";

/// `proof/range.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    /// The position of the first line of `proof/leaves.txt`.
    first: u64,
    /// How many lines `proof/leaves.txt` has.
    count: u64,
    /// The complete subtrees before, from left to right: level and hash in hexadecimal.
    before: Vec<(u8, String)>,
    /// The complete subtrees after, from left to right.
    after: Vec<(u8, String)>,
}

/// `proof/consistency.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Consistency {
    /// The size of the earlier checkpoint.
    size: u64,
    /// The proof (RFC 6962, section 2.1.2), hashes in hexadecimal.
    proof: Vec<String>,
}
