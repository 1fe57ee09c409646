//! What the classifier promises for any text: answers that can be shown, and answers that agree with each other.

mod relations;
mod tables;
mod time;

use std::ops::Range;

use millpond_sql::{
    Classification, Classifier, Dialect, ReasonKind, classify_bytes, digest, normalized, split,
};

use crate::text;
use relations::Reader;

const DIALECTS: [Dialect; 3] = [Dialect::Postgres, Dialect::MySql, Dialect::MariaDb];

/// Classifies any bytes in every dialect and setting, and panics when an answer cannot be right.
pub fn classify(data: &[u8]) {
    let sql = text(data);
    for dialect in DIALECTS {
        bytes(data, dialect);
        default_settings(&sql, dialect);
    }
    for (reader, _) in with_settings() {
        answer(&sql, &reader);
    }
    time::is_linear(&sql);
}

/// One dialect as most services have it.
fn default_settings(sql: &str, dialect: Dialect) {
    let reader = Reader::new(Classifier::new(dialect));
    let found = answer(sql, &reader);
    assert_eq!(found, millpond_sql::classify(sql, dialect), "{dialect}: two doors, two answers: {sql:?}");
    let ranges = statements(sql, dialect);
    relations::parts_agree(sql, &reader, found, &ranges);
    assert_eq!(digest(sql, dialect), digest(sql, dialect), "{dialect}: {sql:?}");
    relations::digest_ignores_form(sql, dialect, found);
    assert!(normalized(sql, dialect).chars().count() <= 200, "{dialect}: {sql:?}");
    let analysis = millpond_sql::analyze(sql, dialect);
    let parts: Vec<_> = analysis.parts().iter().map(|part| part.span().range()).collect();
    assert_eq!(parts, ranges, "{dialect}: {sql:?}");
    assert_eq!(analysis.digest(), digest(sql, dialect), "{dialect}: {sql:?}");
}

/// Bytes that are a text are that text, and others are never a plain read.
fn bytes(data: &[u8], dialect: Dialect) {
    let found = classify_bytes(data, dialect);
    match std::str::from_utf8(data) {
        Ok(sql) => assert_eq!(found, millpond_sql::classify(sql, dialect), "{dialect}: {sql:?}"),
        Err(error) => {
            let span = found.reason().span();
            assert_eq!(found.reason().kind(), ReasonKind::NotUtf8, "{dialect}: {data:?}");
            assert!(!found.is_plain_read() && span.start() == error.valid_up_to(), "{dialect}: {data:?}");
            assert!(span.start() < span.end() && span.end() <= data.len(), "{dialect}: {data:?}");
        }
    }
}

/// Each setting of a classifier, turned from its default.
fn with_settings() -> [(Reader, &'static str); 5] {
    let name = "allowed and denied functions";
    let functions =
        |dialect| Classifier::new(dialect).allow_function("f").allow_function("shop.g").deny_function("abs");
    [
        (Reader::new(Classifier::new(Dialect::Postgres).standard_conforming_strings(false)), "old strings"),
        (Reader::new(Classifier::new(Dialect::MySql).no_backslash_escapes(true)), "no escapes"),
        (Reader::new(Classifier::new(Dialect::MariaDb).ansi_quotes(true)), "quoted names"),
        (Reader::new(functions(Dialect::Postgres)), name),
        (Reader::new(functions(Dialect::MySql).ansi_quotes(true).no_backslash_escapes(true)), name),
    ]
}

/// What holds of one answer, and of the answers to the text written in other ways.
fn answer(sql: &str, reader: &Reader) -> Classification {
    let found = reader.classify(sql);
    assert_eq!(found, reader.classify(sql), "{reader}: the same text, two answers: {sql:?}");
    can_be_shown(sql, reader, found);
    tables::analysis_agrees(sql, reader, found);
    relations::ends_agree(sql, reader, found);
    relations::writes_are_seen(sql, reader);
    relations::case_does_not_count(sql, reader);
    relations::comments_do_not_count(sql, reader, found);
    relations::wrapping_agrees(sql, reader, found);
    found
}

fn can_be_shown(sql: &str, reader: &Reader, found: Classification) {
    let span = found.reason().span();
    assert!(sql.get(span.range()).is_some(), "{reader}: {span:?} cannot be cut out of {sql:?}");
    let shown = found.reason().display(sql).to_string();
    assert!(!shown.is_empty() && !shown.contains(char::is_control), "{reader}: {shown:?} of {sql:?}");
}

/// The statements of a text, which stand in order and apart.
fn statements(sql: &str, dialect: Dialect) -> Vec<Range<usize>> {
    let ranges: Vec<_> = split(sql, dialect).collect();
    let mut end = 0;
    for range in &ranges {
        assert!(end <= range.start && range.start < range.end, "{dialect}: {ranges:?} of {sql:?}");
        assert!(sql.get(range.clone()).is_some(), "{dialect}: {range:?} cannot be cut out of {sql:?}");
        end = range.end;
    }
    ranges
}
