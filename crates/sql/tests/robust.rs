//! Any text gets an answer: no panic, ranges that can be cut, the same answer twice.

use millpond_sql::{
    Certainty, Classifier, Dialect, ReasonKind, analyze, classify, classify_bytes, digest, normalized, split,
};

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
        let of_people = normalized(sql, dialect);
        assert!(of_people.chars().count() <= 200 && !of_people.contains(char::is_control), "{shown:?}");
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
        for dialect in DIALECTS {
            check_analysis(&sql, dialect);
        }
    }
}

/// Literals, and what else is not shown, with a mark in each: by dialect, or for all.
const HIDDEN: &[(Option<Dialect>, &[&str])] = &[
    (
        None,
        &["'S3CRET'", "'a''S3CRET'", "N'S3CRET'", "X'S3CRET'", "B'S3CRET'", "/* S3CRET ' */", "-- S3CRET\n"],
    ),
    (None, &["774411", "774411.774411", "774411e3", ".774411", "0x774411", "in (774411, 'S3CRET')"]),
    (
        Some(Dialect::Postgres),
        &["E'\\'S3CRET'", "U&'S3CRET'", "$$ S3CRET ' $$", "$a$ $$ S3CRET $a$", "'a'\n'S3CRET'"],
    ),
    (Some(Dialect::Postgres), &["/* /* */ S3CRET */", "1_774411", "0b774411", "774411_774411.774411_774411"]),
    (Some(Dialect::Postgres), &["U&\"a\" uescape /* S3CRET */ '!'", "\"a\"\"b\""]),
    (
        Some(Dialect::MySql),
        &["\"S3CRET\"", "'\\'S3CRET'", "_utf8'S3CRET'", "# S3CRET\n", "@'S3CRET'", "/*! 'S3CRET' */"],
    ),
    (
        Some(Dialect::MariaDb),
        &["\"S3CRET\"", "'\\'S3CRET'", "/*M! 774411 'S3CRET' */", "/*!50000 'S3CRET' */"],
    ),
];

/// What stands between them.
const OPEN: &[&str] = &[
    "select",
    "from",
    "a",
    "b.c",
    "f(",
    ")",
    ",",
    "(",
    "values (",
    "in (",
    "array[",
    "]",
    "::",
    "<=",
    "-",
    "+",
    "?",
    "$1",
    "where",
    ";",
    "insert into t",
    "case",
    "end",
    "as",
    "limit",
    "interval",
    "=",
    "@",
    ".",
];

#[test]
fn no_value_and_no_comment_is_left_in_a_normalized_text() {
    for seed in 1..=20_000 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        for dialect in DIALECTS {
            let is_for = |(of, _): &&(Option<Dialect>, _)| of.is_none_or(|of| of == dialect);
            let hidden: Vec<_> = HIDDEN.iter().filter(is_for).flat_map(|(_, all)| *all).collect();
            let mut sql = String::new();
            for _ in 0..random.below(16) {
                let is_open = random.below(2) == 0;
                let piece =
                    if is_open { OPEN[random.below(OPEN.len())] } else { hidden[random.below(hidden.len())] };
                sql.push_str(piece);
                sql.push(' ');
            }
            let shown = normalized(&sql, dialect).to_lowercase();
            assert!(
                !shown.contains("s3cret") && !shown.contains("774411"),
                "{dialect}: {shown:?} of {sql:?}"
            );
            assert!(!shown.contains('…') || shown.chars().count() == 200, "{dialect}: {shown:?} of {sql:?}");
        }
    }
}

#[test]
fn a_normalized_text_has_the_digest_of_the_text() {
    let mut compared = 0;
    for seed in 1..=20_000 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let pieces = (0..random.below(24)).map(|_| PIECES[random.below(PIECES.len())]);
        // What only some servers read counts beside the tokens, and a number without its exponent is not shown.
        let pieces = pieces.filter(|piece| !["\n", "/*!", "/*!50000", "/*M!", "1e"].contains(piece));
        let sql = pieces.collect::<Vec<_>>().join(" ");
        let shown = normalized(&sql, Dialect::MySql);
        if !shown.contains('…') {
            assert_eq!(digest(&shown, Dialect::MySql), digest(&sql, Dialect::MySql), "{shown:?} of {sql:?}");
            compared += 1;
        }
    }
    assert!(compared > 10_000, "{compared}");
}

/// The analysis agrees with the other answers, and its tables can be cut out.
fn check_analysis(sql: &str, dialect: Dialect) {
    let analysis = analyze(sql, dialect);
    assert_eq!(analysis.classification(), classify(sql, dialect), "{sql:?}");
    let ranges: Vec<_> = analysis.parts().iter().map(|part| part.span().range()).collect();
    assert_eq!(ranges, split(sql, dialect).collect::<Vec<_>>(), "{sql:?}");
    for table in analysis.tables().iter() {
        assert!(!table.span().of(sql).is_empty() && !table.name().is_empty(), "{sql:?}");
    }
}

#[test]
fn bytes_that_are_no_text_are_no_read_whatever_stands_around_them() {
    let cases: [(&[u8], std::ops::Range<usize>); 4] = [
        (b"select 'caf\xe9'", 11..12),
        (b"select '\xe9\x9b", 8..10),
        (b"\xff; select 1", 0..1),
        (b"select 1 -- \xc3\x28", 12..13),
    ];
    for dialect in DIALECTS {
        for (bytes, range) in &cases {
            let answer = classify_bytes(bytes, dialect);
            assert!(!answer.is_plain_read() && answer.certainty() == Certainty::Unknown, "{bytes:?}");
            assert_eq!(answer.reason().kind(), ReasonKind::NotUtf8, "{bytes:?}");
            assert_eq!(answer.reason().span().range(), *range, "{bytes:?}");
            let lossy = String::from_utf8_lossy(bytes);
            assert!(answer.reason().display(&lossy).to_string().starts_with("the text is not UTF-8"));
        }
        let text = "select 'é' from t; delete from u";
        assert_eq!(classify_bytes(text.as_bytes(), dialect), classify(text, dialect));
        assert_eq!(Classifier::new(dialect).classify_bytes(text.as_bytes()), classify(text, dialect));
    }
}

#[test]
fn tables_of_long_texts_take_no_more_than_linear_time() {
    let n = 20_000;
    for piece in [
        "a, ",
        "a join b on ",
        "a as (select 1), ",
        "a(b) as (",
        "delete from t;",
        "(",
        "on conflict ",
        "with recursive a as (table a) ",
        "x.y.z, ",
    ] {
        for start in ["", "select * from ", "with ", "insert into t select * from "] {
            for dialect in [Dialect::Postgres, Dialect::MySql] {
                check_analysis(&format!("{start}{}", piece.repeat(n)), dialect);
            }
        }
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
