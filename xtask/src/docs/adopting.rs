//! The page that shows what a service changes to adopt an adapter, written from the services themselves.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::workspace::Workspace;

const PAGE: &str = "docs/adopting.md";

/// A service may change so many lines outside of its pool's construction.
const MOST: usize = 10;

/// The services, by the name of their folder and that of what they are on.
const SERVICES: [(&str, &str); 4] =
    [("sqlx", "sqlx"), ("sea-orm", "sea-orm"), ("diesel", "diesel-async"), ("deadpool", "deadpool-postgres")];

/// The function in which a service makes its pool.
const CONSTRUCTION: &str = "fn connect(";

/// What is wrong with the page; with `fix` it is written anew.
pub(super) fn check(workspace: &Workspace, fix: bool) -> Result<Vec<String>> {
    let changes = SERVICES.map(|(folder, on)| Ok((on, folder, Changes::of(workspace, folder)?)));
    let changes = changes.into_iter().collect::<Result<Vec<_>>>()?;
    let mut wrong = Vec::new();
    for (on, _, Changes { outside, .. }) in &changes {
        if *outside > MOST {
            wrong.push(format!(
                "the service on {on} changes {outside} lines outside of its pool's construction, more than {MOST}"
            ));
        }
    }
    let wanted = page(&changes);
    if fs::read_to_string(workspace.path(PAGE)).is_ok_and(|page| page == wanted) {
        return Ok(wrong);
    }
    if fix {
        fs::write(workspace.path(PAGE), wanted).with_context(|| format!("cannot write {PAGE}"))?;
        println!("Wrote {PAGE}.");
    } else {
        wrong.push(format!("{PAGE} does not show what services change: run `cargo xtask check-docs --fix`"));
    }
    Ok(wrong)
}

/// What one service changes.
#[derive(Debug)]
struct Changes {
    diff: String,
    outside: usize,
    inside: usize,
}

impl Changes {
    fn of(workspace: &Workspace, folder: &str) -> Result<Self> {
        // The paths are those that the page shows.
        let mut git = Command::new("git");
        git.current_dir(workspace.path("examples"));
        git.args(["diff", "--no-index", "--no-color", "--no-ext-diff", "--unified=1", "--"]);
        git.args(["before", "after"].map(|form| format!("{form}/{folder}/src")));
        let output = git.output().context("cannot run git")?;
        // By 1 it says that they differ.
        ensure!(
            output.status.code() == Some(1),
            "git cannot compare examples/before/{folder} with after/{folder}"
        );
        let diff = String::from_utf8(output.stdout).context("a service is not in UTF-8")?;
        let main = workspace.read(format!("examples/after/{folder}/src/main.rs"))?;
        let construction = construction(&main).with_context(|| {
            format!("examples/after/{folder}/src/main.rs makes its pool in no `{CONSTRUCTION}…)`")
        })?;
        Ok(Self::count(&diff, construction))
    }

    /// Counts the changed lines: of each file, those that were taken out or put in, whichever are more; those of the construction by themselves.
    fn count(diff: &str, construction: (usize, usize)) -> Self {
        let (mut shown, mut files) = (String::new(), Vec::new());
        let (mut place, mut inside) = (Place::default(), Lines::default());
        let (mut is_main, mut at) = (false, 0);
        for line in diff.lines() {
            // What git says of the files beside their names.
            if line.starts_with("diff ") || line.starts_with("index ") {
                continue;
            }
            let _ = writeln!(shown, "{line}");
            let counts = usize::from(!line[1.min(line.len())..].trim().is_empty());
            match line.as_bytes().first() {
                _ if line.starts_with("--- ") => {
                    place.end(&mut files, &mut inside);
                    files.push(Lines::default());
                }
                _ if line.starts_with("+++ ") => is_main = line.ends_with("/main.rs"),
                Some(b'-') => {
                    place.lines.out += counts;
                    place.is_inside |= is_main && line.starts_with("-use ");
                }
                Some(b'+') => {
                    place.lines.put += counts;
                    let is_there = (construction.0..=construction.1).contains(&at);
                    place.is_inside |= is_main && (is_there || line.starts_with("+use "));
                    at += 1;
                }
                Some(b'@') => {
                    place.end(&mut files, &mut inside);
                    at = first_line(line).unwrap_or_default();
                }
                _ => {
                    place.end(&mut files, &mut inside);
                    at += 1;
                }
            }
        }
        place.end(&mut files, &mut inside);
        Self { diff: shown, outside: files.iter().map(Lines::changed).sum(), inside: inside.changed() }
    }
}

/// Lines that were taken out, and put in.
#[derive(Debug, Default)]
struct Lines {
    out: usize,
    put: usize,
}

impl Lines {
    fn changed(&self) -> usize {
        self.out.max(self.put)
    }
}

/// Lines that were changed together.
#[derive(Debug, Default)]
struct Place {
    lines: Lines,
    is_inside: bool,
}

impl Place {
    /// It is over: counts it to the construction, or to its file.
    fn end(&mut self, files: &mut [Lines], inside: &mut Lines) {
        let Self { lines, is_inside } = std::mem::take(self);
        if let Some(of) = if is_inside { Some(inside) } else { files.last_mut() } {
            of.out += lines.out;
            of.put += lines.put;
        }
    }
}

/// The first line that a hunk has of the file as it is, from `@@ -1,2 +3,4 @@`.
fn first_line(hunk: &str) -> Option<usize> {
    hunk.split_once('+')?.1.split([',', ' ']).next()?.parse().ok()
}

/// The first and last line of the function that makes the pool.
fn construction(main: &str) -> Option<(usize, usize)> {
    let first = main.lines().position(|line| line.contains(CONSTRUCTION))?;
    let length = main.lines().skip(first).position(|line| line == "}")?;
    Some((first + 1, first + 1 + length))
}

fn page(changes: &[(&str, &str, Changes)]) -> String {
    let mut page = String::from(
        "# What a service changes

Written by `cargo xtask check-docs --fix` from `examples/before` and `examples/after`, which are compiled, run and tested in both forms. Each
also names the adapter in its Cargo.toml, and has a URL with all nodes instead of one.

| service on | changed lines | and where its pool is made, with what main.rs imports for that |
|---|---|---|
",
    );
    for (on, _, Changes { outside, inside, .. }) in changes {
        let _ = writeln!(page, "| {on} | {outside} | {inside} |");
    }
    for (on, folder, Changes { diff, .. }) in changes {
        let _ = write!(
            page,
            "\n## {on}\n\n[Before](../examples/before/{folder}/src/main.rs) and [after](../examples/after/{folder}/src/main.rs):\n\n```diff\n{diff}```\n"
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_by_place_and_those_of_the_construction_apart() {
        let main = "use a;\n\nfn connect(url: &str) {\n    new()\n}\n\nfn other() {\n}\n";
        assert_eq!(construction(main), Some((3, 5)));
        let diff = "diff --git a b\nindex 1..2 3\n--- before/x/src/main.rs\n+++ after/x/src/main.rs\n@@ -1,2 +1,2 @@\n-use b;\n-use c;\n+use a;\n \n@@ -4 +4 @@ fn connect\n-    old()\n+    new()\n@@ -8 +8,3 @@\n }\n+\n+fn more() {}\n";
        let Changes { outside, inside, diff } = Changes::count(diff, (3, 5));
        // An import, two lines for one, is the construction's, as is a line of its function; then there is one more.
        assert_eq!((outside, inside), (1, 3), "{diff}");
        assert!(diff.starts_with("--- before"), "{diff}");
    }
}
