//! All that a text shows: what it does, its statements, its tables, its digest.

use std::ops::Range;

use crate::classifier::{Functions, Options};
use crate::tables::Collector;
use crate::{Classification, Digest, ReasonKind, Span, Statements, Tables, digest, grammar};

/// All that a text shows; made by [`analyze`](crate::analyze), [`Classifier::analyze`](crate::Classifier::analyze) and
/// [`Cache::analyze`](crate::Cache::analyze).
///
/// It takes several walks and an allocation or two where a [`Classification`] takes one walk and none.
///
/// ```
/// use millpond_sql::{Dialect, Route, TableUse, analyze};
///
/// let sql = "insert into audit select * from item where id = 1; select count(*) from shop.item";
/// let analysis = analyze(sql, Dialect::Postgres);
/// assert_eq!(analysis.classification().route(), Route::Primary);
///
/// let routes: Vec<Route> = analysis.parts().iter().map(|part| part.classification().route()).collect();
/// assert_eq!(routes, [Route::Primary, Route::Replica]);
///
/// let tables = analysis.tables();
/// assert!(tables.is_complete());
/// let named: Vec<(String, TableUse)> = tables.iter().map(|table| (table.to_string(), table.usage())).collect();
/// let wanted = [("audit", TableUse::Write), ("item", TableUse::Read), ("shop.item", TableUse::Read)];
/// assert_eq!(named, wanted.map(|(name, usage)| (name.to_owned(), usage)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis {
    classification: Classification,
    digest: Digest,
    parts: Box<[Part]>,
    tables: Tables,
}

impl Analysis {
    pub(crate) fn new(sql: &str, options: Options, functions: Option<&Functions>) -> Self {
        let classification = grammar::classify(sql, options, functions);
        // A text of that length has places that no span can tell.
        let text = if classification.reason().kind() == ReasonKind::TooLong { "" } else { sql };
        let parts: Box<[Part]> = Statements::new(text, options)
            .map(|range| Part::new(text, range, &classification, options, functions))
            .collect();
        let mut tables = Collector::new(text, &classification);
        for part in &parts {
            tables.statement(part.of(text), part.span.start(), &part.classification, options, functions);
        }
        Self { classification, digest: digest::of(text, options), parts, tables: tables.finish(functions) }
    }

    /// What the whole text does, as [`classify`](crate::classify) says it.
    #[must_use]
    pub const fn classification(&self) -> Classification {
        self.classification
    }

    /// The number that texts share which differ only in values.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The statements of the text, at the ranges that [`split`](crate::split) gives.
    #[must_use]
    pub const fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The tables that the text names.
    #[must_use]
    pub const fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The bytes that it takes.
    pub(crate) fn size(&self) -> usize {
        size_of_val(self) + size_of_val(&*self.parts) + self.tables.heap_size()
    }
}

/// One statement of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    span: Span,
    classification: Classification,
}

impl Part {
    fn new(
        sql: &str,
        range: Range<usize>,
        whole: &Classification,
        options: Options,
        functions: Option<&Functions>,
    ) -> Self {
        let span = Span::at(&range);
        let classification =
            if range == (0..sql.len()) { *whole } else { grammar::classify(&sql[range], options, functions) };
        Self { span, classification }
    }

    /// Where it stands in the text, without the semicolon.
    #[must_use]
    pub const fn span(&self) -> Span {
        self.span
    }

    /// Its own text, cut out of the whole one.
    #[must_use]
    pub fn of<'a>(&self, sql: &'a str) -> &'a str {
        self.span.of(sql)
    }

    /// What it does by itself, as if it were the whole text: bytes are counted from its start. An executable comment of MySQL that
    /// goes on over a semicolon belongs to no part, so that only the answer to the whole text counts there.
    #[must_use]
    pub const fn classification(&self) -> Classification {
        self.classification
    }
}

#[cfg(test)]
mod tests {
    use crate::{Analysis, Classifier, Dialect, classify, digest, split};

    fn all(sql: &str, dialect: Dialect) -> Analysis {
        Classifier::new(dialect).analyze(sql)
    }

    #[test]
    fn each_part_is_answered_as_if_it_stood_alone() {
        let sql = " select a from t ; update t set a = nextval('s');\n select 'no end";
        let analysis = all(sql, Dialect::Postgres);
        let ranges: Vec<_> = split(sql, Dialect::Postgres).collect();
        assert_eq!(analysis.parts().len(), 3);
        for (part, range) in analysis.parts().iter().zip(ranges) {
            assert_eq!(part.span().range(), range);
            assert_eq!(part.classification(), classify(part.of(sql), Dialect::Postgres), "{}", part.of(sql));
        }
        assert_eq!(analysis.classification(), classify(sql, Dialect::Postgres));
        assert_eq!(analysis.digest(), digest(sql, Dialect::Postgres));
    }

    #[test]
    fn spans_of_tables_are_places_in_the_whole_text() {
        let sql = "select 1; select * from b.c x join d on true; delete from d";
        let analysis = all(sql, Dialect::Postgres);
        let words: Vec<_> = analysis.tables().iter().map(|table| table.span().of(sql)).collect();
        assert_eq!(words, ["b.c", "d"]);
        let written: Vec<_> = analysis.tables().written().map(|table| table.name()).collect();
        assert_eq!(written, ["d"]);
    }

    #[test]
    fn the_settings_of_the_server_count_for_all_of_it() {
        let sql = "select 'a\\' from t; delete from u --'";
        assert_eq!(all(sql, Dialect::Postgres).parts().len(), 2);
        let old = Classifier::new(Dialect::Postgres).standard_conforming_strings(false).analyze(sql);
        assert_eq!((old.parts().len(), old.tables().len()), (1, 0));
        let quoted = Classifier::new(Dialect::MySql).ansi_quotes(true).analyze("select * from \"t\"");
        assert_eq!(quoted.tables().iter().map(|table| table.name()).collect::<Vec<_>>(), ["t"]);
    }

    #[test]
    fn a_function_that_only_the_user_knows_may_read_any_table() {
        let classifier = Classifier::new(Dialect::Postgres).allow_function("price_of").deny_function("abs");
        for sql in ["select price_of(1) from t", "insert into t select price_of(1)", "select abs(1) from t"] {
            assert!(!classifier.analyze(sql).tables().is_complete(), "{sql}");
        }
        assert!(classifier.analyze("select lower(a) from t").tables().is_complete());
    }

    #[test]
    fn tables_that_may_be_one_are_found() {
        let read = all("select * from shop.item join b on true", Dialect::Postgres);
        let written = all("update item set a = 1; update other.item set a = 1", Dialect::Postgres);
        let answers: Vec<_> = written
            .tables()
            .written()
            .map(|table| read.tables().may_name(table.schema(), table.name()))
            .collect();
        assert_eq!(answers, [true, false]);
        let unknown = all("select f(1)", Dialect::Postgres);
        assert!(written.tables().written().all(|table| unknown.tables().may_name(None, table.name())));
    }
}
