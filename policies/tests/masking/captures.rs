//! Every exchange that a real LangGraph server answered (langgraph-api 0.16.7), masked again at every chunk size
//! from 1 to 64 and at the sizes that were recorded.

use graphwarden_policies::masking::{Media, Plan};
use serde_json::{Value, json};

use crate::split::{in_chunks, plan};

/// What the synthetic customer of these captures has that must not leave, in all its spellings, and beginnings
/// that only it has.
const SECRET: [&str; 13] = [
    "zoe.obrien@example.com",
    "zoe.obrien+vip@example.com",
    "078-05-1120",
    "219-09-9999",
    "4111 1111 1111 1111",
    "4111111111111111",
    "5500-0000-0000-0004",
    "(415) 555-0132",
    "zoe.ob",
    "078-0",
    "219-0",
    "4111 ",
    "\"card\":\"4",
];

struct Capture {
    name: String,
    media: Media,
    /// The body, in the chunks in which it came.
    chunks: Vec<Vec<u8>>,
}

fn captures() -> Vec<Capture> {
    let folder = format!("{}/tests/captures", env!("CARGO_MANIFEST_DIR"));
    let mut captures: Vec<Capture> = std::fs::read_dir(folder)
        .expect("the captures")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "http"))
        .filter_map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            read(name, &std::fs::read(&path).expect("a capture"))
        })
        .collect();
    captures.sort_by(|one, other| one.name.cmp(&other.name));
    captures
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn read(name: String, exchange: &[u8]) -> Option<Capture> {
    const MARK: &[u8] = b"<<< RESPONSE (raw wire bytes, chunk framing kept)\n";
    let response = &exchange[find(exchange, MARK)? + MARK.len()..];
    let end = find(response, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&response[..end]).into_owned();
    let body = &response[end + 4..];
    let header = |wanted: &str| {
        head.lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.to_owned())
    };
    let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
    let content_type = header("content-type");
    let media = Media::of_response(
        false,
        status,
        content_type.as_deref().map(str::as_bytes),
        header("content-encoding").as_deref().map(str::as_bytes),
    );
    let chunks = if header("transfer-encoding").as_deref() == Some("chunked") {
        dechunk(body)
    } else {
        vec![body.to_vec()]
    };
    Some(Capture { name, media, chunks })
}

/// The chunks of a chunked body (RFC 9112 section 7.1). A capture that was cut off ends where it ends.
fn dechunk(mut body: &[u8]) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    while let Some(line) = find(body, b"\r\n") {
        let Ok(size) = usize::from_str_radix(&String::from_utf8_lossy(&body[..line]), 16) else { break };
        if size == 0 || body.len() < line + 2 + size {
            break;
        }
        chunks.push(body[line + 2..line + 2 + size].to_vec());
        body = &body[(line + 2 + size + 2).min(body.len())..];
    }
    chunks
}

fn as_recorded(plan: &Plan, capture: &Capture, watch: impl FnMut(&[u8])) -> Vec<u8> {
    in_chunks(plan, capture.media, capture.chunks.iter().map(Vec::as_slice), watch).expect("no cut")
}

fn maskable() -> Vec<Capture> {
    captures()
        .into_iter()
        .filter(|capture| {
            !matches!(capture.media, Media::Bodiless | Media::Unmaskable(_)) && !capture.chunks.is_empty()
        })
        .collect()
}

/// One share of the captures, so that the shares run side by side.
fn replay(share: usize) {
    let plan = plan(json!({}));
    for capture in maskable().iter().skip(share).step_by(4) {
        let recorded = as_recorded(&plan, capture, |_| ());
        let body = capture.chunks.concat();
        for size in 1..=64 {
            let output = in_chunks(&plan, capture.media, body.chunks(size), |_| ()).expect("no cut");
            assert!(output == recorded, "{} in chunks of {size}", capture.name);
        }
    }
}

#[test]
fn the_captures_are_all_there() {
    let captures = maskable();
    assert!(captures.len() >= 90, "{}", captures.len());
    assert!(captures.iter().filter(|capture| capture.media == Media::Sse).count() >= 20);
}

#[test]
fn captures_mask_alike_at_every_chunk_size_first_share() {
    replay(0);
}

#[test]
fn captures_mask_alike_at_every_chunk_size_second_share() {
    replay(1);
}

#[test]
fn captures_mask_alike_at_every_chunk_size_third_share() {
    replay(2);
}

#[test]
fn captures_mask_alike_at_every_chunk_size_fourth_share() {
    replay(3);
}

#[test]
fn nothing_of_the_customer_leaves_at_any_moment() {
    let plan = plan(json!({}));
    for capture in maskable() {
        as_recorded(&plan, &capture, |output| {
            let output = String::from_utf8_lossy(output);
            for secret in SECRET {
                assert!(
                    !output.contains(secret),
                    "{}: {secret} in {}",
                    capture.name,
                    around(&output, secret)
                );
            }
        });
    }
}

fn around(output: &str, secret: &str) -> String {
    let at = output.find(secret).unwrap_or(0);
    let from = output.floor_char_boundary(at.saturating_sub(80));
    output[from..output.floor_char_boundary((at + 80).min(output.len()))].to_owned()
}

#[test]
fn deltas_joined_read_as_the_masked_text() {
    let plan = plan(json!({}));
    for name in ["runs_stream_messages-tuple", "nested_stream_messages_tuple_subgraphs"] {
        let capture = maskable().into_iter().find(|capture| capture.name == name).expect("the capture");
        let output = String::from_utf8(as_recorded(&plan, &capture, |_| ())).expect("UTF-8");
        let joined: String = output
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter_map(|data| serde_json::from_str::<Value>(data).ok())
            .filter(|data| data.pointer("/0/type") == Some(&json!("AIMessageChunk")))
            .filter_map(|data| data.pointer("/0/content").and_then(Value::as_str).map(str::to_owned))
            .collect();
        assert!(joined.starts_with("Customer Zoë O'Brien can be reached at [EMAIL] or [PHONE]. Her SSN is [US_SSN] and the card on file is [PAYMENT_CARD] — done ✓"), "{joined}");
    }
}

#[test]
fn ids_timestamps_and_framing_stay() {
    let plan = plan(json!({}));
    let ids = |text: &str| -> Vec<String> {
        text.lines()
            .flat_map(|line| line.split(['"', ',', '{', '}', '[', ']']))
            .filter(|word| {
                let uuid = word.len() == 36 && word.bytes().filter(|byte| *byte == b'-').count() == 4;
                uuid || word.starts_with("2026-11-22T")
                    || word.starts_with("1795348")
                    || word.starts_with(":1795348")
            })
            .map(str::to_owned)
            .collect()
    };
    let mut seen = 0;
    for capture in maskable() {
        let body = String::from_utf8_lossy(&capture.chunks.concat()).into_owned();
        let output = String::from_utf8_lossy(&as_recorded(&plan, &capture, |_| ())).into_owned();
        assert_eq!(ids(&output), ids(&body), "{}", capture.name);
        seen += ids(&body).len();
        if capture.media == Media::Sse {
            let frame = |text: &str| {
                text.lines().filter(|line| !line.starts_with("data:")).map(str::to_owned).collect::<Vec<_>>()
            };
            let mut frames = (frame(&output), frame(&body));
            // A comment may overtake an event that waits.
            frames.0.sort();
            frames.1.sort();
            assert_eq!(frames.0, frames.1, "{}", capture.name);
        }
    }
    assert!(seen > 1000, "{seen}");
}
