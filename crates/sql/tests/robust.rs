//! Any text gets an answer: no panic, ranges that can be cut, the same answer twice.

use millpond_sql::{Dialect, classify, digest, split};

const DIALECTS: [Dialect; 3] = [Dialect::Postgres, Dialect::MySql, Dialect::MariaDb];

/// Pieces that texts are put together from: everything that opens or closes something, and words that matter.
const PIECES: &[&str] = &[
    " ",
    "\n",
    "'",
    "\"",
    "`",
    "\\",
    "$",
    "$$",
    "$a$",
    "E'",
    "U&'",
    "U&\"",
    "B'",
    "/*",
    "*/",
    "/*!",
    "/*!50000",
    "/*M!",
    "--",
    "-- ",
    "#",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    ";",
    "::",
    ":=",
    "=",
    "@",
    "@@",
    "?",
    "$1",
    "1",
    "1e",
    ".5",
    "0x",
    "\0",
    "é",
    "\u{feff}",
    "a",
    "f",
    "nextval",
    "select",
    "with",
    "as",
    "from",
    "into",
    "for",
    "update",
    "share",
    "insert",
    "delete",
    "merge",
    "values",
    "table",
    "explain",
    "analyze",
    "copy",
    "to",
    "stdout",
    "begin",
    "atomic",
    "end",
    "case",
    "create",
    "function",
    "prepare",
    "declare",
    "cursor",
    "set",
    "transaction",
    "read",
    "only",
    "show",
    "lock",
    "in",
    "mode",
    "distinct",
    "on",
    "operator",
    "grouping",
    "sets",
    "cube",
    "by",
    "group",
    "pg_temp",
    "pg_catalog",
    "not",
    "materialized",
    "recursive",
    "next",
    "value",
    "any",
    "match",
    "against",
    "columns",
    "global",
    "U&",
    "N'",
    "{",
];

/// A small generator; the seed is the whole state.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % n
    }
}

fn check(sql: &str) {
    let shown: String = sql.chars().take(200).collect();
    for dialect in DIALECTS {
        let answer = classify(sql, dialect);
        assert_eq!(answer, classify(sql, dialect));
        let span = answer.reason().span();
        assert!(span.start() <= span.end() && span.end() <= sql.len(), "{dialect}: {shown:?}");
        assert!(sql.get(span.range()).is_some(), "{dialect}: {shown:?}");
        assert!(!answer.reason().display(sql).to_string().is_empty());
        let _ = digest(sql, dialect);
        let mut end = 0;
        for range in split(sql, dialect) {
            assert!(range.start >= end && range.end > range.start, "{dialect}: {shown:?}");
            assert!(sql.get(range.clone()).is_some(), "{dialect}: {shown:?}");
            end = range.end;
        }
    }
}

#[test]
fn any_row_of_pieces_gets_an_answer() {
    for seed in 1..=20_000 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut sql = String::new();
        for _ in 0..random.below(24) {
            sql.push_str(PIECES[random.below(PIECES.len())]);
            if random.below(2) == 0 {
                sql.push(' ');
            }
        }
        check(&sql);
    }
}

#[test]
fn long_texts_take_no_more_than_linear_time() {
    // A quadratic walk over any of these would take minutes.
    let n = 60_000;
    for piece in [
        "(",
        "[",
        "$a ",
        "$a$ ",
        "'a'\n",
        "'a'\n--\n",
        "/*",
        "/*!",
        "1e1",
        "a.",
        "@a",
        "E'\\'",
        "select ",
        "with a as (",
        "cast(a as b(",
        "for ",
        "; ",
        "explain ",
        "$a",
        "1.",
        "/**/",
        "case ",
        "any (",
    ] {
        let sql = piece.repeat(n);
        check(&sql);
        check(&format!("select {sql}"));
        check(&format!("create function a() begin atomic {sql}"));
    }
}
