//! The timetable of what goes wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use graphwarden_stand::Site;
use tokio::time::Instant;

use crate::parts::{Parts, hand_out};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The policy changes by ECDS.
    Policy,
    /// The issuer retires its key and signs with another.
    Keys,
    /// Every answer of the upstream breaks off, for a while.
    Resets,
    /// The desk answers nobody and keeps its connections, for a while.
    FrozenDesk,
    /// The desk is killed and starts again.
    KilledDesk,
}

impl Fault {
    /// What the summary calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy changed by ECDS",
            Self::Keys => "signing key rotated",
            Self::Resets => "upstream resets every answer for a while",
            Self::FrozenDesk => "desk frozen for a while",
            Self::KilledDesk => "desk killed and started again",
        }
    }
}

/// When each of them happens.
#[derive(Clone, Debug)]
pub(crate) struct Timetable {
    entries: Vec<(Duration, Fault)>,
    /// How long what lasts for a while does.
    while_long: Duration,
}

impl Timetable {
    /// Each fault once in every `cycle`; but the desk is not killed from `spared.0` until `spared.1`.
    pub(crate) fn new(total: Duration, cycle: Duration, spared: (Duration, Duration)) -> Self {
        let mut entries = Vec::new();
        let mut begin = Duration::ZERO;
        while begin < total {
            for (place, fault) in [
                (0.10, Fault::Policy),
                (0.25, Fault::Keys),
                (0.40, Fault::Resets),
                (0.55, Fault::FrozenDesk),
                (0.75, Fault::KilledDesk),
            ] {
                let at = begin + cycle.mul_f64(place);
                let spares = fault == Fault::KilledDesk && spared.0 <= at && at < spared.1;
                if at + cycle / 8 < total && !spares {
                    entries.push((at, fault));
                }
            }
            begin += cycle;
        }
        Self { entries, while_long: cycle.mul_f64(0.05).min(Duration::from_secs(2)) }
    }

    /// How often each of them happens.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for (_, fault) in &self.entries {
            *counts.entry(fault.name()).or_default() += 1;
        }
        counts
    }

    /// Lets them happen, from `began` on.
    pub(crate) async fn run(self, site: &Site, parts: &Arc<Parts>, began: Instant) -> Result<()> {
        let mut policies = 0;
        for (at, fault) in self.entries {
            tokio::time::sleep_until(began + at).await;
            match fault {
                Fault::Policy => {
                    policies += 1;
                    hand_out(site, &parts.issuer, policies)?;
                }
                Fault::Keys => {
                    parts.issuer.rotate();
                    parts.tokens.refresh(&parts.issuer);
                }
                Fault::Resets => {
                    parts.volume.set_resets(true);
                    tokio::time::sleep(self.while_long).await;
                    parts.volume.set_resets(false);
                }
                Fault::FrozenDesk => {
                    parts.desk.read().await.freeze();
                    tokio::time::sleep(self.while_long).await;
                    parts.desk.read().await.thaw();
                }
                Fault::KilledDesk => {
                    let mut desk = parts.desk.write().await;
                    desk.kill();
                    // What is killed while it writes a large file keeps its port until the kernel is done with it.
                    let mut tries = 0;
                    while let Err(error) = desk.resume().await {
                        tries += 1;
                        if tries == 10 {
                            return Err(error);
                        }
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_has_each_fault_every_minute_and_the_desk_is_not_killed_while_it_is_spared() {
        let minute = Duration::from_secs(60);
        let table = Timetable::new(minute * 60, minute, (minute * 3, minute * 51));
        let counts = table.counts();
        assert_eq!(counts[Fault::Policy.name()], 60);
        assert_eq!(counts[Fault::FrozenDesk.name()], 60);
        assert_eq!(counts[Fault::KilledDesk.name()], 12);
    }
}
