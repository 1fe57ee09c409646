//! What a PostgreSQL database holds, as far as it matters to what a statement does: its functions, views, tables, operators
//! and types, and which of them are known to only read.
//!
//! An object is a read only when everything that it reaches is: the text of a view, the body of a function, the checks of a
//! domain. What is not known to read makes the statements that name it unknown, so that they go to the primary.
//!
//! ```
//! use millpond_sql::catalog::{Catalog, Relation, RelationKind};
//! use millpond_sql::{Classifier, Dialect};
//!
//! let catalog = Catalog::builder()
//!     .search_path(["public"])
//!     .relation(Relation::new("public", "ticket", RelationKind::View).definition("select nextval('tickets')"))
//!     .relation(Relation::new("public", "item", RelationKind::Table))
//!     .build();
//! assert_eq!(catalog.hazards().next().unwrap().to_string(), "view public.ticket: nextval() writes (bytes 7..14)");
//!
//! let classifier = Classifier::new(Dialect::Postgres).with_catalog(catalog.into());
//! assert!(classifier.classify("select * from item").is_plain_read());
//! let answer = classifier.classify("select * from ticket");
//! assert!(!answer.is_plain_read());
//! assert_eq!(answer.reason().span().range(), 14..20);
//! ```
//!
//! What a catalog cannot know is judged as without one: a relation that is not in it is taken for a table, a function for
//! unknown. Functions in C are believed what they declare.

mod build;
mod routine;
mod rows;

pub use build::Builder;
pub use rows::{
    Arity, Cast, Function, FunctionKind, Operator, Persistence, Relation, RelationKind, UserType, Volatility,
};

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::ReasonKind;
use crate::functions::{BY_ARGUMENT, Verdict};

/// What a database holds; see the [module](self).
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    path: Vec<Box<str>>,
    /// Whether names without a schema are looked up among the server's own first.
    looks_in_its_own_first: bool,
    /// Whether names with letters outside of ASCII can be others.
    folds_all_letters: bool,
    /// Whether no code of the user's runs without being named, but for C.
    names_all_code: bool,
    functions: Names,
    relations: Names,
    /// Domains and what is made of them, by type.
    types: Names,
    /// Casts, by the type that is cast to. Apart, since a cast to a type calls a function that has the type as its result.
    casts: Names,
    /// The operators that are not known to read.
    operators: Vec<OperatorEntry>,
    /// The schemas that have operators.
    operator_schemas: HashSet<Box<str>>,
    /// Whether code runs without being named, as that of implicit casts, and is not known to read.
    has_unnamed_hazard: bool,
    hazards: Vec<Hazard>,
}

/// Entries by name; each is one schema's.
#[derive(Clone, Debug, Default)]
struct Names(HashMap<Box<str>, Vec<Entry>>);

/// All objects of one kind, schema and name: functions can be overloaded.
#[derive(Clone, Debug)]
struct Entry {
    schema: Box<str>,
    /// How many of them are not known to read.
    pending: usize,
    /// Why a statement that names it is no read.
    kind: ReasonKind,
    /// Of those, how many functions can be called in the spelling of a column.
    pending_attributes: usize,
    /// Of those, how many functions only a call with its schema means.
    pending_covered: usize,
    /// Whether it brings tables with it that a text does not name: a view, a parent of others, one with row security.
    brings_tables: bool,
    /// Whether a write to it changes nothing else.
    is_written_alone: bool,
}

#[derive(Clone, Debug)]
struct OperatorEntry {
    schema: Box<str>,
    symbol: Box<str>,
}

/// In which schemas a name without one is looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// In those of the search path; where none has it, in all.
    #[default]
    Path,
    /// In all: the body of a function may run with any search path.
    Everywhere,
}

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    Reads,
    Hazard(ReasonKind),
}

impl Known {
    const fn hazard(self) -> Option<ReasonKind> {
        match self {
            Self::Hazard(kind) => Some(kind),
            Self::Nothing | Self::Reads => None,
        }
    }
}

/// An object that is not known to read, and why. `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hazard {
    what: &'static str,
    is_unnamed: bool,
    schema: Box<str>,
    name: Box<str>,
    why: Box<str>,
}

impl Hazard {
    /// The schema of the object.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The name of the object.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it runs without being named: an implicit cast, the operator class of an index, an operator that the language
    /// uses by itself. While there is one, no statement is a read. The way out is a function that reads, or
    /// [`allow_function`](crate::Classifier::allow_function) for it.
    #[must_use]
    pub const fn is_unnamed(&self) -> bool {
        self.is_unnamed
    }

    /// Why it is not known to read.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}: {}", self.what, self.schema, self.name, self.why)
    }
}

impl Names {
    fn entries(&self, name: &str) -> &[Entry] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The strictest answer over all schemas in which the name can be found.
    fn find(&self, schema: Option<&str>, name: &str, scope: Scope, path: &[Box<str>]) -> Known {
        let entries = self.entries(name);
        if let Some(schema) = schema {
            return strictest(entries.iter().filter(|entry| *entry.schema == *schema));
        }
        if scope == Scope::Path {
            let visible = strictest(entries.iter().filter(|entry| path.contains(&entry.schema)));
            if visible != Known::Nothing {
                return visible;
            }
        }
        strictest(entries.iter())
    }
}

