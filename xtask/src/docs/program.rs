//! One program in three places: the README, the facade's documentation, and an example that is run.

use anyhow::Result;

use super::blocks::{self, Block};
use crate::{metadata::Metadata, workspace::Workspace};

const EXAMPLE: &str = "examples/first.rs";

/// What a reader takes in at once.
const LINES: usize = 25;

pub(super) fn check(workspace: &Workspace, metadata: &Metadata, readme: &str) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let Some(shown) = first(blocks::of_markdown(readme), Block::says_rust) else {
        return Ok(vec!["README.md has no ```rust block: show the program of examples/first.rs".to_owned()]);
    };
    let lines = shown.lines().count();
    if lines > LINES {
        wrong.push(format!("the first program of README.md has {lines} lines, more than {LINES}"));
    }
    let facade = metadata.member("millpond")?.folder.join("src").join("lib.rs");
    let place = workspace.relative(&facade).to_string();
    let source = workspace.read(&facade)?;
    let documented = match included(&source) {
        // The path is relative to the file that includes it.
        Some(page) => blocks::of_markdown(&workspace.read(facade.with_file_name(page))?),
        None => blocks::of_source(&source),
    };
    let others = [
        (place, first(documented, Block::is_doctest)),
        (EXAMPLE.to_owned(), workspace.read(EXAMPLE).ok().map(|text| program(&text))),
    ];
    for (place, text) in others {
        wrong.extend(match text {
            Some(text) => difference(&shown, &text)
                .map(|line| format!("the program of {place} is not the first one of README.md: {line}")),
            None => Some(format!("{place} does not have the program that README.md shows")),
        });
    }
    Ok(wrong)
}

fn first(blocks: Vec<Block>, wanted: fn(&Block) -> bool) -> Option<String> {
    blocks.into_iter().find(wanted).map(|block| block.text)
}

/// The page that a file includes as its documentation before it has any of its own.
fn included(source: &str) -> Option<&str> {
    let line = source
        .lines()
        .find(|line| line.starts_with("#![doc = include_str!(") || line.starts_with("//! ```"))?;
    line.strip_prefix("#![doc = include_str!(\"")?.strip_suffix("\")]")
}

/// An example without the comment on top that says what it teaches.
fn program(text: &str) -> String {
    let lines = text.lines().skip_while(|line| line.starts_with("//!") || line.is_empty());
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The first line that is not the same.
fn difference(one: &str, other: &str) -> Option<String> {
    let (mut one, mut other) = (one.trim_end().lines(), other.trim_end().lines());
    for number in 1.. {
        match (one.next(), other.next()) {
            (None, None) => break,
            (Some(line), Some(same)) if line == same => (),
            (here, there) => {
                let shown = |line: Option<&str>| {
                    line.map_or_else(|| "no line".to_owned(), |line| format!("`{line}`"))
                };
                return Some(format!(
                    "line {number} is {} there and {} in README.md",
                    shown(there),
                    shown(here)
                ));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_compared_without_its_heading() {
        assert_eq!(
            program("//! Teaches.\n//!\n//! More.\n\nuse a;\n\nfn main() {}\n"),
            "use a;\n\nfn main() {}\n"
        );
    }

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(difference("a\nb\n", "a\nb"), None);
        let said = difference("a\nb\n", "a\nc\n").unwrap();
        assert_eq!(said, "line 2 is `c` there and `b` in README.md");
        assert!(difference("a\nb\n", "a\n").unwrap().contains("no line there"));
    }

    #[test]
    fn a_page_that_is_included_first_is_found() {
        assert_eq!(included("#![doc = include_str!(\"../README.md\")]\n"), Some("../README.md"));
        assert_eq!(included("//! ```\n//! ```\n#![doc = include_str!(\"../README.md\")]\n"), None);
        assert_eq!(included("//! Text.\n"), None);
    }
}
