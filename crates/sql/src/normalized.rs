//! A text for people that has none of the values of a statement.

use crate::Dialect;
use crate::classifier::Options;
use crate::lexer::{Kind, Token};
use crate::shape::{self, Shape};

/// The most characters that a normalized text has.
const MOST: usize = 200;

/// What stands for a value.
const VALUE: char = '?';

/// What stands for the rest of the text.
const REST: char = '…';

/// `sql` without its values, for people who are to recognise the statement: each literal and parameter is a `?`, comments are dropped,
/// white space is one blank, unquoted words are in lower case. Lists and rows are as short as the [`digest`](crate::digest) takes them. What goes beyond
/// 200 characters, or cannot be read, is a `…`.
///
/// Names stay as they are, quoted ones too. The server must read literals as `sql` is read here: with other settings, use
/// [`Classifier::normalized`](crate::Classifier::normalized).
///
/// ```
/// use millpond_sql::{Dialect, normalized};
///
/// let sql = "SELECT name FROM item WHERE id IN (1, -2) AND owner = 'me' -- by hand";
/// assert_eq!(normalized(sql, Dialect::Postgres), "select name from item where id in (?) and owner = ?");
/// ```
#[must_use]
pub fn normalized(sql: &str, dialect: Dialect) -> String {
    of(sql, Options::new(dialect))
}

/// `sql` without its values, as a server with these settings reads it.
pub(crate) fn of(sql: &str, options: Options) -> String {
    let mut shown = Shown { text: String::new(), left: MOST, is_cut: false, end: 0, last: None };
    shape::walk(sql, options, &mut shown);
    shown.text
}

/// What is shown of a text.
struct Shown {
    text: String,
    /// How many characters more it may have.
    left: usize,
    /// Whether it would have more.
    is_cut: bool,
    /// Where the last token ended.
    end: u32,
    last: Option<Kind>,
}

impl Shown {
    fn push(&mut self, c: char) {
        if self.left == 0 && !self.is_cut {
            self.text.pop();
            self.text.push(REST);
            self.is_cut = true;
        }
        if self.is_cut {
            return;
        }
        // A quoted name may have anything in it, and a terminal obeys what it is shown.
        self.text.push(if c.is_control() { ' ' } else { c });
        self.left -= 1;
    }

    fn push_all(&mut self, text: &str) {
        for c in text.chars() {
            if self.is_full() {
                return;
            }
            self.push(c);
        }
    }

    /// Whether a blank stands in front of a token.
    fn is_apart(&self, kind: Kind, has_gap: bool) -> bool {
        let Some(last) = self.last else { return false };
        let is_closing = matches!(kind, Kind::Close | Kind::CloseBracket | Kind::Comma);
        let is_opened = matches!(last, Kind::Open | Kind::OpenBracket);
        let ends_something = is_word(last) || matches!(last, Kind::Close | Kind::CloseBracket);
        let would_meet = matches!(last, Kind::Comma | Kind::Semicolon) || (ends_something && is_word(kind));
        !is_closing && !is_opened && (has_gap || would_meet)
    }
}

/// Whether it needs something between it and the next of its kind.
const fn is_word(kind: Kind) -> bool {
    use Kind::{Bad, Name, Number, Param, Quoted, Text, UserVariable, Word};
    matches!(kind, Word | Name | Quoted | Text | Number | Param | UserVariable | Bad)
}

fn is_quoted_variable(text: &str) -> bool {
    text.trim_start_matches('@').starts_with(['\'', '"', '`'])
}

