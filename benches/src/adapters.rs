//! The group `adapters`: a service's own pool, and ours in its place.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use millpond_lab::{Lab, Node};
use tokio::runtime::{Builder, Runtime};

use crate::compare::{CONNECTIONS, check};
use crate::cpu::ProcessTree;
use crate::figures::{Check, Reading, Report};
use crate::load::{Shape, drive};
use crate::machine::Machine;
use crate::point::{Bed, PointReads, contender, filling, runtime};
use crate::rounds::{Contender, Measured};
use crate::server::SHARED_BUFFERS;
use crate::systems::sqlx::{Adapter, Handmade, Untested};
use crate::systems::{System, Target, WAIT_TIMEOUT};
use crate::table::{ratio, show_ratio};
use crate::throttle::Throttle;

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

/// What each server of the scenario with replicas may use of one core.
pub const SHARE: f64 = 0.2;

/// A primary and two replicas, each of which may use a part of a core.
#[derive(Debug)]
pub struct Replicated {
    lab: Lab,
    /// Apart from the runtimes under load.
    control: Runtime,
    _throttles: Vec<Throttle>,
    /// The number of rows.
    pub rows: i32,
    /// How many tasks, and for how long.
    pub shape: Shape,
}

impl Replicated {
    /// Starts and fills them.
    ///
    /// # Errors
    ///
    /// When the servers do not start, or cannot be held back.
    pub fn up(rows: i32, shape: Shape) -> Result<Self> {
        let control = Builder::new_current_thread().enable_all().build()?;
        let lab = control.block_on(async {
            let lab = Lab::builder().replicas(2).setting("shared_buffers", SHARED_BUFFERS).up().await?;
            for sql in filling(rows) {
                lab.primary().ask("postgres", &sql).await?;
            }
            lab.caught_up().await?;
            anyhow::Ok(lab)
        })?;
        let throttle =
            |node: &Node| Throttle::of(node.name(), ProcessTree::of_postgres(&node.data_folder())?, SHARE);
        let throttles = lab.nodes().iter().map(throttle).collect::<Result<_>>()?;
        Ok(Self { lab, control, _throttles: throttles, rows, shape })
    }

    /// Ends them.
    ///
    /// # Errors
    ///
    /// When something may be left.
    pub fn down(self) -> Result<()> {
        Ok(self.control.block_on(self.lab.down())?)
    }

    /// As figures have it.
    #[must_use]
    pub fn scenario(&self) -> String {
        format!("sqlx-r2/t{}", self.shape.tasks)
    }

    fn url(&self, nodes: &[Node]) -> String {
        let hosts: Vec<_> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.direct_port())).collect();
        format!("postgres://postgres@{}/postgres?sslmode=disable", hosts.join(","))
    }

    fn turn<S: System>(&self, url: String) -> Result<Vec<Reading>> {
        let runtime = runtime()?;
        let target = Target { url, connections: CONNECTIONS, tasks: self.shape.tasks };
        let system = runtime.block_on(S::connect(&target))?;
        let work = Arc::new(PointReads { system, rows: self.rows });
        let primary = ProcessTree::of_postgres(&self.lab.primary().data_folder())?;
        let outcome = drive(&runtime, &work, self.shape, primary)?;
        if let Some(error) = &outcome.first_error {
            eprintln!("{}: {}: a statement failed: {error:#}", self.scenario(), S::NAME);
        }
        runtime.block_on(work.system.close());
        drop(work);
        runtime.shutdown_timeout(Duration::from_secs(2));
        Ok(outcome.readings())
    }
}

/// The systems of the scenario with replicas: what a service has before, which knows the primary only, and ours.
#[must_use]
pub const fn replicated() -> [Contender<Replicated>; 2] {
    [
        Contender { name: Adapter::NAME, turn: |bed| bed.turn::<Adapter>(bed.url(bed.lab.nodes())) },
        Contender {
            name: REFERENCE,
            turn: |bed| bed.turn::<Handmade>(bed.url(std::slice::from_ref(bed.lab.primary()))),
        },
    ]
}

/// What two replicas have to add, in one scenario.
#[must_use]
pub fn checks_of_replicated(measured: &Measured) -> Vec<Check> {
    let rate = ratio(measured, "qps", Adapter::NAME, REFERENCE);
    let name = format!("at least 1.7x the rate of {REFERENCE} on the primary");
    let checked =
        rate.map(|rate| check(measured, Adapter::NAME, &name, rate.of_medians >= 1.7, show_ratio(rate)));
    checked.into_iter().collect()
}
