//! Why a text was classified as it was.

use std::fmt;
use std::ops::Range;

/// A range of bytes of a text.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first byte in the low half, one past the last in the high one: one number is copied faster than two.
    place: u64,
}

impl Span {
    pub(crate) const fn new(start: u32, end: u32) -> Self {
        Self { place: start as u64 | (end as u64) << 32 }
    }

    /// The words at `range`.
    #[expect(clippy::cast_possible_truncation, reason = "texts are shorter, see LONGEST_TEXT")]
    pub(crate) const fn at(range: &Range<usize>) -> Self {
        Self::new(range.start as u32, range.end as u32)
    }

    /// The same words in a text that has `start` bytes more in front.
    #[expect(clippy::cast_possible_truncation, reason = "texts are shorter, see LONGEST_TEXT")]
    pub(crate) const fn behind(self, start: usize) -> Self {
        Self::new((self.start() + start) as u32, (self.end() + start) as u32)
    }

    /// The first byte.
    #[must_use]
    pub const fn start(self) -> usize {
        (self.place & 0xffff_ffff) as usize
    }

    /// One past the last byte.
    #[must_use]
    pub const fn end(self) -> usize {
        (self.place >> 32) as usize
    }

    /// As a range, to index the text with.
    #[must_use]
    pub const fn range(self) -> Range<usize> {
        self.start()..self.end()
    }

    /// The words themselves; empty when the span is not one of `sql`.
    #[must_use]
    pub fn of(self, sql: &str) -> &str {
        sql.get(self.range()).unwrap_or("")
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.range().fmt(f)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start(), self.end())
    }
}

impl From<Span> for Range<usize> {
    fn from(span: Span) -> Self {
        span.range()
    }
}

/// Why a text was classified as it was: the kind, and the words that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reason {
    kind: ReasonKind,
    span: Span,
}

impl Reason {
    pub(crate) const fn new(kind: ReasonKind, span: Span) -> Self {
        Self { kind, span }
    }

    /// What kind of reason.
    #[must_use]
    pub const fn kind(self) -> ReasonKind {
        self.kind
    }

    /// The bytes that decided.
    #[must_use]
    pub const fn span(self) -> Span {
        self.span
    }

    /// The reason as a sentence that quotes the text it was found in.
    #[must_use]
    pub const fn display(self, sql: &str) -> DisplayReason<'_> {
        DisplayReason { reason: self, sql }
    }
}

/// Declares the kinds of reasons with their words, and the list that leads from their numbers back to them.
macro_rules! reason_kinds {
    ($($(#[$docs:meta])* $kind:ident => $word:literal,)*) => {
        /// The kinds of reasons.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ReasonKind {
            $($(#[$docs])* $kind,)*
        }

        impl ReasonKind {
            const ALL: &[Self] = &[$(Self::$kind),*];

            /// A stable lower-case word, for labels.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)*
                }
            }
        }
    };
}

reason_kinds! {
    /// Every part of the text is known to read only.
    Reads => "reads",
    /// The verb changes data.
    WritingVerb => "writing_verb",
    /// The verb changes the schema or the server.
    DefiningVerb => "defining_verb",
    /// The verb changes no data, and is for the primary: `NOTIFY`, `CHECKPOINT`.
    PrimaryVerb => "primary_verb",
    /// A statement inside another one changes data, as in `WITH x AS (DELETE …)`.
    NestedWrite => "nested_write",
    /// `INTO` makes a table, writes a file or sets a variable.
    Into => "into",
    /// A locking clause such as `FOR UPDATE` takes row locks.
    RowLocks => "row_locks",
    /// A built-in function writes, or has another effect that a replica refuses or must not have.
    WritingFunction => "writing_function",
    /// A function that was denied by name.
    DeniedFunction => "denied_function",
    /// A built-in function that no replica runs, though it only reads.
    PrimaryFunction => "primary_function",
    /// A function sets or asks for the state of one session.
    SessionFunction => "session_function",
    /// A function that is not on the list of known ones.
    UnknownFunction => "unknown_function",
    /// A view whose text is not known to only read.
    HiddenView => "hidden_view",
    /// A user's function that is not known to only read, or one that reads what its arguments name.
    HiddenFunction => "hidden_function",
    /// An operator whose function is not known to only read.
    HiddenOperator => "hidden_operator",
    /// A type whose checks or casts are not known to only read.
    HiddenType => "hidden_type",
    /// The database has code that runs without being named, as that of an implicit cast, and is not known to only read.
    HiddenCode => "hidden_code",
    /// A table whose row security is not known to only read.
    RowSecurity => "row_security",
    /// An unlogged relation, or one with such a part: replicas do not have it.
    UnloggedTable => "unlogged_table",
    /// A temporary relation, or one with such a part.
    TemporaryTable => "temporary_table",
    /// A foreign table, or a table with such a part: what it reads is on another server.
    ForeignTable => "foreign_table",
    /// A sequence: what a replica shows of it can be ahead of the primary, which logs some values in advance.
    Sequence => "sequence",
    /// It reads as far as the text shows, and what the database holds is not known yet.
    CatalogMissing => "catalog_missing",
    /// The verb sets or asks for the state of one session.
    SessionVerb => "session_verb",
    /// A name or variable that belongs to one session.
    SessionName => "session_name",
    /// A transaction command.
    Transaction => "transaction",
    /// The text is about one server: it asks for its state, runs a program there or touches a file.
    ServerFile => "server_file",
    /// A routine or a block of code is run, and its text is not here.
    Routine => "routine",
    /// The text does not start with a verb that is known.
    UnknownVerb => "unknown_verb",
    /// Words in a place where they are not understood.
    NotUnderstood => "not_understood",
    /// A literal, quoted name or comment has no end.
    Unterminated => "unterminated",
    /// The text has a NUL byte, which no server takes.
    Nul => "nul",
    /// The bytes are no UTF-8: where a literal ends in them depends on the connection's encoding.
    NotUtf8 => "not_utf8",
    /// Parentheses are nested too deep or do not match.
    Nesting => "nesting",
    /// There is no statement in the text.
    Empty => "empty",
    /// The text is longer than any server takes.
    TooLong => "too_long",
}

impl ReasonKind {
    /// Every kind, for whoever has to have a counter for each.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied()
    }

    /// The kind of that number; what no kind has stands for none.
    pub(crate) const fn of_number(number: u8) -> Self {
        if (number as usize) < Self::ALL.len() { Self::ALL[number as usize] } else { Self::NotUnderstood }
    }
}

