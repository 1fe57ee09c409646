//! Holds what users were told against what the cluster kept.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use crate::history::{Asks, Entry, Fate, History, Read, Write};

/// What the servers promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a commit waits for a replica or it does not")]
pub enum Durability {
    /// A commit waits until a replica has it, and the most advanced one is promoted.
    Synchronous,
    /// A commit waits for nobody.
    Asynchronous,
}

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A write was acknowledged and is gone, though no failover may lose one.
    Lost(Entry),
    /// A write was acknowledged and is gone, and no failover explains it.
    LostBeforeTheFork(Entry),
    /// A write is there twice.
    Twice(Entry),
    /// A write was told as not done, and is there.
    DoneAfterAll(Entry),
    /// A read did not show a write of its own process or session.
    OwnWriteMissing {
        /// The write.
        entry: Entry,
        /// When the read was sent.
        at: Duration,
    },
    /// A read was older than it may be.
    TooOld {
        /// A write that it should have shown.
        entry: Entry,
        /// When the read was sent.
        at: Duration,
    },
    /// A read did not show what one of the same session before did.
    WentBack {
        /// What was missing.
        entry: Entry,
        /// When the read was sent.
        at: Duration,
    },
    /// A reader with the token of a write did not see it.
    TokenMissed(Entry),
    /// A write went to a lower timeline when one on a higher had been acknowledged.
    LowerTimeline {
        /// The write.
        entry: Entry,
        /// Where it went.
        timeline: u32,
        /// The timeline that was known.
        known: u32,
    },
    /// A write that a failover discarded was read behind it.
    ReadThoughLost {
        /// The write.
        entry: Entry,
        /// When the read was sent.
        at: Duration,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(entry) => write!(f, "lost: {entry}"),
            Self::LostBeforeTheFork(entry) => write!(f, "lost, and before the fork: {entry}"),
            Self::Twice(entry) => write!(f, "done twice: {entry}"),
            Self::DoneAfterAll(entry) => write!(f, "told as not done, and done: {entry}"),
            Self::OwnWriteMissing { entry, at } => write!(f, "own write {entry} not read at {at:?}"),
            Self::TooOld { entry, at } => write!(f, "read too old at {at:?}: {entry} was missing"),
            Self::WentBack { entry, at } => write!(f, "{entry} was read, and not again at {at:?}"),
            Self::TokenMissed(entry) => write!(f, "not read with its token: {entry}"),
            Self::LowerTimeline { entry, timeline, known } => {
                write!(f, "{entry} written to timeline {timeline} when {known} was known")
            }
            Self::ReadThoughLost { entry, at } => {
                write!(f, "lost, and read behind the failover at {at:?}: {entry}")
            }
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.writer, self.number)
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Findings {
    /// What was broken.
    pub violations: Vec<Violation>,
    /// Acknowledged writes that a failover discarded, where one may.
    pub discarded: usize,
}

/// Checks a run.
#[must_use]
pub fn check(history: &History, durability: Durability) -> Findings {
    let mut findings = Findings::default();
    let kept: HashSet<Entry> = history.kept.iter().copied().collect();
    let lost: HashMap<Entry, &Write> = history
        .writes
        .iter()
        .filter(|write| matches!(write.fate, Fate::Acknowledged { .. }) && !kept.contains(&write.entry))
        .map(|write| (write.entry, write))
        .collect();
    for (entry, write) in &lost {
        if durability == Durability::Synchronous {
            findings.violations.push(Violation::Lost(*entry));
        } else if is_before_its_fork(write, history) {
            findings.violations.push(Violation::LostBeforeTheFork(*entry));
        } else {
            findings.discarded += 1;
        }
    }
    check_kept(history, &kept, &mut findings.violations);
    check_timelines(history, &mut findings.violations);
    check_reads(history, &lost, &mut findings.violations);
    check_order(history, &kept, &mut findings.violations);
    let missed = history.token_reads.iter().filter(|read| !read.saw && !lost.contains_key(&read.entry));
    findings.violations.extend(missed.map(|read| Violation::TokenMissed(read.entry)));
    findings
}

/// Whether the timeline of a write was kept up to where it lies.
fn is_before_its_fork(write: &Write, history: &History) -> bool {
    let Fate::Acknowledged { timeline, position } = write.fate else { return false };
    let fork = history.forks.iter().find(|fork| fork.timeline == timeline);
    match (fork, position) {
        // On the last timeline nothing is discarded; where it lies is not known.
        (None, _) => true,
        (Some(_), None) => false,
        (Some(fork), Some(position)) => position <= fork.at,
    }
}

