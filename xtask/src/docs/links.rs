//! Links from one page of the repository to another file of it.

use std::{fs, path::Path};

use anyhow::Result;

use super::blocks;
use crate::workspace::Workspace;

pub(super) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for page in workspace.files(&[".md"])? {
        let text = fs::read_to_string(&page)?;
        let folder = page.parent().unwrap_or_else(|| Path::new("."));
        for link in of_page(&text).into_iter().filter(|link| !folder.join(link).exists()) {
            wrong.push(format!("{} links to {link}, which is not there", workspace.relative(&page)));
        }
    }
    Ok(wrong)
}

/// The targets of links that are files, without the part behind `#`.
fn of_page(text: &str) -> Vec<&str> {
    let code: Vec<_> = blocks::of_markdown(text);
    let in_code = |number: usize| code.iter().any(|block| (block.line..=block.end).contains(&number));
    let prose = text.lines().enumerate().filter(|(number, _)| !in_code(number + 1));
    let links =
        prose.flat_map(|(_, line)| line.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
    let files = links.filter(|link| !link.contains("://") && !link.starts_with("mailto:"));
    let files = files.filter_map(|link| link.split('#').next());
    // `[std](std::sync)` is rustdoc's, and code such as `a[0](b)` is no link.
    files.filter(|link| !link.is_empty() && !link.contains("::") && link.contains(['.', '/'])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_to_files_are_followed() {
        let page = "[a](docs/a.md#part) and [b](https://b.example/c.md), [c](#here)\n```text\n[d](d.md)\n```\n[e](../e.rs)\n";
        assert_eq!(of_page(page), ["docs/a.md", "../e.rs"]);
    }
}
