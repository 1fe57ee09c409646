//! Versions in prose, compared with Cargo.toml.

use std::fs;

use anyhow::Result;

use crate::{
    metadata::{Metadata, Package},
    workspace::Workspace,
};

/// What stands before a version of Rust, in prose, in a table and in a Cargo.toml.
const RUST: [&str; 4] = ["Rust ", "Rust | ", "rustc ", "rust-version = \""];

/// Compares every page that a user reads with the facade's package.
pub(super) fn check(workspace: &Workspace, metadata: &Metadata) -> Result<Vec<String>> {
    let facade = metadata.member("millpond")?;
    let names: Vec<_> = metadata
        .members
        .iter()
        .filter(|package| package.published)
        .map(|package| package.name.as_str())
        .collect();
    let mut wrong = Vec::new();
    for page in workspace.files(&[".md"])?.iter().filter(|page| !page.ends_with("CHANGELOG.md")) {
        let text = fs::read_to_string(page)?;
        for (line, said) in text.lines().enumerate() {
            let place = format!("{}:{}", workspace.relative(page), line + 1);
            wrong.extend(against(said, facade, &names).map(|what| format!("{place} {what}")));
        }
    }
    Ok(wrong)
}

/// What the README has to say at least.
pub(super) fn missing(readme: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if !readme.lines().any(|line| requirement(line, "millpond").is_some()) {
        wrong.push("README.md does not show the line of Cargo.toml: `millpond = \"VERSION\"`".to_owned());
    }
    if !readme.lines().any(|line| RUST.iter().any(|word| versions_after(line, word).next().is_some())) {
        wrong.push("README.md does not say which Rust it needs: `Rust VERSION`".to_owned());
    }
    wrong
}

/// What a line says that Cargo.toml does not.
fn against(line: &str, facade: &Package, names: &[&str]) -> Option<String> {
    for name in names {
        if let Some(said) = requirement(line, name).filter(|said| !covers(said, &facade.version)) {
            return Some(format!("asks for {name} {said}, and the version is {}", facade.version));
        }
    }
    let rust = facade.rust_version.as_deref().unwrap_or("none");
    let mut said = RUST.into_iter().flat_map(|word| versions_after(line, word));
    if let Some(said) = said.find(|said| !covers(said, rust)) {
        return Some(format!("says Rust {said}, and rust-version is {rust}"));
    }
    let edition = &facade.edition;
    let mut said =
        ["edition = \"", "edition ", "Edition "].into_iter().flat_map(|word| versions_after(line, word));
    let said = said.find(|said| said != edition && said.len() == 4 && said.starts_with("20"))?;
    Some(format!("says edition {said}, and the edition is {edition}"))
}

/// `0.1` in `millpond = "0.1"` and in `millpond = { version = "0.1", … }`.
fn requirement<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value =
        line.trim_start().trim_start_matches('`').strip_prefix(name)?.trim_start().strip_prefix('=')?;
    let value = value.trim_start();
    let text = match value.strip_prefix('{') {
        Some(table) => table.split_once("version")?.1.trim_start().strip_prefix('=')?.trim_start(),
        None => value,
    };
    text.strip_prefix('"')?.split('"').next()
}

/// The versions that follow a word.
fn versions_after<'a>(line: &'a str, word: &str) -> impl Iterator<Item = &'a str> {
    let word = word.to_owned();
    line.match_indices(&word).map(|(at, word)| at + word.len()).collect::<Vec<_>>().into_iter().filter_map(
        move |at| {
            let rest = &line[at..];
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let version = rest[..end].trim_end_matches('.');
            (!version.is_empty()).then_some(version)
        },
    )
}

/// Whether what is said is the version or its beginning: `0.1` is said of `0.1.3`.
fn covers(said: &str, version: &str) -> bool {
    let said = said.trim_start_matches(['^', '=', '~']);
    version.strip_prefix(said).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        || said.strip_prefix(version).is_some_and(|rest| rest == ".0")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn facade() -> Package {
        Package {
            name: "millpond".to_owned(),
            version: "0.1.3".to_owned(),
            edition: "2024".to_owned(),
            rust_version: Some("1.85".to_owned()),
            folder: PathBuf::new(),
            published: true,
            dependencies: Vec::new(),
            examples: Vec::new(),
        }
    }

    #[test]
    fn requirements_are_read_in_both_forms() {
        assert_eq!(requirement("millpond = \"0.1\"", "millpond"), Some("0.1"));
        assert_eq!(requirement("millpond = { features = [], version = \"0.1\" }", "millpond"), Some("0.1"));
        assert_eq!(requirement("millpond-lab = \"0.1\"", "millpond"), None);
        assert_eq!(requirement("millpond is a library", "millpond"), None);
    }

    #[test]
    fn what_cargo_toml_says_passes() {
        for line in [
            "millpond = \"0.1\"",
            "millpond = \"0.1.3\"",
            "needs Rust 1.85 or later.",
            "Edition 2024.",
            "Rust services",
        ] {
            assert_eq!(against(line, &facade(), &["millpond"]), None, "{line}");
        }
    }

    #[test]
    fn what_cargo_toml_does_not_say_is_named() {
        for (line, part) in [
            ("millpond = \"0.2\"", "the version is 0.1.3"),
            ("needs Rust 1.8.", "rust-version is 1.85"),
            ("| Rust | 1.75 or later |", "rust-version is 1.85"),
            ("rust-version = \"1.90\"", "rust-version is 1.85"),
            ("edition = \"2021\"", "the edition is 2024"),
        ] {
            let said = against(line, &facade(), &["millpond"]).unwrap();
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn a_readme_says_version_and_rust() {
        assert_eq!(missing("").len(), 2);
        assert!(missing("millpond = \"0.1\"\nRust 1.85\n").is_empty());
    }
}
