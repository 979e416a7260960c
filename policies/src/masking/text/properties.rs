//! The invariant on generated text: values whole and cut short, near-misses, and whatever may stand between them,
//! for all detectors together and for each alone.

use proptest::prelude::*;

use super::at_hand;
use super::tests::{mark, marked, marked_in};
use crate::masking::config::CustomConfig;
use crate::masking::detectors::Detectors;
use crate::policy::{At, Problems};

/// Pieces of text that begin, are, end or resemble values.
const PIECES: &[&str] = &[
    "zoe.obrien@example.com",
    "a@b.co",
    "zo\u{eb}@m\u{fc}nchen.de",
    "bob%40example.com",
    "%2",
    "@",
    ".",
    "-",
    "_",
    "%",
    "+",
    "(",
    ")",
    "/",
    ":",
    "::",
    "=",
    " ",
    "  ",
    "\n",
    "\"",
    "'",
    ",",
    "\\",
    "078-05-1120",
    "078 05 1120",
    "078051120",
    "912-70-1234",
    "4111 1111 1111 1111",
    "4111111111111111",
    "378282246310005",
    "6759649826438453",
    "+1 415 555 2671",
    "+44 (0)20 7946 0958",
    "(415) 555-2671",
    "(030) 1234567",
    "415-555-2671",
    "07700 900123",
    "030 1234567",
    "01 23 45 67 89",
    "612 345 678",
    "98765 43210",
    "0049 30 1234567",
    "DE89 3704 0044 0532 0130 00",
    "GB82WEST12345698765432",
    "192.168.0.12",
    "2001:db8::1",
    "::1",
    "fe80::",
    "::ffff:192.0.2.1",
    "00:1b:44:11:3a:b7",
    "00-1B-44-11-3A-B7",
    "001b.4411.3ab7",
    "aabb.ccdd.eeff",
    "12 March 1985",
    "March 12, 1985",
    "12.03.1985",
    "1985-03-12T",
    "born ",
    "DOB: ",
    "SSN ",
    "ssn:",
    "passport ",
    "C01234567",
    "driver license ",
    "D123-4567-8901",
    "routing ",
    "021000021",
    "NHS ",
    "943 476 5919",
    "9434765919",
    "call ",
    "4155552671",
    "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
    "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "sk-",
    "sk-proj-",
    "abcdefghij0123456789ABCDEFGHIJ",
    "ghp_",
    "github_pat_",
    "AKIA",
    "AKIAIOSFODNN7EXAMPLE",
    "AIza",
    "eyJ",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "password=",
    "password: ",
    "hunter2!",
    "\"api_key\": \"",
    "Authorization: Bearer ",
    "token ",
    "postgres://u:pw1@db/x",
    "https://",
    "-----BEGIN ",
    "-----",
    "RSA PRIVATE KEY-----",
    "PRIVATE KEY-----",
    "-----END ",
    "hooks.slack.com/services/",
    "T00000000/B00000000/XXXXXXXXXXXXXXXX",
    "1f0c7a52-3b8e-6d14-9a77-0242ac120002",
    "2026-11-22T14:21:04.123456+00:00",
    "1763821264123",
    "order ",
    "the ",
    "Mar",
    "0",
    "1",
    "12",
    "123",
    "1234",
    "a",
    "B",
    "f",
    "x",
    "J",
    "\u{200b}",
    "\u{feff}",
    "\u{ad}",
    "\u{a0}",
    "\u{2011}",
    "\u{2013}",
    "\u{ff20}",
    "\u{ff11}\u{ff12}",
    "\u{ff0e}",
    "\u{65e5}\u{672c}",
    "\u{1f642}",
    "\u{201c}",
    "E-123456",
    "key-",
    "key-abc",
    "aaaaaaaaaaaaaaaaaaaa",
];

/// Bytes that are not UTF-8 as they stand.
const BYTES: &[&[u8]] = &[b"\xff", b"\xc2", b"\xe2\x80", b"\xef\xbc", b"\xc3", b"\x00", b"\x80"];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => proptest::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        // A piece cut short, so that what follows it decides.
        3 => (proptest::sample::select(PIECES), any::<proptest::sample::Index>())
            .prop_map(|(piece, cut)| piece.as_bytes()[..cut.index(piece.len()) + 1].to_vec()),
        1 => proptest::sample::select(BYTES).prop_map(<[u8]>::to_vec),
    ];
    proptest::collection::vec(piece, 1..10).prop_map(|pieces| pieces.concat())
}

/// Names of values: with words of context, with names of secrets, and neither.
const LABELS: &[&str] = &[
    "",
    "content",
    "id",
    "ssn",
    "password",
    "session_token",
    "next_token",
    "apiKey",
    "Authorization",
    "driver_license",
    "dln",
    "passport",
    "dob",
    "phone",
    "routing",
    "nhs",
    "order",
    "version",
    "call_",
    "1",
    "sk-",
    "a:",
];

