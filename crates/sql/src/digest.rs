//! Statements that differ only in their values have one digest.

use std::fmt;
use std::str::FromStr;

use crate::Dialect;
use crate::classifier::Options;
use crate::lexer::{Kind, Token};
use crate::shape::{self, Shape};

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

impl fmt::LowerHex for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    /// Reads what `Display` writes: sixteen hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 16 || !text.bytes().all(is_digit) {
            return Err(ParseDigestError(()));
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| ParseDigestError(()))
    }
}

/// A text is no [`Digest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is sixteen lower-case hexadecimal digits")]
pub struct ParseDigestError(());

/// The digest of `sql`: literals and parameters count as one mark; white space, comments, a final semicolon and the case of
/// unquoted words do not count. Of the values in a list behind `IN` or `ARRAY`, and of the rows of `VALUES`, those of the same
/// shape as the one before do not count, and neither do the signs of their numbers.
///
/// ```
/// use millpond_sql::{Dialect, digest};
///
/// let of = |sql| digest(sql, Dialect::Postgres);
/// assert_eq!(of("select name from item where id in (1, -2) -- a"), of("SELECT name FROM item WHERE id IN ($1);"));
/// assert_eq!(of("insert into t values (1, 'a'), (2, 'b')"), of("insert into t values ($1, $2)"));
/// ```
#[must_use]
pub fn digest(sql: &str, dialect: Dialect) -> Digest {
    of(sql, Options::new(dialect))
}

/// The digest of `sql` as a server with these settings reads it.
pub(crate) fn of(sql: &str, options: Options) -> Digest {
    let mut hash = Fnv::new();
    shape::walk(sql, options, &mut hash);
    Digest(hash.0)
}

/// Bytes that no token has: for any value, behind each token, and for an executable comment that not every server runs.
const VALUE: u8 = 0xfe;
const END: u8 = 0xff;
const CONDITIONAL: u8 = 0xfd;

/// The hash of what was taken in so far.
pub(crate) struct Fnv(u64);

impl Fnv {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) const fn value(&self) -> u64 {
        self.0
    }

    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
}

impl Shape for Fnv {
    fn token(&mut self, token: Token, text: &[u8]) {
        match token.kind() {
            Kind::Text | Kind::Number | Kind::Param => self.byte(VALUE),
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
        // It keeps `a b` and `ab` apart.
        self.byte(END);
    }

    fn semicolon(&mut self) {
        self.byte(b';');
    }

    fn comma(&mut self) {
        self.byte(b',');
    }

    fn conditional(&mut self) {
        self.byte(CONDITIONAL);
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
    fn lists_and_rows_of_one_shape_are_one() {
        for (one, many) in [
            ("select a in (1)", "select a in (-1, +2, - 3)"),
            ("select a in ($1::uuid)", "select a in ($1::uuid, $2::uuid)"),
            ("select a in ((1, 'a'))", "select a in ((1, 'a'), (-2, 'b'))"),
            ("select a not in (lower('a')) and b", "select a not in (lower('a'), lower('b')) and b"),
            ("select a = any(array[1])", "select a = any(array[1, 2, 3])"),
            ("insert into t values (1, now())", "insert into t values ($1, now()), ($2, now()), (-3, now())"),
            ("values (1) order by 1", "values (1), (2) order by 1"),
            ("select a in (select b where c in (1))", "select a in (select b where c in (1, 2))"),
            (
                "insert into t values (default, 1) returning a",
                "insert into t values (default, 1), (default, 2) returning a",
            ),
        ] {
            assert!(same(one, many), "{one} and {many}");
        }
        assert!(same("select a in (1, b, 2)", "select a in ($1, b, $2)"));
        assert!(!same("select a in (1), b", "select a in (1), (2), b"));
    }

    #[test]
    fn a_sign_counts_where_it_is_no_numbers() {
        for (one, other) in [
            ("select a in (-b)", "select a in (b)"),
            ("select a in (+ b)", "select a in (- b)"),
            ("select a in (abs(-b))", "select a in (abs(b))"),
            ("insert into t values (-a)", "insert into t values (a)"),
            ("select array[-a]", "select array[a]"),
            ("select a in (- (select 1))", "select a in ((select 1))"),
            ("select a in (b, -b)", "select a in (b)"),
            ("select a ? 'b'", "select a 'x' 'b'"),
        ] {
            assert!(!same(one, other), "{one} and {other}");
        }
        let mysql = |sql| digest(sql, Dialect::MySql);
        assert_ne!(mysql("select a in (--b)"), mysql("select a in (b)"));
        assert_ne!(mysql("delete from t /*!99999 where id = 1 */"), mysql("delete from t where id = 1"));
        assert_ne!(mysql("select * from 0xa1z"), mysql("select * from 0xb2z"));
    }

    #[test]
    fn a_list_without_an_end_is_taken_to_the_end_of_the_text() {
        for sql in [
            "select a in (1, 2",
            "select a in (",
            "insert into t values (1), (",
            "values (1))",
            "select a from t group by array[1, r a = $1",
        ] {
            assert!(same(sql, sql), "{sql}");
            assert!(same(sql, &format!("{sql}\n;")), "{sql}");
            assert!(!same(sql, "select a in (1)"), "{sql}");
        }
    }

    #[test]
    fn names_quotes_and_the_number_of_arguments_count() {
        assert!(!same("select a", "select b"));
        assert!(!same("select a", "select \"A\""));
        assert!(!same("select f(1)", "select f(1, 2)"));
        assert!(!same("select a b", "select ab"));
        assert!(!same("select a;select b", "select a select b"));
        assert!(!same("select a in (1, b)", "select a in (1)"));
        assert!(!same("insert into t values (1, 2)", "insert into t values (1)"));
        assert!(!same("insert into t values (1), (now())", "insert into t values (1)"));
        assert!(!same("select a where b = -1", "select a where b = 1"));
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = digest("select 1", Dialect::Postgres);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(format!("{digest:#x}"), format!("0x{digest}"));
        for text in ["", "1", "+123456789abcdef", "0123456789ABCDEF"] {
            assert_eq!(text.parse::<Digest>(), Err(ParseDigestError(())), "{text}");
        }
    }

    #[test]
    fn the_hash_is_the_documented_one() {
        assert_eq!(digest("", Dialect::Postgres).to_string(), "cbf29ce484222325");
        // FNV-1a over the two bytes `a` and 0xff.
        assert_eq!(digest("a", Dialect::Postgres).value(), 0x089b_c907_b544_c769);
    }
}
