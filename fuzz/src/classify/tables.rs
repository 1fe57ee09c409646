//! The tables of a text: they can be cut out of it, and are the same wherever the text stands.

use std::collections::BTreeMap;

use millpond_sql::{Analysis, Classification, TableUse};

use super::relations::{self, Reader};

/// An analysis says of the whole text what its classification says, and of tables what the text has.
pub(super) fn analysis_agrees(sql: &str, reader: &Reader, found: Classification) {
    let analysis = reader.analyze(sql);
    assert_eq!(analysis, reader.analyze(sql), "{reader}: the same text, two analyses: {sql:?}");
    assert_eq!(analysis.classification(), found, "{reader}: {sql:?}");
    for part in analysis.parts() {
        let cut = part.of(sql);
        assert_eq!(part.classification(), reader.classify(cut), "{reader}: {cut:?} of {sql:?}");
    }
    let mut end = 0;
    for table in analysis.tables().iter() {
        let span = table.span();
        assert!(sql.get(span.range()).is_some_and(|cut| !cut.is_empty()), "{reader}: {span:?} of {sql:?}");
        assert!(end <= span.start(), "{reader}: tables are not in order: {sql:?}");
        end = span.start();
        assert!(!found.access().is_read() || table.usage() == TableUse::Read, "{reader}: {sql:?}");
    }
    assert_eq!(named(&analysis).len(), analysis.tables().len(), "{reader}: a table twice: {sql:?}");
    is_the_same_inside(sql, reader, &analysis);
}

/// A query has the same tables as a derived table, and in a common table expression.
fn is_the_same_inside(sql: &str, reader: &Reader, analysis: &Analysis) {
    // In a list of tables VALUES is a name where no parenthesis follows.
    let is_values = sql.get(..6).is_some_and(|verb| verb.eq_ignore_ascii_case("values"));
    // In `select a --#b` MySQL reads two operators, and a comment where the statement is cut out.
    let ends_as_comment = analysis.parts().iter().any(|part| part.of(sql).ends_with("--"));
    if is_values
        || ends_as_comment
        || !analysis.tables().is_complete()
        || !relations::is_whole_query(sql, analysis.classification())
    {
        return;
    }
    let mut forms = vec![
        format!("select * from ({sql}\n) x"),
        format!("select 1 where 1 in ({sql}\n)"),
        format!("explain {sql}"),
    ];
    if reader.is_postgres() {
        forms.push(format!("with \"no such name\" as ({sql}\n) select 1"));
        forms.push(format!("copy ({sql}\n) to stdout"));
        forms.push(format!("insert into \"no such name\" {sql}"));
    }
    for form in forms {
        let other = reader.analyze(&form);
        let is_derived = form.starts_with("select *");
        assert!(!is_derived || other.tables().is_complete(), "{reader}: incomplete in {form:?}");
        if !other.tables().is_complete() {
            // A word that is judged in a read is only asked for in a write.
            continue;
        }
        let mut tables = named(&other);
        tables.remove("no such name");
        assert_eq!(
            tables.keys().collect::<Vec<_>>(),
            named(analysis).keys().collect::<Vec<_>>(),
            "{reader}: {form:?}"
        );
    }
}

fn named(analysis: &Analysis) -> BTreeMap<String, TableUse> {
    let name = |table: &millpond_sql::Table| match table.schema() {
        // Names can have points in them.
        Some(schema) => format!("{schema:?}.{:?}", table.name()),
        None => table.name().to_owned(),
    };
    analysis.tables().iter().map(|table| (name(table), table.usage())).collect()
}
