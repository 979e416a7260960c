//! One pass over the text: bytes that may belong to a value are looked up in a table, and only there the
//! recognisers run, each in time bounded by the longest value it knows. So the whole is linear.
//!
//! Rules between detectors: the leftmost match wins, then the longest, then the first in the list of names. What
//! overlaps a match and ends behind it is covered as far as it goes.

use super::custom::{Cut, Pattern};
use super::numbers::{self, Groups};
use super::secrets::{self, FoundSecret, Secret};
use super::view::{Found, Stop, View, is_word};
use super::{
    DetectorId, crypto_address, date_of_birth, email, iban, ip_address, mac_address, payment_card, phone,
    region::Region, uk_nhs, us_bank_routing, us_driver_license, us_itin, us_passport, us_ssn,
};

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
pub(super) const NAMES: [&str; 15] = [
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

/// Reads a number that groups of digits make.
type Recogniser = fn(&View<'_>, &Groups) -> Found;

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

/// Why a byte is of interest.
mod trigger {
    pub(super) const NONE: u8 = 0;
    pub(super) const DIGIT: u8 = 1;
    pub(super) const UPPER: u8 = 2;
    pub(super) const AT: u8 = 3;
    pub(super) const PERCENT: u8 = 4;
    pub(super) const COLON: u8 = 5;
    pub(super) const EQUALS: u8 = 6;
    pub(super) const UNDERSCORE: u8 = 7;
    pub(super) const HYPHEN: u8 = 8;
    pub(super) const PLUS: u8 = 9;
    pub(super) const PARENTHESIS: u8 = 10;
    pub(super) const DOT: u8 = 11;
    /// A custom pattern may begin here, whatever else.
    pub(super) const CUSTOM: u8 = 0x80;
}

/// The table and the patterns for one selection of detectors.
#[derive(Debug)]
pub(super) struct Engine {
    table: [u8; 256],
    enabled: Enabled,
}

/// What has been found so far from one place on.
struct Sweep<'s> {
    view: &'s View<'s>,
    enabled: Enabled,
    found: Option<Finding>,
    hold: Option<usize>,
    /// Where a value that its name found is found again, should it have to wait.
    anchor: Option<usize>,
}

impl Sweep<'_> {
    /// Takes what the recogniser of `detector` says about `start`.
    fn offer(&mut self, detector: DetectorId, start: usize, found: Found) {
        match found {
            Err(Stop::No) => {}
            Err(Stop::More) => self.wait_from(start),
            Ok(end) => self.take(Finding { start, end, cover: end, detector, region: None }),
        }
    }

    /// Nothing from `start` on is decided.
    fn wait_from(&mut self, start: usize) {
        self.hold = Some(self.hold.map_or(start, |hold| hold.min(start)));
    }

    fn offer_secret(&mut self, start: usize, found: FoundSecret) {
        match found {
            Err(stop) => self.offer(SECRETS, start, Err(stop)),
            Ok(Secret::Ends(end)) => self.offer(SECRETS, start, Ok(end)),
            Ok(Secret::Block(end)) => {
                self.open(SECRETS, start, end, Region::Block(secrets::Block::default()))
            }
            Ok(Secret::While(end, class)) => self.open(SECRETS, start, end, Region::While(class)),
        }
    }

    fn open(&mut self, detector: DetectorId, start: usize, end: usize, region: Region) {
        self.take(Finding { start, end, cover: end, detector, region: Some(region) });
    }

    fn take(&mut self, new: Finding) {
        if new.start < self.view.floor {
            return;
        }
        if self.hold.is_some() {
            // What waits may overlap it, or win.
            self.wait_from(new.start);
            return;
        }
        let Some(old) = self.found else {
            self.found = Some(new);
            return;
        };
        // The leftmost, then the longest, then the author's own pattern, then the first in the list of names.
        let rank = |finding: &Finding| {
            let built_in = usize::from(finding.detector.0) < NAMES.len();
            (finding.start, usize::MAX - finding.end, built_in, finding.detector.0)
        };
        let better = rank(&new) < rank(&old);
        let cover = old.cover.max(new.cover);
        // What goes on without a bound does so behind both.
        let region =
            if new.cover >= old.cover { new.region.or(old.region) } else { old.region.or(new.region) };
        let first = if better { new } else { old };
        // A chain of values, each overlapping the next, is covered to the end of its line once it is long.
        let long = cover > first.end && cover - first.start > CHAIN;
        let region = region.or(long.then_some(Region::While(|byte| byte != b'\n')));
        self.found = Some(Finding { cover, region, ..first });
    }

    fn has(&self, detector: DetectorId) -> bool {
        self.enabled.has(detector)
    }
}

