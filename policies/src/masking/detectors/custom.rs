//! Patterns of the policy's author: regular expressions over bytes, run as a dense automaton.
//!
//! The automaton is anchored where a match may begin and runs until it is dead, so that what is held is what it
//! is still alive on. One that is alive after `max_hold` bytes is cut: the bytes are masked, and so is what
//! follows for as long as it stays alive.

use regex_automata::dfa::dense::{Builder, Config as DenseConfig, DFA};
use regex_automata::dfa::{Automaton, StartKind};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start::Config as StartConfig;
use regex_automata::util::syntax;
use regex_automata::{Anchored, MatchKind};

use super::view::{Stop, View};

/// Bytes held back without a `max_hold`.
const DEFAULT_HOLD: usize = 1 << 10;
/// The largest `max_hold`.
pub(super) const MOST_HOLD: usize = 64 << 10;
/// Bytes of a compiled pattern.
const AUTOMATON: usize = 1 << 20;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    automaton: DFA<Vec<u32>>,
    max_hold: usize,
    /// Bytes that a match can begin with.
    first: [bool; 256],
}

/// A match: where it ends, or where it was cut and in which state it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Ends(usize),
    Open(usize, StateID),
}

impl Pattern {
    /// Compiles `pattern`, or says what is wrong with it.
    pub(super) fn compile(pattern: &str, max_hold: Option<usize>) -> Result<Self, String> {
        let max_hold = max_hold.unwrap_or(DEFAULT_HOLD);
        let automaton = Builder::new()
            .configure(
                DenseConfig::new()
                    .start_kind(StartKind::Anchored)
                    .match_kind(MatchKind::LeftmostFirst)
                    .dfa_size_limit(Some(AUTOMATON))
                    .determinize_size_limit(Some(4 * AUTOMATON)),
            )
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(thompson::Config::new().utf8(false).nfa_size_limit(Some(AUTOMATON)))
            .build(pattern)
            .map_err(|error| explain(&error))?;
        let mut compiled = Self { automaton, max_hold, first: [false; 256] };
        let dfa = &compiled.automaton;
        for before in [None, Some(b'a'), Some(b'-'), Some(b'\n'), Some(b'\r')] {
            let Ok(start) = start(dfa, before) else { return Err("cannot be anchored".to_owned()) };
            if dfa.is_match_state(dfa.next_eoi_state(start)) {
                return Err("matches the empty text".to_owned());
            }
            for (byte, first) in (0..=u8::MAX).zip(compiled.first.iter_mut()) {
                let next = dfa.next_state(start, byte);
                if dfa.is_match_state(next) {
                    return Err("matches the empty text".to_owned());
                }
                *first |= !dfa.is_dead_state(next);
            }
        }
        Ok(compiled)
    }

    /// The most bytes that are held back for one match.
    pub(super) fn max_hold(&self) -> usize {
        self.max_hold
    }

    /// Whether a match can begin with `byte`.
    pub(super) fn begins_with(&self, byte: u8) -> bool {
        self.first.get(usize::from(byte)).copied().unwrap_or(false)
    }

    /// A match at `begin`.
    pub(super) fn at(&self, view: &View<'_>, begin: usize) -> Result<Cut, Stop> {
        let dfa = &self.automaton;
        let mut state = start(dfa, view.previous(begin)).map_err(|_| Stop::No)?;
        let mut end = None;
        let mut at = begin;
        loop {
            if at - begin == self.max_hold {
                return Ok(Cut::Open(at, state));
            }
            let byte = view.byte(at)?;
            state = match byte {
                Some(byte) => dfa.next_state(state, byte),
                None => dfa.next_eoi_state(state),
            };
            // Match states come one byte late.
            if dfa.is_match_state(state) {
                end = Some(at);
            }
            if byte.is_none() || dfa.is_dead_state(state) || dfa.is_quit_state(state) {
                return end.map(Cut::Ends).ok_or(Stop::No);
            }
            at += 1;
        }
    }

    /// Goes on with a match that was cut: the state behind `byte`, or `None` where it is over.
    pub(super) fn go_on(&self, state: StateID, byte: u8) -> Option<StateID> {
        let next = self.automaton.next_state(state, byte);
        let over = self.automaton.is_dead_state(next) || self.automaton.is_quit_state(next);
        (!over).then_some(next)
    }
}

fn start(dfa: &DFA<Vec<u32>>, before: Option<u8>) -> Result<StateID, regex_automata::dfa::StartError> {
    dfa.start_state(&StartConfig::new().anchored(Anchored::Yes).look_behind(before))
}

/// What is wrong, without the library's wording where ours helps more.
fn explain(error: &regex_automata::dfa::dense::BuildError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    // The automaton's limit has a kind of its own, the one of what it is made from only a text.
    if error.is_size_limit_exceeded() || text.contains("exceeded limit") {
        return format!("needs an automaton of more than {} KiB; bound its repetitions", AUTOMATON >> 10);
    }
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
