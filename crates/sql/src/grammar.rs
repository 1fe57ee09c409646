//! Tokens → what the statements do.
//!
//! There is no full parse. A statement's verb says what it does at the least; the body of a query is then walked once, and
//! every word that could make it more than a read is asked for: verbs inside of it, `INTO`, locking clauses, function calls, names that
//! belong to a session. Whatever the walk cannot place makes the answer `Unknown`, never `Read`.

mod findings;
mod modes;
mod mysql;
mod mysql_query;
mod mysql_verbs;
pub(crate) mod names;
mod postgres;
mod postgres_query;
mod postgres_verbs;

use millpond_core::Access;

use crate::classifier::{Functions, Options};
use crate::cursor::Cursor;
use crate::lexer::{Conditional, LONGEST_TEXT, Lexer};
use crate::{Classification, Dialect, Effects, Reason, ReasonKind, Span};

/// Classifies a whole text.
pub(crate) fn classify(sql: &str, options: Options, functions: Option<&Functions>) -> Classification {
    let whole = match u32::try_from(sql.len()) {
        Ok(length) if sql.len() <= LONGEST_TEXT => Span::new(0, length),
        _ => return broken(ReasonKind::TooLong, Span::default()),
    };
    if let Some(at) = nul(sql.as_bytes()) {
        return broken(ReasonKind::Nul, Span::new(at, at + 1));
    }
    let (read, conditional) = pass(sql, options, functions, false);
    if !conditional.seen {
        return read;
    }
    // Some servers skip the code of conditional comments: the text must be harmless either way.
    let (skipped, other) = pass(sql, options, functions, true);
    let strictest = read.and(skipped);
    if !(conditional.mixed || other.mixed) {
        return strictest;
    }
    // Of more readings than two some were not looked at: anything may stand in them.
    let any = strictest.with_effects(mysql_verbs::BLOCK.union(Effects::OUTSIDE));
    if any.access().is_read() { any.unknown(ReasonKind::NotUnderstood, whole) } else { any }
}

/// Classifies a whole text of bytes.
pub(crate) fn classify_bytes(
    bytes: &[u8],
    options: Options,
    functions: Option<&Functions>,
) -> Classification {
    if bytes.len() > LONGEST_TEXT {
        return broken(ReasonKind::TooLong, Span::default());
    }
    match std::str::from_utf8(bytes) {
        Ok(sql) => classify(sql, options, functions),
        Err(error) => {
            let start = error.valid_up_to();
            let end = error.error_len().map_or(bytes.len(), |length| start + length);
            broken(ReasonKind::NotUtf8, Span::at(&(start..end)))
        }
    }
}

fn pass(
    sql: &str,
    options: Options,
    functions: Option<&Functions>,
    skip_conditional: bool,
) -> (Classification, Conditional) {
    let mut lexer = Lexer::new(sql, options);
    lexer.skip_conditional = skip_conditional;
    let mut cursor = Cursor::new(lexer);
    if !cursor.next_statement() {
        let end = cursor.lexer().end();
        let empty = broken(ReasonKind::Empty, Span::new(0, end)).with_statements(0);
        return (empty, cursor.lexer().conditional);
    }
    let mut all = statement(&mut cursor, functions);
    let mut statements = 1;
    while cursor.next_statement() {
        statements += 1;
        all = all.and(statement(&mut cursor, functions)).with_statements(statements);
    }
    (all, cursor.lexer().conditional)
}

#[inline(always)]
fn statement(cursor: &mut Cursor<'_>, functions: Option<&Functions>) -> Classification {
    let findings = match cursor.lexer().options().dialect {
        Dialect::Postgres => postgres::statement(cursor, functions),
        Dialect::MySql | Dialect::MariaDb => mysql::statement(cursor, functions),
    };
    findings.classification()
}

fn broken(kind: ReasonKind, span: Span) -> Classification {
    Classification::new(Access::Unknown, Effects::NONE, Reason::new(kind, span), None)
}

/// Where the first NUL stands.
fn nul(bytes: &[u8]) -> Option<u32> {
    // Asking for presence first, eight bytes at a time, is much faster than for the place, and almost every text has none.
    let Some(last) = bytes.last_chunk() else { return position_of_nul(bytes) };
    let mut found = zeros(last);
    for eight in bytes.chunks_exact(8) {
        found |= eight.first_chunk().map_or(0, zeros);
    }
    if found == 0 { None } else { position_of_nul(bytes) }
}

fn position_of_nul(bytes: &[u8]) -> Option<u32> {
    let at = bytes.iter().position(|byte| *byte == 0)?;
    u32::try_from(at).ok()
}

/// Not zero just when one of the eight bytes is.
const fn zeros(eight: &[u8; 8]) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let eight = u64::from_le_bytes(*eight);
    eight.wrapping_sub(ONES) & !eight & (ONES << 7)
}
