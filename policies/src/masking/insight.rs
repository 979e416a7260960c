//! What is held back of a body, and why: for people who look on, such as in the playground. Nothing here decides.

use std::fmt;

use super::detectors::Detectors;
use super::text::Scan;

/// A stretch of a body that has not left yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Held {
    /// How many bytes of the body it takes.
    pub bytes: usize,
    /// What is undecided, without the escapes of the body. Not masked: for nobody who may not see the body.
    pub text: Vec<u8>,
    /// Which text that grows over events it is part of: equal numbers are one text.
    pub lane: Option<u64>,
    /// What it waits for.
    pub waits: Waits,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("bytes", &self.bytes)
            .field("lane", &self.lane)
            .field("waits", &self.waits)
            .finish_non_exhaustive()
    }
}

/// What a stretch waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waits {
    /// The end of its stream event, which no reader could use before.
    Event,
    /// What is undecided in an event before it: events keep their order.
    Order,
    /// Whether it becomes a value of one of these detectors.
    Detectors(Vec<String>),
    /// The end of a number, a literal, an escape or a field's name.
    Token,
    /// The end of a value that this field rule masks.
    Field(String),
}

/// What the undecided end of a text may become.
pub(super) fn of_scan(
    scan: &Scan,
    bytes: usize,
    lane: Option<u64>,
    detectors: &Detectors,
    held: &mut Vec<Held>,
) {
    let text = scan.undecided();
    if text.is_empty() {
        return;
    }
    // Each detector alone sees the same text: one that would hold it back is a suspect.
    let mut suspects: Vec<String> = Vec::new();
    for (id, name) in detectors.iter().filter(|(id, _)| detectors.is_enabled(*id)) {
        let mut alone = scan.rewound();
        alone.push(&detectors.only(id), text, |_| {});
        if alone.held() > 0 {
            suspects.push(name.to_owned());
        }
    }
    held.push(Held { bytes, text: text.to_vec(), lane, waits: Waits::Detectors(suspects) });
}

#[cfg(test)]
mod tests {
    use crate::masking::config::Config;
    use crate::masking::{Masker, Masking, Media, Waits};
    use crate::policy::{At, Problems};

    fn masker(media: Media) -> Masker {
        let config: Config = serde_json::from_value(serde_json::json!({"keys": ["pin"]})).unwrap();
        let masking = Masking::compile(&config, &At::root(), &|_| None, &mut Problems::new()).unwrap();
        masking.plan(None).open(media)
    }

    fn after(masker: &mut Masker, input: &str) -> Vec<(String, Waits)> {
        masker.push(input.as_bytes(), &mut Vec::new()).unwrap();
        let text = |held: &[u8]| String::from_utf8_lossy(held).into_owned();
        masker.held().into_iter().map(|held| (text(&held.text), held.waits)).collect()
    }

    fn suspects(held: &(String, Waits)) -> &[String] {
        match &held.1 {
            Waits::Detectors(names) => names,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_the_detector_that_holds_a_text_back() {
        let mut masker = masker(Media::Json);
        let held = after(&mut masker, r#"{"to": "write to zoe.obrien@exa"#);
        assert_eq!(held[0].0, "zoe.obrien@exa");
        assert!(suspects(&held[0]).contains(&"email".to_owned()), "{held:?}");
        assert!(!suspects(&held[0]).contains(&"payment_card".to_owned()), "{held:?}");
        assert_eq!(after(&mut masker, r#"mple.com now", "n": "#), []);
        assert_eq!(after(&mut masker, "12"), [("12".to_owned(), Waits::Token)]);
        let held = after(&mut masker, r#", "pin": "99"#);
        assert_eq!(held, [(String::new(), Waits::Field("pin".to_owned()))]);
    }

    #[test]
    fn names_the_lane_and_what_waits_behind_it() {
        let mut masker = masker(Media::Sse);
        let delta = |text: &str| {
            format!(
                "event: messages\r\ndata: [{{\"content\": \"{text}\", \"type\": \"AIMessageChunk\", \"id\": \"m1\"}}, {{}}]\r\n\r\n"
            )
        };
        assert_eq!(after(&mut masker, "event: mess")[0].1, Waits::Event);
        let mut masker = self::masker(Media::Sse);
        let held = after(&mut masker, &delta("mail zoe.obr"));
        assert_eq!(held[0].0, "zoe.obr");
        let lane = masker.held()[0].lane.unwrap();
        assert_eq!(held[1].1, Waits::Order);
        after(&mut masker, &delta("ien@example"));
        assert_eq!(masker.held()[0].lane, Some(lane));
        after(&mut masker, &delta(".com, and that is all"));
        assert!(masker.held().iter().all(|held| !held.text.starts_with(b"zoe")));
    }
}
