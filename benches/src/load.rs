//! A closed loop: so many tasks, each of which begins its next statement when the last one is answered.

use std::future::Future;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};
use fastrand::Rng;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::cpu::{self, Family, ProcessTree};
use crate::figures::Reading;
use crate::spread::percentile;

/// What each task does again and again.
pub trait Work: Send + Sync + 'static {
    /// One statement, and a look at its answer.
    fn once(&self, task: &mut Task) -> impl Future<Output = Result<()>> + Send;
}

/// One of the tasks.
#[derive(Debug)]
pub struct Task {
    /// Its number, from 0.
    pub index: usize,
    /// Its random numbers: the same in each run and for each system.
    pub random: Rng,
}

/// How many tasks, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many tasks.
    pub tasks: usize,
    /// The time before the window: connections are opened and statements prepared in it.
    pub warm_up: Duration,
    /// The time that counts.
    pub window: Duration,
}

/// Longer than any pool lets a caller wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// The window: a statement counts when it is begun and answered in it.
#[derive(Clone, Copy, Debug)]
struct Window {
    begin: Instant,
    end: Instant,
}

/// What one task saw in the window.
#[derive(Debug, Default)]
struct Tally {
    /// Of each statement that counts.
    latencies: Vec<Duration>,
    /// Whether any answer came in the window, also one to a statement begun before it.
    is_served: bool,
    failed: usize,
    /// Also of the time before the window.
    first_error: Option<Error>,
}

impl Tally {
    fn note(&mut self, window: Window, begun: Instant, result: Result<()>) {
        let answered = Instant::now();
        let is_answered_inside = window.begin <= answered && answered <= window.end;
        let counts = is_answered_inside && window.begin <= begun;
        match result {
            Ok(()) => {
                self.is_served |= is_answered_inside;
                if counts {
                    self.latencies.push(answered - begun);
                }
            }
            Err(error) => {
                self.failed += usize::from(counts);
                self.first_error.get_or_insert(error);
            }
        }
    }
}

/// What the system did in the window.
#[derive(Debug)]
pub struct Outcome {
    shape: Shape,
    /// All latencies, sorted.
    latencies: Vec<Duration>,
    /// How many statements of each task count.
    counts: Vec<usize>,
    starved: usize,
    failed: usize,
    client_cpu: Duration,
    server_cpu: Option<Duration>,
    machine_cpu: Option<Duration>,
    /// What failed first, in the window or before it.
    pub first_error: Option<Error>,
}

/// Runs the tasks on a runtime that nobody else uses.
///
/// # Errors
///
/// When tasks do not come to an end.
pub fn drive(runtime: &Runtime, work: &Arc<impl Work>, shape: Shape, server: ProcessTree) -> Result<Outcome> {
    let begin = Instant::now() + shape.warm_up;
    let window = Window { begin, end: begin + shape.window };
    let mut tasks = JoinSet::new();
    for index in 0..shape.tasks {
        let task = Task { index, random: Rng::with_seed(index as u64) };
        tasks.spawn_on(repeat(Arc::clone(work), task, window), runtime.handle());
    }
    // This thread is none of the runtime's, so it wakes also when all workers are busy.
    let before = Cpu::at(window.begin, server);
    let after = Cpu::at(window.end, server);
    let tallies = runtime.block_on(async { timeout(PATIENCE, tasks.join_all()).await });
    let tallies = tallies.context("tasks still wait for an answer long after the window")?;
    Ok(Outcome::of(shape, tallies, &before, &after))
}

async fn repeat(work: Arc<impl Work>, mut task: Task, window: Window) -> Tally {
    let mut tally = Tally::default();
    loop {
        let begun = Instant::now();
        if begun >= window.end {
            return tally;
        }
        let result = work.once(&mut task).await;
        tally.note(window, begun, result);
    }
}

/// The CPU time used up to a moment.
struct Cpu {
    at: Instant,
    client: Duration,
    server: Option<Family>,
    machine: Option<Duration>,
}

impl Cpu {
    fn at(moment: Instant, server: ProcessTree) -> Self {
        thread::sleep(moment.saturating_duration_since(Instant::now()));
        let (at, client, machine) = (Instant::now(), cpu::of_this_process(), cpu::of_the_machine());
        Self { at, client, server: server.read(), machine }
    }
}

impl Outcome {
    fn of(shape: Shape, tallies: Vec<Tally>, before: &Cpu, after: &Cpu) -> Self {
        // On a busy machine the readings come a little late; the window does not.
        let of_window = shape.window.as_secs_f64() / (after.at - before.at).as_secs_f64();
        let server = before.server.as_ref().zip(after.server.as_ref());
        let machine = before.machine.zip(after.machine);
        let mut outcome = Self {
            shape,
            latencies: Vec::new(),
            counts: tallies.iter().map(|tally| tally.latencies.len()).collect(),
            starved: tallies.iter().filter(|tally| !tally.is_served).count(),
            failed: tallies.iter().map(|tally| tally.failed).sum(),
            client_cpu: (after.client - before.client).mul_f64(of_window),
            server_cpu: server.map(|(before, after)| cpu::spent_between(before, after).mul_f64(of_window)),
            machine_cpu: machine.map(|(before, after)| after.saturating_sub(before).mul_f64(of_window)),
            first_error: None,
        };
        for tally in tallies {
            outcome.latencies.extend(tally.latencies);
            outcome.first_error = outcome.first_error.or(tally.first_error);
        }
        outcome.latencies.sort_unstable();
        outcome
    }

