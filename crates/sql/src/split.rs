//! A text → its statements.

use std::ops::Range;

use crate::Dialect;
use crate::Span;
use crate::classifier::Options;
use crate::cursor::Cursor;
use crate::lexer::Lexer;

/// The byte ranges of the statements of `sql`, from the first token of each to its last, without the semicolon.
///
/// Empty statements are passed over. Semicolons in literals, quoted names, comments, parentheses and
/// `BEGIN ATOMIC … END` bodies end nothing. What is not terminated belongs to its statement up to the end of the text; so does,
/// for MySQL and MariaDB, everything behind `CREATE PROCEDURE` and its like.
///
/// ```
/// use millpond_sql::{Dialect, split};
///
/// let sql = "select ';'; -- one;\n update t set a = $$;$$;";
/// let parts: Vec<&str> = split(sql, Dialect::Postgres).map(|range| &sql[range]).collect();
/// assert_eq!(parts, ["select ';'", "update t set a = $$;$$"]);
/// ```
#[must_use]
pub fn split(sql: &str, dialect: Dialect) -> Statements<'_> {
    Statements::new(sql, Options::new(dialect))
}

/// The statements of a text; made by [`split`].
#[derive(Clone, Debug)]
pub struct Statements<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Statements<'a> {
    pub(crate) fn new(sql: &'a str, options: Options) -> Self {
        Self { cursor: Cursor::new(Lexer::new(sql, options)) }
    }
}

impl Iterator for Statements<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let before = self.cursor.end();
            if !self.cursor.next_statement() {
                return None;
            }
            // An executable comment without an end is reported from its start, which may lie in the statement before.
            let start = self.cursor.peek().start().max(before);
            let _ = self.cursor.finish();
            if start < self.cursor.end() {
                return Some(Span::new(start, self.cursor.end()).range());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(sql: &str, dialect: Dialect) -> Vec<&str> {
        split(sql, dialect).map(|range| &sql[range]).collect()
    }

    #[test]
    fn empty_statements_and_comments_are_no_statements() {
        assert!(parts(" ; /* a */ ;-- b", Dialect::Postgres).is_empty());
        assert_eq!(parts(";select 1;;select 2 ;", Dialect::MySql), ["select 1", "select 2"]);
    }

    #[test]
    fn a_body_that_is_atomic_keeps_its_semicolons() {
        let sql = "create function f() returns int begin atomic select case when a then 1 end; select 2; end; select 3";
        assert_eq!(parts(sql, Dialect::Postgres).len(), 2);
        assert_eq!(parts("begin; select 1; end", Dialect::Postgres).len(), 3);
        assert_eq!(
            parts("create rule r as on insert to t do (select 1; select 2); select 3", Dialect::Postgres)
                .len(),
            2
        );
    }

    #[test]
    fn a_body_may_have_columns_named_like_its_marks() {
        for body in [
            "select 1 case",
            "select 1 as case",
            "select x.case from x",
            "select a.begin from a",
            "select 1 case, 2",
            "select 1 end",
            "insert into t select 1 case on conflict do nothing",
            "insert into t select 1 case returning a",
            "insert into t values (case when a then 1 end)",
            "select case when true then atomic end from t; select 2",
        ] {
            let sql = format!("create function f() returns int begin atomic {body}; end; set work_mem = 1");
            assert_eq!(parts(&sql, Dialect::Postgres).len(), 2, "{sql}");
        }
    }

    #[test]
    fn only_routines_have_a_body() {
        for start in [
            "create view v as select begin atomic from t",
            "create table a as select begin atomic from t",
            "create rule r as on insert to t do (select begin atomic from t)",
            "create function f() returns int language sql return (select begin atomic from t)",
            "alter table t alter a set default (select begin atomic)",
            "create table function as select begin atomic from t",
        ] {
            assert_eq!(parts(&format!("{start}; set work_mem = 1"), Dialect::Postgres).len(), 2, "{start}");
        }
        let sql = "begin; create or replace procedure p() begin atomic end; end";
        assert_eq!(parts(sql, Dialect::Postgres).len(), 3);
    }

    #[test]
    fn a_routine_of_mysql_has_the_rest_of_the_text() {
        assert_eq!(parts("create procedure p() begin select 1; select 2; end", Dialect::MySql).len(), 1);
        assert_eq!(parts("alter event e do begin select 1; select 2; end", Dialect::MySql).len(), 1);
        assert_eq!(parts("alter procedure p comment 'x'; set sql_mode = ''", Dialect::MySql).len(), 2);
        for start in [
            "create procedure p(out o int) set o = 5",
            "create procedure if not exists p() select 1",
            "create trigger g before insert on t for each row set new.a = 1",
            "create schema event",
            "create definer=event@localhost view v as select 1",
        ] {
            assert_eq!(parts(&format!("{start}; set sql_mode = ''"), Dialect::MySql).len(), 2, "{start}");
        }
        assert_eq!(parts("begin; select 1", Dialect::MariaDb).len(), 2);
        assert_eq!(parts("begin not atomic select 1; select 2; end", Dialect::MariaDb).len(), 1);
    }

    #[test]
    fn what_has_no_end_belongs_to_its_statement() {
        assert_eq!(
            parts("select 1; select 'a; select 2", Dialect::Postgres),
            ["select 1", "select 'a; select 2"]
        );
    }
}
