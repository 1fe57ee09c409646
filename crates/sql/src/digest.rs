//! Statements that differ only in their values have one digest.

use std::fmt;

use crate::Dialect;
use crate::classifier::Options;
use crate::lexer::{Keyword, Kind, Lexer, Token};

/// A number for the shape of a text.
///
/// It is the 64-bit FNV-1a hash of the text's tokens: words in lower case, literals and parameters as one mark. The
/// values are the same on every machine and stay so within a major version of the crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(u64);

impl Digest {
    /// The number itself.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The digest of `sql`: literals and parameters count as one mark, a list of them behind `IN` as one list whatever
/// its length; white space, comments, a final semicolon and the case of unquoted words do not count.
///
/// ```
/// use millpond_sql::{Dialect, digest};
///
/// let one = digest("select name from item where id in (1, 2) -- a", Dialect::Postgres);
/// let two = digest("SELECT name FROM item WHERE id IN ($1, $2, $3);", Dialect::Postgres);
/// assert_eq!(one, two);
/// ```
#[must_use]
pub fn digest(sql: &str, dialect: Dialect) -> Digest {
    of(sql, Options::new(dialect))
}

/// The digest of `sql` as a server with these settings reads it.
pub(crate) fn of(sql: &str, options: Options) -> Digest {
    let mut lexer = Lexer::new(sql, options);
    let mut hash = Fnv::new();
    let mut list = List::Outside;
    let mut semicolons = 0_usize;
    loop {
        let token = lexer.next();
        if matches!(token.kind(), Kind::End) {
            return Digest(hash.0);
        }
        if token.kind() == Kind::Semicolon {
            semicolons += 1;
            continue;
        }
        if semicolons > 0 {
            hash.byte(b';');
            semicolons = 0;
        }
        let (next, counts) = list.after(token);
        list = next;
        if counts {
            hash.token(token, lexer.text(token));
        }
        if token.kind() == Kind::Bad {
            return Digest(hash.0);
        }
    }
}

/// Where in a list behind `IN` the last token stood.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Outside,
    /// Behind `IN`.
    In,
    /// Behind its parenthesis.
    Open,
    /// Behind its first values.
    Values,
    /// Behind a comma that follows values.
    Comma,
}

impl List {
    /// The place behind `token`, and whether the token counts.
    fn after(self, token: Token) -> (Self, bool) {
        let value = matches!(token.kind(), Kind::Text | Kind::Number | Kind::Param);
        match (self, token.kind()) {
            (_, Kind::Word) if token.is(Keyword::In) => (Self::In, true),
            (Self::In, Kind::Open) => (Self::Open, true),
            (Self::Open, _) if value => (Self::Values, true),
            (Self::Values, Kind::Comma) => (Self::Comma, false),
            (Self::Comma, _) if value => (Self::Values, false),
            _ => (Self::Outside, true),
        }
    }
}

struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }

    fn token(&mut self, token: Token, text: &[u8]) {
        match token.kind() {
            Kind::Text | Kind::Number | Kind::Param => self.byte(b'?'),
            Kind::Word | Kind::Name | Kind::UserVariable => {
                for byte in text {
                    self.byte(byte.to_ascii_lowercase());
                }
            }
            _ => {
                for byte in text {
                    self.byte(*byte);
                }
            }
        }
        // A byte that no token has keeps `a b` and `ab` apart.
        self.byte(0xff);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        digest(a, Dialect::Postgres) == digest(b, Dialect::Postgres)
    }

    #[test]
    fn values_spaces_comments_and_case_do_not_count() {
        assert!(same("select 1", "SELECT  'x' -- y"));
        assert!(same("select a from t where b in (1)", "select a from t where b in ($1,'2',3);"));
        assert!(same("select a;select b", "select a; ;select b;"));
    }

    #[test]
    fn names_quotes_and_the_number_of_arguments_count() {
        assert!(!same("select a", "select b"));
        assert!(!same("select a", "select \"A\""));
        assert!(!same("select f(1)", "select f(1, 2)"));
        assert!(!same("select a b", "select ab"));
        assert!(!same("select a;select b", "select a select b"));
        assert!(!same("select a in (1, b)", "select a in (1)"));
    }

    #[test]
    fn the_hash_is_the_documented_one() {
        assert_eq!(digest("", Dialect::Postgres).to_string(), "cbf29ce484222325");
        // FNV-1a over the two bytes `a` and 0xff.
        assert_eq!(digest("a", Dialect::Postgres).value(), 0x089b_c907_b544_c769);
    }
}