    /// What is measured of it. What cannot be, such as the latency of no statement, is left out.
    #[must_use]
    pub fn readings(&self) -> Vec<Reading> {
        let statements = self.latencies.len() as f64;
        let seconds = self.shape.window.as_secs_f64();
        let mut readings = Vec::new();
        let mut tell = |metric, unit, value: Option<f64>| {
            readings.extend(value.filter(|value| value.is_finite()).map(|value| Reading {
                metric,
                unit,
                value,
            }));
        };
        let latency = |percent| Some(percentile(&self.latencies, percent)?.as_secs_f64() * 1e3);
        let per_10k = |cpu: Duration| cpu.as_secs_f64() * 1e4 / statements;
        let cores = |cpu: Duration| cpu.as_secs_f64() / seconds;
        tell("qps", "1/s", Some(statements / seconds));
        tell("p50_ms", "ms", latency(50));
        tell("p99_ms", "ms", latency(99));
        tell("starved", "%", Some(self.starved as f64 * 100.0 / self.shape.tasks as f64));
        tell("failed", "statements", Some(self.failed as f64));
        tell("share", "most served / least served", self.share());
        tell("client_cpu", "s/10k", Some(per_10k(self.client_cpu)));
        tell("server_cpu", "s/10k", self.server_cpu.map(per_10k));
        tell("client_cores", "cores", Some(cores(self.client_cpu)));
        let ours = self.server_cpu.map(|server| server + self.client_cpu);
        tell("busy_cores", "cores", ours.map(cores));
        let others = self.machine_cpu.zip(ours).map(|(all, ours)| all.saturating_sub(ours));
        tell("other_cores", "cores", others.map(cores));
        readings
    }

    /// A task without any statement makes this infinite, and is told by `starved`.
    fn share(&self) -> Option<f64> {
        Some(*self.counts.iter().max()? as f64 / *self.counts.iter().min()? as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Tasks with these latencies, each in a window of one second in which the client used 10 ms.
    fn outcome(latencies: &[&[u32]]) -> Outcome {
        let tally = |of: &&[u32]| {
            let latencies: Vec<_> = of.iter().map(|ms| MS * *ms).collect();
            Tally { is_served: !latencies.is_empty(), latencies, ..Tally::default() }
        };
        let shape = Shape { tasks: latencies.len(), warm_up: MS, window: MS * 1000 };
        let at = Instant::now();
        let before = Cpu { at, client: MS, server: None, machine: None };
        let after = Cpu { at: at + MS * 2000, client: MS * 21, server: None, machine: None };
        Outcome::of(shape, latencies.iter().map(tally).collect(), &before, &after)
    }

    fn read(outcome: &Outcome, metric: &str) -> Option<f64> {
        outcome.readings().iter().find(|reading| reading.metric == metric).map(|reading| reading.value)
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let outcome = outcome(&[&[], &[]]);
        assert_eq!(read(&outcome, "qps"), Some(0.0));
        assert_eq!(read(&outcome, "starved"), Some(100.0));
        for metric in ["p50_ms", "share", "client_cpu", "server_cpu", "busy_cores"] {
            assert_eq!(read(&outcome, metric), None, "{metric}");
        }
    }

    #[test]
    fn readings_are_of_the_window() {
        let outcome = outcome(&[&[4, 2, 2], &[1]]);
        assert_eq!(read(&outcome, "qps"), Some(4.0));
        assert_eq!(read(&outcome, "p50_ms"), Some(2.0));
        assert_eq!(read(&outcome, "p99_ms"), Some(4.0));
        assert_eq!(read(&outcome, "share"), Some(3.0));
        // 20 ms in twice the window, for 4 statements.
        assert_eq!(read(&outcome, "client_cpu"), Some(25.0));
    }

    #[test]
    fn only_what_is_begun_and_answered_in_the_window_counts() {
        let now = Instant::now();
        let mut tally = Tally::default();
        let past = Window { begin: now - MS * 3, end: now - MS };
        tally.note(past, now - MS * 2, Ok(()));
        assert!(tally.latencies.is_empty() && !tally.is_served, "answered too late");
        let open = Window { begin: now, end: now + PATIENCE };
        tally.note(open, now - MS, Ok(()));
        assert!(tally.latencies.is_empty() && tally.is_served, "begun too early");
        tally.note(open, now, Ok(()));
        assert_eq!(tally.latencies.len(), 1);
        tally.note(open, now, Err(Error::msg("refused")));
        assert_eq!((tally.latencies.len(), tally.failed), (1, 1));
    }
}
