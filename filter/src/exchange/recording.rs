//! A response that streams, written down while it does: its masked pieces with the times at which they went out,
//! gathered into segments of some size or age.
//!
//! Up to its limit, all pieces of all segments one after the other are the bytes that were sent (what is no UTF-8
//! becomes U+FFFD; a code point that was split stays with its second half). When the limit is reached the piece is cut
//! there, nothing more is kept, and [`Recording::is_cut`] says so; the digest over the whole is the dossier's.

use std::collections::VecDeque;
use std::time::Duration;

use graphwarden_policies::evidence::{Piece, SegmentRecord};

use super::gate::Moment;

/// A segment is written once it has so many bytes.
const WORTHWHILE: usize = 16 << 10;
/// A segment is written once its first piece is so old: what a crash can lose.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most bytes of one segment. Escaped, a byte of text takes six at the most, so its line stays below the longest
/// that a ledger takes.
const LARGEST: usize = 64 << 10;
/// Where the first event is longer, the run's id is not looked for.
const LONGEST_HEAD: usize = 1 << 10;

pub(super) struct Recording {
    began: Moment,
    limit: usize,
    /// Bytes of text taken so far.
    taken: usize,
    pieces: VecDeque<Piece>,
    /// Bytes of text in `pieces`.
    gathered: usize,
    /// When the segment has to be written.
    due: Option<Moment>,
    /// The beginning of a code point whose rest has not come.
    split: Vec<u8>,
    segments: u64,
    cut: bool,
    /// The stream's first event, until it is whole.
    head: Option<Vec<u8>>,
}

impl Recording {
    /// Keeps at most `limit` bytes of text. `began` is the moment that offsets count from.
    pub(super) fn new(began: Moment, limit: usize) -> Self {
        Self {
            began,
            limit,
            taken: 0,
            pieces: VecDeque::new(),
            gathered: 0,
            due: None,
            split: Vec::new(),
            segments: 0,
            cut: false,
            head: Some(Vec::new()),
        }
    }

    /// Takes a piece as it was sent. Returns the id of the run where the stream's first event names it.
    pub(super) fn add(&mut self, piece: &[u8], now: Moment) -> Option<String> {
        if piece.is_empty() {
            return None;
        }
        let run = self.look_for_run(piece);
        if self.cut {
            return run;
        }
        let mut bytes = std::mem::take(&mut self.split);
        bytes.extend_from_slice(piece);
        let whole = whole_code_points(&bytes);
        self.split = bytes.split_off(whole);
        let mut text = String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        let room = self.limit.saturating_sub(self.taken);
        if text.len() > room {
            self.cut = true;
            text.truncate(text.floor_char_boundary(room));
        }
        if text.is_empty() {
            return run;
        }
        self.taken = self.taken.saturating_add(text.len());
        self.gathered = self.gathered.saturating_add(text.len());
        let offset = u64::try_from(now.since(self.began).as_millis()).unwrap_or(u64::MAX);
        // A large event may come in one piece.
        while text.len() > LARGEST {
            let rest = text.split_off(text.floor_char_boundary(LARGEST));
            self.pieces.push_back(Piece(offset, std::mem::replace(&mut text, rest)));
        }
        self.pieces.push_back(Piece(offset, text));
        let due = if self.gathered >= WORTHWHILE { now } else { now.after(PATIENCE) };
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        run
    }

    /// The next segment of what came since the last one, and how many bytes of text that is. `None` where nothing is left.
    pub(super) fn take(&mut self) -> Option<(SegmentRecord, usize)> {
        let mut pieces = Vec::new();
        let mut bytes: usize = 0;
        while let Some(Piece(_, text)) = self.pieces.front() {
            if !pieces.is_empty() && bytes.saturating_add(text.len()) > LARGEST {
                break;
            }
            bytes = bytes.saturating_add(text.len());
            pieces.extend(self.pieces.pop_front());
        }
        if pieces.is_empty() {
            return None;
        }
        self.gathered = self.gathered.saturating_sub(bytes);
        if self.pieces.is_empty() {
            self.due = None;
        }
        let segment = SegmentRecord { index: self.segments, pieces };
        self.segments = self.segments.saturating_add(1);
        Some((segment, bytes))
    }

