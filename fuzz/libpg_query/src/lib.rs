//! Texts are split as PostgreSQL's own parser splits them, whose code libpg_query is, and have the tables it sees.

mod tables;

use std::fmt;
use std::ops::Range;

use millpond_sql::Dialect;
use pg_query::protobuf::Token;

pub use tables::{TableAgreement, TableDifference, compare_tables, tables};

/// What a comparison came to, where the two do not differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third answer")]
pub enum Agreement {
    /// The same statements, token by token.
    Same,
    /// The parser does not take the text, so it has no statements.
    Refused,
}

/// Two ways to split one text.
#[derive(Debug)]
pub struct Difference {
    sql: String,
    ours: Vec<Range<usize>>,
    theirs: Vec<Range<usize>>,
}

impl Difference {
    /// Known: the end of a body that is in another one is taken for the end of both. The parser takes such a text, and no
    /// server does.
    fn is_known(&self) -> bool {
        let bodies = |statement: &Range<usize>| {
            let kinds = scanned(self.sql.get(statement.clone()).unwrap_or_default()).unwrap_or_default();
            let pairs =
                kinds.windows(2).filter(|pair| pair[0].0 == Token::BeginP && pair[1].0 == Token::Atomic);
            pairs.count()
        };
        self.theirs.iter().any(|statement| bodies(statement) > 1)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = |ranges: &[Range<usize>]| -> Vec<String> {
            ranges.iter().map(|range| self.sql.get(range.clone()).unwrap_or("?").to_owned()).collect()
        };
        writeln!(f, "split in different ways: {:?}", self.sql)?;
        writeln!(f, "  ours:   {:?} {:?}", self.ours, cut(&self.ours))?;
        write!(f, "  theirs: {:?} {:?}", self.theirs, cut(&self.theirs))
    }
}

/// Splits any bytes both ways, and panics when the two differ.
///
/// # Panics
///
/// With a difference.
pub fn split(data: &[u8]) {
    let sql = millpond_fuzz::text(data);
    if let Err(difference) = compare(&sql) {
        assert!(difference.is_known(), "{difference}");
    }
}

/// Splits a text both ways: each statement must go from the same first token to the same last one.
///
/// # Errors
///
/// When the two differ.
pub fn compare(sql: &str) -> Result<Agreement, Difference> {
    let Some(theirs) = theirs(sql) else { return Ok(Agreement::Refused) };
    let ours: Vec<_> = millpond_sql::split(sql, Dialect::Postgres).collect();
    if ours == theirs {
        return Ok(Agreement::Same);
    }
    Err(Difference { sql: sql.to_owned(), ours, theirs })
}

/// The parser's statements without what stands around them; nothing when it does not take the text.
fn theirs(sql: &str) -> Option<Vec<Range<usize>>> {
    // What ends a text for the parser is in the middle of it for others.
    if sql.contains('\0') {
        return None;
    }
    let parts = pg_query::split_with_parser(sql).ok()?;
    let tokens = tokens(sql)?;
    let whole = parts.into_iter().map(|part| {
        let start = part.as_ptr().addr() - sql.as_ptr().addr();
        let is_inside = |token: &&Range<usize>| token.start >= start && token.end <= start + part.len();
        let mut inside = tokens.iter().filter(is_inside);
        let first = inside.next();
        let last = inside.next_back().or(first);
        first.zip(last).map_or(start..start, |(first, last)| first.start..last.end)
    });
    Some(whole.collect())
}

/// Where all tokens are but comments.
fn tokens(sql: &str) -> Option<Vec<Range<usize>>> {
    Some(scanned(sql)?.into_iter().map(|(_, range)| range).collect())
}

/// All tokens but comments.
fn scanned(sql: &str) -> Option<Vec<(Token, Range<usize>)>> {
    let number = |n: i32| usize::try_from(n).ok();
    let tokens = pg_query::scan(sql).ok()?.tokens.into_iter();
    let kinds = tokens.map(|token| (Token::try_from(token.token).unwrap_or(Token::Nul), token));
    let code = kinds.filter(|(kind, _)| !matches!(kind, Token::SqlComment | Token::CComment));
    code.map(|(kind, token)| Some((kind, number(token.start)?..number(token.end)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_a_statement_does_not_count() {
        let sql = " /* a */ select ';' -- b\n ; ;\n select 2 /* c */";
        assert_eq!(theirs(sql), Some(vec![9..19, 31..39]));
        assert_eq!(compare(sql).expect("no difference"), Agreement::Same);
    }

    #[test]
    fn a_body_with_semicolons_is_one_statement() {
        let sql = "create function f() returns int begin atomic select 1; select 2; end; select 3";
        assert_eq!(theirs(sql).map(|parts| parts.len()), Some(2));
        assert_eq!(compare(sql).expect("no difference"), Agreement::Same);
    }

    #[test]
    fn a_body_in_a_body_is_known_and_a_label_like_its_end_is_none() {
        let whole =
            |body: &str| format!("create function f() returns int begin atomic {body}; end; select 3");
        let nested = whole("create function g() returns int begin atomic select 1; end; select 2");
        assert!(compare(&nested).expect_err("they differ").is_known());
        for body in ["select 1 end; select 2", "select 1 case; select 2", "select begin atomic from t"] {
            assert_eq!(compare(&whole(body)).expect("no difference"), Agreement::Same, "{body}");
        }
    }

    #[test]
    fn what_the_parser_refuses_is_not_compared() {
        assert_eq!(compare("select from where").expect("no difference"), Agreement::Refused);
        assert_eq!(compare("select 'a").expect("no difference"), Agreement::Refused);
    }

    #[test]
    fn a_difference_is_shown_with_both_ways() {
        let found = Difference { sql: "a;b".to_owned(), ours: Vec::new(), theirs: vec![0..1, 2..3] };
        assert!(found.to_string().ends_with("theirs: [0..1, 2..3] [\"a\", \"b\"]"), "{found}");
    }
}
