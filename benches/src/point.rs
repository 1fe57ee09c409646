//! Point reads: one row by its primary key.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::runtime::{Builder, Runtime};

use crate::cpu::ProcessTree;
use crate::figures::Reading;
use crate::load::{Shape, Task, Work, drive};
use crate::rounds::Contender;
use crate::server::Server;
use crate::systems::{System, Target};

/// The statement.
pub const POINT_READ: &str = "select id, stock, name from item where id = $1";

/// The most connections for statements, for everybody.
pub const CONNECTIONS: usize = 8;

/// Fills the table that it reads: keys from 1 to `rows`.
///
/// # Errors
///
/// What the server says.
pub fn fill(server: &Server, rows: i32) -> Result<()> {
    for sql in filling(rows) {
        server.ask(&sql)?;
    }
    Ok(())
}

/// The statements that fill it.
pub(crate) fn filling(rows: i32) -> [String; 4] {
    [
        "create table item (id int primary key, stock int not null, name text not null)".to_owned(),
        format!("insert into item select i, {STOCK}, 'item number ' || i from generate_series(1, {rows}) i"),
        // So that no reader finds the first one's work left to do.
        "vacuum (freeze, analyze) item".to_owned(),
        "checkpoint".to_owned(),
    ]
}

/// The stock of item `i`, in SQL.
const STOCK: &str = "i % 1000";

/// The stock of an item, as the table has it.
#[must_use]
pub const fn stock_of(key: i32) -> i32 {
    key % 1000
}

/// Where point reads take place.
#[derive(Debug)]
pub struct Bed {
    /// The server, filled.
    pub server: Server,
    /// The number of rows.
    pub rows: i32,
    /// How many tasks, and for how long.
    pub shape: Shape,
}

impl Bed {
    /// Starts and fills the server.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn up(rows: i32, shape: Shape) -> Result<Self> {
        let server = Server::up()?;
        fill(&server, rows)?;
        Ok(Self { server, rows, shape })
    }
}

/// A system, ready to take turns.
#[must_use]
pub const fn contender<S: System>() -> Contender<Bed> {
    Contender { name: S::NAME, turn: turn::<S> }
}

struct PointReads<S> {
    system: S,
    rows: i32,
}

impl<S: System> Work for PointReads<S> {
    async fn once(&self, task: &mut Task) -> Result<()> {
        let key = task.random.i32(1..=self.rows);
        let stock = self.system.point(task.index, key).await?;
        ensure!(stock == stock_of(key), "item {key} has stock {}, not {stock}", stock_of(key));
        Ok(())
    }
}

/// A runtime as a service has it: tokio's default, a worker for each core.
///
/// # Errors
///
/// When its threads cannot be started.
pub fn runtime() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
}

fn turn<S: System>(bed: &Bed) -> Result<Vec<Reading>> {
    let reads =
        Reads { url: bed.server.url(), rows: bed.rows, shape: bed.shape, server: bed.server.processes() };
    reads.turn::<S>(|| {
        let value = bed.server.client_connections()?;
        Ok(vec![Reading { metric: "connections", unit: "connections", value }])
    })
}

/// Point reads of one system.
pub(crate) struct Reads {
    pub(crate) url: String,
    pub(crate) rows: i32,
    pub(crate) shape: Shape,
    /// The server whose CPU time counts.
    pub(crate) server: ProcessTree,
}

impl Reads {
    /// Connects, reads and closes; `more` is read before it closes.
    pub(crate) fn turn<S: System>(self, more: impl FnOnce() -> Result<Vec<Reading>>) -> Result<Vec<Reading>> {
        // Each turn has a runtime of its own, so that nothing of the one before runs on.
        let runtime = runtime()?;
        let target = Target { url: self.url, connections: CONNECTIONS, tasks: self.shape.tasks };
        let system = runtime.block_on(S::connect(&target))?;
        let work = Arc::new(PointReads { system, rows: self.rows });
        let outcome = drive(&runtime, &work, self.shape, self.server)?;
        if let Some(error) = &outcome.first_error {
            eprintln!("{}, {} tasks: a statement failed: {error:#}", S::NAME, self.shape.tasks);
        }
        let mut readings = outcome.readings();
        readings.extend(more()?);
        runtime.block_on(work.system.close());
        drop(work);
        runtime.shutdown_timeout(Duration::from_secs(2));
        Ok(readings)
    }
}
