//! Whether a service in the desk's place is safe to use: the approval contract as questions that an unsafe service
//! answers wrongly.
//!
//! Each check asks with fresh ids and digests, so that none depends on another or on what the service holds. What only a
//! person's decision can show is tried where the service can be told decisions; without that it stays unproven, and the
//! report says so.
//!
//! | file | holds |
//! |---|---|
//! | `service` | speaking to the service, and reading its answers as the gate does |
//! | `decider` | telling the service a person's decision |
//! | `alone` | what the gateway's side shows by itself |
//! | `people` | what takes people who decide |

mod alone;
mod decider;
mod people;
mod service;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

pub use decider::Decider;
pub use service::Service;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// As the contract has it.
    Kept,
    /// As the contract has it, with something that an operator should know.
    Noted(String),
    /// Not as the contract has it; what happened instead.
    Broken(String),
    /// Nobody could try it, and why.
    Unproven(&'static str),
}

/// A check, and what it found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its name.
    pub name: &'static str,
    /// What the contract asks for.
    pub promise: &'static str,
    /// What was found.
    pub finding: Finding,
}

/// Every check, in order.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The checks.
    pub checks: Vec<Checked>,
}

impl Report {
    /// The names of what is broken.
    pub fn broken(&self) -> Vec<&'static str> {
        let broken = self.checks.iter().filter(|check| matches!(check.finding, Finding::Broken(_)));
        broken.map(|check| check.name).collect()
    }

    /// How many checks nobody could try.
    pub fn unproven(&self) -> usize {
        self.checks.iter().filter(|check| matches!(check.finding, Finding::Unproven(_))).count()
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, more) = match &self.finding {
            Finding::Kept => ("kept", None),
            Finding::Noted(note) => ("kept", Some(note.as_str())),
            Finding::Broken(what) => ("BROKEN", Some(what.as_str())),
            Finding::Unproven(why) => ("unproven", Some(*why)),
        };
        write!(f, "{word:<8}  {:<22}  {}", self.name, self.promise)?;
        match more {
            Some(more) => write!(f, "\n{:<8}  {:<22}  -> {more}", "", ""),
            None => Ok(()),
        }
    }
}

/// A check as it is tried.
type Try<'a> = Pin<Box<dyn Future<Output = Result<Option<String>, String>> + Send + 'a>>;

/// A check that is to be tried.
struct Check {
    name: &'static str,
    promise: &'static str,
    /// How many people have to decide in it.
    people: usize,
    /// `Ok` is kept, with a note where there is one; `Err` is what happened instead.
    run: for<'a> fn(&'a Service, &'a Decider) -> Try<'a>,
}

/// The names of all checks, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    alone::CHECKS.iter().chain(people::CHECKS).map(|check| check.name)
}

/// Runs the checks that `only` names, or every one where it names none, against `service`; `on` is told of each as it
/// ends.
pub async fn run(
    service: &Service,
    decider: &Decider,
    only: &[String],
    mut on: impl FnMut(&Checked),
) -> Report {
    let mut report = Report::default();
    let wanted = |check: &&Check| only.is_empty() || only.iter().any(|name| name == check.name);
    for check in alone::CHECKS.iter().chain(people::CHECKS).filter(wanted) {
        let finding = if decider.people() < check.people {
            Finding::Unproven(match check.people {
                1 => "nobody can decide here; name a way with --decide or --approver-token-env",
                _ => "two people have to decide in it; name a second one",
            })
        } else {
            match (check.run)(service, decider).await {
                Ok(None) => Finding::Kept,
                Ok(Some(note)) => Finding::Noted(note),
                Err(what) => Finding::Broken(what),
            }
        };
        let checked = Checked { name: check.name, promise: check.promise, finding };
        on(&checked);
        report.checks.push(checked);
    }
    report
}
