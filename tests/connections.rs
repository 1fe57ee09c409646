//! Connections come back clean, or not at all.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::{StreamExt, join, poll};
use millpond::postgres::{Db, Lease};
use millpond::{ErrorKind, Outcome};
use millpond_tests::{Cluster, is_clean, one_connection, reads_on_replica, until};

/// What the servers say of our sessions.
async fn sessions(cluster: &Cluster, condition: &str) -> String {
    let sql = format!(
        "select count(*)::text from pg_stat_activity where application_name = 'millpond' and {condition}"
    );
    cluster.ask("db-0", &sql).await
}

#[tokio::test]
async fn a_raw_lease_leaves_nothing_behind() {
    let cluster = one_connection().await;
    let lease = cluster.db.get().await.unwrap();
    lease
        .batch_execute(
            "create role other; create temporary table t (a int); set work_mem = '1MB'; listen news;
             select pg_advisory_lock(7); set session authorization other; begin; declare c cursor for select 1",
        )
        .await
        .unwrap();
    drop(lease);
    assert!(is_clean(&cluster.db).await);
    assert_eq!(
        cluster.ask("db-0", "select count(*)::text from pg_locks where locktype = 'advisory'").await,
        "0"
    );
    assert_eq!(sessions(&cluster, "state like 'idle in transaction%'").await, "0");
}

#[tokio::test]
async fn a_statement_that_a_raw_client_gave_up_on_is_cancelled() {
    let cluster = one_connection().await;
    let lease = cluster.db.get().await.unwrap();
    {
        let mut dropped = pin!(lease.simple_query("select pg_sleep(60)"));
        assert!(poll!(&mut dropped).is_pending());
        until("it runs", async || sessions(&cluster, "query like '%pg_sleep%'").await == "1").await;
    }
    drop(lease);
    // Nobody gets the connection while it runs, and it does not run for long.
    assert!(is_clean(&cluster.db).await);
    let runs = "state = 'active' and query like '%pg_sleep%'";
    until("the server gave it up", async || sessions(&cluster, runs).await == "0").await;
}

#[tokio::test]
async fn a_raw_lease_keeps_its_prepared_statements() {
    let cluster = one_connection().await;
    let lease = cluster.db.get().await.unwrap();
    let statement = lease.prepare_cached("select 1 as one").await.unwrap();
    let one: i32 = lease.query_one(&statement, &[]).await.unwrap().get("one");
    assert_eq!(one, 1);
    drop(lease);
    let lease = cluster.db.get().await.unwrap();
    let prepared =
        lease.query("select from pg_prepared_statements where statement = 'select 1 as one'", &[]).await;
    assert_eq!(prepared.unwrap().len(), 1);
}

#[tokio::test]
async fn a_text_that_many_ask_for_at_once_is_prepared_once() {
    let cluster = one_connection().await;
    let lease = cluster.db.get().await.unwrap();
    let sql = "select 1 as one";
    let (mut given_up, mut first) = (Box::pin(lease.prepare_cached(sql)), pin!(lease.prepare_cached(sql)));
    assert!(poll!(&mut given_up).is_pending() && poll!(&mut first).is_pending());
    // Whoever prepares it gives up, and the next one does it.
    drop(given_up);
    let all = join!(first, lease.prepare_cached(sql), lease.prepare_cached(sql));
    assert!([&all.0, &all.1, &all.2].iter().all(|prepared| prepared.is_ok()));
    let names = "select from pg_prepared_statements where statement = 'select 1 as one'";
    // The one that was given up was on its way already.
    assert_eq!(lease.query(names, &[]).await.unwrap().len(), 1 + 1, "all others have the same");
}

#[tokio::test]
async fn a_replicas_lease_refuses_writes_and_that_moves_nothing() {
    let cluster = Cluster::up(1).await;
    let lease = cluster.db.get_read().await.unwrap();
    for sql in [
        "insert into item values (1)",
        "reset all; insert into item values (1)",
        "select * from item for update",
    ] {
        let error = lease.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "25006", "{sql}");
    }
    drop(lease);
    assert!(reads_on_replica(&cluster.db).await);
    assert_eq!(cluster.db.status().epoch.get(), 1);
}

#[tokio::test]
async fn a_dropped_transaction_is_rolled_back_before_the_next_user() {
    let cluster = one_connection().await;
    let transaction = cluster.db.begin().await.unwrap();
    transaction.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    drop(transaction);
    assert_eq!(cluster.db.query("select from item", &[]).await.unwrap().len(), 0);
    assert_eq!(sessions(&cluster, "state like 'idle in transaction%'").await, "0");
}

