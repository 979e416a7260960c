//! Bounds: nesting, memory, and that reaching them fails closed.

use graphwarden_policies::masking::Media;
use serde_json::json;

use crate::split::{in_chunks, plan};

#[test]
fn nesting_beyond_the_limit_is_cut() {
    let plan = plan(json!({"limits": {"depth": 3}}));
    let members = r#"{"a":{"b":{},"c":[],"d":"long enough to be at hand as a whole"}}"#;
    for body in ["[[[1]]]", members] {
        assert!(in_chunks(&plan, Media::Json, [body.as_bytes()], |_| ()).is_ok(), "{body}");
        let deeper = format!("[{body}]");
        let cut = in_chunks(&plan, Media::Json, [deeper.as_bytes()], |_| ()).expect_err("too deep");
        assert!(cut.why.contains("deeper"), "{cut}");
    }
}

#[test]
fn a_body_in_which_nothing_is_looked_for_is_not_read() {
    let deep = "[".repeat(100_000);
    let unread = plan(json!({"detectors": []}));
    for media in [Media::Json, Media::Ndjson, Media::Text, Media::Sse] {
        let output = in_chunks(&unread, media, deep.as_bytes().chunks(1000), |_| ()).expect("no cut");
        assert!(output == deep.as_bytes(), "{media:?}");
    }
    // What has to be seen to is.
    for section in [json!({"keys": ["ssn"]}), json!({"detectors": ["email"]}), json!({"malformed": "block"})]
    {
        let mut section = section;
        if section.get("detectors").is_none() {
            section["detectors"] = json!([]);
        }
        let read = in_chunks(&plan(section.clone()), Media::Json, [deep.as_bytes()], |_| ());
        assert!(read.is_err(), "{section}");
    }
}

#[test]
fn adversarial_bodies_take_constant_memory() {
    let plan = plan(json!({}));
    let forever = |unit: &str| unit.repeat(4096 / unit.len());
    for (prefix, unit) in [
        ("\"", "1"),
        ("\"", "a@"),
        ("\"", "\\u0041"),
        ("\"", "\\u0031"),
        ("\"", "\\\""),
        ("\"", "\\ud83d"),
        ("\"", "{\\\""),
        ("\"{\\\"a\\\":\\\"", "\\\\\\\\u0031"),
        ("", "1"),
        ("", "a"),
        ("", " "),
        ("1", " "),
        ("[", "1,"),
        ("{\"", "a"),
        ("{\"", "\\u0031"),
        ("[\"", "a\",\"b\",\""),
    ] {
        for (media, before) in [
            (Media::Json, ""),
            (Media::Sse, "data: "),
            (Media::Sse, ""),
            (Media::Ndjson, ""),
            (Media::Text, ""),
        ] {
            let mut masker = plan.open(media);
            let mut output = Vec::new();
            let mut most = 0;
            masker.push(before.as_bytes(), &mut output).expect("no cut");
            masker.push(prefix.as_bytes(), &mut output).expect("no cut");
            for _ in 0..24 {
                output.clear();
                masker.push(forever(unit).as_bytes(), &mut output).expect("no cut");
                most = most.max(masker.footprint());
            }
            assert!(most < 160 << 10, "{media:?} {prefix}{unit}…: {most} bytes");
        }
    }
}
