//! The primary goes, a replica takes over, and the others follow it.
#![expect(clippy::unwrap_used, reason = "a helper of a test that cannot go on ends the test")]

use millpond_lab::{Lab, LabError, Rejoin, Role, StopMode};

async fn lab(replicas: usize) -> Lab {
    let lab = Lab::builder().replicas(replicas).up().await.unwrap();
    lab.primary().ask("postgres", "create table t (x int)").await.unwrap();
    lab.caught_up().await.unwrap();
    lab
}

async fn rows(lab: &Lab, node: &str) -> Option<String> {
    lab.node(node)
        .unwrap()
        .ask("postgres", "select string_agg(x::text, ',' order by x) from t")
        .await
        .unwrap()
}

async fn insert(lab: &Lab, node: &str, x: i32) {
    lab.node(node).unwrap().ask("postgres", &format!("insert into t values ({x})")).await.unwrap();
}

#[tokio::test]
async fn a_promoted_replica_takes_writes_and_the_other_one_follows_it_without_a_restart() {
    let lab = lab(2).await;
    let [old, new, other] = ["db-0", "db-1", "db-2"].map(|name| lab.node(name).unwrap());
    old.kill().await.unwrap();
    new.promote().await.unwrap();
    assert_eq!(lab.primary().name(), "db-1");
    let since = other.ask("postgres", "select pg_postmaster_start_time()").await.unwrap();
    assert_eq!(other.follow(new).await.unwrap(), Rejoin::Repointed);
    assert_eq!(other.ask("postgres", "select pg_postmaster_start_time()").await.unwrap(), since);
    insert(&lab, "db-1", 1).await;
    lab.caught_up().await.unwrap();
    assert_eq!(rows(&lab, "db-2").await.as_deref(), Some("1"));
    let status = lab.status().await.unwrap();
    let timelines: Vec<_> = status.iter().map(|node| node.timeline).collect();
    assert_eq!(timelines, [None, Some(2), Some(2)]);
}

#[tokio::test]
async fn a_killed_primary_that_had_gone_its_own_way_is_rewound_and_loses_what_it_alone_had() {
    let lab = lab(1).await;
    let [old, new] = ["db-0", "db-1"].map(|name| lab.node(name).unwrap());
    new.replication().reset();
    insert(&lab, "db-0", 100).await;
    old.kill().await.unwrap();
    new.promote().await.unwrap();
    insert(&lab, "db-1", 1).await;
    assert_eq!(old.follow(new).await.unwrap(), Rejoin::Rewound);
    insert(&lab, "db-1", 2).await;
    lab.caught_up().await.unwrap();
    assert_eq!(rows(&lab, "db-0").await.as_deref(), Some("1,2"));
}

#[tokio::test]
async fn a_replica_that_is_beyond_the_fork_is_taken_back_to_it() {
    let lab = lab(2).await;
    let [old, new, other] = ["db-0", "db-1", "db-2"].map(|name| lab.node(name).unwrap());
    new.replication().reset();
    insert(&lab, "db-0", 100).await;
    other.wait_for_replay().await.unwrap();
    old.kill().await.unwrap();
    new.promote().await.unwrap();
    assert_eq!(rows(&lab, "db-2").await.as_deref(), Some("100"));
    assert_ne!(other.follow(new).await.unwrap(), Rejoin::Repointed);
    insert(&lab, "db-1", 1).await;
    lab.caught_up().await.unwrap();
    assert_eq!(rows(&lab, "db-2").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn an_old_primary_that_is_started_again_is_a_second_writer_until_it_follows() {
    let lab = lab(1).await;
    let [old, new] = ["db-0", "db-1"].map(|name| lab.node(name).unwrap());
    old.stop(StopMode::Fast).await.unwrap();
    new.promote().await.unwrap();
    old.start().await.unwrap();
    insert(&lab, "db-0", 100).await;
    insert(&lab, "db-1", 1).await;
    let roles =
        |status: Vec<millpond_lab::NodeStatus>| status.iter().map(|node| node.role).collect::<Vec<_>>();
    assert_eq!(roles(lab.status().await.unwrap()), [Some(Role::Primary), Some(Role::Primary)]);
    assert_ne!(old.follow(new).await.unwrap(), Rejoin::Repointed);
    lab.caught_up().await.unwrap();
    assert_eq!(roles(lab.status().await.unwrap()), [Some(Role::Replica), Some(Role::Primary)]);
    assert_eq!(rows(&lab, "db-0").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_node_without_a_usable_data_folder_is_copied_anew() {
    let lab = lab(1).await;
    let replica = lab.node("db-1").unwrap();
    replica.kill().await.unwrap();
    std::fs::remove_file(replica.data_folder().join("global/pg_control")).unwrap();
    let file = std::fs::read_to_string(replica.data_folder().join("postmaster.pid")).unwrap();
    let segment = file.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap();
    let error = replica.start().await.unwrap_err();
    assert!(matches!(error, LabError::Server { .. }), "{error}");
    assert!(error.to_string().contains("db-1"), "{error}");
    insert(&lab, "db-0", 1).await;
    assert_eq!(replica.follow(lab.primary()).await.unwrap(), Rejoin::Copied);
    let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    assert!(!table.lines().any(|line| line.split_whitespace().nth(1) == Some(segment)), "{segment} is left");
    lab.caught_up().await.unwrap();
    assert_eq!(rows(&lab, "db-1").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_failover_there_and_back_again_leaves_both_nodes_usable() {
    let lab = lab(1).await;
    for (round, (from, to)) in [("db-0", "db-1"), ("db-1", "db-0"), ("db-0", "db-1")].into_iter().enumerate()
    {
        lab.node(from).unwrap().stop(StopMode::Immediate).await.unwrap();
        lab.node(to).unwrap().promote().await.unwrap();
        lab.node(from).unwrap().follow(lab.primary()).await.unwrap();
        insert(&lab, to, i32::try_from(round).unwrap()).await;
        lab.caught_up().await.unwrap();
    }
    assert_eq!(rows(&lab, "db-0").await.as_deref(), Some("0,1,2"));
    assert_eq!(rows(&lab, "db-1").await.as_deref(), Some("0,1,2"));
}

#[tokio::test]
async fn what_cannot_be_followed_is_said_with_the_next_step() {
    let lab = lab(2).await;
    let [primary, one, two] = ["db-0", "db-1", "db-2"].map(|name| lab.node(name).unwrap());
    let error = one.follow(two).await.unwrap_err().to_string();
    assert_eq!(error, "db-2 is a replica, so follow cannot be done; promote it first");
    let error = one.follow(one).await.unwrap_err().to_string();
    assert!(error.contains("choose another node"), "{error}");
    let error = primary.pause_replay().await.unwrap_err().to_string();
    assert_eq!(error, "db-0 is a primary, so changing replay cannot be done; choose a replica");
}
