//! What the report counts, record by record.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::Entry;

/// At most so many names of one kind are counted apart; the rest are counted together.
const MOST_NAMES: usize = 10_000;
/// The name under which the rest is counted.
const REST: &str = "(others)";

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// By kind of record.
    pub(super) records: BTreeMap<String, u64>,
    /// By the desk's event.
    pub(super) events: BTreeMap<String, u64>,
    /// By day: allowed and refused.
    pub(super) days: BTreeMap<String, (u64, u64)>,
    /// By operation: allowed and refused.
    pub(super) operations: BTreeMap<String, (u64, u64)>,
    /// Refusals by reason.
    pub(super) reasons: BTreeMap<String, u64>,
    /// Masked values by detector or field rule.
    pub(super) masked: BTreeMap<String, u64>,
    /// Answers by how they ended.
    pub(super) ends: BTreeMap<String, u64>,
    /// Policies in force, by digest.
    pub(super) policies: BTreeSet<String>,
    /// Gateways.
    pub(super) gateways: BTreeSet<String>,
    /// Algorithms of the tokens.
    pub(super) algorithms: BTreeMap<String, u64>,
    /// Invocations by machines.
    pub(super) machines: u64,
    /// Invocations by people.
    pub(super) people: u64,
    /// Invocations by nobody that was known.
    pub(super) nobody: u64,
    /// Invocations with an approval.
    pub(super) approved: u64,
    /// Admissions without an outcome.
    pub(super) unfinished: u64,
    /// The first and the last time.
    pub(super) span: Option<(String, String)>,
}

impl Figures {
    pub(super) fn record(&mut self, entry: &Entry<'_>) {
        count(&mut self.records, &entry.kind);
        if entry.kind == "desk" {
            count(&mut self.events, &entry.event);
        }
        if !entry.policy.is_empty()
            && self.policies.len() < MOST_NAMES
            && !self.policies.contains(entry.policy.as_ref())
        {
            self.policies.insert(entry.policy.clone().into_owned());
        }
        if !entry.gateway.is_empty()
            && self.gateways.len() < MOST_NAMES
            && !self.gateways.contains(entry.gateway.as_ref())
        {
            self.gateways.insert(entry.gateway.clone().into_owned());
        }
        match &mut self.span {
            None => self.span = Some((entry.at.clone().into_owned(), entry.at.clone().into_owned())),
            Some((first, last)) => {
                // RFC 3339 in UTC with as many digits everywhere: text is in order of time.
                if entry.at.as_ref() < first.as_str() {
                    entry.at.as_ref().clone_into(first);
                }
                if entry.at.as_ref() > last.as_str() {
                    entry.at.as_ref().clone_into(last);
                }
            }
        }
    }

    pub(super) fn invocation(&mut self, entry: &Entry<'_>) {
        let allowed = entry.decision.as_ref().is_none_or(|decision| decision.effect == "allow");
        split(&mut self.days, entry.day(), allowed);
        for operation in &entry.operations {
            split(&mut self.operations, &operation.operation, allowed);
        }
        if let Some(decision) = &entry.decision
            && !decision.reason.is_empty()
        {
            count(&mut self.reasons, &decision.reason);
        }
        match entry.actor.as_ref().map(|actor| actor.kind.as_ref()) {
            Some("machine") => self.machines += 1,
            Some(_) => self.people += 1,
            None => self.nobody += 1,
        }
        if let Some(token) = &entry.token {
            count(&mut self.algorithms, &token.alg);
        }
        if entry.approval.is_some() {
            self.approved += 1;
        }
        if let Some(response) = &entry.response {
            count(&mut self.ends, &response.end);
            for (name, times) in &response.masked {
                *slot(&mut self.masked, name) += times;
            }
        }
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    *slot(counts, name) += 1;
}

fn split(counts: &mut BTreeMap<String, (u64, u64)>, name: &str, allowed: bool) {
    let both = slot(counts, name);
    *(if allowed { &mut both.0 } else { &mut both.1 }) += 1;
}

fn slot<'a, T: Default>(counts: &'a mut BTreeMap<String, T>, name: &str) -> &'a mut T {
    let known = counts.contains_key(name);
    let name = if known || counts.len() < MOST_NAMES { name } else { REST };
    if !known && !counts.contains_key(name) {
        counts.insert(name.to_owned(), T::default());
    }
    counts.get_mut(name).expect("it was put there where it was not")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_caller_makes_up_do_not_fill_the_memory() {
        let mut counts = BTreeMap::new();
        for index in 0..MOST_NAMES + 50 {
            count(&mut counts, &format!("name {index}"));
        }
        count(&mut counts, "name 3");
        assert_eq!((counts.len(), counts[REST], counts["name 3"]), (MOST_NAMES + 1, 50, 2));
    }
}
