//! How long the parts of an exchange take inside the module: counters of nanoseconds, in the build that the benchmark's
//! profile loads (feature `stopwatch`). In every other build there is nothing of it.

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The request's headers, all that follows included.
    Request,
    /// Copying the request's headers out of the host.
    RequestHeaders,
    /// Asking the host for the caller's address.
    Source,
    /// From the request's headers to the verdict.
    Judging,
    /// Editing the request's headers.
    Editing,
    /// The response's headers.
    ResponseHeaders,
    /// A piece of the response's body.
    ResponseBody,
    /// The end: the record is sealed.
    End,
    /// What the root does: deliveries of evidence go out, their answers come.
    Root,
}

#[cfg(not(feature = "stopwatch"))]
mod watch {
    /// Nothing.
    pub(in super::super) struct Stopwatch;

    impl Stopwatch {
        /// Begins nothing.
        pub(in super::super) const fn start(_part: super::Part) -> Self {
            Self
        }
    }
}

#[cfg(feature = "stopwatch")]
mod watch {
    use std::cell::Cell;
    use std::time::Instant;

    use super::Part;

    thread_local!(static TAKEN: Cell<[u64; 9]> = const { Cell::new([0; 9]) });

    /// Runs until it is dropped.
    pub(in super::super) struct Stopwatch(Part, Instant);

    impl Stopwatch {
        /// Begins to time a part.
        pub(in super::super) fn start(part: Part) -> Self {
            Self(part, Instant::now())
        }
    }

    impl Drop for Stopwatch {
        fn drop(&mut self) {
            let took = u64::try_from(self.1.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let mut taken = TAKEN.get();
            if let Some(sum) = taken.get_mut(self.0 as usize) {
                *sum = sum.saturating_add(took);
            }
            TAKEN.set(taken);
        }
    }

    /// What was timed since this was last asked: the names of counters, and nanoseconds.
    pub(in super::super) fn take() -> impl Iterator<Item = (&'static str, u64)> {
        [
            "graphwarden.time.request",
            "graphwarden.time.request_headers",
            "graphwarden.time.source",
            "graphwarden.time.judging",
            "graphwarden.time.editing",
            "graphwarden.time.response_headers",
            "graphwarden.time.response_body",
            "graphwarden.time.end",
            "graphwarden.time.root",
        ]
        .into_iter()
        .zip(TAKEN.replace([0; 9]))
    }
}

pub(super) use watch::*;
