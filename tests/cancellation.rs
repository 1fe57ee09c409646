//! A hundred tasks whose calls are dropped at random moments, and whoever comes behind them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use millpond::Result;
use millpond::postgres::tokio_postgres::SimpleQueryMessage;
use millpond::postgres::{Db, GenericClient, Lease};
use millpond_tests::{Cluster, until};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

const TASKS: usize = 100;
const CONNECTIONS: usize = 10;

/// How long it goes on: `MILLPOND_CANCEL_SECONDS`, or some seconds.
fn duration() -> Duration {
    let seconds = std::env::var("MILLPOND_CANCEL_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}

/// What a service does, clean and unclean.
async fn call(db: &Db, verb: u32, id: i64) -> Result<()> {
    const SOIL: &str = "set work_mem = '1MB'; listen news; create temporary table t (a int); select pg_advisory_lock_shared(7)";
    match verb {
        0 => db.query("select count(*) from item", &[]).await.map(drop),
        1 => db.execute("insert into log values ($1)", &[&id]).await.map(drop),
        2 => db.batch_execute("set work_mem = '1MB'; begin; select 1").await,
        3 => db.simple_query("listen news; select pg_advisory_lock_shared(7)").await.map(drop),
        4 => {
            let mut rows = pin!(db.query_raw("select n from generate_series(1, 1000) n", &[]).await?);
            for _ in 0..id % 20 {
                rows.next().await.transpose()?;
            }
            Ok(())
        }
        5 => {
            let transaction = db.begin().await?;
            transaction.execute("insert into log values ($1)", &[&id]).await?;
            let part = transaction.savepoint().await?;
            part.execute("insert into log values ($1)", &[&id]).await?;
            drop(part);
            transaction.commit().await
        }
        6 => drop_later(db.begin().await?.query("select pg_sleep(0.002)", &[])).await,
        7 => {
            let lease = db.get().await?;
            // By the driver's own client, unseen.
            drop_later(lease.batch_execute(SOIL)).await?;
            Ok(())
        }
        8 => GenericClient::batch_execute(&db.get().await?, SOIL).await,
        9 => {
            let tenant = db.with_settings([("app.tenant", id.to_string())])?;
            let read: String = tenant.query_one_scalar("select current_setting('app.tenant')", &[]).await?;
            assert_eq!(read, id.to_string(), "somebody else's");
            tenant.execute("insert into log values ($1)", &[&id]).await.map(drop)
        }
        10 => db.batch(&[("insert into log values ($1)", &[&id]), ("select 1", &[])]).await.map(drop),
        11 => {
            let mut copy = db.copy_in("copy log from stdin").await?;
            copy.send(format!("{id}\n")).await?;
            if id % 2 == 0 { copy.finish().await.map(drop) } else { Ok(()) }
        }
        12 => {
            let mut rows =
                pin!(db.copy_out("copy (select n from generate_series(1, 1000) n) to stdout").await?);
            for _ in 0..id % 20 {
                rows.next().await.transpose()?;
            }
            Ok(())
        }
        13 => db.begin_read_only().await?.query("select count(*) from item", &[]).await.map(drop),
        14 => {
            let lease = db.get_read().await?;
            drop_later(lease.batch_execute("begin; declare c cursor with hold for select 1; commit")).await?;
            Ok(())
        }
        _ => db.timeout(Duration::from_millis(1)).query("select pg_sleep(0.01)", &[]).await.map(drop),
    }
}

const VERBS: u32 = 16;

/// The call, unless its time is up first.
async fn drop_later<T, E>(call: impl Future<Output = std::result::Result<T, E>>) -> Result<()> {
    let _ = timeout(Duration::from_millis(1), call).await;
    Ok(())
}

/// What its server says of a connection that was just handed out, in one text: nothing, if it is as good as new.
async fn dirt(lease: &Lease) -> String {
    // In one message: then the transaction begins with its statement.
    let answers = lease
        .simple_query(
            "select concat_ws(', ',
                case when current_setting('work_mem') <> '4MB' then 'a setting' end,
                case when coalesce(current_setting('app.tenant', true), '') <> '' then 'a tenant' end,
                case when current_user <> 'postgres' then 'a role' end,
                case when to_regclass('pg_temp.t') is not null then 'a temporary table' end,
                case when exists (select from pg_cursors where name <> '') then 'a cursor' end,
                case when exists (select from pg_listening_channels()) then 'a channel' end,
                case when exists (select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) then 'a lock' end,
                case when now() <> statement_timestamp() then 'a transaction' end)",
        )
        .await
        .unwrap();
    let rows = answers.iter().filter_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    rows.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_tasks_that_drop_their_calls_leave_nothing() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let cluster = Cluster::up_with(1, |builder| builder.max_size(CONNECTIONS)).await;
    cluster.db.batch_execute("create table log (id bigint)").await.unwrap();
    cluster.lab.caught_up().await.unwrap();
    let ends = Instant::now() + duration();
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let db = cluster.db.clone();
        let mut random = fastrand::Rng::with_seed(seed.wrapping_add(task as u64));
        tasks.spawn(async move {
            let (mut calls, mut dropped) = (0_u64, 0_u64);
            while Instant::now() < ends {
                let (verb, id) = (random.u32(..VERBS), random.i64(..1 << 40));
                // From a microsecond to an eighth of a second, the short ones as often as the long ones.
                let patience = Duration::from_micros(1 << random.u32(..18));
                calls += 1;
                dropped += u64::from(timeout(patience, call(&db, verb, id.abs())).await.is_err());
            }
            (calls, dropped)
        });
    }
    // And who comes behind them asks the server what they left.
    let mut checked = 0;
    while Instant::now() < ends {
        for lease in [cluster.db.get().await, cluster.db.get_read().await] {
            // In a crowd a wait can be over first.
            let Ok(lease) = lease else { continue };
            assert_eq!(dirt(&lease).await, "", "left behind, seed {seed}");
            checked += 1;
        }
    }
    let (mut calls, mut dropped) = (0, 0);
    while let Some(result) = tasks.join_next().await {
        let (of_one, dropped_of_one) = result.unwrap();
        calls += of_one;
        dropped += dropped_of_one;
    }
    println!("{calls} calls, {dropped} of them dropped; {checked} leases checked");
    assert!(
        dropped > calls / 50 && dropped < calls && checked > 0,
        "{dropped} of {calls}, {checked} checked"
    );

    // All of them can be had at once, and are as good as new.
    for node in ["primary", "replica"] {
        let mut all = Vec::new();
        for _ in 0..CONNECTIONS {
            let lease =
                if node == "primary" { cluster.db.get().await } else { cluster.db.any().get_read().await };
            all.push(lease.unwrap());
        }
        for lease in &all {
            assert_eq!(dirt(lease).await, "", "left on the {node}, seed {seed}");
        }
    }
    for node in ["db-0", "db-1"] {
        let nobody = "select count(*)::text from pg_stat_activity where application_name = 'millpond'
            and (state like 'idle in transaction%' or (state = 'active' and pid <> pg_backend_pid()))";
        until("no session is in a transaction", async || cluster.ask(node, nobody).await == "0").await;
        let locks = "select count(*)::text from pg_locks where locktype = 'advisory'";
        assert_eq!(cluster.ask(node, locks).await, "0");
        // One is the monitor's.
        let sessions = "select count(*)::text from pg_stat_activity where application_name = 'millpond'";
        let is_kept = async || cluster.ask(node, sessions).await.parse::<usize>().unwrap() <= CONNECTIONS + 2;
        until("no connection is left over", is_kept).await;
    }
}
