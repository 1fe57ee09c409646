//! The group `adapters`: a service's own pool, and ours in its place.

use anyhow::Result;
use millpond_lab::{Lab, Node};
use tokio::runtime::{Builder, Runtime};

use crate::compare::{COLUMNS, check};
use crate::cpu::ProcessTree;
use crate::figures::{Check, Reading, Report};
use crate::group::{Group, Line, Plan};
use crate::load::Shape;
use crate::point::{Bed, CONNECTIONS, Reads, contender, filling};
use crate::rounds::{Contender, Measured, interleave};
use crate::server::SHARED_BUFFERS;
use crate::systems::sqlx::{Adapter, Handmade, Untested};
use crate::systems::{System, WAIT_TIMEOUT, diesel, sea_orm};
use crate::table::{ratio, show_ratio, table};
use crate::throttle::Throttle;

/// What a service on sqlx has before it changes.
const REFERENCE: &str = Handmade::NAME;

/// The group: point reads on one node, by each foreign pool and by ours in its place. Those over replicas are [`replicated`].
pub static GROUP: Group = Group {
    name: "adapters",
    packages: &[
        "diesel-async",
        "millpond-diesel",
        "millpond-sea-orm",
        "millpond-sqlx",
        "sea-orm",
        "sqlx",
        "sqlx-postgres",
        "tokio",
    ],
    lines: &[
        Line {
            systems: &[contender::<Adapter>(), contender::<Handmade>(), contender::<Untested>()],
            reference: REFERENCE,
            scenario: |bed: &Bed| format!("sqlx/t{}", bed.shape.tasks),
            checks: checks::<Adapter, Handmade>,
        },
        Line {
            systems: &[contender::<sea_orm::Adapter>(), contender::<sea_orm::Handmade>()],
            reference: sea_orm::Handmade::NAME,
            scenario: |bed: &Bed| format!("sea-orm/t{}", bed.shape.tasks),
            checks: checks::<sea_orm::Adapter, sea_orm::Handmade>,
        },
        Line {
            systems: &[contender::<diesel::Adapter>(), contender::<diesel::Handmade>()],
            reference: diesel::Handmade::NAME,
            scenario: |bed: &Bed| format!("diesel/t{}", bed.shape.tasks),
            checks: checks::<diesel::Adapter, diesel::Handmade>,
        },
    ],
    notes,
};

fn notes() -> String {
    format!(
        "at most {CONNECTIONS} connections, wait timeout {} s; sqlx, sea-orm, diesel-async (by its deadpool): their defaults, which ask \
         the server before a connection is handed out; sqlx-untested: without that\n",
        WAIT_TIMEOUT.as_secs(),
    )
}

/// What an adapter may cost beside what it stands for, in one scenario.
fn checks<A: System, H: System>(measured: &Measured) -> Vec<Check> {
    let cpu = ratio(measured, "client_cpu", A::NAME, H::NAME);
    let name = format!("at most 1.15x the client CPU of {}", H::NAME);
    let checked = cpu.map(|cpu| check(measured, A::NAME, &name, cpu.of_medians <= 1.15, show_ratio(cpu)));
    checked.into_iter().collect()
}

/// What each server of the scenario with replicas may use of one core.
const SHARE: f64 = 0.2;

/// A primary and two replicas, each of which may use a part of a core.
struct Replicated {
    lab: Lab,
    /// Apart from the runtimes under load.
    control: Runtime,
    _throttles: Vec<Throttle>,
    rows: i32,
    shape: Shape,
}

impl Replicated {
    fn up(rows: i32, shape: Shape) -> Result<Self> {
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

    fn down(self) -> Result<()> {
        Ok(self.control.block_on(self.lab.down())?)
    }

    fn url(&self, nodes: &[Node]) -> String {
        let hosts: Vec<_> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.direct_port())).collect();
        format!("postgres://postgres@{}/postgres?sslmode=disable", hosts.join(","))
    }

    fn turn<S: System>(&self, url: String) -> Result<Vec<Reading>> {
        let server = ProcessTree::of_postgres(&self.lab.primary().data_folder())?;
        Reads { url, rows: self.rows, shape: self.shape, server }.turn::<S>(|| Ok(Vec::new()))
    }
}

/// Measures reads over two replicas beside a service that knows the primary only.
///
/// # Errors
///
/// When the servers do not start, or the first turn fails.
pub fn replicated(plan: &Plan, report: &mut Report) -> Result<()> {
    let systems = [
        Contender {
            name: Adapter::NAME,
            turn: |bed: &Replicated| bed.turn::<Adapter>(bed.url(bed.lab.nodes())),
        },
        Contender {
            name: REFERENCE,
            turn: |bed| bed.turn::<Handmade>(bed.url(std::slice::from_ref(bed.lab.primary()))),
        },
    ];
    let bed = Replicated::up(plan.rows, plan.largest())?;
    println!("two replicas; each server may use {SHARE} of a core; sqlx knows the primary only");
    let measured = interleave(format!("sqlx-r2/t{}", bed.shape.tasks), &bed, &systems, plan.rounds)?;
    println!("{}", table(&measured, &COLUMNS, REFERENCE));
    report.figures.extend(measured.figures());
    report.checks.extend(checks_of_replicated(&measured));
    bed.down()
}

/// What two replicas have to add, in one scenario.
fn checks_of_replicated(measured: &Measured) -> Vec<Check> {
    let rate = ratio(measured, "qps", Adapter::NAME, REFERENCE);
    let name = format!("at least 1.7x the rate of {REFERENCE} on the primary");
    let checked =
        rate.map(|rate| check(measured, Adapter::NAME, &name, rate.of_medians >= 1.7, show_ratio(rate)));
    checked.into_iter().collect()
}