    /// The last segment could not be written: nothing more is kept.
    pub(super) fn lose(&mut self) {
        self.pieces.clear();
        self.gathered = 0;
        self.due = None;
        self.segments = self.segments.saturating_sub(1);
        self.cut = true;
    }

    /// When a segment has to be written, at the latest.
    pub(super) fn due(&self) -> Option<Moment> {
        self.due
    }

    /// How many segments there are.
    pub(super) fn segments(&self) -> u64 {
        self.segments
    }

    /// Whether the segments end before the stream did.
    pub(super) fn is_cut(&self) -> bool {
        self.cut || !self.split.is_empty()
    }

    /// LangGraph's streams begin with `event: metadata` and `data: {"run_id": "…", …}`.
    fn look_for_run(&mut self, piece: &[u8]) -> Option<String> {
        let head = self.head.as_mut()?;
        let room = LONGEST_HEAD.saturating_sub(head.len());
        head.extend_from_slice(piece.get(..room).unwrap_or(piece));
        let ends = [b"\n\n".as_slice(), b"\r\n\r\n", b"\r\r"]
            .into_iter()
            .filter_map(|end| head.windows(end.len()).position(|window| window == end))
            .min();
        if ends.is_none() && head.len() < LONGEST_HEAD {
            return None;
        }
        let head = self.head.take()?;
        let event = std::str::from_utf8(head.get(..ends?)?).ok()?;
        let mut lines = event.split(['\n', '\r']).filter(|line| !line.is_empty());
        if lines.next()?.strip_prefix("event:")?.trim() != "metadata" {
            return None;
        }
        let data = lines.find_map(|line| line.strip_prefix("data:"))?;
        let data: serde_json::Value = serde_json::from_str(data).ok()?;
        data.get("run_id")?.as_str().filter(|id| is_id(id)).map(str::to_owned)
    }
}

/// Written by hand: what streams is nobody's business in a log.
impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording").field("taken", &self.taken).field("segments", &self.segments).finish()
    }
}