impl fmt::Display for ReasonKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A [`Reason`] beside the text it was found in; made by [`Reason::display`].
#[derive(Clone, Copy, Debug)]
pub struct DisplayReason<'a> {
    reason: Reason,
    sql: &'a str,
}

/// How much of the deciding words is quoted.
const QUOTED: usize = 60;

/// Writes `words` on one line with single spaces, and no more than [`QUOTED`] characters of them.
fn quote(words: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut left = QUOTED;
    for (i, word) in words.split_ascii_whitespace().enumerate() {
        if i > 0 {
            f.write_str(" ")?;
            left = left.saturating_sub(1);
        }
        for c in word.chars() {
            if left == 0 {
                return f.write_str("…");
            }
            left -= 1;
            if c.is_control() { f.write_str("?")? } else { write!(f, "{c}")? }
        }
    }
    Ok(())
}

impl fmt::Display for DisplayReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reason { kind, span } = self.reason;
        let (before, after) = match kind {
            ReasonKind::Reads => return f.write_str("every part reads only"),
            ReasonKind::Empty => return f.write_str("there is no statement in the text"),
            ReasonKind::TooLong => return f.write_str("the text is longer than a gibibyte"),
            ReasonKind::CatalogMissing => {
                return f.write_str("what the database holds is not known yet, or was changed since");
            }
            ReasonKind::HiddenCode => {
                return f.write_str("code that runs without being named is not known to only read");
            }
            ReasonKind::WritingVerb => ("", " changes data"),
            ReasonKind::DefiningVerb => ("", " changes the schema or the server"),
            ReasonKind::PrimaryVerb => ("", " is for the primary"),
            ReasonKind::NestedWrite => ("", " inside the statement changes data"),
            ReasonKind::Into => ("", " stores the result"),
            ReasonKind::RowLocks => ("SELECT with ", " takes row locks"),
            ReasonKind::WritingFunction => ("", "() writes"),
            ReasonKind::DeniedFunction => ("", "() was denied by name"),
            ReasonKind::PrimaryFunction => ("", "() runs on a primary only"),
            ReasonKind::SessionFunction => ("", "() belongs to one session"),
            ReasonKind::UnknownFunction => ("", "() is not a known function"),
            ReasonKind::HiddenView => ("", " is a view that is not known to only read"),
            ReasonKind::HiddenFunction => ("", "() is not known to only read"),
            ReasonKind::HiddenOperator => {
                ("the operator ", " may call a function that is not known to only read")
            }
            ReasonKind::HiddenType => ("a value of the type ", " may run what is not known to only read"),
            ReasonKind::RowSecurity => ("the row security of ", " is not known to only read"),
            ReasonKind::UnloggedTable => ("", " is unlogged, or has such a part"),
            ReasonKind::TemporaryTable => ("", " is temporary, or has such a part"),
            ReasonKind::Sequence => {
                ("", " is a sequence, or shows some: a replica can be ahead of the primary")
            }
            ReasonKind::ForeignTable => ("", " is a foreign table, or has such a part"),
            ReasonKind::SessionVerb => ("", " belongs to one session"),
            ReasonKind::SessionName => ("", " lives in one session"),
            ReasonKind::Transaction => ("", " is a transaction command"),
            ReasonKind::ServerFile => ("", " is about one server: its state, or a file or a program there"),
            ReasonKind::Routine => ("", " runs code that is not in the text"),
            ReasonKind::UnknownVerb => ("", " is not a known verb"),
            ReasonKind::NotUnderstood => ("", " is not understood here"),
            ReasonKind::Unterminated => ("", " has no end"),
            ReasonKind::Nul => ("the text has a NUL byte", ""),
            ReasonKind::NotUtf8 => ("the text is not UTF-8", ""),
            ReasonKind::Nesting if span.of(self.sql).is_empty() => ("a parenthesis has no end", ""),
            ReasonKind::Nesting => ("", " is nested too deep or does not match"),
        };
        f.write_str(before)?;
        if !matches!(kind, ReasonKind::Nul | ReasonKind::NotUtf8) {
            quote(span.of(self.sql), f)?;
        }
        f.write_str(after)?;
        write!(f, " (bytes {span})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_number_and_has_a_word_of_its_own() {
        let mut words: Vec<_> = ReasonKind::all().map(ReasonKind::as_str).collect();
        assert!(ReasonKind::all().all(|kind| ReasonKind::of_number(kind as u8) == kind));
        words.sort_unstable();
        let count = words.len();
        words.dedup();
        assert_eq!(words.len(), count);
    }
}
