//! Nodes freeze, stop and die, and the network to them fails.
#![expect(clippy::unwrap_used, reason = "a helper of a test that cannot go on ends the test")]

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use millpond_lab::{Lab, Node, Running, StopMode};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};
use tokio_postgres::{Client, NoTls};

async fn lab(replicas: usize) -> Lab {
    Lab::builder().replicas(replicas).up().await.unwrap()
}

async fn connect(node: &Node) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(&node.url("postgres"), NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn running(lab: &Lab) -> Vec<Running> {
    lab.status().await.unwrap().iter().map(|node| node.running).collect()
}

/// Fails when the answer comes; a fault that holds it back cannot be seen in any other way than by time.
async fn is_silent<T>(answer: impl Future<Output = T>) -> bool {
    timeout(Duration::from_millis(300), answer).await.is_err()
}

#[tokio::test]
async fn a_frozen_node_accepts_connections_and_says_nothing_until_it_is_thawed() {
    let lab = lab(1).await;
    let node = lab.node("db-1").unwrap();
    let before = connect(node).await.unwrap();
    node.freeze().await.unwrap();
    assert_eq!(running(&lab).await, [Running::Running, Running::Frozen]);
    TcpStream::connect(("127.0.0.1", node.direct_port())).await.unwrap();
    assert!(is_silent(connect(node)).await);
    assert!(is_silent(before.batch_execute("select 1")).await);
    let error = node.stop(StopMode::Fast).await.unwrap_err().to_string();
    assert_eq!(error, "db-1 is frozen, so stop cannot be done; thaw it first, or kill it");
    node.thaw().await.unwrap();
    before.batch_execute("select 1").await.unwrap();
}

#[tokio::test]
async fn a_frozen_node_can_be_killed_and_started_again() {
    let lab = lab(1).await;
    let node = lab.node("db-1").unwrap();
    let client = connect(node).await.unwrap();
    node.freeze().await.unwrap();
    node.kill().await.unwrap();
    client.batch_execute("select 1").await.unwrap_err();
    assert_eq!(running(&lab).await, [Running::Running, Running::Stopped]);
    node.start().await.unwrap();
    connect(node).await.unwrap();
    lab.caught_up().await.unwrap();
}

#[tokio::test]
async fn a_stopped_node_is_stopped_in_either_mode_and_comes_back() {
    let lab = lab(0).await;
    let node = lab.primary();
    node.ask("postgres", "create table t as select 1 x").await.unwrap();
    for mode in [StopMode::Fast, StopMode::Immediate] {
        node.stop(mode).await.unwrap();
        assert_eq!(running(&lab).await, [Running::Stopped]);
        connect(node).await.unwrap_err();
        let error = node.stop(mode).await.unwrap_err().to_string();
        assert_eq!(error, "db-0 is stopped, so stop cannot be done; start it first");
        node.start().await.unwrap();
        let error = node.start().await.unwrap_err().to_string();
        assert!(error.starts_with("db-0 is running"), "{error}");
    }
    node.restart(StopMode::Fast).await.unwrap();
    assert_eq!(node.ask("postgres", "select x from t").await.unwrap().as_deref(), Some("1"));
}

#[tokio::test]
async fn nothing_of_a_killed_node_is_left_when_the_kill_returns() {
    let lab = lab(0).await;
    let node = lab.primary();
    let pid = node.ask("postgres", "select pg_backend_pid()").await.unwrap().unwrap();
    let client = connect(node).await.unwrap();
    let backend: i32 = client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    node.kill().await.unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{pid}/exe")).exists());
    assert!(std::fs::read_link(format!("/proc/{backend}/exe")).is_err());
    node.start().await.unwrap();
    assert_eq!(running(&lab).await, [Running::Running]);
}

#[tokio::test]
async fn a_server_whose_port_was_taken_while_it_was_down_comes_back_on_another() {
    let lab = lab(1).await;
    let node = lab.primary();
    let before = node.direct_port();
    node.stop(StopMode::Fast).await.unwrap();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", before)).unwrap();
    node.start().await.unwrap();
    assert_ne!(node.direct_port(), before);
    connect(node).await.unwrap();
    node.ask("postgres", "create table t (x int)").await.unwrap();
    lab.caught_up().await.unwrap();
}

#[tokio::test]
async fn a_delayed_network_keeps_order_and_lets_many_statements_be_under_way() {
    let lab = lab(0).await;
    let node = lab.primary();
    let client = connect(node).await.unwrap();
    node.network().delay(Duration::from_millis(50));
    let start = Instant::now();
    client.simple_query("select 1").await.unwrap();
    let one = start.elapsed();
    assert!(one >= Duration::from_millis(100), "{one:?}");
    // Polled together, so that they leave together.
    let texts: Vec<_> = (0..5).map(|i| format!("select {i}")).collect();
    let start = Instant::now();
    let answers = tokio::join!(
        client.simple_query(&texts[0]),
        client.simple_query(&texts[1]),
        client.simple_query(&texts[2]),
        client.simple_query(&texts[3]),
        client.simple_query(&texts[4]),
    );
    let five = start.elapsed();
    for (i, answer) in [answers.0, answers.1, answers.2, answers.3, answers.4].into_iter().enumerate() {
        let row = answer.unwrap().into_iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        assert_eq!(row, Some(i.to_string()));
    }
    assert!(five >= Duration::from_millis(100) && five < Duration::from_millis(400), "{five:?}");
    node.network().restore();
    let start = Instant::now();
    client.simple_query("select 1").await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
}

#[tokio::test]
async fn megabytes_pass_a_delayed_network_whole() {
    let lab = lab(0).await;
    let node = lab.primary();
    let client = connect(node).await.unwrap();
    node.network().delay(Duration::from_millis(5));
    let row = client.query_one("select string_agg(x::text, '') from generate_series(1, 2000000) x", &[]);
    let text: String = row.await.unwrap().get(0);
    let expected: usize = (1..=2_000_000_u32).map(|x| x.to_string().len()).sum();
    assert_eq!(text.len(), expected);
}

#[tokio::test]
async fn a_stalled_network_accepts_and_holds_everything_until_it_is_restored() {
    let lab = lab(0).await;
    let node = lab.primary();
    let client = connect(node).await.unwrap();
    node.network().stall();
    TcpStream::connect(("127.0.0.1", node.port())).await.unwrap();
    let mut query = Box::pin(client.simple_query("select 1"));
    assert!(is_silent(&mut query).await);
    let mut fresh = Box::pin(connect(node));
    assert!(is_silent(&mut fresh).await);
    node.network().restore();
    query.await.unwrap();
    fresh.await.unwrap();
}

#[tokio::test]
async fn a_reset_network_resets_old_and_new_connections_until_it_is_restored() {
    let lab = lab(0).await;
    let node = lab.primary();
    let client = connect(node).await.unwrap();
    let mut raw = TcpStream::connect(("127.0.0.1", node.port())).await.unwrap();
    node.network().reset();
    assert_eq!(raw.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    client.batch_execute("select 1").await.unwrap_err();
    connect(node).await.err().unwrap();
    node.ask("postgres", "select 'past the relay'").await.unwrap();
    node.network().restore();
    connect(node).await.unwrap();
}

#[tokio::test]
async fn a_reset_that_is_restored_at_once_still_ends_the_connections() {
    let lab = lab(0).await;
    let node = lab.primary();
    let client = connect(node).await.unwrap();
    assert_eq!(node.network().connections(), 1);
    node.network().reset();
    node.network().restore();
    client.batch_execute("select 1").await.unwrap_err();
    connect(node).await.unwrap();
}

#[tokio::test]
async fn a_replica_cut_from_its_primary_answers_and_hears_nothing_new() {
    let lab = lab(1).await;
    let replica = lab.node("db-1").unwrap();
    replica.replication().reset();
    lab.primary().ask("postgres", "create table t as select 1 x").await.unwrap();
    let sql = "select count(*) from pg_class where relname = 't'";
    assert_eq!(replica.ask("postgres", sql).await.unwrap().as_deref(), Some("0"));
    replica.replication().restore();
    lab.caught_up().await.unwrap();
    assert_eq!(replica.ask("postgres", sql).await.unwrap().as_deref(), Some("1"));
}
