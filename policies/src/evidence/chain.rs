//! A chain of lines: sealing them at the gateway, and checking their succession anywhere else.

use serde::{Deserialize, Serialize};

use super::digest::{hex, link_hash};
use super::escape::write_string;
use super::record::{Record, VERSION};

/// The `prev` of a chain's first line: there is none before it.
pub const ZERO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The longest line, in bytes: a ledger takes none that is longer.
pub const LONGEST_LINE: usize = 1 << 20;
/// How long a line without a body usually is.
const USUAL_LENGTH: usize = 1_536;

/// The head of a chain that is being written.
#[derive(Debug)]
pub struct Chain {
    id: String,
    seq: u64,
    prev: String,
}

/// A sealed line: what is sent, stored and hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its place in the chain, from 0.
    pub seq: u64,
    /// The JSON, without a line feed.
    pub bytes: Vec<u8>,
}

/// The members that bind a line into its chain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Link {
    /// The version of the record's schema.
    pub v: u32,
    /// The chain's id.
    pub chain: String,
    /// The line's place in the chain, from 0.
    pub seq: u64,
    /// The hash of the line before it, lower-case hexadecimal.
    pub prev: String,
}

/// Why a line is not the next of its chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Not a JSON object with `v`, `chain`, `seq` and `prev`.
    #[error("the line is not a record")]
    Malformed,
    /// A schema that this program does not know.
    #[error("the record has version {0}, this program knows {VERSION}")]
    Version(u32),
    /// A line of another chain.
    #[error("the line belongs to another chain")]
    OtherChain,
    /// A line is missing before it, or it comes twice.
    #[error("the line has place {found}, the chain's next is {expected}")]
    Place {
        /// The place that the chain's next line has.
        expected: u64,
        /// The place that the line claims.
        found: u64,
    },
    /// The line before it is not the one it was sealed after.
    #[error("the line does not follow the one before it")]
    Broken,
}

#[derive(Serialize)]
struct Sealed<'a> {
    v: u32,
    chain: &'a str,
    seq: u64,
    prev: &'a str,
    #[serde(flatten)]
    record: &'a Record,
}

impl Chain {
    /// Starts a chain. `id` has to be unique among all gateways for all time: 128 random bits do.
    pub fn new(id: String) -> Self {
        Self { id, seq: 0, prev: ZERO_HASH.to_owned() }
    }

    /// The chain's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How many lines have been sealed.
    pub fn len(&self) -> u64 {
        self.seq
    }

    /// Whether no line has been sealed yet.
    pub fn is_empty(&self) -> bool {
        self.seq == 0
    }

    /// Seals `record` as the chain's next line. The chain moves on only if that worked, so an error leaves no
    /// gap. A line longer than [`LONGEST_LINE`] is an error: [`Record::shortened`] makes one that is not.
    pub fn seal(&mut self, record: &Record) -> Result<Line, serde_json::Error> {
        let sealed = Sealed { v: VERSION, chain: &self.id, seq: self.seq, prev: &self.prev, record };
        let body = record.response.as_ref().and_then(|response| response.body.as_deref());
        let mut bytes = Vec::with_capacity(body.map_or(0, |body| body.len() + body.len() / 4) + USUAL_LENGTH);
        serde_json::to_writer(&mut bytes, &sealed)?;
        if let Some(body) = body {
            append_body(&mut bytes, body)?;
        }
        if bytes.len() > LONGEST_LINE {
            return Err(serde::ser::Error::custom("the line is longer than a ledger takes"));
        }
        let line = Line { seq: self.seq, bytes };
        self.prev = hex(&link_hash(&line.bytes));
        self.seq = self.seq.saturating_add(1);
        Ok(line)
    }
}

/// Writes the response's body behind everything else: into the line's last object, which is the response.
fn append_body(line: &mut Vec<u8>, body: &str) -> Result<(), serde_json::Error> {
    if !line.ends_with(b"}}") {
        return Err(serde::ser::Error::custom("the response is not the last member of a record"));
    }
    line.truncate(line.len().saturating_sub(2));
    line.extend_from_slice(b",\"body\":");
    write_string(body, line);
    line.extend_from_slice(b"}}");
    Ok(())
}

impl Link {
    /// Reads the link of a line, refusing versions that are not known.
    pub fn read(line: &[u8]) -> Result<Self, LineFault> {
        let link: Self = serde_json::from_slice(line).map_err(|_| LineFault::Malformed)?;
        if link.v != VERSION { Err(LineFault::Version(link.v)) } else { Ok(link) }
    }
}

/// Checks that lines follow one another, from bytes alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Succession {
    chain: String,
    next: u64,
    prev: String,
}

impl Succession {
    /// Awaits the first line of `chain`.
    pub fn from_start(chain: &str) -> Self {
        Self { chain: chain.to_owned(), next: 0, prev: ZERO_HASH.to_owned() }
    }

