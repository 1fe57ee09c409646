//! The page on operating names every event and every kind of error, and no other.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;

const PAGE: &str = "docs/operate.md";

/// The enums whose variants it explains, and where they are.
const ENUMS: [(&str, &str); 2] =
    [("Event", "crates/cluster/src/event.rs"), ("ErrorKind", "crates/cluster/src/error.rs")];

pub(super) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let page = workspace.read(PAGE)?;
    let mut wrong = Vec::new();
    for (name, file) in ENUMS {
        let source = workspace.read(file)?;
        let there = variants(&source, name).with_context(|| format!("{file} has no enum {name}"))?;
        let said = said(&page, name);
        wrong.extend(
            there.difference(&said).map(|variant| format!("{PAGE} does not explain {name}::{variant}")),
        );
        wrong.extend(
            said.difference(&there)
                .map(|variant| format!("{PAGE} explains {name}::{variant}, and there is none")),
        );
    }
    Ok(wrong)
}

/// The variants of a public enum, as rustfmt writes it.
fn variants<'s>(source: &'s str, name: &str) -> Option<BTreeSet<&'s str>> {
    let (_, body) = source.split_once(&format!("pub enum {name} {{\n"))?;
    let (body, _) = body.split_once("\n}\n")?;
    let variant = |line: &'s str| {
        let word = line.strip_prefix("    ")?;
        word.starts_with(|first: char| first.is_ascii_uppercase())
            .then(|| word.split([' ', ',', '(']).next())
            .flatten()
    };
    Some(body.lines().filter_map(variant).collect())
}

/// The variants that a page names, in code.
fn said<'p>(page: &'p str, name: &str) -> BTreeSet<&'p str> {
    let start = format!("`{name}::");
    let name_of = |rest: &'p str| rest.split(|c: char| !c.is_ascii_alphanumeric()).next();
    page.match_indices(&start).filter_map(|(at, _)| name_of(&page[at + start.len()..])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_found_in_source_and_on_a_page() {
        let source = "pub enum Kind {\n    /// Doc.\n    One,\n    Two {\n        node: Name,\n    },\n    Three(u8),\n}\npub enum Other {\n    Four,\n}\n";
        assert_eq!(variants(source, "Kind"), Some(["One", "Two", "Three"].into()));
        assert_eq!(variants(source, "Missing"), None);
        assert_eq!(
            said("| `Kind::One`, `Kind::Two` | Kind::Four `Other::Five`", "Kind"),
            ["One", "Two"].into()
        );
    }
}
