//! The `graphwarden` program: everything it does is in the library, so that tests can do it too.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A desk runs for months: this one gives back what a burst took, where glibc's keeps it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    graphwarden::cli::run()
}
