//! What has been found from one place of a text on, and which recognisers a byte of interest runs.

use super::super::context::Before;
use super::super::moment::{TIMESTAMP, fraction_and_offset, is_timestamp};
use super::super::numbers::{self, Groups, Kinds};
use super::super::region::Region;
use super::super::secrets::{self, FoundSecret, Secret};
use super::super::view::{Found, Stop, View, is_word};
use super::super::{
    DetectorId, crypto_address, date_of_birth, email, iban, ip_address, mac_address, payment_card, phone,
    uk_nhs, us_bank_routing, us_driver_license, us_itin, us_passport, us_ssn,
};
use super::{
    CHAIN, CRYPTO_ADDRESS, DATE_OF_BIRTH, EMAIL, Enabled, Finding, IBAN, IP_ADDRESS, MAC_ADDRESS, NAMES,
    PAYMENT_CARD, PHONE, SECRETS, Triggers, UK_NHS, US_BANK_ROUTING, US_DRIVER_LICENSE, US_ITIN, US_PASSPORT,
    US_SSN, word_end,
};

/// The kinds of numbers that are told by their groups, a bit each.
const KINDS: &Kinds =
    &Kinds::new(&[us_ssn::QUICK, payment_card::QUICK, us_bank_routing::QUICK, uk_nhs::QUICK, phone::QUICK]);

/// What has been found so far from one place on.
pub(super) struct Sweep<'s> {
    view: &'s View<'s>,
    enabled: Enabled,
    pub(super) found: Option<Finding>,
    /// Where it is undecided from.
    pub(super) hold: Option<usize>,
    /// Where a value that its name found is found again, should it have to wait.
    pub(super) anchor: Option<usize>,
}

impl<'s> Sweep<'s> {
    /// Nothing so far.
    pub(super) fn new(view: &'s View<'s>, enabled: Enabled) -> Self {
        Self { view, enabled, found: None, hold: None, anchor: None }
    }
}

