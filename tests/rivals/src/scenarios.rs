//! What goes wrong in pools: each scenario puts one of them into a situation that broke a real one.

use std::future::Future;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::runtime::Builder;

use crate::bed::{Bed, Upstream};
use crate::pools::bb8::Bb8;
use crate::pools::bb8_postgres::Bb8Postgres;
use crate::pools::deadpool::Deadpool;
use crate::pools::deadpool_postgres::DeadpoolPostgres;
use crate::pools::fast_pool::FastPool;
use crate::pools::millpond::Millpond;
use crate::pools::millpond_postgres::MillpondPostgres;
use crate::pools::mobc::Mobc;
use crate::pools::mysql_async::MysqlAsync;
use crate::pools::sqlx::Sqlx;
use crate::pools::{Database, Pool};
use crate::server::Server;

mod database;
mod pool;

const MS: Duration = Duration::from_millis(1);

/// How long a scenario may take, before it counts as one that never ends.
const LONGEST: Duration = Duration::from_secs(20);

/// What came of a scenario for one pool.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verdict {
    /// Whether it went well. `None` where the pool has nothing of the kind.
    pub holds: Option<bool>,
    /// What was seen.
    pub figure: String,
}

impl Verdict {
    /// What [`word`](Self::word) gave, with its figure.
    #[must_use]
    pub fn read(word: &str, figure: &str) -> Self {
        let holds = match word {
            "holds" => Some(true),
            "FAILS" => Some(false),
            _ => None,
        };
        Self { holds, figure: figure.to_owned() }
    }

    /// Whether it went well, as a word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.holds {
            Some(true) => "holds",
            Some(false) => "FAILS",
            None => "-",
        }
    }

    fn new(holds: bool, figure: impl Into<String>) -> Self {
        Self { holds: Some(holds), figure: figure.into() }
    }

    fn nothing(what: &str) -> Self {
        Self { holds: None, figure: what.to_owned() }
    }
}

type Run = fn(&Bed) -> Result<Verdict>;

/// A situation, and every pool in it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Scenario {
    /// Its name, as the harness has it: `T1`.
    pub name: &'static str,
    /// What it is called.
    title: &'static str,
    /// Where it was seen: issues of the projects.
    pub seen: &'static str,
    /// What happens.
    pub what: &'static str,
    /// What has to come of it.
    pub wanted: &'static str,
    /// Each pool by its name.
    pub runs: &'static [(&'static str, Run)],
}

impl Scenario {
    /// Its name with that of what happens.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.title)
    }
}

/// A scenario for every pool.
macro_rules! pool {
    ($name:literal, $title:literal, $seen:literal, $function:ident, $what:literal, $wanted:literal) => {
        Scenario {
            name: $name,
            title: $title,
            seen: $seen,
            what: $what,
            wanted: $wanted,
            runs: &[
                (<Millpond as Pool>::NAME, |bed| with_pool::<Millpond, _>(bed, pool::$function::<Millpond>)),
                (<Deadpool as Pool>::NAME, |bed| with_pool::<Deadpool, _>(bed, pool::$function::<Deadpool>)),
                (<Bb8 as Pool>::NAME, |bed| with_pool::<Bb8, _>(bed, pool::$function::<Bb8>)),
                (<Mobc as Pool>::NAME, |bed| with_pool::<Mobc, _>(bed, pool::$function::<Mobc>)),
                (<FastPool as Pool>::NAME, |bed| with_pool::<FastPool, _>(bed, pool::$function::<FastPool>)),
                (<Sqlx as Pool>::NAME, |bed| with_pool::<Sqlx, _>(bed, pool::$function::<Sqlx>)),
                (<MysqlAsync as Pool>::NAME, |bed| {
                    with_pool::<MysqlAsync, _>(bed, pool::$function::<MysqlAsync>)
                }),
            ],
        }
    };
}

/// A scenario for pools of connections to a database.
macro_rules! database {
    ($name:literal, $title:literal, $seen:literal, $function:ident, $what:literal, $wanted:literal) => {
        Scenario {
            name: $name,
            title: $title,
            seen: $seen,
            what: $what,
            wanted: $wanted,
            runs: &[
                (<MillpondPostgres as Database>::NAME, |bed| {
                    with_database::<MillpondPostgres, _>(bed, database::$function::<MillpondPostgres>)
                }),
                (<DeadpoolPostgres as Database>::NAME, |bed| {
                    with_database::<DeadpoolPostgres, _>(bed, database::$function::<DeadpoolPostgres>)
                }),
                (<Bb8Postgres as Database>::NAME, |bed| {
                    with_database::<Bb8Postgres, _>(bed, database::$function::<Bb8Postgres>)
                }),
                (<Sqlx as Database>::NAME, |bed| with_database::<Sqlx, _>(bed, database::$function::<Sqlx>)),
                (<MysqlAsync as Database>::NAME, |bed| {
                    with_database::<MysqlAsync, _>(bed, database::$function::<MysqlAsync>)
                }),
            ],
        }
    };
}

fn with_pool<P: Pool, F>(bed: &Bed, scenario: fn(Server) -> F) -> Result<Verdict>
where
    F: Future<Output = Result<Verdict>> + Send + 'static,
{
    match bed.server(P::KIND)? {
        Some(server) => apart(scenario(server)),
        None => Ok(Verdict::nothing(NO_SERVER)),
    }
}

