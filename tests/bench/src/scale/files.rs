//! Open files: ten thousand streams are twenty thousand sockets of the proxy's.

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is wanted: two sockets for each of 10,000 streams, and room for the rest.
const WANTED: u64 = 32_768;

/// Raises the limit of this process, and so of what it starts, as far as the system allows. Returns the limit.
pub(super) fn allow_many() -> Result<u64> {
    let have = getrlimit(Resource::Nofile);
    let raised = |maximum: Option<u64>| {
        let current = maximum.map_or(WANTED, |maximum| maximum.min(WANTED));
        setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum }).ok().map(|()| current)
    };
    if have.current.is_none_or(|current| current >= WANTED) {
        return Ok(have.current.unwrap_or(u64::MAX));
    }
    // Only root may raise the upper limit.
    let upper = have.maximum.map(|maximum| maximum.max(WANTED));
    raised(upper).or_else(|| raised(have.maximum)).context("the limit of open files cannot be raised")
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
