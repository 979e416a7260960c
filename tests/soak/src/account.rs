//! The ledger against what callers and upstreams saw: each request has one outcome, it says what its caller got, and
//! nothing was forwarded without its decision.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::expect_masked;
use graphwarden_stand::Site;
use serde_json::Value;

use crate::callers::{Book, Fate};
use crate::mix::{Kind, number_in};

/// What the ledger says of one request.
#[derive(Clone, Debug, Default)]
struct Entry {
    admissions: u32,
    /// Status, reason, how it ended, whether it was allowed.
    outcomes: Vec<(u64, String, String, bool)>,
}

/// The ledger's lines, by request.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: HashMap<u64, Entry>,
    /// How many lines there are of each kind.
    pub(crate) kinds: BTreeMap<String, u64>,
    /// Lines that held what nobody may see.
    pub(crate) unmasked: Vec<String>,
}

impl Ledger {
    /// Exports all lines and reads them.
    pub(crate) fn read(site: &Site) -> Result<Self> {
        let out = site.folder().join("lines.jsonl");
        export(site, &out)?;
        let mut ledger = Self::default();
        for line in BufReader::new(File::open(&out)?).lines() {
            ledger.take(&line?)?;
        }
        std::fs::remove_file(out)?;
        Ok(ledger)
    }

    fn take(&mut self, line: &str) -> Result<()> {
        self.unmasked
            .extend(expect_masked("a line of the ledger", line).err().map(|error| error.to_string()));
        let line: Value = serde_json::from_str(line).context("a line is no JSON")?;
        let text =
            |pointer: &str| line.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        *self.kinds.entry(text("/kind")).or_default() += 1;
        let Some(number) = number_in(&text("/request/path")) else { return Ok(()) };
        let entry = self.entries.entry(number).or_default();
        match text("/kind").as_str() {
            "admission" => entry.admissions += 1,
            "outcome" => entry.outcomes.push((
                line.pointer("/response/status").and_then(Value::as_u64).unwrap_or_default(),
                text("/decision/reason"),
                text("/response/end"),
                text("/decision/effect") == "allow",
            )),
            _ => {}
        }
        Ok(())
    }

    /// Everything that does not fit together, in words.
    pub(crate) fn compare(&self, book: &Book, came: &HashMap<u64, u32>, charges: &[String]) -> Vec<String> {
        let mut wrong = Vec::new();
        for (number, fate) in &book.fates {
            wrong.extend(self.fits(*number, fate).err().map(|why| format!("request {number}: {why}")));
        }
        for number in self.entries.keys().filter(|number| !book.fates.contains_key(number)) {
            wrong.push(format!("the ledger has request {number}, which nobody sent"));
        }
        for (number, times) in came {
            // Reads are written down when they are done; whatever may change something is, before.
            let needed = u32::from(Kind::of(*number) != Kind::Read);
            let sound = self.entries.get(number).is_some_and(|entry| {
                entry.admissions >= needed && entry.outcomes.iter().any(|(_, _, _, allowed)| *allowed)
            });
            if !sound || *times != 1 {
                wrong.push(format!(
                    "request {number} was forwarded {times} times; as the ledger has it: {sound}"
                ));
            }
        }
        let mut charged = BTreeSet::new();
        for charge in charges {
            // `charged c-1001 1234.00`
            let number = charge.rsplit(' ').next().and_then(|amount| amount.split('.').next()?.parse().ok());
            let admitted = number
                .and_then(|number: u64| self.entries.get(&number))
                .is_some_and(|entry| entry.admissions == 1);
            if !admitted || !charged.insert(number) {
                wrong.push(format!("{charge}: admitted {admitted}, or for the second time"));
            }
        }
        wrong
    }

    fn fits(&self, number: u64, fate: &Fate) -> Result<()> {
        let entry = self.entries.get(&number).with_context(|| format!("{}; no outcome", fate.words()))?;
        let [(status, reason, end, allowed)] = entry.outcomes.as_slice() else {
            anyhow::bail!("{}; {} outcomes", fate.words(), entry.outcomes.len());
        };
        let same = match fate {
            Fate::Answered { status: got, reason: why } => {
                u64::from(*got) == *status && end == "complete" && (why.is_empty() || why == reason)
            }
            Fate::Cut(got) => u64::from(*got) == *status && end == "reset",
            Fate::Left => true,
            Fate::Lost(_) => false,
        };
        ensure!(same, "{}; in the ledger {status} {reason} {end}, allowed {allowed}", fate.words());
        ensure!(entry.admissions <= 1, "{} admissions", entry.admissions);
        Ok(())
    }
}

/// Exports everything with its proof and verifies it with the program that auditors have; what it printed.
pub(crate) fn verify(site: &Site, key: &str) -> Result<String> {
    let zip = site.folder().join("export.zip");
    export(site, &zip)?;
    let output =
        Command::new(site.tools().program()?).arg("verify").arg(&zip).args(["--key", key]).output()?;
    std::fs::remove_file(&zip)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}

fn export(site: &Site, out: &Path) -> Result<()> {
    let mut command = Command::new(site.tools().program()?);
    command.args(["export", "--database"]).arg(site.folder().join("desk.db")).arg("--out").arg(out);
    let output = command.current_dir(site.folder()).output().context("cannot run graphwarden export")?;
    ensure!(output.status.success(), "export: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
