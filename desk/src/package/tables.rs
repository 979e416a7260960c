//! The tables that follow from the records alone, made in one pass over them: `invocations.csv`, `tokens.csv`, and
//! the counts behind `access-review.csv` and the report. The verifier makes them again from the records of an export
//! and compares, so that nobody has to believe the desk about them.
//!
//! Rows are put aside in temporary files as they come; what stays in memory is a few numbers a row, to bring the
//! invocations into the order of time.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use csv::Writer;

use super::cells::{row, writer};
use super::entry::Entry;
use super::figures::Figures;
use super::review::Review;
use crate::clock::parse_micros;

const INVOCATIONS: [&str; 19] = [
    "time",
    "name",
    "email",
    "subject",
    "roles",
    "kind",
    "operation",
    "graph",
    "thread",
    "run",
    "decision",
    "rule",
    "reason",
    "approval",
    "status",
    "end",
    "masked",
    "exchange",
    "position",
];

const TOKENS: [&str; 12] = [
    "position",
    "time",
    "record",
    "exchange",
    "issuer",
    "subject",
    "jti",
    "issued",
    "expires",
    "algorithm",
    "key_id",
    "token_sha256",
];

/// The tables while they grow.
pub(super) struct Tables {
    invocations: Spool,
    order: Vec<Place>,
    /// Admissions whose outcome has not come, by exchange.
    open: HashMap<Exchange, Place>,
    /// Outcomes whose admission has not come: lines of one chain may overtake each other on their way.
    ended: HashSet<Exchange>,
    tokens: Spool,
    pub(super) review: Review,
    pub(super) figures: Figures,
}

/// Enough of an exchange's name to tell it from every other.
type Exchange = [u8; 16];

/// Where a row lies, and when it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at: i64,
    start: u64,
    length: u32,
}

impl Tables {
    pub(super) fn new() -> anyhow::Result<Self> {
        let mut tokens = Spool::new()?;
        tokens.row(&TOKENS)?;
        Ok(Self {
            invocations: Spool::new()?,
            order: Vec::new(),
            open: HashMap::new(),
            ended: HashSet::new(),
            tokens,
            review: Review::default(),
            figures: Figures::default(),
        })
    }

