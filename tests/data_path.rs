//! What could soil the way to the server and back: answers that shift, calls that are given up, texts that hide what they do.

use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{TryStreamExt, join};
use millpond::postgres::tokio_postgres::SimpleQueryMessage;
use millpond::postgres::tokio_postgres::error::SqlState;
use millpond::postgres::{Db, GenericClient};
use millpond::{ErrorKind, Outcome};
use millpond_tests::{Cluster, one_connection, until};
use tokio::time::timeout;

const NEVER: Duration = Duration::from_secs(60);

/// The seconds of a literal that is read by the time zone of the session.
const MIDNIGHT: &str = "select extract(epoch from timestamptz '2024-01-01 00:00')::int8";
const IN_UTC: i64 = 1_704_067_200;

const SLEEPS: &str = "select pg_sleep(25)";
const SLEEPERS: &str = "select count(*)::text from pg_stat_activity
    where state = 'active' and query like '%pg_sleep(25)%' and pid <> pg_backend_pid()";

fn texts(answers: &[SimpleQueryMessage]) -> Vec<String> {
    let text = |answer: &SimpleQueryMessage| match answer {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    answers.iter().filter_map(text).collect()
}

/// Waits until nothing sleeps on the server: far less long than it would by itself.
async fn none_sleeps(cluster: &Cluster, node: &str) {
    until("nothing runs for nobody", async || cluster.ask(node, SLEEPERS).await == "0").await;
}

#[tokio::test]
async fn behind_a_refused_copy_of_a_raw_client_nobody_gets_the_rows_of_another() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    for round in 0..20 {
        let lease = db.get().await.unwrap();
        let copy = lease.prepare_cached("copy nosuch from stdin").await.unwrap();
        let asks = |number: i32| {
            let db = db.clone();
            tokio::spawn(async move {
                let answers = db.simple_query(&format!("select {number}")).await.unwrap();
                assert_eq!(texts(&answers), [number.to_string()]);
            })
        };
        let waiting: Vec<_> = (0..5).map(|task| asks(round * 5 + task)).collect();
        until("they wait", async || db.status().nodes[0].waiting == 5).await;
        (*lease).copy_in::<_, Cursor<Vec<u8>>>(&copy).await.map(drop).unwrap_err();
        drop(lease);
        for task in waiting {
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_commit_behind_a_refused_copy_is_not_told_as_done() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    db.batch_execute("create table pay (id int unique deferrable initially deferred)").await.unwrap();
    db.execute("insert into pay values (1)", &[]).await.unwrap();
    let transaction = db.begin().await.unwrap();
    let part = transaction.savepoint().await.unwrap();
    part.copy_in("copy nosuch from stdin").await.map(drop).unwrap_err();
    drop(part);
    let error = transaction.execute("insert into pay values (1)", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Rejected), "{error}");
    assert_eq!(transaction.commit().await.unwrap_err().outcome(), Outcome::Rejected);
    assert_eq!(cluster.ask("db-0", "select count(*)::text from pay").await, "1");
}

#[tokio::test]
async fn a_copy_whose_row_is_refused_can_be_taken_back() {
    let cluster = one_connection().await;
    let transaction = cluster.db.begin().await.unwrap();
    let part = transaction.savepoint().await.unwrap();
    let mut copy = part.copy_in("copy item from stdin").await.unwrap();
    copy.send("no number\tx\n").await.unwrap();
    copy.finish().await.unwrap_err();
    part.rollback().await.unwrap();
    assert_eq!(transaction.execute("insert into item values (1)", &[]).await.unwrap(), 1);
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn a_batch_that_was_given_up_is_over_and_has_its_place_until_then() {
    let cluster = one_connection().await;
    let hurried = cluster.db.timeout(Duration::from_millis(50));
    for _ in 0..10 {
        hurried.batch(&[(SLEEPS, &[]), (SLEEPS, &[]), (SLEEPS, &[])]).await.unwrap_err();
        let sessions = "select count(*)::text from pg_stat_activity
            where application_name = 'millpond' and query like '%pg_sleep(25)%'";
        // One that was cancelled may still be on its way out when the next one is there.
        assert!(cluster.ask("db-0", sessions).await.parse::<usize>().unwrap() <= 2);
    }
    none_sleeps(&cluster, "db-0").await;
}

#[tokio::test]
async fn calls_that_were_given_up_together_are_over() {
    let cluster = one_connection().await;
    let lease = cluster.db.get().await.unwrap();
    let both =
        async { join!(GenericClient::query(&lease, SLEEPS, &[]), GenericClient::query(&lease, SLEEPS, &[])) };
    timeout(Duration::from_millis(300), both).await.map(drop).unwrap_err();
    drop(lease);
    none_sleeps(&cluster, "db-0").await;
}

#[tokio::test]
async fn what_was_given_up_while_it_was_sent_is_over() {
    let cluster = one_connection().await;
    let sql = "select length($1::text), pg_sleep(25 * (length($1::text) > 1)::int)";
    cluster.db.query(sql, &[&"x"]).await.unwrap();
    let big = "x".repeat(100_000_000);
    cluster.db.timeout(Duration::from_millis(100)).query(sql, &[&big]).await.unwrap_err();
    let running = "select count(*)::text from pg_stat_activity
        where state = 'active' and query like '%$1%' and pid <> pg_backend_pid()";
    until("it is over", async || cluster.ask("db-0", running).await == "0").await;
}

#[tokio::test]
async fn a_raw_statement_that_was_given_up_is_cancelled_when_its_pool_is_closed() {
    let cluster = one_connection().await;
    let lease = cluster.db.get().await.unwrap();
    timeout(Duration::from_millis(100), (*lease).batch_execute(SLEEPS)).await.map(drop).unwrap_err();
    assert!(!cluster.db.close(Duration::from_millis(50)).await);
    drop(lease);
    none_sleeps(&cluster, "db-0").await;
}

#[tokio::test]
async fn a_raw_statement_that_was_given_up_is_cancelled_when_another_primary_has_taken_over() {
    let cluster = Cluster::up(1).await;
    cluster.lab.caught_up().await.unwrap();
    let lease = cluster.db.get().await.unwrap();
    timeout(Duration::from_millis(100), (*lease).batch_execute(SLEEPS)).await.map(drop).unwrap_err();
    cluster.lab.node("db-1").unwrap().promote().await.unwrap();
    until("the promotion is noticed", async || cluster.db.status().epoch.get() == 2).await;
    drop(lease);
    none_sleeps(&cluster, "db-0").await;
}

#[tokio::test]
async fn a_stream_that_turns_out_void_does_not_go_back_half_read() {
    let cluster =
        Cluster::up_with(2, |builder| builder.probe_interval(NEVER).max_lag(NEVER).max_size(1)).await;
    let session = cluster.db.session();
    session.execute("insert into item values (1, 'x')", &[]).await.unwrap();
    cluster.lab.caught_up().await.unwrap();
    let lengthy = "select case when a = 1 and b = 1 then pg_sleep(4)::text else '' end as lengthy
                   from generate_series(1, 1000000) a, generate_series(1, 1000) b";
    let reading = tokio::spawn({
        let session = session.clone();
        async move { session.query_raw(lengthy, &[]).await.map(drop) }
    });
    let running = "select count(*)::text from pg_stat_activity
        where state = 'active' and query like '%lengthy%' and pid <> pg_backend_pid()";
    let mut on = "";
    until("it runs on a replica", async || {
        for node in ["db-1", "db-2"] {
            if cluster.ask(node, running).await == "1" {
                on = node;
            }
        }
        !on.is_empty()
    })
    .await;
    let other = cluster.lab.node(if on == "db-1" { "db-2" } else { "db-1" }).unwrap();
    cluster.lab.primary().kill().await.unwrap();
    other.promote().await.unwrap();
    cluster.db.execute("insert into item values (2, 'x')", &[]).await.unwrap();
    reading.await.unwrap().unwrap();
    until("it is over", async || cluster.ask(on, running).await == "0").await;
    timeout(Duration::from_secs(10), cluster.db.any().query("select 1", &[])).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_may_have_been_committed_in_part_is_not_told_as_rejected() {
    let cluster = one_connection().await;
    let procedure = "create procedure p(i int) language plpgsql as $$
        begin insert into item values (i); commit; raise exception 'no'; end $$";
    cluster.ask("db-0", procedure).await;
    cluster.ask("db-0", "create table twice as select 1 as a from generate_series(1, 2)").await;
    let lease = cluster.db.get().await.unwrap();
    let rows = GenericClient::query_raw(&lease, "call p(1)", &[]).await.unwrap();
    let stream = rows.try_collect::<Vec<_>>().await.unwrap_err().outcome();
    let batch = GenericClient::batch(&lease, &[("call p(2)", &[])]).await.unwrap().remove(0);
    let index = "create unique index concurrently twice_a on twice (a)";
    let on_lease = GenericClient::batch_execute(&lease, index).await.unwrap_err().outcome();
    drop(lease);
    let again = cluster.db.execute(&index.replace("twice_a", "twice_b"), &[]).await.unwrap_err().outcome();
    assert_eq!([stream, batch.unwrap_err().outcome(), on_lease, again], [Outcome::MayHaveRun; 4]);
    let left = "select (select count(*) from item) || ' ' || (select count(*) from pg_class where relname ~ 'twice_.')";
    assert_eq!(cluster.ask("db-0", left).await, "2 2", "a part of each stayed");
}

#[tokio::test]
async fn a_literal_is_read_by_the_settings_of_whoever_asks() {
    let cluster = one_connection().await;
    let one = cluster.db.get().await.unwrap();
    (*one).batch_execute("set timezone = 'Asia/Tokyo'").await.unwrap();
    GenericClient::query_one_scalar::<i64>(&one, MIDNIGHT, &[]).await.unwrap();
    drop(one);
    let two = cluster.db.get().await.unwrap();
    assert!(!(*two).is_closed(), "all that it does by the driver's client");
    assert_eq!(GenericClient::query_one_scalar::<i64>(&two, MIDNIGHT, &[]).await.unwrap(), IN_UTC);
}

#[tokio::test]
async fn a_savepoint_takes_back_how_literals_are_read_though_a_function_changed_it() {
    let cluster = one_connection().await;
    let function = "create function tz(z text) returns void language plpgsql as $$
        begin perform set_config('timezone', z, false); end $$";
    cluster.ask("db-0", function).await;
    let transaction = cluster.db.begin().await.unwrap();
    let part = transaction.savepoint().await.unwrap();
    part.query("select tz('Asia/Tokyo')", &[]).await.unwrap();
    part.query_one_scalar::<i64>(MIDNIGHT, &[]).await.unwrap();
    part.rollback().await.unwrap();
    assert_eq!(transaction.query_one_scalar::<i64>(MIDNIGHT, &[]).await.unwrap(), IN_UTC);
}

#[tokio::test]
async fn a_batch_hides_nothing_behind_a_quote_that_is_left_open() {
    let cluster = one_connection().await;
    let function = "create function evil() returns int language plpgsql as $$
        begin perform pg_advisory_lock(42); return 1; end $$";
    cluster.ask("db-0", function).await;
    let texts = [("select 'a", &[][..]), ("select evil()", &[]), ("select b'", &[])];
    let answers = cluster.db.batch(&texts).await.unwrap();
    assert!(answers[0].is_err() && answers[1].is_ok() && answers[2].is_err());
    let locks = "select count(*)::text from pg_locks where locktype = 'advisory'";
    until("the lock is gone", async || cluster.ask("db-0", locks).await == "0").await;
}

#[tokio::test]
async fn settings_and_slots_by_other_names_are_taken_away_or_refused() {
    let cluster = one_connection().await;
    let setting = "update pg_settings set setting = '1MB' where name = 'work_mem'";
    let error = cluster.db.query(setting, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionStatement, "{error}");
    let transaction = cluster.db.begin().await.unwrap();
    transaction.query(setting, &[]).await.unwrap();
    transaction.commit().await.unwrap();
    let slot = "select pg_create_physical_replication_slot('s', true, true)";
    if let Ok(lease) = cluster.db.get().await {
        GenericClient::query(&lease, slot, &[]).await.unwrap();
    }
    let left = "select current_setting('work_mem') || ' ' || (select count(*) from pg_replication_slots)";
    until("the slot is gone with its session", async || {
        let transaction = cluster.db.begin().await.unwrap();
        transaction.query_one_scalar::<String>(left, &[]).await.unwrap() == "4MB 0"
    })
    .await;
}

#[tokio::test]
async fn backslashes_hide_no_begin_or_commit() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    let off = "set standard_conforming_strings = off";
    let (lease, transaction) =
        (db.get().await.unwrap(), "select set_config('standard_conforming_strings', 'off', true)");
    for error in [
        GenericClient::batch_execute(&lease, off).await.unwrap_err(),
        GenericClient::query(&lease, transaction, &[]).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::SessionStatement);
        assert!(error.to_string().contains("E'…'"), "{error}");
    }
    // By the driver's client it is set, for as long as the lease.
    match (*lease).batch_execute(off).await {
        Ok(()) => (*lease).batch_execute("select 'a\\', '; begin; --'").await.unwrap(),
        // From PostgreSQL 19 on by nobody.
        Err(error) => assert_eq!(error.code(), Some(&SqlState::FEATURE_NOT_SUPPORTED), "{error}"),
    }
    drop(lease);
    assert_eq!(db.execute("insert into item values (1, 'the next user')", &[]).await.unwrap(), 1);
    assert_eq!(cluster.ask("db-0", "select count(*)::text from item").await, "1");
    let transaction = db.begin().await.unwrap();
    assert_eq!(transaction.batch_execute(off).await.unwrap_err().kind(), ErrorKind::SessionStatement);
}

#[tokio::test]
async fn a_connection_that_has_forgotten_its_types_is_not_handed_out() {
    let cluster = one_connection().await;
    for (kind, all) in [("m1", "discard all"), ("m2", "deallocate all"), ("m3", "select 1")] {
        cluster.ask("db-0", &format!("create type {kind} as enum ('a')")).await;
        cluster.db.query(&format!("select 'a'::{kind}"), &[]).await.unwrap();
        (*cluster.db.get().await.unwrap()).batch_execute(all).await.unwrap();
    }
}

#[tokio::test]
async fn a_type_that_was_made_anew_is_known_again() {
    let cluster = one_connection().await;
    let sql = "select $1::text::mood::text";
    for _ in 0..2 {
        cluster.ask("db-0", "drop type if exists mood; create type mood as enum ('a')").await;
        until("it is known", async || cluster.db.query(sql, &[&"a"]).await.is_ok()).await;
    }
}

#[tokio::test]
async fn bad_input_is_no_lost_connection() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    let nul = db.execute_typed("insert into item values (1, '\0')", &[]).await.unwrap_err();
    assert_eq!((nul.kind(), nul.outcome()), (ErrorKind::Rejected, Outcome::NotSent), "{nul}");
    for error in [
        db.copy_in("copy item to stdout").await.map(drop).unwrap_err(),
        db.copy_out("COPY item\n FROM  stdin").await.map(drop).unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.outcome()),
            (ErrorKind::SessionStatement, Outcome::NotSent),
            "{error}"
        );
    }
    let function = "create function far() returns int language plpgsql as $$
        begin raise exception 'could not connect' using errcode = '08001'; end $$";
    cluster.ask("db-0", function).await;
    let far = db.query("select far()", &[]).await.unwrap_err();
    assert_eq!(
        (far.kind(), far.outcome(), far.code()),
        (ErrorKind::Rejected, Outcome::Rejected, Some("08001"))
    );
}

