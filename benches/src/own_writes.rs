//! The group `own-writes`: what it costs to read an own write from a replica, when the last probe is older than the write.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use millpond::postgres::Db;
use millpond_lab::{Lab, Node};
use tokio::runtime::{Builder, Runtime};

use crate::figures::{Check, Reading};
use crate::rounds::{Contender, Measured};
use crate::spread::percentile;
use crate::table::{Beside, Column, ratio, show_ratio};

/// The packages whose versions stand beside the figures.
pub const PACKAGES: [&str; 2] = ["millpond-postgres", "tokio-postgres"];

/// What ratios refer to.
pub const REFERENCE: &str = "any replica";

const OWN: &str = "own write";

/// The columns of the table.
pub const COLUMNS: [Column; 2] =
    [Column::new("p50 ms", "p50", 3, Beside::EndsAndRatio), Column::new("p99 ms", "p99", 3, Beside::Ends)];

/// There and back over the lab's relay.
pub const ROUND_TRIP: Duration = Duration::from_millis(1);

/// A primary and a replica, each a round trip away, and a handle whose monitors say nothing new.
#[derive(Debug)]
pub struct Bed {
    /// Under load.
    runtime: Runtime,
    lab: Lab,
    db: Db,
    reads: usize,
}

impl Bed {
    /// One for so many reads in a turn.
    ///
    /// # Errors
    ///
    /// When the servers do not start.
    pub fn up(reads: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (lab, db) = runtime.block_on(async {
            let lab = Lab::builder().replicas(1).up().await?;
            let table = "create table item (id int primary key, count int); insert into item values (1, 0)";
            lab.primary().ask("postgres", table).await?;
            lab.caught_up().await?;
            let never = Duration::from_secs(3600);
            let db =
                Db::builder(&lab.url("postgres"))?.probe_interval(never).max_lag(never).connect().await?;
            lab.nodes().iter().for_each(|node| node.network().delay(ROUND_TRIP / 2));
            anyhow::Ok((lab, db))
        })?;
        Ok(Self { runtime, lab, db, reads })
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// When something may be left.
    pub fn down(self) -> Result<()> {
        Ok(self.runtime.block_on(self.lab.down())?)
    }

    fn replica(&self) -> Result<&Node> {
        self.lab.replicas().next().context("the lab has a replica")
    }

    async fn time(&self, reader: impl Fn(&Db) -> Db) -> Result<Vec<Reading>> {
        let mut times = Vec::with_capacity(self.reads);
        for _ in 0..self.reads {
            // Of another session each time, so that what one has proved is not what the next must.
            let session = self.db.session();
            session.execute("update item set count = count + 1 where id = $1", &[&1]).await?;
            self.replica()?.wait_for_replay().await?;
            let reader = reader(&session);
            let begun = Instant::now();
            let row = reader.query_one("select pg_is_in_recovery() from item where id = $1", &[&1]).await?;
            times.push(begun.elapsed());
            ensure!(row.get::<_, bool>(0), "a read ran on the primary");
        }
        times.sort_unstable();
        let reading = |metric, share| {
            let value = percentile(&times, share).unwrap_or_default().as_secs_f64() * 1e3;
            Reading { metric, unit: "ms", value }
        };
        Ok(vec![reading("p50", 50), reading("p99", 99)])
    }
}

/// What takes turns: a read that any replica may serve, and one that has to show the write before it.
#[must_use]
pub const fn systems() -> [Contender<Bed>; 2] {
    [
        Contender { name: REFERENCE, turn: |bed| bed.runtime.block_on(bed.time(|_| bed.db.any())) },
        Contender { name: OWN, turn: |bed| bed.runtime.block_on(bed.time(Db::clone)) },
    ]
}

/// What it may cost.
#[must_use]
pub fn checks(measured: &Measured) -> Vec<Check> {
    let found = ratio(measured, "p50", OWN, REFERENCE);
    let check = found.map(|found| Check {
        name: format!("{}: an own write costs at most 1.05 of a read from any replica", measured.scenario),
        system: OWN.to_owned(),
        holds: found.of_medians <= 1.05,
        figure: show_ratio(found),
    });
    check.into_iter().collect()
}
