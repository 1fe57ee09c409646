//! Keywords: what they are, and a table that finds them by the hash the lexer made on its way.

use super::{keywords_mysql, keywords_postgres};

/// A keyword that some grammar asks for; every other one is `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Abort,
    Against,
    All,
    Alter,
    Analyse,
    Analyze,
    And,
    Any,
    Array,
    As,
    Atomic,
    Begin,
    Binary,
    Binlog,
    Bit,
    Body,
    By,
    Cache,
    Call,
    Cascade,
    Case,
    Cast,
    Change,
    Char,
    Character,
    Characteristics,
    Charset,
    Check,
    Checkpoint,
    Checksum,
    Clone,
    Close,
    Cluster,
    Collate,
    Column,
    Columns,
    Comment,
    Commit,
    Committed,
    Conflict,
    Consistent,
    Convert,
    Copy,
    Count,
    Create,
    Cross,
    Cube,
    Current,
    Cursor,
    Data,
    Database,
    Deallocate,
    Declare,
    Default,
    Delayed,
    Delete,
    Desc,
    Describe,
    Diagnostics,
    Discard,
    Distinct,
    Div,
    Do,
    Drop,
    Dumpfile,
    Each,
    End,
    Errors,
    Escape,
    Event,
    Except,
    Exclude,
    Execute,
    Exists,
    Explain,
    Extended,
    Extension,
    False,
    Fetch,
    Filter,
    First,
    Flush,
    For,
    Force,
    Format,
    From,
    Full,
    Function,
    Generated,
    Get,
    Global,
    Grant,
    Group,
    Grouping,
    Handler,
    Having,
    Help,
    HighPriority,
    History,
    Hold,
    If,
    Ignore,
    Ilike,
    Immediate,
    Import,
    In,
    Index,
    Inner,
    Insert,
    Install,
    Intersect,
    Interval,
    Into,
    Is,
    Isolation,
    Join,
    Json,
    Key,
    Kill,
    Lastval,
    Lateral,
    Left,
    Level,
    Like,
    Limit,
    Lines,
    Listen,
    Load,
    Local,
    Lock,
    Loop,
    LowPriority,
    Master,
    Match,
    Materialized,
    Merge,
    Mod,
    Mode,
    Move,
    Names,
    National,
    Natural,
    Nchar,
    Next,
    Nextval,
    No,
    Not,
    Notify,
    Null,
    Of,
    Off,
    Offset,
    On,
    One,
    Only,
    Operator,
    Optimize,
    Or,
    Order,
    Ordinality,
    Out,
    Outer,
    Outfile,
    Over,
    Owned,
    Package,
    Partition,
    Partitions,
    Password,
    Persist,
    PersistOnly,
    Phase,
    Prepare,
    Prepared,
    Previous,
    Procedure,
    Profile,
    Profiles,
    Program,
    Purge,
    Read,
    Reassign,
    Recover,
    Recursive,
    Refresh,
    Regexp,
    Reindex,
    Release,
    Rename,
    Repair,
    Repeat,
    Replace,
    Replica,
    Reset,
    Resignal,
    Restart,
    Restrict,
    Resume,
    Returning,
    Returns,
    Revoke,
    Right,
    Rlike,
    Role,
    Rollback,
    Rollup,
    Row,
    Rule,
    Savepoint,
    Schema,
    Second,
    Security,
    Select,
    Sequence,
    Serializable,
    Session,
    Set,
    Sets,
    Share,
    Show,
    Shutdown,
    Signal,
    Similar,
    Skip,
    Slave,
    Snapshot,
    Some,
    Sounds,
    SqlCalcFoundRows,
    Start,
    Statement,
    Status,
    Stdin,
    Stdout,
    Stop,
    Stored,
    StraightJoin,
    Substring,
    Suspend,
    System,
    SystemTime,
    Table,
    Tables,
    Tablesample,
    Temp,
    Temporary,
    Time,
    To,
    Traditional,
    Transaction,
    Treat,
    Tree,
    Trigger,
    True,
    Truncate,
    Uninstall,
    Union,
    Unlisten,
    Unlock,
    Unlogged,
    Update,
    Use,
    User,
    Using,
    Vacuum,
    Value,
    Values,
    Varying,
    Verbose,
    Versioning,
    View,
    Virtual,
    Warnings,
    Where,
    While,
    Window,
    With,
    Within,
    Work,
    Write,
    Xa,
    Xml,
    Zone,
    Other,
}

/// What a keyword is to the server, as far as it matters whether `word (` is a function call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A name like any other, except where the grammar expects the word.
    Unreserved,
    /// Part of a construct of the language: `word (` is never a call of a user's function.
    Construct,
    /// An operator or a function that is spelled as a word.
    Operator,
    /// Never a name.
    Reserved,
}

pub(super) type Row = (&'static str, Keyword, Class);

/// The start value and the step of the hash that the lexer computes while it scans a word.
pub(super) const HASH_START: u32 = 0x811c_9dc5;

/// Adds one byte, already in lower case, to the hash of a word.
pub(super) const fn hash_step(hash: u32, byte: u8) -> u32 {
    (hash ^ byte as u32).wrapping_mul(0x0100_0193)
}

const SLOTS: usize = 2048;
const EMPTY: u16 = u16::MAX;

/// An open-addressed table over keyword rows, built by the compiler.
pub(super) struct KeywordTable {
    rows: &'static [Row],
    slots: [u16; SLOTS],
    longest: usize,
}

impl KeywordTable {
    const fn new(rows: &'static [Row]) -> Self {
        let mut slots = [EMPTY; SLOTS];
        let mut longest = 0;
        let mut row = 0;
        while row < rows.len() {
            let word = rows[row].0.as_bytes();
            if word.len() > longest {
                longest = word.len();
            }
            let mut hash = HASH_START;
            let mut i = 0;
            while i < word.len() {
                hash = hash_step(hash, word[i]);
                i += 1;
            }
            let mut slot = slot_of(hash);
            while slots[slot] != EMPTY {
                slot = (slot + 1) % SLOTS;
            }
            #[expect(clippy::cast_possible_truncation, reason = "a few hundred rows")]
            {
                slots[slot] = row as u16;
            }
            row += 1;
        }
        Self { rows, slots, longest }
    }

    /// The keyword that `word` is in any case, by its hash.
    pub(super) fn find(&self, word: &[u8], hash: u32) -> Option<(Keyword, Class)> {
        if word.len() > self.longest {
            return None;
        }
        let mut slot = slot_of(hash);
        loop {
            let row = self.slots[slot];
            if row == EMPTY {
                return None;
            }
            let (text, keyword, class) = self.rows[usize::from(row)];
            if text.as_bytes().eq_ignore_ascii_case(word) {
                return Some((keyword, class));
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

const fn slot_of(hash: u32) -> usize {
    // The high bits of this hash are mixed better than the low ones.
    ((hash >> 16) ^ hash) as usize % SLOTS
}

pub(super) static POSTGRES: KeywordTable = KeywordTable::new(keywords_postgres::ROWS);
pub(super) static MYSQL: KeywordTable = KeywordTable::new(keywords_mysql::ROWS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_is_found_in_any_case_and_its_rows_are_sorted() {
        for table in [&POSTGRES, &MYSQL] {
            for (word, keyword, class) in table.rows {
                let hash = word.bytes().fold(HASH_START, hash_step);
                assert_eq!(table.find(word.to_uppercase().as_bytes(), hash), Some((*keyword, *class)));
            }
            assert!(table.rows.is_sorted_by(|a, b| a.0 < b.0));
        }
    }
}