#[tokio::test]
async fn work_is_run_again_for_conflicts_only() {
    let cluster = one_connection().await;
    let calls = AtomicUsize::new(0);
    let builder = cluster.db.build_transaction().retries(3);
    let result: Result<(), millpond::Error> = builder
        .run(async |transaction| {
            calls.fetch_add(1, Ordering::SeqCst);
            let part = transaction.savepoint().await?;
            let conflict = "do $$ begin raise exception 'x' using errcode = '40P01'; end $$";
            part.batch_execute(conflict).await.unwrap_err();
            part.rollback().await?;
            transaction.execute("insert into nosuch values (1)", &[]).await.map(drop)
        })
        .await;
    assert_eq!((calls.into_inner(), result.unwrap_err().code()), (1, Some("42P01")));
}

#[tokio::test]
async fn a_commit_over_a_connection_that_is_known_to_be_closed_was_not_sent() {
    let cluster = one_connection().await;
    let transaction = cluster.db.begin().await.unwrap();
    transaction.execute("insert into item values (1, 'x')", &[]).await.unwrap();
    let others = "select pg_terminate_backend(pid)::text from pg_stat_activity
        where application_name = 'millpond' and state like 'idle in transaction%'";
    assert_eq!(cluster.ask("db-0", others).await, "true");
    until("it is known", async || {
        transaction.query("select 1", &[]).await.is_err_and(|error| error.to_string().contains("was closed"))
    })
    .await;
    assert_eq!(transaction.commit().await.unwrap_err().outcome(), Outcome::Rejected);
}

