//! The group `adapters`: a service's own pool, and ours in its place.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use millpond_benches::adapters::{
    PACKAGES, REFERENCE, Replicated, SHARE, checks, checks_of_replicated, notes, replicated, scenario,
    systems,
};
use millpond_benches::compare::{COLUMNS, CONNECTIONS};
use millpond_benches::figures::Report;
use millpond_benches::load::Shape;
use millpond_benches::machine::versions;
use millpond_benches::point::{Bed, fill};
use millpond_benches::rounds::interleave;
use millpond_benches::server::Server;
use millpond_benches::table::table;
use millpond_benches::throttle::Throttle;

/// Measures point reads on one server by sqlx's pool and by ours: a table on standard output, and target/figures/adapters.json.
#[derive(Debug, Parser)]
struct Arguments {
    /// The short form: fewer rows, rounds and tasks, shorter windows.
    #[arg(long)]
    quick: bool,
    /// How often each system has its turn. 7, quick 3.
    #[arg(long)]
    rounds: Option<usize>,
    /// How long a turn counts. 1500, quick 400.
    #[arg(long)]
    window_ms: Option<u64>,
    /// How many tasks: one scenario each. 1,8,64, quick 1,8.
    #[arg(long, value_delimiter = ',')]
    tasks: Option<Vec<usize>>,
    /// Only these systems, to profile them; then no file is written.
    #[arg(long, value_delimiter = ',')]
    systems: Option<Vec<String>>,
    /// Exit status 1 where a figure is not what it should be.
    #[arg(long)]
    strict: bool,
}

/// What is run: the arguments, with what they leave out.
struct Plan {
    rows: i32,
    rounds: usize,
    warm_up: Duration,
    window: Duration,
    tasks: Vec<usize>,
}

impl Plan {
    fn of(arguments: &Arguments) -> Result<Self> {
        let full = Self {
            rows: 500_000,
            rounds: 7,
            warm_up: Duration::from_millis(400),
            window: Duration::from_millis(1500),
            tasks: vec![1, 8, 64],
        };
        let quick = Self {
            rows: 50_000,
            rounds: 3,
            warm_up: Duration::from_millis(200),
            window: Duration::from_millis(400),
            tasks: vec![1, 8],
        };
        let mut plan = if arguments.quick { quick } else { full };
        plan.rounds = arguments.rounds.unwrap_or(plan.rounds);
        plan.window = arguments.window_ms.map_or(plan.window, Duration::from_millis);
        plan.tasks = arguments.tasks.clone().unwrap_or(plan.tasks);
        ensure!(plan.rounds > 0, "--rounds must be more than 0");
        ensure!(!plan.window.is_zero(), "--window-ms must be more than 0");
        ensure!(!plan.tasks.is_empty() && !plan.tasks.contains(&0), "--tasks must name numbers above 0");
        Ok(plan)
    }

    fn bed<'a>(&self, server: &'a Server, tasks: usize) -> Bed<'a> {
        let shape = Shape { tasks, warm_up: self.warm_up, window: self.window };
        Bed { server, rows: self.rows, connections: CONNECTIONS, shape }
    }
}

/// The most tasks that the plan has, over two replicas.
fn with_replicas(plan: &Plan, report: &mut Report) -> Result<()> {
    let tasks = plan.tasks.iter().copied().max().unwrap_or(1);
    let shape = Shape { tasks, warm_up: plan.warm_up, window: plan.window };
    let bed = Replicated::up(plan.rows, shape)?;
    println!("two replicas; each server may use {SHARE} of a core; sqlx knows the primary only");
    let measured = interleave(bed.scenario(), &bed, &replicated(), plan.rounds)?;
    println!("{}", table(&measured, &COLUMNS, REFERENCE));
    report.figures.extend(measured.figures());
    report.checks.extend(checks_of_replicated(&measured));
    bed.down()
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let plan = Plan::of(&arguments)?;
    let names = arguments.systems.unwrap_or_else(|| systems().map(|system| system.name.to_owned()).into());
    for name in &names {
        ensure!(systems().iter().any(|system| system.name == name), "--systems: there is no `{name}`");
    }
    if cfg!(debug_assertions) {
        eprintln!("this is a development build: its figures say nothing; use --release");
    }

    eprintln!("starting a server with {} rows", plan.rows);
    let server = Server::up()?;
    fill(&server, plan.rows)?;
    let mut contenders = Vec::from(systems());
    contenders.retain(|system| names.iter().any(|name| name == system.name));
    let mut versions = versions(&PACKAGES);
    versions.insert("postgresql".to_owned(), server.ask("show server_version")?);
    let mut report = Report::new("adapters", versions);
    println!("{}", notes(&report, &plan.bed(&server, plan.tasks[0]), plan.rounds));
    for tasks in plan.tasks.iter().copied() {
        let bed = plan.bed(&server, tasks);
        let measured = interleave(scenario(tasks), &bed, &contenders, plan.rounds)?;
        println!("{}", table(&measured, &COLUMNS, REFERENCE));
        report.figures.extend(measured.figures());
        report.checks.extend(checks(&measured));
    }
    drop(contenders);
    server.down()?;
    if names.len() == systems().len() {
        if Throttle::is_possible() {
            with_replicas(&plan, &mut report)?;
        } else {
            println!(
                "sqlx-r2: left out: it takes control groups for CPU time (version 1) that can be made here, as by root on Linux"
            );
        }
    }
    if names.len() < systems().len() {
        report.print_checks();
        // It would stand in the place of a whole one, and compare nothing.
        println!("\nnot written: only some systems took part");
        return Ok(ExitCode::SUCCESS);
    }
    report.end(arguments.strict)
}
