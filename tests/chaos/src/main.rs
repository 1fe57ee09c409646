//! A cluster that fails at random under traffic: what its users were told, against what it kept.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use millpond_benches::figures::{self, folder};
use millpond_benches::machine::{versions, workspace};
use millpond_chaos::checker::Durability;
use millpond_chaos::clock::Clock;
use millpond_chaos::history::History;
use millpond_chaos::peer;
use millpond_chaos::run::{Plan, run};
use millpond_chaos::sends::Sends;
use tokio::runtime::Builder;

/// Kills, freezes, cuts off, holds back and promotes real servers under traffic of two processes, and checks every promise: at random
/// for some time, and then, when asked for, one kind of fault again and again to time its end.
///
/// Durations are printed beside what is aimed at, and written to target/figures/chaos.json; on a busy machine they are longer. Exit
/// status 0 says that all promises were kept.
#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Arguments {
    /// What commits wait for [default: both, one after the other; async where faults are only timed]
    #[arg(long, value_enum)]
    profile: Option<Profile>,
    /// How long faults are inflicted at random, over all profiles [default: 600; 0 where faults are timed]
    #[arg(long)]
    seconds: Option<u64>,
    /// How many promotions are timed then, in the last of the profiles
    #[arg(long, default_value_t = 0)]
    promotions: u32,
    /// How many kills of a replica are timed, likewise
    #[arg(long, default_value_t = 0)]
    kills: u32,
    /// How many freezes of a node are timed, likewise
    #[arg(long, default_value_t = 0)]
    freezes: u32,
    /// How many clients of each process write and read, beside those with tokens and those that read slowly
    #[arg(long, default_value_t = 4)]
    clients: u32,
    /// The order of faults and statements; at random when it is left out, and printed
    #[arg(long)]
    seed: Option<u64>,
    /// Exit status 1, too, where a duration is longer than what is aimed at
    #[arg(long)]
    strict: bool,
    /// To be the second process, with this order
    #[arg(long, hide = true)]
    peer: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// A commit waits until a replica has it; the most advanced one is promoted
    Sync,
    /// A commit waits for nobody; any replica is promoted
    Async,
    /// One after the other, half of the time each
    Both,
}

/// The packages whose versions stand in the file.
const PACKAGES: [&str; 3] = ["millpond", "tokio", "tokio-postgres"];

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    if let Some(order) = &arguments.peer {
        runtime.block_on(peer::run(&serde_json::from_str(order)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    let plans = plans(&arguments, seed)?;
    println!("seed {seed}");
    let clock = Clock::begin();
    let sends = Sends::listen(clock)?;
    let mut file = figures::Report::new("chaos", versions(&PACKAGES));
    let mut broken = Vec::new();
    for plan in &plans {
        let name = name(plan.durability);
        eprintln!(
            "{name}: faults at random for {} s, then {} that are timed",
            plan.random.as_secs(),
            plan.count()
        );
        let (report, history) = runtime.block_on(run(plan, clock, &sends))?;
        println!("{name}, seed {seed}\n{report}");
        let scenario = format!("chaos/{name}");
        file.figures.extend(report.distributions().iter().flat_map(|it| it.figures(&scenario)));
        file.checks.extend(report.checks(&scenario));
        if !report.is_good() {
            broken.push(explain(plan, &history)?);
        }
    }
    println!("{} has the figures", file.write(&folder())?.display());
    if broken.is_empty() {
        println!("every promise was kept, with seed {seed}");
        let is_late = arguments.strict && !file.all_hold();
        return Ok(if is_late { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    broken.iter().for_each(|how| println!("{how}"));
    Ok(ExitCode::FAILURE)
}

fn plans(arguments: &Arguments, seed: u64) -> Result<Vec<Plan>> {
    let &Arguments { promotions, kills, freezes, clients, .. } = arguments;
    let is_timed = promotions + kills + freezes > 0;
    let seconds = arguments.seconds.unwrap_or(if is_timed { 0 } else { 600 });
    let by_default = if seconds == 0 { Profile::Async } else { Profile::Both };
    let profiles: &[_] = match arguments.profile.unwrap_or(by_default) {
        Profile::Sync => &[Durability::Synchronous],
        Profile::Async => &[Durability::Asynchronous],
        Profile::Both => &[Durability::Synchronous, Durability::Asynchronous],
    };
    let random = Duration::from_secs(seconds / u64::try_from(profiles.len())?);
    let mut plans = Vec::new();
    for (index, durability) in profiles.iter().copied().enumerate() {
        let plan = Plan { durability, random, promotions, kills, freezes, clients, seed };
        plans.push(if index + 1 == profiles.len() { plan } else { plan.without_timed() });
    }
    Ok(plans)
}

const fn name(durability: Durability) -> &'static str {
    match durability {
        Durability::Synchronous => "sync",
        Durability::Asynchronous => "async",
    }
}

/// Keeps what a promise was broken in, and says how to do it again.
fn explain(plan: &Plan, history: &History) -> Result<String> {
    let (name, seed) = (name(plan.durability), plan.seed);
    let folder = workspace().join("target/chaos");
    let file = folder.join(format!("{name}-{seed}.json"));
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, serde_json::to_vec(history)?));
    written.with_context(|| format!("cannot write {}", file.display()))?;
    let Plan { promotions, kills, freezes, clients, random, .. } = plan;
    Ok(format!(
        "BROKEN, see above. All that was sent and answered: {}\nThe same faults and statements again, though at other times: \
         cargo xtask chaos -- --profile {name} --seconds {} --promotions {promotions} --kills {kills} --freezes {freezes} \
         --clients {clients} --seed {seed}",
        file.display(),
        random.as_secs(),
    ))
}
