//! The group `pool`: taking a connection and giving it back, without any server.

pub mod allocations;
pub mod bb8;
pub mod deadpool;
pub mod fast_pool;
pub mod millpond;
pub mod mobc;

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use crate::cpu;
use crate::figures::{Check, Reading};
use crate::rounds::{Contender, Measured};
use crate::spread::percentile;
use crate::table::{Beside, Column, Ratio, ratio, show_ratio};

/// How long a caller may wait, in every pool: the timer is part of the price.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

/// The packages whose versions stand beside the figures.
pub const PACKAGES: [&str; 6] = ["bb8", "deadpool", "fast_pool", "millpond-pool", "mobc", "tokio"];

/// What ratios refer to.
pub const REFERENCE: &str = deadpool::Deadpool::NAME;

/// The columns of the table.
pub const COLUMNS: [Column; 5] = [
    Column::new("ns", "time", 1, Beside::EndsAndRatio),
    Column::new("p99 wait µs", "wait_p99", 1, Beside::EndsAndRatio),
    Column::new("share", "share", 2, Beside::Ends),
    Column::new("starved %", "starved", 0, Beside::Nothing),
    Column::new("busy cores", "busy_cores", 2, Beside::Nothing),
];

/// The pools.
#[must_use]
pub const fn systems() -> [Contender<Bed>; 5] {
    [
        contender::<millpond::Millpond>(),
        contender::<deadpool::Deadpool>(),
        contender::<bb8::Bb8>(),
        contender::<mobc::Mobc>(),
        contender::<fast_pool::FastPool>(),
    ]
}

/// A pool that takes turns.
#[must_use]
pub const fn contender<P: Pool>() -> Contender<Bed> {
    Contender { name: P::NAME, turn: turn::<P> }
}

/// A pool of numbers, which are always open and always clean.
pub trait Pool: Debug + Clone + Send + Sync + Sized + 'static {
    /// Its name, as figures have it.
    const NAME: &'static str;
    /// What it hands out, and takes back when it is dropped.
    type Lease: Send;

    /// Makes one of so many connections, with [`WAIT_TIMEOUT`], in the runtime in which it will be used.
    fn open(size: usize) -> impl Future<Output = Result<Self>> + Send;

    /// Takes a connection.
    fn take(&self) -> impl Future<Output = Result<Self::Lease>> + Send;
}

/// Who contends, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name, without the workers.
    pub name: &'static str,
    /// How many tasks.
    pub tasks: usize,
    /// How many connections.
    pub slots: usize,
    /// Whether a task lets others run while it holds a connection.
    pub yields: bool,
}

/// The scenarios of the group.
pub const SCENARIOS: [Scenario; 4] = [
    Scenario { name: "alone", tasks: 1, slots: 16, yields: false },
    Scenario { name: "four", tasks: 4, slots: 16, yields: false },
    Scenario { name: "crowd-64", tasks: 64, slots: 8, yields: true },
    Scenario { name: "crowd-1000", tasks: 1000, slots: 8, yields: true },
];

/// One scenario with so many workers, and how long it runs.
#[derive(Clone, Copy, Debug)]
pub struct Bed {
    /// Who contends.
    pub scenario: Scenario,
    /// Threads of the runtime.
    pub workers: usize,
    /// How long a run lasts. Each turn has two: waits are timed in one of their own.
    pub window: Duration,
}

impl Bed {
    /// The name that figures have: `crowd-64/2w`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}w", self.scenario.name, self.workers)
    }
}

/// Longer than any pool lets a caller wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a worker is held for the others to begin beside it.
const HOLD: Duration = Duration::from_millis(5);

/// Runs whose workers were fewer than wanted are repeated: left alone, a runtime often has all tasks on one worker.
const TRIES: usize = 4;

/// The least share of the workers that must have been busy.
const BUSY: f64 = 0.8;

fn turn<P: Pool>(bed: &Bed) -> Result<Vec<Reading>> {
    let mut run = run::<P>(bed, Timed::Nothing)?;
    for _ in 1..TRIES {
        // One task keeps one worker busy.
        if run.busy_cores >= BUSY * bed.workers.min(bed.scenario.tasks) as f64 {
            break;
        }
        run = self::run::<P>(bed, Timed::Nothing)?;
    }
    let mut readings = run.readings();
    let mut waits = self::run::<P>(bed, Timed::Waits)?.waits;
    waits.sort_unstable();
    if let Some(wait) = percentile(&waits, 99) {
        readings.push(Reading { metric: "wait_p99", unit: "µs", value: wait.as_secs_f64() * 1e6 });
    }
    Ok(readings)
}

/// What is timed in a run beside all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timed {
    Nothing,
    Waits,
}

/// What a run gave.
#[derive(Debug)]
struct Run {
    elapsed: Duration,
    /// How often each task had a connection.
    served: Vec<u64>,
    waits: Vec<Duration>,
    busy_cores: f64,
}

