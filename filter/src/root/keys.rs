//! Fetching the issuers' keys: when, in how many steps, and what an answer changes.
//!
//! Every VM fetches for itself. A set that cannot be had or read leaves the one before it in place.

use std::time::Duration;

use graphwarden_policies::identity::{
    Authenticator, IssuerId, KeyRing, Missing, Refetch, RefetchGate, RemoteKeys, next_fetch,
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

    fn want(&mut self, missing: Missing, now: Moment) -> bool {
        let Some(source) = self.sources.iter_mut().find(|source| source.remote.issuer == missing.issuer)
        else {
            // The issuer's keys are in the policy: there is nothing to fetch.
            return false;
        };
        // A fetch that is due anyway, as the first one is, costs nothing of what unknown keys may ask for.
        if source.next.is_some_and(|next| next <= now) {
            return true;
        }
        let begins = match self.gate.ask(missing, now.0 / 1_000) {
            Refetch::Join => return true,
            Refetch::Refuse => return false,
            Refetch::Start => now,
            Refetch::Later(wait) => now.after(Duration::from_millis(wait)),
        };
        source.next = Some(source.next.map_or(begins, |next| next.min(begins)));
        true
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

#[cfg(test)]
mod tests {
    use graphwarden_policies::policy::{At, Problems};
    use serde_json::json;

    use super::*;

    const NOW: Moment = Moment(1_800_000_000_000_000);
    const SET: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn authenticator(discover: bool) -> Authenticator {
        let mut keys = json!({ "cluster": "idp", "path": "/jwks.json", "refresh": "300s" });
        if discover {
            keys = json!({ "cluster": "idp", "discover": true });
        }
        let config = json!({ "issuers": [{
            "issuer": "https://idp.example.com", "audiences": ["a"], "algorithms": ["EdDSA"], "keys": keys,
        }] });
        let config = serde_json::from_value(config).unwrap();
        let mut problems = Problems::new();
        Authenticator::compile(&config, &At::root(), &|_| None, &mut problems)
            .unwrap_or_else(|| panic!("{problems}"))
    }

    fn issuer(call: &Call) -> (IssuerId, bool) {
        match call.purpose {
            Purpose::Keys { issuer, discovering } => (issuer, discovering),
            _ => panic!("{call:?}"),
        }
    }

    fn reply(status: u16, body: &str) -> CallReply {
        CallReply { status: Some(status), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn keys_are_fetched_at_once_and_again_before_they_are_old() {
        let authenticator = authenticator(false);
        let mut keeper = KeyKeeper::new(&authenticator, 7);
        let calls = keeper.due(NOW);
        let (id, discovering) = issuer(&calls[0]);
        assert!(!discovering && !keeper.ring().is_loaded(id));
        assert!(keeper.due(NOW).is_empty(), "one fetch at a time");
        let progress = keeper.answered(id, false, &reply(200, SET), &authenticator, NOW);
        assert_eq!(progress, Progress::Ended(Ok(1)));
        assert!(keeper.ring().is_loaded(id));
        assert!(keeper.due(NOW.after(Duration::from_secs(269))).is_empty());
        assert_eq!(keeper.due(NOW.after(Duration::from_secs(300))).len(), 1);
    }

    #[test]
    fn a_failed_fetch_keeps_the_old_keys_and_comes_again_soon() {
        let authenticator = authenticator(false);
        let mut keeper = KeyKeeper::new(&authenticator, 7);
        let (id, _) = issuer(&keeper.due(NOW)[0]);
        keeper.answered(id, false, &reply(200, SET), &authenticator, NOW);
        let mut now = NOW;
        for bad in [
            reply(500, ""),
            reply(200, "{}"),
            reply(200, "garbage"),
            CallReply { status: None, body: Vec::new() },
        ] {
            now = now.after(Duration::from_secs(300));
            assert_eq!(keeper.due(now).len(), 1);
            assert!(matches!(keeper.answered(id, false, &bad, &authenticator, now), Progress::Ended(Err(_))));
            assert!(keeper.ring().is_loaded(id));
        }
        assert_eq!(keeper.due(now.after(Duration::from_secs(60))).len(), 1);
    }

    #[test]
    fn discovery_leads_to_the_keys() {
        let authenticator = authenticator(true);
        let mut keeper = KeyKeeper::new(&authenticator, 7);
        let (id, discovering) = issuer(&keeper.due(NOW)[0]);
        assert!(discovering);
        let document = r#"{"issuer":"https://idp.example.com","jwks_uri":"https://idp.example.com/keys"}"#;
        let Progress::Follow(call) = keeper.answered(id, true, &reply(200, document), &authenticator, NOW)
        else {
            panic!("no second step")
        };
        assert_eq!(issuer(&call), (id, false));
        assert!(call.headers.contains(&(":path".to_owned(), "/keys".to_owned())));
        keeper.answered(id, false, &reply(200, SET), &authenticator, NOW);
        assert!(keeper.ring().is_loaded(id));
    }

    #[test]
    fn waiting_for_the_first_keys_costs_no_fetch_of_unknown_ones() {
        let authenticator = authenticator(false);
        let mut keeper = KeyKeeper::new(&authenticator, 7);
        let id = keeper.sources[0].remote.issuer;
        let kid = |number: u32| Missing::kid(id, &number.to_string());
        for number in 0..100 {
            assert!(keeper.want(kid(number), NOW));
        }
        assert_eq!(keeper.due(NOW).len(), 1);
        keeper.answered(id, false, &reply(200, SET), &authenticator, NOW);
        for number in 0..5 {
            assert!(keeper.want(kid(number), NOW), "all are left");
            assert_eq!(keeper.due(NOW).len(), 1);
            keeper.answered(id, false, &reply(200, SET), &authenticator, NOW);
            assert!(!keeper.want(kid(number), NOW), "one fetch is enough to know");
        }
        assert!(keeper.want(kid(5), NOW), "it waits");
        assert!(keeper.due(NOW).is_empty());
    }

    #[test]
    fn unknown_keys_are_fetched_at_once_but_garbage_cannot_drive_it() {
        let authenticator = authenticator(false);
        let mut keeper = KeyKeeper::new(&authenticator, 7);
        let (id, _) = issuer(&keeper.due(NOW)[0]);
        assert!(keeper.want(Missing::kid(id, "new"), NOW), "one that is under way is joined");
        assert!(keeper.due(NOW).is_empty());
        keeper.answered(id, false, &reply(200, SET), &authenticator, NOW);
        let (mut now, mut fetches) = (NOW, 0);
        // 10,000 a second for 20 s, each with a kid of its own.
        for number in 0..200_000 {
            now = now.after(Duration::from_micros(100));
            keeper.want(Missing::kid(id, &number.to_string()), now);
            for call in keeper.due(now) {
                fetches += 1;
                keeper.answered(issuer(&call).0, false, &reply(200, SET), &authenticator, now);
            }
        }
        assert!((10..=15).contains(&fetches), "{fetches}");
    }

    #[test]
    fn a_new_key_is_seen_within_two_seconds_however_much_garbage_comes() {
        const ROTATED: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k2","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let authenticator = authenticator(false);
        for rotated_at in [0, 700, 1_999, 2_000, 5_300] {
            let mut keeper = KeyKeeper::new(&authenticator, 7);
            let (id, _) = issuer(&keeper.due(NOW)[0]);
            keeper.answered(id, false, &reply(200, SET), &authenticator, NOW);
            let version = |keeper: &KeyKeeper| format!("{:?}", keeper.ring());
            let (before, mut seen) = (version(&keeper), None);
            for milli in 0..8_000 {
                let now = NOW.after(Duration::from_millis(milli));
                for number in 0..3 {
                    keeper.want(Missing::kid(id, &format!("{milli}.{number}")), now);
                }
                let set = if milli < rotated_at { SET } else { ROTATED };
                for call in keeper.due(now) {
                    keeper.answered(issuer(&call).0, false, &reply(200, set), &authenticator, now);
                }
                if seen.is_none() && version(&keeper) != before {
                    seen = Some(milli - rotated_at);
                }
            }
            assert!(seen.is_some_and(|after| after <= 2_000), "rotated at {rotated_at}: {seen:?}");
        }
    }
}
