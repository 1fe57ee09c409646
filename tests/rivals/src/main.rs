//! What goes wrong in pools, tried on millpond's and its peers: a table for people, docs/rivals.md, target/figures/rivals.json.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;
use millpond_benches::figures::{Check, Report, folder};
use millpond_benches::machine::{versions, workspace};
use millpond_lab::Lab;
use millpond_rivals::bed::{Bed, Kind, Upstream};
use millpond_rivals::scenarios::{SCENARIOS, Scenario, Verdict};
use tokio::runtime::Builder;

/// Between the word and the figure of a verdict.
const SEPARATOR: char = '\t';

/// Puts pools into situations that broke real ones. Exit status 0 says that all went well for millpond's.
///
/// A PostgreSQL node is started for it, from the server programs of this machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only the scenarios of these names: T1,T7
    #[arg(long, value_delimiter = ',')]
    only: Option<Vec<String>>,
    /// Only these pools: millpond,deadpool
    #[arg(long, value_delimiter = ',')]
    pools: Option<Vec<String>>,
    /// A MySQL or MariaDB server for mysql_async, where tables may be made: mysql://user:password@127.0.0.1:3306/test
    #[arg(long, value_name = "URL")]
    mysql: Option<Upstream>,
    /// Write docs/rivals.md
    #[arg(long)]
    write: bool,
    /// The PostgreSQL node that was started
    #[arg(long, hide = true)]
    postgres: Option<Upstream>,
    /// One pool in one scenario, in this process, which it may end: T12/mobc
    #[arg(long, hide = true)]
    one: Option<String>,
}

/// The packages whose versions stand above the table.
const PACKAGES: [&str; 13] = [
    "bb8",
    "bb8-postgres",
    "deadpool",
    "deadpool-postgres",
    "fast_pool",
    "millpond-pool",
    "millpond-postgres",
    "mobc",
    "mysql_async",
    "sqlx",
    "sqlx-postgres",
    "tokio",
    "tokio-postgres",
];

type Row = (&'static Scenario, Vec<(&'static str, Verdict)>);

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let bed = Bed { postgres: arguments.postgres.clone(), mysql: arguments.mysql.clone() };
    if let Some(one) = &arguments.one {
        let verdict = run_here(one, &bed)?;
        println!("{}{SEPARATOR}{}", verdict.word(), verdict.figure);
        return Ok(ExitCode::SUCCESS);
    }
    let control = Builder::new_current_thread().enable_all().build()?;
    let lab =
        control.block_on(Lab::builder().replicas(0).up()).context("no PostgreSQL node to try pools on")?;
    let bed = Bed { postgres: Some(Upstream::postgres(lab.primary().direct_port())), ..bed };
    let rows = run_all(&arguments, &bed)?;
    let mut report = Report::new("rivals", versions(&PACKAGES));
    for (name, kind, sql) in SERVERS {
        if let Some(upstream) = bed.upstream(kind) {
            let version = control.block_on(upstream.ask_text(kind, sql))?;
            report.versions.insert(name.to_owned(), version.unwrap_or_default());
        }
    }
    control.block_on(lab.down())?;
    for (scenario, verdicts) in &rows {
        report.checks.extend(verdicts.iter().filter_map(|(pool, verdict)| {
            Some(Check {
                name: scenario.title(),
                system: (*pool).to_owned(),
                holds: verdict.holds?,
                figure: verdict.figure.clone(),
            })
        }));
    }
    println!("\nwritten to {}", report.write(&folder())?.display());
    if arguments.write {
        let path = workspace().join("docs/rivals.md");
        fs::write(&path, page(&report, &rows)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("written to docs/rivals.md");
    }
    let failed = report.checks.iter().filter(|check| check.system == "millpond" && !check.holds).count();
    if failed > 0 {
        eprintln!("{failed} of the scenarios did not go well for millpond");
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How each kind of server tells its version.
const SERVERS: [(&str, Kind, &str); 2] =
    [("postgresql", Kind::Postgres, "show server_version"), ("mysql", Kind::Mysql, "select version()")];

fn run_all(arguments: &Arguments, bed: &Bed) -> Result<Vec<Row>> {
    let is_in = |list: &Option<Vec<String>>, name: &str| {
        list.as_ref().is_none_or(|list| list.iter().any(|other| other == name))
    };
    let mut rows = Vec::new();
    for scenario in SCENARIOS.iter().filter(|scenario| is_in(&arguments.only, scenario.name)) {
        println!("{}: {}", scenario.title(), scenario.what);
        let mut verdicts = Vec::new();
        for (pool, _) in scenario.runs.iter().filter(|(pool, _)| is_in(&arguments.pools, pool)) {
            let verdict = run_apart(scenario.name, pool, bed)?;
            println!("  {pool:<11} {:<6} {}", verdict.word(), verdict.figure);
            verdicts.push((*pool, verdict));
        }
        rows.push((scenario, verdicts));
    }
    Ok(rows)
}

/// Runs one pool in one scenario.
fn run_here(one: &str, bed: &Bed) -> Result<Verdict> {
    let (name, pool) = one.split_once('/').context("write the scenario, a slash and the pool")?;
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).context("no such scenario")?;
    let (_, run) = scenario.runs.iter().find(|(other, _)| *other == pool).context("no such pool")?;
    run(bed)
}

/// Runs one pool in one scenario in a process of its own: some end theirs.
fn run_apart(scenario: &str, pool: &str, bed: &Bed) -> Result<Verdict> {
    let program = std::env::current_exe().context("this program has no path")?;
    let mut command = Command::new(program);
    command.args(["--one", &format!("{scenario}/{pool}")]);
    for (option, upstream) in [("--postgres", &bed.postgres), ("--mysql", &bed.mysql)] {
        if let Some(upstream) = upstream {
            command.args([option, &upstream.url()]);
        }
    }
    let output = command.output()?;
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

Each scenario puts a pool into a situation that was reported of a real one, with the same limits for each where it has such a limit: 5 s for a
connect, 1 s for a check, and what the scenario says for a caller. What a pool does not have is left out and said. millpond, deadpool, bb8,
mobc and fast_pool run over connections in this process, which cost nothing and do as they are told. sqlx and mysql_async know only real ones:
theirs go through a relay that does the same to a server, and their tries while it refuses are the failed connects of the whole system. T5,
T10, T11 and T15 are about a database: there millpond is `millpond-postgres`, deadpool is `deadpool-postgres`, bb8 is `bb8-postgres`, and
mobc and fast_pool take no part.

Made by `cargo xtask rivals -- --write`, not by hand. A figure is of one run.

Versions: ";

fn page(report: &Report, rows: &[Row]) -> Result<String> {
    let mut page = String::from(HEAD);
    let list: Vec<_> = report.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    writeln!(page, "{}.\n", list.join(", "))?;
    for (scenario, verdicts) in rows {
        let (title, what) = (scenario.title(), capital(scenario.what));
        writeln!(page, "## {title}\n\n{what}. Wanted: {}. Seen in: {}.\n", scenario.wanted, scenario.seen)?;
        writeln!(page, "| pool | | seen |\n|---|---|---|")?;
        for (pool, verdict) in verdicts {
            // A bar would end the cell.
            writeln!(page, "| {pool} | {} | {} |", verdict.word(), verdict.figure.replace('|', "\\|"))?;
        }
        writeln!(page)?;
    }
    Ok(page.trim_end().to_owned() + "\n")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
