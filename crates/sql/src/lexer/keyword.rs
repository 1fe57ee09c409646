//! Keywords: what they are, and a table that finds them by their first eight bytes.

use super::{Kind, What, keywords_mysql, keywords_postgres};
use crate::functions::{POSTGRES_EFFECTS, Verdict};

/// Declares the keywords, and the list that leads from their numbers back to them.
macro_rules! keywords {
    ($($keyword:ident,)*) => {
        /// A keyword that some grammar asks for; every other one is `Other`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Keyword {
            $($keyword,)*
        }

        const KEYWORDS: [Keyword; 512] = {
            let mut all = [Keyword::Other; 512];
            $(all[Keyword::$keyword as usize] = Keyword::$keyword;)*
            all
        };
    };
}

/// The keyword of that number.
pub(super) fn number(number: u32) -> Keyword {
    KEYWORDS[number as usize % KEYWORDS.len()]
}

keywords! {
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
    Backup,
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
    Chain,
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
    Member,
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
    /// Part of a construct of the language since PostgreSQL 16 or later; before, a name like any other.
    Recent,
    /// Never a name.
    Reserved,
    /// No keyword, and a name that may be one of the server's own: it starts with `pg_`, is that of a function with an
    /// effect, or is longer than any that is known.
    System,
}

pub(super) type Row = (&'static str, Keyword, Class);

const SLOTS: usize = 2048;
const EMPTY: u16 = u16::MAX;
/// No dialect has more keywords and functions with an effect.
const MOST: usize = 768;
/// The longest word that has a key.
pub(super) const LONGEST: usize = 24;

/// An open-addressed table over keyword rows, built by the compiler. Words are found by their head, the first eight bytes
/// as the lexer has them: with bit 5 set, and zero behind the last one. Most words have no more.
pub(super) struct KeywordTable {
    slots: [u16; SLOTS],
    heads: [(u64, What); MOST],
    /// What follows the head.
    tails: [Tail; MOST],
}

/// Sixteen more bytes of a word, in the form that its head has.
pub(super) type Tail = [u64; 2];

impl KeywordTable {
    /// A table of keywords, and of functions that have an effect, whose names count as the server's own.
    const fn new(words: &[Row], functions: &[(&str, Verdict)]) -> Self {
        let mut table =
            Self { slots: [EMPTY; SLOTS], heads: [(0, What::of(Kind::Name)); MOST], tails: [[0; 2]; MOST] };
        let mut row = 0;
        while row < words.len() {
            let (word, keyword, class) = words[row];
            table.put(row, word, What::word(Kind::Word, keyword, class));
            row += 1;
        }
        let mut i = 0;
        while i < functions.len() {
            let name = functions[i].0;
            // Longer names are taken for such ones as they are.
            if name.len() <= LONGEST {
                table.put(row, name, What::word(Kind::Name, Keyword::Other, Class::System));
                row += 1;
            }
            i += 1;
        }
        table
    }

    const fn put(&mut self, row: usize, word: &str, what: What) {
        let [head, tail @ ..] = key_of(word.as_bytes());
        self.heads[row] = (head, what);
        self.tails[row] = tail;
        let mut slot = slot_of(head);
        while self.slots[slot] != EMPTY {
            slot = (slot + 1) % SLOTS;
        }
        #[expect(clippy::cast_possible_truncation, reason = "less than a thousand rows")]
        {
            self.slots[slot] = row as u16;
        }
    }

    /// The keyword of less than eight bytes that is this.
    #[inline(always)]
    pub(super) fn find_short(&self, word: u64) -> Option<What> {
        let mut slot = slot_of(word);
        loop {
            // There is no such row when the slot is empty.
            let (head, what) = self.heads.get(usize::from(self.slots[slot]))?;
            if *head == word {
                return Some(*what);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// The keyword of eight bytes or more that is this. Its tail is asked for only where a head is the same, which is
    /// rare for words that are none.
    #[inline(always)]
    pub(super) fn find_long(&self, head: u64, tail: impl Fn() -> Tail) -> Option<What> {
        let mut slot = slot_of(head);
        loop {
            let row = usize::from(self.slots[slot]);
            let (found, what) = self.heads.get(row)?;
            if *found == head && self.tails[row] == tail() {
                return Some(*what);
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

const fn slot_of(head: u64) -> usize {
    (head.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 53) as usize % SLOTS
}

/// The head and the tail of a word, which has at most [`LONGEST`] bytes.
const fn key_of(word: &[u8]) -> [u64; 3] {
    let mut key = [0; 3];
    let mut i = 0;
    while i < word.len() {
        key[i / 8] |= ((word[i] | 0x20) as u64) << (8 * (i % 8));
        i += 1;
    }
    key
}

pub(super) static POSTGRES: KeywordTable = KeywordTable::new(keywords_postgres::ROWS, POSTGRES_EFFECTS);
pub(super) static MYSQL: KeywordTable = KeywordTable::new(keywords_mysql::ROWS, &[]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dialect;
    use crate::classifier::Options;
    use crate::lexer::Lexer;

    #[test]
    fn every_keyword_is_found_in_any_case_and_the_rows_are_sorted() {
        let tables = [(keywords_postgres::ROWS, Dialect::Postgres), (keywords_mysql::ROWS, Dialect::MySql)];
        for (rows, dialect) in tables {
            for (word, keyword, class) in rows {
                for text in [(*word).to_owned(), word.to_uppercase() + " and what follows"] {
                    let token = Lexer::new(&text, Options::new(dialect)).next();
                    assert_eq!((token.keyword(), token.class()), (Some(*keyword), *class), "{text}");
                }
                for text in [format!("{word}x"), format!("{word}_"), word[1..].to_owned() + "\u{a1}"] {
                    let token = Lexer::new(&text, Options::new(dialect)).next();
                    let is_other = rows.iter().any(|row| row.0 == text);
                    assert!(is_other || token.kind() == Kind::Name, "{text}");
                }
            }
            assert!(rows.is_sorted_by(|a, b| a.0 < b.0));
        }
    }
}
