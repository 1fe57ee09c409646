//! Nodes that die, freeze, move and come back.

use std::sync::Arc;
use std::time::Duration;

use millpond::postgres::{Builder, Db};
use millpond::{ErrorKind, Event, Outcome, Refusal, Timeline};
use millpond_lab::StopMode;
use millpond_tests::{Cluster, Readers, reads_on_replica, until};

#[tokio::test]
async fn a_killed_replica_fails_no_read_and_comes_back() {
    let cluster = Cluster::up(2).await;
    let readers = Readers::start(&cluster.db, 8);
    readers.more(200).await;
    let replica = cluster.lab.node("db-2").unwrap();
    replica.kill().await.unwrap();
    readers.more(200).await;
    until("it is told", async || cluster.events.any(|event| matches!(event, Event::NodeDown { .. }))).await;
    replica.start().await.unwrap();
    let before = cluster.db.status().nodes[2].reads;
    until("it serves reads again", async || cluster.db.status().nodes[2].reads > before).await;
    assert_eq!(readers.stop().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_orderly_stop_and_a_reset_network_fail_no_read() {
    let cluster = Cluster::up(2).await;
    let readers = Readers::start(&cluster.db, 8);
    readers.more(200).await;
    cluster.lab.node("db-1").unwrap().stop(StopMode::Fast).await.unwrap();
    readers.more(200).await;
    cluster.lab.node("db-2").unwrap().network().reset();
    readers.more(200).await;
    assert_eq!(readers.stop().await, Vec::<String>::new());
    assert!(!reads_on_replica(&cluster.db).await, "the primary is left");
}

#[tokio::test]
async fn a_frozen_replica_holds_no_read_up_for_long() {
    let cluster = Cluster::up_with(2, |builder| builder.probe_timeout(Duration::from_millis(200))).await;
    let readers = Readers::start(&cluster.db, 8);
    readers.more(200).await;
    let frozen = cluster.lab.node("db-1").unwrap();
    frozen.freeze().await.unwrap();
    // All eight must get past it: each does, once the probes have found it silent.
    readers.more(200).await;
    assert_eq!(readers.stop().await, Vec::<String>::new());
    frozen.thaw().await.unwrap();
    let before = cluster.db.status().nodes[1].reads;
    until("it serves reads again", async || {
        cluster.db.query("select 1", &[]).await.unwrap();
        cluster.db.status().nodes[1].reads > before
    })
    .await;
}

#[tokio::test]
async fn writes_follow_a_promotion_and_the_old_primary_gets_none() {
    let cluster = Cluster::up(2).await;
    cluster.db.execute("insert into item values (1, 'before')", &[]).await.unwrap();
    cluster.lab.caught_up().await.unwrap();
    let old = cluster.lab.node("db-0").unwrap();
    let new = cluster.lab.node("db-1").unwrap();
    old.kill().await.unwrap();
    until("the loss is noticed", async || {
        cluster.events.any(|event| matches!(event, Event::PrimaryLost { .. }))
    })
    .await;

    // Asked while there is no primary: it waits for one.
    let waiting = tokio::spawn({
        let db = cluster.db.clone();
        async move { db.execute("insert into item values (2, 'after')", &[]).await }
    });
    new.promote().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
    assert_eq!(cluster.db.status().epoch.get(), 2);
    assert_eq!(cluster.ask("db-1", "select count(*)::text from item").await, "2");

    // A second writer, with the same identifier, on the older timeline.
    old.start().await.unwrap();
    let name = Arc::from(format!("127.0.0.1:{}", old.port()));
    until("it answers", async || {
        cluster.events.count(|event| matches!(event, Event::NodeUp { node } if *node == name)) == 2
    })
    .await;
    cluster.db.execute("insert into item values (3, 'later')", &[]).await.unwrap();
    assert_eq!(cluster.ask("db-0", "select count(*)::text from item where id > 1").await, "0");

    // As a replica of the new primary it serves reads.
    old.follow(new).await.unwrap();
    cluster.lab.node("db-2").unwrap().stop(StopMode::Fast).await.unwrap();
    until("the old primary serves reads", async || reads_on_replica(&cluster.db).await).await;
    assert_eq!(cluster.db.query("select from item", &[]).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_planned_switchover_moves_writes_without_a_restart_of_the_client() {
    let cluster = Cluster::up(1).await;
    let (old, new) = (cluster.lab.node("db-0").unwrap(), cluster.lab.node("db-1").unwrap());
    cluster.lab.caught_up().await.unwrap();
    old.stop(StopMode::Fast).await.unwrap();
    new.promote().await.unwrap();
    cluster.db.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    assert_eq!(cluster.ask("db-1", "select count(*)::text from item").await, "1");
}

#[tokio::test]
async fn trap_34_a_write_whose_answer_is_lost_is_told_as_such_and_never_sent_again() {
    let cluster = Cluster::up(1).await;
    cluster.db.batch_execute("create table slow (id int)").await.unwrap();
    let writing = tokio::spawn({
        let session = cluster.db.session();
        async move {
            let error =
                session.execute("insert into slow select 1 from pg_sleep(0.3)", &[]).await.unwrap_err();
            (error, session.token().to_string())
        }
    });
    let runs = "select count(*)::text from pg_stat_activity where state = 'active' and query like 'insert into slow%'";
    until("it runs", async || cluster.ask("db-0", runs).await == "1").await;
    cluster.lab.primary().network().reset();
    let (error, token) = writing.await.unwrap();
    assert_eq!(error.outcome(), Outcome::MayHaveRun, "{error}");
    assert!(token.ends_with(".*"), "{token}");
    cluster.lab.primary().network().restore();
    until("it ran to its end", async || cluster.ask("db-0", runs).await == "0").await;
    assert_eq!(cluster.ask("db-0", "select count(*)::text from slow").await, "1");
}

#[tokio::test]
async fn trap_35_a_read_that_conflicts_with_replay_runs_elsewhere() {
    let cluster = Cluster::up(1).await;
    cluster.db.execute("insert into item select i, 'x' from generate_series(1, 100) i", &[]).await.unwrap();
    let replica = cluster.lab.node("db-1").unwrap();
    for (setting, value) in [("max_standby_streaming_delay", "'0'"), ("hot_standby_feedback", "off")] {
        replica.ask("postgres", &format!("alter system set {setting} = {value}")).await.unwrap();
    }
    replica.ask("postgres", "select pg_reload_conf()").await.unwrap();
    until("the replica shows the rows", async || reads_on_replica(&cluster.db).await).await;
    let reading = tokio::spawn({
        let db = cluster.db.clone();
        // Long enough on the replica for the lock below to be replayed; at once on the primary, whose table is empty.
        async move { db.query("select id, pg_sleep(0.2) from item", &[]).await.map(|rows| rows.len()) }
    });
    let runs =
        "select count(*)::text from pg_stat_activity where state = 'active' and query like '%pg_sleep(0.2)%'";
    until("it runs on the replica", async || cluster.ask("db-1", runs).await != "0").await;
    cluster.lab.primary().ask("postgres", "truncate item").await.unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), 0, "the answer is the primary's");
}

#[tokio::test]
async fn a_frozen_primary_holds_no_write_up_once_another_has_taken_over() {
    let cluster =
        Cluster::up_with(1, |builder| builder.probe_timeout(Duration::from_millis(200)).max_size(1)).await;
    cluster.lab.caught_up().await.unwrap();
    let (old, new) = (cluster.lab.node("db-0").unwrap(), cluster.lab.node("db-1").unwrap());
    // One holds the only connection, the other waits for it.
    let holder = cluster.db.get().await.unwrap();
    let write = |id: i32| {
        let db = cluster.db.clone();
        tokio::spawn(async move { db.execute("insert into item values ($1, 'pond')", &[&id]).await })
    };
    let waiting = write(1);
    until("one waits", async || cluster.db.status().nodes[0].waiting == 1).await;
    old.freeze().await.unwrap();
    drop(holder);
    new.promote().await.unwrap();
    match waiting.await.unwrap() {
        Ok(written) => assert_eq!(written, 1),
        Err(error) => assert_eq!(error.outcome(), Outcome::MayHaveRun, "{error}"),
    }
    assert_eq!(write(2).await.unwrap().unwrap(), 1);
    old.thaw().await.unwrap();
    assert_eq!(write(3).await.unwrap().unwrap(), 1);
    assert_eq!(cluster.ask("db-1", "select count(*)::text from item where id > 1").await, "2");
    assert_eq!(cluster.ask("db-0", "select count(*)::text from item where id > 1").await, "0");
}

#[tokio::test]
async fn a_read_that_only_the_primary_may_serve_goes_back_to_it_once_it_answers_again() {
    let cluster = Cluster::up(1).await;
    let primary = cluster.lab.primary();
    let latest = cluster.db.latest();
    // So that there is a connection to run on.
    latest.query("select 1", &[]).await.unwrap();
    primary.freeze().await.unwrap();
    let read = tokio::spawn(async move { latest.query("select 1", &[]).await });
    until("the read is given up there", async || cluster.db.status().retried == 1).await;
    primary.thaw().await.unwrap();
    assert_eq!(read.await.unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn a_transaction_on_a_primary_that_was_replaced_commits_nothing() {
    let cluster = Cluster::up(1).await;
    cluster.lab.caught_up().await.unwrap();
    let transaction = cluster.db.begin().await.unwrap();
    transaction.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    let lease = cluster.db.get().await.unwrap();
    // The old primary is alive and would take the commit.
    cluster.lab.node("db-1").unwrap().promote().await.unwrap();
    until("the promotion is noticed", async || cluster.db.status().epoch.get() == 2).await;
    assert!(lease.is_outdated());
    let error = transaction.execute("insert into item values (7, 'late')", &[]).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
    assert_eq!(cluster.ask("db-0", "select count(*)::text from item").await, "0");
}

#[tokio::test]
async fn a_commit_on_a_frozen_primary_ends_when_another_has_taken_over() {
    let cluster = Cluster::up_with(1, |builder| builder.probe_timeout(Duration::from_millis(200))).await;
    cluster.lab.caught_up().await.unwrap();
    let (old, new) = (cluster.lab.node("db-0").unwrap(), cluster.lab.node("db-1").unwrap());
    let transaction = cluster.db.begin().await.unwrap();
    transaction.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    old.freeze().await.unwrap();
    let committing = tokio::spawn(transaction.commit());
    new.promote().await.unwrap();
    let error = committing.await.unwrap().unwrap_err();
    assert_eq!(error.outcome(), Outcome::MayHaveRun, "{error}");
}

#[tokio::test]
async fn a_promotion_is_found_by_the_reads_that_run_there() {
    let hour = Duration::from_secs(3600);
    let cluster = Cluster::up_with(1, |builder| builder.probe_interval(hour).max_lag(hour)).await;
    let replica = cluster.lab.node("db-1").unwrap();
    // Nothing fails, and no monitor asks: the server says it with the answer to a read.
    replica.promote().await.unwrap();
    until("the new primary is known", async || {
        cluster.db.query("select 1", &[]).await.unwrap();
        cluster.events.any(|event| matches!(event, Event::PrimaryChanged { epoch: 2, .. }))
    })
    .await;
    cluster.db.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    assert_eq!(replica.ask("postgres", "select name from item").await.unwrap().as_deref(), Some("pond"));
}

#[tokio::test]
async fn a_lone_node_that_is_promoted_takes_writes() {
    let cluster = Cluster::up(1).await;
    let replica = cluster.lab.node("db-1").unwrap();
    let lone = Db::connect(&replica.url("postgres")).await.unwrap();
    assert!(reads_on_replica(&lone.any()).await);
    replica.promote().await.unwrap();
    assert_eq!(lone.execute("insert into item values (1, 'pond')", &[]).await.unwrap(), 1);
}

#[tokio::test]
async fn one_replicas_used_up_connections_are_no_reason_to_fail_while_another_is_idle() {
    let cluster =
        Cluster::up_with(2, |builder| builder.max_size(2).acquire_timeout(Duration::from_secs(2))).await;
    // Of two replicas with two connections each, three leases take all of one.
    let mut leases = Vec::new();
    for _ in 0..3 {
        leases.push(cluster.db.get_read().await.unwrap());
    }
    for _ in 0..30 {
        cluster.db.query("select count(*) from item", &[]).await.unwrap();
    }
}

#[tokio::test]
async fn a_read_that_waited_long_does_not_run_on_a_replica_that_is_too_old_by_then() {
    let cluster = Cluster::up_with(1, |builder| builder.max_size(1)).await;
    let held = cluster.db.get_read().await.unwrap();
    let waiting = tokio::spawn({
        let db = cluster.db.clone();
        async move { reads_on_replica(&db).await }
    });
    until("it waits", async || cluster.db.status().nodes[1].waiting == 1).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    cluster.lab.primary().ask("postgres", "insert into item values (1, 'pond')").await.unwrap();
    let limit = Some(Duration::from_secs(1));
    until("the lag is known", async || cluster.db.status().nodes[1].lag.time() > limit).await;
    drop(held);
    assert!(!waiting.await.unwrap(), "it ran where the row is not");
}

#[tokio::test]
async fn an_event_listener_that_panics_stops_nothing() {
    let cluster = Cluster::up_with(1, |builder| builder.on_event(|event| panic!("told {event}"))).await;
    let replica = cluster.lab.node("db-1").unwrap();
    replica.kill().await.unwrap();
    until("it is noticed", async || !reads_on_replica(&cluster.db).await).await;
    replica.start().await.unwrap();
    until("it serves reads again", async || reads_on_replica(&cluster.db).await).await;
}

#[tokio::test]
async fn why_a_primary_of_before_gets_no_writes_is_told_in_events_the_status_and_errors() {
    let settings = |builder: Builder| builder.acquire_timeout(Duration::from_secs(1));
    let cluster = Cluster::up_with(1, settings).await;
    cluster.lab.caught_up().await.unwrap();
    cluster.lab.node("db-1").unwrap().promote().await.unwrap();
    let why = |event: &Event| match event {
        Event::SecondPrimary { why: Refusal::OlderTimeline { own, highest }, .. } => {
            (own.map(Timeline::get), highest.get()) == (Some(1), 2)
        }
        _ => false,
    };
    until("it is told", async || cluster.events.any(why)).await;
    let refusal = cluster.db.status().nodes[0].refusal.clone().unwrap();
    assert!(refusal.starts_with("it is on timeline 1, and another was promoted to timeline 2"), "{refusal}");
    assert!(cluster.db.status().to_string().contains(&*refusal));
    cluster.db.execute("insert into item values (1)", &[]).await.unwrap();
    cluster.lab.node("db-1").unwrap().kill().await.unwrap();
    until("it is noticed", async || cluster.db.status().primary.is_none()).await;
    let error = cluster.db.execute("insert into item values (2)", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::NoPrimary, Outcome::NotSent), "{error}");
    assert!(error.to_string().contains(&format!("is a primary and gets no writes: {refusal}")), "{error}");
}
