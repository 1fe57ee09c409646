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
    /// A write was told as not done, and was read.
    ReadThoughNotDone {
        /// The write.
        entry: Entry,
        /// When the read was sent.
        at: Duration,
    },
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
    /// A read did not show what one of the same session before did, though its commit was over.
    WentBack {
        /// What was missing.
        entry: Entry,
        /// When the read was sent.
        at: Duration,
    },
    /// A reader with the token of a write did not see it.
    TokenMissed(Entry),
    /// A write went to a lower timeline when its process had been told of one on a higher, or its session had the token of one.
    LowerTimeline {
        /// The write.
        entry: Entry,
        /// Where it went.
        timeline: u32,
        /// The timeline that was known.
        known: u32,
    },
    /// A write that a failover discarded was read by a process that had written behind it.
    ReadThoughLost {
        /// The write.
        entry: Entry,
        /// When the read was sent.
        at: Duration,
    },
}

impl Violation {
    /// The promise that it breaks, by the name of its check.
    #[must_use]
    pub const fn promise(&self) -> &'static str {
        match self {
            Self::Lost(_)
            | Self::LostBeforeTheFork(_)
            | Self::Twice(_)
            | Self::DoneAfterAll(_)
            | Self::ReadThoughNotDone { .. }
            | Self::ReadThoughLost { .. } => "lost-writes",
            Self::OwnWriteMissing { .. } => "own-write-violations",
            Self::TokenMissed(_) => "token-violations",
            Self::TooOld { .. } | Self::WentBack { .. } => "reads-beyond-lag",
            Self::LowerTimeline { .. } => "lower-timeline-writes",
        }
    }
}

/// The names of all promises.
pub const PROMISES: [&str; 5] =
    ["lost-writes", "own-write-violations", "token-violations", "reads-beyond-lag", "lower-timeline-writes"];

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(entry) => write!(f, "lost: {entry}"),
            Self::LostBeforeTheFork(entry) => write!(f, "lost, and before the fork: {entry}"),
            Self::Twice(entry) => write!(f, "done twice: {entry}"),
            Self::DoneAfterAll(entry) => write!(f, "told as not done, and done: {entry}"),
            Self::ReadThoughNotDone { entry, at } => {
                write!(f, "told as not done, and read at {at:?}: {entry}")
            }
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
    /// Acknowledged writes that a failover discarded, where one may: by name.
    pub discarded: Vec<Entry>,
    /// Rows that a read did not show and one before had, while their commit was under way. A replica shows a commit when it has replayed it,
    /// and the primary when it is done with it, as waiting for a replica: so who goes from one to the other may see it go and come back.
    pub went_back_early: usize,
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
            findings.discarded.push(*entry);
        }
    }
    findings.discarded.sort_unstable();
    check_kept(history, &kept, &mut findings.violations);
    check_timelines(history, &mut findings.violations);
    check_reads(history, &lost, &mut findings.violations);
    check_order(history, &kept, &mut findings);
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

/// What a process knows, it knows by the answers to its own writes; a session by its token, too.
fn check_timelines(history: &History, violations: &mut Vec<Violation>) {
    let processes: BTreeSet<u32> = history.writes.iter().map(|write| write.process).collect();
    for process in processes {
        let mut by_begin: Vec<(&Write, u32)> = history
            .writes
            .iter()
            .filter(|write| write.process == process)
            .filter_map(|write| Some((write, timeline_of(write)?)))
            .collect();
        by_begin.sort_by_key(|(write, _)| write.begun);
        let mut by_end = by_begin.clone();
        by_end.sort_by_key(|(write, _)| write.ended);
        let (mut heard, mut ended) = (0, by_end.iter().peekable());
        for (write, timeline) in by_begin {
            while let Some((_, higher)) = ended.next_if(|(earlier, _)| earlier.ended < write.begun) {
                heard = heard.max(*higher);
            }
            let known = heard.max(write.told);
            if timeline < known {
                violations.push(Violation::LowerTimeline { entry: write.entry, timeline, known });
            }
        }
    }
}

const fn timeline_of(write: &Write) -> Option<u32> {
    match write.fate {
        Fate::Acknowledged { timeline, .. } => Some(timeline),
        Fate::NotDone | Fate::Unknown => None,
    }
}

fn check_reads(history: &History, lost: &HashMap<Entry, &Write>, violations: &mut Vec<Violation>) {
    // By writer and number: when it was acknowledged.
    let mut acknowledged: HashMap<u32, BTreeMap<u32, Duration>> = HashMap::new();
    let mut not_done = HashSet::new();
    // When a process knew of each timeline, by an acknowledged write.
    let mut known: BTreeMap<(u32, u32), Duration> = BTreeMap::new();
    for write in &history.writes {
        match write.fate {
            Fate::Acknowledged { timeline, .. } => {
                acknowledged.entry(write.entry.writer).or_default().insert(write.entry.number, write.ended);
                let since = known.entry((write.process, timeline)).or_insert(write.ended);
                *since = (*since).min(write.ended);
            }
            Fate::NotDone => drop(not_done.insert(write.entry)),
            Fate::Unknown => {}
        }
    }
    let later_since = |process: u32, timeline: u32| {
        known.range((process, timeline + 1)..=(process, u32::MAX)).map(|(_, since)| *since).min()
    };
    for read in &history.reads {
        let at = read.begun;
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
            .find(|number| !read.saw.contains(*number) && !lost.contains_key(&entry(*number)));
        if let Some(number) = missing {
            let entry = entry(number);
            violations.push(match read.asks {
                Asks::OwnWrites => Violation::OwnWriteMissing { entry, at },
                Asks::Within(_) | Asks::NoLess { .. } => Violation::TooOld { entry, at },
            });
        }
        for entry in read.saw.iter().map(entry) {
            if not_done.contains(&entry) {
                violations.push(Violation::ReadThoughNotDone { entry, at });
            }
            let Some(timeline) = lost.get(&entry).and_then(|write| timeline_of(write)) else { continue };
            if later_since(read.process, timeline).is_some_and(|since| since < read.begun) {
                violations.push(Violation::ReadThoughLost { entry, at });
            }
        }
    }
}

