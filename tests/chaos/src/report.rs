//! What came of a run, for people.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::checker::Findings;
use crate::faults::Fault;

/// What came of a run.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "what is printed")]
pub struct Report {
    /// What came of the check.
    pub findings: Findings,
    /// The faults that were inflicted, with the slowest read around each time.
    pub faults: BTreeMap<Fault, Vec<Duration>>,
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Writes that were not done, and were told so.
    pub not_done: usize,
    /// Writes that may have been done.
    pub unknown: usize,
    /// Reads that were answered.
    pub reads: usize,
    /// Reads that were not.
    pub failed_reads: usize,
    /// Reads of other processes' writes, with their tokens, that were answered.
    pub token_reads: usize,
    /// Of those the ones that were not.
    pub failed_token_reads: usize,
    /// The share of reads that ran on replicas.
    pub on_replicas: f64,
    /// From a promotion to the first write that was begun behind it and done.
    pub to_first_write: Vec<Duration>,
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

/// More than these say nothing new.
const MOST: usize = 20;

impl Report {
    /// Whether every promise was kept.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.findings.violations.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fault, slowest) in &self.faults {
            let count = slowest.len();
            writeln!(f, "  {count:>6}  {fault:<40}  slowest read: {}", Spread(slowest))?;
        }
        writeln!(f, "  {:>6}  writes acknowledged", self.acknowledged)?;
        writeln!(f, "  {:>6}  writes told as not done", self.not_done)?;
        writeln!(f, "  {:>6}  writes told as unknown", self.unknown)?;
        writeln!(f, "  {:>6}  acknowledged writes discarded by failovers", self.findings.discarded)?;
        writeln!(f, "  {:>6}  reads, {:.0} % of them on replicas", self.reads, 100.0 * self.on_replicas)?;
        writeln!(f, "  {:>6}  reads that failed", self.failed_reads)?;
        writeln!(f, "  {:>6}  reads with a token in another process", self.token_reads)?;
        writeln!(f, "  {:>6}  of those that failed", self.failed_token_reads)?;
        let first_write = Spread(&self.to_first_write);
        writeln!(f, "  {:>6}  promotions; to the first write: {first_write}", self.to_first_write.len())?;
        writeln!(f, "  {:>6}  promises broken", self.findings.violations.len())?;
        for violation in self.findings.violations.iter().take(MOST) {
            writeln!(f, "          {violation}")?;
        }
        if self.findings.violations.len() > MOST {
            writeln!(f, "          and {} more", self.findings.violations.len() - MOST)?;
        }
        Ok(())
    }
}
