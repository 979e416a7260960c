//! Detectors on text as LangGraph's state holds it, beside the same patterns as one regular expression; and on text
//! made to be slow, at two lengths, whose times have to differ by no more than the lengths.
//!
//! `cargo bench -p graphwarden-policies --bench detectors`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use graphwarden_policies::masking::detectors::Detectors;
use graphwarden_policies::masking::text::{Scan, Verdict};

/// Texts of a conversation with tools: prose, identifiers, times, traces, and a value here and there.
const TEXTS: &[&str] = &[
    "I looked at the last three invoices for the account and compared them with the contract. The total for March is higher \
     because the metered storage went over the included amount, so the difference is billed per gigabyte.",
    "1f0c7a52-3b8e-6d14-9a77-0242ac120002",
    "2026-11-22T14:21:04.123456+00:00",
    "Sure! Here is what I found in the knowledge base about resetting two-factor authentication: open the settings page, \
     choose Security, then press Reset. A confirmation is sent to zoe.obrien@example.com within a few minutes.",
    "lc_run--019a7f3c-8d21-7c44-b1a0-5d0e4b7a9c11",
    "{\"query\": \"refund policy for enterprise plans\", \"top_k\": 8, \"filters\": {\"language\": \"en\", \"year\": 2026}}",
    "The function returned 12 rows in 48 ms (checkpoint 1ef8c2a4, step 7 of 9). Next I will summarise the differences between \
     the two proposals, list the open questions, and suggest an answer that the account manager can send today.",
    "call_9f8e7d6c5b4a39281706f5e4",
    "human",
    "ai",
    "tool",
    "gpt-4o-2024-08-06",
    "stop",
    "support_agent",
    "Der Kunde schreibt, dass die Lieferung noch nicht angekommen ist. Bitte prüfen Sie den Status der Sendung und antworten \
     Sie freundlich; die Rechnung ist bereits bezahlt.",
    "https://docs.example.com/en/latest/guides/streaming/#resuming-a-stream",
    "def fibonacci(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a\n",
    "You can reach the customer at +1 415 555 2671; the card on file ends in 1111 and the SSN is 078-05-1120.",
];

/// What a careful author would write as one regular expression: no validation, no context, no hold-back.
const PATTERNS: &str = concat!(
    r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}\.[A-Za-z]{2,}",
    r"|\b\d{3}[- .]\d{2}[- .]\d{4}\b",
    r"|\b(?:\d[ -]?){11,18}\d\b",
    r"|\+[1-9]\d{0,2}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){2,5}\d{2,4}\b",
    r"|\(\d{3}\) ?\d{3}-\d{4}\b|\b\d{3}[-. ]\d{3}[-. ]\d{4}\b",
    r"|\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b",
    r"|\b(?:\d{1,3}\.){3}\d{1,3}\b",
    r"|\b(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}\b|\b(?:[0-9a-fA-F]{1,4}:){1,6}:(?:[0-9a-fA-F]{1,4})?",
    r"|\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b",
    r"|(?i:dob|born|birth)[^\n]{0,20}\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}",
    r"|(?i:passport|license|routing|nhs)[^\n]{0,20}[A-Z]?\d{7,10}",
    r"|\b(?:bc1[a-z0-9]{11,71}|[13][a-km-zA-HJ-NP-Z1-9]{25,34}|0x[0-9a-fA-F]{40})\b",
    r"|gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,}|AKIA[A-Z0-9]{16}|AIza[\w-]{35}|xox[abprs]-[\w-]{10,}|[sr]k_(?:live|test)_\w{10,}",
    r"|sk-[\w-]{20,}|lsv2_\w{16,}|eyJ[\w-]{10,}\.[\w-]+\.[\w-]*|-----BEGIN [A-Z ]*PRIVATE KEY-----",
    r"|(?i:password|secret|api_key|authorization)\W{1,3}\S{6,}",
);

/// About a mebibyte of them.
fn state() -> Vec<&'static [u8]> {
    let mut texts = Vec::new();
    let mut length = 0;
    while length < 1 << 20 {
        for text in TEXTS {
            texts.push(text.as_bytes());
            length += text.len();
        }
    }
    texts
}

fn mask(detectors: &Detectors, texts: &[&[u8]], output: &mut Vec<u8>) {
    output.clear();
    let mut scan = Scan::new();
    for text in texts {
        let mut at = 0;
        scan.whole(detectors, text, |verdict| {
            match verdict {
                Verdict::Clear { len } => output.extend_from_slice(&text[at..at + len]),
                Verdict::Match { detector, text } => detectors.render(detector, text, output),
                Verdict::Open { detector, .. } => detectors.render_open(detector, output),
                Verdict::Rest { .. } => {}
            }
            at += verdict.covers();
        });
    }
}

fn typical(criterion: &mut Criterion) {
    let texts = state();
    let joined = texts.join(&b'\n');
    let detectors = Detectors::default();
    let regex =
        regex::bytes::RegexBuilder::new(PATTERNS).unicode(false).build().expect("the patterns compile");
    let mut output = Vec::with_capacity(2 << 20);
    let mut group = criterion.benchmark_group("state of a conversation, 1 MiB of text");
    group.throughput(Throughput::Bytes(joined.len() as u64));
    group.bench_function("detectors, text by text", |bencher| {
        bencher.iter(|| mask(&detectors, black_box(&texts), &mut output));
    });
    group.bench_function("detectors, one text", |bencher| {
        bencher.iter(|| mask(&detectors, black_box(&[joined.as_slice()]), &mut output));
    });
    group.bench_function("detectors, pushed in pieces of 1400 bytes", |bencher| {
        bencher.iter(|| {
            let mut scan = Scan::new();
            let mut clear = 0;
            for piece in black_box(&joined).chunks(1400) {
                scan.push(&detectors, piece, |verdict| clear += verdict.covers());
            }
            scan.finish(&detectors, |verdict| clear += verdict.covers());
            clear
        });
    });
    group.bench_function("regex::bytes::Regex::replace_all, one text", |bencher| {
        bencher.iter(|| regex.replace_all(black_box(&joined), &b"[MASKED]"[..]).len());
    });
    group.finish();
}

fn adversarial(criterion: &mut Criterion) {
    let detectors = Detectors::default();
    let repeat = |text: &str, length: usize| text.bytes().cycle().take(length).collect::<Vec<u8>>();
    for (name, unit) in [
        ("digits", "7"),
        ("digits in groups", "411 1"),
        ("a@", "a@"),
        ("a.a@a.a.", "a.a@a.a."),
        ("colons", ":"),
        ("hexadecimal groups", "fe8:"),
        ("password=", "password="),
        ("eyJ", "eyJ"),
        ("hyphens", "-"),
        ("+1 (", "+1 ("),
        ("nine digits in context", "ssn 123456789 "),
    ] {
        let mut group = criterion.benchmark_group(format!("adversarial: {name}"));
        for length in [64 << 10, 128 << 10] {
            let text = repeat(unit, length);
            group.throughput(Throughput::Bytes(length as u64));
            group.bench_with_input(BenchmarkId::from_parameter(length), &text, |bencher, text| {
                bencher.iter(|| {
                    let mut scan = Scan::new();
                    let mut covered = 0;
                    scan.push(&detectors, black_box(text), |verdict| covered += verdict.covers());
                    scan.finish(&detectors, |verdict| covered += verdict.covers());
                    covered
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = typical, adversarial
}
criterion_main!(benches);