/// Whether each client's reads that may not show less than before did not.
fn check_order(history: &History, kept: &HashSet<Entry>, findings: &mut Findings) {
    let acknowledged: HashMap<Entry, Duration> = history
        .writes
        .iter()
        .filter(|write| timeline_of(write).is_some())
        .map(|write| (write.entry, write.ended))
        .collect();
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
        let entry = |number: u32| Entry { writer: read.writer, number };
        let missing = shown.range(read.above + 1..).map(|number| entry(*number));
        for entry in missing.filter(|entry| !read.saw.contains(entry.number) && kept.contains(entry)) {
            if acknowledged.get(&entry).is_some_and(|ended| *ended < read.begun) {
                findings.violations.push(Violation::WentBack { entry, at: read.begun });
                break;
            }
            findings.went_back_early += 1;
        }
        shown.extend(read.saw.iter());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Fork, Numbers, TokenRead};

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const fn entry(number: u32) -> Entry {
        Entry { writer: 1, number }
    }

    fn done(number: u32, timeline: u32, position: u64, ended: u64) -> Write {
        let fate = Fate::Acknowledged { timeline, position: Some(position) };
        Write { process: 0, entry: entry(number), begun: ms(ended - 5), ended: ms(ended), told: 0, fate }
    }

    fn saws(numbers: &[u32]) -> Numbers {
        numbers.iter().copied().collect()
    }

    fn read(begun: u64, asks: Asks, saw: &[u32]) -> Read {
        let saw = saws(saw);
        Read { process: 0, begun: ms(begun), ended: ms(begun + 1), asks, writer: 1, above: 0, saw }
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
        assert_eq!((findings.violations, findings.discarded), (vec![], vec![entry(2)]));
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
        let found = violations(|history| {
            history.writes.push(Write { fate: Fate::NotDone, ..done(4, 1, 190, 21) });
            history.reads[1].saw = saws(&[1, 2, 4]);
        });
        assert_eq!(found, [Violation::ReadThoughNotDone { entry: entry(4), at: ms(25) }]);
        assert_eq!(violations(|history| history.reads[0].saw = saws(&[])), [missing(1, 15)]);
        assert_eq!(violations(|history| history.reads[2].saw = saws(&[1])), [missing(3, 60)]);
        let found = violations(|history| history.reads[3].asks = Asks::Within(ms(9)));
        assert_eq!(found, [Violation::TooOld { entry: entry(3), at: ms(60) }]);
        let found = violations(|history| history.reads[5].saw = saws(&[]));
        assert_eq!(found, [Violation::WentBack { entry: entry(1), at: ms(60) }]);
        let found = violations(|history| history.token_reads[0].saw = false);
        assert_eq!(found, [Violation::TokenMissed(entry(1))]);
        let found = violations(|history| {
            history.writes.push(done(4, 1, 120, 80));
            history.kept.push(entry(4));
        });
        assert_eq!(found, [Violation::LowerTimeline { entry: entry(4), timeline: 1, known: 2 }]);
        for asks in [Asks::OwnWrites, Asks::NoLess { client: 9 }] {
            let found = violations(|history| history.reads.push(read(60, asks, &[1, 2, 3])));
            assert_eq!(found, [Violation::ReadThoughLost { entry: entry(2), at: ms(60) }]);
        }
    }

    #[test]
    fn a_process_knows_what_it_was_told_and_a_session_what_its_token_says() {
        // Of another process, which has heard nothing of the second timeline.
        let change = |told, history: &mut History| {
            history.writes.push(Write { process: 1, told, ..done(4, 1, 120, 80) });
            history.kept.push(entry(4));
        };
        assert_eq!(violations(|history| change(0, history)), []);
        assert_eq!(violations(|history| change(1, history)), []);
        let found = violations(|history| change(2, history));
        assert_eq!(found, [Violation::LowerTimeline { entry: entry(4), timeline: 1, known: 2 }]);
        // Nor does it know that what it reads was discarded.
        let found = violations(|history| {
            history.reads.push(Read { process: 1, ..read(60, Asks::Within(ms(20)), &[1, 2]) });
        });
        assert_eq!(found, []);
        // How old it may be counts for writes of all processes.
        let found = violations(|history| {
            history.reads.push(Read { process: 1, ..read(60, Asks::Within(ms(9)), &[1]) });
        });
        assert_eq!(found, [Violation::TooOld { entry: entry(3), at: ms(60) }]);
    }

    #[test]
    fn a_commit_under_way_may_be_shown_by_a_replica_and_not_yet_by_the_primary() {
        let change = |ended, history: &mut History| {
            history.writes.push(Write { begun: ms(60), ..done(4, 2, 190, ended) });
            history.kept.push(entry(4));
            history.reads.push(read(62, Asks::NoLess { client: 9 }, &[1, 4]));
            history.reads.push(read(64, Asks::NoLess { client: 9 }, &[1]));
        };
        let mut history = failover();
        change(66, &mut history);
        let findings = check(&history, Durability::Asynchronous);
        assert_eq!((findings.violations, findings.went_back_early), (vec![], 1));
        let found = violations(|history| change(63, history));
        assert_eq!(found, [Violation::WentBack { entry: entry(4), at: ms(64) }]);
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
