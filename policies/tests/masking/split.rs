//! Feeds a body whole, byte by byte, at every split and at random ones; all outputs have to be equal.

use graphwarden_policies::masking::{Config, Cut, Masking, Media, Plan};
use graphwarden_policies::policy::{At, Problems};

/// The plan of a section that is written here, for a caller without exemptions.
pub(crate) fn plan(section: serde_json::Value) -> Plan {
    masking(section).plan(None)
}

/// The compiled section.
pub(crate) fn masking(section: serde_json::Value) -> Masking {
    let config: Config = serde_json::from_value(section).expect("a section");
    let mut problems = Problems::new();
    let environment = |name: &str| (name == "HASH_KEY").then(|| "a key of the tests' own".to_owned());
    Masking::compile(&config, &At::root().member("masking"), &environment, &mut problems)
        .unwrap_or_else(|| panic!("{problems}"))
}

/// What leaves, where the body comes in these chunks; every prefix of it goes through `watch`.
pub(crate) fn in_chunks<'a>(
    plan: &Plan,
    media: Media,
    chunks: impl IntoIterator<Item = &'a [u8]>,
    mut watch: impl FnMut(&[u8]),
) -> Result<Vec<u8>, Cut> {
    let mut masker = plan.open(media);
    let mut output = Vec::new();
    for chunk in chunks {
        masker.push(chunk, &mut output)?;
        watch(&output);
    }
    masker.finish(&mut output)?;
    watch(&output);
    Ok(output)
}

/// What leaves, where the body comes whole.
pub(crate) fn whole(plan: &Plan, media: Media, body: &[u8]) -> Vec<u8> {
    in_chunks(plan, media, [body], |_| ()).expect("no cut")
}

/// What leaves of `body`, which is the same in every split: whole, byte by byte, in two parts at every
/// place (bodies up to 2000 bytes), and in thirty random ways.
pub(crate) fn every_way(plan: &Plan, media: Media, body: &[u8]) -> String {
    let expected = whole(plan, media, body);
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let single = in_chunks(plan, media, body.chunks(1), |_| ()).expect("no cut");
    assert_eq!(shown(&single), shown(&expected), "byte by byte");
    if body.len() <= 2000 {
        for at in 1..body.len() {
            let (left, right) = body.split_at(at);
            let split = in_chunks(plan, media, [left, right], |_| ()).expect("no cut");
            assert_eq!(shown(&split), shown(&expected), "split at {at}");
        }
    }
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64 ^ body.len() as u64;
    for round in 0..30 {
        let mut chunks = Vec::new();
        let mut rest = body;
        while !rest.is_empty() {
            let size = usize::try_from(random(&mut seed) % 40).expect("small").min(rest.len());
            let (chunk, tail) = rest.split_at(size);
            chunks.push(chunk);
            rest = tail;
        }
        let split = in_chunks(plan, media, chunks, |_| ()).expect("no cut");
        assert_eq!(shown(&split), shown(&expected), "random split {round}");
    }
    shown(&expected)
}

/// A step of xorshift64*: the same numbers on every run.
pub(crate) fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    seed.wrapping_mul(0x2545_F491_4F6C_DD1D)
}