impl Run {
    fn readings(&self) -> Vec<Reading> {
        let total: u64 = self.served.iter().sum();
        let (most, least) = (self.served.iter().max(), self.served.iter().min());
        let starved = self.served.iter().filter(|served| **served == 0).count();
        let mut all = vec![
            Reading { metric: "time", unit: "ns", value: self.elapsed.as_secs_f64() * 1e9 / total as f64 },
            Reading {
                metric: "starved",
                unit: "%",
                value: 100.0 * starved as f64 / self.served.len() as f64,
            },
            Reading { metric: "busy_cores", unit: "1", value: self.busy_cores },
        ];
        if let (Some(most), Some(least @ 1..)) = (most, least) {
            all.push(Reading { metric: "share", unit: "1", value: *most as f64 / *least as f64 });
        }
        all
    }
}

/// A runtime of so many threads.
///
/// # Errors
///
/// When the system gives none.
pub fn runtime(workers: usize) -> Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(workers).enable_time().build()?)
}

fn run<P: Pool>(bed: &Bed, timed: Timed) -> Result<Run> {
    let Scenario { tasks, slots, yields, .. } = bed.scenario;
    let runtime = runtime(bed.workers)?;
    let pool = runtime.block_on(async {
        let pool = P::open(slots).await?;
        // Every connection is open before it begins.
        let mut leases = Vec::new();
        for _ in 0..slots {
            leases.push(pool.take().await?);
        }
        anyhow::Ok(pool)
    })?;
    let is_over = Arc::new(AtomicBool::new(false));
    // Each worker starts its share of the tasks, and none begins before all have.
    let starters = bed.workers.min(tasks);
    let arrived = Arc::new(AtomicUsize::new(0));
    let mut all = JoinSet::new();
    for starter in 0..starters {
        let (pool, is_over, arrived) = (pool.clone(), Arc::clone(&is_over), Arc::clone(&arrived));
        let share = tasks / starters + usize::from(starter < tasks % starters);
        let start = async move {
            arrived.fetch_add(1, Ordering::Relaxed);
            // Holds its worker, so that the next starter runs on another; but a worker may have taken both from the
            // queue with nobody told, and then this one must let it run.
            while arrived.load(Ordering::Relaxed) < starters {
                let until = Instant::now() + HOLD;
                while arrived.load(Ordering::Relaxed) < starters && Instant::now() < until {
                    std::hint::spin_loop();
                }
                yield_now().await;
            }
            let mut tasks = JoinSet::new();
            for task in 0..share {
                tasks.spawn(repeat(pool.clone(), Arc::clone(&is_over), yields, timed, task as u64));
            }
            tasks.join_all().await
        };
        all.spawn_on(start, runtime.handle());
    }
    while arrived.load(Ordering::Relaxed) < starters {
        std::thread::yield_now();
    }
    let (begun, cpu) = (Instant::now(), cpu::of_this_process());
    std::thread::sleep(bed.window);
    let (elapsed, cpu) = (begun.elapsed(), cpu::of_this_process() - cpu);
    is_over.store(true, Ordering::Relaxed);
    let tallies = runtime.block_on(async { timeout(PATIENCE, all.join_all()).await });
    let tallies = tallies.context("tasks still wait long after the end")?;
    let tallies = tallies.into_iter().flatten().collect::<Result<Vec<_>>>()?;
    ensure!(tallies.len() == tasks, "{} of {tasks} tasks came to an end", tallies.len());
    let busy_cores = cpu.as_secs_f64() / elapsed.as_secs_f64();
    let (served, waits): (Vec<_>, Vec<_>) = tallies.into_iter().unzip();
    Ok(Run { elapsed, served, waits: waits.concat(), busy_cores })
}

/// One in so many waits is timed: a clock that is read each time is a third of what is measured. Each task begins at another, since a
/// fair pool serves them all in turn: they would time the same few rounds, and none of what lies between.
const ONE_IN: u64 = 16;

/// Takes connections until it is over. Gives how often, and the waits if they are timed.
async fn repeat<P: Pool>(
    pool: P,
    is_over: Arc<AtomicBool>,
    yields: bool,
    timed: Timed,
    task: u64,
) -> Result<(u64, Vec<Duration>)> {
    let (mut served, mut waits) = (0, Vec::new());
    while !is_over.load(Ordering::Relaxed) {
        let lease = match timed {
            Timed::Waits if (served + task).is_multiple_of(ONE_IN) => {
                let asked = Instant::now();
                let lease = pool.take().await?;
                waits.push(asked.elapsed());
                lease
            }
            Timed::Waits | Timed::Nothing => pool.take().await?,
        };
        served += 1;
        if yields {
            yield_now().await;
        }
        drop(lease);
    }
    Ok((served, waits))
}

/// What millpond's pool is to reach: by the medians, with the ends of the rounds beside.
#[must_use]
pub fn checks(measured: &Measured, bed: &Bed) -> Vec<Check> {
    let mut all = Vec::new();
    let mut check = |what: String, found: Option<Ratio>, most: f64| {
        all.extend(found.map(|found| Check {
            name: format!("{}: {what}", measured.scenario),
            system: millpond::Millpond::NAME.to_owned(),
            holds: found.of_medians <= most,
            figure: show_ratio(found),
        }));
    };
    let most = if bed.scenario.yields { 0.7 } else { 0.4 };
    let beside = |metric| ratio(measured, metric, millpond::Millpond::NAME, REFERENCE);
    check(format!("at most {most} of deadpool's time"), beside("time"), most);
    if bed.scenario.yields {
        check("at most 0.7 of deadpool's p99 wait".to_owned(), beside("wait_p99"), 0.7);
    }
    all
}
