//! Fetching the issuers' keys: when, in how many steps, and what an answer changes.
//!
//! Every VM fetches for itself. A set that cannot be had or read leaves the one before it in place.

use std::time::Duration;

use graphwarden_policies::identity::{
    Authenticator, IssuerId, KeyRing, Refetch, RefetchGate, RemoteKeys, next_fetch,
};

use super::calls::{Call, Purpose};
use crate::exchange::{CallReply, Keys, Moment};

/// The keys of all issuers, and the fetches that are due.
#[derive(Debug)]
pub(super) struct KeyKeeper {
    ring: KeyRing,
    gate: RefetchGate,
    sources: Vec<Source>,
    /// A stream of numbers that differs from VM to VM, for jitter.
    random: u64,
}

#[derive(Debug)]
struct Source {
    remote: RemoteKeys,
    /// `None` while a fetch is under way.
    next: Option<Moment>,
    failures: u32,
}

/// What a reply meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The discovery document names the place of the keys: fetch them from there.
    Follow(Call),
    /// The fetch has ended; requests that wait for it may try again.
    Ended(Result<usize, String>),
}

impl KeyKeeper {
    /// Every remote set is due at once.
    pub(super) fn new(authenticator: &Authenticator, seed: u64) -> Self {
        let sources = authenticator
            .remote_keys()
            .into_iter()
            .map(|remote| Source { remote, next: Some(Moment(0)), failures: 0 })
            .collect();
        Self {
            ring: authenticator.key_ring(),
            gate: RefetchGate::new(authenticator.issuer_count()),
            sources,
            random: seed,
        }
    }

    /// The fetches that are due.
    pub(super) fn due(&mut self, now: Moment) -> Vec<Call> {
        let gate = &mut self.gate;
        self.sources
            .iter_mut()
            .filter(|source| source.next.is_some_and(|next| next <= now))
            .map(|source| {
                source.next = None;
                gate.started(source.remote.issuer);
                fetch(&source.remote)
            })
            .collect()
    }

    /// Takes the answer to a fetch.
    pub(super) fn answered(
        &mut self,
        issuer: IssuerId,
        discovering: bool,
        reply: &CallReply,
        authenticator: &Authenticator,
        now: Moment,
    ) -> Progress {
        let result = match reply.status {
            Some(200) if discovering => match authenticator.discovered(issuer, &reply.body) {
                Ok(remote) => return Progress::Follow(fetch(&remote)),
                Err(error) => Err(error.to_string()),
            },
            Some(200) => self.ring.install(issuer, &reply.body).map_err(|error| error.to_string()),
            Some(status) => Err(format!("the issuer answered {status}")),
            None => Err("the issuer could not be reached".to_owned()),
        };
        self.gate.done(issuer);
        let random = self.draw();
        if let Some(source) = self.sources.iter_mut().find(|source| source.remote.issuer == issuer) {
            source.failures = if result.is_ok() { 0 } else { source.failures.saturating_add(1) };
            source.next = Some(now.after(next_fetch(source.remote.refresh, source.failures, random)));
        }
        Progress::Ended(result)
    }

    /// xorshift64: jitter needs numbers that differ, not numbers that nobody can guess.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl Keys for KeyKeeper {
    fn ring(&self) -> &KeyRing {
        &self.ring
    }

    fn want(&mut self, issuer: IssuerId, now: Moment) -> bool {
        match self.gate.ask(issuer, now.0 / 1_000) {
            Refetch::Join => true,
            Refetch::Refuse => false,
            Refetch::Start => {
                let source = self.sources.iter_mut().find(|source| source.remote.issuer == issuer);
                match source {
                    Some(source) => {
                        source.next = Some(now);
                        true
                    }
                    None => {
                        // The issuer's keys are in the policy: there is nothing to fetch.
                        self.gate.done(issuer);
                        false
                    }
                }
            }
        }
    }
}

fn fetch(remote: &RemoteKeys) -> Call {
    let headers = vec![
        (":method".to_owned(), "GET".to_owned()),
        (":path".to_owned(), remote.path.clone()),
        (":authority".to_owned(), remote.authority.clone()),
        ("accept".to_owned(), "application/json".to_owned()),
    ];
    Call {
        purpose: Purpose::Keys { issuer: remote.issuer, discovering: remote.discover },
        cluster: remote.cluster.clone(),
        headers,
        body: Vec::new(),
        // Envoy takes 0 for no time-out at all.
        timeout: remote.timeout.max(Duration::from_millis(1)),
    }
}
