//! What has to hold of every body: the output does not depend on the split, and without rules it is the input.

use std::sync::OnceLock;

use graphwarden_policies::masking::{Config, Masking, Media, Plan};
use graphwarden_policies::policy::{At, Problems};
use serde_json::json;

fn compile(section: serde_json::Value) -> Plan {
    let config: Config = serde_json::from_value(section).expect("a section");
    Masking::compile(&config, &At::root(), &|_| None, &mut Problems::new()).expect("a sound section").plan(None)
}

/// All detectors and some rules, with small limits so that they are reached.
pub fn rules() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| {
        compile(json!({
            "fields": [{"path": "$..ssn", "with": "[SSN]"}, {"path": "$.a[1:].b"}],
            "keys": ["pin"],
            "custom": [{"name": "employee_id", "pattern": "E-\\d{6}"}],
            "limits": {"event": "1KiB", "held": "64KiB", "lanes": 4, "depth": 32}
        }))
    })
}

fn nothing() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    // A rule that nothing meets: with none at all a body would not be read.
    let section = json!({"detectors": [], "keys": ["\u{0}"], "limits": {"depth": 1024, "embedded": 8}});
    PLAN.get_or_init(|| compile(section))
}

/// What leaves; `None` where the body is cut.
pub fn masked<'a>(plan: &Plan, media: Media, chunks: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut masker = plan.open(media);
    let mut output = Vec::new();
    for chunk in chunks {
        masker.push(chunk, &mut output).ok()?;
    }
    masker.finish(&mut output).ok()?;
    Some(output)
}

/// Whole, byte by byte and split at a place that the body chooses: all alike.
pub fn splits_alike(media: Media, body: &[u8]) {
    let plan = rules();
    let whole = masked(plan, media, [body]);
    assert!(masked(plan, media, body.chunks(1)) == whole, "byte by byte");
    let mixed = body.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let at = mixed % (body.len() + 1);
    let (left, right) = body.split_at(at);
    assert!(masked(plan, media, [left, right]) == whole, "split at {at}");
}

/// Without rules nothing changes.
pub fn stays(media: Media, body: &[u8]) {
    if let Some(output) = masked(nothing(), media, body.chunks(7)) {
        assert!(output == body, "a body without rules changed");
    }
}
