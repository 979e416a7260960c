//! The committed counts, one kernel a line, `NAME<tab>INSTRUCTIONS`, and how new counts stand beside them.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// How much a count may differ before it is said to. Counts differ by less than 1 % from run to run: by where the
/// allocator finds room, and by how standard hash maps are seeded.
const TOLERANCE: f64 = 0.05;

/// Instructions by kernel.
#[derive(Debug, Default)]
pub(crate) struct Table(BTreeMap<String, u64>);

/// How one kernel stands.
#[derive(Debug)]
pub(crate) struct Verdict {
    name: String,
    now: Option<u64>,
    known: Option<u64>,
}

impl Table {
    pub(crate) fn insert(&mut self, name: &str, instructions: u64) {
        self.0.insert(name.to_owned(), instructions);
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut table = Self::default();
        for line in text.lines() {
            let (name, count) = line.split_once('\t').with_context(|| format!("no count in {line:?}"))?;
            table.insert(name, count.parse().with_context(|| format!("not a count in {line:?}"))?);
        }
        Ok(table)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text: String = self.0.iter().map(|(name, count)| format!("{name}\t{count}\n")).collect();
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    pub(crate) fn shown(&self) -> String {
        let mut text = String::new();
        for (name, count) in &self.0 {
            let _ = writeln!(text, "{name:<36}{count:>14}");
        }
        text
    }

    /// Every kernel that either of the two knows.
    pub(crate) fn beside(&self, known: &Self) -> Vec<Verdict> {
        let names = self.0.keys().chain(known.0.keys().filter(|name| !self.0.contains_key(*name)));
        names
            .map(|name| Verdict {
                name: name.clone(),
                now: self.0.get(name).copied(),
                known: known.0.get(name).copied(),
            })
            .collect()
    }
}

impl Verdict {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// It costs more than it may, or only one of the two knows it.
    pub(crate) fn is_dearer(&self) -> bool {
        self.change().is_none_or(|change| change > TOLERANCE)
    }

    /// It costs so much less that the table should say so, or the next loss would pass unseen.
    pub(crate) fn is_cheaper(&self) -> bool {
        self.change().is_some_and(|change| change < -TOLERANCE)
    }

    fn change(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let (now, known) = (self.now? as f64, self.known? as f64);
        Some(now / known - 1.0)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
        write!(formatter, "{:<36}{:>14}{:>14}", self.name, shown(self.now), shown(self.known))?;
        match self.change() {
            Some(change) => write!(formatter, "{:>+8.1} %", change * 100.0),
            None => write!(formatter, "  only one of the two is there"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(counts: &[(&str, u64)]) -> Table {
        let mut table = Table::default();
        counts.iter().for_each(|(name, count)| table.insert(name, *count));
        table
    }

    #[test]
    fn more_than_the_tolerance_is_dearer_and_less_is_not() {
        let known = table(&[("a", 1000), ("b", 1000), ("c", 1000), ("d", 1000)]);
        let now = table(&[("a", 1051), ("b", 1049), ("c", 949), ("d", 951)]);
        let verdicts = now.beside(&known);
        assert_eq!(verdicts.iter().map(Verdict::is_dearer).collect::<Vec<_>>(), [true, false, false, false]);
        assert_eq!(verdicts.iter().map(Verdict::is_cheaper).collect::<Vec<_>>(), [false, false, true, false]);
    }

    #[test]
    fn a_kernel_that_only_one_of_the_two_knows_is_a_fault() {
        let verdicts = table(&[("new", 1)]).beside(&table(&[("old", 1)]));
        assert_eq!(verdicts.len(), 2);
        assert!(verdicts.iter().all(Verdict::is_dearer));
    }
}
