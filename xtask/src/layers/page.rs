//! The copy of the table in docs/architecture.md.

use std::fs;

use anyhow::{Context as _, Result};

use super::table;
use crate::workspace::Workspace;

const PAGE: &str = "docs/architecture.md";
const BEGIN: &str = "<!-- layers:begin -->";
const END: &str = "<!-- layers:end -->";

/// What is wrong with the page; with `fix` the table is written anew.
pub(super) fn check(workspace: &Workspace, fix: bool) -> Result<Option<String>> {
    let path = workspace.path(PAGE);
    if !path.is_file() {
        return Ok(Some(format!(
            "{PAGE} is missing: write it, with the lines `{BEGIN}` and `{END}`, and run `cargo xtask check-layers --fix`"
        )));
    }
    let page = workspace.read(PAGE)?;
    let Some(wanted) = with_table(&page, &table::markdown()) else {
        return Ok(Some(format!(
            "{PAGE} lacks the line `{BEGIN}` with `{END}` below it: add both and run `cargo xtask check-layers --fix`"
        )));
    };
    if wanted == page {
        return Ok(None);
    }
    if fix {
        fs::write(&path, wanted).with_context(|| format!("cannot write {PAGE}"))?;
        println!("Wrote the layer table into {PAGE}.");
        return Ok(None);
    }
    Ok(Some(format!(
        "the layer table in {PAGE} is not the one that is checked: run `cargo xtask check-layers --fix`"
    )))
}

/// The page with this table between its markers; nothing when it has none.
fn with_table(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_replaces_what_is_between_the_markers() {
        let page = format!("# Layers\n\n{BEGIN}\nold\n{END}\n\nMore.\n");
        let new = with_table(&page, "| a |\n").unwrap();
        assert_eq!(new, format!("# Layers\n\n{BEGIN}\n\n| a |\n\n{END}\n\nMore.\n"));
        assert_eq!(with_table(&new, "| a |\n").as_ref(), Some(&new));
    }

    #[test]
    fn a_page_without_both_markers_in_order_gets_no_table() {
        assert_eq!(with_table("# Layers\n", "| a |\n"), None);
        assert_eq!(with_table(&format!("{END} {BEGIN}"), "| a |\n"), None);
    }
}
