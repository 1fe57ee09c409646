//! Transaction commands and their modes, which every dialect spells alike.

use crate::cursor::Cursor;
use crate::lexer::{Keyword as K, Kind, Token};
use crate::{Transaction, TransactionMode, TransactionVerb};

/// Reads what follows the verb of a transaction command, up to the end of the statement.
pub(super) fn command(cursor: &mut Cursor<'_>, verb: TransactionVerb) -> Transaction {
    let mut transaction = Transaction::new(verb);
    match verb {
        TransactionVerb::Begin => modes(cursor, &mut transaction),
        TransactionVerb::Commit | TransactionVerb::Rollback => ending(cursor, &mut transaction),
        _ => while next(cursor).is_some() {},
    }
    transaction
}

/// `[AND [NO] CHAIN]`, or `TO` a savepoint.
fn ending(cursor: &mut Cursor<'_>, transaction: &mut Transaction) {
    let mut last = None;
    while let Some(token) = next(cursor) {
        match (last, token.keyword()) {
            (_, Some(K::To)) if transaction.verb() == TransactionVerb::Rollback => {
                *transaction = Transaction::new(TransactionVerb::RollbackTo);
            }
            (Some(K::And), Some(K::Chain)) => *transaction = transaction.chained(),
            _ => {}
        }
        last = token.keyword();
    }
}

/// Reads transaction modes up to the end of the statement; of two that disagree the stricter one stays.
pub(super) fn modes(cursor: &mut Cursor<'_>, transaction: &mut Transaction) {
    while let Some(token) = next(cursor) {
        let follows = cursor.peek();
        match token.keyword() {
            Some(K::Serializable) => *transaction = transaction.serializable(),
            Some(K::Read) if follows.is(K::Only) => {
                *transaction = transaction.in_mode(TransactionMode::ReadOnly);
            }
            Some(K::Read) if follows.is(K::Write) => {
                *transaction = transaction.in_mode(TransactionMode::ReadWrite);
            }
            _ => {}
        }
    }
}

/// The next token of the statement; an end that cannot be read is left for whoever asks what is wrong.
fn next(cursor: &mut Cursor<'_>) -> Option<Token> {
    let token = cursor.peek();
    let is_end = token.is_last() || token.kind() == Kind::Semicolon;
    (!is_end).then(|| cursor.next())
}

#[cfg(test)]
mod tests {
    use TransactionMode::{ReadOnly, ReadWrite};
    use TransactionVerb::{Begin, Commit, Release, Rollback, RollbackTo, Savepoint, SetModes};

    use super::*;
    use crate::{Dialect, classify};

    const ALL: [Dialect; 3] = [Dialect::Postgres, Dialect::MySql, Dialect::MariaDb];

    fn said(sql: &str, dialect: Dialect) -> Transaction {
        classify(sql, dialect).transaction().expect("it is a transaction command")
    }

    #[test]
    fn commands_say_their_verb_and_mode() {
        for (sql, verb, mode, is_serializable) in [
            ("begin", Begin, None, false),
            ("start transaction read only", Begin, Some(ReadOnly), false),
            ("start transaction read only, read write", Begin, Some(ReadWrite), false),
            ("set transaction isolation level serializable", SetModes, None, true),
            ("commit work", Commit, None, false),
            ("savepoint serializable", Savepoint, None, false),
            ("release savepoint a", Release, None, false),
            ("rollback to savepoint a", RollbackTo, None, false),
            ("rollback", Rollback, None, false),
        ] {
            for dialect in ALL {
                let said = said(sql, dialect);
                let found = (said.verb(), said.mode(), said.is_serializable(), said.chains());
                assert_eq!(found, (verb, mode, is_serializable, false), "{sql} in {dialect:?}");
            }
        }
    }

    #[test]
    fn a_chained_end_begins_the_next_transaction() {
        for (sql, verb, chains) in [
            ("commit and chain", Commit, true),
            ("ROLLBACK WORK AND CHAIN; select 1", Rollback, true),
            ("commit and no chain", Commit, false),
            ("rollback to savepoint chain", RollbackTo, false),
        ] {
            for dialect in ALL {
                let said = said(sql, dialect);
                assert_eq!((said.verb(), said.chains()), (verb, chains), "{sql} in {dialect:?}");
            }
        }
        assert!(said("end and chain", Dialect::Postgres).chains());
        assert!(said("abort and chain", Dialect::Postgres).chains());
    }

    #[test]
    fn an_end_that_cannot_be_read_is_seen() {
        for sql in ["savepoint 'a", "commit 'a", "begin 'a", "release savepoint /* a"] {
            for dialect in ALL {
                assert_eq!(classify(sql, dialect).access(), crate::Access::Unknown, "{sql} in {dialect:?}");
            }
        }
    }
}
