//! One pass over the text: bytes that may belong to a value are looked up in a table, and only there the
//! recognisers run, each in time bounded by the longest value it knows. So the whole is linear.
//!
//! Rules between detectors: the leftmost match wins, then the longest, then the first in the list of names. What
//! overlaps a match and ends behind it is covered as far as it goes.

mod glance;
mod sweep;

pub(crate) use glance::{Seen, Table, Triggers};

use super::context::Before;
use super::custom::{Cut, Pattern};
use super::numbers;
use super::secrets;
use super::view::{Found, Stop, View};
use super::{
    DetectorId, crypto_address, date_of_birth, email, iban, ip_address, mac_address, phone, region::Region,
    us_driver_license, us_passport,
};
use crate::masking::text::FOLDED;
use glance::Surroundings;
use sweep::Sweep;

/// A value in the text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finding {
    /// Where it begins and ends.
    pub(crate) start: usize,
    /// Where it ends, exclusive.
    pub(crate) end: usize,
    /// Where what overlaps it ends.
    pub(crate) cover: usize,
    /// Who found it.
    pub(crate) detector: DetectorId,
    /// What covers the text behind it, if it goes on.
    pub(crate) region: Option<Region>,
}

/// What comes next in a text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Next {
    /// Nothing up to this value.
    Found(Finding),
    /// Nothing up to here; from here on it is not decided. At the end of a text, its end.
    Hold(usize),
}

/// The built-in detectors, in order of priority. The position is the id.
pub const NAMES: [&str; 15] = [
    "email",
    "us_ssn",
    "us_itin",
    "payment_card",
    "iban",
    "ip_address",
    "mac_address",
    "date_of_birth",
    "us_passport",
    "us_driver_license",
    "us_bank_routing",
    "uk_nhs",
    "phone",
    "crypto_address",
    "secrets",
];

const EMAIL: DetectorId = DetectorId(0);
const US_SSN: DetectorId = DetectorId(1);
const US_ITIN: DetectorId = DetectorId(2);
const PAYMENT_CARD: DetectorId = DetectorId(3);
const IBAN: DetectorId = DetectorId(4);
const IP_ADDRESS: DetectorId = DetectorId(5);
const MAC_ADDRESS: DetectorId = DetectorId(6);
const DATE_OF_BIRTH: DetectorId = DetectorId(7);
const US_PASSPORT: DetectorId = DetectorId(8);
const US_DRIVER_LICENSE: DetectorId = DetectorId(9);
const US_BANK_ROUTING: DetectorId = DetectorId(10);
const UK_NHS: DetectorId = DetectorId(11);
const PHONE: DetectorId = DetectorId(12);
const CRYPTO_ADDRESS: DetectorId = DetectorId(13);
const SECRETS: DetectorId = DetectorId(14);

/// The longest chain of overlapping values that is held as one.
pub(super) const CHAIN: usize = 4096;

/// Bytes before the end of a text that a value may have begun in without a byte that triggers a recogniser.
const QUIET: usize = 16;

/// Shorter texts hold no address of a crypto-currency, no hardware address in fours, and no token that has a prefix.
const SHORT: usize = 14;

/// The most folded bytes that each detector holds back for one value, by id.
pub(crate) const LONGEST: [usize; 15] = [
    email::LONGEST,
    numbers::LONGEST,
    numbers::LONGEST,
    numbers::LONGEST,
    iban::LONGEST,
    ip_address::LONGEST,
    mac_address::LONGEST,
    date_of_birth::LONGEST,
    numbers::LONGEST,
    us_driver_license::LONGEST,
    numbers::LONGEST,
    numbers::LONGEST,
    phone::LONGEST,
    crypto_address::LONGEST,
    secrets::LONGEST,
];

/// A set of detectors by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Enabled(pub(super) u64);

impl Enabled {
    pub(super) fn has(self, id: DetectorId) -> bool {
        self.0 >> id.0 & 1 == 1
    }

    fn any(self, ids: &[DetectorId]) -> bool {
        ids.iter().any(|id| self.has(*id))
    }
}

/// What one selection of detectors looks for.
#[derive(Debug)]
pub(super) struct Engine {
    table: Table,
    surroundings: Surroundings,
    enabled: Enabled,
    /// Whether recognisers run at every byte of interest: what glances are compared with.
    #[cfg(test)]
    thorough: bool,
}