    /// Goes on after a line already checked: its place and its hash.
    pub fn after(chain: &str, seq: u64, hash: &str) -> Self {
        Self { chain: chain.to_owned(), next: seq.saturating_add(1), prev: hash.to_owned() }
    }

    /// Takes the next line, or says why it is not. A line refused changes nothing.
    pub fn accept(&mut self, line: &[u8]) -> Result<Link, LineFault> {
        let link = Link::read(line)?;
        if link.chain != self.chain {
            return Err(LineFault::OtherChain);
        }
        if link.seq != self.next {
            return Err(LineFault::Place { expected: self.next, found: link.seq });
        }
        if link.prev != self.prev {
            return Err(LineFault::Broken);
        }
        self.next = self.next.saturating_add(1);
        self.prev = hex(&link_hash(line));
        Ok(link)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::record::{End, Kind, ResponseRecord};
    use super::*;

    fn lines(count: usize) -> Vec<Vec<u8>> {
        let mut chain = Chain::new("c1".to_owned());
        (0..count)
            .map(|index| {
                let record = Record::new(Kind::Outcome, &format!("x{index}"), "gate", 1_700_000_000_000_000);
                chain.seal(&record).unwrap().bytes
            })
            .collect()
    }

    fn check(lines: &[Vec<u8>]) -> Result<(), LineFault> {
        let mut succession = Succession::from_start("c1");
        lines.iter().try_for_each(|line| succession.accept(line).map(|_| ()))
    }

    #[test]
    fn accepts_the_lines_as_sealed() {
        assert_eq!(check(&lines(5)), Ok(()));
    }

    #[test]
    fn a_line_carries_its_link_first() {
        let line = String::from_utf8(lines(1).remove(0)).unwrap();
        assert!(
            line.starts_with(&format!(
                r#"{{"v":1,"chain":"c1","seq":0,"prev":"{ZERO_HASH}","kind":"outcome""#
            )),
            "{line}"
        );
        assert!(!line.contains('\n'));
    }

    #[test]
    fn a_body_is_the_last_member_and_reads_back_as_it_was() {
        let body = "{\"a\":\"\\\\\n\u{1F600}\u{7}\"}";
        let mut record = Record::new(Kind::Outcome, "x", "gate", 0);
        record.response = Some(ResponseRecord {
            status: 200,
            masked: BTreeMap::new(),
            bytes: 9,
            body: Some(body.to_owned()),
            segments: None,
            body_truncated: false,
            body_sha256: None,
            duration_us: 1,
            end: End::Complete,
        });
        let line = Chain::new("c1".to_owned()).seal(&record).unwrap();
        let text = std::str::from_utf8(&line.bytes).unwrap();
        assert!(text.contains(r#""end":"complete","body":"{"#), "{text}");
        let read: Record = serde_json::from_slice(&line.bytes).unwrap();
        assert_eq!(read, record);
    }

    #[test]
    fn finds_every_single_flipped_bit() {
        let lines = lines(3);
        for index in 0..lines[1].len() {
            for bit in 0..8 {
                let mut changed = lines.clone();
                changed[1][index] ^= 1 << bit;
                assert!(check(&changed).is_err(), "byte {index} bit {bit}");
            }
        }
    }

    #[test]
    fn finds_dropped_swapped_repeated_and_foreign_lines() {
        let lines = lines(4);
        for index in 0..3 {
            let mut dropped = lines.clone();
            dropped.remove(index);
            assert!(check(&dropped).is_err());
            let mut swapped = lines.clone();
            swapped.swap(index, index + 1);
            assert!(check(&swapped).is_err());
            let mut repeated = lines.clone();
            repeated.insert(index, lines[index].clone());
            assert!(check(&repeated).is_err());
        }
        assert_eq!(Succession::from_start("c2").accept(&lines[0]), Err(LineFault::OtherChain));
    }

    #[test]
    fn a_refused_line_changes_nothing() {
        let lines = lines(2);
        let mut succession = Succession::from_start("c1");
        assert!(succession.accept(&lines[1]).is_err());
        assert!(succession.accept(&lines[0]).is_ok());
        assert!(succession.accept(&lines[1]).is_ok());
    }

    #[test]
    fn goes_on_after_a_line_already_checked() {
        let lines = lines(3);
        let mut succession = Succession::after("c1", 1, &hex(&link_hash(&lines[1])));
        assert!(succession.accept(&lines[2]).is_ok());
    }

    #[test]
    fn refuses_what_is_no_record_and_what_is_of_another_version() {
        assert_eq!(Link::read(b"[]"), Err(LineFault::Malformed));
        assert_eq!(Link::read(b"\xff"), Err(LineFault::Malformed));
        let future = br#"{"v":2,"chain":"c","seq":0,"prev":""}"#;
        assert_eq!(Link::read(future), Err(LineFault::Version(2)));
    }
}
