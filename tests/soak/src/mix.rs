//! What callers send: thirteen kinds of request in fixed shares, each with a number of its own in its path, and what
//! may come back.
//!
//! The number is what the ledger is asked for in the end: a record keeps the path of its request.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use graphwarden_stand::{Ask, Issuer, Person, claims_for};
use serde_json::{Value, json};

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// A thread's state as JSON.
    Read,
    /// A run that is waited for.
    Run,
    /// The same with half a megabyte of input.
    Upload,
    /// A run that streams.
    Stream,
    /// Held until a manager agrees.
    HeldApproved,
    /// Held until a manager says no.
    HeldDenied,
    /// A token that was forged, has expired, or is none.
    BadToken,
    /// A route that LangGraph does not have.
    UnknownRoute,
    /// Its client leaves in the middle of the stream.
    LeavesStream,
    /// Its client leaves while it is held.
    LeavesHold,
    /// The upstream resets in the middle of the answer.
    UpstreamReset,
    /// A run of the real LangGraph that streams.
    RealStream,
    /// A run of the real LangGraph that a manager has to agree to.
    RealHeld,
}

/// Of a hundred requests, how many are of which kind.
const SHARES: [(Kind, usize); 13] = [
    (Kind::Read, 30),
    (Kind::Run, 14),
    (Kind::Upload, 4),
    (Kind::Stream, 15),
    (Kind::HeldApproved, 6),
    (Kind::HeldDenied, 3),
    (Kind::BadToken, 9),
    (Kind::UnknownRoute, 6),
    (Kind::LeavesStream, 3),
    (Kind::LeavesHold, 1),
    (Kind::UpstreamReset, 5),
    (Kind::RealStream, 3),
    (Kind::RealHeld, 1),
];

/// Longer than a hold of the shipped policy.
const PATIENCE: Duration = Duration::from_secs(150);

impl Kind {
    /// Every kind.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        SHARES.into_iter().map(|(kind, _)| kind)
    }

    /// The kind of a request: a hundred in a row have the shares, and neighbours differ.
    pub(crate) fn of(number: u64) -> Self {
        // 37 has no factor in common with 100, so each place comes once.
        let mut place = usize::try_from(number * 37 % 100).unwrap_or(0);
        for (kind, share) in SHARES {
            if place < share {
                return kind;
            }
            place -= share;
        }
        Kind::Read
    }

    /// Its name in the summary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "thread read",
            Self::Run => "run",
            Self::Upload => "upload of 512 KB",
            Self::Stream => "stream",
            Self::HeldApproved => "held, approved",
            Self::HeldDenied => "held, denied",
            Self::BadToken => "bad token",
            Self::UnknownRoute => "unknown route",
            Self::LeavesStream => "client leaves a stream",
            Self::LeavesHold => "client leaves a hold",
            Self::UpstreamReset => "upstream resets",
            Self::RealStream => "LangGraph: stream",
            Self::RealHeld => "LangGraph: held, approved",
        }
    }

    /// Whether people are asked, and what they say: `None` when nobody answers.
    pub(crate) fn decision(self) -> Option<&'static str> {
        match self {
            Self::HeldApproved | Self::RealHeld => Some("approve"),
            Self::HeldDenied => Some("deny"),
            _ => None,
        }
    }

    /// What comes back when nothing is wrong.
    pub(crate) fn expected(self) -> &'static [&'static str] {
        match self {
            Self::Read
            | Self::Run
            | Self::Upload
            | Self::Stream
            | Self::HeldApproved
            | Self::RealStream
            | Self::RealHeld => &["200"],
            Self::HeldDenied => &["403 approval_denied"],
            Self::BadToken => {
                &["401 token_expired", "401 token_signature", "401 token_malformed", "401 token_missing"]
            }
            Self::UnknownRoute => &["403 operation_unknown"],
            Self::LeavesStream | Self::LeavesHold => &["left"],
            Self::UpstreamReset => &["200 cut"],
        }
    }
}

/// The path's part that says which request it is. LangGraph's own are routed there by it.
pub(crate) fn thread(number: u64) -> String {
    let real = matches!(Kind::of(number), Kind::RealStream | Kind::RealHeld);
    format!("00000000-0000-4000-{}000-{number:012}", if real { 'a' } else { '8' })
}

