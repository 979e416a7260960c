//! How many files this process, and what it starts, may have open: two sockets for each stream through a proxy.

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit towards `wanted` as far as the system allows; returns what it is then.
pub fn allow_files(wanted: u64) -> Result<u64> {
    let have = getrlimit(Resource::Nofile);
    if have.current.is_none_or(|current| current >= wanted) {
        return Ok(have.current.unwrap_or(u64::MAX));
    }
    let raised = |maximum: Option<u64>| {
        let current = maximum.map_or(wanted, |maximum| maximum.min(wanted));
        setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum }).ok().map(|()| current)
    };
    // Only root may raise the upper limit.
    let upper = have.maximum.map(|maximum| maximum.max(wanted));
    raised(upper).or_else(|| raised(have.maximum)).context("the limit of open files cannot be raised")
}