    /// Takes the record at this position of the ledger.
    pub(super) fn take(&mut self, position: u64, entry: &Entry<'_>) -> anyhow::Result<()> {
        self.figures.record(entry);
        match entry.kind.as_ref() {
            "outcome" => {
                self.token(position, entry)?;
                let end = entry.response.as_ref().map_or("no_answer", |response| response.end.as_ref());
                let place = self.invocation(position, entry, end)?;
                self.order.push(place);
                let exchange = key(&entry.exchange);
                if self.open.remove(&exchange).is_none() {
                    self.ended.insert(exchange);
                }
                self.review.take(entry);
                self.figures.invocation(entry);
            }
            "admission" => {
                self.token(position, entry)?;
                let exchange = key(&entry.exchange);
                if !self.ended.remove(&exchange) {
                    let place = self.invocation(position, entry, "unfinished")?;
                    self.open.insert(exchange, place);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends the tables: admissions without an outcome are invocations too.
    pub(super) fn finish(&mut self) -> u64 {
        self.figures.unfinished = self.open.len() as u64;
        self.order.extend(self.open.drain().map(|(_, place)| place));
        self.order.sort_unstable();
        self.order.len() as u64
    }

    /// Writes `invocations.csv`, in order of time.
    pub(super) fn write_invocations(&mut self, mut out: impl Write) -> anyhow::Result<()> {
        heading(&INVOCATIONS, &mut out)?;
        let mut file = self.invocations.reader(1 << 16)?;
        let mut at = 0_u64;
        let mut bytes = Vec::new();
        for place in &self.order {
            if place.start != at {
                let far = i64::try_from(place.start)? - i64::try_from(at)?;
                file.seek_relative(far)?;
            }
            bytes.resize(place.length as usize, 0);
            file.read_exact(&mut bytes)?;
            out.write_all(&bytes)?;
            at = place.start + u64::from(place.length);
        }
        Ok(())
    }

    /// Writes `tokens.csv`, in the order of the ledger.
    pub(super) fn write_tokens(&mut self, mut out: impl Write) -> anyhow::Result<()> {
        std::io::copy(&mut self.tokens.reader(1 << 18)?, &mut out)?;
        Ok(())
    }

    fn invocation(&mut self, position: u64, entry: &Entry<'_>, end: &str) -> anyhow::Result<Place> {
        let actor = entry.actor.as_ref();
        let decision = entry.decision.as_ref();
        let roles = actor.map(|actor| actor.roles.join(" ")).unwrap_or_default();
        let effect = match decision {
            Some(decision) if decision.observed => format!("would_{}", decision.effect),
            Some(decision) => decision.effect.clone().into_owned(),
            None => String::new(),
        };
        let masked = entry.response.as_ref().map(|response| {
            let counts = response.masked.iter().map(|(name, count)| format!("{name}={count}"));
            counts.collect::<Vec<_>>().join(" ")
        });
        let start = self.invocations.length;
        self.invocations.row(&[
            &entry.at,
            actor.map_or("", |actor| &actor.name),
            actor.map_or("", |actor| &actor.email),
            actor.map_or("", |actor| &actor.subject),
            &roles,
            actor.map_or("", |actor| &actor.kind),
            &entry.operations(|operation| &operation.operation),
            &entry.operations(|operation| &operation.graph),
            &entry.operations(|operation| &operation.thread),
            &entry.operations(|operation| &operation.run),
            &effect,
            decision.map_or("", |decision| &decision.rule),
            decision.map_or("", |decision| &decision.reason),
            entry.approval.as_ref().map_or("", |approval| &approval.id),
            &entry.status(),
            end,
            &masked.unwrap_or_default(),
            &entry.exchange,
            &position.to_string(),
        ])?;
        let length = u32::try_from(self.invocations.length - start)?;
        Ok(Place { at: parse_micros(&entry.at).unwrap_or(i64::MIN), start, length })
    }

    fn token(&mut self, position: u64, entry: &Entry<'_>) -> anyhow::Result<()> {
        let Some(token) = &entry.token else { return Ok(()) };
        let actor = entry.actor.as_ref();
        let seconds = |at: Option<i64>| at.map(|at| crate::clock::rfc3339(at.saturating_mul(1_000)));
        self.tokens.row(&[
            &position.to_string(),
            &entry.at,
            &entry.kind,
            &entry.exchange,
            actor.map_or("", |actor| &actor.issuer),
            actor.map_or("", |actor| &actor.subject),
            &token.jti,
            &seconds(token.iat).unwrap_or_default(),
            &seconds(token.exp).unwrap_or_default(),
            &token.alg,
            &token.kid,
            &token.sha256,
        ])
    }
}

/// The first row of a table.
fn heading(names: &[&str], out: &mut impl Write) -> anyhow::Result<()> {
    let mut out = writer(out);
    row(&mut out, names)?;
    out.flush()?;
    Ok(())
}

fn key(exchange: &str) -> Exchange {
    use sha2::{Digest, Sha256};
    if let Ok(id) = uuid::Uuid::try_parse(exchange) {
        return id.into_bytes();
    }
    let hash = Sha256::digest(exchange.as_bytes());
    std::array::from_fn(|index| hash.get(index).copied().unwrap_or_default())
}

/// Rows on their way into a temporary file that has no name and goes with the program.
struct Spool {
    file: BufWriter<File>,
    rows: Writer<Vec<u8>>,
    length: u64,
}

impl Spool {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            file: BufWriter::with_capacity(1 << 18, tempfile::tempfile()?),
            rows: writer(Vec::new()),
            length: 0,
        })
    }

    fn row(&mut self, cells: &[&str]) -> anyhow::Result<()> {
        row(&mut self.rows, cells)?;
        self.rows.flush()?;
        let rows = std::mem::replace(&mut self.rows, writer(Vec::new()));
        let mut bytes = rows.into_inner().map_err(|error| error.into_error())?;
        self.file.write_all(&bytes)?;
        self.length += bytes.len() as u64;
        bytes.clear();
        self.rows = writer(bytes);
        Ok(())
    }

    fn reader(&mut self, buffer: usize) -> anyhow::Result<BufReader<File>> {
        self.file.flush()?;
        let mut file = self.file.get_ref().try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(BufReader::with_capacity(buffer, file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, exchange: &str, at: &str) -> Vec<u8> {
        format!(
            r#"{{"v":1,"kind":"{kind}","chain":"c","seq":1,"prev":"","at":"{at}","exchange":"{exchange}",
               "actor":{{"issuer":"i","subject":"ana","roles":["a","b"]}},"token":{{"exp":1,"alg":"ES256","sha256":"ab"}},
               "operations":[{{"operation":"threads.read","thread":"t"}}],"decision":{{"effect":"allow"}}
               {}}}"#,
            if kind == "outcome" { r#","response":{"status":200,"bytes":1,"duration_us":1,"end":"complete"}"# } else { "" }
        )
        .into_bytes()
    }

    fn tables(lines: &[(&str, &str, &str)]) -> (String, String, u64) {
        let mut tables = Tables::new().unwrap();
        for (position, (kind, exchange, at)) in lines.iter().enumerate() {
            let line = line(kind, exchange, at);
            tables.take(position as u64, &Entry::read(&line).unwrap()).unwrap();
        }
        let count = tables.finish();
        let (mut invocations, mut tokens) = (Vec::new(), Vec::new());
        tables.write_invocations(&mut invocations).unwrap();
        tables.write_tokens(&mut tokens).unwrap();
        (String::from_utf8(invocations).unwrap(), String::from_utf8(tokens).unwrap(), count)
    }

    #[test]
    fn invocations_are_in_order_of_time_and_told_once_each() {
        let (invocations, tokens, count) = tables(&[
            ("admission", "one", "2026-11-22T00:00:03.000000Z"),
            ("admission", "open", "2026-11-22T00:00:01.000000Z"),
            ("outcome", "one", "2026-11-22T00:00:04.000000Z"),
            ("outcome", "two", "2026-11-22T00:00:02.000000Z"),
            ("admission", "two", "2026-11-22T00:00:00.000000Z"),
            ("segment", "one", "2026-11-22T00:00:00.000000Z"),
        ]);
        assert_eq!(count, 3);
        let told: Vec<_> = invocations
            .lines()
            .skip(1)
            .map(|line| {
                let cells: Vec<_> = line.split(',').collect();
                (cells[0][17..19].to_owned(), cells[15].to_owned(), cells[17].to_owned())
            })
            .collect();
        let expected = [("01", "unfinished", "open"), ("02", "complete", "two"), ("04", "complete", "one")];
        assert_eq!(told, expected.map(|(at, end, exchange)| (at.into(), end.into(), exchange.into())));
        assert_eq!(tokens.lines().count(), 6, "the heading and every admission and outcome");
    }
}
