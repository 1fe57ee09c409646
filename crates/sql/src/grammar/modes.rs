//! Transaction modes, which every dialect spells alike.

use crate::cursor::Cursor;
use crate::lexer::{Keyword as K, Kind};
use crate::{Transaction, TransactionMode};

/// Reads transaction modes up to the end of the statement; of two that disagree the stricter one stays.
pub(super) fn modes(cursor: &mut Cursor<'_>, transaction: &mut Transaction) {
    loop {
        let token = cursor.peek();
        if token.is_last() || token.kind() == Kind::Semicolon {
            return;
        }
        cursor.next();
        let next = cursor.peek();
        match token.keyword() {
            Some(K::Serializable) => transaction.serializable = true,
            Some(K::Read) if next.is(K::Only) && transaction.mode.is_none() => {
                transaction.mode = Some(TransactionMode::ReadOnly);
            }
            Some(K::Read) if next.is(K::Write) => transaction.mode = Some(TransactionMode::ReadWrite),
            _ => {}
        }
    }
}
