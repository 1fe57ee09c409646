//! What came of a run, for people and for the file of figures.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use millpond_benches::figures::Check;
use millpond_benches::spread::Spread;

use crate::checker::{Durability, Findings, PROMISES};
use crate::durations::{Distribution, Target};
use crate::faults::{Fault, Timed};
use crate::history::Entry;

/// What came of a run.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "what is printed")]
pub struct Report {
    /// What commits waited for.
    pub durability: Durability,
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
    /// Reads in transactions, or row by row, that were not answered: they stay where they are.
    pub failed_bound_reads: usize,
    /// Reads of the other process's writes, with their tokens, that were answered.
    pub token_reads: usize,
    /// Of those the ones that were not.
    pub failed_token_reads: usize,
    /// The share of the first process's reads that ran on replicas.
    pub on_replicas: f64,
    /// How many replicas were promoted.
    pub promotions: usize,
    /// From each promotion to the first write that was done on its timeline.
    pub first_writes: Vec<Duration>,
    /// What else was timed.
    pub timed: Timed,
}

/// More than these say nothing new.
const MOST: usize = 20;

const fn target(median: Option<u64>, worst: u64) -> Option<Target> {
    let median = match median {
        Some(median) => Some(Duration::from_millis(median)),
        None => None,
    };
    Some(Target { median, worst: Duration::from_millis(worst) })
}

impl Report {
    /// Whether every promise was kept.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.findings.violations.is_empty()
    }

    /// What was timed.
    #[must_use]
    pub fn distributions(&self) -> [Distribution; 4] {
        let Timed { killed, frozen, last_sends, .. } = &self.timed;
        let of = |metric, name, target, values: &Vec<Duration>| Distribution {
            metric,
            name,
            target,
            values: values.clone(),
        };
        [
            self.first_write(),
            of(
                "kill-to-read",
                "from a replica's kill to another's answer to a read in flight",
                target(None, 100),
                &killed.after,
            ),
            of(
                "freeze-to-avoid",
                "from a node's freeze to the last statement sent there",
                target(None, 1000),
                last_sends,
            ),
            of(
                "freeze-to-read",
                "from a node's freeze to another's answer to a read in flight",
                None,
                &frozen.after,
            ),
        ]
    }

    /// Where commits wait for a replica, the first one waits until one has found its way to the new primary, which is nobody's business here.
    fn first_write(&self) -> Distribution {
        let (name, target) = match self.durability {
            Durability::Asynchronous => {
                ("from the end of a promotion to the first write", target(Some(200), 1000))
            }
            Durability::Synchronous => {
                ("from the end of a promotion to the first write, which waits until a replica follows", None)
            }
        };
        Distribution { metric: "promotion-to-write", name, target, values: self.first_writes.clone() }
    }

    /// What should hold, for the file: the promises, and the durations that were aimed at.
    pub fn checks(&self, scenario: &str) -> Vec<Check> {
        let promise = |promise: &'static str| {
            let broken = self.findings.violations.iter().filter(|violation| violation.promise() == promise);
            let count = broken.count();
            Check {
                name: format!("{scenario}/{promise}"),
                system: "millpond".to_owned(),
                holds: count == 0,
                figure: format!("{count} in {} writes, {} reads", self.acknowledged, self.reads),
            }
        };
        let promises = PROMISES.map(promise);
        let distributions = self.distributions();
        let durations = distributions.iter().filter_map(|distribution| distribution.check(scenario));
        promises.into_iter().chain(durations).collect()
    }

    fn counts(&self) -> [(usize, String); 11] {
        let rescued = &self.timed;
        [
            (self.acknowledged, "writes acknowledged".to_owned()),
            (self.not_done, "writes told as not done".to_owned()),
            (self.unknown, "writes told as unknown".to_owned()),
            (self.reads, format!("reads, {:.0} % of them on replicas", 100.0 * self.on_replicas)),
            (self.failed_reads, "reads that failed".to_owned()),
            (self.failed_bound_reads, "reads in transactions or row by row that failed".to_owned()),
            (
                self.findings.went_back_early,
                "rows of commits under way that a replica had shown and the primary did not yet".to_owned(),
            ),
            (self.token_reads, "reads with a token of the other process".to_owned()),
            (self.failed_token_reads, "of those that failed".to_owned()),
            (rescued.killed.unanswered, "reads in flight on a killed replica without an answer".to_owned()),
            (rescued.frozen.unanswered, "reads in flight on a frozen node without an answer".to_owned()),
        ]
    }
}

/// Their names, sorted as they are, those that follow each other as one.
fn runs(entries: &[Entry]) -> Vec<String> {
    let follows = |one: &Entry, next: &Entry| one.writer == next.writer && one.number + 1 == next.number;
    let run = |run: &[Entry]| match run {
        [first, .., last] => format!("{first} to {last}"),
        run => run.iter().map(ToString::to_string).collect(),
    };
    entries.chunk_by(follows).map(run).collect()
}

/// The first of a list, and how many more there are.
struct First<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for First<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in self.0.iter().take(MOST) {
            writeln!(f, "          {item}")?;
        }
        match self.0.len().checked_sub(MOST) {
            None | Some(0) => Ok(()),
            Some(more) => writeln!(f, "          and {more} more"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fault, slowest) in &self.faults {
            let slowest: Vec<f64> = slowest.iter().map(|read| read.as_secs_f64() * 1e3).collect();
            write!(f, "  {:>6}  {fault:<40}  slowest read: ", slowest.len())?;
            match Spread::of(slowest) {
                Some(Spread { median, max, .. }) => {
                    writeln!(f, "median {median:.0} ms, worst {max:.0} ms")?;
                }
                None => writeln!(f, "none")?,
            }
        }
        for (count, what) in self.counts() {
            writeln!(f, "  {count:>6}  {what}")?;
        }
        for distribution in self.distributions() {
            writeln!(f, "  {}\n          {distribution}", distribution.name)?;
            if let Some(target) = distribution.target {
                let verdict = match distribution.holds() {
                    Some(true) => "holds",
                    Some(false) => "MISSED",
                    None => "not measured",
                };
                writeln!(f, "          aimed at: {target}: {verdict}")?;
            }
        }
        if self.first_writes.len() < self.promotions {
            let without = self.promotions - self.first_writes.len();
            writeln!(f, "  {without:>6}  promotions without a write before the next")?;
        }
        let discarded = &self.findings.discarded;
        writeln!(f, "  {:>6}  acknowledged writes discarded by failovers", discarded.len())?;
        write!(f, "{}", First(&runs(discarded)))?;
        writeln!(f, "  {:>6}  promises broken", self.findings.violations.len())?;
        write!(f, "{}", First(&self.findings.violations))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_discarded_is_named() {
        let entries = [(1, 3), (1, 4), (1, 5), (2, 6), (3, 1)];
        let entries = entries.map(|(writer, number)| Entry { writer, number });
        assert_eq!(runs(&entries), ["1/3 to 1/5", "2/6", "3/1"]);
    }
}
