//! Open files: ten thousand streams are twenty thousand sockets of the proxy's.

use anyhow::{Result, ensure};
use graphwarden_stand::allow_files;

/// What is wanted: two sockets for each of 10,000 streams, and room for the rest.
const WANTED: u64 = 32_768;

/// Raises the limit of this process, and so of what it starts, as far as the system allows. Returns the limit.
pub(super) fn allow_many() -> Result<u64> {
    allow_files(WANTED)
}

/// How many streams the limit allows, of so many; an error that says what to do where it is not even a tenth.
pub(super) fn streams(wanted: usize) -> Result<usize> {
    let limit = allow_many()?;
    // Two sockets each in the proxy, and a few hundred files of its own.
    let allowed = usize::try_from(limit.saturating_sub(1_000) / 2).unwrap_or(usize::MAX).min(wanted);
    ensure!(
        allowed >= wanted / 10,
        "only {limit} files may be open here; raise the hard limit (ulimit -Hn {WANTED}) or run as root"
    );
    if allowed < wanted {
        eprintln!(
            "only {limit} files may be open here: {allowed} streams in place of {wanted}. As root, or after ulimit -Hn \
             {WANTED}, all of them are measured."
        );
    }
    Ok(allowed)
}
