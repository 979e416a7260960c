//! Follows every chain of an export, in whatever order its lines arrived.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, ensure};
use graphwarden_policies::evidence::{VERSION, link_hash, unhex};

use super::entry::Entry;

type Hash = [u8; 32];

/// How many chains with gaps are named one by one.
const NAMED: usize = 5;

/// The chains, each as runs of lines that follow one another.
#[derive(Default)]
pub(super) struct Chains(HashMap<String, BTreeMap<u64, Run>>);

/// Lines without a gap, by the place of the first in the map.
struct Run {
    /// What the first names as the one before it.
    prev: Hash,
    /// The place after the last, and the last one's hash.
    next: u64,
    head: Hash,
}

impl Chains {
    /// Takes the next line, whichever chain it is of.
    pub(super) fn take(&mut self, entry: &Entry<'_>, line: &[u8]) -> anyhow::Result<()> {
        ensure!(entry.v == VERSION, "the record has version {}, this program knows {VERSION}", entry.v);
        let prev = unhex(&entry.prev).context("the record's `prev` is no hash")?;
        let (seq, next) = (entry.seq, entry.seq.checked_add(1).context("the record's place is too large")?);
        ensure!(seq != 0 || prev == [0; 32], "the chain's first record names one before it");
        let hash: Hash = link_hash(line);
        if !self.0.contains_key(entry.chain.as_ref()) {
            self.0.insert(entry.chain.to_string(), BTreeMap::new());
        }
        let Some(runs) = self.0.get_mut(entry.chain.as_ref()) else { return Ok(()) };
        let mut first = seq;
        match runs.range_mut(..=seq).next_back() {
            Some((_, run)) if seq < run.next => anyhow::bail!("the chain has two records at place {seq}"),
            Some((before, run)) if seq == run.next => {
                ensure!(
                    prev == run.head,
                    "the record at place {seq} of its chain does not follow the one before it"
                );
                (run.next, run.head, first) = (next, hash, *before);
            }
            _ => {
                runs.insert(seq, Run { prev, next, head: hash });
            }
        }
        if let Some(after) = runs.remove(&next) {
            ensure!(
                after.prev == hash,
                "the record at place {next} of its chain does not follow the one before it"
            );
            if let Some(run) = runs.get_mut(&first) {
                (run.next, run.head) = (after.next, after.head);
            }
        }
        Ok(())
    }

    /// Says which chains have gaps, and returns how many chains there are.
    pub(super) fn finish(self, open: &mut Vec<String>) -> usize {
        let count = self.0.len();
        let mut broken: Vec<_> = self.0.into_iter().filter(|(_, runs)| runs.len() > 1).collect();
        broken.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, runs) in broken.iter().take(NAMED) {
            let mut runs = runs.iter();
            if let (Some((first, run)), Some((place, _))) = (runs.next(), runs.next()) {
                open.push(format!(
                    "that chain {name} is whole: places {first} to {} follow one another, the next record is at place {place}",
                    run.next - 1
                ));
            }
        }
        if broken.len() > NAMED {
            open.push(format!(
                "that {} more chains are whole: records between theirs are not here",
                broken.len() - NAMED
            ));
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use graphwarden_policies::evidence::{Chain, Kind, Record};

    fn lines(count: usize) -> Vec<Vec<u8>> {
        let mut chain = Chain::new("c1".to_owned());
        let record = Record::new(Kind::Outcome, "x", "gate", 1);
        (0..count).map(|_| chain.seal(&record).unwrap().bytes).collect()
    }

    fn follow(lines: &[Vec<u8>]) -> anyhow::Result<Vec<String>> {
        let mut chains = Chains::default();
        for line in lines {
            chains.take(&Entry::read(line)?, line)?;
        }
        let mut open = Vec::new();
        assert_eq!(chains.finish(&mut open), 1);
        Ok(open)
    }

    #[test]
    fn lines_are_a_chain_in_every_order_they_arrive() {
        let lines = lines(4);
        for mut order in 0..24_usize {
            let mut left = lines.clone();
            let mut shuffled = Vec::new();
            for size in (1..=4).rev() {
                shuffled.push(left.remove(order % size));
                order /= size;
            }
            assert_eq!(follow(&shuffled).unwrap(), Vec::<String>::new(), "order {order}");
        }
    }

    #[test]
    fn gaps_are_told_and_wrong_neighbours_refused() {
        let lines = lines(5);
        let open = follow(&[lines[0].clone(), lines[1].clone(), lines[4].clone()]).unwrap();
        assert!(open[0].contains("places 0 to 1") && open[0].contains("at place 4"), "{open:?}");
        assert!(follow(&[lines[0].clone(), lines[0].clone()]).is_err());
        for changed in 0..5 {
            for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 0, 3, 1]] {
                let mut all = lines.clone();
                all[changed] =
                    String::from_utf8(all[changed].clone()).unwrap().replace("gate", "gaTe").into_bytes();
                let all: Vec<_> = order.iter().map(|index| all[*index].clone()).collect();
                // Nothing follows the last: only the tree notices there.
                assert_eq!(follow(&all).is_err(), changed < 4, "line {changed} in order {order:?}");
            }
        }
    }
}