/// Text of pieces, of pieces with a letter changed, and of single letters: what a glance may take for something else.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let letter = proptest::sample::select(b"abdefJMATG 0123459:::---___...@@%4+(=/\"'\\".to_vec());
    let piece = prop_oneof![
        4 => proptest::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        3 => (proptest::sample::select(PIECES), any::<proptest::sample::Index>(), letter.clone()).prop_map(
            |(piece, at, letter)| {
                let mut piece = piece.as_bytes().to_vec();
                let at = at.index(piece.len());
                piece[at] = letter;
                piece
            }
        ),
        3 => proptest::collection::vec(letter, 1..8),
        1 => (0u64..10_000_000_000).prop_map(|number| number.to_string().into_bytes()),
    ];
    proptest::collection::vec(piece, 1..7).prop_map(|pieces| pieces.concat())
}

fn custom() -> Detectors {
    let custom = |name: &str, pattern: &str| CustomConfig {
        name: name.to_owned(),
        pattern: pattern.to_owned(),
        with: None,
        action: None,
    };
    let mut problems = Problems::new();
    Detectors::compile(
        None,
        &[custom("employee", r"\bE-\d{6}\b"), custom("open", r"key-\w+"), custom("line", r"(?m)^the .*$")],
        Some(crate::policy::Size(24)),
        &At::root(),
        &|_| None,
        &mut problems,
    )
    .unwrap_or_else(|| panic!("{problems}"))
}

/// Each detector alone, all but e-mail, all, and all with the author's own.
fn selections() -> Vec<(String, Detectors)> {
    let all = Detectors::default();
    let ids: Vec<_> = all.iter().map(|(id, _)| id).collect();
    let mut selections = vec![
        ("all".to_owned(), all.clone()),
        ("all but e-mail".to_owned(), all.without(&ids[..1])),
        ("custom".to_owned(), custom()),
    ];
    for (id, name) in all.iter() {
        let others: Vec<_> = ids.iter().copied().filter(|other| *other != id).collect();
        selections.push((name.to_owned(), all.without(&others)));
    }
    selections
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn verdicts_are_the_same_for_every_split(text in text()) {
        for (name, detectors) in selections() {
            let expected = marked(&detectors, &[&text]);
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            prop_assert_eq!(&marked(&detectors, &bytes), &expected, "{} byte by byte", &name);
            for at in 0..=text.len() {
                let (one, other) = text.split_at(at);
                prop_assert_eq!(&marked(&detectors, &[one, other]), &expected, "{} split at {}", &name, at);
            }
        }
    }

    #[test]
    fn verdicts_are_the_same_for_random_splits(text in text(), cuts in proptest::collection::vec(1usize..40, 1..60)) {
        let detectors = Detectors::default();
        let expected = marked(&detectors, &[&text]);
        let mut pieces = Vec::new();
        let mut rest = text.as_slice();
        for cut in cuts {
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces.push(rest);
        prop_assert_eq!(marked(&detectors, &pieces), expected);
    }

    #[test]
    fn the_id_of_a_run_is_no_value_however_it_is_cut(
        prefix in proptest::sample::select(&["", "run-", "run--", "lc_run--"][..]),
        id in prop_oneof!["[0-9]{8}(-[0-9]{4}){3}-[0-9]{12}", "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"],
        label in proptest::sample::select(&["", "id", "thread_id", "tool_call_id", "checkpoint_ns"][..]),
        cut in any::<proptest::sample::Index>(),
    ) {
        let text = format!("{prefix}{id}").into_bytes();
        let detectors = Detectors::default().thorough();
        let (one, other) = text.split_at(cut.index(text.len() + 1));
        prop_assert_eq!(marked_in(&detectors, label.as_bytes(), &[one, other]), String::from_utf8_lossy(&text));
    }

    #[test]
    fn a_glance_turns_down_nothing_that_is_a_value(
        text in prop_oneof![noise(), text()],
        label in proptest::sample::select(LABELS),
        cut in any::<proptest::sample::Index>(),
    ) {
        let label = label.as_bytes();
        for (name, detectors) in selections() {
            let expected = marked_in(&detectors.thorough(), label, &[&text]);
            let named = detectors.label(label);
            let active = detectors.glance(named, &text, detectors.table().look(&text));
            let (mut rest, mut output) = (text.clone(), Vec::new());
            at_hand(&detectors, named, &text, active, |verdict| mark(&detectors, verdict, &mut rest, &mut output));
            prop_assert!(rest.is_empty());
            prop_assert_eq!(&String::from_utf8_lossy(&output).into_owned(), &expected, "{} at hand", &name);
            let (one, other) = text.split_at(cut.index(text.len() + 1));
            prop_assert_eq!(&marked_in(&detectors, label, &[one, other]), &expected, "{} split", &name);
        }
    }
}
