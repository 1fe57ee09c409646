//! How often a pool allocates, by an allocator that counts: in a program of its own, since counting takes time.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, yield_now};

use super::{Pool, SCENARIOS, Scenario, bb8, deadpool, fast_pool, millpond, mobc};
use crate::figures::{Check, Figure, Reading, figures_of};

/// Gives how often the thread allocated while the work was done.
pub type Count = fn(work: &mut dyn FnMut()) -> u64;

/// How often each task takes a connection in the longer of two runs. What a run takes once is in both.
const TIMES: u64 = 600;

/// Counts all pools in all scenarios, and writes a line each.
///
/// # Errors
///
/// What a pool says.
pub fn print(count: Count) -> Result<()> {
    for scenario in SCENARIOS {
        line::<millpond::Millpond>(scenario, count)?;
        line::<deadpool::Deadpool>(scenario, count)?;
        line::<bb8::Bb8>(scenario, count)?;
        line::<mobc::Mobc>(scenario, count)?;
        line::<fast_pool::FastPool>(scenario, count)?;
    }
    Ok(())
}

fn line<P: Pool>(scenario: Scenario, count: Count) -> Result<()> {
    let (short, long) = (run::<P>(scenario, TIMES / 2, count)?, run::<P>(scenario, TIMES, count)?);
    let taken = TIMES / 2 * scenario.tasks as u64;
    let each = (long as f64 - short as f64) / taken as f64;
    println!("{}\t{}\t{each:.4}", scenario.name, P::NAME);
    Ok(())
}

/// All on this thread, where it is counted.
fn run<P: Pool>(scenario: Scenario, times: u64, count: Count) -> Result<u64> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let mut outcome = None;
    let counted = count(&mut || {
        outcome = Some(runtime.block_on(async {
            let pool = P::open(scenario.slots).await?;
            let mut tasks = JoinSet::new();
            for _ in 0..scenario.tasks {
                let pool = pool.clone();
                tasks.spawn(async move {
                    for _ in 0..times {
                        let lease = pool.take().await?;
                        if scenario.yields {
                            yield_now().await;
                        }
                        drop(lease);
                    }
                    anyhow::Ok(())
                });
            }
            tasks.join_all().await.into_iter().collect::<Result<()>>()
        }));
    });
    outcome.context("nothing was done")??;
    Ok(counted)
}

/// Runs the program that counts. Gives its figures, as those of one worker, and what is to hold.
///
/// # Errors
///
/// When it fails, or says what is none of this.
pub fn read(program: &Path) -> Result<(Vec<Figure>, Vec<Check>)> {
    let output =
        Command::new(program).output().with_context(|| format!("cannot run {}", program.display()))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {error}", program.display());
    let (mut figures, mut checks) = (Vec::new(), Vec::new());
    for line in String::from_utf8(output.stdout)?.lines() {
        let parts: Vec<_> = line.split('\t').collect();
        let [scenario, system, value] = parts[..] else { anyhow::bail!("no figure: {line}") };
        let value: f64 = value.parse().with_context(|| format!("no figure: {line}"))?;
        let reading = Reading { metric: "allocations", unit: "1", value };
        figures.extend(figures_of(&format!("{scenario}/1w"), system, &[vec![reading]]));
        if system == millpond::Millpond::NAME {
            let yields = SCENARIOS.iter().any(|known| known.name == scenario && known.yields);
            let (most, what) = if yields { (1.0, "at most one") } else { (0.0, "no") };
            checks.push(Check {
                name: format!("{scenario}/1w: {what} allocation for a connection taken"),
                system: system.to_owned(),
                holds: value <= most,
                figure: format!("{value:.2}"),
            });
        }
    }
    ensure!(!figures.is_empty(), "{} said nothing", program.display());
    Ok((figures, checks))
}
