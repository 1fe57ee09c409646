//! What was sent, what was answered, and what was kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A row, as its writer knows it: each writer numbers its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a row has a writer and a number")]
pub struct Entry {
    /// Who wrote it.
    pub writer: u32,
    /// The how manieth of that writer's.
    pub number: u32,
}

/// One row written. Times are since the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "traffic makes it, tests too")]
pub struct Write {
    /// Where its writer is.
    pub process: u32,
    /// The row.
    pub entry: Entry,
    /// When it was sent.
    pub begun: Duration,
    /// When it was answered, or given up.
    pub ended: Duration,
    /// The timeline of the token that its session was given before; 0 without one.
    pub told: u32,
    /// What was told of it.
    pub fate: Fate,
}

/// What was told of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_enums, reason = "the three answers there are")]
pub enum Fate {
    /// It was done.
    Acknowledged {
        /// On this timeline.
        timeline: u32,
        /// At or before this place in the log, in bytes.
        position: Option<u64>,
    },
    /// It was not done.
    NotDone,
    /// It may have been done.
    Unknown,
}

/// The rows of one writer read, from one number on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "traffic makes it, tests too")]
pub struct Read {
    /// Where the reader is.
    pub process: u32,
    /// When it was sent.
    pub begun: Duration,
    /// When it was answered.
    pub ended: Duration,
    /// What it had to show.
    pub asks: Asks,
    /// Whose rows.
    pub writer: u32,
    /// Only those above this number.
    pub above: u32,
    /// The numbers that it gave.
    pub saw: Numbers,
}

/// What a read has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_enums, reason = "the ways to ask that are tried")]
pub enum Asks {
    /// All that was acknowledged before it was sent: the process's own writes, or the session's.
    OwnWrites,
    /// All that was acknowledged so long before it was sent.
    Within(Duration),
    /// All that an earlier read of this client's asked the same way has shown.
    NoLess {
        /// The client, by its writer.
        client: u32,
    },
}

/// A set of numbers, kept as the runs that it has: rows are written one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers(Vec<(u32, u32)>);

impl Numbers {
    /// Whether it has one.
    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        let behind = self.0.partition_point(|(first, _)| *first <= number);
        behind.checked_sub(1).is_some_and(|at| number <= self.0[at].1)
    }

    /// All of them, the lowest first.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }
}

impl FromIterator<u32> for Numbers {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut sorted: Vec<u32> = numbers.into_iter().collect();
        sorted.sort_unstable();
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for number in sorted {
            match runs.last_mut() {
                Some((_, last)) if number <= last.saturating_add(1) => *last = number,
                _ => runs.push((number, number)),
            }
        }
        Self(runs)
    }
}

/// A row looked for in another process, with its writer's token.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "traffic makes it, tests too")]
pub struct TokenRead {
    /// The row.
    pub entry: Entry,
    /// Whether it was there.
    pub saw: bool,
}

/// Where one timeline ended and the next began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "a line of a history file")]
pub struct Fork {
    /// The timeline that ended.
    pub timeline: u32,
    /// Where, in bytes of the log.
    pub at: u64,
}

/// A run.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "traffic makes it, tests too")]
pub struct History {
    /// In no order.
    pub writes: Vec<Write>,
    /// In no order.
    pub reads: Vec<Read>,
    /// In no order.
    pub token_reads: Vec<TokenRead>,
    /// The rows in the end, each as often as it was there.
    pub kept: Vec<Entry>,
    /// The forks on the way to the last timeline.
    pub forks: Vec<Fork>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_that_were_put_in() {
        let put = [3, 1, 2, 7, 9, 8, 20, 9];
        let numbers: Numbers = put.into_iter().collect();
        assert_eq!(numbers.iter().collect::<Vec<_>>(), [1, 2, 3, 7, 8, 9, 20]);
        for number in 0..30 {
            assert_eq!(numbers.contains(number), put.contains(&number), "{number}");
        }
    }
}
