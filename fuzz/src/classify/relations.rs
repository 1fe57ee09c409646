//! The same statement in another form: answers that must be the same, or must not be milder.
//!
//! Each relation says for which texts it holds. One that is checked for more texts than that finds errors that are none.

use std::fmt;
use std::ops::Range;

use millpond_sql::{Analysis, Classification, Classifier, Dialect, ReasonKind, Route, digest};

/// Deeper texts are left out where a form adds parentheses: the classifier gives up at a depth of its own.
const DEEP: usize = 100;

/// A classifier that can be named in a finding.
pub(super) struct Reader(Classifier);

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Reader {
    pub(super) fn new(classifier: Classifier) -> Self {
        Self(classifier)
    }

    pub(super) fn classify(&self, sql: &str) -> Classification {
        self.0.classify(sql)
    }

    pub(super) fn analyze(&self, sql: &str) -> Analysis {
        self.0.analyze(sql)
    }

    pub(super) fn is_postgres(&self) -> bool {
        self.0.dialect() == Dialect::Postgres
    }

    /// Whether the text may have an executable comment, whose code is not where its statement is.
    fn may_have_code_in_comments(&self, sql: &str) -> bool {
        !self.is_postgres() && sql.contains("/*")
    }
}

/// White space, a line comment and a semicolon at the end change no route. The line break before them ends a line
/// comment, and inside of a literal or comment without an end all of it is more of the same.
pub(super) fn ends_agree(sql: &str, reader: &Reader, found: Classification) {
    for end in ["\n", "\n \t", "\n-- more", "\n;"] {
        let other = reader.classify(&format!("{sql}{end}"));
        assert_eq!(other.route(), found.route(), "{reader}: with {end:?} behind {sql:?}");
    }
    if !found.is_plain_read() {
        // The mark behind a block comment would end one that was open.
        return;
    }
    let other = reader.classify(&format!("{sql}\n/* more */"));
    assert!(other.is_plain_read(), "{reader}: a comment behind {sql:?}");
    let twice = reader.classify(&format!("{sql}\n;{sql}"));
    assert!(twice.is_plain_read(), "{reader}: a read twice is a read: {sql:?}");
    assert_eq!(twice.statements(), 2 * found.statements(), "{reader}: {sql:?}");
}

/// Whatever stands before or behind it, a write in the same text is never a plain read: where the text has no end,
/// the whole is not one either.
pub(super) fn writes_are_seen(sql: &str, reader: &Reader) {
    for text in [format!("{sql}\n; delete from t"), format!("delete from t;\n{sql}")] {
        assert!(!reader.classify(&text).is_plain_read(), "{reader}: a write is not seen: {text:?}");
    }
}

/// The case of words does not count where there is nothing but words: no literal, no quoted name, no dollar quote. In
/// MySQL also no `/*M!` and no `0x`, which mean something in one case only.
pub(super) fn case_does_not_count(sql: &str, reader: &Reader) {
    let is_folded = !sql.contains(['\'', '"', '`', '$', '\\'])
        && (reader.is_postgres() || !(sql.contains("/*") || sql.contains('0')));
    if !is_folded {
        return;
    }
    let (lower, upper) = (sql.to_ascii_lowercase(), sql.to_ascii_uppercase());
    assert_eq!(reader.classify(&lower), reader.classify(&upper), "{reader}: the case counts in {sql:?}");
}

/// In PostgreSQL a comment stands for a blank wherever there is no literal, quoted name or other comment.
pub(super) fn comments_do_not_count(sql: &str, reader: &Reader, found: Classification) {
    let has_more = sql.contains(['\'', '"', '$']) || sql.contains("/*");
    if has_more || !reader.is_postgres() || !sql.contains(' ') {
        return;
    }
    let other = reader.classify(&sql.replace(' ', "/**/"));
    assert_eq!(other.route(), found.route(), "{reader}: comments for blanks in {sql:?}");
    assert_eq!(other.statements(), found.statements(), "{reader}: comments for blanks in {sql:?}");
}

/// A query inside of another statement is what it is alone. Only whole ones count: with a parenthesis too many, what
/// is put around it would give it another meaning.
pub(super) fn wrapping_agrees(sql: &str, reader: &Reader, found: Classification) {
    if !is_whole_query(sql, found) {
        return;
    }
    let mut forms = vec![format!("select * from ({sql}\n) x"), format!("explain analyze {sql}")];
    if reader.is_postgres() {
        forms.push(format!("with x as ({sql}\n) select 1"));
        forms.push(format!("with x as not materialized ({sql}\n) table x"));
        forms.push(format!("copy ({sql}\n) to stdout"));
    }
    for form in forms {
        let other = reader.classify(&form);
        let is_same = other.is_plain_read() == found.is_plain_read();
        assert!(is_same, "{reader}: {:?} alone, {:?} in {form:?}", found.route(), other.route());
    }
}

/// Whether a text is one query that can be put into another statement.
pub(super) fn is_whole_query(sql: &str, found: Classification) -> bool {
    let is_whole = !matches!(
        found.reason().kind(),
        ReasonKind::Nesting | ReasonKind::Unterminated | ReasonKind::Nul | ReasonKind::Empty
    );
    is_whole && is_query(sql) && !sql.contains(';') && sql.matches('(').count() <= DEEP
}

fn is_query(sql: &str) -> bool {
    ["select ", "values ", "table "]
        .iter()
        .any(|verb| sql.get(..verb.len()).is_some_and(|s| s.eq_ignore_ascii_case(verb)))
}

/// A text is a plain read just when each of its statements is one. In MySQL two minus signs at the end of a statement
/// are operators in front of a comment, and start one where the text ends.
pub(super) fn parts_agree(sql: &str, reader: &Reader, found: Classification, parts: &[Range<usize>]) {
    if sql.contains('\0') || reader.may_have_code_in_comments(sql) {
        return;
    }
    assert_eq!(parts.len(), found.statements(), "{reader}: {parts:?} of {sql:?}");
    if !reader.is_postgres() && parts.iter().any(|range| sql[range.clone()].ends_with("--")) {
        return;
    }
    let reads = parts.iter().all(|range| reader.classify(&sql[range.clone()]).is_plain_read());
    let is_read = reads && !parts.is_empty();
    assert_eq!(found.route() == Route::Replica, is_read, "{reader}: {parts:?} of {sql:?}");
}

/// White space, comments and a last semicolon leave the digest of a read as it is; so does case where there are words only.
pub(super) fn digest_ignores_form(sql: &str, dialect: Dialect, found: Classification) {
    if !found.is_plain_read() {
        return;
    }
    let wanted = digest(sql, dialect);
    for end in ["\n", "\n-- more", "\n/* more */", "\n;"] {
        assert_eq!(digest(&format!("{sql}{end}"), dialect), wanted, "{dialect}: with {end:?} behind {sql:?}");
    }
}
