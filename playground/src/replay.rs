//! A response as it streams by, step by step: what came, what has left, what is held back and why.

use graphwarden_policies::masking::{Held, Media, Plan, Waits};
use graphwarden_trial::Raw;
use serde_json::{Value, json};

use crate::table::{Reading, Table};

/// The longest response that is replayed, in bytes.
const LONGEST: usize = 1 << 20;
/// The most of a held text that is shown, in bytes.
const SHOWN: usize = 400;
/// What comes at once of a body that has no events.
const PIECE: usize = 64;

/// One response, cut into what comes at once.
#[derive(Debug)]
pub struct Replay {
    plan: Plan,
    media: Media,
    body: Vec<u8>,
    /// Where in the body each step ends.
    ends: Vec<usize>,
}

impl Replay {
    /// Makes the table's response ready: event by event where `piece` is 0, else so many bytes at once. The error is for
    /// the person at the page.
    pub fn new(table: &Table, piece: usize) -> Result<Self, String> {
        let Reading::Sound(_, policy) = table.policy() else {
            return Err("the policy has to be sound first".to_owned());
        };
        let head = table.response.trim_ascii_start();
        let (head, body) = head
            .split_once("\r\n\r\n")
            .or_else(|| head.split_once("\n\n"))
            .ok_or("a response is a status line, headers, an empty line and the body")?;
        if body.len() > LONGEST {
            return Err(format!("more than {LONGEST} bytes"));
        }
        let mut words = head.split_ascii_whitespace();
        let (Some(version), Some(status)) = (words.next(), words.next()) else {
            return Err("begin with a status line such as `HTTP/1.1 200 OK`".to_owned());
        };
        let status = status
            .parse::<u16>()
            .ok()
            .filter(|_| version.starts_with("HTTP/"))
            .ok_or("begin with a status line such as `HTTP/1.1 200 OK`")?;
        let header = |wanted: &str| {
            head.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value.trim().as_bytes())
        };
        let headless = Raw::parse(table.request.as_bytes()).is_ok_and(|raw| raw.method == b"HEAD");
        let media = Media::of_response(headless, status, header("content-type"), header("content-encoding"));
        let masking = match table.verdict(&policy) {
            Ok(verdict) => policy.masking_under(verdict.obligations()),
            Err(_) => &policy.masking,
        };
        let plan = masking.plan(table.identity(&policy).as_deref());
        let ends = match piece {
            0 if media == Media::Sse => events(body.as_bytes()),
            0 => pieces(body.len(), PIECE),
            piece => pieces(body.len(), piece),
        };
        Ok(Self { plan, media, body: body.as_bytes().to_vec(), ends })
    }

    /// How many steps there are; the one after the last piece is the end of the body.
    pub fn steps(&self) -> usize {
        self.ends.len() + 1
    }

    /// How things stand after so many steps.
    pub fn at(&self, step: usize) -> Value {
        let mut masker = self.plan.open(self.media);
        let mut output = Vec::new();
        let (mut from, mut left) = (0, 0);
        let mut cut = None;
        for end in self.ends.iter().take(step) {
            left = output.len();
            // After a cut nothing leaves, and what the step wrote is dropped by the gate.
            if let Err(error) = masker.push(self.body.get(from..*end).unwrap_or_default(), &mut output) {
                output.truncate(left);
                cut = Some(error.why);
                break;
            }
            from = *end;
        }
        let ended = step > self.ends.len();
        if ended && cut.is_none() {
            left = output.len();
            if let Err(error) = masker.finish(&mut output) {
                output.truncate(left);
                cut = Some(error.why);
            }
        }
        let taken = step.checked_sub(1).and_then(|last| self.ends.get(last)).copied();
        let taken = taken.unwrap_or(if step == 0 { 0 } else { self.body.len() });
        let before = step.checked_sub(2).and_then(|last| self.ends.get(last)).copied().unwrap_or(0);
        let held: Vec<Value> = match ended || cut.is_some() {
            true => Vec::new(),
            false => masker.held().iter().map(shown).collect(),
        };
        let counts: serde_json::Map<String, Value> =
            masker.counts().map(|(name, count)| (name.to_owned(), count.into())).collect();
        json!({
            "step": step.min(self.steps()), "steps": self.steps(), "ended": ended,
            "before": before.min(taken), "taken": taken, "left_before": left, "left": output.len(),
            "output": String::from_utf8_lossy(&output), "held": held, "masked": counts, "cut": cut,
            "media": media(self.media),
        })
    }
}

fn media(media: Media) -> String {
    match media {
        Media::Json => "JSON".to_owned(),
        Media::Sse => "an event stream".to_owned(),
        Media::Ndjson => "lines of JSON".to_owned(),
        Media::Text => "text".to_owned(),
        Media::Bodiless => "no body".to_owned(),
        Media::Unmaskable(why) => format!("nothing that can be masked: {why}"),
    }
}

