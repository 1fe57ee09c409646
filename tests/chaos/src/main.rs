//! A cluster that fails at random under traffic: what its users were told, against what it kept.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use millpond_chaos::checker::Durability;
use millpond_chaos::reader;
use millpond_chaos::run::{Plan, run};
use tokio::runtime::Builder;

/// Kills, freezes, cuts off, holds back and promotes real servers under traffic, and checks every promise. Exit status 0 says that all
/// were kept.
#[derive(Debug, Parser)]
struct Arguments {
    /// What commits wait for.
    #[arg(long, value_enum, default_value = "both")]
    profile: Profile,
    /// How long faults are inflicted, in all.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// How many clients write and read.
    #[arg(long, default_value_t = 8)]
    clients: u32,
    /// The order of faults and statements; at random when it is left out, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// To be the second process, for the cluster at this URL.
    #[arg(long, hide = true)]
    reader: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Profile {
    /// A commit waits until a replica has it; the most advanced one is promoted.
    Sync,
    /// A commit waits for nobody; any replica is promoted.
    Async,
    /// One after the other, half of the time each.
    Both,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    if let Some(url) = &arguments.reader {
        runtime.block_on(reader::run(url))?;
        return Ok(ExitCode::SUCCESS);
    }
    let profiles: &[_] = match arguments.profile {
        Profile::Sync => &[Durability::Synchronous],
        Profile::Async => &[Durability::Asynchronous],
        Profile::Both => &[Durability::Synchronous, Durability::Asynchronous],
    };
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    let seconds = arguments.seconds / u64::try_from(profiles.len())?;
    let mut is_good = true;
    for durability in profiles.iter().copied() {
        eprintln!("{durability:?}, seed {seed}, {seconds} s");
        let length = Duration::from_secs(seconds);
        let report = runtime.block_on(run(&Plan { durability, length, clients: arguments.clients, seed }))?;
        println!("{durability:?}, seed {seed}, {seconds} s\n{report}");
        is_good &= report.is_good();
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
