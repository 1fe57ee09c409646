//! The group `adapters`: a service's own pool, and ours in its place.

use crate::compare::check;
use crate::figures::{Check, Report};
use crate::machine::Machine;
use crate::point::{Bed, contender};
use crate::rounds::{Contender, Measured};
use crate::server::SHARED_BUFFERS;
use crate::systems::sqlx::{Adapter, Handmade, Untested};
use crate::systems::{System, WAIT_TIMEOUT};
use crate::table::{ratio, show_ratio};

/// The packages whose versions stand beside the figures.
pub const PACKAGES: [&str; 4] = ["millpond-sqlx", "sqlx", "sqlx-postgres", "tokio"];

/// What ratios refer to: what a service has before it changes.
pub const REFERENCE: &str = Handmade::NAME;

/// The systems of point reads on one node.
#[must_use]
pub const fn systems<'a>() -> [Contender<Bed<'a>>; 3] {
    [contender::<Adapter>(), contender::<Handmade>(), contender::<Untested>()]
}

/// As figures have the scenario.
#[must_use]
pub fn scenario(tasks: usize) -> String {
    format!("sqlx/t{tasks}")
}

/// What a reader of the table must know.
#[must_use]
pub fn notes(report: &Report, bed: &Bed<'_>, rounds: usize) -> String {
    let Machine { cores, cpu, os, rustc } = &report.machine;
    let versions: Vec<_> =
        report.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let (versions, commit, shape) = (versions.join(", "), &report.commit, bed.shape);
    format!(
        "{cpu}, {cores} cores, {os}, {rustc}\n\
         {versions}; commit {commit}\n\
         one PostgreSQL node on loopback (TCP, no TLS), shared_buffers {SHARED_BUFFERS}, {} rows; client and server share the cores\n\
         {rounds} interleaved rounds, each turn {} ms of warm-up and a window of {} ms on a tokio runtime of its own with {cores} workers\n\
         at most {} connections, wait timeout {} s; sqlx: its defaults, which ask the server before a connection is handed out; sqlx-untested: without \
         that\n\
         median (least..most); ratios: of the medians (least..most of a round). CPU in s per 10k statements.\n",
        bed.rows,
        shape.warm_up.as_millis(),
        shape.window.as_millis(),
        bed.connections,
        WAIT_TIMEOUT.as_secs(),
    )
}

/// What an adapter may cost beside what it stands for, in one scenario.
#[must_use]
pub fn checks(measured: &Measured) -> Vec<Check> {
    let cpu = ratio(measured, "client_cpu", Adapter::NAME, REFERENCE);
    let name = format!("at most 1.15x the client CPU of {REFERENCE}");
    let checked =
        cpu.map(|cpu| check(measured, Adapter::NAME, &name, cpu.of_medians <= 1.15, show_ratio(cpu)));
    checked.into_iter().collect()
}
