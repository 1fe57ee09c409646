//! A lab comes up, replicates, and lets replay be held back.
#![expect(clippy::unwrap_used, reason = "a helper of a test that cannot go on ends the test")]

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use millpond_lab::{Lab, Replay, Replication, Role, Running};

async fn lab(replicas: usize) -> Lab {
    Lab::builder().replicas(replicas).up().await.unwrap()
}

#[tokio::test]
async fn a_primary_and_two_replicas_come_up_and_stream() {
    let lab = lab(2).await;
    let status = lab.status().await.unwrap();
    let roles: Vec<_> = status.iter().map(|node| node.role).collect();
    assert_eq!(roles, [Some(Role::Primary), Some(Role::Replica), Some(Role::Replica)]);
    assert!(
        status.iter().all(|node| node.running == Running::Running && node.timeline == Some(1)),
        "{status:?}"
    );
    let sql = "select count(*) from pg_stat_replication where state = 'streaming'";
    assert_eq!(lab.primary().ask("postgres", sql).await.unwrap().as_deref(), Some("2"));
    lab.down().await.unwrap();
}

#[tokio::test]
async fn a_row_is_on_every_replica_once_the_lab_has_caught_up() {
    let lab = lab(2).await;
    lab.primary().ask("postgres", "create table t as select 42 as x").await.unwrap();
    lab.caught_up().await.unwrap();
    for replica in lab.replicas() {
        let seen = replica.ask("postgres", "select x from t").await.unwrap();
        assert_eq!(seen.as_deref(), Some("42"), "{replica:?}");
    }
}

#[tokio::test]
async fn two_labs_run_side_by_side_and_know_nothing_of_each_other() {
    let (one, two) = tokio::join!(lab(0), lab(0));
    one.primary().ask("postgres", "create table only_here (x int)").await.unwrap();
    let sql = "select count(*) from pg_class where relname = 'only_here'";
    assert_eq!(two.primary().ask("postgres", sql).await.unwrap().as_deref(), Some("0"));
    let gone = one.folder().to_owned();
    one.down().await.unwrap();
    assert!(!gone.exists());
    assert_eq!(two.primary().ask("postgres", "select 1").await.unwrap().as_deref(), Some("1"));
}

#[tokio::test]
async fn a_paused_replica_stays_behind_until_it_is_resumed() {
    let lab = lab(1).await;
    let replica = lab.node("db-1").unwrap();
    replica.pause_replay().await.unwrap();
    lab.primary().ask("postgres", "create table t as select generate_series(1, 2000) x").await.unwrap();
    let status = lab.status().await.unwrap();
    assert_eq!(status[1].replay, Some(Replay::Paused));
    assert!(status[1].behind > Some(50_000), "{status:?}");
    let sql = "select count(*) from pg_class where relname = 't'";
    assert_eq!(replica.ask("postgres", sql).await.unwrap().as_deref(), Some("0"));
    replica.resume_replay().await.unwrap();
    replica.wait_for_replay().await.unwrap();
    assert_eq!(replica.ask("postgres", "select count(*) from t").await.unwrap().as_deref(), Some("2000"));
}

#[tokio::test]
async fn a_delayed_replica_shows_a_commit_that_much_later() {
    let lab = lab(1).await;
    let replica = lab.node("db-1").unwrap();
    replica.delay_replay(Duration::from_millis(700)).await.unwrap();
    let start = Instant::now();
    lab.primary().ask("postgres", "create table t as select 1 x").await.unwrap();
    replica.wait_for_replay().await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(600), "{:?}", start.elapsed());
    replica.delay_replay(Duration::ZERO).await.unwrap();
    assert_eq!(replica.ask("postgres", "select x from t").await.unwrap().as_deref(), Some("1"));
}

#[tokio::test]
async fn a_pause_during_a_delay_is_confirmed() {
    let lab = lab(1).await;
    let replica = lab.node("db-1").unwrap();
    replica.delay_replay(Duration::from_secs(20)).await.unwrap();
    lab.primary().ask("postgres", "create table t as select 1 x").await.unwrap();
    let start = Instant::now();
    replica.pause_replay().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_synchronous_commit_waits_for_a_replica() {
    let lab = Lab::builder().replicas(1).replication(Replication::Synchronous).up().await.unwrap();
    lab.node("db-1").unwrap().freeze().await.unwrap();
    let (client, connection) =
        tokio_postgres::connect(&lab.primary().url("postgres"), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let mut commit = Box::pin(client.batch_execute("create table t (x int)"));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut commit).await;
    assert!(early.is_err(), "the commit did not wait");
    lab.node("db-1").unwrap().thaw().await.unwrap();
    commit.await.unwrap();
}

#[tokio::test]
async fn a_user_with_a_password_needs_the_right_one() {
    let lab = Lab::builder().replicas(1).password("app", "it's @ secret").up().await.unwrap();
    for node in lab.nodes() {
        let right = node.url_for("app", "it's @ secret", "postgres");
        let right = tokio_postgres::connect(&right, tokio_postgres::NoTls).await;
        assert!(right.is_ok(), "{node:?}");
        let wrong = node.url_for("app", "guess", "postgres");
        let wrong = tokio_postgres::connect(&wrong, tokio_postgres::NoTls).await;
        let code = wrong.err().and_then(|error| error.code().cloned());
        assert_eq!(code, Some(tokio_postgres::error::SqlState::INVALID_PASSWORD));
    }
}

#[tokio::test]
async fn settings_reach_all_nodes_or_the_one_they_are_for() {
    let lab = Lab::builder()
        .replicas(1)
        .names(["left", "right"])
        .setting("work_mem", "5MB")
        .node_setting("right", "work_mem", "6MB")
        .node_setting("right", "application_name", "it's")
        .up()
        .await
        .unwrap();
    let show = |name: &'static str| lab.node(name).unwrap().ask("postgres", "show work_mem");
    assert_eq!(show("left").await.unwrap().as_deref(), Some("5MB"));
    assert_eq!(show("right").await.unwrap().as_deref(), Some("6MB"));
}

/// The answer to a request for TLS is one byte: `S` for yes.
#[tokio::test]
async fn a_lab_with_a_certificate_offers_tls_on_every_node() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let lab = Lab::builder().replicas(1).ssl(certificate, key).up().await.unwrap();
    assert!(lab.url("postgres").ends_with("?sslmode=require"), "{}", lab.url("postgres"));
    for node in lab.nodes() {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", node.port())).await.unwrap();
        stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'S');
    }
}

#[tokio::test(start_paused = true)]
async fn a_test_with_a_stopped_clock_can_use_a_lab() {
    let lab = lab(1).await;
    lab.caught_up().await.unwrap();
    lab.down().await.unwrap();
}