#[tokio::test]
async fn a_transaction_is_one_connection_and_commits_what_a_session_then_sees() {
    let cluster = Cluster::up(1).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let session = cluster.db.session();
    let transaction = session.begin().await.unwrap();
    transaction.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    assert_eq!(transaction.query("select from item", &[]).await.unwrap().len(), 1);
    assert!(reads_on_replica(&session).await, "nothing is committed yet");
    transaction.commit().await.unwrap();
    assert_eq!(session.query("select from item", &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_rolled_back_write_keeps_no_read_from_the_replica() {
    let cluster = Cluster::up(1).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let session = cluster.db.session();
    let transaction = session.begin().await.unwrap();
    transaction.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    transaction.rollback().await.unwrap();
    let refused = session.execute("insert into item values ('x')", &[]).await.unwrap_err();
    assert_eq!(refused.outcome(), Outcome::Rejected);
    assert!(reads_on_replica(&session).await);
}

#[tokio::test]
async fn the_commit_of_an_aborted_transaction_is_no_success() {
    let cluster = one_connection().await;
    let transaction = cluster.db.begin().await.unwrap();
    transaction.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    transaction.execute("insert into item values (1, 'again')", &[]).await.unwrap_err();
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Rejected);
    assert_eq!(cluster.db.query("select from item", &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn text_that_ends_a_transaction_is_refused_inside_one() {
    let cluster = one_connection().await;
    let transaction = cluster.db.begin().await.unwrap();
    let ends =
        ["commit", "rollback", "begin", "prepare transaction 'x'", "insert into item values (1); commit"];
    for sql in ends.into_iter().chain(["savepoint s; commit", "commit; savepoint s"]) {
        let error = transaction.batch_execute(sql).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::SessionStatement, Outcome::NotSent), "{sql}");
    }
    transaction.execute("savepoint s", &[]).await.unwrap();
    transaction.execute("select 1 / 0", &[]).await.unwrap_err();
    transaction.execute("rollback to s", &[]).await.unwrap();
    transaction.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(cluster.db.query("select from item", &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_stream_read_to_its_end_gives_the_connection_back() {
    let cluster = one_connection().await;
    let rows = cluster.db.query_raw("select * from generate_series(1, 1000)", &[]).await.unwrap();
    assert_eq!(rows.count().await, 1000);
    assert_eq!(cluster.db.status().nodes[0].connections, 1);
}

#[tokio::test]
async fn a_stream_dropped_half_way_is_cancelled_and_delays_nobody() {
    let cluster = one_connection().await;
    let mut rows = cluster.db.query_raw("select generate_series(1, 100000000)", &[]).await.unwrap();
    rows.next().await.unwrap().unwrap();
    drop(rows);
    assert!(is_clean(&cluster.db).await);
    until("the server is rid of it", async || sessions(&cluster, "state = 'active'").await == "0").await;
}

#[tokio::test]
async fn a_dropped_statement_is_cancelled_on_the_server() {
    let cluster = one_connection().await;
    let sleeping = tokio::spawn({
        let db = cluster.db.clone();
        async move { db.query("select pg_sleep(600)", &[]).await.map(drop) }
    });
    let runs = "state = 'active' and query like '%pg_sleep%'";
    until("it runs", async || sessions(&cluster, runs).await == "1").await;
    sleeping.abort();
    until("it is cancelled", async || sessions(&cluster, runs).await == "0").await;
    assert!(is_clean(&cluster.db).await);
}

/// Polls a call so often, letting the driver work in between, and drops it.
async fn dropped_after<F: Future>(polls: usize, call: F) -> bool {
    let mut call = pin!(call);
    for _ in 0..polls {
        if poll!(call.as_mut()).is_ready() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// Through the verb that is seen. In scope, the trait would take the driver's own verbs away.
async fn on_lease(lease: &Lease, sql: &str) -> millpond::Result<()> {
    millpond::postgres::GenericClient::batch_execute(lease, sql).await
}

#[tokio::test]
async fn every_verb_dropped_at_every_poll_leaves_a_clean_connection() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    for verb in 0..10 {
        // Far more polls than any of them needs.
        for polls in 0..60 {
            let is_done = match verb {
                0 => dropped_after(polls, db.query("select 1", &[])).await,
                1 => dropped_after(polls, db.execute("update item set name = 'x' where id = 1", &[])).await,
                2 => dropped_after(polls, db.batch_execute("set work_mem = '1MB'; begin; select 1")).await,
                3 => dropped_after(polls, db.begin()).await,
                4 => dropped_after(polls, db.get()).await,
                5 => dropped_after(polls, async { db.query_raw("select 1", &[]).await.map(drop) }).await,
                6 => dropped_after(polls, db.simple_query("set work_mem = '1MB'; begin; select 1")).await,
                7 => {
                    let seen = async {
                        let lease = db.get().await?;
                        on_lease(&lease, "set work_mem = '1MB'; begin; select 1").await
                    };
                    dropped_after(polls, seen).await
                }
                8 => {
                    let stream = async {
                        let transaction = db.begin().await?;
                        let mut rows = pin!(transaction.query_raw("select 1", &[]).await?);
                        while rows.next().await.transpose()?.is_some() {}
                        Ok::<_, millpond::Error>(())
                    };
                    dropped_after(polls, stream).await
                }
                _ => {
                    let commit = async { db.begin().await?.commit().await };
                    dropped_after(polls, commit).await
                }
            };
            assert!(is_clean(db).await, "verb {verb} dropped after {polls} polls");
            if is_done {
                break;
            }
        }
    }
    until("no session is in a transaction", async || {
        sessions(&cluster, "state like 'idle in%'").await == "0"
    })
    .await;
    until("one connection is left", async || cluster.db.status().nodes[0].connections == 1).await;
}

#[tokio::test]
async fn a_dropped_write_counts_as_one_that_may_have_run() {
    let cluster = Cluster::up(1).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let session = cluster.db.session();
    let writing = tokio::spawn({
        let session = session.clone();
        async move { session.execute("insert into item select 1 from pg_sleep(600)", &[]).await }
    });
    until("it runs", async || {
        sessions(&cluster, "state = 'active' and query like '%pg_sleep%'").await == "1"
    })
    .await;
    writing.abort();
    assert!(writing.await.is_err());
    assert!(session.token().to_string().ends_with(".*"), "{}", session.token());
    assert!(!reads_on_replica(&session).await);
}

#[tokio::test]
async fn a_statement_whose_table_changed_is_prepared_anew() {
    let cluster = one_connection().await;
    cluster.db.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    cluster.db.query("select * from item", &[]).await.unwrap();
    cluster.db.batch_execute("alter table item add column size int").await.unwrap();
    assert_eq!(cluster.db.query_one("select * from item", &[]).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_parameter_that_does_not_fit_is_an_error_and_no_more() {
    let cluster = one_connection().await;
    let error = cluster.db.query("select name from item where id = $1", &[&"one"]).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    assert!(is_clean(&cluster.db).await);
    assert_eq!(cluster.db.status().nodes[0].connections, 1, "the connection is still the same");
}

#[tokio::test]
async fn row_counts_are_checked() {
    let cluster = one_connection().await;
    let none = cluster.db.query_one("select * from item", &[]).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::RowCount);
    assert!(cluster.db.query_opt("select * from item", &[]).await.unwrap().is_none());
    let many = cluster.db.query_opt("values (1), (2)", &[]).await.unwrap_err();
    assert_eq!(many.kind(), ErrorKind::RowCount);
}

#[tokio::test]
async fn close_waits_for_leases() {
    let cluster = one_connection().await;
    let lease = cluster.db.get().await.unwrap();
    assert!(!cluster.db.close(Duration::from_millis(50)).await);
    drop(lease);
    assert!(cluster.db.close(Duration::from_secs(5)).await);
    let error = cluster.db.query("select 1", &[]).await.unwrap_err();
    assert!(error.to_string().contains("closed"), "{error}");
}

/// A service holds one per request in flight. When this fails, look for a future that is handed over by value.
#[tokio::test]
async fn the_futures_of_the_verbs_are_of_a_bearable_size() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    let sizes = [
        ("query", size_of_val(&db.query("select 1", &[]))),
        ("execute", size_of_val(&db.execute("select 1", &[]))),
        ("begin", size_of_val(&db.begin())),
        ("get", size_of_val(&db.get())),
    ];
    assert!(sizes.iter().all(|(_, size)| *size <= 6 * 1024), "{sizes:?}");
}

#[tokio::test]
async fn what_an_error_is_called_does_not_make_a_lost_commit_a_success() {
    let cluster = one_connection().await;
    // Codes that a login is refused with, too.
    for code in ["28000", "28P01", "3D000"] {
        let transaction = cluster.db.begin().await.unwrap();
        transaction.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
        let raise = format!("do $$ begin raise exception 'no' using errcode = '{code}'; end $$");
        let error = transaction.batch_execute(&raise).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
        assert_eq!(transaction.commit().await.unwrap_err().outcome(), Outcome::Rejected, "{code}");
    }
    let transaction = cluster.db.begin().await.unwrap();
    transaction.batch_execute("savepoint s; insert into item values (1)").await.unwrap();
    transaction.execute("select 1 / 0", &[]).await.unwrap_err();
    transaction.batch_execute("rollback to s; commit").await.unwrap_err();
    assert_eq!(transaction.commit().await.unwrap_err().outcome(), Outcome::Rejected);
    assert_eq!(cluster.db.query("select from item", &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_part_that_was_committed_before_an_error_may_have_run() {
    let cluster = one_connection().await;
    let procedure = "create procedure p() language plpgsql as $$ begin
        insert into item values (1, 'pond'); commit; raise exception 'no' using errcode = '28000'; end $$";
    cluster.db.batch_execute(procedure).await.unwrap();
    let error = cluster.db.execute("call p()", &[]).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::MayHaveRun, "{error}");
    let error =
        cluster.db.batch_execute("insert into item values (2, ''); commit; select 1 / 0").await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::MayHaveRun, "{error}");
    assert_eq!(cluster.db.query("select from item", &[]).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_functions_procedures_and_blocks_set_is_taken_away() {
    let cluster = one_connection().await;
    cluster
        .db
        .batch_execute(
            "create function f() returns text language sql as $$ select set_config('app.tenant', 'alice', false) $$;
             create procedure p() language sql as $$ select set_config('app.tenant', 'alice', false) $$",
        )
        .await
        .unwrap();
    let blocks = [
        "select f()",
        "insert into item select 2, f() on conflict do nothing",
        "create table made as select f() as a",
        "call p()",
        "do $$ begin set app.tenant = 'alice'; set role pg_monitor; end $$",
    ];
    for sql in blocks {
        cluster.db.execute(sql, &[]).await.unwrap();
        let tenant: Option<String> = cluster
            .db
            .query_one("select nullif(current_setting('app.tenant', true), '')", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(tenant, None, "{sql}");
        cluster.db.execute("insert into item values (1, '') on conflict do nothing", &[]).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_raw_lease_prepares_or_deallocates_by_text_is_in_nobodys_way() {
    let cluster = one_connection().await;
    cluster.db.query("select 1", &[]).await.unwrap();
    cluster.db.execute("insert into item values (1, '')", &[]).await.unwrap();
    let lease = cluster.db.get().await.unwrap();
    lease.batch_execute("deallocate all; prepare p as select 2").await.unwrap();
    drop(lease);
    let lease = cluster.db.get().await.unwrap();
    lease.batch_execute("prepare p as select 3; deallocate all").await.unwrap();
    drop(lease);
    cluster.db.query("select 1", &[]).await.unwrap();
    let session = cluster.db.session();
    session.execute("insert into item values (2, '')", &[]).await.unwrap();
    session.execute("insert into item values (3, '')", &[]).await.unwrap();
    assert!(!session.token().to_string().ends_with('.'));
}

#[tokio::test]
async fn what_runs_after_a_connect_is_what_all_callers_have() {
    let hook = "set work_mem = '8MB'; set app.origin = 'here'; set default_transaction_read_only = off";
    let cluster = Cluster::up_with(1, |builder| builder.max_size(1).after_connect(hook)).await;
    let show = "select current_setting('work_mem') || current_setting('app.origin')";
    let shown = async |db: &Db| db.query_one_scalar::<String>(show, &[]).await.unwrap();
    for db in [cluster.db.latest(), cluster.db.any()] {
        assert_eq!(shown(&db).await, "8MBhere");
    }
    let lease = cluster.db.get().await.unwrap();
    lease.batch_execute("set work_mem = '1MB'").await.unwrap();
    drop(lease);
    assert_eq!(shown(&cluster.db.latest()).await, "8MBhere", "a reset runs it again");
    let lease = cluster.db.get().await.unwrap();
    on_lease(&lease, "set app.origin = 'there'").await.unwrap();
    drop(lease);
    assert_eq!(shown(&cluster.db.latest()).await, "8MBhere");
    let builder = || Db::builder(&cluster.lab.url("postgres")).unwrap();
    let error = builder().after_connect("set work_mem = 'much'").connect().await.unwrap_err();
    assert!(error.to_string().contains("after_connect() was given"), "{error}");
    let error = builder().after_connect("SET Standard_Conforming_Strings = off").connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_lazy_handle_waits_with_its_first_statements() {
    let cluster = Cluster::up(1).await;
    let builder = || Db::builder(&cluster.lab.url("postgres")).unwrap();
    let db = builder().connect_lazy().unwrap();
    assert_eq!(db.query_one_scalar::<i32>("select 1", &[]).await.unwrap(), 1);
    let db = builder().connect_lazy().unwrap();
    db.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    let nobody = Db::builder("postgres://postgres@127.0.0.1:1/x").unwrap();
    let db = nobody.acquire_timeout(Duration::from_millis(200)).connect_lazy().unwrap();
    let error = db.query("select 1", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::NoPrimary, Outcome::NotSent), "{error}");
}

#[tokio::test]
async fn a_writer_pool_is_that_of_whichever_node_is_the_primary() {
    let cluster = Cluster::up(1).await;
    let pool = cluster.db.writer_pool();
    let insert = "insert into item values (1, 'pond') on conflict do nothing";
    let before = pool.get().await.unwrap();
    before.execute(insert, &[]).await.unwrap();
    cluster.lab.caught_up().await.unwrap();
    cluster.lab.primary().stop(millpond_lab::StopMode::Fast).await.unwrap();
    cluster.lab.node("db-1").unwrap().promote().await.unwrap();
    let after = pool.get().await.unwrap();
    after.execute(insert, &[]).await.unwrap();
    let port: String = after.query_one("select inet_server_port()::text", &[]).await.unwrap().get(0);
    assert_eq!(port, cluster.lab.node("db-1").unwrap().direct_port().to_string());
    assert!(before.is_outdated() && !after.is_outdated());
    let mut all = Vec::new();
    for _ in 0..9 {
        all.push(pool.get().await.unwrap());
    }
    let error = pool.get_within(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Acquire);
}

#[tokio::test]
async fn a_connection_that_rested_is_asked_first_and_a_full_queue_says_so_at_once() {
    let settings = |builder: millpond::postgres::Builder| {
        builder.max_size(1).max_waiting(Some(1)).check_after(Some(Duration::from_nanos(1)))
    };
    let cluster = Cluster::up_with(0, settings).await;
    let db = &cluster.db;
    db.query("select 1", &[]).await.unwrap();
    // Nobody tells the client.
    cluster.lab.primary().network().stall();
    let late = db.timeout(Duration::from_millis(300)).query("select 1", &[]).await.unwrap_err();
    assert_eq!((late.kind(), late.outcome()), (ErrorKind::Acquire, Outcome::NotSent), "{late}");
    cluster.lab.primary().network().reset();
    cluster.lab.primary().network().restore();
    db.query("select 1", &[]).await.unwrap();

    let held = db.get().await.unwrap();
    let mut waits = pin!(db.query("select 1", &[]));
    assert!(poll!(&mut waits).is_pending());
    let asked = std::time::Instant::now();
    for error in [db.query("select 1", &[]).await.unwrap_err(), db.begin().await.unwrap_err()] {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Overloaded, Outcome::NotSent), "{error}");
    }
    assert!(asked.elapsed() < Duration::from_secs(1));
    drop(held);
    waits.await.unwrap();
    db.close(Duration::ZERO).await;
    let closed = std::time::Instant::now();
    db.query("select 1", &[]).await.unwrap_err();
    assert!(closed.elapsed() < Duration::from_secs(1), "there is nothing to wait for");
}

#[tokio::test]
async fn a_connection_that_ended_in_the_middle_of_an_answer_is_nobodys() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    for _ in 0..10 {
        let pid: i32 =
            db.begin().await.unwrap().query_one_scalar("select pg_backend_pid()", &[]).await.unwrap();
        let sql = "select n from generate_series(1, 30000) n where n < 100 or pg_sleep(0.0001) is not null";
        let mut rows = pin!(db.query_raw(sql, &[]).await.unwrap());
        rows.next().await.unwrap().unwrap();
        cluster.ask("db-0", &format!("select pg_terminate_backend({pid})::text")).await;
        while let Some(row) = rows.next().await {
            if let Err(error) = row {
                assert_eq!(error.outcome(), Outcome::MayHaveRun, "{error}");
            }
        }
        db.execute("insert into item values (1, 'pond') on conflict do nothing", &[]).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_raw_client_deallocates_is_prepared_anew() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    for sql in ["discard all", "deallocate all"] {
        db.query("select count(*) from item", &[]).await.unwrap();
        let lease = db.get().await.unwrap();
        (*lease).batch_execute(sql).await.unwrap();
        drop(lease);
        db.begin().await.unwrap().query("select count(*) from item", &[]).await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_whose_table_changed_is_prepared_anew() {
    let cluster = one_connection().await;
    let rows = async || cluster.db.query_raw("select * from item", &[]).await.unwrap().count().await;
    assert_eq!(rows().await, 0);
    cluster.ask("db-0", "alter table item add column size int").await;
    assert_eq!(rows().await, 0);
}
