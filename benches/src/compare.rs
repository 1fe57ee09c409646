//! The group `compare`: what a team would pick instead, on the same work in the same minute.

use crate::figures::{Check, Report, values_of};
use crate::machine::Machine;
use crate::point::{Bed, contender};
use crate::rounds::{Contender, Measured};
use crate::server::SHARED_BUFFERS;
use crate::spread::Spread;
use crate::systems::bare::Bare;
use crate::systems::deadpool::Deadpool;
use crate::systems::millpond::Millpond;
use crate::systems::{System, WAIT_TIMEOUT};
use crate::table::{Beside, Column, ratio, show_ratio};

/// The most connections for statements, for everybody.
pub const CONNECTIONS: usize = 8;

/// The packages whose versions stand beside the figures.
pub const PACKAGES: [&str; 5] = ["deadpool", "deadpool-postgres", "millpond", "tokio", "tokio-postgres"];

/// What ratios refer to.
pub const REFERENCE: &str = Deadpool::NAME;

/// The systems of point reads.
#[must_use]
pub const fn systems<'a>() -> [Contender<Bed<'a>>; 3] {
    [contender::<Millpond>(), contender::<Deadpool>(), contender::<Bare>()]
}

/// The columns of the table.
pub const COLUMNS: [Column; 11] = [
    Column::new("statements/s", "qps", 0, Beside::EndsAndRatio),
    Column::new("p50 ms", "p50_ms", 3, Beside::Nothing),
    Column::new("p99 ms", "p99_ms", 3, Beside::Ends),
    Column::new("client CPU", "client_cpu", 3, Beside::EndsAndRatio),
    Column::new("server CPU", "server_cpu", 3, Beside::EndsAndRatio),
    Column::new("starved %", "starved", 0, Beside::Nothing),
    Column::new("share", "share", 2, Beside::Nothing),
    Column::new("failed", "failed", 0, Beside::Nothing),
    Column::new("connections", "connections", 0, Beside::Nothing),
    Column::new("busy cores", "busy_cores", 2, Beside::Nothing),
    Column::new("others", "other_cores", 2, Beside::Nothing),
];

/// What a reader of the table must know.
#[must_use]
pub fn notes(report: &Report, bed: &Bed<'_>, rounds: usize) -> String {
    let Machine { cores, cpu, os, rustc } = &report.machine;
    let versions: Vec<_> =
        report.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let (versions, commit) = (versions.join(", "), &report.commit);
    let shape = bed.shape;
    format!(
        "{cpu}, {cores} cores, {os}, {rustc}\n\
         {versions}; commit {commit}\n\
         one PostgreSQL node on loopback (TCP, no TLS), shared_buffers {SHARED_BUFFERS}, {} rows; client and server \
         share the cores\n\
         {rounds} interleaved rounds, each turn {} ms of warm-up and a window of {} ms on a tokio runtime of its own \
         with {cores} workers\n\
         at most {} connections for statements, wait timeout {} s (millpond, deadpool); deadpool: RecyclingMethod::Fast, \
         prepare_cached\n\
         tokio-postgres: no pool; task T has client T mod {} behind a fair lock, for one statement at a time, no timeout\n\
         A statement counts when it is begun and answered in the window, a task starves when no answer comes in it.\n\
         median (least..most); ratios: of the medians (least..most of a round). CPU in s per 10k statements.\n\
         share: statements of the most served task / of the least served. connections: millpond's include its monitor's.\n\
         busy cores: client and server. others: cores that other programs used meanwhile, by the system's \
         ticks; runs with many of them say little.\n",
        bed.rows,
        shape.warm_up.as_millis(),
        shape.window.as_millis(),
        bed.connections,
        WAIT_TIMEOUT.as_secs(),
        bed.connections,
    )
}

/// What millpond promises beside the reference, in one scenario.
#[must_use]
pub fn checks(measured: &Measured) -> Vec<Check> {
    let system = Millpond::NAME;
    let check = |name: &str, holds, figure| check(measured, system, name, holds, figure);
    let mut checks = Vec::new();
    if let Some(rate) = ratio(measured, "qps", system, REFERENCE) {
        let name = format!("at least 0.97x the rate of {REFERENCE}");
        checks.push(check(&name, rate.of_medians >= 0.97, show_ratio(rate)));
    }
    if let Some(cpu) = ratio(measured, "client_cpu", system, REFERENCE) {
        let name = format!("at most 0.95x the client CPU of {REFERENCE}");
        checks.push(check(&name, cpu.of_medians <= 0.95, show_ratio(cpu)));
    }
    let starved = |runs| Spread::of(values_of(runs, "starved").flatten().collect());
    if let Some(Spread { max, .. }) = measured.runs_of(system).and_then(starved) {
        checks.push(check("no task starves", max == 0.0, format!("{max} % in the worst round")));
    }
    checks
}

/// What is promised of a system in a scenario, and whether it is so.
pub(crate) fn check(measured: &Measured, system: &str, name: &str, holds: bool, figure: String) -> Check {
    Check { name: format!("{}: {name}", measured.scenario), system: system.to_owned(), holds, figure }
}
