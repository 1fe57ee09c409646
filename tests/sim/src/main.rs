//! Clusters that fail at random in virtual time: what their users were told, against what the servers had.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use millpond_sim::settings::Faults;

use millpond_sim::{Profile, Report, Settings, run_with};

/// Lets simulated clusters fail at random under simulated clients, and checks every promise. Exit status 0 says that all were kept.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many runs, each with the next seed.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first seed; at random when it is left out, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// How long each run takes, in virtual time.
    #[arg(long, default_value_t = 24.0)]
    hours: f64,
    /// The servers of the cluster.
    #[arg(long, default_value_t = 20)]
    nodes: usize,
    /// Over all processes.
    #[arg(long, default_value_t = 2000)]
    clients: usize,
    /// How many processes have a handle.
    #[arg(long, default_value_t = 3)]
    processes: usize,
    /// How long a client rests between two visits, in seconds of virtual time.
    #[arg(long, default_value_t = 60.0)]
    think: f64,
    /// What commits wait for.
    #[arg(long, value_enum, default_value = "both")]
    profile: Profiles,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Profiles {
    /// A commit waits until a replica has it; the most advanced one is promoted.
    Sync,
    /// A commit waits for nobody; any replica is promoted.
    Async,
    /// One after the other, each for as long.
    Both,
}

/// After so long all is mended and looked at.
const ROUND: Duration = Duration::from_secs(600);

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    ensure!((2..=40).contains(&arguments.nodes), "a simulated cluster has 2 to 40 nodes");
    ensure!(arguments.processes > 0 && arguments.clients > 0, "somebody has to read and write");
    let profiles: &[_] = match arguments.profile {
        Profiles::Sync => &[Profile::Synchronous],
        Profiles::Async => &[Profile::Asynchronous],
        Profiles::Both => &[Profile::Synchronous, Profile::Asynchronous],
    };
    let first = arguments.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    let mut is_good = true;
    for profile in profiles.iter().copied() {
        let settings = Settings {
            profile,
            nodes: arguments.nodes,
            spares: 2,
            processes: arguments.processes,
            clients: arguments.clients,
            think: Duration::try_from_secs_f64(arguments.think)?,
            length: Duration::try_from_secs_f64(arguments.hours * 3600.0)?,
            faults: Faults::Random(ROUND),
            lie: None,
        };
        is_good &= all_seeds(first, arguments.seeds, &settings);
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs all seeds, and tells what came of each that is not good, and of all.
fn all_seeds(first: u64, seeds: u64, settings: &Settings) -> bool {
    let (mut all, mut bad): (Option<Report>, Vec<u64>) = (None, Vec::new());
    let profile = settings.profile;
    for seed in first..first.saturating_add(seeds) {
        let begun = Instant::now();
        let mut last = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| {
            run_with(seed, settings, |now| {
                if last.elapsed() > Duration::from_secs(10) {
                    last = Instant::now();
                    eprintln!("{profile}, seed {seed}: {:.1} h", now.as_secs_f64() / 3600.0);
                }
            })
        }));
        let Ok(report) = result else {
            println!("{profile}, seed {seed}: panicked");
            bad.push(seed);
            continue;
        };
        eprintln!("{profile}, seed {seed}: {:.1} s", begun.elapsed().as_secs_f64());
        if !report.is_good() {
            println!("{profile}, seed {seed}, broken:\n{report}");
            bad.push(seed);
        }
        match &mut all {
            Some(all) => all.add(&report),
            none => *none = Some(report),
        }
    }
    if let Some(all) = all {
        println!("{profile}, {seeds} seeds from {first}, {:.1} h\n{all}", all.length.as_secs_f64() / 3600.0);
    }
    if !bad.is_empty() {
        println!("{profile}: seeds that broke a promise: {bad:?}");
    }
    bad.is_empty()
}
