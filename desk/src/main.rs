//! The `graphwarden` program: everything it does is in the library, so that tests can do it too.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// A desk runs for months: this one gives back what a burst took, where glibc's arenas keep it, and SQLite allocates from it too.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    graphwarden::cli::run()
}
