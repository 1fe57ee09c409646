//! `check-docs`: what the documents say is true, and the source files keep their form.

mod adopting;
mod blocks;
mod facts;
mod form;
mod links;
mod operate;
mod program;

use anyhow::{Result, bail};

use crate::{metadata::Metadata, workspace::Workspace};

/// The README is a first page and no manual.
const README_LINES: usize = 150;

/// Check what the documents say, and the form of the source files.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Write docs/adopting.md anew
    #[arg(long)]
    fix: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let metadata = Metadata::read(workspace)?;
    let mut wrong = Vec::new();
    match workspace.read("README.md") {
        Ok(readme) => {
            let lines = readme.lines().count();
            if lines > README_LINES {
                wrong.push(format!("README.md has {lines} lines, more than {README_LINES}"));
            }
            wrong.extend(program::check(workspace, &metadata, &readme)?);
            wrong.extend(facts::missing(&readme));
        }
        Err(error) => wrong.push(format!("{error:#}")),
    }
    wrong.extend(facts::check(workspace, &metadata)?);
    wrong.extend(form::check(workspace)?);
    wrong.extend(links::check(workspace)?);
    wrong.extend(operate::check(workspace)?);
    wrong.extend(adopting::check(workspace, options.fix)?);
    if wrong.is_empty() {
        println!("The documents and the source files are in order.");
        return Ok(());
    }
    for line in &wrong {
        println!("- {line}");
    }
    bail!("{} to mend", wrong.len());
}

/// The lines of a source file before the tests at its end.
pub(crate) fn without_tests(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_ends_where_its_tests_begin() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {}\n";
        assert_eq!(without_tests(text).collect::<Vec<_>>(), ["fn a() {}"]);
    }
}