fn check_kept(history: &History, kept: &HashSet<Entry>, violations: &mut Vec<Violation>) {
    let mut seen = HashSet::new();
    violations
        .extend(history.kept.iter().filter(|entry| !seen.insert(**entry)).copied().map(Violation::Twice));
    let done =
        history.writes.iter().filter(|write| write.fate == Fate::NotDone && kept.contains(&write.entry));
    violations.extend(done.map(|write| Violation::DoneAfterAll(write.entry)));
}

fn check_timelines(history: &History, violations: &mut Vec<Violation>) {
    let acknowledged = |write: &Write| match write.fate {
        Fate::Acknowledged { timeline, .. } => Some((write.begun, write.ended, timeline, write.entry)),
        Fate::NotDone | Fate::Unknown => None,
    };
    let mut by_begin: Vec<_> = history.writes.iter().filter_map(acknowledged).collect();
    by_begin.sort_by_key(|(begun, ..)| *begun);
    let mut by_end = by_begin.clone();
    by_end.sort_by_key(|(_, ended, ..)| *ended);
    let (mut known, mut ended) = (0, by_end.iter().peekable());
    for (begun, _, timeline, entry) in by_begin {
        while let Some((.., higher, _)) = ended.next_if(|(_, ended, ..)| *ended < begun) {
            known = known.max(*higher);
        }
        if timeline < known {
            violations.push(Violation::LowerTimeline { entry, timeline, known });
        }
    }
}

fn check_reads(history: &History, lost: &HashMap<Entry, &Write>, violations: &mut Vec<Violation>) {
    // By writer and number: when it was acknowledged.
    let mut acknowledged: HashMap<u32, BTreeMap<u32, Duration>> = HashMap::new();
    for write in &history.writes {
        if matches!(write.fate, Fate::Acknowledged { .. }) {
            acknowledged.entry(write.entry.writer).or_default().insert(write.entry.number, write.ended);
        }
    }
    // When each timeline was known from, by an acknowledged write.
    let mut known: BTreeMap<u32, Duration> = BTreeMap::new();
    for write in &history.writes {
        if let Fate::Acknowledged { timeline, .. } = write.fate {
            let since = known.entry(timeline).or_insert(write.ended);
            *since = (*since).min(write.ended);
        }
    }
    let later_since = |timeline: u32| known.range(timeline + 1..).map(|(_, since)| *since).min();
    for read in &history.reads {
        let saw: HashSet<u32> = read.saw.iter().copied().collect();
        let until = match read.asks {
            Asks::OwnWrites => Some(read.begun),
            Asks::Within(limit) => read.begun.checked_sub(limit),
            Asks::NoLess { .. } => None,
        };
        let entry = |number| Entry { writer: read.writer, number };
        let due = acknowledged.get(&read.writer).into_iter().flat_map(|of| of.range(read.above + 1..));
        let missing = due
            .filter(|(_, ended)| until.is_some_and(|until| **ended < until))
            .map(|(number, _)| *number)
            .find(|number| !saw.contains(number) && !lost.contains_key(&entry(*number)));
        if let Some(number) = missing {
            let (entry, at) = (entry(number), read.begun);
            violations.push(match read.asks {
                Asks::OwnWrites => Violation::OwnWriteMissing { entry, at },
                Asks::Within(_) | Asks::NoLess { .. } => Violation::TooOld { entry, at },
            });
        }
        for number in &read.saw {
            let Some(write) = lost.get(&entry(*number)) else { continue };
            let Fate::Acknowledged { timeline, .. } = write.fate else { continue };
            if later_since(timeline).is_some_and(|since| since < read.begun) {
                violations.push(Violation::ReadThoughLost { entry: write.entry, at: read.begun });
            }
        }
    }
}

