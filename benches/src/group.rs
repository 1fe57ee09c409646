//! A group of point reads on one server: its arguments, and its run.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use crate::compare::COLUMNS;
use crate::figures::{Check, Report};
use crate::load::Shape;
use crate::machine::{Machine, versions};
use crate::point::Bed;
use crate::rounds::{Contender, Measured, interleave};
use crate::server::SHARED_BUFFERS;
use crate::table::table;

/// What is compared, and on which promise.
#[derive(Debug)]
pub struct Group {
    /// Its name, as the file has it.
    pub name: &'static str,
    /// The packages whose versions stand beside the figures.
    pub packages: &'static [&'static str],
    /// Who is compared with whom.
    pub lines: &'static [Line],
    /// What a reader of the table must know beside machine, rows and rounds.
    pub notes: fn() -> String,
}

/// Systems that are compared with each other: one scenario for each number of tasks.
#[derive(Debug)]
pub struct Line {
    /// Who takes part.
    pub systems: &'static [Contender<Bed>],
    /// What ratios refer to.
    pub reference: &'static str,
    /// The scenario, as figures have it.
    pub scenario: fn(&Bed) -> String,
    /// What is promised, in one scenario.
    pub checks: fn(&Measured) -> Vec<Check>,
}

impl Group {
    fn systems(&self) -> impl Iterator<Item = &'static Contender<Bed>> {
        self.lines.iter().flat_map(|line| line.systems)
    }
}

/// How much is measured.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The short form: fewer rows, rounds and tasks, shorter windows.
    #[arg(long)]
    pub quick: bool,
    /// How often each system has its turn. 7, quick 3.
    #[arg(long)]
    pub rounds: Option<usize>,
    /// How long a turn counts. 1500, quick 400.
    #[arg(long)]
    pub window_ms: Option<u64>,
    /// Only these systems, to profile them; then no file is written.
    #[arg(long, value_delimiter = ',')]
    pub systems: Option<Vec<String>>,
    /// Exit status 1 where a figure is not what it should be.
    #[arg(long)]
    pub strict: bool,
}

/// What is run: the arguments, with what they leave out.
#[derive(Debug)]
pub struct Plan {
    group: &'static Group,
    /// The number of rows.
    pub rows: i32,
    /// How often each system has its turn.
    pub rounds: usize,
    warm_up: Duration,
    window: Duration,
    tasks: Vec<usize>,
    /// Those of each line.
    contenders: Vec<Vec<Contender<Bed>>>,
    is_strict: bool,
}

impl Arguments {
    /// A group's plan, with a scenario for each number of tasks.
    ///
    /// # Errors
    ///
    /// An argument that cannot be.
    pub fn plan(self, group: &'static Group, tasks: Vec<usize>) -> Result<Plan> {
        let (rows, rounds, warm_up, window) =
            if self.quick { (50_000, 3, 200, 400) } else { (500_000, 7, 400, 1500) };
        for name in self.systems.iter().flatten() {
            ensure!(group.systems().any(|system| system.name == name), "--systems: there is no `{name}`");
        }
        let is_chosen = |system: &&Contender<Bed>| {
            self.systems.as_ref().is_none_or(|names| names.iter().any(|name| name == system.name))
        };
        let chosen = |line: &Line| {
            line.systems.iter().filter(is_chosen).map(|system| Contender { ..*system }).collect()
        };
        let plan = Plan {
            group,
            rows,
            rounds: self.rounds.unwrap_or(rounds),
            warm_up: Duration::from_millis(warm_up),
            window: Duration::from_millis(self.window_ms.unwrap_or(window)),
            tasks,
            contenders: group.lines.iter().map(chosen).collect(),
            is_strict: self.strict,
        };
        ensure!(plan.rounds > 0, "--rounds must be more than 0");
        ensure!(!plan.window.is_zero(), "--window-ms must be more than 0");
        ensure!(!plan.tasks.is_empty() && !plan.tasks.contains(&0), "--tasks must name numbers above 0");
        if cfg!(debug_assertions) {
            eprintln!("this is a development build: its figures say nothing; use --release");
        }
        Ok(plan)
    }
}

impl Plan {
    /// Runs it, with a table for each scenario.
    ///
    /// # Errors
    ///
    /// What the server says; the first turn that fails ends it.
    pub fn run(&self) -> Result<Report> {
        let Group { name, packages, lines, .. } = self.group;
        eprintln!("starting a server with {} rows", self.rows);
        let mut bed = Bed::up(self.rows, self.shape(self.tasks[0]))?;
        let mut versions = versions(packages);
        versions.insert("postgresql".to_owned(), bed.server.ask("show server_version")?);
        let mut report = Report::new(name, versions);
        println!("{}", self.notes(&report));
        for (line, contenders) in lines.iter().zip(&self.contenders).filter(|(_, all)| !all.is_empty()) {
            for tasks in &self.tasks {
                bed.shape = self.shape(*tasks);
                let measured = interleave((line.scenario)(&bed), &bed, contenders, self.rounds)?;
                println!("{}", table(&measured, &COLUMNS, line.reference));
                report.figures.extend(measured.figures());
                report.checks.extend((line.checks)(&measured));
            }
        }
        bed.server.down()?;
        Ok(report)
    }

    /// Whether every system takes part.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.contenders.iter().map(Vec::len).sum::<usize>() == self.group.systems().count()
    }

    /// The scenario with the most tasks.
    #[must_use]
    pub fn largest(&self) -> Shape {
        self.shape(self.tasks.iter().copied().max().unwrap_or(1))
    }

    /// Ends its report, as [`Report::end`].
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn end(&self, report: &Report) -> Result<ExitCode> {
        if self.is_whole() {
            return report.end(self.is_strict);
        }
        report.print_checks();
        // It would stand in the place of a whole one, and compare nothing.
        println!("\nnot written: only some systems took part");
        Ok(ExitCode::SUCCESS)
    }

    const fn shape(&self, tasks: usize) -> Shape {
        Shape { tasks, warm_up: self.warm_up, window: self.window }
    }

    fn notes(&self, report: &Report) -> String {
        let Machine { cores, cpu, os, rustc } = &report.machine;
        let versions: Vec<_> =
            report.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        format!(
            "{cpu}, {cores} cores, {os}, {rustc}\n\
             {}; commit {}\n\
             one PostgreSQL node on loopback (TCP, no TLS), shared_buffers {SHARED_BUFFERS}, {} rows; client and server \
             share the cores\n\
             {} interleaved rounds, each turn {} ms of warm-up and a window of {} ms on a tokio runtime of its own with \
             {cores} workers\n\
             {}\
             median (least..most); ratios: of the medians (least..most of a round). CPU in s per 10k statements.\n\
             A statement counts when it is begun and answered in the window, a task starves when no answer comes in it.\n\
             share: statements of the most served task / of the least served. connections: millpond's include its monitor's.\n\
             busy cores: client and server. others: cores that other programs used meanwhile, by the system's \
             ticks; runs with many of them say little.\n",
            versions.join(", "),
            report.commit,
            self.rows,
            self.rounds,
            self.warm_up.as_millis(),
            self.window.as_millis(),
            (self.group.notes)(),
        )
    }
}
