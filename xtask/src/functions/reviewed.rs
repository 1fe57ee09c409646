//! The tables that people keep, read as text: this program compiles nothing of ours.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};

/// The tables, by how their definitions begin.
const TABLES: [&str; 2] = ["pub(crate) const EFFECTS:", "const HARMLESS:"];

/// The names in all tables.
pub(super) fn names(source: &str) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for table in TABLES {
        let start = source.lines().skip_while(|line| !line.starts_with(table));
        let rows = start.skip(1).take_while(|line| *line != "];");
        let before = all.len();
        for row in rows.map(str::trim).filter(|row| !row.starts_with("//")) {
            let name = row.trim_start_matches('(').strip_prefix('"').and_then(|rest| rest.split_once('"'));
            let (name, _) = name.with_context(|| format!("no row of `{table}`: {row}"))?;
            all.insert(name.to_owned());
        }
        if all.len() == before {
            bail!("`{table}` is not there, or holds nothing");
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
/// With an effect.
pub(crate) const EFFECTS: &[(&str, Verdict)] = &[
    (\"nextval\", WRITES),
    // These run text.
    (\"pg_cursor\", Verdict::Session(Effects::CURSOR)),
];

const HARMLESS: &[&str] = &[
    \"random\",
];

const OTHER: &[&str] = &[
    \"pg_sleep\",
];
";

    #[test]
    fn the_names_of_both_tables_are_read_and_no_others() {
        let names = names(SOURCE).unwrap();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["nextval", "pg_cursor", "random"]);
    }

    #[test]
    fn a_table_that_cannot_be_read_is_an_error_and_not_empty() {
        assert!(names(&SOURCE.replace("HARMLESS", "HARMFUL")).unwrap_err().to_string().contains("HARMLESS"));
        assert!(names(&SOURCE.replace("(\"nextval\", WRITES)", "NEXTVAL")).is_err());
    }
}
