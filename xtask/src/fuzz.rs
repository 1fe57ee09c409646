//! `fuzz`: looks for texts that `millpond-sql` gets wrong.

mod smoke;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{Cmd, Kept},
    libclang, postgres, setup,
    workspace::Workspace,
};

pub(crate) use smoke::run as run_smoke;

/// One fuzzer: a program of a package in `fuzz/`.
#[derive(Debug)]
struct Target {
    name: &'static str,
    what: &'static str,
    /// The folder of its package.
    package: &'static str,
    needs: Needs,
    length: Length,
}

/// What must be on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Servers,
    Libclang,
}

/// How long inputs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// Short at first, longer as nothing new is seen.
    Grows,
    /// Any, since they are choices and no text.
    Any,
}

/// Where the package of the fuzzers is, and that of the one beside PostgreSQL's parser.
const PACKAGE: &str = "fuzz";
const LIBPG_QUERY: &str = "fuzz/libpg_query";

const TARGETS: [Target; 4] = [
    Target {
        name: "classify",
        what: "any text in any dialect: answers that agree with each other, in linear time",
        package: PACKAGE,
        needs: Needs::Nothing,
        length: Length::Grows,
    },
    Target {
        name: "differential",
        what: "plain reads on a real hot standby, which must take them and leave the session as it was",
        package: PACKAGE,
        needs: Needs::Servers,
        length: Length::Any,
    },
    Target {
        name: "split",
        what: "statements beside those of PostgreSQL's own parser (needs libclang)",
        package: LIBPG_QUERY,
        needs: Needs::Libclang,
        length: Length::Grows,
    },
    Target {
        name: "tables",
        what: "tables beside those of PostgreSQL's own parser (needs libclang)",
        package: LIBPG_QUERY,
        needs: Needs::Libclang,
        length: Length::Grows,
    },
];

/// Run a fuzzer and print what it found.
///
/// It starts from the statements of spec/classify and from what earlier runs kept in target/fuzz/TARGET/corpus. Exit
/// status 0 says that nothing was found.
#[derive(Debug, clap::Args)]
#[command(after_help = targets())]
pub(crate) struct Options {
    /// What to fuzz, see below
    #[arg(value_name = "TARGET")]
    target: String,

    /// How long
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,

    /// Run only this input, as a finding names it
    #[arg(long, value_name = "FILE")]
    input: Option<String>,

    /// Further arguments for libFuzzer; `cargo xtask fuzz TARGET -- -help=1` lists them
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<String>,
}

fn targets() -> String {
    let lines = TARGETS.iter().map(|target| format!("  {:<13} {}", target.name, target.what));
    format!("Targets:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let Some(target) = TARGETS.iter().find(|target| target.name == options.target) else {
        bail!("there is no target `{}`\n\n{}", options.target, targets());
    };
    setup::cargo_tool(workspace, "fuzz")?;
    match target.needs {
        Needs::Nothing => {}
        Needs::Servers => postgres::ensure(workspace)?,
        Needs::Libclang => libclang::ensure(workspace)?,
    }
    let folders = Folders::make(workspace, target)?;
    let before = files(&folders.findings)?;
    let kept = Kept::default();
    let outcome = fuzzer(workspace, target, &folders, options)?.run_kept(&kept);
    let runs = kept.into_lines().iter().find_map(|line| line.strip_prefix(RUNS).map(str::to_owned));
    println!(
        "{}: {} runs, {} inputs in {}",
        target.name,
        runs.as_deref().map_or("?", str::trim),
        files(&folders.corpus)?.len(),
        workspace.relative(&folders.corpus)
    );
    let found = files(&folders.findings)?.into_iter().filter(|name| !before.contains(name));
    for name in found {
        let file = folders.findings.join(name);
        println!("found: cargo xtask fuzz {} --input {}", target.name, workspace.relative(&file));
    }
    outcome.context("what was found is printed above, behind `panicked at`")
}

/// How libFuzzer begins the line that counts its runs.
const RUNS: &str = "stat::number_of_executed_units:";

/// What one target keeps between runs, in the workspace's target folder.
#[derive(Debug)]
struct Folders {
    corpus: PathBuf,
    seeds: PathBuf,
    findings: PathBuf,
    words: PathBuf,
}

impl Folders {
    /// Makes them, and writes the seeds anew.
    fn make(workspace: &Workspace, target: &Target) -> Result<Self> {
        let folder = workspace.target().join("fuzz").join(target.name);
        let in_it = |name: &str| folder.join(name);
        let [corpus, seeds, findings] = ["corpus", "seeds", "findings"].map(in_it);
        let words = in_it("words.dict");
        for folder in [&corpus, &seeds, &findings] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", workspace.relative(folder)))?;
        }
        let cargo = workspace.cargo().env("CARGO_TARGET_DIR", build(workspace));
        let cargo = cargo.words("run --quiet --release --no-default-features --example seeds");
        cargo.args(["--manifest-path", "fuzz/Cargo.toml", "--"]).args([&seeds, &words]).run()?;
        Ok(Self { corpus, seeds, findings, words })
    }
}

fn fuzzer(workspace: &Workspace, target: &Target, folders: &Folders, options: &Options) -> Result<Cmd> {
    // The crate has no unsafe code, so there is nothing for a sanitizer to find, and without one stable will do.
    let cargo = workspace.cargo().words("fuzz run --sanitizer none --fuzz-dir").args([target.package]);
    let cargo = cargo.args(["--target-dir".as_ref(), build(workspace).as_os_str()]).args([target.name]);
    let cargo = match &options.input {
        Some(input) => cargo.args([fs::canonicalize(input).with_context(|| format!("cannot find {input}"))?]),
        None => cargo.args([&folders.corpus, &folders.seeds]),
    };
    let cargo = cargo.args(["--", "-print_final_stats=1"]).args([
        format!("-max_total_time={}", options.seconds),
        format!("-dict={}", folders.words.display()),
        format!("-artifact_prefix={}/", folders.findings.display()),
    ]);
    let cargo = cargo.args((target.length == Length::Any).then_some("-len_control=0"));
    Ok(cargo.args(&options.rest))
}

/// Where the packages of `fuzz/` are built: in the workspace's own folder, a clean of which takes them along.
fn build(workspace: &Workspace) -> PathBuf {
    workspace.target().join("fuzz").join("build")
}

/// The names of the files in a folder.
fn files(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_target() {
        for target in TARGETS {
            assert!(targets().contains(target.name));
        }
    }
}