impl Shape for Shown {
    fn token(&mut self, token: Token, text: &[u8]) {
        let kind = token.kind();
        let has_gap = token.start() > self.end;
        self.end = token.end();
        // The digits of `0x1f` and `1_000`, which newer servers read, are names to the lexer.
        if self.last == Some(Kind::Number) && !has_gap && matches!(kind, Kind::Name | Kind::Number) {
            return;
        }
        if self.is_apart(kind, has_gap) {
            self.push(' ');
        }
        self.last = Some(kind);
        let text = String::from_utf8_lossy(text);
        match kind {
            Kind::Text | Kind::Number | Kind::Param => self.push(VALUE),
            // What it is cannot be told, so nothing of it is.
            Kind::Bad => self.push(REST),
            Kind::UserVariable if is_quoted_variable(&text) => self.push_all("@?"),
            Kind::Word | Kind::Name | Kind::UserVariable => self.push_all(&text.to_ascii_lowercase()),
            // A literal may belong to it, which says what escapes.
            Kind::Quoted if !text.starts_with(['"', '`']) => self.push_all("u&\"?\""),
            _ => self.push_all(&text),
        }
    }

    fn semicolon(&mut self) {
        self.push(';');
        self.last = Some(Kind::Semicolon);
    }

    fn comma(&mut self) {
        self.push(',');
        self.last = Some(Kind::Comma);
    }

    fn conditional(&mut self) {}

    fn is_full(&self) -> bool {
        self.is_cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Classifier, digest};

    #[test]
    fn a_statement_is_recognised_without_its_values() {
        for (sql, shown) in [
            ("SELECT *\n\tFROM  Shop.Item\n WHERE id=$1", "select * from shop.item where id=?"),
            (
                "insert into t values (1,'a'), (2,'b') returning id",
                "insert into t values (?, ?) returning id",
            ),
            ("select a from t where b in ( 1, 2,3 )and c<=4", "select a from t where b in (?) and c<=?"),
            ("select a in (1, b, 2)", "select a in (?, b, ?)"),
            ("select count(*), a::text from \"My T\" -- x", "select count(*), a::text from \"My T\""),
            ("select a/**/from/* ' */t", "select a from t"),
            ("/*+ hint */ select 1;select 'x'; ;", "select ?; select ?"),
            ("select 1for, 'a'b, a->>'k', -1", "select ? for, ? b, a->>?, -?"),
            ("select array[1, 2], 0x1f, 1_000.5_0 from t", "select array[?], ?, ? from t"),
            ("select U&\"d!0061t!+000061\" uescape '!' from t", "select u&\"?\" from t"),
            ("select a from t where b = 'no end", "select a from t where b = …"),
            ("select \"a\nb\u{1b}[1m\"", "select \"a b [1m\""),
            ("", ""),
            (" -- nothing", ""),
        ] {
            assert_eq!(normalized(sql, Dialect::Postgres), shown, "{sql}");
        }
        let mysql = "select `a`, @'x y', @b, \"c\" from t /*! where d = 'e' */ # f";
        assert_eq!(normalized(mysql, Dialect::MySql), "select `a`, @?, @b, ? from t where d = ?");
    }

    #[test]
    fn a_long_text_is_cut() {
        let of = |names: usize| normalized(&format!("select {}é", "é".repeat(names)), Dialect::Postgres);
        assert_eq!((of(192).chars().count(), of(192).ends_with('é')), (200, true));
        assert_eq!((of(193).chars().count(), of(193).ends_with("é…")), (200, true));
        let long = format!("select {} from t", "1, b, ".repeat(100_000));
        assert!(normalized(&long, Dialect::Postgres).chars().count() == 200);
    }

    #[test]
    fn texts_of_one_digest_look_alike() {
        let (one, other) = ("select a from t where b in (1)", "SELECT a  FROM t WHERE b IN ($1, $2) /* c */");
        assert_eq!(digest(one, Dialect::Postgres), digest(other, Dialect::Postgres));
        assert_eq!(normalized(one, Dialect::Postgres), normalized(other, Dialect::Postgres));
    }

    #[test]
    fn a_literal_ends_where_the_server_ends_it() {
        let sql = "select 'it\\'s secret', b";
        let old = Classifier::new(Dialect::Postgres).standard_conforming_strings(false);
        assert_eq!(old.normalized(sql), "select ?, b");
        assert_eq!(Classifier::new(Dialect::MySql).normalized(sql), "select ?, b");
    }
}
