//! What no dependency shows: clocks and async code come with the language.

use std::fs;

use anyhow::{Context as _, Result};

use super::table::LAYERS;
use crate::{docs, metadata::Metadata, workspace::Workspace};

pub(super) fn violations(workspace: &Workspace, metadata: &Metadata) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let files = workspace.files(&[".rs"])?;
    for layer in LAYERS.iter().filter(|layer| layer.never.iter().any(|ban| !ban.words.is_empty())) {
        let Ok(package) = metadata.member(layer.name) else { continue };
        let source = package.folder.join("src");
        for file in files.iter().filter(|file| file.starts_with(&source) && !file.ends_with("tests.rs")) {
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            for (line, word, what) in found(&text, layer.never) {
                let place = workspace.relative(file);
                let (name, why) = (layer.name, layer.why);
                wrong.push(format!("{place}:{line} says `{word}`. Rule: {name} never uses {what}. {why}"));
            }
        }
    }
    Ok(wrong)
}

/// The lines outside tests and comments that hold a word which one of the bans names.
fn found<'a>(text: &str, bans: &'a [super::table::Ban]) -> Vec<(usize, &'a str, &'a str)> {
    let mut found = Vec::new();
    for (number, line) in docs::without_tests(text).enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for ban in bans {
            let words = ban.words.iter().filter(|word| code.contains(**word));
            found.extend(words.map(|word| (number + 1, word.trim(), ban.what)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_found_in_code_and_not_in_comments_or_tests() {
        let core = LAYERS.iter().find(|layer| layer.name == "millpond-core").unwrap();
        let text = "// Instant::now() is forbidden\nlet now = Instant::now();\n#[cfg(test)]\nmod tests {\n\
            let now = Instant::now();\n}\n";
        assert_eq!(found(text, core.never), [(2, "Instant::now(", "any clock")]);
    }
}