impl Engine {
    /// The tables for these detectors.
    pub(super) fn new(enabled: Enabled, patterns: &[(DetectorId, Pattern)]) -> Self {
        let mut table = Table::new();
        let mut set = |bytes: &[u8], triggers: Triggers, needed_by: &[DetectorId]| {
            if enabled.any(needed_by) {
                table.add(bytes, triggers);
            }
        };
        set(
            b"0123456789",
            Triggers::DIGIT,
            &[
                US_SSN,
                US_ITIN,
                PAYMENT_CARD,
                IBAN,
                IP_ADDRESS,
                MAC_ADDRESS,
                DATE_OF_BIRTH,
                US_PASSPORT,
                US_DRIVER_LICENSE,
                US_BANK_ROUTING,
                UK_NHS,
                PHONE,
                CRYPTO_ADDRESS,
                SECRETS,
            ],
        );
        set(b"JFMASOND", Triggers::UPPER, &[DATE_OF_BIRTH]);
        set(b"LMDTB", Triggers::UPPER, &[CRYPTO_ADDRESS]);
        set(b"AGJT", Triggers::UPPER, &[SECRETS]);
        set(b"@", Triggers::AT, &[EMAIL, SECRETS]);
        set(b"%", Triggers::PERCENT, &[EMAIL]);
        set(b":", Triggers::COLON, &[IP_ADDRESS, MAC_ADDRESS, SECRETS]);
        set(b"=", Triggers::EQUALS, &[SECRETS]);
        set(b"_", Triggers::UNDERSCORE, &[SECRETS]);
        set(b"-", Triggers::HYPHEN, &[SECRETS, MAC_ADDRESS]);
        set(b"+", Triggers::PLUS, &[PHONE]);
        set(b"(", Triggers::PARENTHESIS, &[PHONE]);
        set(b".", Triggers::DOT, &[MAC_ADDRESS]);
        if enabled.0 != 0 {
            table.add(FOLDED, Triggers::FOLD);
        }
        for (id, pattern) in patterns {
            if enabled.has(*id) {
                for byte in (0..=u8::MAX).filter(|byte| pattern.begins_with(*byte)) {
                    table.add(&[byte], Triggers::CUSTOM);
                }
            }
        }
        Self {
            table,
            surroundings: Surroundings::new(),
            enabled,
            #[cfg(test)]
            thorough: false,
        }
    }

    /// The same, without glances.
    #[cfg(test)]
    pub(super) fn thorough(self) -> Self {
        Self { thorough: true, ..self }
    }

    /// What every byte may be.
    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Which bytes of a text may begin a value in it, where the text is at hand as a whole and has `seen`, and its label
    /// says nothing about it; and whether any may have to be folded. None: nothing can be found.
    pub(super) fn glance(&self, text: &[u8], seen: Triggers) -> Triggers {
        let length = text.len();
        if seen.has(Triggers::CUSTOM) || self.is_thorough() {
            return Triggers::ALL.and(seen.of(Triggers::FOLD));
        }
        let mut active = seen.of(Triggers::ALL.and(Triggers::FOLD));
        let mut drop = |triggers: Triggers, unless: bool| {
            if !unless {
                active = active.without(triggers);
            }
        };
        // No number has fewer than four digits: `5-1-85` behind a word. With few, addresses of crypto-currencies are longer.
        let digits = seen.has(Triggers::DIGIT)
            && (length >= SHORT || text.iter().filter(|byte| byte.is_ascii_digit()).count() >= 4);
        drop(Triggers::DIGIT, digits && length >= 5);
        drop(Triggers::PLUS.and(Triggers::PARENTHESIS), digits);
        // `::1`, `a::b:c`, `pwd=abcd`.
        drop(Triggers::COLON, length >= 3 && (seen.has(Triggers::DIGIT) || length >= 6));
        drop(Triggers::EQUALS, length >= 6);
        // `aaaa.bbbb.cccc`, `xoxb-` and ten more, `AKIA` and sixteen more.
        drop(Triggers::HYPHEN.and(Triggers::UNDERSCORE).and(Triggers::DOT), length >= SHORT);
        drop(Triggers::UPPER, length >= SHORT || (digits && length >= 5));
        active
    }

    /// Whether the name of a value says nothing about it but what kind of number it may be.
    pub(super) fn is_plain_label(&self, label: &[u8]) -> bool {
        !self.enabled.has(SECRETS) || self.surroundings.is_plain_label(label)
    }

    fn is_thorough(&self) -> bool {
        #[cfg(test)]
        return self.thorough;
        #[cfg(not(test))]
        false
    }

    /// Which detectors look.
    pub(super) fn enabled(&self) -> Enabled {
        self.enabled
    }

    /// What comes next in `view` from its floor on. `active`: what [`glance`](Self::glance) told of a text at hand;
    /// everything, of any other.
    pub(super) fn next(&self, view: &View<'_>, active: Seen, patterns: &[(DetectorId, Pattern)]) -> Next {
        let mut sweep = Sweep::new(view, self.enabled);
        let mut at = view.floor;
        sweep.resume();
        loop {
            // Once something waits, what follows only tells whether something before it waits, too.
            let length = view.text.len();
            let limit = match sweep.found {
                // What covers the text without a bound leaves nothing to look for.
                Some(found) if found.region.is_some() => at,
                Some(found) if sweep.hold.is_none() => found.cover.min(length),
                _ => length,
            };
            let trigger;
            (at, trigger) = self.bright(view, at, limit, active, !patterns.is_empty());
            if trigger.is_none() {
                match self.settle(view, active.triggers, &mut sweep) {
                    // The e-mail address around a match covers more: go on in there.
                    true => continue,
                    false => break,
                }
            }
            if trigger.has(Triggers::CUSTOM) {
                self.custom(view, at, patterns, &mut sweep);
            }
            let next = sweep.examine(at, trigger.without(Triggers::CUSTOM));
            // Custom patterns may begin inside a word that nothing else does.
            at = if patterns.is_empty() { next } else { at + 1 };
        }
        match (sweep.hold, sweep.found) {
            (Some(hold), _) => Next::Hold(hold),
            (None, Some(found)) => Next::Found(found),
            (None, None) => Next::Hold(view.text.len()),
        }
    }

