//! The tables that a text names.

mod calls;
mod clauses;
mod finder;
mod frame;
mod items;
mod mysql;
mod names;
mod postgres;
mod verbs;
mod with;

use std::fmt;

use millpond_core::Access;

use crate::classifier::{Functions, Options};
use crate::{Catalog, Classification, Span};
use finder::Finder;

/// The tables that a text names, each once, in the order of their first mention.
///
/// A table is whatever stands in the place of one: views, sequences and foreign tables too. What a name brings with it is not in the text, and not
/// here: the tables behind a view, the parts of a partitioned table, what triggers, rules, foreign keys, defaults and row
/// security reach, what the user's own operators, casts and types run, and a function of one row that is called in the spelling of a column
/// (`t.total`). Tables by definitions, and what `VACUUM` and `ANALYZE` write
/// into the server's catalogs, are not worked out, so that the list is [incomplete](Self::is_complete) there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    all: Box<[Table]>,
    completeness: Completeness,
    is_closed: bool,
}

/// Whether every table is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Completeness {
    Complete,
    Partial,
}

impl Tables {
    /// Whether the text reads and writes no other table by name.
    ///
    /// Only then can anything be concluded from a table that is not listed. A list is incomplete where the text runs what is
    /// not in it or reads what its values name: a routine, a prepared statement, a user's function, `query_to_xml()`; where
    /// it has an executable comment, or a name that cannot be told; in definitions; and in whatever is not understood. With a
    /// [catalog](crate::Catalog) it is incomplete too where a view, a foreign table, a table with partitions or children, or one with
    /// row security is named. Without one these are taken for tables. What a name [brings with it](Self) otherwise is known to neither:
    /// triggers, rules, foreign keys, defaults, operators, casts, types, and the views of the server's own.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self.completeness, Completeness::Complete)
    }

    /// Whether the text reads and changes these tables and nothing else, whatever the database has. Known with a
    /// [catalog](crate::Catalog) only, and for tables that it knows: none of them [brings others with it](Self), what is written
    /// triggers nothing, and no code of the user's runs that is not named, but for C.
    ///
    /// Then a read is not touched by writes of which none is of its tables by [name](Table::name).
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether one of them may be the table of that name, written as [`Table::name`] has it, or is not known. What a text
    /// reads was not touched by a write only if this is false for every table that was written.
    #[must_use]
    pub fn may_name(&self, schema: Option<&str>, name: &str) -> bool {
        !self.is_complete() || self.all.iter().any(|table| table.may_be(schema, name))
    }

    /// All of them, in the order of their first mention.
    pub fn iter(&self) -> std::slice::Iter<'_, Table> {
        self.all.iter()
    }

    /// All of them, as a slice.
    pub(crate) const fn all(&self) -> &[Table] {
        &self.all
    }

    /// Those that are written.
    pub fn written(&self) -> impl Iterator<Item = &Table> {
        self.all.iter().filter(|table| table.usage == TableUse::Write)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The bytes that they take beside their own size.
    pub(crate) fn heap_size(&self) -> usize {
        let names =
            self.all.iter().map(|table| table.name.len() + table.schema.as_ref().map_or(0, |s| s.len()));
        size_of_val(&*self.all) + names.sum::<usize>()
    }
}

impl<'a> IntoIterator for &'a Tables {
    type Item = &'a Table;
    type IntoIter = std::slice::Iter<'a, Table>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.iter()
    }
}

/// A table that a text names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    schema: Option<Box<str>>,
    name: Box<str>,
    usage: TableUse,
    span: Span,
}

impl Table {
    /// What stands in front of the name, if anything does: the schema, in MySQL and MariaDB the database. A third name in
    /// front of both is left out: a connection sees one database only.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The name, without quotes.
    ///
    /// PostgreSQL's are as the server keeps them: in lower case unless quoted, and cut at 63 bytes. Those of MySQL and MariaDB
    /// are in lower case always: whether case counts there is a setting of the server, and two names that may be one are one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the text does to it.
    #[must_use]
    pub const fn usage(&self) -> TableUse {
        self.usage
    }

    /// Where it is mentioned first, with its schema.
    #[must_use]
    pub const fn span(&self) -> Span {
        self.span
    }

    /// Whether it can be the table of that name: the names are the same, and so are the schemas where both have one. Where
    /// one has none, the search path or the current database decides, and the text does not show it.
    #[must_use]
    pub fn may_be(&self, schema: Option<&str>, name: &str) -> bool {
        let differ = matches!((self.schema(), schema), (Some(ours), Some(theirs)) if ours != theirs);
        *self.name == *name && !differ
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.name)
    }
}

/// What a text does to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there is no third answer")]
pub enum TableUse {
    /// It reads the table, locks rows of it, or shows how it is made.
    Read,
    /// It may change the table, whether it reads it too or not. All tables of an `UPDATE` or `DELETE` over several of MySQL count:
    /// which of them is changed, its columns say. In a statement that is only planned nothing is changed.
    Write,
}

impl TableUse {
    /// The lower-case word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl fmt::Display for TableUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Collects the tables of one statement after another.
#[derive(Debug)]
pub(crate) struct Collector {
    all: Vec<Table>,
    completeness: Completeness,
}

impl Collector {
    /// For the text that was found to be `whole`.
    pub(crate) fn new(sql: &str, whole: &Classification) -> Self {
        // What a server makes of an executable comment depends on the server.
        let has_code = ["/*!", "/*M!"].iter().any(|mark| sql.contains(mark));
        let completeness = match whole.access() {
            Access::Read | Access::Write if !has_code => Completeness::Complete,
            _ => Completeness::Partial,
        };
        Self { all: Vec::new(), completeness }
    }

    /// Takes the tables of the statement that starts at `start` in the whole text.
    pub(crate) fn statement(
        &mut self,
        sql: &str,
        start: usize,
        answer: &Classification,
        options: Options,
        functions: Option<&Functions>,
    ) {
        let access = answer.access();
        let found = Finder::new(sql, access, options, functions).run();
        let is_known = matches!(access, Access::Read | Access::Write);
        if found.completeness == Completeness::Partial || !is_known {
            self.completeness = Completeness::Partial;
        }
        self.all.extend(found.all.into_iter().map(|mut table| {
            table.span = table.span.behind(start);
            if access.is_read() {
                table.usage = TableUse::Read;
            }
            table
        }));
    }

    /// All of them, each once.
    pub(crate) fn finish(mut self, functions: Option<&Functions>) -> Tables {
        self.all
            .sort_by(|a, b| (&a.name, &a.schema, a.span.start()).cmp(&(&b.name, &b.schema, b.span.start())));
        self.all.dedup_by(|later, first| {
            let is_same = later.name == first.name && later.schema == first.schema;
            if is_same {
                first.usage = first.usage.max(later.usage);
            }
            is_same
        });
        self.all.sort_by_key(|table| table.span.start());
        let catalog = functions.and_then(|functions| functions.catalog.as_deref());
        let brings_tables = |table: &Table| {
            catalog.is_some_and(|catalog| catalog.brings_tables(table.schema(), table.name()))
        };
        if self.all.iter().any(brings_tables) {
            self.completeness = Completeness::Partial;
        }
        let is_alone = |catalog: &Catalog, table: &Table| {
            catalog.is_alone(table.schema(), table.name(), table.usage == TableUse::Write)
        };
        let is_closed = self.completeness == Completeness::Complete
            && catalog.is_some_and(|catalog| {
                catalog.names_all_code() && self.all.iter().all(|table| is_alone(catalog, table))
            });
        Tables { all: self.all.into(), completeness: self.completeness, is_closed }
    }
}
