//! The form of the source files: length, ignored tests and examples, sleeps, paths of somebody's machine.

use std::{
    fs,
    path::{Component, Path},
};

use anyhow::{Context as _, Result};

use super::{blocks, without_tests};
use crate::workspace::Workspace;

/// A longer file holds more than one thing. Tests and generated files are not counted.
const FILE_LINES: usize = 800;

/// How a path begins that is on one machine only, besides the folder of this checkout.
const MACHINE: [&str; 4] = [concat!("/", "root/"), "/Users/", "/home/", "C:\\"];

pub(super) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let root = workspace.path("").display().to_string();
    let mut wrong = Vec::new();
    for path in workspace.files(&[".rs", ".md"])? {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let place = workspace.relative(&path).to_string();
        wrong.extend(
            of_file(Path::new(&place), &text, &root).into_iter().map(|what| format!("{place}{what}")),
        );
    }
    Ok(wrong)
}

/// What is wrong, each beginning with `:LINE ` or a blank.
fn of_file(path: &Path, text: &str, root: &str) -> Vec<String> {
    let is_source = path.extension().is_some_and(|ending| ending == "rs");
    let is_in = |name: &str| path.components().any(|part| part == Component::Normal(name.as_ref()));
    // The rivals, and servers that fail at random, know no other clock than the real one.
    let is_test = is_in("tests") && !is_in("rivals") && !is_in("chaos");
    let mut wrong = Vec::new();
    let lines = without_tests(text).count();
    if is_source && !is_test && lines > FILE_LINES && !is_generated(path, text) {
        wrong.push(format!(" has {lines} lines, more than {FILE_LINES}: split it"));
    }
    let blocks = if is_source { blocks::of_source(text) } else { blocks::of_markdown(text) };
    for block in blocks.iter().filter(|block| block.is_ignored()) {
        wrong.push(format!(":{} passes over a code block: let it compile, or call it `text`", block.line));
    }
    let is_clock_stopped = stops_the_clock(text);
    for (number, line) in text.lines().enumerate() {
        let code = line.trim_start();
        let mut say = |what: &str| wrong.push(format!(":{} {what}", number + 1));
        if is_source && ignored_without_reason(code) {
            say("ignores a test without a reason: write #[ignore = \"why\"]");
        }
        if is_source && is_test && !is_clock_stopped && sleeps(code) {
            say("sleeps in a test: stop the clock, or wait for a state that can be seen");
        }
        if (!is_source || code.starts_with("//")) && names_a_machine(code, root) {
            say("has a path of one machine: write it from the root of the repository");
        }
    }
    wrong
}

fn is_generated(path: &Path, text: &str) -> bool {
    let named = path.file_stem().is_some_and(|name| name.to_string_lossy().ends_with("_generated"));
    named || text.lines().take(5).any(|line| line.contains("@generated") || line.contains("not to be edited"))
}

fn ignored_without_reason(code: &str) -> bool {
    code.starts_with("#[ignore]") || code.starts_with("#[cfg_attr(") && code.contains(", ignore)")
}

/// Whether all tests of a file that run in a runtime do so with a clock that only moves when they wait.
fn stops_the_clock(text: &str) -> bool {
    let mut tests = text.lines().filter(|line| line.trim_start().starts_with("#[tokio::test")).peekable();
    tests.peek().is_some() && tests.all(|line| line.contains("start_paused = true"))
}

/// Whether code calls a function of that very name; `pg_sleep` is the server's.
fn sleeps(code: &str) -> bool {
    let code = code.split("//").next().unwrap_or_default();
    let calls = code.match_indices("sleep(");
    calls
        .map(|(at, _)| code[..at].chars().next_back())
        .any(|before| !before.is_some_and(|c| c == '_' || c.is_alphanumeric()))
}

fn names_a_machine(text: &str, root: &str) -> bool {
    MACHINE.iter().chain([&root]).any(|start| {
        text.match_indices(start).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let inside = before.is_some_and(|c| c.is_alphanumeric() || "._-/*".contains(c));
            // Homebrew's folder on Linux is the same everywhere.
            !inside && !text[at..].starts_with("/home/linuxbrew/")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(path: &str, text: &str) -> Vec<String> {
        of_file(Path::new(path), text, "/src/pond/")
    }

    #[test]
    fn a_long_file_is_named_unless_it_is_a_test_or_generated() {
        let long = "//\n".repeat(FILE_LINES + 1);
        assert_eq!(wrong("crates/core/src/a.rs", &long).len(), 1);
        assert!(wrong("crates/core/tests/a.rs", &long).is_empty());
        assert!(wrong("crates/core/src/a_generated.rs", &long).is_empty());
        assert!(wrong("crates/core/src/a.rs", &format!("#[cfg(test)]\n{long}")).is_empty());
    }

    #[test]
    fn a_sleep_in_a_test_is_named_and_the_servers_own_is_not() {
        assert_eq!(wrong("tests/a.rs", "tokio::time::sleep(second).await;\n").len(), 1);
        assert_eq!(wrong("crates/pool/tests/a.rs", "sleep(second)\n").len(), 1);
        assert!(wrong("tests/a.rs", "query(\"select pg_sleep(1)\")\n// no sleep(1) here\n").is_empty());
        assert!(wrong("crates/lab/src/a.rs", "sleep(second)\n").is_empty());
    }

    #[test]
    fn an_ignored_test_says_why() {
        assert_eq!(wrong("src/a.rs", "    #[ignore]\n").len(), 1);
        assert_eq!(wrong("src/a.rs", "#[cfg_attr(miri, ignore)]\n").len(), 1);
        assert!(wrong("src/a.rs", "#[ignore = \"needs a server\"]\n").is_empty());
    }

    #[test]
    fn an_ignored_code_block_is_named_with_its_line() {
        assert!(wrong("docs/a.md", "a\n\n```rust,ignore\n```\n")[0].starts_with(":3 "));
        assert_eq!(wrong("src/a.rs", "/// ```ignore\n/// ```\n").len(), 1);
    }

    #[test]
    fn a_path_of_one_machine_is_named_in_prose_only() {
        assert_eq!(wrong("docs/a.md", concat!("see /", "root/a\n")).len(), 1);
        assert_eq!(wrong("src/a.rs", "/// see (/Users/a/b)\n").len(), 1);
        assert_eq!(wrong("docs/a.md", "in /src/pond/crates\n").len(), 1);
        assert!(wrong("src/a.rs", concat!("const ROOT: &str = \"/", "root/\";\n")).is_empty());
        assert!(wrong("docs/a.md", concat!("docs/", "root/a, /home/linuxbrew/.linuxbrew\n")).is_empty());
    }
}