fn shown(held: &Held) -> Value {
    let text = held.text.get(..SHOWN).unwrap_or(&held.text);
    let (waits, names) = match &held.waits {
        Waits::Event => ("event", Vec::new()),
        Waits::Order => ("order", Vec::new()),
        Waits::Detectors(names) => ("detectors", names.clone()),
        Waits::Token => ("token", Vec::new()),
        Waits::Field(name) => ("field", vec![name.clone()]),
    };
    let lane = held.lane.map(|lane| format!("{:04x}", lane & 0xFFFF));
    json!({
        "bytes": held.bytes, "text": String::from_utf8_lossy(text), "more": held.text.len() > SHOWN,
        "waits": waits, "names": names, "lane": lane,
    })
}

/// Where each event of a stream ends: behind its blank line.
fn events(body: &[u8]) -> Vec<usize> {
    let mut ends: Vec<usize> = Vec::new();
    let mut line = 0;
    let mut at = 0;
    while let Some(byte) = body.get(at) {
        at += 1;
        match byte {
            b'\r' if body.get(at) == Some(&b'\n') => {}
            b'\n' | b'\r' => {
                // Further blank lines belong to the event before.
                if line == 0
                    && ends.last().is_none_or(|end| body.get(*end..at).is_some_and(|event| event.len() > 2))
                {
                    ends.push(at);
                } else if line == 0
                    && let Some(end) = ends.last_mut()
                {
                    *end = at;
                }
                line = 0;
            }
            _ => line += 1,
        }
    }
    if ends.last().is_none_or(|end| *end < body.len()) && !body.is_empty() {
        ends.push(body.len());
    }
    ends
}

fn pieces(length: usize, piece: usize) -> Vec<usize> {
    (1..=length.div_ceil(piece)).map(|index| (index * piece).min(length)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "identity:\n  issuers:\n    - { issuer: https://idp.example.com, audiences: [langgraph], algorithms: [ES256], keys: { cluster: idp, discover: true } }\naccess:\n  rules:\n    - { name: everybody, operations: [\"*\"], then: allow }\nevidence: { off: true }\n";

    fn replay(response: &str, piece: usize) -> Replay {
        let table = Table {
            policy: POLICY.to_owned(),
            request: "GET /threads/0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab HTTP/1.1\n\n".to_owned(),
            claims: r#"{"sub": "ana"}"#.to_owned(),
            response: response.to_owned(),
            now: 1_800_000_000,
            ..Table::default()
        };
        Replay::new(&table, piece).unwrap()
    }

    #[test]
    fn a_value_split_over_events_is_held_back_and_never_leaves() {
        let delta = |text: &str| {
            format!(
                "event: messages\ndata: [{{\"content\": \"{text}\", \"type\": \"AIMessageChunk\", \"id\": \"m1\"}}, {{}}]\n\n"
            )
        };
        let body = ["Write to zoe.ob", "rien@exam", "ple.com today", "."].map(delta).concat();
        let replay = replay(&format!("HTTP/1.1 200 OK\ncontent-type: text/event-stream\n\n{body}"), 0);
        assert_eq!(replay.steps(), 5);
        let first = replay.at(1);
        assert!(first["held"][0]["names"].as_array().unwrap().iter().any(|name| name == "email"), "{first}");
        assert_eq!(first["held"][0]["text"], "zoe.ob");
        for step in 0..=replay.steps() {
            let at = replay.at(step);
            assert!(!at["output"].as_str().unwrap().contains("zoe"), "{at}");
        }
        let last = replay.at(5);
        assert_eq!((&last["masked"]["email"], &last["held"]), (&json!(1), &json!([])));
        assert!(last["output"].as_str().unwrap().contains("[EMAIL]"));
    }

    #[test]
    fn however_it_is_cut_the_same_leaves() {
        let response = "HTTP/1.1 200 OK\ncontent-type: application/json\n\n{\"a\": \"zoe@example.com\", \"n\": [4111111111111111, true]}";
        let whole = replay(response, 100_000);
        for piece in [0, 1, 3, 7] {
            let replay = replay(response, piece);
            assert_eq!(replay.at(replay.steps())["output"], whole.at(2)["output"], "by {piece}");
        }
    }

    #[test]
    fn what_cannot_be_masked_is_cut_and_says_why() {
        let replay = replay("HTTP/1.1 200 OK\ncontent-type: image/png\n\nabc", 0);
        let at = replay.at(1);
        assert!(at["cut"].is_string() && at["output"] == "", "{at}");
    }

    #[test]
    fn an_event_ends_behind_its_blank_lines() {
        assert_eq!(events(b"a: 1\n\nb: 2\n\n\nc"), [6, 13, 14]);
        assert_eq!(events(b"a\r\n\r\nb\r\n\r\n"), [5, 10]);
        assert!(events(b"").is_empty());
    }
}
