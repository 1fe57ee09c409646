//! What came of a run, for people.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::checker::{Invariant, Violation};
use crate::settings::Profile;

/// What is counted of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Quantity {
    /// Writes that were begun.
    WritesBegun,
    /// Writes that were acknowledged.
    WritesDone,
    /// Writes that were not done, or may have been.
    WritesFailed,
    /// Reads that were begun.
    ReadsBegun,
    /// Reads that were answered.
    ReadsDone,
    /// Reads that were not.
    ReadsFailed,
    /// Of those answered the ones that ran on a replica.
    OnReplicas,
    /// Of those answered the ones that ran on a primary.
    OnThePrimary,
}

/// What came of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The seed that gives the same again.
    pub seed: u64,
    /// What commits waited for.
    pub profile: Profile,
    /// How much virtual time went by.
    pub length: Duration,
    /// What was counted of calls.
    pub quantities: BTreeMap<Quantity, u64>,
    /// The faults that chance brought.
    pub faults: BTreeMap<&'static str, u64>,
    /// What else is worth a number.
    pub counts: BTreeMap<&'static str, u64>,
    /// What was decided, how often.
    pub reasons: BTreeMap<&'static str, u64>,
    /// From each promotion to the first write that was done behind it.
    pub to_first_write: Vec<Duration>,
    /// How often each invariant did not hold.
    pub broken: BTreeMap<Invariant, u64>,
    /// The first violations of each.
    pub violations: Vec<Violation>,
    /// A number that is another when anything in the history is.
    pub history: u64,
}

impl Report {
    /// Whether every invariant held.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.broken.is_empty()
    }

    /// What was counted of calls.
    #[must_use]
    pub fn quantity(&self, quantity: Quantity) -> u64 {
        self.quantities.get(&quantity).copied().unwrap_or_default()
    }

    /// The share of the answered reads that ran on replicas.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of reads are far below 2^52")]
    pub fn share_on_replicas(&self) -> f64 {
        self.quantity(Quantity::OnReplicas) as f64 / self.quantity(Quantity::ReadsDone).max(1) as f64
    }

    /// Adds what came of another run. The seed stays the first one's.
    pub fn add(&mut self, other: &Self) {
        self.length += other.length;
        other.quantities.iter().for_each(|(of, count)| *self.quantities.entry(*of).or_default() += count);
        other.broken.iter().for_each(|(of, count)| *self.broken.entry(*of).or_default() += count);
        for (mine, theirs) in [
            (&mut self.faults, &other.faults),
            (&mut self.counts, &other.counts),
            (&mut self.reasons, &other.reasons),
        ] {
            theirs.iter().for_each(|(of, count)| *mine.entry(of).or_default() += count);
        }
        self.to_first_write.extend(&other.to_first_write);
        self.violations.extend(other.violations.iter().cloned());
        self.history ^= other.history.rotate_left(1);
    }
}

/// The middle and the worst.
struct Spread<'a>(&'a [Duration]);

impl fmt::Display for Spread<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.to_vec();
        sorted.sort();
        match (sorted.get(sorted.len() / 2), sorted.last()) {
            (Some(median), Some(worst)) => {
                write!(f, "median {} ms, worst {} ms", median.as_millis(), worst.as_millis())
            }
            _ => f.write_str("none"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fault, count) in &self.faults {
            writeln!(f, "  {count:>9}  {fault}")?;
        }
        let of = |quantity| self.quantity(quantity);
        writeln!(f, "  {:>9}  writes acknowledged", of(Quantity::WritesDone))?;
        writeln!(f, "  {:>9}  writes not done, or perhaps", of(Quantity::WritesFailed))?;
        let share = 100.0 * self.share_on_replicas();
        writeln!(f, "  {:>9}  reads answered, {share:.0} % of them on replicas", of(Quantity::ReadsDone))?;
        writeln!(f, "  {:>9}  reads that failed", of(Quantity::ReadsFailed))?;
        for (what, count) in &self.counts {
            writeln!(f, "  {count:>9}  {what}")?;
        }
        let first_write = Spread(&self.to_first_write);
        writeln!(
            f,
            "  {:>9}  promotions written behind; to the first write: {first_write}",
            self.to_first_write.len()
        )?;
        writeln!(f, "  {:>9}  invariants broken", self.broken.values().sum::<u64>())?;
        for (invariant, count) in &self.broken {
            writeln!(f, "  {count:>9}  times: {invariant}")?;
        }
        for violation in &self.violations {
            writeln!(f, "             {violation}")?;
        }
        Ok(())
    }
}