/// Whether each client's reads that may not show less than before did not.
fn check_order(history: &History, kept: &HashSet<Entry>, violations: &mut Vec<Violation>) {
    let client = |read: &&Read| match read.asks {
        Asks::NoLess { client } => Some(client),
        Asks::OwnWrites | Asks::Within(_) => None,
    };
    let mut reads: Vec<&Read> = history.reads.iter().filter(|read| client(read).is_some()).collect();
    reads.sort_by_key(|read| read.begun);
    // By client and writer.
    let mut shown: HashMap<_, BTreeSet<u32>> = HashMap::new();
    for read in reads {
        let shown = shown.entry((client(&read), read.writer)).or_default();
        let saw: BTreeSet<u32> = read.saw.iter().copied().collect();
        let entry = |number: u32| Entry { writer: read.writer, number };
        let missing = shown
            .range(read.above + 1..)
            .find(|number| !saw.contains(number) && kept.contains(&entry(**number)));
        violations
            .extend(missing.map(|number| Violation::WentBack { entry: entry(*number), at: read.begun }));
        shown.extend(saw);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Fork, TokenRead};

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const fn entry(number: u32) -> Entry {
        Entry { writer: 1, number }
    }

    fn done(number: u32, timeline: u32, position: u64, ended: u64) -> Write {
        let fate = Fate::Acknowledged { timeline, position: Some(position) };
        Write { entry: entry(number), begun: ms(ended - 5), ended: ms(ended), fate }
    }

    fn read(begun: u64, asks: Asks, saw: &[u32]) -> Read {
        Read { begun: ms(begun), ended: ms(begun + 1), asks, writer: 1, above: 0, saw: saw.into() }
    }

    /// Three writes, a failover that discards the second, and the third on the new timeline.
    fn failover() -> History {
        History {
            writes: vec![done(1, 1, 100, 10), done(2, 1, 200, 20), done(3, 2, 180, 50)],
            reads: vec![
                read(15, Asks::OwnWrites, &[1]),
                read(25, Asks::OwnWrites, &[1, 2]),
                read(60, Asks::OwnWrites, &[1, 3]),
                read(60, Asks::Within(ms(20)), &[1]),
                read(25, Asks::NoLess { client: 7 }, &[1, 2]),
                read(60, Asks::NoLess { client: 7 }, &[1]),
                read(20, Asks::NoLess { client: 8 }, &[1]),
            ],
            token_reads: vec![
                TokenRead { entry: entry(1), saw: true },
                TokenRead { entry: entry(2), saw: false },
            ],
            kept: vec![entry(1), entry(3)],
            forks: vec![Fork { timeline: 1, at: 150 }],
        }
    }

    fn violations(change: impl FnOnce(&mut History)) -> Vec<Violation> {
        let mut history = failover();
        change(&mut history);
        check(&history, Durability::Asynchronous).violations
    }

    #[test]
    fn what_a_failover_may_discard_is_counted_and_no_violation() {
        let findings = check(&failover(), Durability::Asynchronous);
        assert_eq!((findings.violations, findings.discarded), (vec![], 1));
    }

    #[test]
    fn where_no_failover_may_lose_a_write_it_is_one() {
        assert_eq!(check(&failover(), Durability::Synchronous).violations, [Violation::Lost(entry(2))]);
    }

    #[test]
    fn every_planted_fault_is_found() {
        let missing = |number, at| Violation::OwnWriteMissing { entry: entry(number), at: ms(at) };
        let found = violations(|history| history.forks[0].at = 200);
        assert_eq!(found, [Violation::LostBeforeTheFork(entry(2))]);
        let found = violations(|history| history.kept.retain(|kept| *kept != entry(3)));
        assert_eq!(found, [Violation::LostBeforeTheFork(entry(3))]);
        let found = violations(|history| history.kept.push(entry(1)));
        assert_eq!(found, [Violation::Twice(entry(1))]);
        let found = violations(|history| {
            history.writes.push(Write { fate: Fate::NotDone, ..done(4, 2, 190, 55) });
            history.kept.push(entry(4));
        });
        assert_eq!(found, [Violation::DoneAfterAll(entry(4))]);
        assert_eq!(violations(|history| history.reads[0].saw.clear()), [missing(1, 15)]);
        assert_eq!(violations(|history| history.reads[2].saw = vec![1]), [missing(3, 60)]);
        let found = violations(|history| history.reads[3].asks = Asks::Within(ms(9)));
        assert_eq!(found, [Violation::TooOld { entry: entry(3), at: ms(60) }]);
        let found = violations(|history| history.reads[5].saw.clear());
        assert_eq!(found, [Violation::WentBack { entry: entry(1), at: ms(60) }]);
        let found = violations(|history| history.token_reads[0].saw = false);
        assert_eq!(found, [Violation::TokenMissed(entry(1))]);
        let found = violations(|history| {
            history.writes.push(done(4, 1, 120, 80));
            history.kept.push(entry(4));
        });
        assert_eq!(found, [Violation::LowerTimeline { entry: entry(4), timeline: 1, known: 2 }]);
        let found = violations(|history| history.reads[2].saw = vec![1, 2, 3]);
        assert_eq!(found, [Violation::ReadThoughLost { entry: entry(2), at: ms(60) }]);
    }

    #[test]
    fn what_is_not_known_breaks_nothing() {
        for is_kept in [false, true] {
            let found = violations(|history| {
                history.writes.push(Write { fate: Fate::Unknown, ..done(4, 2, 190, 55) });
                history.kept.extend(is_kept.then_some(entry(4)));
            });
            assert_eq!(found, []);
        }
        // Still on its way when the read was sent.
        assert_eq!(violations(|history| history.reads.push(read(9, Asks::OwnWrites, &[]))), []);
        // Nothing is that old.
        assert_eq!(violations(|history| history.reads.push(read(60, Asks::Within(ms(100)), &[]))), []);
    }
}