impl Sweep<'_> {
    /// Takes what the recogniser of `detector` says about `start`.
    pub(super) fn offer(&mut self, detector: DetectorId, start: usize, found: Found) {
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

    /// Takes a value without a bound, of which `end` bytes are at hand.
    pub(super) fn open(&mut self, detector: DetectorId, start: usize, end: usize, region: Region) {
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

    /// Whether this detector looks.
    pub(super) fn has(&self, detector: DetectorId) -> bool {
        self.enabled.has(detector)
    }
}

impl Sweep<'_> {
    /// Runs the recognisers that the byte at `at` triggers, and says where to go on.
    pub(super) fn examine(&mut self, at: usize, trigger: Triggers) -> usize {
        let view = self.view;
        match trigger {
            Triggers::DIGIT => return self.digit(at),
            Triggers::UPPER => self.upper(at),
            Triggers::AT if self.has(EMAIL) => self.at_sign(at),
            // Of `%4` what comes next decides; the run before it is held anyway.
            Triggers::PERCENT if view.literal(at, b"%40").is_ok() => self.at_sign(at),
            Triggers::COLON => {
                if self.has(IP_ADDRESS) {
                    let (start, found) = ip_address::v6(view, at);
                    self.offer(IP_ADDRESS, start, found);
                }
                self.pairs(at);
                self.named(at);
            }
            Triggers::EQUALS => self.named(at),
            Triggers::UNDERSCORE => self.token_before(at),
            Triggers::HYPHEN => {
                self.pairs(at);
                self.token_before(at);
                if self.has(SECRETS) && view.previous(at) != Some(b'-') {
                    self.offer_secret(at, secrets::private_key(view, at));
                }
            }
            Triggers::PLUS if self.has(PHONE) => return self.plus(at),
            Triggers::PARENTHESIS if self.has(PHONE) => {
                self.offer(PHONE, at, phone::in_parentheses(view, at))
            }
            Triggers::DOT if self.has(MAC_ADDRESS) => {
                let (start, found) = mac_address::fours(view, at);
                self.offer(MAC_ADDRESS, start, found);
            }
            _ => {}
        }
        at + 1
    }

    /// Looks at what the bytes before the floor trigger behind it.
    pub(super) fn resume(&mut self) {
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

    /// A plus: a telephone number, of whose groups none has to be read again where nothing goes on behind them.
    fn plus(&mut self, at: usize) -> usize {
        let view = self.view;
        let found = phone::international(view, at);
        self.offer(PHONE, at, found);
        let is_last = |end: usize| {
            view.span(end.saturating_sub(3), end).iter().all(u8::is_ascii_digit) && numbers::closes(view, end)
        };
        match found {
            Ok(end) if self.hold.is_none() && is_last(end) => end,
            _ => at + 1,
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
            // Before a colon the time may be the beginning of an address; before a digit the seconds may be that of a number.
            let goes_on = |byte: Option<u8>| byte.is_some_and(|byte| byte == b':' || byte.is_ascii_digit());
            let closed = matches!(view.byte(at + TIMESTAMP), Ok(next) if !goes_on(next));
            // Behind anything else it may be the user and the password of a URL.
            let apart = view.previous(at).is_none_or(|byte| byte <= b' ' || matches!(byte, b'"' | b'\''));
            let dated = view.known(at + 4) == Some(b'-');
            if dated && closed && apart && is_timestamp(view.span(at, at + TIMESTAMP)) {
                // Nothing else is in it, and state is full of them. The date is one where it would be one by itself:
                // what follows it may not have come yet.
                if self.has(DATE_OF_BIRTH) && numbers::begins(view, at) {
                    self.offer(DATE_OF_BIRTH, at, date_of_birth::at(view, &Before::new(view, at)));
                }
                return at + TIMESTAMP + fraction_and_offset(view, at + TIMESTAMP).unwrap_or(0);
            }
            return self.number(at);
        }
        word_end(view, at)
    }

    /// A word of so many letters and then a digit.
    fn lettered(&mut self, start: usize, letters: usize) {
        let view = self.view;
        if letters == 2 && self.has(IBAN) {
            self.offer(IBAN, start, iban::at(view, start));
        }
        if letters <= 3 && self.has(US_DRIVER_LICENSE) {
            self.offer(US_DRIVER_LICENSE, start, us_driver_license::at(view, &Before::new(view, start)));
        }
        if letters == 1 && self.has(US_PASSPORT) {
            self.offer(US_PASSPORT, start, us_passport::at(view, &Before::new(view, start)));
        }
        if letters <= 5 && self.has(CRYPTO_ADDRESS) {
            self.offer(CRYPTO_ADDRESS, start, crypto_address::at(view, start));
        }
        if letters == 2 && self.has(SECRETS) && view.known(start) == Some(b'y') {
            self.offer_secret(start, secrets::token(view, start));
        }
    }

    /// A number, from its first digit on. Says where to go on.
    fn number(&mut self, start: usize) -> usize {
        let view = self.view;
        let digits = view.run(start, 20, |byte| byte.is_ascii_digit());
        let word_goes_on = digits.is_ok_and(|end| view.known(end).is_some_and(is_word));
        if self.has(CRYPTO_ADDRESS)
            && matches!(view.known(start), Some(b'0' | b'1' | b'3'))
            && (word_goes_on || digits.is_err())
        {
            self.offer(CRYPTO_ADDRESS, start, crypto_address::at(view, start));
        }
        // Digits and then letters, as in identifiers: only `12th March` is a value.
        if word_goes_on && digits.is_ok_and(|end| end > start + 2) {
            return word_end(view, start);
        }
        let before = Before::new(view, start);
        let groups = Groups::read(view, &before);
        if self.found.is_some_and(|found| found.start < start) && self.is_covered(&groups) {
            return groups.closed_at(view).unwrap_or_else(|| word_end(view, start));
        }
        if self.has(IP_ADDRESS) && groups.may_be_dotted() {
            self.offer(IP_ADDRESS, start, ip_address::v4(view, &before));
        }
        if !numbers::begins(view, start) || is_time(view, start, digits) {
            return word_end(view, start);
        }
        if self.has(DATE_OF_BIRTH) && groups.may_be_date() {
            self.offer(DATE_OF_BIRTH, start, date_of_birth::at(view, &before));
        }
        if self.has(US_DRIVER_LICENSE) && groups.total().is_none_or(|digits| digits >= 5) {
            self.offer(US_DRIVER_LICENSE, start, us_driver_license::at(view, &before));
        }
        if groups.are_few() {
            return word_end(view, start);
        }
        let kinds = KINDS.of(&groups);
        let may_be = |kind: u8| kinds >> kind & 1 == 1;
        self.grouped(may_be(0), US_SSN, &groups, us_ssn::at);
        self.grouped(may_be(0), US_ITIN, &groups, us_itin::at);
        self.grouped(may_be(1), PAYMENT_CARD, &groups, payment_card::at);
        self.grouped(may_be(2), US_BANK_ROUTING, &groups, us_bank_routing::at);
        self.grouped(may_be(3), UK_NHS, &groups, uk_nhs::at);
        // Behind an exit code the groups may be any.
        self.grouped(may_be(4) || groups.may_exit(), PHONE, &groups, phone::at);
        if self.has(US_PASSPORT) && digits.map_or(true, |end| end == start + us_passport::DIGITS) {
            self.offer(US_PASSPORT, start, us_passport::at(view, &before));
        }
        if self.is_covered(&groups)
            && let Some(end) = groups.closed_at(view)
        {
            return end;
        }
        word_end(view, start)
    }

    /// A number that is told by its groups, which `recogniser` reads; `may_be`: what a glance told of them.
    #[inline]
    fn grouped(
        &mut self,
        may_be: bool,
        detector: DetectorId,
        groups: &Groups<'_>,
        recogniser: impl Fn(&View<'_>, &Groups<'_>) -> Found,
    ) {
        if may_be && self.has(detector) && !self.is_settled(groups, detector) {
            self.offer(detector, groups.start(), recogniser(self.view, groups));
        }
    }

    /// Whether what has been found begins with these groups or before, and would be preferred to all that `detector`, or
    /// one behind it in the list of names, finds there: that is no longer.
    fn is_settled(&self, groups: &Groups<'_>, detector: DetectorId) -> bool {
        self.hold.is_none()
            && self.found.is_some_and(|found| {
                found.region.is_none()
                    && found.start <= groups.start()
                    && found.detector < detector
                    && groups.bound().is_some_and(|bound| bound <= found.end)
            })
    }

    /// Whether no number that begins with these groups can end behind what covers what has been found, as with the
    /// later groups of a card's: it would change nothing.
    fn is_covered(&self, groups: &Groups<'_>) -> bool {
        self.hold.is_none()
            && self.found.is_some_and(|found| {
                found.region.is_none()
                    && found.start <= groups.start()
                    && groups.bound().is_some_and(|bound| bound <= found.cover)
            })
    }
}

/// Whether two digits at `start` are minutes or seconds, behind a digit and a colon.
fn is_time(view: &View<'_>, start: usize, digits: Found) -> bool {
    digits == Ok(start + 2)
        && view.previous(start) == Some(b':')
        && view.back(start, 2).is_some_and(|byte| byte.is_ascii_digit())
}
