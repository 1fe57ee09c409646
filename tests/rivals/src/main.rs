//! What goes wrong in pools, tried on millpond's and its peers: a table for people, docs/rivals.md.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use millpond_benches::machine::{versions, workspace};
use millpond_rivals::scenarios::{SCENARIOS, Verdict};

/// Between the word and the figure of a verdict.
const SEPARATOR: char = '\t';

/// Puts pools into situations that broke real ones. Exit status 0 says that all went well for millpond's.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only the scenarios of these names: T1,T7
    #[arg(long, value_delimiter = ',')]
    only: Option<Vec<String>>,
    /// Only these pools: millpond,deadpool
    #[arg(long, value_delimiter = ',')]
    pools: Option<Vec<String>>,
    /// Write docs/rivals.md
    #[arg(long)]
    write: bool,
    /// One pool in one scenario, in this process, which it may end: T12/mobc
    #[arg(long, hide = true)]
    one: Option<String>,
}

/// The packages whose versions stand above the table.
const PACKAGES: [&str; 6] = ["bb8", "deadpool", "fast_pool", "millpond-pool", "mobc", "tokio"];

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(one) = &arguments.one {
        let verdict = run_here(one)?;
        println!("{}{SEPARATOR}{}", verdict.word(), verdict.figure);
        return Ok(ExitCode::SUCCESS);
    }
    let is_in = |list: &Option<Vec<String>>, name: &str| {
        list.as_ref().is_none_or(|list| list.iter().any(|other| other == name))
    };
    let mut rows = Vec::new();
    let mut is_well = true;
    for scenario in SCENARIOS.iter().filter(|scenario| is_in(&arguments.only, scenario.name)) {
        println!("{}: {}", scenario.name, scenario.what);
        let mut verdicts = Vec::new();
        for (pool, _) in scenario.runs.iter().filter(|(pool, _)| is_in(&arguments.pools, pool)) {
            let verdict = run_apart(scenario.name, pool)?;
            println!("  {pool:<10} {:<6} {}", verdict.word(), verdict.figure);
            is_well &= *pool != "millpond" || verdict.holds == Some(true);
            verdicts.push((*pool, verdict));
        }
        rows.push((scenario, verdicts));
    }
    if arguments.write {
        let mut page = String::from(HEAD);
        let versions = versions(&PACKAGES);
        let list: Vec<_> = versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        writeln!(page, "{}.\n", list.join(", "))?;
        for (scenario, verdicts) in rows {
            writeln!(
                page,
                "## {}\n\n{}. Wanted: {}.\n",
                scenario.name,
                capital(scenario.what),
                scenario.wanted
            )?;
            writeln!(page, "| pool | | seen |\n|---|---|---|")?;
            for (pool, verdict) in verdicts {
                writeln!(page, "| {pool} | {} | {} |", verdict.word(), verdict.figure)?;
            }
            writeln!(page)?;
        }
        let path = workspace().join("docs/rivals.md");
        fs::write(&path, page.trim_end().to_owned() + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("\nwritten to docs/rivals.md");
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs one pool in one scenario.
fn run_here(one: &str) -> Result<Verdict> {
    let (name, pool) = one.split_once('/').context("write the scenario, a slash and the pool")?;
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).context("no such scenario")?;
    let (_, run) = scenario.runs.iter().find(|(other, _)| *other == pool).context("no such pool")?;
    run()
}

/// Runs one pool in one scenario in a process of its own: some end theirs.
fn run_apart(scenario: &str, pool: &str) -> Result<Verdict> {
    let program = std::env::current_exe().context("this program has no path")?;
    let output = Command::new(program).args(["--one", &format!("{scenario}/{pool}")]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let told = said.lines().next_back().and_then(|line| line.split_once(SEPARATOR));
    Ok(match told {
        Some((word, figure)) if output.status.success() => Verdict::read(word, figure),
        _ if output.status.code().is_some() => {
            anyhow::bail!("{scenario}/{pool}: {}", String::from_utf8_lossy(&output.stderr).trim_end())
        }
        _ => Verdict::read("FAILS", "ends the whole process"),
    })
}

const HEAD: &str = "\
# Pools in trouble

Each scenario puts a pool into a situation that broke a real one. They run in one process over connections that cost nothing and do as they are
told, each pool with the same limits; what a pool does not have is left out and said. Made by `cargo xtask rivals -- --write`, not by hand; a
figure is of one run.

Versions: ";

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