/// The number of the request that a path belongs to.
pub(crate) fn number_in(path: &str) -> Option<u64> {
    let at = path.find("00000000-0000-4000-")?;
    path.get(at + 24..at + 36)?.parse().ok()
}

/// Good tokens, one for each person, as clients keep them.
#[derive(Debug)]
pub(crate) struct Tokens(Mutex<Vec<String>>);

impl Tokens {
    /// Signs one for each person.
    pub(crate) fn new(issuer: &Issuer) -> Self {
        Self(Mutex::new(signed(issuer)))
    }

    /// Signs them anew.
    pub(crate) fn refresh(&self, issuer: &Issuer) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = signed(issuer);
    }

    /// This person's.
    pub(crate) fn of(&self, person: Person) -> String {
        let place = Person::ALL.iter().position(|known| *known == person).unwrap_or(0);
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(place).cloned().unwrap_or_default()
    }
}

fn signed(issuer: &Issuer) -> Vec<String> {
    Person::ALL.iter().map(|person| issuer.token(*person)).collect()
}

/// The request.
pub(crate) fn ask(number: u64, issuer: &Issuer, tokens: &Tokens) -> Ask {
    let (kind, thread) = (Kind::of(number), thread(number));
    let run =
        |graph: &str, input: Value| json!({"assistant_id": graph, "if_not_exists": "create", "input": input});
    let words = json!({"messages": [{"role": "user", "content": "who is zoe.obrien@example.com?"}]});
    // The amount is what the manager reads the number from.
    let order =
        json!({"customer_id": "c-1001", "amount": number, "note": "receipt to zoe.obrien@example.com"});
    let (ask, person) = match kind {
        Kind::Read => (Ask::get(&format!("/threads/{thread}")), Person::Analyst),
        Kind::Run => (
            Ask::post(&format!("/threads/{thread}/runs/wait"), &run("support_agent", words)),
            Person::Analyst,
        ),
        Kind::Upload => {
            let input = json!({"file": "a line of a file of 64 bytes, which holds nothing to be masked.\n".repeat(8 << 10)});
            (
                Ask::post(&format!("/threads/{thread}/runs/wait"), &run("support_agent", input)),
                Person::Analyst,
            )
        }
        Kind::Stream | Kind::LeavesStream | Kind::UpstreamReset | Kind::RealStream => {
            let mut body = run("support_agent", words);
            body["stream_mode"] = json!(["updates", "messages-tuple"]);
            (Ask::post(&format!("/threads/{thread}/runs/stream"), &body), Person::Engineer)
        }
        Kind::HeldApproved | Kind::HeldDenied | Kind::LeavesHold | Kind::RealHeld => {
            (Ask::post(&format!("/threads/{thread}/runs/wait"), &run("billing", order)), Person::Engineer)
        }
        Kind::BadToken => {
            let ask = Ask::get(&format!("/threads/{thread}")).within(PATIENCE);
            let mut claims = claims_for(Person::Analyst, issuer.url(), issuer.audience());
            return match number / 100 % 4 {
                0 => {
                    claims["exp"] = json!(claims["iat"].as_u64().unwrap_or_default() - 3_600);
                    ask.bearer(&issuer.sign(&claims))
                }
                1 => ask.bearer(&issuer.forged(&claims)),
                2 => ask.bearer("garbage"),
                _ => ask,
            };
        }
        Kind::UnknownRoute => (Ask::get(&format!("/unknown/{thread}")), Person::Analyst),
    };
    ask.bearer(&tokens.of(person)).within(PATIENCE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_hundred_in_a_row_have_the_shares() {
        assert_eq!(SHARES.iter().map(|(_, share)| share).sum::<usize>(), 100);
        let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
        for number in 700..800 {
            *counts.entry(Kind::of(number)).or_default() += 1;
        }
        assert_eq!(counts, BTreeMap::from(SHARES));
    }

    #[test]
    fn a_path_says_which_request_it_is() {
        for number in [0, 7, 99, 123_456] {
            assert_eq!(number_in(&format!("/threads/{}/runs/wait", thread(number))), Some(number));
        }
        assert_eq!(number_in("/internal/nothing"), None);
    }
}
