//! What was sent, what was answered, and what was kept.

use std::time::Duration;

/// A row, as its writer knows it: each writer numbers its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a row has a writer and a number")]
pub struct Entry {
    /// Who wrote it.
    pub writer: u32,
    /// The how manieth of that writer's.
    pub number: u32,
}

/// One row written. Times are since the start.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "traffic makes it, tests too")]
pub struct Write {
    /// The row.
    pub entry: Entry,
    /// When it was sent.
    pub begun: Duration,
    /// When it was answered, or given up.
    pub ended: Duration,
    /// What was told of it.
    pub fate: Fate,
}

/// What was told of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "traffic makes it, tests too")]
pub struct Read {
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
    pub saw: Vec<u32>,
}

/// What a read has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A row looked for in another process, with its writer's token.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "traffic makes it, tests too")]
pub struct TokenRead {
    /// The row.
    pub entry: Entry,
    /// Whether it was there.
    pub saw: bool,
}

/// Where one timeline ended and the next began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a line of a history file")]
pub struct Fork {
    /// The timeline that ended.
    pub timeline: u32,
    /// Where, in bytes of the log.
    pub at: u64,
}

/// A run.
#[derive(Clone, Debug, Default)]
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