#[tokio::test]
async fn nothing_of_a_test_is_committed_by_the_drivers_client() {
    let cluster = one_connection().await;
    let db = Db::for_test(cluster.db.begin().await.unwrap()).unwrap();
    let mut lease = db.get().await.unwrap();
    for job in 1..4_i32 {
        let Ok(transaction) = lease.transaction().await else { continue };
        let _ = transaction.execute("insert into item values ($1, 'job')", &[&job]).await;
        let _ = transaction.commit().await;
    }
    drop(lease);
    drop(db);
    assert_eq!(cluster.ask("db-0", "select count(*)::text from item").await, "0");
}

#[tokio::test]
async fn typed_queries_end_though_the_driver_has_to_ask_for_a_type() {
    let cluster = one_connection().await;
    cluster.ask("db-0", "create type mood as enum ('a')").await;
    let sql = "select 'a'::mood, repeat('x', 100) from generate_series(1, 2000)";
    let patience = Duration::from_secs(10);
    let rows = timeout(patience, cluster.db.query_typed(sql, &[])).await.unwrap().unwrap();
    assert_eq!(rows.len(), 2000);
    let transaction = cluster.db.begin().await.unwrap();
    let rows = timeout(patience, transaction.query_typed(sql, &[])).await.unwrap().unwrap();
    assert_eq!(rows.len(), 2000);
}