impl Engine {
    /// The table for these detectors.
    pub(super) fn new(enabled: Enabled, patterns: &[(DetectorId, Pattern)]) -> Self {
        let mut table = [trigger::NONE; 256];
        let mut set = |bytes: &[u8], trigger: u8, needed_by: &[DetectorId]| {
            if enabled.any(needed_by) {
                for byte in bytes {
                    if let Some(place) = table.get_mut(usize::from(*byte)) {
                        *place = trigger;
                    }
                }
            }
        };
        set(
            b"0123456789",
            trigger::DIGIT,
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
        set(b"JFMASOND", trigger::UPPER, &[DATE_OF_BIRTH]);
        set(b"LMDTB", trigger::UPPER, &[CRYPTO_ADDRESS]);
        set(b"AGJT", trigger::UPPER, &[SECRETS]);
        set(b"@", trigger::AT, &[EMAIL]);
        set(b"%", trigger::PERCENT, &[EMAIL]);
        set(b":", trigger::COLON, &[IP_ADDRESS, MAC_ADDRESS, SECRETS]);
        set(b"=", trigger::EQUALS, &[SECRETS]);
        set(b"_", trigger::UNDERSCORE, &[SECRETS]);
        set(b"-", trigger::HYPHEN, &[SECRETS, MAC_ADDRESS]);
        set(b"+", trigger::PLUS, &[PHONE]);
        set(b"(", trigger::PARENTHESIS, &[PHONE]);
        set(b".", trigger::DOT, &[MAC_ADDRESS]);
        for (id, pattern) in patterns {
            if enabled.has(*id) {
                for (byte, place) in (0..=u8::MAX).zip(table.iter_mut()) {
                    if pattern.begins_with(byte) {
                        *place |= trigger::CUSTOM;
                    }
                }
            }
        }
        Self { table, enabled }
    }

    /// Which detectors look.
    pub(super) fn enabled(&self) -> Enabled {
        self.enabled
    }

    /// What comes next in `view` from its floor on.
    pub(super) fn next(&self, view: &View<'_>, patterns: &[(DetectorId, Pattern)]) -> Next {
        let mut sweep = Sweep { view, enabled: self.enabled, found: None, hold: None, anchor: None };
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
            at = self.skip(view.text, at, limit);
            let byte = match view.known(at) {
                Some(byte) if at < limit => byte,
                _ => {
                    match self.settle(view, &mut sweep) {
                        // The e-mail address around a match covers more: go on in there.
                        true => continue,
                        false => break,
                    }
                }
            };
            let trigger = self.table.get(usize::from(byte)).copied().unwrap_or(trigger::NONE);
            if trigger & trigger::CUSTOM != 0 {
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
            let next = sweep.examine(at, trigger & !trigger::CUSTOM);
            // Custom patterns may begin inside a word that nothing else does.
            at = if patterns.is_empty() { next } else { at + 1 };
        }
        match (sweep.hold, sweep.found) {
            (Some(hold), _) => Next::Hold(hold),
            (None, Some(found)) => Next::Found(found),
            (None, None) => Next::Hold(view.text.len()),
        }
    }

    /// The next byte of interest from `at` on.
    fn skip(&self, text: &[u8], at: usize, limit: usize) -> usize {
        let rest = text.get(at..limit).unwrap_or_default();
        let table = &self.table;
        rest.iter()
            .position(|byte| table.get(usize::from(*byte)).is_some_and(|trigger| *trigger != trigger::NONE))
            .map_or(limit.max(at), |offset| at + offset)
    }

    /// Nothing of interest is left before the end of what was found, or of the text. Says whether more has to be
    /// examined.
    fn settle(&self, view: &View<'_>, sweep: &mut Sweep<'_>) -> bool {
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
        if sweep.has(EMAIL) && found.detector != EMAIL && found.region.is_none() {
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
                || more(US_PASSPORT, us_passport::at(view, start))
                || more(US_DRIVER_LICENSE, us_driver_license::at(view, start))
        };
        (begin..end).find(|start| undecided(*start)).unwrap_or(end)
    }
}

impl Sweep<'_> {
    /// Runs the recognisers that the byte at `at` triggers, and says where to go on.
    fn examine(&mut self, at: usize, trigger: u8) -> usize {
        let view = self.view;
        match trigger {
            trigger::DIGIT => return self.digit(at),
            trigger::UPPER => self.upper(at),
            trigger::AT => self.at_sign(at),
            // Of `%4` what comes next decides; the run before it is held anyway.
            trigger::PERCENT if view.literal(at, b"%40").is_ok() => self.at_sign(at),
            trigger::COLON => {
                if self.has(IP_ADDRESS) {
                    let (start, found) = ip_address::v6(view, at);
                    self.offer(IP_ADDRESS, start, found);
                }
                self.pairs(at);
                self.named(at);
            }
            trigger::EQUALS => self.named(at),
            trigger::UNDERSCORE => self.token_before(at),
            trigger::HYPHEN => {
                self.pairs(at);
                self.token_before(at);
                if self.has(SECRETS) && view.previous(at) != Some(b'-') {
                    self.offer_secret(at, secrets::private_key(view, at));
                }
            }
            trigger::PLUS if self.has(PHONE) => self.offer(PHONE, at, phone::international(view, at)),
            trigger::PARENTHESIS if self.has(PHONE) => self.offer(PHONE, at, phone::in_parentheses(view, at)),
            trigger::DOT if self.has(MAC_ADDRESS) => {
                let (start, found) = mac_address::fours(view, at);
                self.offer(MAC_ADDRESS, start, found);
            }
            _ => {}
        }
        at + 1
    }

