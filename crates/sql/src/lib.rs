#![doc = include_str!("../README.md")]

mod analysis;
mod cache;
pub mod catalog;
mod classification;
mod classifier;
mod cursor;
mod dialect;
mod digest;
mod effects;
mod function_name;
mod functions;
mod grammar;
mod lexer;
mod normalized;
mod reason;
mod shape;
mod split;
mod summary;
mod tables;
mod transaction;

pub use analysis::{Analysis, Part};
pub use cache::Cache;
pub use catalog::Catalog;
pub use classification::{Certainty, Classification, Route};
pub use classifier::Classifier;
pub use dialect::{Dialect, ParseDialectError};
pub use digest::{Digest, ParseDigestError, digest};
pub use effects::Effects;
pub use function_name::FunctionNameError;
#[doc(no_inline)]
pub use millpond_core::Access;
pub use normalized::normalized;
pub use reason::{DisplayReason, Reason, ReasonKind, Span};
pub use split::{Statements, split};
pub use summary::Summary;
pub use tables::{Table, TableUse, Tables};
pub use transaction::{Transaction, TransactionMode, TransactionVerb};

/// Says what the statements of `sql` do.
///
/// Pure and linear in the length of the text; it allocates nothing and never panics. What is not recognised as a read
/// is not one: [`Access::Unknown`] comes with the words that were not understood.
#[must_use]
pub fn classify(sql: &str, dialect: Dialect) -> Classification {
    grammar::classify(sql, classifier::Options::new(dialect), None)
}

/// Says what the statements of a text that may be no UTF-8 do, as [`classify`] does for one that is.
///
/// Bytes that are none are [`Access::Unknown`], for [`ReasonKind::NotUtf8`] and with the first of them.
///
/// ```
/// use millpond_sql::{Dialect, ReasonKind, Route, classify_bytes};
///
/// let answer = classify_bytes(b"select 'caf\xe9'", Dialect::Postgres);
/// assert_eq!(answer.route(), Route::Primary);
/// assert_eq!(answer.reason().kind(), ReasonKind::NotUtf8);
/// assert_eq!(answer.reason().span().range(), 11..12);
/// ```
#[must_use]
pub fn classify_bytes(sql: &[u8], dialect: Dialect) -> Classification {
    grammar::classify_bytes(sql, classifier::Options::new(dialect), None)
}

/// Says all that `sql` shows: what it does, each of its statements, the tables it names, its digest.
#[must_use]
pub fn analyze(sql: &str, dialect: Dialect) -> Analysis {
    Analysis::new(sql, classifier::Options::new(dialect), None)
}
