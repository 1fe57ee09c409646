//! The tables of a text, beside those of PostgreSQL's own parser.

use std::collections::BTreeSet;
use std::fmt;

use millpond_sql::{Dialect, TableUse, analyze};

/// What a comparison of tables came to, where the two do not differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no other answer")]
pub enum TableAgreement {
    /// The same tables.
    Same,
    /// Ours claims to be no more than a part, and is one.
    Incomplete,
    /// The parser does not take the text.
    Refused,
}

/// Tables that only one of both names.
#[derive(Debug)]
pub struct TableDifference {
    sql: String,
    /// What the parser has and ours passed over: an error where ours claims to be complete.
    missing: BTreeSet<String>,
    /// What only ours takes for a table.
    extra: BTreeSet<String>,
    /// What the parser sees written, and ours takes for read.
    unwritten: BTreeSet<String>,
}

impl TableDifference {
    /// Whether more than a name too many was found.
    #[must_use]
    pub fn is_unsound(&self) -> bool {
        !(self.missing.is_empty() && self.unwritten.is_empty())
    }
}

impl fmt::Display for TableDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "other tables: {:?}", self.sql)?;
        write!(f, "  missing: {:?}, extra: {:?}, unwritten: {:?}", self.missing, self.extra, self.unwritten)
    }
}

/// Finds the tables of any bytes both ways, and panics when one that the parser has is missing.
///
/// # Panics
///
/// With such a difference.
pub fn tables(data: &[u8]) {
    match compare_tables(&millpond_fuzz::text(data)) {
        Err(difference) if difference.is_unsound() => panic!("{difference}"),
        _ => {}
    }
}

/// Finds the tables of a text both ways.
///
/// # Errors
///
/// When a complete list of ours is not that of the parser.
pub fn compare_tables(sql: &str) -> Result<TableAgreement, TableDifference> {
    // What ends a text for the parser is in the middle of it for others.
    if sql.contains('\0') {
        return Ok(TableAgreement::Refused);
    }
    let Ok(parsed) = pg_query::parse(sql) else { return Ok(TableAgreement::Refused) };
    let analysis = analyze(sql, Dialect::Postgres);
    if !analysis.tables().is_complete() {
        return Ok(TableAgreement::Incomplete);
    }
    let tree = without_locks(&format!("{:?}", parsed.protobuf));
    let expressions: BTreeSet<String> = strings(&tree, "CommonTableExpr { ctename: ", 1).collect();
    let theirs: BTreeSet<String> = strings(&tree, "RangeVar { catalogname: ", 3).collect();
    let ours: BTreeSet<String> = analysis.tables().iter().map(ToString::to_string).collect();
    let read = analysis.tables().iter().filter(|table| table.usage() == TableUse::Read);
    let read: BTreeSet<String> = read.map(ToString::to_string).collect();
    // The parser's library takes every COPY for a change of its table.
    let may_write = !analysis.classification().access().is_read() && !tree.contains("CopyStmt {");
    let is_write = may_write && analysis.parts().len() == 1;
    let written = parsed.dml_tables().into_iter().filter(|name| is_write && read.contains(name));
    // The parser does not say whether such a name is a table or an expression. The cases of spec/classify do.
    let missing = theirs.difference(&ours).filter(|name| !expressions.contains(*name)).cloned().collect();
    let difference = TableDifference {
        sql: sql.to_owned(),
        missing,
        extra: ours.difference(&theirs).cloned().collect(),
        unwritten: written.collect(),
    };
    if difference.is_unsound() || !difference.extra.is_empty() {
        Err(difference)
    } else {
        Ok(TableAgreement::Same)
    }
}

/// A tree without what stands behind `FOR UPDATE OF`: names of tables that are listed elsewhere, or a statement in error.
fn without_locks(tree: &str) -> String {
    let mut parts = tree.split("LockingClause { locked_rels: ");
    let first = parts.next().map(str::to_owned);
    first
        .into_iter()
        .chain(parts.map(|part| part.split_once("strength: ").map_or("", |(_, rest)| rest).to_owned()))
        .collect()
}

/// What stands in the parser's tree behind each `mark`: so many strings, of which the last two that are not empty count.
/// The library's own walk passes over many places; what it prints has all of them.
fn strings<'t>(tree: &'t str, mark: &'t str, count: usize) -> impl Iterator<Item = String> + 't {
    tree.split(mark).skip(1).map(move |rest| {
        let mut rest = rest;
        let mut parts = Vec::new();
        for _ in 0..count {
            let start = rest.find('"').map_or(rest.len(), |at| at + 1);
            let (part, behind) = unescaped(rest.get(start..).unwrap_or_default());
            parts.push(part);
            rest = behind;
        }
        let kept = parts.split_off(parts.len().saturating_sub(2));
        kept.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
    })
}

/// A string as Rust prints it, from behind its quote to the next one; and what stands behind.
fn unescaped(text: &str) -> (String, &str) {
    let mut part = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (part, &text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, 'n')) => part.push('\n'),
                Some((_, 't')) => part.push('\t'),
                Some((_, 'r')) => part.push('\r'),
                Some((_, 'u')) => {
                    let code: String =
                        chars.by_ref().skip(1).map(|(_, c)| c).take_while(|c| *c != '}').collect();
                    part.extend(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32));
                }
                Some((_, other)) => part.push(other),
                None => {}
            },
            _ => part.push(c),
        }
    }
    (part, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_what_the_parser_prints() {
        let sql = "select * from a.\"b\"\"\\\t\", (values ((select 1 from lower(1), d.e.f))) x";
        let tree = format!("{:?}", pg_query::parse(sql).expect("the parser takes it").protobuf);
        let names: Vec<_> = strings(&tree, "RangeVar { catalogname: ", 3).collect();
        assert_eq!(names, ["a.b\"\\\t", "e.f"]);
        let sql = "select * from \"b\"\"\\\t\", (values ((select 1 from lower(1), d.e.f))) x";
        assert_eq!(compare_tables(sql).expect("no difference"), TableAgreement::Same);
    }

    #[test]
    fn a_table_too_many_and_one_too_few_are_told_apart() {
        let sql = "insert into a with recursive x as (select * from y), y as (select 1) select * from x";
        assert_eq!(compare_tables(sql).expect("no difference"), TableAgreement::Same);
        let few = TableDifference {
            sql: sql.to_owned(),
            missing: BTreeSet::from(["a".to_owned()]),
            extra: BTreeSet::new(),
            unwritten: BTreeSet::new(),
        };
        assert!(few.is_unsound() && few.to_string().ends_with("missing: {\"a\"}, extra: {}, unwritten: {}"));
        let many = TableDifference { extra: few.missing, missing: BTreeSet::new(), ..few };
        assert!(!many.is_unsound());
    }
}
