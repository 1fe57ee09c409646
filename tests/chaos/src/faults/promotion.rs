//! A promotion, and when the server said that it was over.

use std::time::Duration;

use anyhow::{Context as _, Result};
use millpond::postgres::tokio_postgres::{Client, NoTls, connect};
use millpond_lab::Node;
use tokio::time::sleep;

use crate::clock::Clock;

/// A replica that became the primary.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a note")]
pub struct Promotion {
    /// When it was asked the first question to which it said that it is no replica any more.
    pub at: Duration,
    /// The timeline that began with it.
    pub timeline: u32,
}

/// As the statements of the traffic say it.
const TIMELINE: &str =
    "select ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int4";

/// How often the server is asked meanwhile. `pg_promote` itself looks ten times a second.
const LOOK: Duration = Duration::from_millis(1);

/// Promotes a replica, asking it all the while, past the relay, whether it still is one.
pub(super) async fn promote(node: &Node, clock: Clock) -> Result<Promotion> {
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", node.direct_port());
    let (client, connection) = connect(&url, NoTls).await.context("looking at the promotion")?;
    let connection = tokio::spawn(connection);
    let (promoted, at) = tokio::join!(node.promote(), end_of_recovery(&client, clock));
    promoted?;
    let timeline: i32 = client.query_one(TIMELINE, &[]).await?.get(0);
    connection.abort();
    Ok(Promotion { at: at?, timeline: timeline.cast_unsigned() })
}

async fn end_of_recovery(client: &Client, clock: Clock) -> Result<Duration> {
    loop {
        let asked = clock.now();
        if !client.query_one("select pg_is_in_recovery()", &[]).await?.get::<_, bool>(0) {
            return Ok(asked);
        }
        sleep(LOOK).await;
    }
}

/// The one that has received most.
pub(super) async fn most_advanced<'a>(candidates: &[&'a Node]) -> Result<&'a Node> {
    let received = "select (coalesce(pg_last_wal_receive_lsn(), '0/0') - '0/0')::text";
    let mut best: Option<(u64, &Node)> = None;
    for node in candidates.iter().copied() {
        let said = node.ask("postgres", received).await?.unwrap_or_default();
        let position: u64 = said.parse().with_context(|| format!("{} has no position", node.name()))?;
        if best.is_none_or(|(most, _)| position > most) {
            best = Some((position, node));
        }
    }
    Ok(best.context("there is no replica")?.1)
}
