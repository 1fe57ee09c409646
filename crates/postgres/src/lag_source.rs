//! Where the age of a node's data is read, if not from its position in the WAL.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use millpond_cluster::core::{Age, Role};
use millpond_cluster::in_words;
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::connection::Connection;

/// What a [`LagSource`] found, on its way.
pub type LagReading<'a> =
    Pin<Box<dyn Future<Output = Result<Age, Box<dyn std::error::Error + Send + Sync>>> + Send + 'a>>;

/// Tells how old the data of a node is, where its position in the WAL does not: where there is none that can be
/// compared. For [`Builder::lag_source`](crate::Builder::lag_source); [`Heartbeat`] is one.
///
/// Without a source the position tells, which costs nothing more and writes nothing.
pub trait LagSource: Send + Sync + 'static {
    /// Asks a node, with each probe, over the connection of its monitor. That has a `statement_timeout`, commits without waiting for the disk or for
    /// replicas. What takes longer than half of [`probe_timeout`](crate::Builder::probe_timeout), or waits for a lock for a quarter of it, is given up: then
    /// the age is unknown, and the node is not down for it.
    ///
    /// [`Age::ByMark`] is a number that grows on the primary and is replicated with its data; what it shows is then as old as the primary's last
    /// answer with a lower one. [`Age::AtMost`] is an age as of now. Either is believed, also for what a caller has written: too low an age hides
    /// that from its reads.
    ///
    /// # Errors
    ///
    /// What kept it from knowing. The age is unknown then, which is never fresh, and an event says why.
    fn ask<'a>(&'a self, client: &'a Client, role: Role) -> LagReading<'a>;

    /// Whether servers are asked for their positions in the WAL, and the timelines of those, all the same. Default yes. Where they have
    /// none that they tell, as behind some managed services, say no: they count as unreachable otherwise. Then reads see what was written as soon as the age
    /// says so; no position is asked for behind a write, nor before a read; nothing is within a distance
    /// ([`within_bytes`](crate::Db::within_bytes)); and nobody can tell by timelines what a failover discarded, or an old primary that comes
    /// back: name a [writer endpoint](crate::NodeSettings::writer_endpoint). A token of a process
    /// that knows positions asks here for all that had been written when it came.
    fn has_positions(&self) -> bool {
        true
    }
}

/// A table with a number that each process's monitor of the primary raises when nobody has for a while, and that all monitors read.
///
/// ```sql
/// create table millpond_heartbeat (beat bigint not null, at timestamptz not null);
/// insert into millpond_heartbeat values (0, now());
/// grant select, update on millpond_heartbeat to app;
/// ```
///
/// The clocks of the servers are not compared: the time is that of the primary alone, and only says whether it is time for the next beat, which
/// it is, too, where that of the last is still to come, since a clock was set back or is another's. The age is too high by up to one beat and one
/// probe, never too low.
#[derive(Clone)]
pub struct Heartbeat {
    raise: String,
    read: String,
    has_positions: bool,
}

impl Heartbeat {
    /// One in this table, with its schema where the search path does not lead to it, and quoted where it has to be. It is raised every 200 ms.
    #[must_use]
    pub fn new(table: &str) -> Self {
        Self::every(table, Duration::from_millis(200))
    }

    /// The same, raised as often as this: a lower figure makes ages more exact, and the primary write more.
    #[must_use]
    pub fn every(table: &str, beat: Duration) -> Self {
        let read = format!("select beat from {table}");
        let raise = format!(
            "with raised as (update {table} set beat = beat + 1, at = pg_catalog.clock_timestamp() \
             where at not between pg_catalog.clock_timestamp() - interval '{} milliseconds' \
             and pg_catalog.clock_timestamp() returning beat) \
             select coalesce((select beat from raised), ({read}))",
            beat.as_millis()
        );
        Self { raise, read, has_positions: true }
    }

    /// The same of servers that tell no positions in the WAL: see [`has_positions`](LagSource::has_positions).
    #[must_use]
    pub fn without_positions(self) -> Self {
        Self { has_positions: false, ..self }
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat").field("read", &self.read).finish_non_exhaustive()
    }
}

impl LagSource for Heartbeat {
    fn ask<'a>(&'a self, client: &'a Client, role: Role) -> LagReading<'a> {
        Box::pin(async move {
            let text = if role == Role::Primary { &self.raise } else { &self.read };
            let rows = client.query_typed(text, &[]).await?;
            let beat = match rows.first() {
                Some(row) => row.try_get::<_, Option<i64>>(0)?,
                None => None,
            };
            let beat = beat.ok_or("the heartbeat table is empty: it needs one row")?;
            Ok(Age::ByMark(u64::try_from(beat)?))
        })
    }

    fn has_positions(&self) -> bool {
        self.has_positions
    }
}

/// What a source says of a node, over the connection of its monitor, and why not, where it does not. A node is not down for it.
pub(crate) async fn ask(source: &dyn LagSource, connection: &Connection, role: Role) -> Result<Age, String> {
    let limit = connection.setup.source_limit;
    let asked = timeout(limit, async {
        // Who holds a lock on what it reads must not have ever more questions wait.
        connection.limit_locks(limit / 2).await?;
        source.ask(connection.client(), role).await
    });
    match asked.await {
        Ok(asked) => asked.map_err(|error| format!("its age: {}", in_words(&*error))),
        Err(_) => {
            // What was asked runs there still, and the next question must not wait for it.
            connection.hang_up();
            Err(format!("its age: no answer within {limit:?}"))
        }
    }
}