    /// The first byte from `at` on, before `limit`, at which a recogniser has to look, and what it is; nothing, where there is
    /// none. `custom`: whether there are custom patterns.
    fn bright(
        &self,
        view: &View<'_>,
        mut at: usize,
        limit: usize,
        active: Seen,
        custom: bool,
    ) -> (usize, Triggers) {
        let text = view.text.get(..limit).unwrap_or_default();
        loop {
            let (spot, trigger) = self.table.first(text, at, active);
            let dull = !trigger.is_none()
                && !self.is_thorough()
                && !trigger.has(Triggers::CUSTOM)
                && self.surroundings.are_dull(view, spot, trigger, active.triggers);
            if !dull {
                return (spot, trigger);
            }
            at = if trigger == Triggers::DIGIT && !custom { word_end(view, spot) } else { spot + 1 };
        }
    }

    /// Runs the custom patterns that may begin at `at`.
    fn custom(&self, view: &View<'_>, at: usize, patterns: &[(DetectorId, Pattern)], sweep: &mut Sweep<'_>) {
        let byte = view.known(at).unwrap_or(0);
        for (id, pattern) in patterns.iter().filter(|(id, _)| self.enabled.has(*id)) {
            if pattern.begins_with(byte) {
                match pattern.at(view, at) {
                    Ok(Cut::Ends(end)) => sweep.offer(*id, at, Ok(end)),
                    Ok(Cut::Open(end, state)) => {
                        let index = usize::from(id.0) - NAMES.len();
                        sweep.open(*id, at, end, Region::Pattern(index, state));
                    }
                    Err(stop) => sweep.offer(*id, at, Err(stop)),
                }
            }
        }
    }

    /// Nothing of interest is left before the end of what was found, or of the text. Says whether more has to be
    /// examined.
    fn settle(&self, view: &View<'_>, active: Triggers, sweep: &mut Sweep<'_>) -> bool {
        let tail = if view.ended { view.text.len() } else { self.tail(view) };
        let waits_at = |found: Option<Finding>, hold: usize, anchor: Option<usize>| {
            let begin = found.map_or(hold, |found| found.start.min(hold)).min(tail);
            anchor.map_or(begin, |anchor| anchor.min(begin))
        };
        if let Some(hold) = sweep.hold {
            sweep.hold = Some(waits_at(sweep.found, hold, sweep.anchor));
            return false;
        }
        let Some(found) = sweep.found else {
            sweep.hold = (tail < view.text.len()).then_some(tail);
            return false;
        };
        let address = sweep.has(EMAIL) && active.has(Triggers::AT.and(Triggers::PERCENT));
        if address && found.detector != EMAIL && found.region.is_none() {
            match email::around(view, found.cover) {
                Ok((start, end)) => {
                    sweep.offer(EMAIL, start.max(view.floor), Ok(end));
                    return true;
                }
                Err((start, Stop::More)) => {
                    sweep.hold = Some(waits_at(sweep.found, start.max(view.floor), sweep.anchor));
                }
                Err((_, Stop::No)) => {}
            }
        }
        false
    }

    /// Where undecided text begins at the end of what is known, where no byte of interest has come yet.
    fn tail(&self, view: &View<'_>) -> usize {
        let end = view.text.len();
        if self.enabled.has(EMAIL) {
            return email::tail(view);
        }
        let begin = view.run_back(end, QUIET, |byte| byte > b' ');
        let undecided = |start: usize| {
            let Some(byte) = view.known(start) else { return false };
            if !byte.is_ascii_alphanumeric() || !view.word_begins(start) {
                return false;
            }
            let more = |id: DetectorId, found: Found| self.enabled.has(id) && found == Err(Stop::More);
            more(IBAN, iban::at(view, start))
                || more(CRYPTO_ADDRESS, crypto_address::at(view, start))
                || more(SECRETS, secrets::token(view, start).map(|_| end))
                || more(IP_ADDRESS, ip_address::v6_at(view, start))
                || more(MAC_ADDRESS, mac_address::at(view, start))
                || more(US_PASSPORT, us_passport::at(view, &Before::new(view, start)))
                || more(US_DRIVER_LICENSE, us_driver_license::at(view, &Before::new(view, start)))
        };
        (begin..end).find(|start| undecided(*start)).unwrap_or(end)
    }
}

/// Where the letters and digits from `at` on end.
fn word_end(view: &View<'_>, at: usize) -> usize {
    view.run(at, usize::MAX - at, |byte| byte.is_ascii_alphanumeric()).unwrap_or(view.text.len())
}
