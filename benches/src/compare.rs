//! The group `compare`: what a team would pick instead, on the same work in the same minute.

use crate::figures::{Check, values_of};
use crate::group::{Group, Line};
use crate::point::{Bed, CONNECTIONS, contender};
use crate::rounds::Measured;
use crate::spread::Spread;
use crate::systems::bare::Bare;
use crate::systems::deadpool::Deadpool;
use crate::systems::millpond::Millpond;
use crate::systems::{System, WAIT_TIMEOUT};
use crate::table::{Beside, Column, ratio, show_ratio};

/// The group.
pub static GROUP: Group = Group {
    name: "compare",
    packages: &["deadpool", "deadpool-postgres", "millpond", "tokio", "tokio-postgres"],
    lines: &[Line {
        systems: &[contender::<Millpond>(), contender::<Deadpool>(), contender::<Bare>()],
        reference: Deadpool::NAME,
        scenario: |bed: &Bed| format!("point/c{CONNECTIONS}/t{}/loopback", bed.shape.tasks),
        checks,
    }],
    notes,
};

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

fn notes() -> String {
    format!(
        "at most {CONNECTIONS} connections for statements, wait timeout {} s (millpond, deadpool); deadpool: \
         RecyclingMethod::Fast, prepare_cached\n\
         tokio-postgres: no pool; task T has client T mod {CONNECTIONS} behind a fair lock, for one statement at a time, \
         no timeout\n",
        WAIT_TIMEOUT.as_secs(),
    )
}

/// What millpond promises beside the reference, in one scenario.
fn checks(measured: &Measured) -> Vec<Check> {
    const REFERENCE: &str = Deadpool::NAME;
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