    /// Looks at what the bytes before the floor trigger behind it.
    fn resume(&mut self) {
        let view = self.view;
        if !self.has(SECRETS) {
            return;
        }
        let found = match view.previous(view.floor) {
            _ if view.labelled => secrets::after_label(view),
            Some(b':' | b'=') => secrets::named_value(view, view.floor),
            _ => None,
        };
        self.value(view.floor, found);
    }

    /// Takes the value that a name found behind the separator before `begin`.
    fn value(&mut self, begin: usize, found: Option<(usize, FoundSecret)>) {
        if let Some((start, found)) = found {
            if found.is_ok() {
                self.anchor = Some(self.anchor.map_or(begin, |anchor| anchor.min(begin)));
            }
            self.offer_secret(start, found);
        }
    }

    fn at_sign(&mut self, at: usize) {
        match email::at_sign(self.view, at) {
            Ok((start, end)) => self.offer(EMAIL, start, Ok(end)),
            Err((start, stop)) => self.offer(EMAIL, start, Err(stop)),
        }
    }

    fn pairs(&mut self, separator: usize) {
        if self.has(MAC_ADDRESS) {
            let (start, found) = mac_address::pairs(self.view, separator);
            self.offer(MAC_ADDRESS, start, found);
        }
    }

    fn named(&mut self, separator: usize) {
        if self.has(SECRETS) {
            self.value(separator + 1, secrets::named_value(self.view, separator + 1));
        }
    }

    /// A token whose prefix has `-` or `_` at `at`.
    fn token_before(&mut self, at: usize) {
        if self.has(SECRETS) {
            let start = self.view.run_back(at, 8, |byte| byte.is_ascii_alphanumeric());
            if secrets::may_begin(self.view.span(start, at)) {
                self.offer_secret(start, secrets::token(self.view, start));
            }
        }
    }

    fn upper(&mut self, at: usize) {
        let view = self.view;
        let previous = view.previous(at);
        let byte = view.known(at);
        if byte == Some(b'J') && self.has(SECRETS) && previous == Some(b'y') && at >= view.floor + 2 {
            self.offer_secret(at - 2, secrets::token(view, at - 2));
        }
        if previous.is_some_and(is_word) {
            return;
        }
        if self.has(SECRETS) {
            match byte {
                Some(b'A' | b'G') => self.offer_secret(at, secrets::token(view, at)),
                Some(b'T') => self.offer(SECRETS, at, secrets::slack_hook(view, at)),
                _ => {}
            }
        }
        if self.has(CRYPTO_ADDRESS) && matches!(byte, Some(b'L' | b'M' | b'D' | b'T' | b'B')) {
            self.offer(CRYPTO_ADDRESS, at, crypto_address::at(view, at));
        }
        if self.has(DATE_OF_BIRTH) {
            self.offer(DATE_OF_BIRTH, at, date_of_birth::month_first(view, at));
        }
    }

