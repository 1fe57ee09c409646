//! Names of tables as the server keeps them.

use crate::Dialect;
use crate::lexer::{Kind, Lexer, Token};

/// How many bytes of a name PostgreSQL keeps.
const KEPT: usize = 63;

/// A name as the server keeps it, or none where the text does not tell it.
pub(super) fn folded(lexer: &Lexer<'_>, token: Token) -> Option<Box<str>> {
    let is_postgres = lexer.options().dialect == Dialect::Postgres;
    let mut name = exact(lexer, token)?;
    if token.kind() != Kind::Quoted || !is_postgres {
        // Whether such a letter is folded depends on the server's encoding or setting.
        if name.chars().any(|c| !c.is_ascii() && c.to_lowercase().ne([c])) {
            return None;
        }
        name.make_ascii_lowercase();
    }
    if is_postgres && name.len() > KEPT {
        // Where a character of several bytes is cut depends on the server's encoding.
        if !name.is_ascii() {
            return None;
        }
        name.truncate(KEPT);
    }
    Some(name.into())
}

/// A name by which a common table expression is found. For MySQL and MariaDB case counts: on some servers it does, and a
/// name in another case is a table there.
pub(super) fn of_expression(lexer: &Lexer<'_>, token: Token) -> Option<Box<str>> {
    match lexer.options().dialect {
        Dialect::Postgres => folded(lexer, token),
        Dialect::MySql | Dialect::MariaDb => exact(lexer, token).map(Into::into),
    }
}

/// A name without its quotes.
fn exact(lexer: &Lexer<'_>, token: Token) -> Option<String> {
    let text = std::str::from_utf8(lexer.text(token)).ok()?;
    if token.kind() != Kind::Quoted {
        return Some(text.to_owned());
    }
    let quote = text.chars().next().filter(|first| matches!(first, '"' | '`'))?;
    // `U&"…"` does not start with its quote: what its escapes mean is not worked out.
    let inner = text.get(1..text.len() - 1)?;
    let doubled: String = [quote, quote].iter().collect();
    Some(inner.replace(&doubled, quote.encode_utf8(&mut [0; 4])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classifier::Options;

    fn name(text: &str, dialect: Dialect) -> Option<String> {
        let mut lexer = Lexer::new(text, Options::new(dialect));
        let token = lexer.next();
        folded(&lexer, token).map(Into::into)
    }

    #[test]
    fn a_name_is_folded_as_the_server_folds_it() {
        for (text, wanted) in
            [("Item", "item"), ("\"Item\"", "Item"), ("\"a\"\"b\"", "a\"b"), ("é", "é"), ("\"É\"", "É")]
        {
            assert_eq!(name(text, Dialect::Postgres).as_deref(), Some(wanted), "{text}");
        }
        for (text, wanted) in [("Item", "item"), ("`Item`", "item"), ("`a``b`", "a`b")] {
            assert_eq!(name(text, Dialect::MySql).as_deref(), Some(wanted), "{text}");
        }
        assert_eq!(name(&"A".repeat(70), Dialect::Postgres), Some("a".repeat(63)));
        assert_eq!(name(&"A".repeat(70), Dialect::MySql), Some("a".repeat(70)));
    }

    #[test]
    fn a_name_that_the_text_does_not_tell_is_none() {
        for text in ["U&\"d\\0061t\"", "É", &"é".repeat(40), "\"ééééééééééééééééééééééééééééééééé\""]
        {
            assert_eq!(name(text, Dialect::Postgres), None, "{text}");
        }
        assert_eq!(name("`É`", Dialect::MySql), None);
    }
}
