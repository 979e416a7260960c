//! `README.txt` of an export: what is in it, and how somebody who trusts nobody checks it.

use super::report::Facts;

/// The text.
pub(super) fn readme(facts: &Facts<'_>) -> String {
    let mut only = String::new();
    for (name, value) in &facts.filters {
        only.push_str(&format!("Only      {name}: {value}\n"));
    }
    let Facts { made, from, to, records, ledger, key, .. } = facts;
    format!(
        "Evidence from Graphwarden\n\
         =========================\n\n\
         Made      {made}\n\
         From      {from}\n\
         To        {to} (not included)\n\
         {only}\
         Records   {records} of {ledger} in the ledger\n\
         Log key   {key}\n\n\
         What is here\n\
         ------------\n\
         report.html         begin here: what happened, in figures, and what it is evidence for\n\
         invocations.csv     who did what, when, and how it ended, in order of time\n\
         approvals.csv       who asked for approval, who decided, when, and why\n\
         tokens.csv          the token behind each entry: issuer, subject, ids, key, hash; no token itself\n\
         access-review.csv   per person and role: operations used, first and last use, never used, not in the directory\n\
         directory.csv       the people that it was compared with, where a directory was given\n\
         findings.csv        what does not add up: refused records, gaps, requests without an end, clocks\n\
         records.jsonl       the exact records, one a line, in the order of the ledger\n\
         proof/              what ties the records to the signed state of the ledger\n\
         MANIFEST            the hash of every file here, signed\n\n\
         How to check it\n\
         ---------------\n\
         Get the log key from the desk's owner by a way that you trust, not from this file. Then, offline:\n\n\
         \x20   graphwarden verify THIS.zip --key LOG-KEY\n\n\
         With a checkpoint that you kept from an earlier export (proof/checkpoint), or that the desk published where\n\
         its owner cannot rewrite it:\n\n\
         \x20   graphwarden verify THIS.zip --key LOG-KEY --since CHECKPOINT\n\n\
         It proves that nothing was rewritten or cut off since. An export that begins later than that checkpoint, or\n\
         ends before it, has to be made with the same --since.\n\n\
         By hand\n\
         -------\n\
         A record's link is BLAKE2b with 32 bytes (RFC 7693; `b2sum --length 256`) of its line without the line\n\
         feed, and is the `prev` of the next record of its chain. Its leaf in the Merkle tree is SHA-256 of a zero byte and the line (RFC 6962). proof/leaves.txt has\n\
         the leaf of every line from the first exported to the last, in order: + where the line is in records.jsonl,\n\
         - where it was not chosen, x where its contents are gone by retention. proof/range.json has the complete\n\
         subtrees before and after them, as level and hash. Together they lead to the root in proof/checkpoint, a\n\
         signed note (C2SP tlog-checkpoint, Ed25519). This is the inclusion proof of every record at once.\n\
         proof/consistency.json, where --since was given, is the proof of RFC 6962, section 2.1.2.\n\n\
         Cells that begin like a formula have an apostrophe in front; records.jsonl has the exact text. Times are UTC,\n\
         by the clock of the gateway that wrote the record; times of decisions and findings are by the desk's clock.\n"
    )
}
