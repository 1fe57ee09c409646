//! Where statements go, against real servers.

use std::time::Duration;

use futures_util::StreamExt;
use millpond::postgres::{Builder, CatalogSetting, Db};
use millpond::{ErrorKind, Event, Mode, Outcome};
use millpond_lab::Lab;
use millpond_tests::{Cluster, reads_on_replica, until};

#[tokio::test]
async fn plain_reads_run_on_replicas_and_writes_on_the_primary() {
    let cluster = Cluster::up(2).await;
    let written = cluster.db.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    assert_eq!(written, 1);
    until("the replicas show the write", async || reads_on_replica(&cluster.db).await).await;
    let name: String =
        cluster.db.query_one("select name from item where id = $1", &[&1]).await.unwrap().get(0);
    assert_eq!(name, "pond");
    let status = cluster.db.status();
    let on_replicas: u64 = status.nodes[1..].iter().map(|node| node.reads).sum();
    assert!(on_replicas >= 2, "{status}");
    assert_eq!(status.nodes[1..].iter().map(|node| node.primary_statements).sum::<u64>(), 0, "{status}");
}

#[tokio::test]
async fn trap_30_a_session_reads_its_own_write_however_long_replay_is_held_back() {
    let cluster = Cluster::up(1).await;
    let session = cluster.db.session();
    assert!(reads_on_replica(&session).await);
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    session.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    assert_eq!(session.query("select from item where id = 1", &[]).await.unwrap().len(), 1);
    assert!(!reads_on_replica(&session).await);
    // Not known to have it, or asked for it again.
    let explained = session.explain("select 1").to_string();
    assert!(explained.contains("the caller's last write"), "{explained}");
    cluster.lab.node("db-1").unwrap().resume_replay().await.unwrap();
    until("the session is back on the replica", async || reads_on_replica(&session).await).await;
    assert_eq!(session.query("select from item where id = 1", &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_plain_handle_reads_what_another_handle_of_the_process_wrote() {
    let cluster = Cluster::up(1).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let (session, other) = (cluster.db.session(), cluster.db.session());
    session.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    assert_eq!(cluster.db.query("select from item where id = 1", &[]).await.unwrap().len(), 1);
    assert!(reads_on_replica(&other).await, "another session did not write");
    assert!(reads_on_replica(&cluster.db.any()).await, "asked for any");
}

/// The position is asked behind the write in the same flight: it must never be the one before it.
async fn whoever_has_reached_a_token_shows_the_write(cluster: &Cluster, writes: i32) {
    for id in 0..writes {
        let session = cluster.db.session();
        let insert = "insert into item values ($1, repeat('x', $1))";
        session.execute(insert, &[&id]).await.expect("a write");
        let token = session.token();
        let position = token.to_string().rsplit('.').next().map(str::to_owned).expect("a place");
        let reached = format!("select (pg_last_wal_replay_lsn() >= '{position}')::text");
        until("the replica reaches the token", async || cluster.ask("db-1", &reached).await == "true").await;
        let shown = cluster.ask("db-1", &format!("select count(*)::text from item where id = {id}")).await;
        assert_eq!(shown, "1", "{token}");
    }
}

#[tokio::test]
async fn trap_24_a_replica_that_has_reached_a_token_always_shows_the_write() {
    whoever_has_reached_a_token_shows_the_write(&Cluster::up(1).await, 300).await;
}

/// What a commit wrote is in no file yet when it is answered.
#[tokio::test]
async fn trap_24_a_token_lies_behind_a_commit_that_waited_for_no_disk() {
    let lab = Lab::builder().replicas(1).setting("synchronous_commit", "off");
    let cluster = Cluster::of(lab.up().await.unwrap(), |builder| builder).await;
    whoever_has_reached_a_token_shows_the_write(&cluster, 30).await;
}

#[tokio::test]
async fn trap_27_a_cascaded_replica_is_as_old_as_what_was_passed_on_to_it() {
    let cluster = Cluster::up(2).await;
    let (between, last) = (cluster.lab.node("db-1").unwrap(), cluster.lab.node("db-2").unwrap());
    let conninfo = cluster.ask("db-2", "show primary_conninfo").await;
    let (port, between_port) = (last.replication().port(), between.direct_port());
    let cascaded = conninfo.replace(&format!("port={port}"), &format!("port={between_port}"));
    assert_ne!(conninfo, cascaded);
    last.ask("postgres", &format!("alter system set primary_conninfo = '{}'", cascaded.replace('\'', "''")))
        .await
        .unwrap();
    last.ask("postgres", "select pg_reload_conf()").await.unwrap();
    let senders = "select count(*)::text from pg_stat_replication";
    until("it follows the other replica", async || cluster.ask("db-1", senders).await == "1").await;
    let (db, status) = (&cluster.db, cluster.db.status());
    db.nodes().drain(&status.nodes[1].name).unwrap();
    until("the last one serves", async || reads_on_replica(db).await).await;
    between.replication().stall();
    db.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    let strict = db.within(Duration::from_millis(500));
    until("the lag is noticed", async || {
        assert_eq!(db.query("select from item", &[]).await.unwrap().len(), 1);
        !reads_on_replica(&strict).await
    })
    .await;
    assert!(reads_on_replica(&db.any()).await);
    between.replication().restore();
    until("the last one serves again", async || {
        assert_eq!(db.query("select from item", &[]).await.unwrap().len(), 1);
        reads_on_replica(&strict).await
    })
    .await;
}

#[tokio::test]
async fn trap_27_a_delayed_replica_serves_only_those_who_allow_it() {
    let cluster = Cluster::up(1).await;
    cluster.lab.node("db-1").unwrap().delay_replay(Duration::from_secs(600)).await.unwrap();
    cluster.lab.primary().ask("postgres", "insert into item values (1, 'pond')").await.unwrap();
    let (strict, any) = (cluster.db.within(Duration::from_millis(500)), cluster.db.any());
    until("the lag is noticed", async || !reads_on_replica(&strict).await).await;
    assert!(strict.explain("select 1").to_string().contains("fresh enough"));
    assert_eq!(strict.query("select from item", &[]).await.unwrap().len(), 1);
    assert!(reads_on_replica(&any).await);
    assert!(!reads_on_replica(&cluster.db.latest()).await);
}

#[tokio::test]
async fn a_replica_of_an_idle_primary_stays_fresh() {
    let cluster = Cluster::up(1).await;
    // The lag is told anew by every probe. Were it the age of the last transaction, it would grow.
    let lags: Vec<_> = {
        let mut lags = Vec::new();
        until("sixty different lags were told", async || {
            let lag = cluster.db.status().nodes[1].lag.time();
            if lags.last() != Some(&lag) {
                lags.push(lag);
            }
            lags.len() >= 60
        })
        .await;
        lags
    };
    let longest = lags.iter().copied().flatten().max().unwrap();
    assert!(lags.iter().all(Option::is_some) && longest < Duration::from_secs(1), "{longest:?}");
}

/// With it the views of these tests would not be taken for tables.
fn without_catalog(builder: Builder) -> Builder {
    builder.catalog(CatalogSetting::Off)
}

#[tokio::test]
async fn a_view_that_writes_heals_once_and_is_remembered() {
    let cluster = Cluster::up_with(1, without_catalog).await;
    cluster.db.batch_execute("create sequence s; create view v as select nextval('s') as n").await.unwrap();
    until("the replica has the view", async || reads_on_replica(&cluster.db).await).await;
    let next = async || cluster.db.query_one("select n from v", &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(next().await, 1);
    assert!(cluster.events.any(|event| matches!(event, Event::Healed { .. })));
    assert!(cluster.db.explain("SELECT n\nFROM v").to_string().contains("refused"));
    assert_eq!(next().await, 2);
    assert_eq!(cluster.db.status().healed, 1, "the second ran on the primary at once");
    assert!(
        !cluster.events.any(|event| matches!(event, Event::PrimaryLost { .. } | Event::RoleChanged { .. }))
    );
}

#[tokio::test]
async fn a_stream_heals_before_its_first_row_and_counts_as_a_write() {
    let cluster = Cluster::up_with(1, without_catalog).await;
    cluster.db.batch_execute("create sequence s; create view v as select nextval('s') as n").await.unwrap();
    until("the replica has the view", async || reads_on_replica(&cluster.db).await).await;
    let rows = cluster.db.query_raw("select n from v", &[]).await.unwrap();
    assert_eq!(rows.map(|row| row.unwrap().get::<_, i64>(0)).collect::<Vec<_>>().await, [1]);
    let session = cluster.db.session();
    session.query("select n + 1 from v", &[]).await.unwrap();
    let token = session.token().to_string();
    assert!(!token.ends_with('.') && !token.ends_with('*'), "its position was asked: {token}");
}

#[tokio::test]
async fn of_several_statements_none_runs_twice() {
    let cluster = Cluster::up_with(1, without_catalog).await;
    cluster.db.batch_execute("create sequence s; create view v as select nextval('s') as n").await.unwrap();
    until("the replica has the view", async || reads_on_replica(&cluster.db).await).await;
    let error = cluster.db.batch_execute("select 1; select n from v").await.unwrap_err();
    assert_eq!((error.code(), cluster.db.status().healed), (Some("25006"), 0));
}

#[tokio::test]
async fn without_healing_the_refusal_is_the_answer() {
    let cluster = Cluster::up_with(1, |builder| without_catalog(builder).without_healing()).await;
    cluster.db.batch_execute("create sequence s; create view v as select nextval('s') as n").await.unwrap();
    until("the replica has the view", async || reads_on_replica(&cluster.db).await).await;
    let error = cluster.db.query("select n from v", &[]).await.unwrap_err();
    assert_eq!((error.code(), error.outcome()), (Some("25006"), Outcome::Rejected));
}

#[tokio::test]
async fn modes_switch_at_run_time() {
    let cluster = Cluster::up(1).await;
    cluster.db.set_mode(Mode::PrimaryOnly);
    assert!(!reads_on_replica(&cluster.db).await);
    assert_eq!(cluster.db.explain("select 1").to_string(), "primary: the mode is PrimaryOnly");
    cluster.db.set_mode(Mode::Shadow);
    let before = cluster.db.status().shadowed;
    assert!(!reads_on_replica(&cluster.db).await);
    assert_eq!(cluster.db.status().shadowed, before + 1);
    cluster.db.set_mode(Mode::Route);
    until("reads are back", async || reads_on_replica(&cluster.db).await).await;
    assert_eq!(cluster.events.count(|event| matches!(event, Event::ModeChanged { .. })), 3);
}

#[tokio::test]
async fn statements_that_need_a_connection_are_refused_with_the_words_for_how_to_do_it() {
    let cluster = Cluster::up(0).await;
    let refused = [
        ("set search_path = x", "get()"),
        ("listen news", "listener()"),
        ("create temporary table t (a int)", "get()"),
        ("select pg_advisory_lock(1)", "get()"),
        ("prepare p as select 1", "get()"),
        ("begin", "begin()"),
        ("commit", "begin()"),
    ];
    for (sql, instead) in refused {
        for error in [
            cluster.db.query(sql, &[]).await.unwrap_err(),
            cluster.db.execute(sql, &[]).await.unwrap_err(),
            cluster.db.batch_execute(sql).await.unwrap_err(),
        ] {
            assert_eq!(
                (error.kind(), error.outcome()),
                (ErrorKind::SessionStatement, Outcome::NotSent),
                "{sql}"
            );
            assert!(error.to_string().contains(instead), "{sql}: {error}");
        }
    }
}

#[tokio::test]
async fn a_script_leaves_nothing_in_the_connection() {
    let cluster = Cluster::up_with(0, |builder| builder.max_size(1)).await;
    cluster.db.batch_execute("set work_mem = '1MB'; create temporary table t (a int); begin").await.unwrap();
    let row = cluster
        .db
        .query_one("select current_setting('work_mem'), to_regclass('t') is null", &[])
        .await
        .unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get(1)), ("4MB", true));
    assert_eq!(cluster.ask("db-0", IN_TRANSACTION).await, "0");
}

const IN_TRANSACTION: &str =
    "select count(*)::text from pg_stat_activity where state like 'idle in transaction%'";

#[tokio::test]
async fn one_node_works_the_same() {
    let cluster = Cluster::up(0).await;
    cluster.db.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    assert_eq!(cluster.db.query("select * from item", &[]).await.unwrap().len(), 1);
    assert_eq!(cluster.db.explain("select 1").to_string(), "primary: the cluster has no other node");
    let transaction = cluster.db.begin_read_only().await.unwrap();
    assert_eq!(transaction.execute("delete from item", &[]).await.unwrap_err().code(), Some("25006"));
}

#[tokio::test]
async fn a_read_only_transaction_runs_on_a_replica() {
    let cluster = Cluster::up(1).await;
    let transaction = cluster.db.begin_read_only().await.unwrap();
    let is_replica: bool = transaction.query_one("select pg_is_in_recovery()", &[]).await.unwrap().get(0);
    assert!(is_replica);
    transaction.commit().await.unwrap();
    assert!(reads_on_replica(&cluster.db).await, "it wrote nothing");
}

/// `Db` and what it gives are used from many tasks.
#[test]
fn handles_can_be_sent_and_shared() {
    fn is_send_and_sync<T: Send + Sync + 'static>() {}
    is_send_and_sync::<Db>();
    is_send_and_sync::<millpond::postgres::Session>();
    is_send_and_sync::<millpond::postgres::Transaction>();
    is_send_and_sync::<millpond::postgres::Lease>();
    is_send_and_sync::<millpond::Error>();
    assert!(size_of::<millpond::Error>() <= 2 * size_of::<usize>());
}