    /// A digit: a number, or a word that holds one.
    fn digit(&mut self, at: usize) -> usize {
        let view = self.view;
        let letters = view.run_back(at, 6, |byte| byte.is_ascii_alphabetic());
        if letters < at {
            if view.word_begins(letters) {
                self.lettered(letters, at - letters);
            }
        } else if view.word_begins(at) {
            if is_timestamp(view.span(at, at + TIMESTAMP)) {
                // Nothing else is in it, and state is full of them.
                if self.has(DATE_OF_BIRTH) {
                    self.offer(DATE_OF_BIRTH, at, date_of_birth::at(view, at));
                }
                return at + TIMESTAMP;
            }
            self.number(at);
        }
        view.run(at, usize::MAX - at, |byte| byte.is_ascii_alphanumeric()).unwrap_or(view.text.len())
    }

    /// A word of so many letters and then a digit.
    fn lettered(&mut self, start: usize, letters: usize) {
        let view = self.view;
        if letters == 2 && self.has(IBAN) {
            self.offer(IBAN, start, iban::at(view, start));
        }
        if letters <= 3 && self.has(US_DRIVER_LICENSE) {
            self.offer(US_DRIVER_LICENSE, start, us_driver_license::at(view, start));
        }
        if letters == 1 && self.has(US_PASSPORT) {
            self.offer(US_PASSPORT, start, us_passport::at(view, start));
        }
        if letters <= 5 && self.has(CRYPTO_ADDRESS) {
            self.offer(CRYPTO_ADDRESS, start, crypto_address::at(view, start));
        }
        if letters == 2 && self.has(SECRETS) && view.known(start) == Some(b'y') {
            self.offer_secret(start, secrets::token(view, start));
        }
    }

    /// A number, from its first digit on.
    fn number(&mut self, start: usize) {
        let view = self.view;
        if self.has(CRYPTO_ADDRESS) && matches!(view.known(start), Some(b'0' | b'1' | b'3')) {
            self.offer(CRYPTO_ADDRESS, start, crypto_address::at(view, start));
        }
        // Digits and then letters, as in identifiers: only `12th March` is a value.
        let digits = view.run(start, 20, |byte| byte.is_ascii_digit());
        if digits.is_ok_and(|end| end > start + 2 && view.known(end).is_some_and(is_word)) {
            return;
        }
        if self.has(IP_ADDRESS) {
            self.offer(IP_ADDRESS, start, ip_address::v4(view, start));
        }
        if !numbers::begins(view, start) || is_time(view, start, digits) {
            return;
        }
        if self.has(DATE_OF_BIRTH) {
            self.offer(DATE_OF_BIRTH, start, date_of_birth::at(view, start));
        }
        let groups = Groups::read(view, start);
        if self.has(US_DRIVER_LICENSE) {
            self.offer(US_DRIVER_LICENSE, start, us_driver_license::at(view, start));
        }
        if groups.are_few() {
            return;
        }
        let recognisers: [(DetectorId, Recogniser); 6] = [
            (US_SSN, us_ssn::at),
            (US_ITIN, us_itin::at),
            (PAYMENT_CARD, payment_card::at),
            (US_BANK_ROUTING, us_bank_routing::at),
            (UK_NHS, uk_nhs::at),
            (PHONE, phone::at),
        ];
        for (detector, recogniser) in recognisers {
            if self.has(detector) {
                self.offer(detector, start, recogniser(view, &groups));
            }
        }
        if self.has(US_PASSPORT) {
            self.offer(US_PASSPORT, start, us_passport::at(view, start));
        }
    }
}

/// Bytes of `2026-11-22T14:21:04`.
const TIMESTAMP: usize = 19;

/// Whether `text` is a date and a time as in RFC 3339.
fn is_timestamp(text: &[u8]) -> bool {
    text.len() == TIMESTAMP
        && text.iter().zip(b"0000-00-00T00:00:00").all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            sign => byte == sign,
        })
}

/// Whether two digits at `start` are minutes or seconds, behind a digit and a colon.
fn is_time(view: &View<'_>, start: usize, digits: Found) -> bool {
    digits == Ok(start + 2)
        && view.previous(start) == Some(b':')
        && view.back(start, 2).is_some_and(|byte| byte.is_ascii_digit())
}