fn strictest<'e>(entries: impl Iterator<Item = &'e Entry>) -> Known {
    let mut known = Known::Nothing;
    for entry in entries {
        if entry.pending > 0 {
            return Known::Hazard(entry.kind);
        }
        known = Known::Reads;
    }
    known
}

impl Catalog {
    /// Takes the rows that a catalog is made of.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The schemas in which names without one are looked up, the first first.
    pub fn search_path(&self) -> impl Iterator<Item = &str> {
        self.path.iter().map(|schema| &**schema)
    }

    /// The objects that are not known to read.
    pub fn hazards(&self) -> impl Iterator<Item = &Hazard> {
        self.hazards.iter()
    }

    /// What a call of a function does, when the server's own of that name does `builtin`: the stricter of both.
    pub(crate) fn function(
        &self,
        builtin: Verdict,
        schema: Option<&str>,
        name: &str,
        scope: Scope,
    ) -> Verdict {
        if builtin != Verdict::Unknown && builtin != Verdict::Reads {
            return builtin;
        }
        if BY_ARGUMENT.contains(&name) {
            return Verdict::Hidden(ReasonKind::HiddenFunction);
        }
        let means_own = builtin == Verdict::Reads
            && schema.is_none()
            && scope == Scope::Path
            && self.looks_in_its_own_first;
        if means_own
            && self.functions.entries(name).iter().all(|entry| entry.pending == entry.pending_covered)
        {
            return Verdict::Reads;
        }
        match self.functions.find(schema, name, scope, &self.path) {
            Known::Nothing => builtin,
            Known::Reads => Verdict::Reads,
            Known::Hazard(kind) => Verdict::Hidden(kind),
        }
    }

    /// Whether there is a function of that name beside the server's own.
    pub(crate) fn has_function(&self, name: &str) -> bool {
        !self.functions.entries(name).is_empty()
    }

    /// Why a column's name is no read: a function of that name can be called in its spelling, and a value made one of a
    /// type of that name.
    pub(crate) fn attribute(&self, name: &str) -> Option<ReasonKind> {
        if let Some(kind) = self.other_name(name) {
            return Some(kind);
        }
        let functions = self.functions.entries(name).iter().filter(|entry| entry.pending_attributes > 0);
        let types = self.types.entries(name).iter().filter(|entry| entry.pending > 0);
        functions.chain(types).map(|entry| entry.kind).next()
    }

    pub(crate) fn relation(&self, schema: Option<&str>, name: &str, scope: Scope) -> Option<ReasonKind> {
        self.other_name(name).or_else(|| self.relations.find(schema, name, scope, &self.path).hazard())
    }

    /// Why it is not known what a name is.
    fn other_name(&self, name: &str) -> Option<ReasonKind> {
        (self.folds_all_letters && !name.is_ascii()).then_some(ReasonKind::NotUnderstood)
    }

    /// Whether a relation of that name brings tables with it that a text does not name.
    pub(crate) fn brings_tables(&self, schema: Option<&str>, name: &str) -> bool {
        let mut entries = self.relations.entries(name).iter();
        entries.any(|entry| entry.brings_tables && schema.is_none_or(|schema| *schema == *entry.schema))
    }

    /// Whether the relations of that name are known, and all that is read or, with `is_written`, changed with them is themselves.
    pub(crate) fn is_alone(&self, schema: Option<&str>, name: &str, is_written: bool) -> bool {
        let entries = self.relations.entries(name).iter();
        let mut meant =
            entries.filter(|entry| schema.is_none_or(|schema| *schema == *entry.schema)).peekable();
        self.other_name(name).is_none()
            && meant.peek().is_some()
            && meant.all(|entry| !entry.brings_tables && (entry.is_written_alone || !is_written))
    }

    /// Whether all code of the user's is named where it runs, or is in C.
    pub(crate) const fn names_all_code(&self) -> bool {
        self.names_all_code
    }

    pub(crate) fn type_name(&self, schema: Option<&str>, name: &str, scope: Scope) -> Option<ReasonKind> {
        let find = |names: &Names| names.find(schema, name, scope, &self.path).hazard();
        self.other_name(name).or_else(|| find(&self.types)).or_else(|| find(&self.casts))
    }

    /// Why a value that becomes one of that type, without a cast that is named, is no read.
    pub(crate) fn conversion(&self, schema: Option<&str>, name: &str) -> Option<ReasonKind> {
        self.types.find(schema, name, Scope::Path, &self.path).hazard()
    }

    /// Why a cast to that type is no read.
    pub(crate) fn cast(&self, schema: &str, name: &str) -> Option<ReasonKind> {
        self.casts.find(Some(schema), name, Scope::Path, &self.path).hazard()
    }

    /// Why the operator at the start of `text` is no read. Longer operators count too: which of them the server sees is not
    /// worked out.
    pub(crate) fn operator(&self, text: &[u8]) -> Option<ReasonKind> {
        let is_it = |entry: &OperatorEntry| text.starts_with(entry.symbol.as_bytes());
        self.operators.iter().any(is_it).then_some(ReasonKind::HiddenOperator)
    }

    /// Whether operators of that schema are known.
    pub(crate) fn has_operators_in(&self, schema: &str) -> bool {
        self.operator_schemas.contains(schema)
    }

    /// Whether code that is not known to read can run without being named.
    pub(crate) const fn has_unnamed_hazard(&self) -> bool {
        self.has_unnamed_hazard
    }
}