fn with_database<D: Database, F>(bed: &Bed, scenario: fn(Upstream) -> F) -> Result<Verdict>
where
    F: Future<Output = Result<Verdict>> + Send + 'static,
{
    match bed.upstream(D::KIND) {
        Some(upstream) => apart(scenario(upstream.clone())),
        None => Ok(Verdict::nothing(NO_SERVER)),
    }
}

const NO_SERVER: &str = "no such server was there";

/// All that there are.
pub const SCENARIOS: [Scenario; 15] = [
    pool!(
        "T1",
        "aborted waiter",
        "mysql_async#215, boostorg/mysql#509",
        aborted_waiter,
        "one connection, two waiters; the first is dropped after it was woken and before it was polled",
        "the second is served at once"
    ),
    pool!(
        "T2",
        "fairness",
        "bb8#243",
        fairness,
        "1000 tasks on 50 connections, each held for 1 to 5 ms, for 3 s",
        "the most served task has at most twice what the least served has"
    ),
    pool!(
        "T3",
        "connect storm",
        "sqlx#3132",
        connect_storm,
        "connects take 200 ms, callers wait for 150 ms at most and come again at once",
        "no more tries than connections"
    ),
    pool!(
        "T4",
        "cancelled check",
        "sqlx#1869",
        cancelled_check,
        "an acquire is dropped while its connection is checked, 100 times",
        "no connection is closed"
    ),
    database!(
        "T5",
        "cancelled begin",
        "sqlx#4393, diesel_async#198",
        cancelled_begin,
        "a begin is dropped at 30 times of its way, as a call and as a text on a lease; then somebody else inserts a row",
        "every row is committed"
    ),
    pool!(
        "T6",
        "black hole",
        "sqlx#4349, sqlx#4146",
        black_hole,
        "four idle connections whose check never ends; then new ones open well",
        "a caller gets a new one within its 2 s"
    ),
    pool!(
        "T7",
        "refused connects",
        "sqlx#2345, bb8#141, r2d2#51",
        refused,
        "the server refuses every connection for a second of ten callers, then takes them again",
        "the first error comes within 100 ms with the cause; less than 100 tries; served within 1.5 s after"
    ),
    pool!(
        "T8",
        "end of lifetimes",
        "HikariCP#2099, HikariCP#2203, sqlx#3051",
        lifetimes,
        "20 connections are opened together, connects take 100 ms, the lifetime is 2 s, for 4 s under load",
        "no caller waits for 50 ms"
    ),
    pool!(
        "T9",
        "burst",
        "r2d2#61, golang/go#43173",
        burst,
        "20 connections in a burst, then one caller every 20 ms; the idle timeout is 1 s",
        "at most three connections are left after 4 s"
    ),
    database!(
        "T10",
        "moved primary",
        "gpustack#6105, streamling#65, hyperswitch#13631",
        moved_primary,
        "the primary is stopped, the replica promoted, and the old primary comes back as its replica, without a restart here",
        "inserts go on within 5 s of the promotion, and none fails once the old primary is back"
    ),
    database!(
        "T11",
        "changed rows",
        "sqlx#1250, sqlx#4412, deadpool#227",
        changed_rows,
        "a column is added to a table that a kept statement reads",
        "nobody sees an error, and the new column is there"
    ),
    pool!(
        "T12",
        "dropped outside",
        "sqlx#1396",
        dropped_outside,
        "a lease is dropped outside of a runtime, another after the runtime has ended",
        "nothing panics, and the first connection is used again"
    ),
    pool!(
        "T13",
        "resized",
        "nowhere: found by reading",
        resized,
        "the size goes from 10 to 5 and back to 10 while 15 tasks use it",
        "never more than 5 connections from 100 ms after the first change on, and 10 in the end"
    ),
    pool!(
        "T14",
        "closed",
        "sqlx#1773",
        closed,
        "the pool is closed with a limit of 200 ms while a lease is out and a caller waits",
        "close returns within a second, the waiter is told, and the lease's connection closes with it"
    ),
    database!(
        "T15",
        "half-read rows",
        "bb8#246",
        half_read,
        "ten rows of very many are read, and the rest is left; the pool has one connection",
        "the next statement is done within a second, and the server does not go on with the first"
    ),
];

/// Runs a scenario in a thread and a runtime of its own, which may panic or never end.
fn apart(scenario: impl Future<Output = Result<Verdict>> + Send + 'static) -> Result<Verdict> {
    let (done, result) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let outcome = runtime.context("no runtime").and_then(|runtime| {
            let outcome = runtime.block_on(async { tokio::spawn(scenario).await });
            runtime.shutdown_background();
            outcome.unwrap_or_else(|panic| Ok(Verdict::new(false, format!("panics: {panic}"))))
        });
        // Nobody hears it when the time is over.
        let _ = done.send(outcome);
    });
    result.recv_timeout(LONGEST).unwrap_or_else(|_| Ok(Verdict::new(false, "does not end")))
}

fn failed(text: String) -> anyhow::Error {
    anyhow::Error::msg(text)
}
