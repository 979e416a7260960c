//! The invariant of a scan, on tables and on generated text: verdicts cover the input, do not depend on how it is
//! split, and never clear a byte of a value.

use super::{Scan, Verdict};
use crate::masking::detectors::{Detectors, LONGEST};

/// What a client would receive, the values in `‹name:…›`.
pub(super) fn marked(detectors: &Detectors, pieces: &[&[u8]]) -> String {
    marked_in(detectors, b"", pieces)
}

/// The same, in a value called `label`.
pub(super) fn marked_in(detectors: &Detectors, label: &[u8], pieces: &[&[u8]]) -> String {
    let mut output = Vec::new();
    let mut rest: Vec<u8> = Vec::new();
    let mut scan = Scan::labelled(label);
    for piece in pieces {
        rest.extend_from_slice(piece);
        scan.push(detectors, piece, |verdict| mark(detectors, verdict, &mut rest, &mut output));
        assert_eq!(scan.held(), rest.len());
    }
    scan.finish(detectors, |verdict| mark(detectors, verdict, &mut rest, &mut output));
    assert!(rest.is_empty(), "undecided at the end: {rest:?}");
    String::from_utf8_lossy(&output).into_owned()
}

pub(super) fn mark(detectors: &Detectors, verdict: Verdict<'_>, rest: &mut Vec<u8>, output: &mut Vec<u8>) {
    let taken: Vec<u8> = rest.drain(..verdict.covers()).collect();
    match verdict {
        Verdict::Clear { .. } => output.extend(taken),
        Verdict::Match { detector, text } => {
            assert_eq!(text, taken);
            output.extend("‹".bytes().chain(detectors.name(detector).bytes()).chain(*b":"));
            output.extend(taken);
            output.extend("›".bytes());
        }
        Verdict::Open { detector, .. } => {
            output.extend("‹".bytes().chain(detectors.name(detector).bytes()).chain("…›".bytes()));
        }
        Verdict::Rest { .. } => {}
    }
}

/// The same at every split in two, and byte by byte.
pub(super) fn everywhere(text: &str) -> String {
    let detectors = Detectors::default();
    let expected = marked(&detectors, &[text.as_bytes()]);
    for at in 0..=text.len() {
        let (one, other) = text.as_bytes().split_at(at);
        assert_eq!(marked(&detectors, &[one, other]), expected, "split at {at}");
    }
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    assert_eq!(marked(&detectors, &bytes), expected, "byte by byte");
    expected
}

#[test]
fn finds_each_kind_in_prose() {
    let text = "Mail zoe.obrien@example.com, SSN 078-05-1120, card 4111 1111 1111 1111, call +1 415 555 2671, \
                IBAN DE89 3704 0044 0532 0130 00 from 192.168.0.12 or 2001:db8::1, born 12 March 1985.";
    assert_eq!(
        everywhere(text),
        "Mail ‹email:zoe.obrien@example.com›, SSN ‹us_ssn:078-05-1120›, card ‹payment_card:4111 1111 1111 1111›, call \
         ‹phone:+1 415 555 2671›, IBAN ‹iban:DE89 3704 0044 0532 0130 00› from ‹ip_address:192.168.0.12› or \
         ‹ip_address:2001:db8::1›, born ‹date_of_birth:12 March 1985›."
    );
}

#[test]
fn leaves_identifiers_and_times_alone() {
    for text in [
        "run 1f0c7a52-3b8e-6d14-9a77-0242ac120002 of thread 550e8400-e29b-41d4-a716-446655440000",
        "at 2026-11-22T14:21:04.123456+00:00 or 1763821264123 or 1763821264",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "commit 89b13ac0f1e2d3c4b5a697887766554433221100",
        "version 1.2.3.4, lc_run--019ab-7f, checkpoint_ns: 1ef, step 12 of 40",
        "12345678-1234-1234-1234-123456789012",
    ] {
        assert_eq!(everywhere(text), text);
    }
}

/// Text that stays undecided for as long as it can, for each detector.
#[test]
fn no_detector_holds_more_than_its_bound() {
    let long = |unit: &str| unit.repeat(6_000 / unit.len());
    let texts = [
        long("a"),
        long("a."),
        format!("{}@{}", long("a"), long("b.")),
        format!("a@{}", long("b")),
        long("1"),
        long("1 "),
        long("12-"),
        long("4111 "),
        format!("+{}", long("1 ")),
        long("+1 (2) 3"),
        format!("DE89{}", long("0 ")),
        format!("DE89{}", long("0")),
        long("fe8:"),
        long("00:"),
        long("1.1."),
        format!("eyJ{}.{}.", long("a"), long("b")),
        format!("eyJ{}.{}", "a".repeat(500), long("b")),
        format!("eyJ{}.e.e.e.e.{}", "a".repeat(400), long("b")),
        format!("password: {}", long("a")),
        format!("password: \"{}", long("a ")),
        long("password="),
        long("password=\"'password='\""),
        long("token:"),
        format!("-----BEGIN {}", long("A ")),
        format!("sk-{}", long("a")),
        format!("ghp_{}", long("a")),
        format!("bc1{}", long("q")),
        format!("0x{}", long("0")),
        format!("born {}", long("12 ")),
        format!("born {}", long("March ")),
        format!("driver license {}", long("1-")),
        format!("passport {}", long("1")),
        long("https://u:"),
        long("(030) "),
        long("a\u{200b}"),
        long("\u{ff11}"),
        long("\u{200b}"),
    ];
    let all = Detectors::default();
    let ids: Vec<_> = all.iter().map(|(id, _)| id).collect();
    for (id, name) in all.iter() {
        let others: Vec<_> = ids.iter().copied().filter(|other| *other != id).collect();
        let detectors = all.without(&others);
        let mut most = 0;
        for text in &texts {
            let mut scan = Scan::new();
            for byte in text.as_bytes().chunks(1) {
                scan.push(&detectors, byte, |_| {});
                let spread = if text.is_ascii() { 1 } else { super::MAX_SPREAD };
                // Values that overlap in a chain are held together, up to the bound on chains.
                let chain = text.starts_with("password=\"'");
                let bound = if chain { detectors.longest_hold() } else { LONGEST[id.index()] * spread };
                assert!(scan.held() <= bound, "{name} holds {} of {bound} on {:?}", scan.held(), &text[..30]);
                most = most.max(scan.held());
            }
        }
        assert!(most <= detectors.longest_hold());
        assert!(most > 0, "{name} never had to wait");
    }
}