/// Whether this looks like an id that LangGraph gives.
pub(super) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// How many bytes there are before a code point at the end that has only begun.
fn whole_code_points(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len().saturating_sub(back);
        let needed = match bytes.get(at) {
            Some(0xC2..=0xDF) => 2,
            Some(0xE0..=0xEF) => 3,
            Some(0xF0..=0xF4) => 4,
            Some(0x80..=0xBF) => continue,
            _ => return bytes.len(),
        };
        return if back < needed { at } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment(1_000_000);

    fn text(segment: &SegmentRecord) -> String {
        segment.pieces.iter().map(|piece| piece.1.as_str()).collect()
    }

    #[test]
    fn pieces_at_every_split_are_the_stream_again() {
        let stream = "data: Zoë, 日本, 🦀\n\n".as_bytes();
        for split in 0..=stream.len() {
            let (one, two) = stream.split_at(split);
            let mut recording = Recording::new(START, 1_000);
            recording.add(one, START);
            recording.add(two, START.after(Duration::from_millis(7)));
            let (segment, bytes) = recording.take().unwrap();
            assert_eq!((text(&segment).as_bytes(), bytes), (stream, stream.len()), "split at {split}");
            assert!(!recording.is_cut());
        }
    }

    #[test]
    fn what_is_no_utf_8_is_shown_as_such() {
        let mut recording = Recording::new(START, 1_000);
        recording.add(b"a\xffb\x80", START);
        recording.add(b"\xc3", START);
        assert_eq!(text(&recording.take().unwrap().0), "a\u{fffd}b\u{fffd}");
        assert!(recording.is_cut(), "a code point that never ended is missing");
    }

    #[test]
    fn a_limit_is_kept_to_the_byte_and_never_splits_a_letter() {
        for limit in 0..8 {
            let mut recording = Recording::new(START, limit);
            recording.add("aëb".as_bytes(), START);
            recording.add(b"cdef", START);
            let kept = recording.take().map(|(segment, _)| text(&segment)).unwrap_or_default();
            assert!(kept.len() <= limit && "aëbcdef".starts_with(&kept), "{limit}: {kept}");
            assert!(kept.len() + 1 >= limit, "{limit}: {kept}");
            assert!(recording.is_cut());
        }
        let mut recording = Recording::new(START, 8);
        recording.add("aëbcdef".as_bytes(), START);
        assert!(!recording.is_cut());
    }

    #[test]
    fn segments_are_due_by_age_and_by_size_and_count_up() {
        let mut recording = Recording::new(START, 1 << 20);
        assert_eq!(recording.due(), None);
        recording.add(b"a", START);
        recording.add(b"b", START.after(Duration::from_millis(900)));
        assert_eq!(recording.due(), Some(START.after(PATIENCE)));
        let (segment, _) = recording.take().unwrap();
        assert_eq!(segment.pieces, [Piece(0, "a".to_owned()), Piece(900, "b".to_owned())]);
        assert!(recording.take().is_none());
        recording.add(&[b'x'; WORTHWHILE], START);
        assert_eq!(recording.due(), Some(START));
        assert_eq!(recording.take().unwrap().0.index, 1);
        assert_eq!(recording.segments(), 2);
    }

    #[test]
    fn a_large_piece_is_written_in_segments_that_a_ledger_takes() {
        use graphwarden_policies::evidence::{Chain, Kind, LONGEST_LINE, Record};
        // Six bytes each in JSON, and a letter across where a segment ends.
        let stream = format!("{}é{}", "\u{1}".repeat(LARGEST - 1), "\u{2}".repeat(3 << 20));
        let mut recording = Recording::new(START, 64 << 20);
        recording.add(b"a", START);
        recording.add(stream.as_bytes(), START);
        let (mut chain, mut whole, mut count) = (Chain::new("c".to_owned()), String::new(), 0);
        while let Some((segment, bytes)) = recording.take() {
            assert_eq!((segment.index, text(&segment).len()), (count, bytes));
            whole.push_str(&text(&segment));
            let mut record = Record::new(Kind::Segment, "x", "gate", 1);
            record.segment = Some(segment);
            assert!(chain.seal(&record).unwrap().bytes.len() < LONGEST_LINE / 2);
            count += 1;
        }
        assert_eq!(whole, format!("a{stream}"));
        assert_eq!((recording.segments(), recording.due()), (count, None));
        assert!(!recording.is_cut());
    }

    #[test]
    fn a_segment_that_found_no_room_is_the_last() {
        let mut recording = Recording::new(START, 1 << 20);
        recording.add(b"a", START);
        recording.take();
        recording.lose();
        recording.add(b"b", START);
        assert!(recording.take().is_none() && recording.is_cut());
        assert_eq!(recording.segments(), 0);
    }

    #[test]
    fn the_run_is_read_from_the_first_event_at_every_split() {
        let stream =
            b"event: metadata\r\ndata: {\"run_id\":\"1ef-2\",\"attempt\":1}\r\n\r\nevent: values\r\n";
        for split in 0..stream.len() {
            let (one, two) = stream.split_at(split);
            let mut recording = Recording::new(START, 10);
            let found = recording.add(one, START).or(recording.add(two, START));
            assert_eq!(found.as_deref(), Some("1ef-2"), "split at {split}");
        }
        for other in [
            "event: values\ndata: {\"run_id\":\"1\"}\n\n",
            "data: {\"run_id\":\"1\"}\n\n",
            "event: metadata\ndata: {\"run_id\":\"a b\"}\n\n",
            "event: metadata\ndata: nothing\n\n",
        ] {
            assert_eq!(Recording::new(START, 10).add(other.as_bytes(), START), None, "{other}");
        }
        let long = [b"event: metadata\ndata: {\"x\":\"".as_slice(), &[b'x'; 2_000]].concat();
        let mut recording = Recording::new(START, 10);
        assert_eq!(recording.add(&long, START), None);
        assert!(recording.head.is_none(), "no more is kept of it");
    }
}
