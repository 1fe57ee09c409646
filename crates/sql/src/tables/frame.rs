//! What is known of a statement, and of each open parenthesis in it.

use super::TableUse;
use crate::lexer::Keyword as K;

/// What stood before the current token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing: a statement or a group starts here.
    Start,
    /// A name, or any word in a place where only a name can stand.
    Name,
    /// A literal, a parameter, a variable or `]`.
    Value,
    /// A parenthesis closed, and what it held is an operand.
    Group,
    /// The name of a type or an alias behind `AS`: a parenthesis holds modifiers or columns.
    Type,
    Keyword(K),
    /// The `DISTINCT` of `IS [NOT] DISTINCT FROM`.
    Comparison,
    Comma,
    Cast,
    Dot,
    Operator,
}

impl Before {
    /// Whether it is the end of an operand: an alias or an operator can follow, and no other operand.
    pub(super) const fn is_operand(self) -> bool {
        matches!(self, Self::Name | Self::Value | Self::Group | Self::Type)
    }
}

/// Where in a statement or group the walk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Among expressions: no name is that of a table.
    Values,
    /// A table, a function or a parenthesis of them comes next.
    Table,
    /// Behind a table of a list: its alias, a comma or the next clause comes.
    Behind,
    /// In the condition of a join.
    Condition,
    /// In a list of common table expressions.
    With,
    /// Among names of columns and types only.
    Columns,
}

/// What changes the statement, or the group, makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    None,
    Insert,
    Update,
    Delete,
    Merge,
}

/// Whether the next `USING` names tables, or the columns of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Using {
    Tables,
    Columns,
}

/// What a list of common table expressions waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// A name.
    Name,
    /// `(columns) AS`, behind this name; none when the text does not tell it.
    Columns(Option<Box<str>>),
    /// `[NOT MATERIALIZED] (`.
    Body(Option<Box<str>>),
    /// The end of the body.
    End(Option<Box<str>>),
    /// A comma, or the statement itself.
    Next,
}

/// The statement, or an open parenthesis.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) mode: Mode,
    pub(super) verb: Verb,
    /// What is done to the tables of the list that is read.
    pub(super) usage: TableUse,
    /// What `before` is when it has closed.
    pub(super) closes_as: Before,
    /// A `SELECT` was seen: `FROM` names tables.
    pub(super) selects: bool,
    /// A list of tables was seen: `JOIN` goes on with one.
    pub(super) has_list: bool,
    /// It is the body of a common table expression, where any statement can stand.
    pub(super) is_body: bool,
    /// The names of the list are tables even where a common table expression has the same one.
    pub(super) is_target: bool,
    /// `WITH` can start a list of common table expressions here.
    pub(super) may_have_with: bool,
    pub(super) is_recursive: bool,
    pub(super) using: Using,
    pub(super) head: Head,
    /// Joins whose condition has not come.
    pub(super) joins: usize,
    /// The next join has no condition: `CROSS` or `NATURAL` stands before it.
    pub(super) is_cross: bool,
    pub(super) brackets: usize,
    pub(super) cases: usize,
    /// How many common table expressions were known when it opened, and when its `INSERT` came.
    pub(super) known: usize,
    pub(super) known_to_insert: usize,
    /// How many tables had been found when the list of a `DELETE` started.
    pub(super) first_target: usize,
}

impl Frame {
    pub(super) const fn new(mode: Mode, known: usize) -> Self {
        Self {
            mode,
            verb: Verb::None,
            usage: TableUse::Read,
            closes_as: Before::Group,
            selects: false,
            has_list: false,
            is_body: false,
            is_target: false,
            may_have_with: false,
            is_recursive: false,
            using: Using::Columns,
            head: Head::Next,
            joins: 0,
            is_cross: false,
            brackets: 0,
            cases: 0,
            known,
            known_to_insert: known,
            first_target: 0,
        }
    }
}
