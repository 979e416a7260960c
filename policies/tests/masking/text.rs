//! Bodies without structure, lines of JSON, and bodies that cannot be masked.

use graphwarden_policies::masking::Media;
use serde_json::json;

use crate::split::{every_way, plan};

#[test]
fn text_is_masked_as_it_streams() {
    let plan = plan(json!({}));
    assert_eq!(
        every_way(&plan, Media::Text, b"Zoe <zoe@example.com>, SSN 219-09-9999.\r\n{\"a\":1}\n"),
        "Zoe <[EMAIL]>, SSN [US_SSN].\r\n{\"a\":1}\n"
    );
}

#[test]
fn each_line_of_ndjson_is_a_document_of_its_own() {
    let plan = plan(json!({"fields": [{"path": "$.ssn", "with": "X"}]}));
    assert_eq!(
        every_way(
            &plan,
            Media::Ndjson,
            b"{\"ssn\":1}\r\n\n{\"a\":{\"ssn\":2}} nonsense zoe@example.com\n{\"ssn\":\"3\"}\n[4111111111111111"
        ),
        "{\"ssn\":\"X\"}\r\n\n{\"a\":{\"ssn\":2}} nonsense [EMAIL]\n{\"ssn\":\"X\"}\n[\"[PAYMENT_CARD]\""
    );
}

#[test]
fn what_is_compressed_without_saying_so_does_not_leave() {
    let plan = plan(json!({}));
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\x04\xff\x4d\x89\x31";
    let zlib = b"x\x9c\xabV*(\xca\xcf\x4aM.\x01\x00\x12";
    let zstd = b"\x28\xb5\x2f\xfd\x04\x58";
    let (utf16, unmarked) = (b"\xff\xfe{\0\"\0a\0", b"{\0\"\0a\0");
    for body in [gzip.as_slice(), zlib, zstd, utf16, unmarked] {
        for media in [Media::Json, Media::Sse, Media::Ndjson, Media::Text] {
            let mut output = Vec::new();
            assert!(plan.open(media).push(body, &mut output).is_err(), "{media:?} {body:?}");
            assert!(output.is_empty());
            let mut bytewise = plan.open(media);
            let cut = body.chunks(1).any(|byte| bytewise.push(byte, &mut output).is_err());
            assert!(cut && output.len() < 2, "{media:?} {body:?}: {output:?}");
        }
    }
    every_way(&plan, Media::Text, b"\x1b[1mx\x9c is a letter and a byte\r\n");
}

#[test]
fn what_cannot_be_masked_does_not_leave() {
    let plan = plan(json!({}));
    for media in [Media::Unmaskable("an encoded body"), Media::Bodiless] {
        let mut masker = plan.open(media);
        let mut output = Vec::new();
        assert!(masker.finish(&mut output).is_ok(), "nothing is no leak");
        assert!(masker.push(b"x", &mut output).is_err());
        assert!(masker.finish(&mut output).is_err(), "a cut stays a cut");
        assert!(output.is_empty());
    }
}
